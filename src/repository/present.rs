use super::bins::Bins;
use super::sighting::Sighting;
use crate::error::{Error, Kind, Result};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{ROLE_LIMIT, ROOT_LIMIT, Role, TIMESTAMP_LIMIT, Target, Targets, UNSTATED_SNAPSHOT_LIMIT, UNSTATED_TARGETS_LIMIT};
use crate::names::ObjectName;
use crate::storage::{Object, Source, Storage, Token};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The published state that a change starts from, verified from the pinned root.
pub struct Present {
    /// What a client trusts after reading it all.
    pub trust: TrustedMetadata,
    /// Stands for the `timestamp.json` that was read: the commit swaps against it.
    pub token: Token,
    /// The `timestamp.json` itself.
    pub timestamp_file: Vec<u8>,
    /// The top-level targets role.
    pub targets: Targets,
    /// The bins that targets are spread over, if they are.
    pub bins: Option<Bins>,
}

/// The versions of the four roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of the newest root.
    pub root: u64,
    /// Of the targets role.
    pub targets: u64,
    /// Of the snapshot.
    pub snapshot: u64,
    /// Of the timestamp.
    pub timestamp: u64,
}

impl Versions {
    /// The higher of two versions, role by role.
    pub fn newest(&self, other: &Self) -> Self {
        Self {
            root: self.root.max(other.root),
            targets: self.targets.max(other.targets),
            snapshot: self.snapshot.max(other.snapshot),
            timestamp: self.timestamp.max(other.timestamp),
        }
    }

    /// This version of every role but the root, which counts by itself.
    pub fn all(version: u64) -> Self {
        Self { root: 0, targets: version, snapshot: version, timestamp: version }
    }

    /// The version of one role.
    pub fn of(&self, role: Role) -> u64 {
        match role {
            Role::Root => self.root,
            Role::Targets => self.targets,
            Role::Snapshot => self.snapshot,
            Role::Timestamp => self.timestamp,
        }
    }
}

impl std::fmt::Debug for Present {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Present({:?})", self.versions())
    }
}

impl Present {
    /// Where a target's content lies: under a hashed name, of which other tools may have made one only, or, without consistent
    /// snapshots, perhaps in its place already.
    pub fn place_of(&self, storage: &dyn Storage, name: &str, target: &Target) -> Result<ObjectName> {
        let mut hashed = target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash));
        let consistent = self.trust.root().consistent_snapshot();
        let first = hashed.next().filter(|_| consistent);
        if hashed.next().is_none()
            && let Some(only) = first
        {
            return Ok(only);
        }
        for hash in target.hashes.prefixes() {
            let hashed = ObjectName::hashed_target(name, &hash);
            if storage.stat(&hashed)?.is_some() {
                return Ok(hashed);
            }
        }
        Ok(first.unwrap_or_else(|| ObjectName::plain_target(name)))
    }

    /// SHA-256 of the timestamp's file, in hex: which state this is.
    pub fn digest(&self) -> String {
        hex::encode(openssl::sha::sha256(&self.timestamp_file))
    }

    /// The snapshot's file, read again: it is kept in no other form.
    pub fn snapshot_file(&self, source: &dyn Source) -> Result<Vec<u8>> {
        read_role(source, &self.trust, Role::Snapshot.name(), self.versions().snapshot, ROLE_LIMIT)
    }

    /// All versions.
    pub fn versions(&self) -> Versions {
        versions_of(&self.trust)
    }
}

/// Follows the roots from a pinned one to the newest. The pinned one may be any published version.
pub fn load_roots(source: &dyn Source, pinned: &[u8], at_expiry: AtExpiry) -> Result<TrustedMetadata> {
    let mut trust = TrustedMetadata::pin(pinned, at_expiry)?;
    while let Some(next) = source.get(&ObjectName::root(trust.root().version() + 1), ROOT_LIMIT)? {
        trust.next_root(&next.bytes)?;
    }
    trust.end_of_roots()?;
    Ok(trust)
}

/// Reads and verifies the published state. Expired roles are noted, not refused; everything else a client would refuse
/// is refused.
pub fn load(source: &dyn Source, pinned: &[u8], now: DateTime<Utc>) -> Result<Present> {
    load_below(source, load_roots(source, pinned, AtExpiry::Report(now))?)
}

/// The state below a root that is not the newest: what stood there before a root that replaces stolen keys at once, if
/// its commit was killed between its two writes.
pub fn load_before_root(source: &dyn Source, pinned: &[u8], version: u64, now: DateTime<Utc>) -> Result<Present> {
    load_below(source, roots_before(source, pinned, version, now)?)
}

/// The state of an earlier snapshot, under the root before `root`; `above` is the version from which the timestamp goes on.
/// The timestamp there is an attacker's: it is not read, the commit only swaps against it.
pub fn load_restored(source: &dyn Source, pinned: &[u8], root: u64, snapshot: u64, above: u64, now: DateTime<Utc>) -> Result<Present> {
    let mut trust = roots_before(source, pinned, root, now)?;
    let timestamp = source.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?.ok_or_else(|| no_repository(source))?;
    let file = read_role(source, &trust, Role::Snapshot.name(), snapshot, UNSTATED_SNAPSHOT_LIMIT)?;
    trust.restore(&file, snapshot, above)?;
    load_targets(source, trust, timestamp)
}

fn roots_before(source: &dyn Source, pinned: &[u8], version: u64, now: DateTime<Utc>) -> Result<TrustedMetadata> {
    let mut trust = TrustedMetadata::pin(pinned, AtExpiry::Report(now))?;
    while trust.root().version() + 1 < version {
        let name = ObjectName::root(trust.root().version() + 1);
        let next = source.get(&name, ROOT_LIMIT)?;
        trust
            .next_root(&next.ok_or_else(|| Error::new(Kind::Untrusted, format!("{name} is missing from {}", source.location())))?.bytes)?;
    }
    trust.end_of_roots()?;
    Ok(trust)
}

fn no_repository(source: &dyn Source) -> Error {
    Error::new(Kind::NoRepository, format!("there is no TUF repository at {}: no timestamp.json", source.location()))
        .hint("check `repo` in the config and --repo")
        .hint("if it was there before, put timestamp.json back or restore the repository: docs/recovery.md#the-published-timestamp-is-missing")
        .hint("if it was never published: `publish init` makes a new repository, and finishes a first `publish init` that was killed")
}

/// What is published, from as few and as small files as a client needs to know them.
pub fn sight(source: &dyn Source, pinned: &[u8], now: DateTime<Utc>) -> Result<Sighting> {
    let mut trust = load_roots(source, pinned, AtExpiry::Report(now))?;
    read_listings(source, &mut trust)?;
    Ok(Sighting::of(&trust))
}

pub(super) fn versions_of(trust: &TrustedMetadata) -> Versions {
    let (timestamp, snapshot) = trust.listings().map_or((0, 0), |(timestamp, snapshot)| (timestamp.version(), snapshot.version()));
    let targets = trust.listed("targets.json").map_or(0, |listed| listed.version);
    Versions { root: trust.root().version(), targets, snapshot, timestamp }
}

fn load_below(source: &dyn Source, mut trust: TrustedMetadata) -> Result<Present> {
    let timestamp = read_listings(source, &mut trust)?;
    load_targets(source, trust, timestamp)
}

/// Reads the timestamp, which is given back, and the snapshot.
fn read_listings(source: &dyn Source, trust: &mut TrustedMetadata) -> Result<Object> {
    let timestamp = source.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?.ok_or_else(|| no_repository(source))?;
    let listed = trust.timestamp(&timestamp.bytes)?.get("snapshot.json").cloned();
    let (version, length) = listed.map_or((0, None), |listed| (listed.version, listed.length));
    let snapshot = read_role(source, trust, Role::Snapshot.name(), version, length.unwrap_or(UNSTATED_SNAPSHOT_LIMIT))?;
    trust.snapshot(&snapshot)?;
    Ok(timestamp)
}

fn load_targets(source: &dyn Source, mut trust: TrustedMetadata, timestamp: Object) -> Result<Present> {
    let (version, length) = (trust.listed("targets.json")?.version, trust.listed("targets.json")?.length);
    let targets = read_role(source, &trust, Role::Targets.name(), version, length.unwrap_or(UNSTATED_TARGETS_LIMIT))?;
    let targets = trust.targets(targets)?;
    let bins = Bins::load(source, &trust, &targets)?;
    Ok(Present { trust, token: timestamp.token, timestamp_file: timestamp.bytes, targets, bins })
}

/// Reads a role file by its version. Repositories without consistent snapshots may have the plain name only; ours have
/// both, so that a publisher killed between two plain names finds a whole state to start from.
pub(crate) fn read_role(source: &dyn Source, trust: &TrustedMetadata, role: &str, version: u64, limit: u64) -> Result<Vec<u8>> {
    let versioned = ObjectName::versioned(role, version);
    if let Some(object) = source.get(&versioned, limit.min(ROLE_LIMIT))? {
        return Ok(object.bytes);
    }
    let plain = ObjectName::plain_role(role);
    let object = if trust.root().consistent_snapshot() { None } else { source.get(&plain, limit.min(ROLE_LIMIT))? };
    object.map(|object| object.bytes).ok_or_else(|| {
        Error::new(Kind::Untrusted, format!("{versioned} is missing from {}", source.location()))
            .hint("restore the file from a backup or a mirror; clients fail until it is there")
    })
}
