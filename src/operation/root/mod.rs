//! `publish root`: the next root as a draft that people sign on their own machines.

use super::{Workspace, own_file};
use crate::failure::{Failure, Kind};
use crate::keys::{RoleSigner, sign_all};
use crate::layout::ObjectName;
use crate::metadata::trust::{AtExpiry, Trust, is_signed_for};
use crate::metadata::{Expiry, PublicKey, Quorum, ROOT_LIMIT, Role, Root, RootChange, RootDraft, RootEdit, format_expiry};
use crate::policy::client_roots;
use crate::policy::clocks::Moment;
use crate::repository::{Present, load_before_root};
use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No draft is near this long: two roots and a few names.
const MAX_DRAFT: u64 = 4 << 20;

/// What the next root shall change; names stand for the keys they are known by.
#[derive(Clone, Debug, Default)]
pub struct RootWish {
    /// Keys that shall sign a role, with the name of whoever holds each.
    pub add: Vec<(Role, PublicKey, Option<String>)>,
    /// Keys that shall not any more: a name, or the beginning of a key id.
    pub remove: Vec<(Role, String)>,
    /// How many keys shall sign.
    pub thresholds: Vec<(Role, u64)>,
    /// Until when; a year from now without one.
    pub expires: Option<Expiry>,
    /// Who holds which key: a present name, or the beginning of a key id, and the new name.
    pub names: Vec<(String, String)>,
}

/// What there is to know of a draft.
#[derive(Debug, Serialize)]
pub struct RootReport {
    /// The draft's file.
    pub draft: String,
    /// The version of the present root.
    pub from: u64,
    /// The version of the next.
    pub to: u64,
    /// SHA-512 of the present root's file, in hex: people compare it with what they know.
    pub present_sha512: String,
    /// What changes, one line each.
    pub changes: Vec<String>,
    /// The signatures, by the keys of the present root and by those of the next.
    pub quorums: [Quorum; 2],
    /// Whom it waits for; empty once both quorums are reached.
    pub waiting: Vec<String>,
    /// Names by key id.
    pub names: BTreeMap<String, String>,
    /// Signatures on it that count for nothing.
    pub surplus: Vec<String>,
    /// Clients that the next root locks out.
    pub lockouts: Vec<String>,
    /// Why clients would not follow, or why it cannot be published.
    pub problems: Vec<String>,
    /// What happens besides: roles that are signed again, and until when readers wait.
    pub notes: Vec<String>,
    /// Signatures that this run added.
    pub added: usize,
    /// Signatures that this run made void.
    pub voided: usize,
}

/// Reads a draft.
pub fn read_draft(path: &Path) -> Result<RootDraft> {
    let what = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let failure = Failure::io("read the draft", what.to_string(), error);
        if missing { failure.hint("start one with `publish root edit`, or name its file with --draft") } else { failure }
    })?;
    if metadata.len() > MAX_DRAFT {
        return Err(Failure::invalid(format!("the draft {what} has {} bytes; no more than {MAX_DRAFT} are read", metadata.len())).into());
    }
    let bytes = std::fs::read(path).map_err(|error| Failure::io("read the draft", what.to_string(), error))?;
    Ok(RootDraft::parse(&bytes, &format!("{what}"))?)
}

pub(super) fn write_draft(path: &Path, draft: &RootDraft) -> Result<()> {
    Ok(own_file::replace(path, &draft.to_bytes()?)?)
}

/// Starts a draft, or changes the one that is there; nothing is published.
pub fn edit(workspace: &Workspace, path: &Path, names: &Path, wish: &RootWish, dry_run: bool) -> Result<RootReport> {
    let now = workspace.now();
    if let Some(over) = wish.expires.filter(|expires| *expires <= now) {
        return Err(Failure::invalid(format!("the next root would expire on {}, which is over", format_expiry(over)))
            .hint("give a moment to come, for example 365d")
            .into());
    }
    let mut draft = if path.exists() {
        read_draft(path)?
    } else {
        // Only people shorten the life of a root: they ask for it, and every signer is shown it as a change.
        let usual = |present| Moment::after(now, present).expiry(Role::Root, Some(present));
        RootDraft::start(&newest_root(workspace)?, |present| wish.expires.unwrap_or_else(|| usual(present)), read_names(names)?)?
    };
    check_fresh(workspace, &draft)?;
    let mut edit = RootEdit { thresholds: wish.thresholds.clone(), expires: wish.expires, ..RootEdit::default() };
    for (role, key, name) in &wish.add {
        edit.add.push((*role, key.clone()));
        if let Some(name) = name {
            let id = draft.next().id_of(*role, key)?;
            draft.name(&id, name)?;
        }
    }
    for (role, text) in &wish.remove {
        edit.remove.push((*role, resolve(&draft, Some(*role), text)?));
    }
    let voided = draft.edit(&edit)?;
    for (text, name) in &wish.names {
        let id = resolve(&draft, None, text)?;
        draft.name(&id, name)?;
    }
    if !dry_run {
        write_draft(path, &draft)?;
    }
    Ok(RootReport { voided, ..report(Some(workspace), path, &draft)? })
}

/// Looks at a draft; without a workspace, as on a machine that has the draft only.
pub fn show(workspace: Option<&Workspace>, path: &Path) -> Result<RootReport> {
    report(workspace, path, &read_draft(path)?)
}

/// Signs a draft with these keys.
pub fn sign(workspace: Option<&Workspace>, path: &Path, signers: &[Arc<dyn RoleSigner>]) -> Result<RootReport> {
    let mut draft = read_draft(path)?;
    for signer in signers {
        if !draft.root_keys().any(|(_, key)| key.same_material(signer.public())) {
            return Err(Failure::invalid(format!(
                "the key in {} may sign neither root {} nor root {}",
                signer.origin(),
                draft.present().version(),
                draft.next().version()
            ))
            .detail(format!("it is: {} {}", signer.public().id(), signer.public().keytype()))
            .details(draft.root_keys().map(|(id, key)| format!("may sign: {} {}", draft.describe(id), key.keytype())))
            .hint("is it the right key, and the right draft?")
            .into());
        }
    }
    let message = draft.message()?;
    let fitting = draft.root_keys().filter(|(_, key)| signers.iter().any(|signer| signer.public().same_material(key))).count() as u64;
    let signatures = sign_all(&message, signers, draft.root_keys(), fitting)?;
    let added = draft.add_signatures(&signatures)?;
    write_draft(path, &draft)?;
    Ok(RootReport { added, ..report(workspace, path, &draft)? })
}

/// Takes the signatures of other copies of the draft.
pub fn merge(workspace: Option<&Workspace>, path: &Path, others: &[PathBuf]) -> Result<RootReport> {
    let mut draft = read_draft(path)?;
    let mut added = 0;
    for other in others {
        added += draft.merge(&read_draft(other)?, &other.display().to_string())?;
    }
    write_draft(path, &draft)?;
    Ok(RootReport { added, ..report(workspace, path, &draft)? })
}

/// The online roles that are not signed for the next root.
pub(super) fn affected(workspace: &Workspace, present: &Present, next: &Root) -> Result<Vec<Role>> {
    let snapshot = present.snapshot_file(workspace.storage.as_ref())?;
    let files = [(Role::Targets, present.targets.file()), (Role::Snapshot, &snapshot), (Role::Timestamp, &present.timestamp_file)];
    Ok(files.into_iter().filter(|(role, file)| !is_signed_for(next, *role, file)).map(|(role, _)| role).collect())
}

/// The published state: below the present root, whether or not a killed commit has put the next one there.
pub(super) fn present_for(workspace: &Workspace, draft: &RootDraft) -> crate::failure::Result<Present> {
    let Some(base) = draft.base() else { return workspace.load().map_err(|failure| half_done(workspace, draft, failure)) };
    match load_before_root(workspace.storage.as_ref(), &workspace.pinned()?, draft.next().version(), workspace.now()) {
        Ok(present) if present.digest() == base => Ok(present),
        // It was done, or somebody else has gone on: then the new root's keys have signed what is there, or it is nothing to
        // build on.
        _ => workspace.load().map_err(|failure| half_done(workspace, draft, failure)),
    }
}

/// The roles may wait for a second run to be signed for a root that is there.
fn half_done(workspace: &Workspace, draft: &RootDraft, failure: Failure) -> Failure {
    let name = ObjectName::versioned("root", draft.next().version());
    match workspace.storage.get(&name, ROOT_LIMIT) {
        Ok(Some(_)) => failure
            .hint(format!("{name} is published and the roles are not signed for it: run the same `publish root commit` again, with all its options"))
            .hint("if somebody else has published with the replaced keys: publish root commit --replace-now --back-to SNAPSHOT, the last one that you know"),
        _ => failure,
    }
}

/// The newest root's file.
fn newest_root(workspace: &Workspace) -> Result<Vec<u8>> {
    let trust = crate::repository::load_roots(workspace.storage.as_ref(), &workspace.pinned()?, AtExpiry::Report(workspace.now()))?;
    root_file(workspace, trust.root().version())
}

pub(super) fn root_file(workspace: &Workspace, version: u64) -> Result<Vec<u8>> {
    let name = ObjectName::versioned("root", version);
    let pinned = workspace.pinned()?;
    let there = workspace.storage.get(&name, ROOT_LIMIT)?;
    let missing = || Failure::new(Kind::Untrusted, format!("{name} is missing from {}", workspace.storage.location()));
    match there {
        Some(object) => Ok(object.bytes),
        // A repository may have been given to us with later roots only: the pinned one is one of them.
        None if Trust::pin(&pinned, AtExpiry::Report(workspace.now()))?.root().version() == version => Ok(pinned),
        None => Err(missing().into()),
    }
}

/// Refuses a draft that does not start from what is published.
fn check_fresh(workspace: &Workspace, draft: &RootDraft) -> Result<()> {
    match staleness(workspace, draft)? {
        None => Ok(()),
        Some(why) => {
            Err(Failure::new(Kind::Conflict, why).hint("move the draft's file away and start again with `publish root edit`").into())
        }
    }
}

fn staleness(workspace: &Workspace, draft: &RootDraft) -> Result<Option<String>> {
    let newest = newest_root(workspace)?;
    let newest_version = Trust::pin(&newest, AtExpiry::Report(workspace.now()))?.root().version();
    let (from, to) = (draft.present().version(), draft.next().version());
    if newest == draft.present_file() || (newest_version == to && newest == draft.root_file()?) {
        return Ok(None);
    }
    let same_chain = newest_version > from && root_file(workspace, from).is_ok_and(|file| file == draft.present_file());
    Ok(Some(if same_chain {
        format!("the draft is stale: it follows root {from}, and root {newest_version} is published")
    } else {
        format!("the draft belongs to another repository: its root {from} is not the one that is published")
    }))
}

/// The id of the key that a name or the beginning of an id stands for.
fn resolve(draft: &RootDraft, role: Option<Role>, text: &str) -> Result<String> {
    let ids: Vec<&String> = match role {
        Some(role) => draft.next().role(role).keyids.iter().collect(),
        None => draft.next().keys().keys().collect(),
    };
    let found: Vec<&&String> = ids
        .iter()
        .filter(|id| (text.len() >= 4 && id.starts_with(text)) || draft.names().get(**id).is_some_and(|name| name == text))
        .collect();
    match found.as_slice() {
        [id] => Ok((**id).clone()),
        other => {
            let how = if other.is_empty() { "is none of" } else { "could be several of" };
            let whose = role.map_or_else(|| "the root".to_owned(), |role| role.to_string());
            Err(Failure::invalid(format!("`{}` {how} {whose}'s keys", text.escape_debug()))
                .details(ids.iter().map(|id| draft.describe(id)))
                .hint("give a name, or at least four digits of the key id")
                .into())
        }
    }
}

pub(super) fn report(workspace: Option<&Workspace>, path: &Path, draft: &RootDraft) -> Result<RootReport> {
    let quorums = draft.quorums()?;
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    if let Some(workspace) = workspace {
        let now = workspace.now();
        match staleness(workspace, draft)? {
            Some(why) => problems.push(why),
            None => {
                if draft.next().expires() <= now {
                    problems.push(format!("it expired on {}", format_expiry(draft.next().expires())));
                } else if draft.next().expires() < draft.present().expires() {
                    notes.push("it expires before the present root does".into());
                }
                match present_for(workspace, draft) {
                    Ok(present) => {
                        for role in affected(workspace, &present, draft.next())? {
                            notes.push(format!("{role} is not signed for it: clients fail from the root on until {role} is signed again"));
                        }
                    }
                    // A state that readers refuse is what some roots are made for.
                    Err(failure) if matches!(failure.kind, Kind::Untrusted | Kind::Invalid) => {
                        notes.push(format!("what is published cannot be built on: {}", failure.message));
                    }
                    Err(failure) => return Err(failure.into()),
                }
                if quorums.iter().all(Quorum::is_reached) {
                    problems.extend(walk(workspace, draft, now)?);
                }
            }
        }
    }
    let both = || quorums.iter().filter(|quorum| !quorum.is_reached()).flat_map(|quorum| &quorum.missing);
    let mut waiting: Vec<String> = both().map(|id| draft.describe(id)).collect();
    waiting.sort();
    waiting.dedup();
    Ok(RootReport {
        draft: path.display().to_string(),
        from: draft.present().version(),
        to: draft.next().version(),
        present_sha512: hex::encode(openssl::sha::sha512(draft.present_file())),
        changes: draft.present().changes_to(draft.next()).iter().map(|change| describe(draft, change)).collect(),
        waiting,
        quorums,
        names: draft.names().clone(),
        surplus: draft.surplus()?,
        lockouts: client_roots::lockouts(draft.next(), &[]).iter().map(ToString::to_string).collect(),
        problems,
        notes,
        added: 0,
        voided: 0,
    })
}

/// Walks to the next root as a client pinned to each published one, today and when each of them has expired.
fn walk(workspace: &Workspace, draft: &RootDraft, now: DateTime<Utc>) -> Result<Vec<String>> {
    let file = draft.root_file()?;
    let mut problems = Vec::new();
    let newest = draft.present().version();
    let mut roots = Vec::new();
    for version in 1..=newest {
        let name = ObjectName::versioned("root", version);
        roots.push(if version == newest {
            Some(draft.present_file().to_vec())
        } else {
            workspace.storage.get(&name, ROOT_LIMIT)?.map(|object| object.bytes)
        });
    }
    for (at, pinned) in roots.iter().enumerate() {
        // A repository that was given to us without its first roots has no clients that are pinned to them.
        let Some(pinned) = pinned else { continue };
        let mut moments = vec![now];
        let follow = |at_expiry: AtExpiry| -> crate::failure::Result<Trust> {
            let mut trust = Trust::pin(pinned, at_expiry)?;
            for next in roots[at + 1..].iter().flatten().chain([&file]) {
                trust.next_root(next)?;
            }
            trust.end_of_roots()?;
            Ok(trust)
        };
        moments.extend([draft.present().expires()].into_iter().filter(|moment| *moment > now && *moment < draft.next().expires()));
        for moment in moments {
            if let Err(failure) = follow(AtExpiry::Refuse(moment)) {
                problems.push(format!(
                    "a client pinned to root {} does not follow on {}: {}",
                    at + 1,
                    format_expiry(moment),
                    failure.message
                ));
            }
        }
    }
    Ok(problems)
}

fn describe(draft: &RootDraft, change: &RootChange) -> String {
    match change {
        RootChange::Added(role, id) => {
            let kind = draft.next().keys().get(id).map_or("?", PublicKey::keytype);
            format!("+ {role} key {} {kind}", draft.describe(id))
        }
        RootChange::Removed(role, id) => format!("- {role} key {}", draft.describe(id)),
        RootChange::Threshold(role, from, to) => format!("~ {role} needs {to} of its keys instead of {from}"),
        RootChange::Expires(from, to) => {
            let earlier = if to < from { " (earlier)" } else { "" };
            format!("~ expires {} instead of {}{earlier}", format_expiry(*to), format_expiry(*from))
        }
        RootChange::ConsistentSnapshot(on) => format!("~ consistent snapshots {}", if *on { "on" } else { "off" }),
    }
}

/// `1 of 2, waiting for bob`, or that it is complete.
pub fn waiting_line(report: &RootReport) -> String {
    let [present, next] = &report.quorums;
    let count = |quorum: &Quorum| format!("{} of {}", (quorum.signed.len() as u64).min(quorum.threshold), quorum.threshold);
    let counts = if present.signed == next.signed && present.threshold == next.threshold {
        count(next)
    } else {
        format!("{} keys of root {}, {} keys of root {}", count(present), present.of, count(next), next.of)
    };
    if report.waiting.is_empty() {
        return format!("{counts}: complete");
    }
    let short = |who: &String| who.split(' ').next().unwrap_or(who).to_owned();
    let all = report.waiting.iter().map(short).collect::<Vec<_>>().join(", ");
    let lacking = |quorum: &Quorum| quorum.threshold.saturating_sub(quorum.signed.len() as u64);
    match lacking(present).max(lacking(next)) {
        lacking if (lacking as usize) < report.waiting.len() && report.waiting.len() > 1 => {
            format!("{counts}, waiting for {lacking} of {all}")
        }
        _ => format!("{counts}, waiting for {all}"),
    }
}

/// Names of people by the ids of their keys, as former ceremonies left them.
pub(super) fn read_names(path: &Path) -> Result<BTreeMap<String, String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .map_err(|error| Failure::invalid(format!("the names of keys in {} cannot be read: {error}", path.display())))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::io("read", path.display(), error).into()),
    }
}

pub(super) fn write_names(path: &Path, names: &BTreeMap<String, String>) -> Result<()> {
    let mut all = read_names(path)?;
    all.extend(names.clone());
    if all.is_empty() {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(&all).map_err(|error| Failure::new(Kind::Unexpected, error.to_string()))?;
    Ok(own_file::replace(path, &bytes)?)
}
