//! What a repository no longer needs. A client may have any timestamp that was current within the grace, so everything
//! that such a timestamp leads to stays; so does everything that a publisher may just be staging.
//!
//! When a snapshot was current is not recorded: orphans of killed publishers look like committed ones. But
//! none is accepted by clients after it expires, and none below the present one is current after that was created:
//! the earlier of the two is an upper bound, and the bound is what counts here.

use super::Present;
use super::bins::BINS;
use super::parallel::each;
use crate::error::Result;
use crate::metadata::{Delegations, Envelope, Listing, ROLE_LIMIT, Role, Target, Targets};
use crate::names::{ObjectName, RoleName};
use crate::policy::names;
use crate::storage::{Storage, Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// The shortest grace: publishers rely on finding what they staged less than half of this ago.
pub const LEAST_GRACE: Duration = Duration::from_secs(24 * 3600);
/// A commit takes its numbers this long before its swap at most.
const LONGEST_COMMIT: Duration = Duration::from_secs(24 * 3600);

/// What can be deleted.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Objects that nothing within the grace leads to, sorted by name.
    pub objects: Vec<Stored>,
    /// Objects that are not ours to judge: names that no repository has.
    pub strange: Vec<Stored>,
    /// Objects that stay.
    pub kept: usize,
}

/// Finds what neither the present metadata nor any that was superseded after `cutoff`, by the store's clock, leads to.
pub fn garbage(storage: &dyn Storage, present: &mut Present, cutoff: SystemTime) -> Result<Garbage> {
    present.read_all_bins(storage)?;
    let present = &*present;
    let listing = storage.list("")?;
    let versions = present.versions();
    let numbered = Numbered::sort(&listing);
    let mut needed = Needed::default();
    for (name, entry) in present.entries() {
        needed.target(name, &Target::parse(entry, name)?, true);
    }
    // What snapshots list, and what those before the present one list.
    let (mut wanted, mut wanted_before): (BTreeSet<ObjectName>, BTreeSet<ObjectName>) = Default::default();
    let present_snapshot = numbered.snapshots.get(&versions.snapshot).map(|stored| stored.modified);
    let snapshots: Vec<(&u64, &&Stored)> = numbered.snapshots.iter().collect();
    let read_snapshot = |(version, stored): &(&u64, &&Stored), (): &mut ()| {
        let superseded = present_snapshot.filter(|_| **version < versions.snapshot).map(|created| created + LONGEST_COMMIT);
        let file = storage.get(&stored.name, ROLE_LIMIT)?.map(|object| object.bytes).unwrap_or_default();
        // A file that cannot be read was never current: its own age decides.
        let read = Envelope::parse(&file, "snapshot").and_then(|envelope| Listing::parse(&envelope, Role::Snapshot, "snapshot")).ok();
        let expires = read.as_ref().map(|listing| SystemTime::from(listing.expires()));
        let last_use = [superseded, expires].into_iter().flatten().min();
        let current = **version >= versions.snapshot || last_use.is_none_or(|last| last > cutoff) && read.is_some();
        let files = read.map(|listing| listing.files().clone()).unwrap_or_default();
        let listed = files.iter().filter_map(|(file, listed)| Some(ObjectName::versioned(file.strip_suffix(".json")?, listed.version)));
        Ok((current || stored.modified > cutoff).then(|| (**version, stored.name.clone(), listed.collect::<Vec<_>>())))
    };
    for (version, name, listed) in each(&snapshots, storage.properties().parallelism, || Ok(()), read_snapshot)?.into_iter().flatten() {
        needed.names.insert(name);
        if version != versions.snapshot {
            wanted_before.extend(listed.iter().cloned());
        }
        wanted.extend(listed);
    }
    let is_needed = |role: &RoleName, version: u64, stored: &Stored| {
        // A role that no snapshot of ours lists yet may belong to a running publisher.
        let listed = present.trust.listed(&format!("{role}.json")).map_or(0, |listed| listed.version);
        version >= listed || stored.modified > cutoff || wanted.contains(&stored.name)
    };
    let roles: Vec<&Stored> =
        numbered.roles.iter().filter(|(role, version, stored)| is_needed(role, *version, stored)).map(|(_, _, stored)| *stored).collect();
    let plain: Vec<&Stored> = listing.iter().filter(|stored| is_plain_delegated(&stored.name)).collect();
    for stored in roles.into_iter().chain(plain) {
        needed.names.insert(stored.name.clone());
        let left_over = stored.name.numbered().is_some_and(|(role, _)| is_left_over(present, &role));
        if left_over && stored.modified <= cutoff && !wanted_before.contains(&stored.name) {
            continue;
        }
        // One at a time: these can be large.
        if let Some(object) = storage.get(&stored.name, ROLE_LIMIT)?
            && let Ok(targets) = Targets::parse(object.bytes, "")
        {
            for (name, entry) in targets.iter() {
                // Roles that another process made may list plain names that we do not know of.
                needed.target(name, &Target::parse(entry, name)?, stored.name.numbered().is_none_or(|(role, _)| !is_ours(present, &role)));
            }
        }
    }
    let mut garbage = Garbage::default();
    for stored in listing {
        match judge(&stored.name, &needed) {
            Judgement::Keep => garbage.kept += 1,
            Judgement::Strange => garbage.strange.push(stored),
            Judgement::Drop if stored.modified <= cutoff => garbage.objects.push(stored),
            Judgement::Drop => garbage.kept += 1,
        }
    }
    garbage.spare_other_forms(&needed);
    Ok(garbage)
}

impl Garbage {
    /// Takes out what a file system without case holds under one name with an object that is needed.
    fn spare_other_forms(&mut self, needed: &Needed) {
        let fold = |name: &ObjectName| name.as_str().split('/').map(names::fold).collect::<Vec<_>>().join("/");
        let dropped: BTreeSet<String> = self.objects.iter().map(|stored| fold(&stored.name)).collect();
        if dropped.is_empty() {
            return;
        }
        let spared: BTreeSet<String> = needed.names.iter().map(fold).filter(|name| dropped.contains(name)).collect();
        let before = self.objects.len();
        self.objects.retain(|stored| !spared.contains(&fold(&stored.name)));
        self.kept += before - self.objects.len();
    }
}

enum Judgement {
    Keep,
    Drop,
    Strange,
}

fn judge(name: &ObjectName, needed: &Needed) -> Judgement {
    if needed.names.contains(name) {
        return Judgement::Keep;
    }
    let text = name.as_str();
    if text.starts_with("targets/") || name.is_probe() {
        return Judgement::Drop;
    }
    match name.numbered() {
        Some((RoleName::Top(Role::Root), _)) => Judgement::Keep,
        Some((RoleName::Top(Role::Timestamp), _)) => Judgement::Strange,
        Some(_) => Judgement::Drop,
        None if *name == ObjectName::plain_marker() || Role::ALL.into_iter().any(|role| *name == ObjectName::plain_role(role)) => {
            Judgement::Keep
        }
        None => Judgement::Strange,
    }
}

/// Whether this may be the file of a delegated role in a repository without consistent snapshots.
fn is_plain_delegated(name: &ObjectName) -> bool {
    let role = name.as_str().strip_suffix(".json").filter(|name| !name.contains('/') && name_is_unnumbered(name));
    *name != ObjectName::plain_marker() && role.is_some_and(|role| !matches!(RoleName::of(role), RoleName::Top(_)))
}

fn name_is_unnumbered(name: &str) -> bool {
    name.split_once('.').is_none_or(|(number, _)| number.parse::<u64>().is_err())
}

/// Whether a role is one whose plain names are all known from the present state.
fn is_ours(present: &Present, role: &RoleName) -> bool {
    *role == Role::Targets || present.bins.as_ref().is_some_and(|bins| bins.names().iter().any(|name| name == role.as_str()))
}

/// Whether a role is a bin that nothing is delegated to any more: it stays in the snapshot, and no client reads it.
fn is_left_over(present: &Present, role: &RoleName) -> bool {
    let json = present.targets.field("delegations").unwrap_or("{}");
    let only_bins = Delegations::parse(json, "targets.json").is_ok_and(|top| top.roles.iter().all(|role| role.name == BINS));
    present.bins.is_some() && only_bins && *role != RoleName::Bins && !is_ours(present, role)
}

/// The numbered files of snapshots, and of targets roles by name and version.
#[derive(Default)]
struct Numbered<'l> {
    snapshots: BTreeMap<u64, &'l Stored>,
    roles: Vec<(RoleName, u64, &'l Stored)>,
}

impl<'l> Numbered<'l> {
    fn sort(listing: &'l [Stored]) -> Self {
        let mut numbered = Self::default();
        for stored in listing {
            match stored.name.numbered() {
                Some((RoleName::Top(Role::Root | Role::Timestamp), _)) | None => {}
                Some((RoleName::Top(Role::Snapshot), version)) => drop(numbered.snapshots.insert(version, stored)),
                Some((role, version)) => numbered.roles.push((role, version, stored)),
            }
        }
        numbered
    }
}

/// Names that something within the grace leads to.
#[derive(Default)]
struct Needed {
    names: BTreeSet<ObjectName>,
}

impl Needed {
    fn target(&mut self, name: &str, target: &Target, plain: bool) {
        self.names.extend(target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash)));
        if plain {
            self.names.insert(ObjectName::plain_target(name));
        }
    }
}
