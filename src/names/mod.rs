//! Where things are stored: names of targets as TUF clients know them, and names of objects as the store knows them.

mod channel;
mod desktop;
mod object;
mod platform;
mod target_path;
mod version;

pub use channel::{CHANNELS, check_channel, check_group};
pub use desktop::is_left_by_desktop;
pub use object::ObjectName;
pub use platform::Platform;
pub use target_path::{MAX_PATH, TargetPath};
pub use version::{ReleaseVersion, full_number};

/// `releases/<version>/<platform>/<file>`.
pub fn artifact_name(version: &ReleaseVersion, platform: Platform, file: &str) -> String {
    format!("releases/{version}/{platform}/{file}")
}

/// `signatures/<version>/<platform>/<file>.sig`: the mirrored path of the detached signature.
pub fn signature_name(version: &ReleaseVersion, platform: Platform, file: &str) -> String {
    format!("signatures/{version}/{platform}/{file}.sig")
}

/// The target that a detached signature signs, among those that `exists` knows: a release's artifact, or any other target.
pub fn signed_name(signature: &str, exists: impl Fn(&str) -> bool) -> Option<String> {
    let rest = signature.strip_prefix("signatures/")?.strip_suffix(".sig")?;
    let artifact = format!("releases/{rest}");
    Some(if !exists(&artifact) && exists(rest) { rest.to_owned() } else { artifact })
}

/// `channels/<group>/<channel>`.
pub fn channel_name(group: &str, channel: &str) -> String {
    format!("channels/{group}/{channel}")
}

/// `openpgp/<FINGERPRINT>.asc`, fingerprint in upper-case hex.
pub fn certificate_name(fingerprint: &str) -> String {
    format!("openpgp/{fingerprint}.asc")
}

/// `signatures/<name>.sig`: the mirrored path of the detached signature of a target that is no release. A name that starts
/// with a version would share it with a release's.
pub fn detached_name(name: &str) -> String {
    format!("signatures/{name}.sig")
}

/// First parts of names that have commands of their own.
pub const RESERVED: [&str; 5] = ["releases", "signatures", "channels", "openpgp", "yanked"];

/// Whether only a command of its own may publish this name; no flag lifts it. Case does not count, because some
/// file systems ignore it.
pub fn is_reserved(name: &str) -> bool {
    name.split('/').next().is_some_and(|first| RESERVED.iter().any(|reserved| first.eq_ignore_ascii_case(reserved)))
}

/// Whether a target stays in the top-level role where others are spread over bins: what releases, channels and their
/// signatures are is looked up by directory, and few.
pub fn lives_at_top(name: &str) -> bool {
    match name.strip_prefix("signatures/") {
        Some(rest) => rest.split('/').next().is_some_and(|first| ReleaseVersion::parse(first).is_ok()),
        None => is_reserved(name),
    }
}

/// Whether a name is below `releases/<version>/`, or would be that directory.
pub fn is_below_version(name: &str, version: &str) -> bool {
    name.strip_prefix("releases/").and_then(|rest| rest.split('/').next()) == Some(version)
}

/// `yanked/<version>`: records that the version was withdrawn and is never published again.
pub fn yanked_name(version: impl std::fmt::Display) -> String {
    format!("yanked/{version}")
}

/// Whether it is such a name.
pub fn is_yank_record(name: &str) -> bool {
    name.starts_with("yanked/")
}

/// The directories that a name is in, the outermost first: `a` and `a/b` for `a/b/c`.
pub fn directories_above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// What a channel target holds: the version and a newline, as trdl's server writes it.
pub fn channel_content(version: &str) -> Vec<u8> {
    format!("{version}\n").into_bytes()
}

/// The released versions among target names, each once, in the order of the names.
pub fn released_versions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut versions: Vec<&str> = Vec::new();
    for name in names {
        if let Some(version) = name.strip_prefix("releases/").and_then(|rest| rest.split_once('/')).map(|(v, _)| v)
            && versions.last() != Some(&version)
        {
            versions.push(version);
        }
    }
    versions
}
