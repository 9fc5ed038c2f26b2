//! The promises made to clients, each written once: a change is checked against them when it is prepared, when a worker
//! is asked to sign it, when it is committed, and by `verify`.
//!
//! Functions here take states and requests as values and return refusals. They read no storage, clock or network. Where
//! the content of a small target decides, the caller's [`Step::read`] returns it.
//!
//! A promise is about what a change does, not about what is there: a repository that was adopted with other names and
//! habits stays editable, and only a change that would break a promise is refused.

pub mod bins;
pub mod certificates;
pub mod channels;
pub mod client_roots;
pub mod clocks;
pub mod names;
pub mod platforms;
pub mod releases;
pub mod signatures;
pub mod yanks;

use crate::error::{Error, Result};
use crate::metadata::{Target, Targets};
use crate::names::{ArtifactName, TargetName};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The targets of one state of a repository: as published, or as a change would leave them.
pub trait State {
    /// The target with this name.
    ///
    /// # Errors
    /// When the metadata entry cannot be parsed, or the role that is responsible for the name was not read.
    fn target(&self, name: &str) -> Result<Option<Target>>;

    /// The names that start with `prefix`, sorted. Only names that the top-level targets role holds: releases,
    /// signatures, channels, certificates and yanked versions are never in bins.
    fn below(&self, prefix: &str) -> Vec<String>;

    /// A target below this directory, which is given with its slash; of bins, those that were read are looked through.
    fn first_below(&self, directory: &str) -> Option<String> {
        self.below(directory).into_iter().next()
    }

    /// Calls `each` with the name of every target that was read.
    fn visit(&self, each: &mut dyn FnMut(&str)) {
        self.below("").iter().for_each(|name| each(name));
    }
}

/// The top-level targets role by itself: all that a promise about releases, channels and their signatures needs.
impl State for Targets {
    fn target(&self, name: &str) -> Result<Option<Target>> {
        self.get(name)
    }

    fn below(&self, prefix: &str) -> Vec<String> {
        self.below(prefix).map(str::to_owned).collect()
    }
}

/// All targets of a repository, whichever role lists them.
impl State for BTreeMap<String, Target> {
    fn target(&self, name: &str) -> Result<Option<Target>> {
        Ok(self.get(name).cloned())
    }

    fn below(&self, prefix: &str) -> Vec<String> {
        self.range(prefix.to_owned()..).map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned().collect()
    }
}

/// Returns the content of a small target, or `None` if it cannot be found.
pub type Read<'a> = dyn Fn(&str, &Target) -> Result<Option<Vec<u8>>> + 'a;

/// One change: a state before it and the state after it. Where several changes are committed together, each is a step from
/// the state that the earlier ones leave.
pub struct Step<'a> {
    /// The state before the change.
    pub before: &'a dyn State,
    /// The state after the change.
    pub after: &'a dyn State,
    /// What happens to each target, in the order of the names. A target whose content stays is not listed.
    pub changes: Vec<(TargetName<'a>, Change)>,
    /// The content of small targets of either state.
    pub read: &'a Read<'a>,
    /// The request states that channels may move to releases without platforms that their users have, and that machines may
    /// take another directory of a release.
    pub may_lose_platforms: bool,
    /// The current time, to judge certificates by.
    pub now: DateTime<Utc>,
}

/// What a step does to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The target is new.
    Added(Target),
    /// The target has other content than before.
    Replaced(Target, Target),
    /// The target is gone.
    Removed(Target),
}

/// Refuses a step that breaks a promise.
pub fn check(step: &Step<'_>) -> Result<()> {
    PROMISES.iter().try_for_each(|promise| promise(step))
}

/// Every promise, in the order in which they are checked. A promise is one function, which refuses a step that breaks it.
const PROMISES: [fn(&Step<'_>) -> Result<()>; 7] =
    [check_directories, releases::check, signatures::check, yanks::check, channels::check, platforms::check, certificates::check];

/// A name that must have been read before a step which changes `name` is checked: an artifact's signature, or the artifact
/// that a signature is for.
pub fn counterpart(name: &str) -> String {
    let name = TargetName::of(name);
    let mirrored = if let TargetName::Signature(signature) = name { signature.mirrored() } else { None };
    mirrored.map_or_else(|| name.signature(), str::to_owned)
}

/// A reserved directory has one spelling: on many file systems `Releases/` is the same directory as `releases/`.
fn check_directories(step: &Step<'_>) -> Result<()> {
    for (name, change) in &step.changes {
        if let (TargetName::Misspelled(name), Change::Added(_)) = (name, change) {
            let first = name.split('/').next().unwrap_or_default();
            return Err(Error::invalid(format!(
                "target {name} would be confused with the reserved directory {}/",
                first.to_ascii_lowercase()
            )));
        }
    }
    Ok(())
}

impl<'a> Step<'a> {
    /// The step between two states whose targets of these names may differ.
    pub fn between(
        before: &'a dyn State,
        after: &'a dyn State,
        names: impl Iterator<Item = &'a str>,
        read: &'a Read<'a>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut changes = Vec::new();
        for name in names {
            changes.extend(change(before, after, name)?.map(|change| (TargetName::of(name), change)));
        }
        Ok(Self { before, after, changes, read, may_lose_platforms: false, now })
    }

    /// What happens to the target of this name; `None` if its content stays.
    pub fn change(&self, name: &str) -> Result<Option<Change>> {
        change(self.before, self.after, name)
    }

    /// The changes of artifacts of releases.
    pub fn artifacts(&self) -> impl Iterator<Item = (ArtifactName<'a>, &Change)> {
        self.changes.iter().filter_map(|(name, change)| if let TargetName::Artifact(name) = name { Some((*name, change)) } else { None })
    }

    /// The changes of channels: the name, `<group>/<channel>`, and the change.
    pub fn channels(&self) -> impl Iterator<Item = (&'a str, &'a str, &Change)> {
        self.changes.iter().filter_map(
            |(name, change)| {
                if let TargetName::Channel(name, channel) = name { Some((*name, *channel, change)) } else { None }
            },
        )
    }
}

fn change(before: &dyn State, after: &dyn State, name: &str) -> Result<Option<Change>> {
    Ok(match (before.target(name)?, after.target(name)?) {
        (None, Some(after)) => Some(Change::Added(after)),
        (Some(before), None) => Some(Change::Removed(before)),
        (Some(before), Some(after)) if !before.has_content_of(&after) => Some(Change::Replaced(before, after)),
        _ => None,
    })
}
