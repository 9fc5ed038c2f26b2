//! What users need to install a release: roots to pin, the certificate, and a file as an example.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::metadata::ROOT_LIMIT;
use crate::names::{CERTIFICATES, CHANNELS, ObjectName, RELEASES, ReleaseVersion, TargetName, release_directory, released_versions};
use crate::openpgp::Certificates;
use serde::Serialize;

/// Everything that the install instructions name.
#[derive(Debug, Serialize)]
pub struct Install {
    /// The repository's name for users.
    pub name: String,
    /// Where users reach it, without a slash at the end.
    pub url: String,
    /// Roots that a user can pin: version and SHA-512 in hex. The first and the newest.
    pub roots: Vec<(u64, String)>,
    /// Published OpenPGP certificates, by fingerprint.
    pub certificates: Vec<String>,
    /// The newest release, if there is one.
    pub release: Option<String>,
    /// A file of it, by its path below the release, for example `linux-amd64/bin/acme`.
    pub file: Option<String>,
    /// A file for Windows, if there is one.
    pub windows_file: Option<String>,
    /// A channel, as `group` and `channel`: `stable` if there is one.
    pub channel: Option<(String, String)>,
}

/// Reads the published state and the root files.
pub fn install(publisher: &Publisher) -> Result<Install> {
    let url = publisher.label.url.clone().ok_or_else(|| {
        Error::new(Kind::Invalid, "the config has no `public_url`: users need the URL of the repository")
            .hint("put `public_url: https://…` into the config")
    })?;
    let present = publisher.load()?;
    let targets = &present.targets;
    let newest = present.trust.root().version();
    let mut roots = Vec::new();
    for version in if newest == 1 { vec![1] } else { vec![1, newest] } {
        if let Some(root) = publisher.storage.get(&ObjectName::root(version), ROOT_LIMIT)? {
            roots.push((version, hex::encode(openssl::sha::sha512(&root.bytes))));
        }
    }
    let fingerprint = |name| if let TargetName::Certificate(_, fingerprint) = TargetName::of(name) { fingerprint } else { None };
    let certificates = targets.below(CERTIFICATES).filter_map(fingerprint).map(str::to_owned);
    // The key that signs now comes last.
    let signing = signing_fingerprints(publisher);
    let mut certificates: Vec<String> = certificates.collect();
    certificates.sort_by_key(|fingerprint| signing.contains(fingerprint));
    let release =
        released_versions(targets.below(RELEASES)).into_iter().max_by_key(|name| ReleaseVersion::of_release(name)).map(str::to_owned);
    let prefix = release.as_ref().map(release_directory).unwrap_or_default();
    let files = || targets.below(&prefix).filter(|_| release.is_some()).map(|name| &name[prefix.len()..]);
    let preferred = |wanted: &str| files().find(|name| name.starts_with(wanted) && name.contains("/bin/")).map(str::to_owned);
    let channels: Vec<&str> = targets.below(CHANNELS).map(|name| &name[CHANNELS.len()..]).collect();
    let channel = channels.iter().rev().find(|name| name.ends_with("/stable")).or(channels.first());
    Ok(Install {
        name: publisher.label.name.clone().unwrap_or_else(|| "NAME".into()),
        url: url.trim_end_matches('/').to_owned(),
        roots,
        certificates,
        file: preferred("linux-amd64/").or_else(|| preferred("")).or_else(|| files().next().map(str::to_owned)),
        windows_file: preferred("windows-amd64/").or_else(|| preferred("windows-")),
        channel: channel.and_then(|name| name.rsplit_once('/')).map(|(group, channel)| (group.to_owned(), channel.to_owned())),
        release,
    })
}

/// Of the configured OpenPGP key, where it can be read.
fn signing_fingerprints(publisher: &Publisher) -> Vec<String> {
    let mut certificates = Certificates::default();
    let read = publisher.keyring.certificate().is_ok_and(|bytes| certificates.add(&bytes, "the OpenPGP key").is_ok());
    if read { certificates.standings(publisher.now()).map(|(fingerprint, _)| fingerprint).collect() } else { Vec::new() }
}
