//! What a repository no longer needs. A reader may hold any timestamp that was current within the grace, so everything
//! that such a timestamp leads to stays; so does everything that a publisher may just be staging.
//!
//! When a snapshot was current is not written down anywhere: orphans of dead publishers look like committed ones. But
//! none is accepted by clients after it expires, and none below the present one is current after that was created:
//! the earlier of the two is an upper bound, and the bound is what counts here.

use super::Present;
use super::parallel::each;
use crate::failure::Result;
use crate::layout::ObjectName;
use crate::metadata::{Envelope, Listing, ROLE_LIMIT, Role, Target, Targets};
use crate::storage::{Storage, Stored};
use chrono::{DateTime, Utc};
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

/// Finds what neither the present metadata nor any that was superseded within `grace` leads to.
pub fn garbage(storage: &dyn Storage, present: &Present, grace: Duration, now: DateTime<Utc>) -> Result<Garbage> {
    let listing = storage.list("")?;
    let cutoff = SystemTime::from(now).checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
    let versions = present.versions();
    let numbered = Numbered::sort(&listing);
    let mut needed = Needed::default();
    needed.targets(&present.targets)?;
    let mut wanted_targets: BTreeSet<u64> = BTreeSet::new();
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
        let listed = read.and_then(|listing| listing.get("targets.json").map(|listed| listed.version));
        Ok((current || stored.modified > cutoff).then(|| (stored.name.clone(), listed)))
    };
    for (name, listed) in each(&snapshots, storage.parallelism(), || Ok(()), read_snapshot)?.into_iter().flatten() {
        needed.names.insert(name);
        wanted_targets.extend(listed);
    }
    for (version, stored) in &numbered.targets {
        if *version < versions.targets && stored.modified <= cutoff && !wanted_targets.contains(version) {
            continue;
        }
        needed.names.insert(stored.name.clone());
        // One at a time: these can be large.
        if let Some(object) = storage.get(&stored.name, ROLE_LIMIT)?
            && let Ok(targets) = Targets::parse(object.bytes, "")
        {
            needed.hashed(&targets)?;
        }
    }
    for stored in listing.iter().filter(|stored| is_delegated(&stored.name)) {
        // Roles that somebody else made: all of them count, whatever their age.
        needed.names.insert(stored.name.clone());
        if let Some(object) = storage.get(&stored.name, ROLE_LIMIT)?
            && let Ok(targets) = Targets::parse(object.bytes, "")
        {
            needed.targets(&targets)?;
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
    Ok(garbage)
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
        Some(("root", _)) => Judgement::Keep,
        Some(("targets" | "snapshot", _)) => Judgement::Drop,
        _ if ["root.json", "targets.json", "snapshot.json", "timestamp.json", "plain.json"].contains(&text) => Judgement::Keep,
        _ => Judgement::Strange,
    }
}

/// Whether this may be the file of a delegated role.
fn is_delegated(name: &ObjectName) -> bool {
    let role = name.numbered().map(|(role, _)| role).or_else(|| name.as_str().strip_suffix(".json").filter(|name| !name.contains('/')));
    role.is_some_and(|role| !["root", "targets", "snapshot", "timestamp", "plain"].contains(&role))
}

/// The numbered files of two roles.
#[derive(Default)]
struct Numbered<'l> {
    targets: BTreeMap<u64, &'l Stored>,
    snapshots: BTreeMap<u64, &'l Stored>,
}

impl<'l> Numbered<'l> {
    fn sort(listing: &'l [Stored]) -> Self {
        let mut numbered = Self::default();
        for stored in listing {
            match stored.name.numbered() {
                Some(("targets", version)) => drop(numbered.targets.insert(version, stored)),
                Some(("snapshot", version)) => drop(numbered.snapshots.insert(version, stored)),
                _ => {}
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
    fn hashed(&mut self, targets: &Targets) -> Result<()> {
        for (name, entry) in targets.iter() {
            let target = Target::parse(entry, name)?;
            self.names.extend(target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash)));
        }
        Ok(())
    }

    fn targets(&mut self, targets: &Targets) -> Result<()> {
        self.hashed(targets)?;
        self.names.extend(targets.iter().map(|(name, _)| ObjectName::plain_target(name)));
        Ok(())
    }
}
