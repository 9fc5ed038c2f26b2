use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a repository is stored, as users write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory: a path, or `file:` before one.
    Directory(PathBuf),
    /// A bucket or container of an object store, and the prefix of every name in it.
    Bucket {
        /// Who runs it.
        service: Service,
        /// The bucket, or container.
        bucket: String,
        /// Without slashes at its ends; empty for the whole bucket.
        prefix: String,
    },
}

/// The kinds of object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and services with its protocol: `s3://bucket/prefix`.
    S3,
    /// Google Cloud Storage: `gs://bucket/prefix`.
    Gcs,
    /// Azure Blob Storage: `az://container/prefix`.
    Azure,
}

impl Service {
    /// The scheme of its locations.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// Tells this location from all others, however it was written. A directory is named relative to `base` if it lies below
    /// it, so that both can be moved together.
    pub fn identity(&self, base: &Path) -> String {
        let Self::Directory(path) = self else { return self.to_string() };
        let (path, base) = (real(path), real(base));
        path.strip_prefix(base).map_or_else(|_| path.display().to_string(), |below| format!("./{}", below.display()))
    }

    /// Why this is no place for what the clients of a repository at another location must not read or lose, if it is none.
    pub fn conflict_with(&self, repository: &Self) -> Option<&'static str> {
        let within = |inner: &str, outer: &str| {
            outer.is_empty() || inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        match (self, repository) {
            (Self::Directory(own), Self::Directory(other)) => real(own).starts_with(real(other)).then_some("which is inside"),
            (
                Self::Bucket { service, bucket, prefix },
                Self::Bucket { service: other_service, bucket: other_bucket, prefix: other_prefix },
            ) if service == other_service && bucket == other_bucket => match () {
                () if prefix == other_prefix => Some("which is also"),
                () if within(prefix, other_prefix) => Some("which is inside"),
                () if within(other_prefix, prefix) => Some("which is above"),
                () => None,
            },
            _ => None,
        }
    }

    /// Reads a location; relative paths start from `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        for service in [Service::S3, Service::Gcs, Service::Azure] {
            if let Some(rest) = text.strip_prefix(service.scheme()).and_then(|rest| rest.strip_prefix("://")) {
                return bucket(service, rest, text);
            }
        }
        let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(text);
        if path.is_empty() {
            return Err(Error::invalid("the repository location is empty").hint("give a directory, or s3://bucket/prefix"));
        }
        if let Some((scheme, _)) = path.split_once("://") {
            return Err(Error::invalid(format!("repositories at {scheme}:// cannot be published to"))
                .hint("give a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"));
        }
        Ok(Self::Directory(base.join(path)))
    }
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = whole.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    existing.map_or_else(|| whole.clone(), |(part, real)| real.join(whole.strip_prefix(part).unwrap_or(Path::new(""))))
}

fn bucket(service: Service, rest: &str, text: &str) -> Result<Location> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let refuse = |reason: &str| Err(Error::invalid(format!("the repository location `{}` {reason}", text.escape_debug())));
    if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return refuse("names no bucket");
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.chars().any(|c| c.is_control() || "?#%\\*".contains(c)) {
        return refuse("has a prefix with characters that clients and proxies disagree about");
    }
    if !prefix.is_empty() && prefix.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return refuse("has a prefix with an empty part, `.` or `..`");
    }
    Ok(Location::Bucket { service, bucket: bucket.into(), prefix: prefix.into() })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket { service, bucket, prefix } if prefix.is_empty() => write!(f, "{}://{bucket}", service.scheme()),
            Self::Bucket { service, bucket, prefix } => write!(f, "{}://{bucket}/{prefix}", service.scheme()),
        }
    }
}
