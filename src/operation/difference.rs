//! Two releases compared: platforms, files and sizes. For `publish diff`, and for the plan of a release.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Target, Targets};
use crate::names::{RELEASES, ReleaseVersion, release_directory, released_versions};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How something in one release relates to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Only in the new one.
    Added,
    /// Only in the old one.
    Removed,
    /// In both, with other bytes.
    Changed,
    /// In both, with the same bytes.
    Same,
}

/// Two releases compared.
#[derive(Debug, Serialize)]
pub struct ReleaseDifference {
    /// The old version.
    pub from: String,
    /// The new version.
    pub to: String,
    /// Channels that point at the old version, as `group/channel`.
    pub from_channels: Vec<String>,
    /// Channels that point at the new version.
    pub to_channels: Vec<String>,
    /// Each platform of either.
    pub platforms: Vec<PlatformDifference>,
}

/// One platform of two releases.
#[derive(Debug, Serialize)]
pub struct PlatformDifference {
    /// For example `linux-amd64`.
    pub platform: String,
    /// [`Difference::Changed`] if any of its files differs.
    pub difference: Difference,
    /// Each file of either.
    pub files: Vec<FileDifference>,
}

/// One file of two releases.
#[derive(Debug, Serialize)]
pub struct FileDifference {
    /// Its path below the platform, for example `bin/acme`.
    pub name: String,
    /// What happened to it.
    pub difference: Difference,
    /// Its length in the old release, in bytes.
    pub from: Option<u64>,
    /// Its length in the new release, in bytes.
    pub to: Option<u64>,
}

/// The files of a release by platform and path below it.
type Files = BTreeMap<String, BTreeMap<String, Target>>;

/// Compares two published releases. Each is the exact name of a release, with a leading `v` or not, or a channel as
/// `group/channel`.
pub fn compare(publisher: &Publisher, from: &str, to: &str) -> Result<ReleaseDifference> {
    let present = publisher.load()?;
    let targets = &present.targets;
    let channels = super::change::channels::published(publisher, targets)?;
    let (from, to) = (named(from, targets, &channels)?, named(to, targets, &channels)?);
    let pointing = |version: &str| channels.iter().filter(|(_, points)| *points == version).map(|(name, _)| name.clone()).collect();
    let platforms = platforms(&files(&from, targets)?, &files(&to, targets)?);
    Ok(ReleaseDifference { from_channels: pointing(&from), to_channels: pointing(&to), from, to, platforms })
}

/// The release that a user means.
fn named(given: &str, targets: &Targets, channels: &BTreeMap<String, String>) -> Result<String> {
    let released = released_versions(targets.below(RELEASES));
    let known = |name: &str| released.contains(&name).then(|| name.to_owned());
    let plain = ReleaseVersion::from_argument(given).ok().and_then(|version| known(&version.to_string()));
    if let Some(version) = known(given).or(plain).or_else(|| channel(given, channels)) {
        return Ok(version);
    }
    let listed = if released.is_empty() { "nothing is released".into() } else { format!("released: {}", released.join(", ")) };
    Err(Error::new(Kind::NotFound, format!("there is no release or channel {}", given.escape_debug()))
        .hint(listed)
        .hint("write a version, or a channel: stable, or 1/stable where several groups have one"))
}

/// The version of a channel; its name alone is enough where one group has it.
fn channel(given: &str, channels: &BTreeMap<String, String>) -> Option<String> {
    let mut named = channels.iter().filter(|(name, _)| name.rsplit_once('/').is_some_and(|(_, channel)| channel == given));
    let only = named.next().filter(|_| named.next().is_none());
    channels.get(given).or(only.map(|(_, version)| version)).cloned()
}

/// The files of a release.
pub(super) fn files(version: &str, targets: &Targets) -> Result<Files> {
    let prefix = release_directory(version);
    let mut files = Files::new();
    for name in targets.below(&prefix) {
        if let (Some((platform, file)), Some(target)) = (name[prefix.len()..].split_once('/'), targets.get(name)?) {
            files.entry(platform.to_owned()).or_default().insert(file.to_owned(), target);
        }
    }
    Ok(files)
}

/// The newest release that is older than this version.
pub(super) fn previous(version: &ReleaseVersion, targets: &Targets) -> Option<String> {
    let parse = |name: &str| Some((ReleaseVersion::of_release(name)?, name.to_owned()));
    let older = released_versions(targets.below(RELEASES)).into_iter().filter_map(parse).filter(|(other, _)| other.older_than(version));
    older.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, name)| name)
}

fn platforms(old: &Files, new: &Files) -> Vec<PlatformDifference> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let platform = |name: &String| {
        let (before, after) = (old.get(name), new.get(name));
        let paths: BTreeSet<&String> = [before, after].into_iter().flatten().flat_map(BTreeMap::keys).collect();
        let files = paths.into_iter().map(|path| {
            let (from, to) = (before.and_then(|files| files.get(path)), after.and_then(|files| files.get(path)));
            let difference = match (from, to) {
                (Some(from), Some(to)) if from.has_content_of(to) => Difference::Same,
                (Some(_), Some(_)) => Difference::Changed,
                (None, _) => Difference::Added,
                (_, None) => Difference::Removed,
            };
            FileDifference { name: path.clone(), difference, from: from.map(|target| target.length), to: to.map(|target| target.length) }
        });
        let files: Vec<FileDifference> = files.collect();
        let difference = match (before, after) {
            (None, _) => Difference::Added,
            (_, None) => Difference::Removed,
            _ if files.iter().all(|file| file.difference == Difference::Same) => Difference::Same,
            _ => Difference::Changed,
        };
        PlatformDifference { platform: name.clone(), difference, files }
    };
    names.into_iter().map(platform).collect()
}
