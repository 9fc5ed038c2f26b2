//! Plain names beside the hashed ones, for curl, installers and `gpg --verify`. They follow the commit: a marker says for
//! which targets version they are complete, and whoever finds it behind brings them up to date.

use super::edit::{Change, same};
use super::parallel::each;
use super::present::{Present, load};
use crate::failure::{Failure, Kind, Result};
use crate::layout::ObjectName;
use crate::metadata::{ROLE_LIMIT, TIMESTAMP_LIMIT, Target, Targets};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which targets get a plain name beside the hashed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainNames {
    /// All.
    #[default]
    All,
    /// None: all readers are TUF clients.
    None,
}

/// The content of `plain.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Marker {
    /// `root.json` is this version, or a newer one.
    root: u64,
    /// Plain names are those of this targets version; 0 where there are none.
    targets: u64,
}

const MARKER_LIMIT: u64 = 4096;

/// What the caller of [`catch_up`] happens to hold, so that it need not be read again.
#[derive(Clone, Copy, Default)]
pub struct AtHand<'a> {
    /// The targets role that the marker may name.
    pub before: Option<&'a Targets>,
    /// Changes with their content.
    pub changes: &'a [Change],
}

impl<'a> AtHand<'a> {
    fn contents(&self) -> HashMap<&'a str, (&'a Target, &'a [u8])> {
        let held = |change: &'a Change| Some((change.name.as_str(), (change.wanted.as_ref()?, change.content.as_deref()?)));
        self.changes.iter().filter_map(held).collect()
    }
}

/// Brings plain names and `root.json` up to the published state.
pub fn catch_up(
    storage: &dyn Storage,
    pinned: &[u8],
    mode: PlainNames,
    present: &Present,
    at_hand: AtHand<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut marker = read(storage)?;
    let mut newer: Option<Present> = None;
    loop {
        let present = newer.as_ref().unwrap_or(present);
        let versions = present.versions();
        let wanted = mode == PlainNames::All || !present.trust.root().consistent_snapshot();
        let done = Marker { root: versions.root, targets: if wanted { versions.targets } else { 0 } };
        if marker == done {
            return Ok(());
        }
        if marker.root != done.root {
            copy_root(storage, done.root)?;
        }
        if wanted && marker.targets != done.targets {
            copy_difference(storage, marker.targets, at_hand, present)?;
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
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()).unwrap_or(Marker { root: 0, targets: 0 }))
}

fn copy_root(storage: &dyn Storage, version: u64) -> Result<()> {
    let name = ObjectName::versioned("root", version);
    let root = storage
        .get(&name, crate::metadata::ROOT_LIMIT)?
        .ok_or_else(|| Failure::new(Kind::Untrusted, format!("{name} is missing from {}", storage.location())))?;
    storage.put(&ObjectName::plain_role("root"), &root.bytes)
}

fn copy_difference(storage: &dyn Storage, from: u64, at_hand: AtHand<'_>, present: &Present) -> Result<()> {
    let read;
    let before = match at_hand.before.filter(|held| held.version() == from) {
        Some(held) => held,
        None => {
            let file = if from == 0 { None } else { storage.get(&ObjectName::versioned("targets", from), ROLE_LIMIT)? };
            // What was in place is our own file of an earlier commit; without it, everything is copied again.
            read = file.and_then(|object| Targets::parse(object.bytes, "").ok()).unwrap_or_else(Targets::empty);
            &read
        }
    };
    let consistent = present.trust.root().consistent_snapshot();
    let contents = at_hand.contents();
    let place = |(name, target): &(&str, Option<Target>), (): &mut ()| {
        let held = target.as_ref().zip(contents.get(name)).filter(|(target, (held, _))| target.hashes == held.hashes);
        apply(storage, name, target.as_ref(), consistent, held.map(|(_, (_, content))| *content))
    };
    each(&difference(before, &present.targets)?, storage.parallelism(), || Ok(()), place).map(drop)
}

/// The names whose target is another one in `after` than in `before`.
fn difference<'a>(before: &'a Targets, after: &'a Targets) -> Result<Vec<(&'a str, Option<Target>)>> {
    let mut different = Vec::new();
    let mut old = before.iter().peekable();
    for (name, entry) in after.iter() {
        while let Some((gone, _)) = old.next_if(|(other, _)| *other < name) {
            different.push((gone, None));
        }
        let known = old.next_if(|(other, _)| *other == name);
        // Entries are compared as text first: parsing 100 000 of them to find ten is what takes the time.
        if known.is_some_and(|(_, known)| known == entry) {
            continue;
        }
        let target = Target::parse(entry, name)?;
        let unchanged = match known {
            Some((_, known)) => same(&Some(Target::parse(known, name)?), &Some(target.clone())),
            None => false,
        };
        if !unchanged {
            different.push((name, Some(target)));
        }
    }
    different.extend(old.map(|(gone, _)| (gone, None)));
    Ok(different)
}

/// Makes one plain name what the target says. Without consistent snapshots this happens before the commit, and the
/// hashed name goes afterwards: plain names are all that such a repository has.
pub(super) fn apply(storage: &dyn Storage, name: &str, target: Option<&Target>, consistent: bool, content: Option<&[u8]>) -> Result<()> {
    let plain = ObjectName::plain_target(name);
    let Some(target) = target else { return storage.delete(&plain) };
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
