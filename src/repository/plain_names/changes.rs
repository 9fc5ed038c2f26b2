//! What differs between the targets whose plain names are in place and those that are published.

use super::AtHand;
use super::marker::Marker;
use crate::error::Result;
use crate::metadata::{DelegatedRole, Delegations, Envelope, Listing, ROLE_LIMIT, Role, Target, Targets};
use crate::names::ObjectName;
use crate::repository::edit::same;
use crate::repository::present::Present;
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};

/// Versions between two states that are read at most, to find the names that their publishers may still be writing.
const MOST_BETWEEN: u64 = 16;

/// What a name was and is; one that moves from one role to another is both gone and new.
#[derive(Default)]
pub(super) struct Change {
    pub before: Option<Target>,
    pub after: Option<Target>,
    /// Its content was another one in between, or before: a publisher may still be writing that.
    pub replaced: bool,
}

impl Change {
    /// Whether the plain name must be written or removed.
    pub(super) fn is_due(&self) -> bool {
        !same(&self.before, &self.after)
    }
}

/// All names that have changed since the state that the marker names. Versions between are read as well: a publisher that
/// committed one of them may still be writing its names.
pub(super) fn since(
    storage: &dyn Storage,
    marker: &Marker,
    at_hand: AtHand<'_>,
    present: &mut Present,
) -> Result<BTreeMap<String, Change>> {
    let read;
    let before = match at_hand.before.filter(|held| held.version() == marker.targets) {
        Some(held) => held,
        None => {
            read = in_place(storage, "targets", marker.targets)?;
            &read
        }
    };
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    collect(&mut changes, before, &present.targets);
    between(storage, &mut changes, "targets", before, present.targets.version())?;
    let bins_before = bins_in_place(storage, marker)?;
    read_changed_bins(storage, &bins_before, present)?;
    if let Some(bins) = &present.bins {
        let mut gone: BTreeMap<&String, u64> = bins_before.iter().map(|(name, version)| (name, *version)).collect();
        for (bin, name) in bins.names().iter().enumerate() {
            let listed = gone.remove(name).unwrap_or(0);
            if listed != present.trust.listed(&format!("{name}.json"))?.version {
                let (old, new) = (in_place(storage, name, listed)?, bins.get(bin)?);
                collect(&mut changes, &old, new);
                between(storage, &mut changes, name, &old, new.version())?;
            }
        }
        for (name, version) in gone {
            collect(&mut changes, &in_place(storage, name, version)?, &Targets::empty());
        }
    }
    Ok(changes)
}

/// What was in place is our own file of an earlier commit; without it, everything is written again.
fn in_place(storage: &dyn Storage, role: &str, version: u64) -> Result<Targets> {
    let file = if version == 0 { None } else { storage.get(&ObjectName::versioned(role, version), ROLE_LIMIT)? };
    Ok(file.and_then(|object| Targets::parse(object.bytes, "").ok()).unwrap_or_else(Targets::empty))
}

/// The bins with their versions whose plain names are in place.
fn bins_in_place(storage: &dyn Storage, marker: &Marker) -> Result<BTreeMap<String, u64>> {
    if marker.snapshot == 0 {
        return Ok(BTreeMap::new());
    }
    let file =
        storage.get(&ObjectName::versioned(Role::Snapshot, marker.snapshot), ROLE_LIMIT)?.map(|object| object.bytes).unwrap_or_default();
    let listing = Envelope::parse(&file, "").and_then(|envelope| Listing::parse(&envelope, Role::Snapshot, ""));
    let Ok(listing) = listing else { return Ok(BTreeMap::new()) };
    let bins = listing.get("bins.json").map_or(Ok(Targets::empty()), |listed| in_place(storage, "bins", listed.version))?;
    let Some(json) = bins.field("delegations") else { return Ok(BTreeMap::new()) };
    let version = |role: DelegatedRole| listing.get(&format!("{}.json", role.name)).map(|listed| (role.name, listed.version));
    Ok(Delegations::parse(json, "bins.json")?.roles.into_iter().filter_map(version).collect())
}

/// The targets whose plain names are in place; `None` where that state is not there any more.
pub(super) fn claimed(storage: &dyn Storage, marker: &Marker) -> Result<Option<BTreeSet<String>>> {
    let targets = in_place(storage, "targets", marker.targets)?;
    if marker.targets == 0 || targets.version() != marker.targets {
        return Ok(None);
    }
    let mut names: BTreeSet<String> = targets.names().map(str::to_owned).collect();
    for (bin, version) in bins_in_place(storage, marker)? {
        names.extend(in_place(storage, &bin, version)?.names().map(str::to_owned));
    }
    Ok(Some(names))
}

/// Reads the bins that are not those in place.
fn read_changed_bins(storage: &dyn Storage, before: &BTreeMap<String, u64>, present: &mut Present) -> Result<()> {
    let Some(bins) = &present.bins else { return Ok(()) };
    let mut changed = BTreeSet::new();
    for (bin, name) in bins.names().iter().enumerate() {
        if before.get(name) != Some(&present.trust.listed(&format!("{name}.json"))?.version) {
            changed.insert(bin);
        }
    }
    present.read_bins(storage, changed)
}

/// Whether the content is here. What lies at the plain name of another target is not ours: the server that has its content may
/// read the same directory.
fn is_here(target: &Target) -> bool {
    !target.elsewhere
}

fn collect(changes: &mut BTreeMap<String, Change>, before: &Targets, after: &Targets) {
    for (name, old, new) in readable_difference(before, after) {
        let (old, new) = (old.filter(is_here), new.filter(is_here));
        if old.is_none() && new.is_none() {
            continue;
        }
        let change = changes.entry(name.to_owned()).or_default();
        change.replaced |= old.is_some();
        change.before = change.before.take().or(old);
        change.after = change.after.take().or(new);
    }
}

/// Notes the names of versions between `before` and the present one. Not all of these were published; what they list is only
/// taken as a reason to look at a name again.
fn between(storage: &dyn Storage, changes: &mut BTreeMap<String, Change>, role: &str, before: &Targets, now: u64) -> Result<()> {
    if before.version() == 0 || before.version() + 1 >= now {
        return Ok(());
    }
    let mut last = before.clone();
    for version in (before.version() + 1).max(now.saturating_sub(MOST_BETWEEN))..now {
        let next = in_place(storage, role, version)?;
        if next.version() != version {
            continue;
        }
        for (name, old, new) in readable_difference(&last, &next) {
            if !old.iter().chain(&new).any(is_here) {
                continue;
            }
            if changes.get(name).is_none() {
                // Back to what it was: nothing is due, but a write may be under way.
                let same = before.get(name).ok().flatten().filter(is_here);
                changes.insert(name.to_owned(), Change { before: same.clone(), after: same, replaced: true });
            } else if let Some(change) = changes.get_mut(name) {
                change.replaced = true;
            }
        }
        last = next;
    }
    Ok(())
}

/// A name whose entries differ, with the target before and after.
pub(in crate::repository) type Difference<'a> = (&'a str, Option<Target>, Option<Target>);

/// All names whose entries differ.
pub(in crate::repository) fn difference<'a>(before: &'a Targets, after: &'a Targets) -> Result<Vec<Difference<'a>>> {
    let parse = |(name, old, new): (&'a str, Option<&'a str>, Option<&'a str>)| {
        // Entries that were there before are read leniently: a broken one is as good as none.
        let old = old.and_then(|entry| Target::parse(entry, name).ok());
        Ok((name, old, new.map(|entry| Target::parse(entry, name)).transpose()?))
    };
    different_entries(before, after).into_iter().map(parse).collect()
}

/// The same without the entries that cannot be read: clients do not fetch those, and one must not hold up the others.
fn readable_difference<'a>(before: &'a Targets, after: &'a Targets) -> Vec<Difference<'a>> {
    let parse = |(name, old, new): (&'a str, Option<&'a str>, Option<&'a str>)| {
        let old = old.and_then(|entry| Target::parse(entry, name).ok());
        match new {
            None => Some((name, old, None)),
            Some(entry) => Some((name, old, Some(Target::parse(entry, name).ok()?))),
        }
    };
    different_entries(before, after).into_iter().filter_map(parse).collect()
}

/// Entries are compared as text: parsing 100 000 of them to find ten is what takes the time.
fn different_entries<'a>(before: &'a Targets, after: &'a Targets) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let mut different = Vec::new();
    let mut old = before.iter().peekable();
    for (name, entry) in after.iter() {
        while let Some((gone, entry)) = old.next_if(|(other, _)| *other < name) {
            different.push((gone, Some(entry), None));
        }
        let known = old.next_if(|(other, _)| *other == name).map(|(_, known)| known);
        if known != Some(entry) {
            different.push((name, known, Some(entry)));
        }
    }
    different.extend(old.map(|(gone, entry)| (gone, Some(entry), None)));
    different
}
