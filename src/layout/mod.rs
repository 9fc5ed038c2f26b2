//! Where things live: names of targets as TUF clients know them, and names of objects as the store knows them.

mod channel;
mod object;
mod platform;
mod target_path;
mod version;

pub use channel::{CHANNELS, check_channel, check_group};
pub use object::ObjectName;
pub use platform::Platform;
pub use target_path::{MAX_PATH, TargetPath, case_collision};
pub use version::ReleaseVersion;

/// `releases/<version>/<platform>/<file>`.
pub fn artifact_name(version: &ReleaseVersion, platform: Platform, file: &str) -> String {
    format!("releases/{version}/{platform}/{file}")
}

/// `signatures/<version>/<platform>/<file>.sig`: the mirrored path of the detached signature.
pub fn signature_name(version: &ReleaseVersion, platform: Platform, file: &str) -> String {
    format!("signatures/{version}/{platform}/{file}.sig")
}

/// The signature that belongs to `releases/…`, or the artifact that belongs to `signatures/….sig`.
pub fn mirrored(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("releases/") {
        return Some(format!("signatures/{rest}.sig"));
    }
    let rest = name.strip_prefix("signatures/")?.strip_suffix(".sig")?;
    Some(format!("releases/{rest}"))
}

/// `channels/<group>/<channel>`.
pub fn channel_name(group: &str, channel: &str) -> String {
    format!("channels/{group}/{channel}")
}

/// `openpgp/<FINGERPRINT>.asc`, fingerprint in upper-case hex.
pub fn certificate_name(fingerprint: &str) -> String {
    format!("openpgp/{fingerprint}.asc")
}

/// `yanked/<version>`: says that the version was withdrawn and is never published again.
pub fn yanked_name(version: &ReleaseVersion) -> String {
    format!("yanked/{version}")
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
