//! Plain names beside the hashed ones, for curl, installers and `gpg --verify`. They follow the commit, and nothing about them
//! fails a command: the new state is visible by then. A problem is reported, recorded in `plain.json`, and solved by the next run.
//!
//! Two publishers write the same plain name without any order between them, and no store replaces one object by a copy of
//! another on a condition. So an older write can take effect after a newer one: its publisher was suspended in between (and is
//! killed afterwards, or continues), or the store executes late a copy that its client had given up and repeated. What holds:
//!
//! - The marker `plain.json` records for which targets plain names were completed. It is compared and swapped: a publisher that was
//!   overtaken detects it, reads the newest state, and checks every name again that it wrote itself.
//! - A publisher that advances the marker lists in it the names whose older writes may still be under way: every target that was replaced
//!   or removed, also by commits between the marker's state and the present one, whose publishers have not finished.
//!   A target that is only added is not listed: there is no older content that could come back.
//! - Every run that changes something, or that finds nothing to do, compares the listed names with the published state and
//!   repairs them, for 30 days after their last change; a bounded number in each run, all of them in turn. So a late write lasts
//!   until the next run, and a `publish refresh` from cron is one. `status` and `verify` report it until then.
//! - `publish refresh --all` compares all plain names, and removes those that belong to no target any more.

mod changes;
mod marker;
mod place;
mod whole;

pub(super) use changes::difference;
pub(super) use place::apply;
pub use whole::{PlainCheck, PlainState, PlainSwitch, check_all, plain_state, remove_all, stale, switch};

use self::changes::Change;
use self::marker::{MOST_OPEN, Marker};
use super::edit;
use super::parallel::each;
use super::present::{Present, load};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::metadata::{Envelope, ROOT_LIMIT, Root, TIMESTAMP_LIMIT, Target, Targets};
use crate::names::{ObjectName, Role};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which targets get a plain name beside the hashed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainNames {
    /// All.
    #[default]
    All,
    /// None: all users have TUF clients.
    None,
    /// Another server serves all content; here is metadata only.
    Elsewhere,
}

/// Something that follows from metadata and is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The target, file or setting.
    pub subject: String,
    /// What is wrong with its plain name.
    pub why: String,
    /// What puts it right.
    pub remedy: String,
}

impl Trouble {
    /// The same as a warning.
    pub fn message(&self) -> Message {
        Message::new(Id::PlainNameNotCurrent, self.to_string())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the plain name of {} is not up to date: {}; {}", self.subject, self.why, self.remedy)
    }
}

/// What the caller of [`catch_up`] happens to hold, so that it need not be read again.
#[derive(Clone, Copy, Default)]
pub struct AtHand<'a> {
    /// The targets role that the marker may name.
    pub before: Option<&'a Targets>,
    /// Changes with their content.
    pub changes: &'a [edit::Change],
}

impl<'a> AtHand<'a> {
    fn contents(&self) -> HashMap<&'a str, (&'a Target, &'a [u8])> {
        let held = |change: &'a edit::Change| Some((change.name.as_str(), (change.wanted.as_ref()?, change.content.as_deref()?)));
        self.changes.iter().filter_map(held).collect()
    }
}

/// That the marker cannot be read.
fn unreadable(failure: &Error) -> Trouble {
    Trouble {
        subject: EVERY_TARGET.into(),
        why: format!("it is not known which are in place: {}", failure.message),
        remedy: "`publish refresh` replaces plain.json".into(),
    }
}

/// That the config asks for no plain names, and they are kept until `refresh` removes them.
fn still_kept(mode: PlainNames) -> Trouble {
    let (set, what) = if mode == PlainNames::Elsewhere { ("elsewhere", "those that publish wrote") } else { ("none", "them") };
    Trouble {
        subject: EVERY_TARGET.into(),
        why: format!("plain names were kept so far, and `plain_names: {set}` is set now"),
        remedy: format!("`publish refresh` removes {what}"),
    }
}

/// The subject of trouble with all plain names.
pub const EVERY_TARGET: &str = "every target";
/// How often a publisher starts over because others changed the marker.
const ROUNDS: u32 = 20;
/// How many names a run looks at again.
const MOST_CHECKED: usize = 256;
/// How many bins a run reads for that.
const MOST_BINS: usize = 16;

/// Brings plain names and `root.json` up to the published state; what could not be done comes back.
pub fn catch_up(
    storage: &dyn Storage,
    pinned: &[u8],
    mode: PlainNames,
    present: &mut Present,
    at_hand: AtHand<'_>,
    now: DateTime<Utc>,
) -> Vec<Trouble> {
    let mut follow = Follow { storage, pinned, mode, now, ours: BTreeSet::new(), troubles: BTreeMap::new() };
    if let Err(failure) = follow.run(present, at_hand) {
        let why = [failure.message].into_iter().chain(failure.details).collect::<Vec<_>>().join("; ");
        let remedy = failure.hints.into_iter().next().unwrap_or_else(|| "`publish refresh` tries again".to_owned());
        follow.troubles.insert("changed targets".into(), Trouble { subject: "changed targets".into(), why, remedy });
    }
    follow.troubles.into_values().collect()
}

struct Follow<'a> {
    storage: &'a dyn Storage,
    pinned: &'a [u8],
    mode: PlainNames,
    now: DateTime<Utc>,
    /// Names that this run has written: they are looked at again when it was overtaken.
    ours: BTreeSet<String>,
    troubles: BTreeMap<String, Trouble>,
}

impl Follow<'_> {
    fn run(&mut self, present: &mut Present, at_hand: AtHand<'_>) -> Result<()> {
        let mut newer: Option<Present> = None;
        for _ in 0..ROUNDS {
            let mut held = marker::read(self.storage);
            if let Some(failure) = held.unreadable.as_ref().filter(|_| self.mode != PlainNames::All) {
                // Without it no one would know that there are plain names to remove: `refresh` does so first.
                self.report(unreadable(failure));
                return Ok(());
            }
            held = held.or_empty(self.storage)?;
            let overtaken = held.marker.targets > present.versions().targets || held.marker.root > present.versions().root;
            if overtaken && newer.is_none() {
                newer = Some(load(self.storage, self.pinned, self.now)?);
            }
            let present = newer.as_mut().unwrap_or(&mut *present);
            let (next, wrote) = self.round(&held.marker, present, at_hand)?;
            if next != held.marker {
                self.storage.sync()?;
                if !held.replace(self.storage, &next)? {
                    newer = Some(load(self.storage, self.pinned, self.now)?);
                    continue;
                }
            } else if !wrote {
                return Ok(());
            }
            // Another publisher may have committed while we wrote, and read our marker before its own commit.
            let timestamp = self.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?;
            if timestamp.is_some_and(|timestamp| timestamp.bytes == present.timestamp_file) {
                return Ok(());
            }
            newer = Some(load(self.storage, self.pinned, self.now)?);
        }
        Err(Error::new(Kind::Conflict, format!("other publishers changed plain.json {ROUNDS} times meanwhile")))
    }

    /// Writes what the marker does not claim yet, and looks again at what may have been undone: the marker that follows, and
    /// whether anything was written.
    fn round(&mut self, marker: &Marker, present: &mut Present, at_hand: AtHand<'_>) -> Result<(Marker, bool)> {
        self.troubles.clear();
        let mut next = marker.clone();
        let mut wrote = self.follow_root(marker, &mut next, present.versions().root);
        let consistent = present.trust.root().consistent_snapshot();
        if marker.targets != 0 && self.mode != PlainNames::All && consistent {
            self.report(still_kept(self.mode));
        }
        let wanted = whole::is_wanted(self.mode, marker, consistent);
        let versions = present.versions();
        next.targets = if wanted { versions.targets } else { 0 };
        next.snapshot = if wanted && present.bins.is_some() { versions.snapshot } else { 0 };
        if self.mode == PlainNames::Elsewhere && marker.targets != 0 {
            // The marker stays: it knows which plain names were written here, until `refresh` has removed them.
            let changes = changes::since(self.storage, marker, at_hand, present)?;
            wrote |= self.remove_replaced(present, &changes)?;
            return Ok((Marker { root: next.root, root_replaced: next.root_replaced, ..marker.clone() }, wrote));
        }
        if self.mode == PlainNames::Elsewhere {
            return Ok((Marker { recent: BTreeMap::new(), open: BTreeMap::new(), ..next }, wrote));
        }
        let behind = wanted && (marker.targets, marker.snapshot) != (next.targets, next.snapshot);
        let changes = if behind { changes::since(self.storage, marker, at_hand, present)? } else { BTreeMap::new() };
        let mut failed = self.write(present, &changes, at_hand)?;
        wrote |= changes.values().any(Change::is_due);
        let replaced = || changes.iter().filter(|(_, change)| change.replaced).map(|(name, _)| name.as_str());
        if replaced().next().is_some() {
            next.note(replaced(), self.now);
        }
        let again = self.to_check(present, marker, &changes)?;
        let (checked, repaired) = self.check(present, &again, wanted, &mut failed)?;
        wrote |= repaired;
        next.open.retain(|name, _| !checked.contains(name) && !changes.contains_key(name));
        if failed.len() > MOST_OPEN {
            // Too many to list: the next run finds them from the same start as this one.
            (next.targets, next.snapshot, next.open) = (marker.targets, marker.snapshot, marker.open.clone());
        } else {
            next.open.extend(failed.iter().map(|(name, trouble)| (name.clone(), trouble.why.clone())));
        }
        self.ours.extend(changes.into_iter().filter(|(_, change)| change.is_due()).map(|(name, _)| name));
        failed.into_values().for_each(|trouble| self.report(trouble));
        Ok((next, wrote))
    }

    /// Removes plain names that were written here and whose targets have other content now, or none: another server has
    /// that. A file with other bytes is that server's.
    fn remove_replaced(&mut self, present: &Present, changes: &BTreeMap<String, Change>) -> Result<bool> {
        let due: Vec<_> = changes.iter().filter(|(_, change)| change.is_due()).collect();
        let remove = |(name, change): &(&String, &Change), (): &mut ()| {
            let plain = ObjectName::plain_target(name);
            let removed = || -> Result<bool> {
                let Some(before) = &change.before else { return Ok(false) };
                let is_ours = place::holds(self.storage, &plain, before)?;
                if is_ours {
                    self.storage.delete(&plain)?;
                }
                Ok(is_ours)
            };
            Ok(removed().map_err(|failure| place::trouble(self.storage, present, name, &failure)))
        };
        let mut wrote = false;
        for outcome in each(&due, self.storage.properties().parallelism, || Ok(()), remove)? {
            match outcome {
                Ok(removed) => wrote |= removed,
                Err(trouble) => self.report(trouble),
            }
        }
        Ok(wrote)
    }

    fn report(&mut self, trouble: Trouble) {
        self.troubles.insert(trouble.subject.clone(), trouble);
    }

    /// Writes the names that are due. Removals come first: where case does not count, a name that is removed may be another
    /// form of one that is written.
    fn write(&self, present: &Present, changes: &BTreeMap<String, Change>, at_hand: AtHand<'_>) -> Result<BTreeMap<String, Trouble>> {
        let consistent = present.trust.root().consistent_snapshot();
        let contents = at_hand.contents();
        let due = changes.iter().filter(|(_, change)| change.is_due()).map(|(name, change)| (name, &change.after));
        let (removed, placed): (Vec<_>, Vec<_>) = due.partition(|(_, target)| target.is_none());
        let place = |(name, target): &(&String, &Option<Target>), (): &mut ()| {
            let held = target.as_ref().zip(contents.get(name.as_str())).filter(|(target, (held, _))| target.hashes == held.hashes);
            let content = held.map(|(_, (_, content))| *content);
            let done = place::apply(self.storage, name, target.as_ref(), consistent, content);
            Ok(done.err().map(|failure| ((*name).clone(), place::trouble(self.storage, present, name, &failure))))
        };
        let mut failed = BTreeMap::new();
        for names in [removed, placed] {
            failed.extend(each(&names, self.storage.properties().parallelism, || Ok(()), place)?.into_iter().flatten());
        }
        Ok(failed)
    }

    /// The names to look at again: those of this run and those that failed before, always; and of those that changed lately a
    /// bounded number, beginning anywhere.
    fn to_check(&self, present: &mut Present, marker: &Marker, changes: &BTreeMap<String, Change>) -> Result<Vec<String>> {
        let undone = changes.iter().filter(|(_, change)| change.replaced && !change.is_due()).map(|(name, _)| name);
        let always: BTreeSet<&String> = self.ours.iter().chain(marker.open.keys()).chain(undone).collect();
        let recent: Vec<&String> = marker.recent_names(self.now).filter(|name| !always.contains(*name)).collect();
        let mut random = [0_u8; 8];
        // Without randomness the first ones are looked at each time.
        let _ = openssl::rand::rand_bytes(&mut random);
        let start = (u64::from_le_bytes(random) % recent.len().max(1) as u64) as usize;
        let is_due = |name: &String| changes.get(name).is_some_and(Change::is_due);
        let mut names: Vec<String> = always.into_iter().filter(|name| !is_due(name)).cloned().collect();
        let mut bins = BTreeSet::new();
        for name in recent.iter().cycle().skip(start).take(recent.len().min(MOST_CHECKED)).filter(|name| !is_due(name)) {
            bins.insert(present.home(name)?);
            if bins.len() > MOST_BINS {
                break;
            }
            names.push((*name).clone());
        }
        present.read_bins_of(self.storage, names.iter().map(String::as_str))?;
        Ok(names)
    }

    /// Compares names with the published state and puts them right: those that are right now, and whether any was not.
    fn check(
        &self,
        present: &Present,
        names: &[String],
        wanted: bool,
        failed: &mut BTreeMap<String, Trouble>,
    ) -> Result<(BTreeSet<String>, bool)> {
        let consistent = present.trust.root().consistent_snapshot();
        let check = |name: &String, (): &mut ()| {
            let repaired = || -> Result<bool> {
                let target = present.target(name)?.filter(|_| wanted);
                if place::is_right(self.storage, name, target.as_ref())? {
                    return Ok(false);
                }
                place::apply(self.storage, name, target.as_ref(), consistent, None).map(|()| true)
            };
            Ok((name.clone(), repaired().map_err(|failure| place::trouble(self.storage, present, name, &failure))))
        };
        let (mut right, mut repaired) = (BTreeSet::new(), false);
        for (name, outcome) in each(names, self.storage.properties().parallelism, || Ok(()), check)? {
            match outcome {
                Ok(was_wrong) => {
                    repaired |= was_wrong;
                    right.insert(name);
                }
                Err(trouble) => drop(failed.insert(name, trouble)),
            }
        }
        Ok((right, repaired))
    }

    /// Brings `root.json` up to the newest root; whether it was written.
    fn follow_root(&mut self, marker: &Marker, next: &mut Marker, version: u64) -> bool {
        let is_old = || -> Result<bool> {
            let plain = self.storage.get(&ObjectName::plain_role(Role::Root), ROOT_LIMIT)?;
            let root = plain.and_then(|plain| Envelope::parse(&plain.bytes, "").and_then(|envelope| Root::parse(&envelope, "")).ok());
            Ok(root.is_none_or(|root| root.version() < version))
        };
        let follow = || -> Result<bool> {
            if marker.root == version && (!marker.watches_root(self.now) || !is_old()?) {
                return Ok(false);
            }
            copy_root(self.storage, version).map(|()| true)
        };
        match follow() {
            Ok(wrote) => {
                if marker.root != version && marker.root != 0 {
                    next.root_replaced = self.now.timestamp();
                }
                next.root = version;
                wrote
            }
            Err(failure) => {
                let remedy = "the next command that publishes tries again; so does `publish refresh`".to_owned();
                self.report(Trouble { subject: "root.json".into(), why: failure.message, remedy });
                false
            }
        }
    }
}

fn copy_root(storage: &dyn Storage, version: u64) -> Result<()> {
    let name = ObjectName::root(version);
    let root = storage
        .get(&name, ROOT_LIMIT)?
        .ok_or_else(|| Error::new(Kind::Untrusted, format!("{name} is missing from {}", storage.location())))?;
    storage.put(&ObjectName::plain_role(Role::Root), &root.bytes)
}
