//! Yanked versions: a withdrawn release is gone whole, and no spelling of its version is ever published again.

use super::{Change, Read, State, Step, channels};
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Target;
use crate::names::{
    RELEASES, ReleaseVersion, TargetName, YANKED, channel_name, full_number, release_directory, released_versions, signature_directory,
    yanked_name,
};
use std::collections::BTreeSet;

/// Refuses a yank that leaves something of the release or a channel behind, a change of a record, and a release of a
/// version that was yanked.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    let (mut withdrawn, mut published) = (BTreeSet::new(), BTreeSet::new());
    for (name, change) in &step.changes {
        let TargetName::YankRecord(name, version) = name else { continue };
        let Change::Added(record) = change else {
            return Err(Error::new(
                Kind::Conflict,
                format!("{name} records that its version was withdrawn; it is never changed or removed"),
            ));
        };
        check_record(step, name, version, record)?;
        withdrawn.insert(*version);
    }
    for (artifact, change) in step.artifacts() {
        match change {
            Change::Added(_) => published.insert(artifact.version()),
            Change::Removed(_) => withdrawn.insert(artifact.version()),
            Change::Replaced(..) => false,
        };
    }
    for version in published {
        check_not_yanked(version, step.after)?;
    }
    withdrawn.into_iter().try_for_each(|version| check_withdrawn(step, version))
}

/// Refuses to publish a version of which some spelling was yanked: with a leading `v`, with fewer numbers, or in other case.
pub fn check_not_yanked(version: &str, state: &dyn State) -> Result<()> {
    let records = state.below(YANKED);
    let Some(record) = records.iter().find(|record| folded(&record[YANKED.len()..]) == folded(version)) else { return Ok(()) };
    let record = &record[YANKED.len()..];
    let same = if record == version { String::new() } else { format!(" as {record}") };
    Err(Error::new(Kind::Conflict, format!("version {version} was yanked{same}; it is never published again"))
        .id(Id::VersionYanked)
        .hint("publish this build under a new version"))
}

/// A version as every spelling of it has it.
fn folded(version: &str) -> String {
    full_number(&version.to_ascii_lowercase())
}

/// Refuses a new record that is not of a release, or does not begin with its version.
fn check_record(step: &Step<'_>, name: &str, version: &str, record: &Target) -> Result<()> {
    // Any release can be withdrawn by its exact name, also one that another tool named.
    if version.contains('/') || step.before.below(&release_directory(version)).is_empty() {
        ReleaseVersion::parse(version).map_err(|failure| failure.detail(format!("target: {name}")))?;
        return Err(Error::new(Kind::Conflict, format!("there is no release {version} that {name} could withdraw")));
    }
    let content = (step.read)(name, record)?.unwrap_or_default();
    if !content.strip_prefix(version.as_bytes()).is_some_and(|rest| rest.starts_with(b"\n")) {
        return Err(Error::invalid(format!("{name} does not begin with the version and a newline")));
    }
    Ok(())
}

/// Refuses to withdraw a part of a release, or one that a channel points at. A channel that pointed at it must have moved:
/// its users would find nothing if it were removed instead.
fn check_withdrawn(step: &Step<'_>, version: &str) -> Result<()> {
    let directories = [release_directory(version), signature_directory(version)];
    let left: Vec<String> = directories.iter().flat_map(|directory| step.after.below(directory)).collect();
    if !left.is_empty() {
        return Err(Error::new(Kind::Conflict, format!("a yank of {version} must withdraw all of it, and this one leaves some targets"))
            .details(left.into_iter().take(10).map(|name| format!("left: {name}"))));
    }
    check_no_channel(version, step.after, step.read)?;
    let mut cut_off = Vec::new();
    for channel in channels::pointing_at(version, step.before, step.read)? {
        if step.after.target(&channel_name(&channel))?.is_none() {
            cut_off.push(channel);
        }
    }
    if cut_off.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("release {version} would be yanked and the channels that point at it removed"))
        .details(cut_off)
        .hint("move the channels to another release, in this change or before it"))
}

/// Refuses to yank a version while a channel points at it.
pub fn check_no_channel(version: &str, state: &dyn State, read: &Read<'_>) -> Result<()> {
    let pointing = channels::pointing_at(version, state, read)?;
    if pointing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("release {version} cannot be yanked: channels point at it"))
        .details(pointing)
        .hint("move them in the same commit with --move-to VERSION, or before: edit the channels file, then `publish channels`"))
}

/// Whether a step removes all of a version and leaves the record of it.
pub(super) fn withdraws(step: &Step<'_>, version: &str) -> Result<bool> {
    let is_of = |name: &String| matches!(TargetName::of(name), TargetName::Artifact(artifact) if artifact.version() == version);
    let gone = !step.after.below(RELEASES).iter().any(is_of);
    Ok(gone && step.after.target(&yanked_name(version))?.is_some())
}

/// The yanked versions of a state that are published all the same.
pub fn published_again(state: &dyn State) -> Vec<String> {
    let names = state.below(RELEASES);
    let versions = released_versions(names.iter().map(String::as_str));
    versions.into_iter().filter(|version| check_not_yanked(version, state).is_err()).map(str::to_owned).collect()
}
