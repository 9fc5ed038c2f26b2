//! The commit, by the protocol that the module `repository` describes. The races considered are:
//!
//! - Two publishers take the same number: `create` lets one have it. The other waits if the owner may still run,
//!   and takes the next free number if it has ended: a number once written is never reused, caches may hold it.
//! - Both have numbers and swap: one swap fails, reads what is there now, and rebases.
//! - A swap that was carried out is reported as failed (a retried request): the bytes there are compared with ours.
//! - A new root appears while we sign: it is looked up right before the swap, and then the commit starts again.

mod client;
mod first;
mod roles;
mod swap;

use self::swap::{LONGEST_PAUSE, pauses};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::Signers;
use crate::metadata::{Delegations, Lifetimes, Listing, MetaFile, Role, TargetEdits};
use crate::names::{ObjectName, RoleName};
use crate::policy::clocks::Moment;
use crate::repository::bin_keys::BinKeys;
use crate::repository::draft::{Draft, drafts, rebin};
use crate::repository::edit::{Change, View};
use crate::repository::handed_over::read_written;
use crate::repository::numbers::Numbers;
use crate::repository::plain_names::{AtHand, PlainNames, catch_up};
use crate::repository::present::{Present, Versions, load};
use crate::repository::promises::is_its_own;
use crate::repository::steps::NewRole;
use crate::repository::{Edit, LEAST_GRACE, Progress};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// How often a commit starts over before it gives up.
const ATTEMPTS: u32 = 40;

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
    rebin: Option<crate::repository::Rebin>,
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
        let mut warnings: Vec<Message> = troubles.iter().take(MOST_WARNINGS).map(crate::repository::Trouble::message).collect();
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
        let spread = work.rebin.as_ref().map_or_else(|| Ok(Vec::new()), |content_id| rebin(present, content_id))?;
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
    pub(in crate::repository) fn moment(&self, present: &Present) -> Result<Moment> {
        let now = (self.clock)();
        let (timestamp, _) = listings(present)?;
        Ok(if self.replacement.is_some() {
            Moment::replacing(now, self.lifetimes, timestamp.expires())
        } else {
            Moment::after(now, self.lifetimes, timestamp.expires())
        })
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

/// For example `targets signed (version 4)`.
fn targets_status(edits: &TargetEdits, new: &[NewRole]) -> String {
    if let Some(top) = new.iter().find(|new| new.role == Role::Targets).filter(|_| new.len() == 1) {
        return format!("targets signed (version {})", top.signed.version);
    }
    let bins = new.iter().filter(|new| new.role != Role::Targets && new.role != RoleName::Bins).count();
    format!("targets signed ({} changed, in {bins} {})", edits.len(), if bins == 1 { "bin" } else { "bins" })
}
