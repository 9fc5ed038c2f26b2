//! An edit as a step from one state to the next, checked against the promises to clients.

use super::edit::{Edit, View};
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Target, TargetEdits};
use crate::policy::{self, State, Step};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The longest content that decides about a promise: channels, certificates, records of yanks.
const SMALL: u64 = 64 * 1024;

impl Edit {
    /// The names whose entries must have been read before [`View::after`]: those that change, and their signatures or
    /// what they sign.
    pub fn names_to_read(&self) -> Vec<String> {
        self.names().map(str::to_owned).chain(self.names().map(policy::counterpart)).collect()
    }
}

impl View<'_> {
    /// What an edit changes in this state. Small content comes from the edit itself or from `storage`.
    ///
    /// # Errors
    /// When the plan no longer holds, or when the change would break a promise to clients; [`is_its_own`] distinguishes these
    /// from failures that are not the edit's.
    pub fn after(&self, edit: &Edit, storage: &dyn Storage, now: DateTime<Utc>) -> Result<TargetEdits> {
        let more = edit.against(self)?;
        if more.is_empty() {
            return Ok(more);
        }
        let read = |name: &str, target: &Target| -> Result<Option<Vec<u8>>> {
            let at_hand = edit.changes.iter().filter(|change| change.name == name).find_map(|change| change.content.as_deref());
            if let Some(content) = at_hand.filter(|content| target.matches(&Digests::both_of(content))) {
                return Ok(Some(content.to_vec()));
            }
            if target.length > SMALL {
                return Ok(None);
            }
            let found = storage.get(&self.present.place_of(storage, name, target)?, SMALL)?;
            Ok(found.map(|object| object.bytes).filter(|bytes| target.matches(&Digests::both_of(bytes))))
        };
        let after = Laid { view: self, more: &more };
        let step = Step::between(self, &after, more.keys().map(String::as_str), &read, now)?;
        policy::check(&Step { may_lose_platforms: edit.may_lose_platforms, ..step })?;
        self.check_new_names(&more)?;
        Ok(more)
    }

    /// Refuses new names that conflict with the others. What the same edit removes does not conflict.
    fn check_new_names(&self, more: &TargetEdits) -> Result<()> {
        let mut new = BTreeSet::new();
        for (name, _) in more.iter().filter(|(_, wanted)| wanted.is_some()) {
            if self.get(name)?.is_none() {
                new.insert(name.as_str());
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let mut rest = View { present: self.present, made: self.made.clone() };
        rest.made.extend(more.iter().filter(|(_, wanted)| wanted.is_none()).map(|(name, _)| (name.clone(), None)));
        policy::names::check(&rest, &new)
    }
}

/// Whether a failure of [`View::after`] is about the edit itself: it fails alone, and the others go on.
pub fn is_its_own(failure: &Error) -> bool {
    matches!(failure.kind, Kind::Conflict | Kind::Invalid)
}

/// A view with one more edit laid over it.
struct Laid<'a> {
    view: &'a View<'a>,
    more: &'a TargetEdits,
}

impl State for Laid<'_> {
    fn target(&self, name: &str) -> Result<Option<Target>> {
        match self.more.get(name) {
            Some(made) => Ok(made.clone()),
            None => self.view.get(name),
        }
    }

    fn below(&self, prefix: &str) -> Vec<String> {
        let kept = self.view.below(prefix).into_iter().filter(|name| !self.more.contains_key(name));
        let made = self.more.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        let mut names: Vec<String> = kept.chain(made.filter(|(_, target)| target.is_some()).map(|(name, _)| name.clone())).collect();
        names.sort();
        names
    }
}
