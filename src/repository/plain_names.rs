//! Plain names beside the hashed ones, for curl, installers and `gpg --verify`. They follow the commit: a marker says for
//! which targets they are complete, and whoever finds it behind brings them up to date.

use super::edit::{self, same};
use super::parallel::each;
use super::present::{Present, load};
use crate::failure::{Failure, Kind, Result};
use crate::layout::ObjectName;
use crate::metadata::{DelegatedRole, Delegations, Envelope, Listing, ROLE_LIMIT, Role, TIMESTAMP_LIMIT, Target, Targets};
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
    /// None: all readers are TUF clients.
    None,
    /// Another server serves all content; here is metadata only.
    Elsewhere,
}

/// The content of `plain.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Marker {
    /// `root.json` is this version, or a newer one.
    root: u64,
    /// Plain names are those of this targets version; 0 where there are none.
    targets: u64,
    /// And of the bins that this snapshot lists; 0 where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    snapshot: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

const MARKER_LIMIT: u64 = 4096;

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

/// Brings plain names and `root.json` up to the published state.
pub fn catch_up(
    storage: &dyn Storage,
    pinned: &[u8],
    mode: PlainNames,
    present: &mut Present,
    at_hand: AtHand<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut marker = read(storage)?;
    let mut newer: Option<Present> = None;
    loop {
        let present = newer.as_mut().unwrap_or(&mut *present);
        let versions = present.versions();
        let wanted = match mode {
            PlainNames::All => true,
            PlainNames::None => !present.trust.root().consistent_snapshot(),
            PlainNames::Elsewhere => false,
        };
        let done = Marker {
            root: versions.root,
            targets: if wanted { versions.targets } else { 0 },
            snapshot: if wanted && present.bins.is_some() { versions.snapshot } else { 0 },
        };
        if marker == done {
            return Ok(());
        }
        if marker.root != done.root {
            copy_root(storage, done.root)?;
        }
        if wanted && (marker.targets, marker.snapshot) != (done.targets, done.snapshot) {
            copy_difference(storage, &marker, at_hand, present)?;
        }
        storage.barrier()?;
        storage.put(
            &ObjectName::plain_marker(),
            &serde_json::to_vec(&done).map_err(|error| Failure::new(Kind::Unexpected, error.to_string()))?,
        )?;
        marker = done;
        // Somebody may have committed while we copied, and seen our marker before theirs.
        let timestamp = storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?;
        if timestamp.is_some_and(|timestamp| timestamp.bytes == present.timestamp_file) {
            return Ok(());
        }
        newer = Some(load(storage, pinned, now)?);
    }
}

fn read(storage: &dyn Storage) -> Result<Marker> {
    let object = storage.get(&ObjectName::plain_marker(), MARKER_LIMIT)?;
    // A marker that cannot be read is as good as none: everything is copied again.
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()).unwrap_or(Marker { root: 0, targets: 0, snapshot: 0 }))
}

fn copy_root(storage: &dyn Storage, version: u64) -> Result<()> {
    let name = ObjectName::versioned("root", version);
    let root = storage
        .get(&name, crate::metadata::ROOT_LIMIT)?
        .ok_or_else(|| Failure::new(Kind::Untrusted, format!("{name} is missing from {}", storage.location())))?;
    storage.put(&ObjectName::plain_role("root"), &root.bytes)
}

fn copy_difference(storage: &dyn Storage, marker: &Marker, at_hand: AtHand<'_>, present: &mut Present) -> Result<()> {
    let read;
    let before = match at_hand.before.filter(|held| held.version() == marker.targets) {
        Some(held) => held,
        None => {
            read = in_place(storage, "targets", marker.targets)?;
            &read
        }
    };
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    collect(&mut changes, before, &present.targets)?;
    let bins_before = bins_in_place(storage, marker)?;
    read_changed_bins(storage, &bins_before, present)?;
    if let Some(bins) = &present.bins {
        let mut gone: BTreeMap<&String, u64> = bins_before.iter().map(|(name, version)| (name, *version)).collect();
        for (bin, name) in bins.names().iter().enumerate() {
            let listed = gone.remove(name).unwrap_or(0);
            if listed != present.trust.listed(&format!("{name}.json"))?.version {
                collect(&mut changes, &in_place(storage, name, listed)?, bins.get(bin)?)?;
            }
        }
        for (name, version) in gone {
            collect(&mut changes, &in_place(storage, name, version)?, &Targets::empty())?;
        }
    }
    let consistent = present.trust.root().consistent_snapshot();
    let contents = at_hand.contents();
    let changed: Vec<(&String, &Option<Target>)> =
        changes.iter().filter(|(_, change)| !same(&change.before, &change.after)).map(|(name, change)| (name, &change.after)).collect();
    let place = |(name, target): &(&String, &Option<Target>), (): &mut ()| {
        let held = target.as_ref().zip(contents.get(name.as_str())).filter(|(target, (held, _))| target.hashes == held.hashes);
        apply(storage, name, target.as_ref(), consistent, held.map(|(_, (_, content))| *content))
    };
    each(&changed, storage.parallelism(), || Ok(()), place).map(drop)
}

/// What was in place is our own file of an earlier commit; without it, everything is copied again.
fn in_place(storage: &dyn Storage, role: &str, version: u64) -> Result<Targets> {
    let file = if version == 0 { None } else { storage.get(&ObjectName::versioned(role, version), ROLE_LIMIT)? };
    Ok(file.and_then(|object| Targets::parse(object.bytes, "").ok()).unwrap_or_else(Targets::empty))
}

/// The bins with their versions whose plain names are in place.
fn bins_in_place(storage: &dyn Storage, marker: &Marker) -> Result<BTreeMap<String, u64>> {
    if marker.snapshot == 0 {
        return Ok(BTreeMap::new());
    }
    let file = storage.get(&ObjectName::versioned("snapshot", marker.snapshot), ROLE_LIMIT)?.map(|object| object.bytes).unwrap_or_default();
    let listing = Envelope::parse(&file, "").and_then(|envelope| Listing::parse(&envelope, Role::Snapshot, ""));
    let Ok(listing) = listing else { return Ok(BTreeMap::new()) };
    let bins = listing.get("bins.json").map_or(Ok(Targets::empty()), |listed| in_place(storage, "bins", listed.version))?;
    let Some(json) = bins.field("delegations") else { return Ok(BTreeMap::new()) };
    let version = |role: DelegatedRole| listing.get(&format!("{}.json", role.name)).map(|listed| (role.name, listed.version));
    Ok(Delegations::parse(json, "bins.json")?.roles.into_iter().filter_map(version).collect())
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

/// What a name was and is; one that moves from one role to another is both gone and new.
#[derive(Default)]
struct Change {
    before: Option<Target>,
    after: Option<Target>,
}

fn collect(changes: &mut BTreeMap<String, Change>, before: &Targets, after: &Targets) -> Result<()> {
    for (name, old, new) in difference(before, after)? {
        let change = changes.entry(name.to_owned()).or_default();
        change.before = change.before.take().or(old);
        change.after = change.after.take().or(new);
    }
    Ok(())
}

/// A name whose entries differ, with the target before and after.
pub(super) type Difference<'a> = (&'a str, Option<Target>, Option<Target>);

/// All names whose entries differ.
pub(super) fn difference<'a>(before: &'a Targets, after: &'a Targets) -> Result<Vec<Difference<'a>>> {
    let mut different = Vec::new();
    let mut old = before.iter().peekable();
    // Entries that were there before are read leniently: a broken one is as good as none.
    let parse_old = |name, entry| Target::parse(entry, name).ok();
    for (name, entry) in after.iter() {
        while let Some((gone, entry)) = old.next_if(|(other, _)| *other < name) {
            different.push((gone, parse_old(gone, entry), None));
        }
        let known = old.next_if(|(other, _)| *other == name);
        // Entries are compared as text: parsing 100 000 of them to find ten is what takes the time.
        if known.is_none_or(|(_, known)| known != entry) {
            different.push((name, known.and_then(|(_, known)| parse_old(name, known)), Some(Target::parse(entry, name)?)));
        }
    }
    different.extend(old.map(|(gone, entry)| (gone, parse_old(gone, entry), None)));
    Ok(different)
}

/// Makes one plain name what the target says. Without consistent snapshots this happens before the commit, and the
/// hashed name goes afterwards: plain names are all that such a repository has.
pub(super) fn apply(storage: &dyn Storage, name: &str, target: Option<&Target>, consistent: bool, content: Option<&[u8]>) -> Result<()> {
    let plain = ObjectName::plain_target(name);
    let Some(target) = target.filter(|target| !target.elsewhere) else { return storage.delete(&plain) };
    for hash in target.hashes.prefixes() {
        let hashed = ObjectName::hashed_target(name, &hash);
        match storage.copy(&hashed, &plain, content) {
            Ok(()) if consistent => return Ok(()),
            Ok(()) => return storage.delete(&hashed),
            Err(failure) if failure.kind == Kind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    if !consistent && storage.stat(&plain)?.is_some_and(|stored| stored.length == target.length) {
        return Ok(());
    }
    Err(Failure::new(Kind::Untrusted, format!("the content of target {name} is missing from {}", storage.location()))
        .detail(format!("{}", target.hashes))
        .hint("restore the file from a backup or a mirror; `publish verify` lists everything that is missing"))
}
