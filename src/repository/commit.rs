//! The commit, by the protocol that the module `repository` describes. The races considered are:
//!
//! - Two publishers take the same number: `create` lets one have it. The other waits if the owner may still run,
//!   and takes the next free number if it has ended: a number once written is never reused, caches may hold it.
//! - Both have numbers and swap: one swap fails, reads what is there now, and rebases.
//! - A swap that was carried out is reported as failed (a retried request): the bytes there are compared with ours.
//! - A new root appears while we sign: it is looked up right before the swap, and then the commit starts again.

use super::bin_keys::BinKeys;
use super::bins::{BINS, Bins};
use super::draft::{Draft, drafts, rebin};
use super::edit::{Change, View};
use super::handed_over::read_written;
use super::numbers::Numbers;
use super::parallel::each;
use super::plain_names::{AtHand, PlainNames, apply, catch_up};
use super::present::{Present, Versions, load};
use super::promises::is_its_own;
use super::roots::check_first;
use super::steps::{NewRole, SignedRole, sign_file, sign_snapshot, sign_targets, sign_timestamp, version_after};
use super::{Edit, LEAST_GRACE, Progress};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::Signers;
use crate::metadata::trust::AtExpiry;
use crate::metadata::{Delegations, Lifetimes, Listing, MetaFile, ROOT_LIMIT, Role, TIMESTAMP_LIMIT, TargetEdits, Targets, format_expiry};
use crate::names::{ObjectName, RoleName};
use crate::policy::clocks::Moment;
use crate::storage::{Storage, Token};
use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often a commit starts over before it gives up.
const ATTEMPTS: u32 = 40;

/// How often a swap is tried that is refused although nothing has changed.
const SWAPS: u32 = 4;

/// The longest pause between two attempts, before it is made to differ.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// This many problems are reported individually.
const MOST_WARNINGS: usize = 10;

/// Commits edits to one repository.
pub struct Committer<'a> {
    /// Where it is stored.
    pub storage: &'a dyn Storage,
    /// The root that is trusted without question.
    pub pinned: &'a [u8],
    /// The online keys.
    pub signers: &'a Signers,
    /// Which plain names to keep.
    pub plain_names: PlainNames,
    /// The clock; read anew for every attempt.
    pub clock: &'a (dyn Fn() -> DateTime<Utc> + Sync),
    /// How long what is signed is valid.
    pub lifetimes: Lifetimes,
    /// Told each status as it comes.
    pub progress: &'a dyn Progress,
    /// Who signs snapshot and timestamp; `None`: this process.
    pub upper: Option<&'a dyn UpperRoles>,
    /// A root that comes with the commit, for keys that are replaced at once.
    pub replacement: Option<&'a dyn Replacement>,
    /// Versions that clients have seen although the repository is older: new ones are higher than these.
    pub floor: Versions,
    /// Told about the write that makes the commit visible.
    pub witness: Option<&'a dyn Witness>,
}

/// Remembers a commit for a process that may be killed in it: after a restart, what is remembered decides whether it took
/// place, however much other publishers have committed since.
pub trait Witness: Sync {
    /// Right before the timestamp is swapped, in every attempt: the one that is about to be written. An error ends the commit.
    fn swaps(&self, version: u64, timestamp: &[u8]) -> Result<()>;

    /// Before workers are asked to commit on top of this state.
    fn asks(&self, present: &Present) -> Result<()>;

    /// It is visible; called before anything else can fail.
    fn published(&self);
}

/// A root that replaces keys at once; the committer's signers are those of the new keys.
pub trait Replacement: Sync {
    /// Writes it. Called right before the timestamp is swapped, so that the time between the two is as short as possible for clients.
    fn publish(&self) -> Result<()>;

    /// Reads the state to build on again, which the replaced keys signed; with the new root already trusted, whether or not
    /// it is written by now.
    fn reload(&self) -> Result<Present>;
}

/// Signs the two roles above targets somewhere else. `None` and `false`: another process was faster.
pub trait UpperRoles: Sync {
    /// Lists new targets roles in a snapshot; none to sign it again.
    fn snapshot(&self, present: &Present, new: &[NewRole]) -> Result<Option<Written>>;

    /// Makes a snapshot visible; none to sign the timestamp again.
    fn timestamp(&self, present: &Present, snapshot: Option<&Written>) -> Result<bool>;
}

/// A role file that another process has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its version.
    pub version: u64,
    /// Of its bytes, in hex.
    pub sha256: String,
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The versions published now.
    pub versions: Versions,
    /// Whether this call changed anything; another process may have done the same work first.
    pub changed: bool,
    /// How often it had to start over.
    pub rebases: u32,
    /// What did not follow the commit: the new state is visible all the same.
    pub warnings: Vec<Message>,
}

/// What is to be done to a present state.
struct Work {
    edits: TargetEdits,
    renewed: BTreeSet<RoleName>,
    rebin: Option<super::Rebin>,
    rekey: Option<BinKeys>,
    undelegate: Vec<String>,
}

enum Attempt {
    /// Published: the state as a client sees it now, or nothing if others published it.
    Done(Option<Box<Present>>),
    /// Another process holds a number we need, or was faster.
    Again,
}

impl Committer<'_> {
    /// Carries out an edit that was planned on `present`.
    pub fn commit(&self, present: Present, edit: &Edit) -> Result<Committed> {
        let answers = self.commit_all(present, std::slice::from_ref(edit))?;
        answers.into_iter().next().unwrap_or_else(|| Err(Error::new(Kind::Unexpected, "a commit without an answer")))
    }

    /// Carries out edits together, each with an answer of its own: one that conflicts with what is published, or with one
    /// before it, fails alone. An edit that changes bins comes alone.
    pub fn commit_all(&self, present: Present, edits: &[Edit]) -> Result<Vec<Result<Committed>>> {
        let mut present = present;
        let begun = present.trust.now();
        let numbers = Numbers::new(self.storage);
        let mut pauses = pauses();
        for rebases in 0..ATTEMPTS {
            let (work, answers) = self.work(&mut present, edits, rebases > 0)?;
            let drafts = self.drafts(&present, &work)?;
            if drafts.is_empty() && work.renewed.is_empty() {
                drop(drafts);
                // Done by another process, or by a run of ours that was killed after its swap.
                let warnings = self.follow(&mut present, AtHand::default());
                return Ok(answer(answers, present.versions(), rebases, &warnings, |_| false));
            }
            self.check_staged(begun, &present, &work.edits)?;
            match self.attempt(&present, &work, drafts, &numbers, edits)? {
                Attempt::Done(now) => {
                    self.progress.status("visible to clients");
                    let changes: Vec<Change> = edits.iter().flat_map(|edit| &edit.changes).cloned().collect();
                    let at_hand = AtHand { before: Some(&present.targets), changes: &changes };
                    let mut now = now.map_or_else(|| load(self.storage, self.pinned, (self.clock)()), |now| Ok(*now))?;
                    let warnings = self.follow(&mut now, at_hand);
                    return Ok(answer(answers, now.versions(), rebases, &warnings, |changed| changed));
                }
                Attempt::Again => {
                    std::thread::sleep(pauses.next().unwrap_or(LONGEST_PAUSE));
                    present = match self.replacement {
                        Some(replacement) => replacement.reload()?,
                        None => load(self.storage, self.pinned, (self.clock)())?,
                    };
                }
            }
        }
        Err(Error::new(Kind::Conflict, format!("other publishers were faster {ATTEMPTS} times in a row; nothing was published"))
            .id(Id::OtherPublisherFaster)
            .hint("run the same command again when they are done"))
    }

    /// What follows from the state that is visible now; whatever fails is a warning, and work for the next run.
    fn follow(&self, present: &mut Present, at_hand: AtHand<'_>) -> Vec<Message> {
        let troubles = catch_up(self.storage, self.pinned, self.plain_names, present, at_hand, (self.clock)());
        let mut warnings: Vec<Message> = troubles.iter().take(MOST_WARNINGS).map(super::Trouble::message).collect();
        if troubles.len() > MOST_WARNINGS {
            let more = format!("{} more plain names are not up to date; `publish status` lists them", troubles.len() - MOST_WARNINGS);
            warnings.push(Message::new(Id::PlainNameNotCurrent, more));
        }
        if let Err(failure) = self.storage.sync() {
            let why = format!("the plain names may not survive a loss of power: {}", failure.message);
            warnings.push(Message::new(Id::PlainNamesNotDurable, why));
        }
        warnings
    }

    /// What of the edits remains to be done, with everything read that doing it needs; and for each edit whether that is
    /// anything, or why it cannot be.
    fn work(&self, present: &mut Present, edits: &[Edit], overtaken: bool) -> Result<(Work, Vec<Result<bool>>)> {
        let renewed: BTreeSet<RoleName> = edits.iter().flat_map(|edit| edit.open_renewals(present)).collect();
        let rebin = edits.iter().find_map(|edit| edit.rebin.clone());
        let mut rekey = edits.iter().find_map(|edit| edit.rekey.clone());
        if let Some(keys) = &rekey
            && (rebin.is_some() || present.bins_are_keyed(keys)?)
        {
            rekey = None;
        }
        let block = present.targets.field("delegations").map(|json| Delegations::parse(json, "targets.json")).transpose()?;
        let delegated = |name: &&String| block.iter().flat_map(|block| &block.roles).any(|role| role.name == **name);
        let undelegate: Vec<String> = edits.iter().flat_map(|edit| &edit.undelegate).filter(delegated).cloned().collect();
        if rebin.is_some() || rekey.is_some() || renewed.contains(&RoleName::Bins) {
            present.read_all_bins(self.storage)?;
        } else {
            let names: Vec<String> = edits.iter().flat_map(Edit::names_to_read).collect();
            present.read_bins_of(self.storage, names.iter().map(String::as_str))?;
            let planned_here = self.upper.is_none() && !overtaken;
            if planned_here { present.read_bins_for(self.storage, edits) } else { present.read_bins_around(self.storage, edits) }?;
        }
        let mut view = View::new(present);
        let mut answers = Vec::new();
        for edit in edits {
            let renews = edit.open_renewals(present).next().is_some()
                || edit.rebin.is_some()
                || (edit.rekey.is_some() && rekey.is_some())
                || edit.undelegate.iter().any(|name| undelegate.contains(name));
            match view.after(edit, self.storage, (self.clock)()) {
                Ok(more) => {
                    answers.push(Ok(renews || !more.is_empty()));
                    view.made.extend(more);
                }
                Err(failure) if is_its_own(&failure) => answers.push(Err(failure)),
                Err(failure) => return Err(failure),
            }
        }
        Ok((Work { edits: view.made, renewed, rebin, rekey, undelegate }, answers))
    }

    fn drafts<'p>(&self, present: &'p Present, work: &Work) -> Result<Vec<Draft<'p>>> {
        let spread = work.rebin.as_ref().map_or_else(|| Ok(Vec::new()), |wish| rebin(present, wish))?;
        // Bins that are spread that way already leave the rest of the work.
        if !spread.is_empty() {
            return Ok(spread);
        }
        // Clients have seen a newer state, and refuse every bin that is older than in it.
        let every_bin = self.floor.snapshot > present.versions().snapshot;
        drafts(present, &work.edits, &work.renewed, work.rekey.as_ref(), &work.undelegate, every_bin, &self.moment(present)?)
    }

    /// A prune deletes staged content that no metadata names once it is old. A publisher that was slow, or suspended,
    /// looks again whether its own is still there.
    fn check_staged(&self, begun: DateTime<Utc>, present: &Present, edits: &TargetEdits) -> Result<()> {
        let age = (self.clock)() - begun;
        if age.to_std().unwrap_or_default() < LEAST_GRACE / 2 || self.plain_names == PlainNames::Elsewhere {
            return Ok(());
        }
        for (name, target) in edits.iter().filter_map(|(name, target)| Some((name, target.as_ref()?))) {
            if target.elsewhere || present.target(name)?.is_some_and(|there| there.has_content_of(target)) {
                continue;
            }
            let staged = target.hashes.prefixes().map(|hash| self.storage.stat(&ObjectName::hashed_target(name, &hash)));
            if staged.collect::<Result<Vec<_>>>()?.iter().all(Option::is_none) {
                return Err(Error::new(Kind::Conflict, format!("the staged content of target {name} is gone; nothing was published"))
                    .detail(format!("it was staged {} hours ago, and a later prune deleted it", age.num_hours()))
                    .hint("run the same command again"));
            }
        }
        Ok(())
    }

    fn attempt(&self, present: &Present, work: &Work, drafts: Vec<Draft<'_>>, numbers: &Numbers<'_>, edits: &[Edit]) -> Result<Attempt> {
        let moment = self.moment(present)?;
        // A key may expire while its release is staged, and while other publishers are faster.
        let check_keys = || edits.iter().try_for_each(|edit| edit.check_key((self.clock)()));
        check_keys()?;
        // Staged content is durable before anything names it.
        self.storage.sync()?;
        let mut new = Vec::new();
        if !drafts.is_empty() {
            let Some(written) = self.write_targets(&drafts, numbers, moment)? else { return Ok(Attempt::Again) };
            new = written;
            self.progress.status(&targets_status(&work.edits, &new));
        }
        if !present.trust.root().consistent_snapshot() {
            self.place_plain_targets(&work.edits)?;
        }
        let wants_snapshot = !new.is_empty() || work.renewed.contains(&Role::Snapshot.into());
        let Some(upper) = self.upper else {
            let mut snapshot = None;
            if wants_snapshot {
                snapshot = self.write_snapshot(present, &new, numbers, moment)?;
                if snapshot.is_none() {
                    return Ok(Attempt::Again);
                }
            }
            check_keys()?;
            let published = self.write_timestamp(present, snapshot, new, moment)?;
            return Ok(published.map_or(Attempt::Again, |present| Attempt::Done(Some(Box::new(present)))));
        };
        let mut snapshot = None;
        if wants_snapshot {
            self.storage.sync()?;
            snapshot = upper.snapshot(present, &new)?;
            let Some(signed) = &snapshot else { return Ok(Attempt::Again) };
            read_written(self.storage, Role::Snapshot, signed)?;
            self.progress.status(&format!("snapshot signed (version {})", signed.version));
        }
        if !upper.timestamp(present, snapshot.as_ref())? {
            return Ok(Attempt::Again);
        }
        // A reported publication is accepted only when it can be read.
        let published = load(self.storage, self.pinned, (self.clock)())?;
        if published.versions().timestamp <= present.versions().timestamp {
            return Err(Error::new(
                Kind::Untrusted,
                "the timestamp worker reports that it signed, but the published timestamp is still the old one",
            )
            .hint("check the timestamp worker's host"));
        }
        if !shows(&published, snapshot.as_ref(), &new) {
            return Ok(Attempt::Again);
        }
        self.progress.status(&format!("timestamp signed (version {})", published.versions().timestamp));
        Ok(Attempt::Done(Some(Box::new(published))))
    }

    /// The time to sign at, read now.
    pub(super) fn moment(&self, present: &Present) -> Result<Moment> {
        let now = (self.clock)();
        let (timestamp, _) = listings(present)?;
        Ok(if self.replacement.is_some() {
            Moment::replacing(now, self.lifetimes, timestamp.expires())
        } else {
            Moment::after(now, self.lifetimes, timestamp.expires())
        })
    }

    /// The version that the next one of a role must be higher than. A bin is written at most once for each snapshot, so
    /// its version is no higher than the snapshot's.
    fn above(&self, role: &RoleName, present: u64) -> u64 {
        let of = match role {
            RoleName::Top(role) => *role,
            RoleName::Bins | RoleName::Delegated(_) => Role::Snapshot,
        };
        present.max(self.floor.of(of))
    }

    /// The snapshot step: signs and writes the snapshot that lists `new`. `None`: another process holds its number.
    pub(super) fn write_snapshot(
        &self,
        present: &Present,
        new: &[NewRole],
        numbers: &Numbers<'_>,
        moment: Moment,
    ) -> Result<Option<SignedRole>> {
        let (_, snapshot) = listings(present)?;
        let sign = |version| sign_snapshot(present.trust.root(), self.signers, snapshot, new, version, moment);
        let role = Role::Snapshot.into();
        let signed = numbers.create(&role, self.above(&role, present.versions().snapshot), snapshot_wish(new), &sign)?;
        if let Some(signed) = &signed {
            self.progress.status(&format!("snapshot signed (version {})", signed.version));
        }
        Ok(signed)
    }

    /// The timestamp step: makes the snapshot visible, after reading all that is new as a client would. `None`: another
    /// process was faster.
    pub(super) fn write_timestamp(
        &self,
        present: &Present,
        snapshot: Option<SignedRole>,
        new: Vec<NewRole>,
        moment: Moment,
    ) -> Result<Option<Present>> {
        let root = present.trust.root();
        let (timestamp, _) = listings(present)?;
        let version = version_after(Role::Timestamp, self.above(&Role::Timestamp.into(), present.versions().timestamp))?;
        let signed = sign_timestamp(root, self.signers, timestamp, snapshot.as_ref(), version, moment)?;
        let plain_roles = if root.consistent_snapshot() { Vec::new() } else { plain_roles(&new, snapshot.as_ref()) };
        let next = as_client(present, moment.now(), &signed, snapshot, new)?;
        if self.storage.get(&ObjectName::root(root.version() + 1), ROOT_LIMIT)?.is_some() {
            return Ok(None);
        }
        for (name, file) in plain_roles {
            self.storage.put(&name, &file)?;
        }
        self.storage.sync()?;
        self.replacement.map_or(Ok(()), Replacement::publish)?;
        self.witness.map_or(Ok(()), |witness| witness.swaps(signed.version, &signed.bytes))?;
        if !self.swap_timestamp(present, &signed)? {
            return Ok(None);
        }
        self.witness.inspect(|witness| witness.published());
        self.progress.status(&format!("timestamp signed (version {})", signed.version));
        Ok(Some(next))
    }

    /// Signs and writes targets roles, many at once. `None`: another process holds one of their numbers.
    fn write_targets(&self, drafts: &[Draft<'_>], numbers: &Numbers<'_>, moment: Moment) -> Result<Option<Vec<NewRole>>> {
        let write = |draft: &Draft<'_>, (): &mut ()| {
            let sign = |version| {
                let (keys, threshold) = &draft.keys;
                let expires = moment.expiry(Role::Targets, draft.replaced);
                let keys = keys.iter().map(|(id, key)| (id.as_str(), key));
                sign_file(self.signers, Role::Targets, (keys, *threshold), version, (draft.content)(version, expires)?)
            };
            let signed = numbers.create(&draft.role, self.above(&draft.role, draft.base), draft.wish, &sign)?;
            Ok(signed.map(|signed| NewRole { role: draft.role.clone(), signed }))
        };
        Ok(each(drafts, self.storage.properties().parallelism, || Ok(()), write)?.into_iter().collect())
    }

    /// Without consistent snapshots, plain names are what clients read: content comes before the roles that list it.
    fn place_plain_targets(&self, edits: &TargetEdits) -> Result<()> {
        // Removals wait until no metadata names the target any more.
        if self.plain_names == PlainNames::Elsewhere {
            return Ok(());
        }
        for (name, target) in edits.iter().filter(|(_, target)| target.is_some()) {
            apply(self.storage, name, target.as_ref(), false, None)?;
        }
        self.storage.sync()
    }

    /// Replaces the timestamp that the commit was planned on; `false` if another publisher has replaced it.
    fn swap_timestamp(&self, present: &Present, signed: &SignedRole) -> Result<bool> {
        let mut token = present.token.clone();
        let mut pauses = pauses();
        for attempt in 0.. {
            let answer = self.storage.compare_and_swap(&ObjectName::timestamp(), Some(&token), &signed.bytes);
            if matches!(answer, Ok(true)) {
                return Ok(true);
            }
            // Whatever the answer was, the stored object decides.
            let there = self.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?;
            if there.as_ref().is_some_and(|there| there.bytes == signed.bytes) {
                return Ok(true);
            }
            answer?;
            match there.filter(|there| there.bytes == present.timestamp_file) {
                None => return Ok(false),
                Some(there) if attempt + 1 >= SWAPS => return Err(unchanged(self.storage, &there.token)),
                // No other publisher was faster: some stores refuse while another request is in flight.
                Some(there) => token = there.token,
            }
            std::thread::sleep(pauses.next().unwrap_or(LONGEST_PAUSE));
        }
        Ok(false)
    }

    /// Publishes the first targets, snapshot and timestamp below a first root. What a killed run left is completed:
    /// role files of version 1 that are there already must verify and are kept.
    pub fn commit_first(&self) -> Result<Committed> {
        let now = (self.clock)();
        let moment = Moment::first(now, self.lifetimes);
        let mut trust = check_first(self.pinned, AtExpiry::Refuse(now))?;
        let root = trust.root().clone();
        let targets = self.first(Role::Targets, || sign_targets(&root, self.signers, &Targets::empty(), &TargetEdits::new(), 1, moment))?;
        let listed = [NewRole { role: Role::Targets.into(), signed: targets }];
        let snapshot =
            self.first(Role::Snapshot, || sign_snapshot(&root, self.signers, &Listing::empty(Role::Snapshot), &listed, 1, moment))?;
        let timestamp = sign_timestamp(&root, self.signers, &Listing::empty(Role::Timestamp), Some(&snapshot), 1, moment)?;
        trust.end_of_roots()?;
        trust.timestamp(&timestamp.bytes)?;
        trust.snapshot(&snapshot.bytes)?;
        if !root.consistent_snapshot() {
            for (name, file) in plain_roles(&listed, Some(&snapshot)) {
                self.storage.put(&name, &file)?;
            }
        }
        let [targets] = listed;
        trust.targets(targets.signed.bytes)?;
        self.storage.sync()?;
        let changed = self.storage.compare_and_swap(&ObjectName::timestamp(), None, &timestamp.bytes)?;
        let mut present = load(self.storage, self.pinned, now)?;
        let warnings = self.follow(&mut present, AtHand::default());
        Ok(Committed { versions: present.versions(), changed, rebases: 0, warnings })
    }

    fn first(&self, role: Role, sign: impl Fn() -> Result<SignedRole>) -> Result<SignedRole> {
        let signed = sign()?;
        let name = ObjectName::versioned(role, 1);
        if self.storage.create(&name, &signed.bytes)? {
            return Ok(signed);
        }
        let there =
            self.storage.get(&name, 1 << 20)?.ok_or_else(|| Error::new(Kind::Storage, format!("{name} appeared and disappeared")))?;
        Ok(SignedRole::of(1, there.bytes))
    }
}

/// Whether a state contains a snapshot, or at least the targets roles that it was to list.
fn shows(published: &Present, snapshot: Option<&Written>, new: &[NewRole]) -> bool {
    let Ok((timestamp, _)) = listings(published) else { return false };
    let sha256 = |listed: &MetaFile| listed.hashes.as_ref().and_then(|hashes| hashes.sha256).map(hex::encode);
    let Some(snapshot) = snapshot else { return true };
    let is_ours = |listed: &MetaFile| listed.version == snapshot.version && sha256(listed).is_none_or(|sha256| sha256 == snapshot.sha256);
    if timestamp.get("snapshot.json").is_some_and(is_ours) {
        return true;
    }
    let is_listed = |new: &NewRole| {
        let listed = published.trust.listed(&format!("{}.json", new.role));
        listed.is_ok_and(|it| it.version == new.signed.version && sha256(it).is_none_or(|sha256| sha256 == new.signed.digests.hex()))
    };
    published.versions().snapshot > snapshot.version && new.iter().all(is_listed)
}

/// A store that refuses a condition which holds: no other publisher causes this.
fn unchanged(storage: &dyn Storage, token: &Token) -> Error {
    let failure = Error::new(
        Kind::Storage,
        format!("{} refuses to replace timestamp.json although it has not changed; nothing was published", storage.location()),
    );
    let failure = if token.is_weak() {
        failure.detail("its ETag is weak (W/\"…\"), and a weak ETag never matches: a gateway or proxy in front of the store alters answers, for example by compressing them")
    } else {
        failure.detail("either reads are stale, from a cache between here and the store, or the store or a gateway in front of it has changed how it treats conditions")
    };
    failure.hint("no other publisher causes this; `publish store check` shows how the store behaves, if possible without the gateway")
}

fn listings(present: &Present) -> Result<(&Listing, &Listing)> {
    present.trust.listings().ok_or_else(|| Error::new(Kind::Untrusted, "there is no published state"))
}

fn answer(
    answers: Vec<Result<bool>>,
    versions: Versions,
    rebases: u32,
    warnings: &[Message],
    changed: impl Fn(bool) -> bool,
) -> Vec<Result<Committed>> {
    answers.into_iter().map(|answer| Ok(Committed { versions, changed: changed(answer?), rebases, warnings: warnings.to_vec() })).collect()
}

/// What is about to be published, read as a client who holds the present state and refuses what has expired.
fn as_client(
    present: &Present,
    now: DateTime<Utc>,
    timestamp: &SignedRole,
    snapshot: Option<SignedRole>,
    new: Vec<NewRole>,
) -> Result<Present> {
    let mut trust = present.trust.as_client(now);
    trust.end_of_roots().map_err(|failure| failure.hint("run `publish refresh` to sign the root again, then run this command again"))?;
    trust.timestamp(&timestamp.bytes)?;
    match snapshot {
        Some(snapshot) => drop(trust.snapshot(&snapshot.bytes)?),
        // Carried over: it must not have expired meanwhile.
        None => check_carried(present, Role::Snapshot, now)?,
    }
    let mut new: BTreeMap<RoleName, Vec<u8>> = new.into_iter().map(|new| (new.role, new.signed.bytes)).collect();
    let targets = match new.remove(&Role::Targets.into()) {
        Some(file) => trust.targets(file)?,
        None => {
            check_carried(present, Role::Targets, now)?;
            present.targets.clone()
        }
    };
    let bins = bins_as_client(present, &targets, &mut trust, new, now)?;
    Ok(Present { trust, token: present.token.clone(), timestamp_file: timestamp.bytes.clone(), targets, bins })
}

fn bins_as_client(
    present: &Present,
    top: &Targets,
    trust: &mut crate::metadata::trust::TrustedMetadata,
    mut new: BTreeMap<RoleName, Vec<u8>>,
    now: DateTime<Utc>,
) -> Result<Option<Bins>> {
    let mut bins = match (new.remove(&RoleName::Bins), &present.bins) {
        (Some(file), _) => {
            let parent = Delegations::parse(top.field("delegations").unwrap_or("{}"), "targets.json")?;
            let role = parent.roles.iter().find(|role| role.name == BINS);
            let role = role.ok_or_else(|| Error::new(Kind::Unexpected, "targets.json does not delegate to the bins"))?;
            Bins::of(trust.delegated(&parent, role, file)?, role)?
        }
        (None, Some(bins)) if bins.role.expires() <= now => {
            return Err(Error::new(
                Kind::Untrusted,
                format!("the bins expired on {} and were not signed again", format_expiry(bins.role.expires())),
            )
            .hint("run `publish refresh` to sign them again, then run this command again"));
        }
        (None, bins) => bins.clone(),
    };
    if let Some(bins) = &mut bins {
        let mut written = BTreeMap::new();
        for (at, role) in bins.delegations.roles.iter().enumerate() {
            if let Some(file) = new.remove(&RoleName::of(&role.name)) {
                written.insert(at, trust.delegated(&bins.delegations, role, file)?);
            }
        }
        let kept = present.bins.as_ref().filter(|before| before.count() == bins.count());
        bins.carry(kept, written);
    }
    match new.into_keys().next() {
        None => Ok(bins),
        Some(stray) => Err(Error::new(Kind::Unexpected, format!("no role delegates to the new role {stray}"))),
    }
}

/// For example `targets signed (version 4)`.
fn targets_status(edits: &TargetEdits, new: &[NewRole]) -> String {
    if let Some(top) = new.iter().find(|new| new.role == Role::Targets).filter(|_| new.len() == 1) {
        return format!("targets signed (version {})", top.signed.version);
    }
    let bins = new.iter().filter(|new| new.role != Role::Targets && new.role != RoleName::Bins).count();
    format!("targets signed ({} changed, in {bins} {})", edits.len(), if bins == 1 { "bin" } else { "bins" })
}

/// Stands for what a snapshot is to list anew.
fn snapshot_wish(new: &[NewRole]) -> [u8; 32] {
    let line = |new: &NewRole| format!("{} {} {}\n", new.role, new.signed.version, new.signed.digests.hex());
    openssl::sha::sha256(new.iter().map(line).collect::<String>().as_bytes())
}

/// The role files that clients read by plain name, those that are listed before the one that lists them.
fn plain_roles(new: &[NewRole], snapshot: Option<&SignedRole>) -> Vec<(ObjectName, Vec<u8>)> {
    // A bin before the role that lists it, that before the top-level role.
    let order = |new: &&NewRole| match new.role {
        RoleName::Delegated(_) => 0,
        RoleName::Bins => 1,
        RoleName::Top(_) => 2,
    };
    let mut sorted: Vec<&NewRole> = new.iter().collect();
    sorted.sort_by_key(order);
    let targets = sorted.into_iter().map(|new| (ObjectName::plain_role(&new.role), new.signed.bytes.clone()));
    targets.chain(snapshot.map(|signed| (ObjectName::plain_role(Role::Snapshot), signed.bytes.clone()))).collect()
}

fn check_carried(present: &Present, role: Role, now: DateTime<Utc>) -> Result<()> {
    let expired = present.trust.expired().iter().find(|(expired, expires)| *expired == role && *expires <= now);
    match expired {
        None => Ok(()),
        Some((_, expires)) => {
            Err(Error::new(Kind::Untrusted, format!("{role} expired on {} and was not signed again", format_expiry(*expires))))
        }
    }
}

/// The pauses before further attempts: they grow, and differ between publishers.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
