//! The commit. See the head of this room for the protocol; the races considered are:
//!
//! - Two publishers take the same number: `create` lets one have it. The other waits if the owner may still be alive,
//!   and takes the next free number if it is gone: a number once written is never reused, caches may hold it.
//! - Both have numbers and swap: one swap fails, reads what is there now, and rebases.
//! - A swap that was carried out is reported as failed (a retried request): the bytes there are compared with ours.
//! - A new root appears while we sign: asked for right before the swap, and then everything starts over.

use super::plain_names::{AtHand, PlainNames, apply, catch_up};
use super::present::{Present, Versions, load};
use super::roots::check_first;
use super::steps::{SignedRole, sign_snapshot, sign_targets, sign_timestamp};
use super::{Edit, Progress};
use crate::failure::{Failure, Kind, Result};
use crate::keys::Signers;
use crate::layout::ObjectName;
use crate::metadata::trust::AtExpiry;
use crate::metadata::{Listing, ROOT_LIMIT, Role, TIMESTAMP_LIMIT, TargetEdits, Targets};
use crate::storage::{Rivals, Storage};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

/// How often a commit starts over before it gives up.
const ATTEMPTS: u32 = 40;
/// Where nobody can tell whether the owner of a number still lives, it has this long to commit: by the store's clock since
/// it wrote the number, or by ours since we first saw it, whichever is over first. Waiting saves work, not safety: who
/// goes on too early loses the swap, and who waits too long loses time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commits edits to one repository.
pub struct Committer<'a> {
    /// Where it lives.
    pub storage: &'a dyn Storage,
    /// The root that is trusted without question.
    pub pinned: &'a [u8],
    /// The online keys.
    pub signers: &'a Signers,
    /// Which plain names to keep.
    pub plain_names: PlainNames,
    /// The clock; read anew for every attempt.
    pub clock: &'a (dyn Fn() -> DateTime<Utc> + Sync),
    /// Told each status as it comes.
    pub progress: &'a dyn Progress,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The versions published now.
    pub versions: Versions,
    /// Whether this call changed anything; somebody else may have done the same work first.
    pub changed: bool,
    /// How often it had to start over.
    pub rebases: u32,
}

/// Numbers that somebody else holds, and since when we know.
type Rivalry = HashMap<ObjectName, Instant>;

enum Attempt {
    /// Published: the state as a client sees it now.
    Done(Box<Present>),
    /// Somebody else holds a number we need, or was faster.
    Again,
}

impl Committer<'_> {
    /// Carries out an edit that was planned on `present`.
    pub fn commit(&self, present: Present, edit: &Edit) -> Result<Committed> {
        let mut present = present;
        let mut rivals = HashMap::new();
        for rebases in 0..ATTEMPTS {
            let edits = edit.against(&present.targets)?;
            let renewals = edit.open_renewals(&present.versions());
            if edits.is_empty() && renewals.is_empty() {
                // Done by somebody else, or by a run of ours that was killed after its swap.
                catch_up(self.storage, self.pinned, self.plain_names, &present, AtHand::default(), (self.clock)())?;
                return Ok(Committed { versions: present.versions(), changed: false, rebases });
            }
            match self.attempt(&present, &edits, &renewals, &mut rivals)? {
                Attempt::Done(now) => {
                    self.progress.status("visible to clients");
                    let at_hand = AtHand { before: Some(&present.targets), changes: &edit.changes };
                    catch_up(self.storage, self.pinned, self.plain_names, &now, at_hand, (self.clock)())?;
                    self.storage.barrier()?;
                    return Ok(Committed { versions: now.versions(), changed: true, rebases });
                }
                Attempt::Again => {
                    std::thread::sleep(jitter(rebases));
                    present = load(self.storage, self.pinned, (self.clock)())?;
                }
            }
        }
        Err(Failure::new(Kind::Conflict, format!("other publishers were faster {ATTEMPTS} times in a row; nothing was published"))
            .hint("run the same command again when they are done"))
    }

    fn attempt(&self, present: &Present, edits: &TargetEdits, renewals: &[Role], rivals: &mut Rivalry) -> Result<Attempt> {
        let now = (self.clock)();
        let root = present.trust.root();
        let Some((timestamp, snapshot)) = present.trust.listings() else {
            return Err(Failure::new(Kind::Untrusted, "no published state to build on"));
        };
        let (versions, targets) = (present.versions(), &present.targets);
        // Staged content is durable before anything names it.
        self.storage.barrier()?;
        let mut new_targets = None;
        if !edits.is_empty() || renewals.contains(&Role::Targets) {
            new_targets = self.create(Role::Targets, versions.targets + 1, rivals, |version| {
                sign_targets(root, self.signers, targets, edits, version, now)
            })?;
            let Some(signed) = &new_targets else { return Ok(Attempt::Again) };
            let count = targets.len()
                + edits.iter().filter(|(name, edit)| edit.is_some() && !matches!(targets.get(name), Ok(Some(_)))).count()
                - edits.values().filter(|edit| edit.is_none()).count();
            self.progress.status(&format!("targets signed ({count} targets, version {})", signed.version));
        }
        let mut new_snapshot = None;
        if new_targets.is_some() || renewals.contains(&Role::Snapshot) {
            new_snapshot = self.create(Role::Snapshot, versions.snapshot + 1, rivals, |version| {
                sign_snapshot(root, self.signers, snapshot, new_targets.as_ref(), version, now)
            })?;
            let Some(signed) = &new_snapshot else { return Ok(Attempt::Again) };
            self.progress.status(&format!("snapshot signed (version {})", signed.version));
        }
        let signed = sign_timestamp(root, self.signers, timestamp, new_snapshot.as_ref(), versions.timestamp + 1, now)?;
        if !root.consistent_snapshot() {
            self.place_plain_targets(edits)?;
        }
        let plain_roles = if root.consistent_snapshot() { Vec::new() } else { plain_roles(new_targets.as_ref(), new_snapshot.as_ref()) };
        let next = as_client(present, now, &signed, new_snapshot, new_targets)?;
        if self.storage.get(&ObjectName::versioned("root", root.version() + 1), ROOT_LIMIT)?.is_some() {
            return Ok(Attempt::Again);
        }
        for (name, file) in plain_roles {
            self.storage.put(&name, &file)?;
        }
        self.storage.barrier()?;
        match self.storage.swap(&ObjectName::timestamp(), Some(&present.token), &signed.bytes) {
            Ok(true) => {}
            // Whatever the answer was, what stands there decides.
            answer if self.is_published(&signed)? => drop(answer),
            Ok(false) => return Ok(Attempt::Again),
            Err(failure) => return Err(failure),
        }
        self.progress.status(&format!("timestamp signed (version {})", signed.version));
        Ok(Attempt::Done(Box::new(next)))
    }

    /// Creates the first free version from `first` on. `None`: the number's owner may be about to commit.
    fn create(&self, role: Role, first: u64, rivals: &mut Rivalry, sign: impl Fn(u64) -> Result<SignedRole>) -> Result<Option<SignedRole>> {
        let mut version = first;
        let mut retries = 0;
        loop {
            let signed = sign(version)?;
            let name = ObjectName::versioned(role.name(), version);
            if self.storage.create(&name, &signed.bytes)? {
                return Ok(Some(signed));
            }
            let Some(taken) = self.storage.stat(&name)? else {
                // Some stores answer a conflict while another request is in flight.
                retries += 1;
                if retries > 3 {
                    return Err(Failure::new(
                        Kind::Storage,
                        format!("{} refuses {name} although there is no such object", self.storage.location()),
                    ));
                }
                continue;
            };
            let is_ours = taken.length == signed.bytes.len() as u64
                && self.storage.get(&name, taken.length)?.is_some_and(|object| object.bytes == signed.bytes);
            if is_ours {
                return Ok(Some(signed));
            }
            let watched = rivals.entry(name).or_insert_with(Instant::now).elapsed();
            if self.owner_may_live(taken.modified, watched)? {
                return Ok(None);
            }
            version = self.next_free(role, version)?;
        }
    }

    fn owner_may_live(&self, written: SystemTime, watched: Duration) -> Result<bool> {
        let patient = watched < PATIENCE && written.elapsed().is_ok_and(|age| age < PATIENCE);
        Ok(patient && self.storage.rivals()? != Rivals::Nobody)
    }

    fn next_free(&self, role: Role, taken: u64) -> Result<u64> {
        let mut version = taken + 1;
        while self.storage.stat(&ObjectName::versioned(role.name(), version))?.is_some() {
            version += 1;
        }
        Ok(version)
    }

    /// Without consistent snapshots, plain names are what clients read: content comes before the roles that list it.
    fn place_plain_targets(&self, edits: &TargetEdits) -> Result<()> {
        // Removals wait until no metadata names the target any more.
        for (name, target) in edits.iter().filter(|(_, target)| target.is_some()) {
            apply(self.storage, name, target.as_ref(), false, None)?;
        }
        self.storage.barrier()
    }

    /// Whether our timestamp is what stands there although the swap said no.
    fn is_published(&self, signed: &SignedRole) -> Result<bool> {
        Ok(self.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?.is_some_and(|object| object.bytes == signed.bytes))
    }

    /// Publishes the first targets, snapshot and timestamp below a first root. What a killed run left is completed:
    /// role files of version 1 that are there already must verify and are kept.
    pub fn commit_first(&self) -> Result<Committed> {
        let now = (self.clock)();
        let mut trust = check_first(self.pinned, AtExpiry::Refuse(now))?;
        let root = trust.root().clone();
        let targets = self.first(Role::Targets, || sign_targets(&root, self.signers, &Targets::empty(), &TargetEdits::new(), 1, now))?;
        let snapshot =
            self.first(Role::Snapshot, || sign_snapshot(&root, self.signers, &Listing::empty(Role::Snapshot), Some(&targets), 1, now))?;
        let timestamp = sign_timestamp(&root, self.signers, &Listing::empty(Role::Timestamp), Some(&snapshot), 1, now)?;
        trust.end_of_roots()?;
        trust.timestamp(&timestamp.bytes)?;
        trust.snapshot(&snapshot.bytes)?;
        if !root.consistent_snapshot() {
            for (name, file) in plain_roles(Some(&targets), Some(&snapshot)) {
                self.storage.put(&name, &file)?;
            }
        }
        trust.targets(targets.bytes)?;
        self.storage.barrier()?;
        let changed = self.storage.swap(&ObjectName::timestamp(), None, &timestamp.bytes)?;
        let present = load(self.storage, self.pinned, now)?;
        catch_up(self.storage, self.pinned, self.plain_names, &present, AtHand::default(), now)?;
        self.storage.barrier()?;
        Ok(Committed { versions: present.versions(), changed, rebases: 0 })
    }

    fn first(&self, role: Role, sign: impl Fn() -> Result<SignedRole>) -> Result<SignedRole> {
        let signed = sign()?;
        let name = ObjectName::versioned(role.name(), 1);
        if self.storage.create(&name, &signed.bytes)? {
            return Ok(signed);
        }
        let there = self.storage.get(&name, 1 << 20)?.ok_or_else(|| Failure::new(Kind::Storage, format!("{name} came and went")))?;
        Ok(SignedRole { version: 1, digests: crate::digest::Digests::of(&there.bytes), bytes: there.bytes })
    }
}

/// What is about to be published, read as a client who holds the present state and refuses what has expired.
fn as_client(
    present: &Present,
    now: DateTime<Utc>,
    timestamp: &SignedRole,
    snapshot: Option<SignedRole>,
    targets: Option<SignedRole>,
) -> Result<Present> {
    let mut trust = present.trust.as_client(now);
    trust.end_of_roots().map_err(|failure| failure.hint("`publish refresh` renews the root, then run this command again"))?;
    trust.timestamp(&timestamp.bytes)?;
    match snapshot {
        Some(snapshot) => drop(trust.snapshot(&snapshot.bytes)?),
        // Carried over: it must not have expired meanwhile.
        None => check_carried(present, Role::Snapshot, now)?,
    }
    let targets = match targets {
        Some(targets) => trust.targets(targets.bytes)?,
        None => {
            check_carried(present, Role::Targets, now)?;
            present.targets.clone()
        }
    };
    Ok(Present { trust, token: present.token.clone(), timestamp_file: timestamp.bytes.clone(), targets })
}

/// The role files that clients read by plain name, the one that is listed before the one that lists it.
fn plain_roles(targets: Option<&SignedRole>, snapshot: Option<&SignedRole>) -> Vec<(ObjectName, Vec<u8>)> {
    let roles = [(Role::Targets, targets), (Role::Snapshot, snapshot)].into_iter();
    roles.filter_map(|(role, signed)| Some((ObjectName::plain_role(role.name()), signed?.bytes.clone()))).collect()
}

fn check_carried(present: &Present, role: Role, now: DateTime<Utc>) -> Result<()> {
    let expired = present.trust.expired().iter().find(|(expired, expires)| *expired == role && *expires <= now);
    match expired {
        None => Ok(()),
        Some((_, expires)) => Err(Failure::new(
            Kind::Untrusted,
            format!("{role} expired on {} and was not signed again", crate::metadata::format_expiry(*expires)),
        )),
    }
}

/// Grows with the attempts and differs between publishers.
fn jitter(attempt: u32) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness the wait is just as good for a lone publisher.
    let _ = openssl::rand::rand_bytes(&mut random);
    let ceiling = 20_u64 << attempt.min(7);
    Duration::from_millis(10 + u64::from(u16::from_le_bytes(random)) % ceiling)
}
