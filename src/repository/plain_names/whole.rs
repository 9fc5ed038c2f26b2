//! All plain names at once: compared, made or removed; and what a look at them finds, for `status` and `verify`.

use super::changes;
use super::marker::{self, MOST_OPEN, Marker};
use super::place::{apply, is_exact, is_right, missing, trouble};
use super::{Follow, PlainNames, Trouble, still_kept, unreadable};
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::ObjectName;
use crate::repository::parallel::each;
use crate::repository::present::{Present, load};
use crate::repository::stage::digest_object;
use crate::storage::{Source, Storage, Stored};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a change of `plain_names` in the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainSwitch {
    /// Every target gets one.
    On,
    /// All are removed; with another server that reads the same directory, those that are copies of hashed names.
    Off,
}

/// What plain names are promised, as the repository states itself.
#[derive(Debug, Default)]
pub struct PlainState {
    /// Whether the repository states anything.
    pub known: bool,
    /// They are complete for this targets version; 0 for none.
    pub targets: u64,
    /// And for the bins of this snapshot.
    pub snapshot: u64,
    /// Targets for which an older write may have arrived.
    pub recent: Vec<String>,
    /// Targets whose plain names could not be written, and why.
    pub open: BTreeMap<String, String>,
    /// Why that cannot be read.
    pub unreadable: Option<String>,
}

/// Reads what is promised.
pub fn plain_state(source: &dyn Source) -> PlainState {
    let held = marker::read(source);
    let unreadable = held.unreadable.map(|failure| failure.message);
    let Marker { root, targets, snapshot, recent, open, .. } = held.marker;
    PlainState { known: root != 0, targets, snapshot, recent: recent.into_keys().collect(), open, unreadable }
}

/// Whether the configured plain names are others than those that are kept.
pub fn switch(source: &dyn Source, present: &Present, mode: PlainNames) -> Option<PlainSwitch> {
    let held = marker::read(source);
    let (targets, unknown) = (held.marker.targets, held.unreadable.is_some());
    match mode {
        PlainNames::All if targets == 0 && !present.targets.is_empty() => Some(PlainSwitch::On),
        PlainNames::None | PlainNames::Elsewhere if (targets != 0 || unknown) && present.trust.root().consistent_snapshot() => {
            Some(PlainSwitch::Off)
        }
        _ => None,
    }
}

/// Removes the plain names that were written here, and no file of a server that reads the same directory.
fn remove_ours(storage: &dyn Storage, marker: &Marker) -> Result<()> {
    let claimed = changes::claimed(storage, marker)?;
    let is_ours = |name: &String| claimed.as_ref().is_none_or(|claimed| claimed.contains(name)) || marker.recent.contains_key(name);
    let mut listing = storage.list("targets/")?;
    listing.retain(|stored| stored.name.target().is_some_and(|name| is_ours(&name)));
    remove_copies(storage, &listing, &[]).map(drop)
}

/// Whether plain names are kept complete. Those that other publishers keep are, until `refresh` has removed them.
pub(super) fn is_wanted(mode: PlainNames, marker: &Marker, consistent: bool) -> bool {
    match mode {
        PlainNames::All => true,
        PlainNames::None => marker.targets != 0 || !consistent,
        PlainNames::Elsewhere => false,
    }
}

/// Removes all plain names, for clients that do not read them. With `elsewhere`, another server may read the same directory:
/// only what has the same bytes as a hashed name beside it was written here, and is removed. The marker claims them until all are gone: a run that is killed
/// halfway, or that other publishers overtake, is completed by the next.
pub fn remove_all(storage: &dyn Storage, mode: PlainNames, pinned: &[u8], now: DateTime<Utc>) -> Result<Vec<Trouble>> {
    for _ in 0..super::ROUNDS {
        let held = marker::read(storage).or_empty(storage)?;
        let mut present = load(storage, pinned, now)?;
        present.read_all_bins(storage)?;
        if mode == PlainNames::Elsewhere {
            remove_ours(storage, &held.marker)?;
        }
        let targets = if mode == PlainNames::Elsewhere { Vec::new() } else { here(&present) };
        let remove = |(name, _): &(&str, Target), (): &mut ()| {
            Ok(apply(storage, name, None, true, None).err().map(|failure| trouble(storage, &present, name, &failure)))
        };
        let failed: Vec<Trouble> = each(&targets, storage.properties().parallelism, || Ok(()), remove)?.into_iter().flatten().collect();
        if !failed.is_empty() {
            return Ok(failed);
        }
        storage.sync()?;
        if held.replace(storage, &Marker { targets: 0, snapshot: 0, open: BTreeMap::new(), ..held.marker.clone() })? {
            return Ok(Vec::new());
        }
    }
    Err(Error::new(Kind::Conflict, "other publishers changed plain names meanwhile").hint("run the same command again"))
}

/// What a look at all plain names did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlainCheck {
    /// How many were missing or not what the targets state, and are right now.
    pub repaired: usize,
    /// How many belonged to no target, and are gone.
    pub removed: usize,
    /// Those that could not be put right.
    #[serde(skip)]
    pub troubles: Vec<Trouble>,
}

/// Compares all plain names with the published state, puts them right, and removes those of withdrawn targets.
pub fn check_all(storage: &dyn Storage, mode: PlainNames, present: &mut Present) -> Result<PlainCheck> {
    let consistent = present.trust.root().consistent_snapshot();
    if mode == PlainNames::Elsewhere {
        return Ok(PlainCheck::default());
    }
    if mode == PlainNames::None && consistent {
        // An earlier version forgot plain names when another server was to serve them.
        let removed = remove_copies(storage, &storage.list("targets/")?, &[])?;
        return Ok(PlainCheck { removed, ..PlainCheck::default() });
    }
    present.read_all_bins(storage)?;
    let present = &*present;
    let listing = storage.list("targets/")?;
    let lengths: HashMap<&str, u64> = listing.iter().map(|stored| (stored.name.as_str(), stored.length)).collect();
    let targets = here(present);
    let mut check = PlainCheck { removed: remove_copies(storage, &listing, &targets)?, ..PlainCheck::default() };
    let repair = |(name, target): &(&str, Target), (): &mut ()| {
        let repaired = || -> Result<bool> {
            let there = lengths.get(ObjectName::plain_target(name).as_str());
            if there == Some(&target.length) && is_exact(storage, name, target)? {
                return Ok(false);
            }
            apply(storage, name, Some(target), consistent, None)?;
            // Without hashed names there may be nothing to restore it from.
            if consistent || is_exact(storage, name, target)? { Ok(true) } else { Err(missing(storage, name, target)) }
        };
        Ok(repaired().map_err(|failure| trouble(storage, present, name, &failure)))
    };
    let mut right = BTreeSet::new();
    for ((name, _), outcome) in targets.iter().zip(each(&targets, storage.properties().parallelism, || Ok(()), repair)?) {
        match outcome {
            Ok(repaired) => {
                check.repaired += usize::from(repaired);
                right.insert(*name);
            }
            Err(trouble) => check.troubles.push(trouble),
        }
    }
    remember(storage, &right, &check.troubles)?;
    Ok(check)
}

/// The targets whose content is here; an entry that cannot be read is no client's.
fn here(present: &Present) -> Vec<(&str, Target)> {
    let target = |(name, entry)| Target::parse(entry, name).ok().filter(|target| !target.elsewhere).map(|target| (name, target));
    present.entries().filter_map(target).collect()
}

/// Removes files that are plain names of none of `targets`: the same content lies beside them under a hashed name. Files
/// without such a copy were not written here, and stay.
fn remove_copies(storage: &dyn Storage, listing: &[Stored], targets: &[(&str, Target)]) -> Result<usize> {
    let named: BTreeSet<&str> = targets.iter().map(|(name, _)| *name).collect();
    let mut hashed: HashMap<String, Vec<&Stored>> = HashMap::new();
    for stored in listing.iter().filter(|stored| stored.name.is_hashed_target()) {
        stored.name.target().into_iter().for_each(|name| hashed.entry(name).or_default().push(stored));
    }
    let is_copy = |stored: &&Stored, (): &mut ()| -> Result<bool> {
        let Some(name) = stored.name.target().filter(|name| !named.contains(name.as_str())) else { return Ok(false) };
        let beside = hashed.get(&name).map_or(&[][..], Vec::as_slice);
        if !beside.iter().any(|hashed| hashed.length == stored.length) {
            return Ok(false);
        }
        let Some(Digests { sha256, sha512, .. }) = digest_object(storage, &stored.name)? else { return Ok(false) };
        let hashes = [Some(hex::encode(sha256)), sha512.map(hex::encode)];
        let names = hashes.into_iter().flatten().map(|hash| ObjectName::hashed_target(&name, &hash));
        let copies = names.filter(|name| beside.iter().any(|hashed| hashed.name == *name)).count();
        if copies > 0 {
            storage.delete(&stored.name)?;
        }
        Ok(copies > 0)
    };
    let plain: Vec<&Stored> = listing.iter().filter(|stored| !stored.name.is_hashed_target()).collect();
    Ok(each(&plain, storage.properties().parallelism, || Ok(()), is_copy)?.into_iter().filter(|removed| *removed).count())
}

/// Notes in the marker which names are right now, and which could not be put right.
fn remember(storage: &dyn Storage, right: &BTreeSet<&str>, troubles: &[Trouble]) -> Result<()> {
    for _ in 0..super::ROUNDS {
        let held = marker::read(storage);
        if held.unreadable.is_some() {
            return Ok(());
        }
        let mut next = held.marker.clone();
        next.open.retain(|name, _| !right.contains(name.as_str()));
        next.open.extend(troubles.iter().take(MOST_OPEN).map(|trouble| (trouble.subject.clone(), trouble.why.clone())));
        if next == held.marker || held.replace(storage, &next)? {
            return Ok(());
        }
    }
    Ok(())
}

/// What a look at the plain names that changed lately finds; nothing is written.
pub fn stale(storage: &dyn Storage, mode: PlainNames, present: &mut Present, now: DateTime<Utc>) -> Result<Vec<Trouble>> {
    let held = marker::read(storage);
    if let Some(failure) = &held.unreadable {
        return Ok(vec![unreadable(failure)]);
    }
    let marker = held.marker;
    let versions = present.versions();
    let consistent = present.trust.root().consistent_snapshot();
    let wanted = is_wanted(mode, &marker, consistent);
    let kept = marker.targets != 0 && mode != PlainNames::All && consistent;
    let mut troubles: Vec<Trouble> = kept.then(|| still_kept(mode)).into_iter().collect();
    if mode == PlainNames::Elsewhere {
        return Ok(troubles);
    }
    let mut report = |subject: &str, why: &str, remedy: &str| {
        troubles.push(Trouble { subject: subject.into(), why: why.into(), remedy: remedy.into() });
    };
    let behind = marker.targets != versions.targets || (present.bins.is_some() && marker.snapshot != versions.snapshot);
    if wanted && behind {
        let why = "the last publisher was stopped before it had written all of them, or failed";
        report("changed targets", why, "`publish refresh` completes them");
    }
    if marker.root != versions.root {
        report("root.json", "a newer root is published", "`publish refresh` copies it");
    }
    let follow = Follow { storage, pinned: &[], mode, now, ours: BTreeSet::new(), troubles: BTreeMap::new() };
    let names = follow.to_check(present, &marker, &BTreeMap::new())?;
    let present = &*present;
    let look = |name: &String, (): &mut ()| {
        let target = present.target(name)?.filter(|_| wanted);
        if is_right(storage, name, target.as_ref())? {
            return Ok(None);
        }
        if marker.open.contains_key(name) {
            let why = Error::new(Kind::Storage, marker.open[name].clone());
            return Ok(Some(trouble(storage, present, name, &why)));
        }
        let why = match target {
            None => "it is there, and the target is not published any more",
            Some(_) => "it does not hold the published content: an older write arrived late",
        };
        Ok(Some(Trouble { subject: name.clone(), why: why.into(), remedy: "`publish refresh` puts it right".into() }))
    };
    troubles.extend(each(&names, storage.properties().parallelism, || Ok(()), look)?.into_iter().flatten());
    Ok(troubles)
}
