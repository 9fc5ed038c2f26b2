//! What people are shown of a draft before they sign it.

use super::basis::{Basis, VouchedBy};
use super::published::{affected, label, present_for};
use crate::error::{Id, Kind, Message, Result};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{Quorum, ROOT_LIMIT, RepositoryLabel, Role, Root, RootChange, RootDraft, format_expiry};
use crate::names::ObjectName;
use crate::operation::Publisher;
use crate::policy::client_roots;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The report on a draft.
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
    /// How the present root was verified.
    pub vouched_by: VouchedBy,
    /// The same as text.
    pub vouched: String,
    /// The repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryLabel>,
    /// Whether only the draft states which repository it is for.
    pub repository_is_claim: bool,
    /// SHA-256 of the bytes that are signed, in hex.
    pub sha256: String,
    /// What changes, one line each; all of the next root, where the present one cannot be verified.
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
    /// What happens besides: roles that are signed again, and until when clients must wait.
    pub notes: Vec<Message>,
    /// Signatures that this run added.
    pub added: usize,
    /// Signatures that this run made void.
    pub voided: usize,
}

pub(super) fn report(
    publisher: Option<&Publisher>,
    path: &Path,
    draft: &RootDraft,
    basis: &Basis,
    stale: Option<String>,
) -> Result<RootReport> {
    let quorums = draft.quorums()?;
    let lockouts = client_roots::lockouts(draft.next(), &[]);
    let mut problems = client_roots::newly_locked_out(Some(draft.present()), &lockouts);
    let mut notes = Vec::new();
    if let Some(publisher) = publisher {
        match stale {
            Some(why) => problems.insert(0, why),
            None => look_around(publisher, draft, &quorums, &mut problems, &mut notes)?,
        }
    }
    let mut lockouts: Vec<String> = lockouts.iter().map(ToString::to_string).collect();
    lockouts.retain(|line| !problems.contains(line));
    let both = || quorums.iter().filter(|quorum| !quorum.is_reached()).flat_map(|quorum| &quorum.missing);
    let mut waiting: Vec<String> = both().map(|id| draft.describe(id)).collect();
    waiting.sort();
    waiting.dedup();
    let repository = match publisher {
        Some(publisher) => Some(label(publisher)?),
        None => draft.repository().cloned(),
    };
    if let Some(claim) = draft.repository().filter(|claim| repository.as_ref() != Some(*claim)) {
        let text = format!("the draft says that it is for {}", describe_label(claim));
        notes.push(Message::new(Id::DraftForOtherRepository, text));
    }
    Ok(RootReport {
        draft: path.display().to_string(),
        from: draft.present().version(),
        to: draft.next().version(),
        present_sha512: hex::encode(openssl::sha::sha512(draft.present_file())),
        vouched_by: basis.by,
        vouched: basis.line.clone(),
        repository,
        repository_is_claim: publisher.is_none(),
        sha256: draft.digest()?,
        changes: changes(draft, basis.root.as_ref()),
        waiting,
        quorums,
        names: draft.names().clone(),
        surplus: draft.surplus()?,
        lockouts,
        problems,
        notes,
        added: 0,
        voided: 0,
    })
}

/// Compares the draft with what is published.
fn look_around(
    publisher: &Publisher,
    draft: &RootDraft,
    quorums: &[Quorum],
    problems: &mut Vec<String>,
    notes: &mut Vec<Message>,
) -> Result<()> {
    let now = publisher.now();
    if draft.next().expires() <= now {
        problems.push(format!("it expired on {}", format_expiry(draft.next().expires())));
    } else if draft.next().expires() < draft.present().expires() {
        notes.push(Message::new(Id::RootExpiresEarlier, "it expires before the present root"));
    }
    match present_for(publisher, draft) {
        Ok(present) => {
            for role in affected(publisher, &present, draft.next())? {
                notes.push(Message::new(
                    Id::RoleNotSignedForRoot,
                    format!("{role} is not signed for it: clients fail from the root on until {role} is signed again"),
                ));
            }
        }
        // A state that clients refuse is what some roots are made for.
        Err(failure) if matches!(failure.kind, Kind::Untrusted | Kind::Invalid) => {
            notes.push(Message::new(Id::StateNotUsable, format!("the published state cannot be continued: {}", failure.message)));
        }
        Err(failure) => return Err(failure),
    }
    if quorums.iter().all(Quorum::is_reached) {
        problems.extend(walk(publisher, draft, now)?);
    }
    Ok(())
}

/// What is shown of a draft: what changes from a root that is trusted, or all of the next root.
fn changes(draft: &RootDraft, trusted: Option<&Root>) -> Vec<String> {
    let next = draft.next();
    if let Some(root) = trusted {
        let mut lines: Vec<String> = root.changes_to(next).iter().map(|change| describe(draft, root, change)).collect();
        if root.version() + 1 < next.version() {
            // What roots in between have changed, the draft's own edit apart.
            lines.extend(root.not_by_edit(next).into_iter().map(|line| format!("~ since root {}: {line}", root.version())));
        }
        return lines;
    }
    let mut lines = Vec::new();
    for role in Role::ALL {
        let keys = &next.role(role).keyids;
        lines.push(format!("+ {role} needs {} of its {} keys", next.role(role).threshold, keys.len()));
        lines.extend(keys.iter().map(|id| format!("+ {role} key {}", describe_key(draft, next, id))));
    }
    lines.push(format!("+ expires {}", format_expiry(next.expires())));
    lines.push(format!("+ consistent snapshots {}", if next.consistent_snapshot() { "on" } else { "off" }));
    lines
}

/// The repository of a draft as text.
pub fn describe_label(label: &RepositoryLabel) -> String {
    let known = [&label.name, &label.url].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let first = label.first_root_sha512.as_ref().map(|digest| format!("first root sha512 {digest}"));
    [Some(known).filter(|known| !known.is_empty()), first].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `bob (1f2e…) ed25519, public key sha256 …`.
fn describe_key(draft: &RootDraft, root: &Root, id: &str) -> String {
    match root.keys().get(id) {
        Some(key) => format!("{} {}, public key sha256 {}", draft.describe(id), key.keytype(), key.material()),
        None => format!("{}, which cannot be read", draft.describe(id)),
    }
}

/// Walks to the next root as a client pinned to each published one, today and when each of them has expired.
fn walk(publisher: &Publisher, draft: &RootDraft, now: DateTime<Utc>) -> Result<Vec<String>> {
    let file = draft.root_file()?;
    let mut problems = Vec::new();
    let newest = draft.present().version();
    let mut roots = Vec::new();
    for version in 1..=newest {
        let name = ObjectName::root(version);
        roots.push(if version == newest {
            Some(draft.present_file().to_vec())
        } else {
            publisher.storage.get(&name, ROOT_LIMIT)?.map(|object| object.bytes)
        });
    }
    for (at, pinned) in roots.iter().enumerate() {
        // A repository that was given to us without its first roots has no clients that are pinned to them.
        let Some(pinned) = pinned else { continue };
        let mut moments = vec![now];
        let follow = |at_expiry: AtExpiry| -> crate::error::Result<TrustedMetadata> {
            let mut trust = TrustedMetadata::pin(pinned, at_expiry)?;
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

fn describe(draft: &RootDraft, from: &Root, change: &RootChange) -> String {
    match change {
        RootChange::Added(role, id) => format!("+ {role} key {}", describe_key(draft, draft.next(), id)),
        RootChange::Removed(role, id) => format!("- {role} key {}", describe_key(draft, from, id)),
        RootChange::Renamed(role, before, after) => format!("~ {role} key {} now has the id {after}", draft.describe(before)),
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
