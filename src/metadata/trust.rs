//! The rules of the TUF client workflow (specification 5), as a value that is fed files in the client's order.
//!
//! Three callers share it: the publisher loading its own repository, the publisher checking what it is about to publish
//! as a client who holds the present state would, and `verify`. They differ only in what expiry means to them.

use super::targets::Parts;
use super::{DelegatedRole, Delegations, Envelope, Expiry, Listing, MetaFile, PublicKey, ROOT_LIMIT, Role, Root, TIMESTAMP_LIMIT, Targets};
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What an expired role means.
#[derive(Clone, Copy, Debug)]
pub enum AtExpiry {
    /// The file is refused, as by a client.
    Refuse(DateTime<Utc>),
    /// The file is taken and the role noted in [`TrustedMetadata::expired`]: else nothing could be renewed after an outage.
    Report(DateTime<Utc>),
}

/// What a client trusts so far.
#[derive(Clone, Debug)]
pub struct TrustedMetadata {
    root: Root,
    timestamp: Option<Listing>,
    snapshot: Option<Listing>,
    expired: Vec<(Role, Expiry)>,
    signatures: BTreeMap<Role, u64>,
    reset_at: Option<u64>,
    /// The targets keys of every root read so far, each once.
    targets_keys: Vec<PublicKey>,
    at_expiry: AtExpiry,
}

impl TrustedMetadata {
    /// Starts from a root that the caller has reason to trust; it must still be signed by its own keys. Its expiry does
    /// not matter: a newer root may follow.
    pub fn pin(root: &[u8], at_expiry: AtExpiry) -> Result<Self> {
        check_limit(root, ROOT_LIMIT, "the pinned root")?;
        let envelope = Envelope::parse(root, "the pinned root")?;
        let root = Root::parse(&envelope, "the pinned root")?;
        let threshold = root.role(Role::Root).threshold;
        let valid = check_threshold(&envelope, &envelope.canonical()?, root.keys_of(Role::Root), threshold, "the pinned root")?;
        let signatures = BTreeMap::from([(Role::Root, valid)]);
        let mut trust = Self {
            root,
            timestamp: None,
            snapshot: None,
            expired: Vec::new(),
            signatures,
            reset_at: None,
            targets_keys: Vec::new(),
            at_expiry,
        };
        trust.note_targets_keys();
        Ok(trust)
    }

    /// Takes the next root: version N+1, signed by the thresholds of both N and N+1.
    pub fn next_root(&mut self, bytes: &[u8]) -> Result<()> {
        let version = self.root.version() + 1;
        let what = format!("{version}.root.json");
        check_limit(bytes, ROOT_LIMIT, &what)?;
        let envelope = Envelope::parse(bytes, &what)?;
        let root = Root::parse(&envelope, &what)?;
        let message = envelope.canonical()?;
        check_threshold(
            &envelope,
            &message,
            self.root.keys_of(Role::Root),
            self.root.role(Role::Root).threshold,
            &format!("{what}, by the keys of the root before it,"),
        )?;
        let own = format!("{what}, by its own keys,");
        let valid = check_threshold(&envelope, &message, root.keys_of(Role::Root), root.role(Role::Root).threshold, &own)?;
        if root.version() != version {
            return Err(untrusted(format!("{what} has version {}", root.version())));
        }
        // After a fast-forward attack the way back is a root with other keys (specification 5.3.11).
        if [Role::Timestamp, Role::Snapshot].iter().any(|role| !same_keys(&self.root, &root, *role)) {
            self.timestamp = None;
            self.snapshot = None;
        }
        if self.root.online_keys_kept_by(&root).is_empty() {
            self.reset_at = Some(version);
        }
        self.root = root;
        self.note_targets_keys();
        self.signatures.insert(Role::Root, valid);
        Ok(())
    }

    fn note_targets_keys(&mut self) {
        for (_, key) in self.root.keys_of(Role::Targets) {
            if !self.targets_keys.iter().any(|known| known.same_material(key)) {
                self.targets_keys.push(key.clone());
            }
        }
    }

    /// The same for a publisher that signs what follows: the state it builds on stays, whichever keys are replaced, so
    /// that versions go on rising.
    pub fn next_root_keeping_state(&mut self, bytes: &[u8]) -> Result<()> {
        let (timestamp, snapshot) = (self.timestamp.clone(), self.snapshot.clone());
        self.next_root(bytes)?;
        (self.timestamp, self.snapshot) = (timestamp, snapshot);
        Ok(())
    }

    /// Takes up the state of an earlier snapshot, from before an attack, as if the timestamp had listed it in this version:
    /// nothing lists it any more, so its own signatures are all there is to check.
    pub fn restore(&mut self, snapshot: &[u8], version: u64, timestamp: u64) -> Result<()> {
        let listed = MetaFile { version, length: None, hashes: None };
        self.snapshot = None;
        self.timestamp = Some(Listing::empty(Role::Timestamp).next(timestamp, Expiry::UNIX_EPOCH, [("snapshot.json".to_owned(), listed)]));
        self.snapshot(snapshot).map(drop)
    }

    /// Ends the chain of roots: the last one must be unexpired.
    pub fn end_of_roots(&mut self) -> Result<()> {
        self.check_expiry(Role::Root, self.root.expires(), "root")
    }

    /// Takes `timestamp.json`.
    pub fn timestamp(&mut self, bytes: &[u8]) -> Result<&Listing> {
        let what = "timestamp.json";
        check_limit(bytes, TIMESTAMP_LIMIT, what)?;
        let envelope = Envelope::parse(bytes, what)?;
        self.check_role(&envelope, &envelope.canonical()?, Role::Timestamp, what)?;
        let next = Listing::parse(&envelope, Role::Timestamp, what)?;
        let listed = entry(&next, "snapshot.json", what)?;
        if let Some(held) = &self.timestamp {
            check_not_older(held.version(), next.version(), what)?;
            check_not_older(entry(held, "snapshot.json", what)?.version, listed.version, "the snapshot that timestamp.json names")?;
        }
        self.check_expiry(Role::Timestamp, next.expires(), what)?;
        Ok(self.timestamp.insert(next))
    }

    /// Takes the snapshot that the timestamp names.
    pub fn snapshot(&mut self, bytes: &[u8]) -> Result<&Listing> {
        let timestamp = self.timestamp.as_ref().ok_or_else(|| untrusted("no timestamp was read before the snapshot"))?;
        let listed = entry(timestamp, "snapshot.json", "timestamp.json")?.clone();
        let what = format!("snapshot.json (version {})", listed.version);
        check_listed(bytes, &listed, &what)?;
        let envelope = Envelope::parse(bytes, &what)?;
        self.check_role(&envelope, &envelope.canonical()?, Role::Snapshot, &what)?;
        let next = Listing::parse(&envelope, Role::Snapshot, &what)?;
        check_version(&listed, next.version(), &what)?;
        for (file, held) in self.snapshot.iter().flat_map(Listing::files) {
            let Some(now) = next.get(file) else {
                return Err(untrusted(format!("{what} no longer lists {file}; an entry may never disappear")));
            };
            check_not_older(held.version, now.version, &format!("{file} in {what}"))?;
        }
        entry(&next, "targets.json", &what)?;
        self.check_expiry(Role::Snapshot, next.expires(), &what)?;
        Ok(self.snapshot.insert(next))
    }

    /// Takes the top-level targets role that the snapshot names.
    pub fn targets(&mut self, bytes: Vec<u8>) -> Result<Targets> {
        let listed = self.listed("targets.json")?.clone();
        let what = format!("targets.json (version {})", listed.version);
        check_listed(&bytes, &listed, &what)?;
        let bytes = Targets::as_text(bytes, &what)?;
        let envelope = Envelope::parse(&bytes, &what)?;
        self.check_role(&envelope, &envelope.canonical()?, Role::Targets, &what)?;
        let parts = Parts::of(&envelope, &bytes, &what)?;
        let targets = Targets::from_parts(bytes, parts);
        check_version(&listed, targets.version(), &what)?;
        self.check_expiry(Role::Targets, targets.expires(), &what)?;
        Ok(targets)
    }

    /// Reads a top-level targets role that no snapshot names yet: signed, unexpired by `now`, and newer than the one named.
    pub fn targets_to_be_listed(&self, bytes: Vec<u8>, now: DateTime<Utc>) -> Result<Targets> {
        let (root, what) = (&self.root, "the new targets.json");
        self.to_be_listed(root.keys_of(Role::Targets), root.role(Role::Targets).threshold, "targets.json", bytes, now, what)
    }

    /// The same for a delegated role.
    pub fn delegated_to_be_listed(
        &self,
        parent: &Delegations,
        role: &DelegatedRole,
        bytes: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<Targets> {
        let file = format!("{}.json", role.name);
        self.to_be_listed(parent.keys_of(role), role.keys.threshold, &file, bytes, now, &format!("the new {file}"))
    }

    fn to_be_listed<'k>(
        &self,
        keys: impl Iterator<Item = (&'k str, &'k PublicKey)>,
        threshold: u64,
        file: &str,
        bytes: Vec<u8>,
        now: DateTime<Utc>,
        what: &str,
    ) -> Result<Targets> {
        let bytes = Targets::as_text(bytes, what)?;
        let envelope = Envelope::parse(&bytes, what)?;
        check_threshold(&envelope, &envelope.canonical()?, keys, threshold, what)?;
        let parts = Parts::of(&envelope, &bytes, what)?;
        let targets = Targets::from_parts(bytes, parts);
        if self.listed(file).is_ok_and(|listed| targets.version() <= listed.version) {
            return Err(untrusted(format!("{what} has version {}, which is not newer than the one that is published", targets.version())));
        }
        if targets.expires() <= now {
            return Err(untrusted(format!("{what} expired on {}", super::format_expiry(targets.expires()))));
        }
        Ok(targets)
    }

    /// Takes a delegated targets role that the snapshot names.
    pub fn delegated(&mut self, parent: &Delegations, role: &DelegatedRole, bytes: Vec<u8>) -> Result<Targets> {
        let targets = self.delegated_at_any_age(parent, role, bytes)?;
        self.check_expiry(Role::Targets, targets.expires(), &format!("{}.json", role.name))?;
        Ok(targets)
    }

    /// The same for a publisher, who reads expired roles to renew them.
    pub fn delegated_at_any_age(&self, parent: &Delegations, role: &DelegatedRole, bytes: Vec<u8>) -> Result<Targets> {
        let file = format!("{}.json", role.name);
        let listed = self.listed(&file)?.clone();
        check_listed(&bytes, &listed, &file)?;
        let bytes = Targets::as_text(bytes, &file)?;
        let envelope = Envelope::parse(&bytes, &file)?;
        check_threshold(&envelope, &envelope.canonical()?, parent.keys_of(role), role.keys.threshold, &file)?;
        let parts = Parts::of(&envelope, &bytes, &file)?;
        let targets = Targets::from_parts(bytes, parts);
        check_version(&listed, targets.version(), &file)?;
        Ok(targets)
    }

    /// The snapshot's entry for the file of a targets role.
    pub fn listed(&self, file: &str) -> Result<&MetaFile> {
        let snapshot = self.snapshot.as_ref().ok_or_else(|| untrusted("no snapshot was read before the targets"))?;
        entry(snapshot, file, "snapshot.json")
    }

    /// The root trusted now.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The timestamp and snapshot trusted now.
    pub fn listings(&self) -> Option<(&Listing, &Listing)> {
        Some((self.timestamp.as_ref()?, self.snapshot.as_ref()?))
    }

    /// Whether this is a key of the targets role in the present root or in one before it, as far back as the pinned root.
    pub fn was_targets_key(&self, key: &PublicKey) -> bool {
        self.targets_keys.iter().any(|known| known.same_material(key))
    }

    /// The last root that replaced every key of all online roles: versions from before it do not count any more, neither
    /// clients (specification 5.3.11) nor publishers.
    pub fn reset_at(&self) -> Option<u64> {
        self.reset_at
    }

    /// How many keys of the role have validly signed the file that is trusted now.
    pub fn signatures(&self, role: Role) -> u64 {
        self.signatures.get(&role).copied().unwrap_or(0)
    }

    /// The time by which expiry was judged.
    pub fn now(&self) -> DateTime<Utc> {
        let (AtExpiry::Refuse(now) | AtExpiry::Report(now)) = self.at_expiry;
        now
    }

    /// Roles taken although expired, under [`AtExpiry::Report`].
    pub fn expired(&self) -> &[(Role, Expiry)] {
        &self.expired
    }

    /// The same trust, as a client that refuses what has expired by `now`.
    #[must_use]
    pub fn as_client(&self, now: DateTime<Utc>) -> Self {
        Self { at_expiry: AtExpiry::Refuse(now), expired: Vec::new(), ..self.clone() }
    }

    fn check_role(&mut self, envelope: &Envelope<'_>, message: &[u8], role: Role, what: &str) -> Result<()> {
        let valid = check_threshold(envelope, message, self.root.keys_of(role), self.root.role(role).threshold, what)?;
        self.signatures.insert(role, valid);
        Ok(())
    }

    fn check_expiry(&mut self, role: Role, expires: Expiry, what: &str) -> Result<()> {
        let (AtExpiry::Refuse(now) | AtExpiry::Report(now)) = self.at_expiry;
        if expires > now {
            return Ok(());
        }
        if let AtExpiry::Report(_) = self.at_expiry {
            self.expired.push((role, expires));
            return Ok(());
        }
        Err(untrusted(format!("{what} expired on {}", super::format_expiry(expires)))
            .hint("the publisher renews it with `publish refresh`"))
    }
}

/// Whether a role file has enough signatures for another root than the one it was read under.
pub fn is_signed_for(root: &Root, role: Role, file: &[u8]) -> bool {
    let signed = || -> Result<u64> {
        let envelope = Envelope::parse(file, role.name())?;
        check_threshold(&envelope, &envelope.canonical()?, root.keys_of(role), root.role(role).threshold, role.name())
    };
    signed().is_ok()
}

fn untrusted(message: impl Into<String>) -> Error {
    Error::new(Kind::Untrusted, message)
}

fn entry<'l>(listing: &'l Listing, file: &str, what: &str) -> Result<&'l MetaFile> {
    listing.get(file).ok_or_else(|| untrusted(format!("{what} does not list {file}")))
}

fn check_limit(bytes: &[u8], limit: u64, what: &str) -> Result<()> {
    if bytes.len() as u64 <= limit {
        return Ok(());
    }
    Err(untrusted(format!("{what} has {} bytes; clients stop at {limit}", bytes.len())))
}

fn check_listed(bytes: &[u8], listed: &MetaFile, what: &str) -> Result<()> {
    if let Some(length) = listed.length
        && length != bytes.len() as u64
    {
        return Err(untrusted(format!("{what} has {} bytes where {length} are listed", bytes.len())));
    }
    if let Some(hashes) = &listed.hashes {
        let digests = if hashes.sha512.is_some() { Digests::both_of(bytes) } else { Digests::of(bytes) };
        if !hashes.matches(&digests) {
            return Err(untrusted(format!("{what} does not have the digest that is listed"))
                .detail(format!("listed: {hashes}"))
                .detail(format!("found:  sha256 {}", digests.hex())));
        }
    }
    Ok(())
}

fn check_version(listed: &MetaFile, version: u64, what: &str) -> Result<()> {
    if listed.version == version {
        return Ok(());
    }
    Err(untrusted(format!("{what} states version {version}")))
}

fn check_not_older(held: u64, next: u64, what: &str) -> Result<()> {
    if next >= held {
        return Ok(());
    }
    Err(untrusted(format!("{what} went back from version {held} to {next}")))
}

/// The number of valid signatures, if it reaches the threshold.
fn check_threshold<'k>(
    envelope: &Envelope<'_>,
    message: &[u8],
    keys: impl Iterator<Item = (&'k str, &'k PublicKey)>,
    threshold: u64,
    what: &str,
) -> Result<u64> {
    let keys: Vec<_> = keys.collect();
    let valid = envelope.valid_signers(message, keys.iter().copied()).len() as u64;
    if valid >= threshold {
        return Ok(valid);
    }
    let ids: Vec<String> = keys
        .iter()
        .map(|(id, _)| {
            format!(
                "key {id}: {}",
                if envelope.signatures.iter().any(|s| s.keyid == *id) { "its signature is wrong" } else { "has not signed" }
            )
        })
        .collect();
    Err(untrusted(format!("{what} has {valid} of {threshold} valid signatures")).details(ids))
}

fn same_keys(a: &Root, b: &Root, role: Role) -> bool {
    let all_in = |a: &Root, b: &Root| a.keys_of(role).all(|(_, key)| b.keys_of(role).any(|(_, other)| key.same_material(other)));
    all_in(a, b) && all_in(b, a)
}
