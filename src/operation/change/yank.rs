//! `publish yank`: withdraws a release. Its targets go from the metadata in one commit, its plain names with it, its
//! hashed objects with a later prune; a target `yanked/<version>` keeps the version from ever being published again.

use super::channels::{self, ChannelsPlan};
use super::work::removal;
use super::{Prepared, Small, Work};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::metadata::{Role, Target, Targets};
use crate::names::{
    CHANNELS, RELEASES, ReleaseVersion, TargetName, channel_content, full_number, release_directory, released_versions,
    signature_directory, yanked_name,
};
use crate::operation::{Publisher, RoleStep, difference, steps};
use crate::policy::channels::pointing_at;
use crate::policy::signatures;
use crate::policy::yanks::check_no_channel;
use crate::repository::{Condition, Edit, View};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the user requests.
#[derive(Clone, Debug, Default)]
pub struct YankRequest {
    /// The version to withdraw: the exact name of a release, or with a leading `v`.
    pub version: String,
    /// Why; published in `yanked/<version>`.
    pub reason: Option<String>,
    /// The release to which channels move that point at it.
    pub move_to: Option<String>,
    /// Channels may move to a release without platforms that their users have.
    pub allow_missing_platforms: bool,
}

/// What a yank will do.
#[derive(Debug, Serialize)]
pub struct YankPlan {
    /// The version.
    pub version: String,
    /// The targets that go: artifacts and their signatures.
    pub removed: Vec<String>,
    /// The files of each platform with their lengths, by their path below it.
    pub platforms: BTreeMap<String, BTreeMap<String, u64>>,
    /// The channels that move to another release in the same commit.
    pub channels: ChannelsPlan,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
    /// Things worth a second look.
    pub warnings: Vec<Message>,
    /// Whether it was yanked before.
    pub empty: bool,
}

/// Decides what is removed.
pub fn prepare(publisher: &Publisher, request: &YankRequest) -> Result<Prepared<YankPlan>> {
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    let version = named(&request.version, &present.targets)?;
    let prefixes = [release_directory(&version), signature_directory(&version)];
    let artifacts: Vec<String> = present.targets.below(&prefixes[0]).map(str::to_owned).collect();
    // Signatures of releases that another tool named can be in bins.
    let signatures: Vec<String> = artifacts.iter().map(|artifact| TargetName::of(artifact).signature()).collect();
    present.read_bins_of(publisher.storage.as_ref(), signatures.iter().map(String::as_str))?;
    let mut removed: BTreeSet<String> = prefixes.iter().flat_map(|prefix| present.targets.below(prefix)).map(str::to_owned).collect();
    for artifact in &artifacts {
        removed.extend(signatures::signature_of(TargetName::of(artifact), &View::new(&present))?.map(|(name, _)| name));
    }
    let removed: Vec<String> = removed.into_iter().collect();
    let targets = &present.targets;
    let yanked = targets.get(&yanked_name(&version))?;
    if removed.is_empty() && yanked.is_none() {
        let released = released_versions(targets.below(RELEASES)).join(", ");
        return Err(Error::new(Kind::NotFound, format!("there is no release {version}")).hint(if released.is_empty() {
            "nothing is released".into()
        } else {
            format!("released: {released}")
        }));
    }
    let channels = match &request.move_to {
        _ if removed.is_empty() => ChannelsPlan::default(),
        Some(to) => moves(publisher, &version, to, targets, request.allow_missing_platforms)?,
        None => {
            check_no_channel(&version, targets, &|name, target| publisher.read_small(name, target))?;
            ChannelsPlan::default()
        }
    };
    let mut edit = Edit { conditions: channels.conditions(), may_lose_platforms: channels.loses_platforms, ..Edit::default() };
    for name in &removed {
        edit.changes.push(removal(name, present.target(name)?));
    }
    edit.conditions.push(Condition::Sealed { prefix: prefixes[0].clone(), names: artifacts });
    // Channels that move in the same commit are checked by the promises, on the result.
    if channels.changes.is_empty() {
        let digest = openssl::sha::sha256(&channel_content(&version));
        edit.conditions.push(Condition::NoneHas { prefix: CHANNELS.into(), sha256: digest });
    }
    let empty = removed.is_empty();
    let roles = if empty { Vec::new() } else { steps(publisher, &present, &Role::ONLINE)? };
    let others = released_versions(targets.below(RELEASES));
    let others = others.into_iter().filter(|other| *other != version && full_number(other) == full_number(&version));
    let warnings = others
        .map(|other| format!("{other} is another spelling of {version} and stays published; `publish verify` reports it from now on"))
        .map(|text| Message::new(Id::OtherSpelling, text))
        .chain(channels.warnings.iter().cloned())
        .collect();
    let lengths = |files: BTreeMap<String, Target>| files.into_iter().map(|(name, target)| (name, target.length)).collect();
    let platforms = difference::files(&version, targets)?.into_iter().map(|(platform, files)| (platform, lengths(files))).collect();
    let mut record = format!("{version}\n");
    record.extend(request.reason.iter().map(|reason| format!("{}\n", reason.trim())));
    let mut work = Work::on(present);
    if !empty {
        work.edit = edit;
        // Another publisher may withdraw it for another reason meanwhile.
        work.small = vec![Small { name: yanked_name(&version), replaces: None, content: Some(record.into_bytes()), keeps_existing: true }];
        work.small.extend(channels.contents());
    }
    Ok(Prepared { plan: YankPlan { version, removed, platforms, channels, roles, warnings, empty }, work })
}

/// The moves of all channels that point at a release.
fn moves(publisher: &Publisher, version: &str, to: &str, targets: &Targets, allow_missing_platforms: bool) -> Result<ChannelsPlan> {
    let to = named(to, targets)?;
    let released = released_versions(targets.below(RELEASES));
    if to == version || !released.contains(&to.as_str()) {
        let others = released.into_iter().filter(|other| *other != version).collect::<Vec<_>>().join(", ");
        return Err(Error::new(Kind::NotFound, format!("channels cannot move to {}: it is not another release", to.escape_debug()))
            .hint(if others.is_empty() { "nothing else is released".into() } else { format!("released: {others}") }));
    }
    let read = |name: &str, target: &Target| publisher.read_small(name, target);
    let channels = pointing_at(version, targets, &read)?;
    channels::moved_to(targets, &channels, version, &to, allow_missing_platforms)
}

/// The release, or the yanked version, that a user means.
fn named(given: &str, targets: &Targets) -> Result<String> {
    let released = |version: &str| targets.below(&release_directory(version)).next().is_some();
    let is_part = !given.is_empty() && !given.contains('/');
    if is_part && released(given) {
        return Ok(given.to_owned());
    }
    let parsed = ReleaseVersion::from_argument(given).map(|version| version.to_string());
    match parsed {
        Ok(version) if released(&version) => Ok(version),
        _ if is_part && targets.get(&yanked_name(given))?.is_some() => Ok(given.to_owned()),
        parsed => Ok(parsed?),
    }
}
