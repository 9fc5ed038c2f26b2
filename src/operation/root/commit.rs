//! `publish root commit`: the next root becomes visible, and with it what the new keys sign.

use super::draft_file::{DraftFile, published};
use super::rollback::{BackTo, Rollback};
use super::rotate::{bins_behind, bins_follow};
use super::{Review, RootReport, TrustedRoots, VouchedBy, affected, present_for, root_file, waiting_line};
use crate::error::{Error, Kind, Result};
use crate::keys::Signers;
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{PublicKey, ROOT_LIMIT, Role, RootDraft};
use crate::names::ObjectName;
use crate::operation::{Outcome, Publisher};
use crate::repository::{Committer, Edit, Present, Renewal, Replacement, load_before_root, load_roots, publish_root};
use crate::storage::Storage;
use serde::Serialize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What the loser of two commits does: signatures are over one root and do not count for the next number.
const START_AGAIN: &str = "see what is published with `publish status` and `publish key list`; if your change is still wanted, move the draft's file away, start again with `publish root edit`, and collect the signatures for the new draft";

/// How a root is to be committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommitRequest {
    /// Take a root after which clients fail until the roles are signed again, for keys that were lost or stolen.
    pub replace_now: bool,
    /// Sign the state of an earlier snapshot instead of what is published: with keys replaced at once only.
    pub back_to: Option<BackTo>,
}

/// What committing a draft will do.
#[derive(Debug, Serialize)]
pub struct RootCommitPlan {
    /// The draft.
    pub root: RootReport,
    /// Roles that are signed again after the root, or with it.
    pub resigned: Vec<&'static str>,
    /// Roles that clients refuse between the two writes: keys are replaced at once.
    pub refused_meanwhile: Vec<&'static str>,
    /// What changes for clients when an earlier state is restored.
    #[serde(rename = "going_back", skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// Whether the draft is published already, by a run that was killed after its last step.
    pub empty: bool,
    /// The root that is published now, where the draft is published already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<u64>,
}

/// A commit of a root that was decided and is not carried out yet.
#[derive(Debug)]
pub struct PreparedCommit {
    /// What people are shown, and what is in the JSON.
    pub plan: RootCommitPlan,
    /// `None` for a draft that is published already.
    work: Option<Box<CommitWork>>,
}

/// What a commit of a root needs beyond what people see.
#[derive(Debug)]
struct CommitWork {
    file: DraftFile,
    present: Present,
    signers: Signers,
    resigned: Vec<Role>,
}

/// Decides whether a draft can be published, as clients of every age would judge it.
pub fn prepare(publisher: &Publisher, path: &Path, request: CommitRequest) -> Result<PreparedCommit> {
    match already_published(publisher, path)? {
        Some(plan) => Ok(PreparedCommit { plan, work: None }),
        None => prepare_review(publisher, Review::read(Some(publisher), &TrustedRoots::default(), path)?, request),
    }
}

/// A run that was killed after its last step has left nothing to do.
fn already_published(publisher: &Publisher, path: &Path) -> Result<Option<RootCommitPlan>> {
    if path.exists() {
        return Ok(None);
    }
    let Some(file) = DraftFile::read_if_there(&published(path))? else { return Ok(None) };
    let there = root_file(publisher, file.draft.next().version());
    if !there.is_ok_and(|there| file.draft.root_file().is_ok_and(|ours| ours == there)) {
        return Ok(None);
    }
    let newest = load_roots(publisher.storage.as_ref(), &publisher.pinned()?, AtExpiry::Report(publisher.now()))?;
    let newest = Some(newest.root().version());
    let root = Review::of(Some(publisher), &TrustedRoots::default(), file)?.report;
    let nothing = || Vec::new();
    Ok(Some(RootCommitPlan { root, newest, resigned: nothing(), refused_meanwhile: nothing(), rollback: None, empty: true }))
}

/// The same for a draft that was read already.
pub(super) fn prepare_review(publisher: &Publisher, review: Review<'_>, request: CommitRequest) -> Result<PreparedCommit> {
    let (file, root) = review.into_parts();
    let draft = &file.draft;
    if let Some(problem) = root.problems.first() {
        let failure = Error::new(Kind::Conflict, format!("root {} cannot be published: {problem}", root.to))
            .details(root.problems.iter().skip(1).cloned());
        return Err(match root.vouched_by {
            VouchedBy::Nothing => failure.hint(START_AGAIN),
            _ => failure.hint("`publish root show` shows the whole draft"),
        });
    }
    if !root.waiting.is_empty() {
        return Err(Error::new(Kind::Conflict, waiting_line(&root))
            .details(root.waiting.iter().map(|who| format!("has not signed: {who}")))
            .hint(
                "they sign with: publish root sign --draft FILE --key KEY; then bring the copies together with: publish root merge FILE…",
            ));
    }
    let rollback = match request.back_to {
        Some(back_to) if !is_finished(publisher, draft)? => Some(back_to.plan(publisher, draft)?),
        _ => None,
    };
    let (present, affected, rollback) = match rollback {
        Some((rollback, present)) => (present, Role::ONLINE.to_vec(), Some(rollback)),
        None => {
            let present = present_for(publisher, draft)?;
            let affected = affected(publisher, &present, draft.next())?;
            (present, affected, None)
        }
    };
    if !affected.is_empty() && !request.replace_now {
        let roles: Vec<&str> = affected.iter().map(|role| role.name()).collect();
        return Err(Error::new(Kind::Conflict, format!("with root {}, clients would refuse the published {}", root.to, roles.join(", ")))
            .hint("use two roots, the first of which adds the new key beside the old one; `publish rotate ROLE` makes both")
            .hint("if the old key was lost or stolen: publish root commit --replace-now; clients fail between its two writes"));
    }
    let changed: Vec<Role> = Role::ONLINE
        .into_iter()
        .filter(|role| affected.contains(role) || draft.present().role(*role) != draft.next().role(*role))
        .collect();
    let resigned = if changed.is_empty() { Vec::new() } else { with_those_above(&changed) };
    // A replacement of keys needs the new ones here; added keys may be on other machines, which sign later.
    let signers = match publisher.local_signers(draft.next(), &resigned) {
        Ok(signers) => Some(signers),
        Err(failure) if affected.is_empty() => {
            publisher.progress.status(&format!("the roles are not signed again: {}", failure.message));
            None
        }
        Err(failure) => return Err(failure),
    };
    let resigned = if signers.is_some() { resigned } else { Vec::new() };
    let follow = resigned.contains(&Role::Targets) && publisher.keyring.bins.is_empty() && present.bins_follow_targets()?;
    if !follow {
        check_bins(publisher, &present, draft)?;
    }
    let names = |roles: &[Role]| roles.iter().map(|role| role.name()).collect();
    let (resigned_names, refused_meanwhile) = (names(&resigned), names(&affected));
    Ok(PreparedCommit {
        plan: RootCommitPlan { empty: false, newest: None, resigned: resigned_names, refused_meanwhile, root, rollback },
        work: Some(Box::new(CommitWork { file, present, signers: signers.unwrap_or_default(), resigned })),
    })
}

/// Refuses a root that drops a targets key while the bins depend on it and do not follow in the same step: nothing in them
/// could be changed any more.
fn check_bins(publisher: &Publisher, present: &Present, draft: &RootDraft) -> Result<()> {
    let next = draft.next();
    let of_next = |key: &PublicKey| next.keys_of(Role::Targets).any(|(_, known)| known.same_material(key));
    let dropped: Vec<&PublicKey> = draft.present().keys_of(Role::Targets).map(|(_, key)| key).filter(|key| !of_next(key)).collect();
    if dropped.is_empty() || present.bins.is_none() {
        return Ok(());
    }
    let is_dropped = |key: &PublicKey| dropped.iter().any(|known| known.same_material(key));
    // A key that is no targets key any more may still be one of the bins' own here.
    let (own, _) = publisher.keyring.load_all(&publisher.keyring.bins);
    let is_own = |key: &PublicKey| own.iter().any(|signer| signer.public().same_material(key));
    let Some((role, ids)) = present.bin_without(|key| !is_dropped(key) || is_own(key))? else { return Ok(()) };
    Err(Error::new(
        Kind::Conflict,
        format!("root {} drops a targets key that {role}.json depends on: nothing could sign the bins any more", next.version()),
    )
    .details(ids.iter().map(|id| format!("{role}.json is signed by: {}", draft.describe(id))))
    .hint("first sign the bins with the keys that stay: run `publish refresh --all` on the machine that has the targets key (with workers: configure both keys)")
    .hint("then run this command again")
    )
}

/// What committing did.
#[derive(Debug, Serialize)]
pub struct RootCommitted {
    /// As for every command.
    pub outcome: Outcome,
    /// How long clients failed between the two writes, in milliseconds; only where keys were replaced at once.
    pub window_ms: Option<u128>,
}

/// Publishes the root and the roles around it; a killed run is finished by the same command.
pub fn carry_out(publisher: &Publisher, prepared: PreparedCommit) -> Result<RootCommitted> {
    let PreparedCommit { plan, work } = prepared;
    let Some(work) = work else { return Ok(RootCommitted { outcome: Outcome::unchanged(publisher.load()?.versions()), window_ms: None }) };
    let CommitWork { mut file, present, signers, resigned } = *work;
    publisher.begin_changes_even_paused()?;
    let versions = present.versions();
    let renewal = |role: &Role| Renewal { role: (*role).into(), version: versions.of(*role) };
    let edit = Edit { renewals: resigned.iter().map(renewal).collect(), ..Edit::default() };
    let committed = if plan.refused_meanwhile.is_empty() {
        let version = file.draft.next().version();
        publish(
            publisher.storage.as_ref(),
            &present.trust.as_client(publisher.now()),
            &file.draft.root_file()?,
            &ObjectName::root(version),
        )?;
        publisher.progress.status(&format!("root signed (version {version})"));
        let mut outcome: Outcome = publisher.commit_locally(publisher.load()?, &edit, &signers)?.into();
        if resigned.contains(&Role::Targets) {
            outcome = bins_follow(publisher)?.unwrap_or(outcome);
        }
        RootCommitted { outcome: Outcome { changed: true, ..outcome }, window_ms: None }
    } else {
        replace_at_once(publisher, &mut file, present, edit, &signers, plan.rollback.as_ref())?
    };
    let path = file.path().display().to_string();
    if !file.put_away()? {
        publisher.progress.status(&format!("{path} has changed since it was read and is kept; the draft that was shown is published"));
    }
    Ok(committed)
}

/// Publishes the root and what the new keys sign as close to each other as can be.
fn replace_at_once(
    publisher: &Publisher,
    draft_file: &mut DraftFile,
    mut present: Present,
    mut edit: Edit,
    signers: &Signers,
    rollback: Option<&Rollback>,
) -> Result<RootCommitted> {
    if rollback.is_none() {
        // No other publisher may work between the two writes, and after a kill the next run must know the state before them.
        draft_file.draft.set_base(present.digest());
        draft_file.write()?;
    }
    let draft = &draft_file.draft;
    let file = draft.root_file()?;
    let before = present.trust.as_client(publisher.now());
    present.trust.next_root_keeping_state(&file)?;
    // Bins that a replaced targets key signs are as lost as the role above them; the keys of others are not at hand here.
    if edit.renewals.iter().any(|renewal| renewal.role == Role::Targets) {
        edit.rekey = bins_behind(publisher, &present)?;
    }
    edit.changes = rollback.map_or(Ok(Vec::new()), |back| back.removals(&present))?;
    let at_once = AtOnce { publisher, draft, file, before, rollback, since: Mutex::default() };
    let pinned = publisher.pinned()?;
    let committer = Committer { replacement: Some(&at_once), ..publisher.committer(&pinned, signers) };
    let floor = rollback.map_or(committer.floor, |back| back.above);
    publisher.compare_clocks();
    let committed = Committer { floor, ..committer }.commit(present, &edit)?;
    let since = at_once.since.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Where versions were set back, this forgets the higher ones.
    publisher.remember(&publisher.load()?.versions())?;
    Ok(RootCommitted { outcome: committed.into(), window_ms: since.map(|at| at.elapsed().as_millis()) })
}

/// Replaces keys in the moment before the timestamp is swapped.
struct AtOnce<'a> {
    publisher: &'a Publisher,
    draft: &'a RootDraft,
    file: Vec<u8>,
    /// What a client trusts before.
    before: TrustedMetadata,
    rollback: Option<&'a Rollback>,
    since: Mutex<Option<Instant>>,
}

impl Replacement for AtOnce<'_> {
    fn publish(&self) -> crate::error::Result<()> {
        publish(self.publisher.storage.as_ref(), &self.before, &self.file, &ObjectName::root(self.draft.next().version()))?;
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        Ok(())
    }

    fn reload(&self) -> crate::error::Result<Present> {
        let (storage, to) = (self.publisher.storage.as_ref(), self.draft.next().version());
        let mut present = match self.rollback {
            Some(back) => back.load(self.publisher, to)?,
            None => {
                let present = load_before_root(storage, &self.publisher.pinned()?, to, self.publisher.now())?;
                if self.draft.base() != Some(present.digest().as_str()) {
                    return Err(Error::new(Kind::Conflict, "another publisher published while keys were being replaced")
                        .hint("stop the other publishers, then run the same command again")
                        .hint("if it was the attacker: publish root commit --replace-now --back-to SNAPSHOT, where SNAPSHOT is the last version that you published"));
                }
                present
            }
        };
        present.trust.next_root_keeping_state(&self.file)?;
        Ok(present)
    }
}

/// Whether a killed run had got as far as a state that the next root's keys have signed.
fn is_finished(publisher: &Publisher, draft: &RootDraft) -> Result<bool> {
    let present = crate::repository::load(publisher.storage.as_ref(), &publisher.pinned()?, publisher.now());
    Ok(present.is_ok_and(|present| present.trust.root().version() == draft.next().version()))
}

/// Creates the root; one that is there with the same bytes is ours.
fn publish(storage: &dyn Storage, trust: &TrustedMetadata, file: &[u8], name: &ObjectName) -> crate::error::Result<()> {
    if storage.get(name, ROOT_LIMIT)?.is_some_and(|there| there.bytes == file) || publish_root(storage, trust, file)? {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("another process published another {name}; the root of this draft is not published"))
        .hint(START_AGAIN))
}

/// A role and those that list it.
fn with_those_above(roles: &[Role]) -> Vec<Role> {
    let first = Role::ONLINE.iter().position(|role| roles.contains(role)).unwrap_or(0);
    Role::ONLINE[first..].to_vec()
}
