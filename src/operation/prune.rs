//! `publish prune`: deletes objects that neither the current metadata nor metadata superseded within the grace refers to.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::metadata::TIMESTAMP_LIMIT;
use crate::names::ObjectName;
use crate::repository::{Garbage, LEAST_GRACE, each, garbage};
use crate::storage::Stored;
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// What a prune will do.
#[derive(Debug, Serialize)]
pub struct PrunePlan {
    /// Objects that go, sorted by name.
    pub objects: Vec<String>,
    /// Their bytes in all.
    pub bytes: u64,
    /// How many objects stay.
    pub kept: usize,
    /// Objects that do not belong to a repository: never touched.
    pub strange: Vec<String>,
    /// Whether there is nothing to do.
    pub empty: bool,
    #[serde(skip)]
    found: Vec<Stored>,
    /// What was written later stays, by the store's clock.
    #[serde(skip)]
    cutoff: SystemTime,
}

/// What a prune did.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    /// How many objects were deleted.
    pub deleted: usize,
    /// How many were there no more, or were written anew meanwhile.
    pub skipped: usize,
    /// How many half-written files and unfinished uploads of publishers that are gone were removed.
    pub swept: usize,
}

/// Finds what can go; nothing is written and no key is opened.
pub fn plan(publisher: &Publisher, grace: Duration) -> Result<PrunePlan> {
    if grace < LEAST_GRACE {
        return Err(Error::invalid(format!("a grace of {} hours is too short", grace.as_secs() / 3600))
            .hint("give at least 1d: running publishers need the content that they staged, and clients need the files that they have begun to download"));
    }
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    // After the first answers of the store: it has reported its time by then.
    let now = publisher.stores_time()?;
    let cutoff = SystemTime::from(now).checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
    let Garbage { objects, strange, kept } = garbage(publisher.storage.as_ref(), &mut present, cutoff)?;
    // A listing takes its time: whatever was committed meanwhile may name what it found unneeded.
    let current = publisher.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?;
    if current.is_none_or(|current| current.bytes != present.timestamp_file) {
        return Err(Error::new(Kind::Conflict, "another publisher published during the listing; nothing was deleted")
            .hint("run the same command again"));
    }
    let names = |objects: &[Stored]| objects.iter().map(|stored| stored.name.to_string()).collect::<Vec<_>>();
    Ok(PrunePlan {
        bytes: objects.iter().map(|stored| stored.length).sum(),
        empty: objects.is_empty(),
        kept,
        strange: names(&strange),
        objects: names(&objects),
        found: objects,
        cutoff,
    })
}

/// Deletes what the plan found, except what has been written anew since.
pub fn apply(publisher: &Publisher, plan: &PrunePlan) -> Result<Pruned> {
    publisher.begin_changes()?;
    let storage = publisher.storage.as_ref();
    publisher.progress.phase("deleting");
    publisher.progress.expect(plan.found.len() as u64, plan.bytes);
    let delete = |stored: &Stored, (): &mut ()| {
        // A publisher may have staged the same content again: that renews its date.
        let there = storage.stat(&stored.name)?;
        let still = there.is_some_and(|there| there.modified <= plan.cutoff);
        if still {
            storage.delete(&stored.name)?;
        }
        publisher.progress.file();
        Ok(still)
    };
    let deleted = each(&plan.found, storage.properties().parallelism, || Ok(()), delete)?.into_iter().filter(|deleted| *deleted).count();
    let swept = storage.upkeep().sweep(plan.cutoff)?;
    storage.sync()?;
    Ok(Pruned { deleted, skipped: plan.found.len() - deleted, swept })
}
