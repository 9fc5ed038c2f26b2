//! Channels: each points at a release that clients can install.

use super::{Change, Read, State, Step};
use crate::digest::Digests;
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Target;
use crate::names::{CHANNELS, RELEASES, channel_content, check_channel, check_group, released_versions};
use std::collections::HashMap;

/// Refuses a channel that would not point at a release, and a new one that the trdl client cannot address.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    let mut released: Option<Released> = None;
    for (name, channel, change) in step.channels() {
        let target = match change {
            Change::Removed(_) => continue,
            Change::Added(target) => {
                check_name(name, channel)?;
                target
            }
            Change::Replaced(_, target) => target,
        };
        let released = released.get_or_insert_with(|| Released::in_state(step.after));
        if released.version_of(target).is_none() {
            let content = (step.read)(name, target)?.unwrap_or_default();
            return Err(points_at_nothing(name, &content));
        }
    }
    Ok(())
}

/// Refuses a new channel name that the trdl client cannot ask for.
fn check_name(name: &str, channel: &str) -> Result<()> {
    match channel.split_once('/') {
        Some((group, channel)) => check_group(group).and_then(|()| check_channel(channel)),
        None => Err(Error::invalid(format!("{name} is not channels/<group>/<channel>"))),
    }
    .map_err(|failure| failure.detail(format!("target: {name}")))
}

fn points_at_nothing(name: &str, content: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(content).trim().chars().take(100).flat_map(char::escape_debug).collect();
    Error::new(Kind::Conflict, format!("{name} would point at `{shown}`, which is not released"))
        .id(Id::ChannelVersionUnknown)
        .hint("publish the release first, or together with its channels: publish release VERSION --from DIR --channels")
}

/// The released versions of a state, by the content of a channel that points at each.
pub struct Released(HashMap<[u8; 32], String>);

impl Released {
    /// The versions that are released in this state.
    pub fn in_state(state: &dyn State) -> Self {
        let names = state.below(RELEASES);
        Self::of(released_versions(names.iter().map(String::as_str)).into_iter())
    }

    /// These versions.
    pub fn of<'v>(versions: impl Iterator<Item = &'v str>) -> Self {
        Self(versions.map(|version| (openssl::sha::sha256(&channel_content(version)), version.to_owned())).collect())
    }

    /// The released version that a channel with this target points at, if its content is exactly the version and a newline.
    pub fn version_of(&self, channel: &Target) -> Option<&str> {
        let is = |version: &str| channel.matches(&Digests::both_of(&channel_content(version)));
        match channel.hashes.sha256 {
            Some(sha256) => self.0.get(&sha256).filter(|version| is(version)).map(String::as_str),
            // Targets of other tools may be named by their SHA-512 only.
            None => self.0.values().find(|version| is(version)).map(String::as_str),
        }
    }
}

/// The channels of a state that point at a version. The content is read only where it is not that of another release.
pub fn pointing_at(version: &str, state: &dyn State, read: &Read<'_>) -> Result<Vec<String>> {
    let released = Released::in_state(state);
    let this = Released::of([version].into_iter());
    let mut pointing = Vec::new();
    for name in state.below(CHANNELS) {
        let Some(channel) = state.target(&name)? else { continue };
        let points = if this.version_of(&channel).is_some() {
            true
        } else if released.version_of(&channel).is_some() {
            false
        } else {
            // Other tools leave out the newline, or add white space.
            read(&name, &channel)?.is_some_and(|content| String::from_utf8_lossy(&content).trim() == version)
        };
        if points {
            pointing.push(name[CHANNELS.len()..].to_owned());
        }
    }
    Ok(pointing)
}

/// The channels of a state that point at no release, each with what it holds. `read` returns the content of those that are
/// not in our form.
pub fn pointing_at_nothing(state: &dyn State, read: &Read<'_>) -> Result<Vec<(String, String)>> {
    let names = state.below(RELEASES);
    let versions = released_versions(names.iter().map(String::as_str));
    let released = Released::of(versions.iter().copied());
    let mut found = Vec::new();
    for name in state.below(CHANNELS) {
        let Some(channel) = state.target(&name)?.filter(|channel| released.version_of(channel).is_none()) else { continue };
        let Some(content) = read(&name, &channel)? else { continue };
        let version = String::from_utf8_lossy(&content).trim().to_owned();
        if !versions.contains(&version.as_str()) {
            found.push((name, version));
        }
    }
    Ok(found)
}
