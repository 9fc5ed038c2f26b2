use crate::names::ObjectName;

/// The headers of an object, for clients and caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// `Cache-Control`.
    pub cache_control: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
}

/// What will never change may be kept for a year without asking again.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What may change is requested every time; an unchanged answer costs one 304.
pub const NO_CACHE: &str = "no-cache";

impl Headers {
    /// The headers of an object, as its name determines them.
    pub fn of(name: &ObjectName) -> Self {
        let cache_control = if name.is_immutable() { IMMUTABLE } else { NO_CACHE };
        Self { cache_control, content_type: content_type(name.as_str()) }
    }
}

fn content_type(name: &str) -> &'static str {
    if name.starts_with("targets/channels/") {
        return "text/plain; charset=utf-8";
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("asc") => "application/pgp-keys",
        Some("sig") => "application/pgp-signature",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("gz" | "tgz") => "application/gzip",
        Some("xz") => "application/x-xz",
        Some("zst") => "application/zstd",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}
