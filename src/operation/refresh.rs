//! `publish refresh`: signs again what is due, touches nothing otherwise.

use super::root::rotate::bins_behind;
use super::{Outcome, Publisher, RoleStep, steps};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::Signers;
use crate::metadata::trust::TrustedMetadata;
use crate::metadata::{Role, Target, describe_span, format_expiry};
use crate::names::{ObjectName, RoleName};
use crate::policy::clocks::Moment;
use crate::repository::{
    AtHand, BinKeys, Change, EVERY_TARGET, Edit, PlainCheck, PlainNames, PlainSwitch, Present, Renewal, Trouble, catch_up, check_all,
    check_as_client, digest_object, each, place_roles, publish_root, remove_all, sign_root, switch as plain_switch,
};
use serde::Serialize;

/// What a refresh will do.
#[derive(Debug, Serialize)]
pub struct RefreshPlan {
    /// Roles to sign, with the reason for each.
    pub due: Vec<Due>,
    /// Roles that are due but whose keys are not on this machine; they are valid still.
    pub postponed: Vec<Due>,
    /// Consistent snapshots are switched to this by the next root.
    pub consistent_snapshot: Option<bool>,
    /// The config wants them switched to this, and too few root keys are available to sign the root that switches them.
    pub switch_waits: Option<bool>,
    /// Plain names are made for all targets, or removed, because the config has changed.
    pub plain_names: Option<PlainSwitch>,
    /// Every name that clients ask for is compared with what is published, and put right.
    pub repairs: bool,
    /// How many targets that are named by SHA-512 alone get a SHA-256 too.
    pub rehashed: usize,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
    /// When the next role falls due, if nothing is due now.
    pub next: Option<String>,
    /// Whether there is nothing to do.
    pub empty: bool,
}

/// A refresh that was decided and is not carried out yet.
#[derive(Debug)]
pub struct PreparedRefresh {
    /// What people are shown, and what is in the JSON.
    pub plan: RefreshPlan,
    present: Present,
    sha512_only: Vec<(String, Target)>,
    rekey: Option<BinKeys>,
}

/// A role that is to be signed again.
#[derive(Debug, Serialize)]
pub struct Due {
    /// A top-level role, or [`RoleName::Bins`] for all bins that are due and the role that lists them.
    pub role: RoleName,
    /// Why.
    pub reason: String,
}

/// What the user requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefreshRequest {
    /// The configured setting of consistent snapshots, if there is one.
    pub consistent_snapshot: Option<bool>,
    /// Sign the online roles again whether they are due or not, as after a change of keys.
    pub all: bool,
    /// Read what is named by SHA-512 alone, as in repositories that other tools made, and list its SHA-256 too.
    pub rehash: bool,
}

/// Decides what is due.
pub fn prepare(publisher: &Publisher, request: RefreshRequest) -> Result<PreparedRefresh> {
    let mut present = publisher.load()?;
    let sha512_only = if request.rehash { sha512_only(publisher, &mut present)? } else { Vec::new() };
    let (now, lifetimes) = (publisher.now(), publisher.lifetimes);
    let expiries = expiries(&present)?;
    let (above, signs_above) = (publisher.floor(), publisher.signs_above(&present));
    let mut due: Vec<Due> = Vec::new();
    for (role, expires) in &expiries {
        let reason = if *role != Role::Root && above.of(*role) > present.versions().of(*role) {
            below(publisher, *role)
        } else if *role != Role::Root && signs_above {
            "signed above the state that clients have seen".into()
        } else if *expires <= now {
            format!("expired on {}", format_expiry(*expires))
        } else if lifetimes.is_due(*role, *expires, now) {
            format!("older than {}", describe_span(lifetimes.refresh_age(*role)))
        } else if request.all && *role != Role::Root {
            "requested".into()
        } else if *role == Role::Targets && !sha512_only.is_empty() {
            format!("{} targets get a SHA-256", sha512_only.len())
        } else {
            continue;
        };
        due.push(Due { role: (*role).into(), reason });
    }
    let rekey = bins_behind(publisher, &present)?
        .filter(|_| !publisher.signs(Role::Targets) || publisher.keyring.has_enough_keys(present.trust.root(), Role::Targets));
    if rekey.is_some() {
        let reason = "the bins are signed by other keys than the root's targets keys";
        match due.iter_mut().find(|due| due.role == Role::Targets) {
            Some(due) => due.reason = format!("{}; {reason}", due.reason),
            None => {
                let before = due.iter().filter(|due| due.role == Role::Root).count();
                due.insert(before, Due { role: Role::Targets.into(), reason: reason.into() });
            }
        }
    } else if let Some(bins) = &present.bins {
        let expires = bins.role.expires();
        if signs_above || expires <= now || lifetimes.is_due(Role::Targets, expires, now) {
            let reason = if signs_above {
                "clients have seen a newer state".into()
            } else if expires <= now {
                format!("expired on {}", format_expiry(expires))
            } else {
                format!("older than {}", describe_span(lifetimes.refresh_age(Role::Targets)))
            };
            let before = due.iter().filter(|due| due.role == Role::Root || due.role == Role::Targets).count();
            due.insert(before, Due { role: RoleName::Bins, reason });
        }
    }
    // A key that was moved off this machine must not keep the other roles from being renewed.
    let absent = |due: &Due| match due.role {
        RoleName::Top(role) => {
            let valid = expiries.iter().any(|(other, expires)| *other == role && *expires > now);
            valid && !signs_above && publisher.signs(role) && !publisher.keyring.has_enough_keys(present.trust.root(), role)
        }
        RoleName::Bins | RoleName::Delegated(_) => false,
    };
    let (mut postponed, mut due): (Vec<Due>, Vec<Due>) = due.into_iter().partition(absent);
    for role in &mut postponed {
        if let Some((_, expires)) = expiries.iter().find(|(other, _)| role.role == *other) {
            role.reason = format!("{}; valid for {} more days", role.reason, (*expires - now).num_days());
        }
    }
    let desired = request.consistent_snapshot.filter(|desired| *desired != present.trust.root().consistent_snapshot());
    // One host may not have all keys of a root. The roles that are due must not run out for that.
    let (switch, switch_waits) =
        if publisher.keyring.has_enough_keys(present.trust.root(), Role::Root) { (desired, None) } else { (None, desired) };
    if let Some(on) = switch
        && !due.iter().any(|due| due.role == Role::Root)
    {
        due.insert(
            0,
            Due { role: Role::Root.into(), reason: format!("consistent snapshots are switched {}", if on { "on" } else { "off" }) },
        );
    }
    // A role that lists a newly signed one must follow it.
    let listings: [(RoleName, Role); 3] =
        [(RoleName::Bins, Role::Snapshot), (Role::Targets.into(), Role::Snapshot), (Role::Snapshot.into(), Role::Timestamp)];
    for (listed, listing) in listings {
        if due.iter().any(|due| due.role == listed) && !due.iter().any(|due| due.role == listing) {
            due.push(Due { role: listing.into(), reason: format!("lists {listed}") });
        }
    }
    let next = expiries
        .iter()
        .map(|(role, expires)| (lifetimes.due_at(*role, *expires), role))
        .min()
        .map(|(at, role)| format!("{role} at {}", format_expiry(at)));
    let roles = roles(&due);
    let plain_names = plain_switch(publisher.storage.as_ref(), &present, publisher.plain_names);
    let empty = due.is_empty() && plain_names.is_none();
    let plan = RefreshPlan {
        plain_names,
        repairs: request.all,
        roles: steps(publisher, &present, &roles)?,
        consistent_snapshot: switch,
        switch_waits,
        postponed,
        next: next.filter(|_| empty),
        empty,
        rehashed: sha512_only.len(),
        due,
    };
    Ok(PreparedRefresh { plan, present, sha512_only, rekey })
}

#[cfg(feature = "monitor")]
impl PreparedRefresh {
    /// When each role expires in the state that it was prepared on.
    pub(super) fn expiries(&self) -> Result<Vec<(&'static str, crate::metadata::Expiry)>> {
        let present = &self.present;
        let mut all: Vec<_> = expiries(present)?.into_iter().map(|(role, expires)| (role.name(), expires)).collect();
        all.extend(present.bins.as_ref().map(|bins| (crate::names::BINS, bins.role.expires())));
        Ok(all)
    }
}

/// Carries out a refresh. One without anything to do only completes what a killed run may have left.
pub fn carry_out(publisher: &Publisher, prepared: PreparedRefresh) -> Result<Outcome> {
    let PreparedRefresh { plan, mut present, sha512_only, rekey } = prepared;
    publisher.begin_changes()?;
    let roles = roles(&plan.due);
    let mut signers = publisher.signers(present.trust.root(), &roles)?;
    let mut online: Vec<Renewal> = roles
        .iter()
        .filter(|role| **role != Role::Root)
        .map(|role| Renewal { role: (*role).into(), version: present.versions().of(*role) })
        .collect();
    if let Some(bins) = present.bins.as_ref().filter(|_| plan.due.iter().any(|due| due.role == RoleName::Bins)) {
        publisher.add_bin_signers(&present, &mut signers)?;
        online.push(Renewal { role: RoleName::Bins, version: bins.role.version() });
    }
    let root_before = present.versions().root;
    if roles.contains(&Role::Root) {
        publisher.progress.phase("renewing the root");
        renew_root(publisher, &mut present, &signers, plan.consistent_snapshot)?;
        present = publisher.load()?;
    }
    let consistent = present.trust.root().consistent_snapshot();
    if plan.repairs || plan.consistent_snapshot.is_some() {
        // Another publisher may have committed by the old names meanwhile, or a switch by an earlier version left some out.
        place_roles(publisher.storage.as_ref(), &present, consistent)?;
    }
    let changes = rehashed(publisher, &sha512_only)?;
    if !plan.empty {
        publisher.progress.phase("committing");
    }
    let mut outcome: Outcome = publisher.commit(present, &Edit { changes, renewals: online, rekey, ..Edit::default() }, &signers)?.into();
    outcome.changed |= outcome.versions.root != root_before || plan.plain_names.is_some();
    if let Err(failure) = follow(publisher, plan.repairs, plan.plain_names, &mut outcome) {
        // The roles are visible by now.
        outcome.warnings.push(Message::new(Id::PlainNamesNotCompleted, format!("{}; run the same command again", failure.message)));
    }
    Ok(outcome)
}

/// What is not part of the commit: every plain name is compared, or all are removed.
fn follow(publisher: &Publisher, repairs: bool, plain_names: Option<PlainSwitch>, outcome: &mut Outcome) -> crate::error::Result<()> {
    let storage = publisher.storage.as_ref();
    let mut troubles = Vec::new();
    if plain_names == Some(PlainSwitch::Off) {
        publisher.progress.phase("removing plain names");
        troubles = remove_all(storage, publisher.plain_names, &publisher.pinned()?, publisher.now())?;
        // What was reported before is done now.
        outcome.warnings.retain(|warning| !warning.starts_with(&format!("the plain name of {EVERY_TARGET} ")));
    } else if repairs {
        publisher.progress.phase("comparing plain names");
        let mut present = publisher.load()?;
        check_as_client(storage, client(&present))?;
        let PlainCheck { repaired, removed, troubles: left } = check_all(storage, publisher.plain_names, &mut present)?;
        troubles = left;
        if repaired + removed > 0 {
            publisher.progress.status(&format!("plain names: {repaired} repaired, {removed} of withdrawn targets removed"));
        }
    }
    storage.sync()?;
    let known = outcome.warnings.clone();
    outcome.warnings.extend(troubles.iter().take(10).map(Trouble::message).filter(|warning| !known.contains(warning)));
    Ok(())
}

/// Why a role is due that is older than the one that clients have seen.
fn below(publisher: &Publisher, role: Role) -> String {
    let seen = publisher.seen_versions().filter(|_| publisher.accept_rollback).unwrap_or_default();
    format!("below version {}, which clients have seen", seen.newest(&publisher.versions_above).of(role))
}

/// A client that trusts the newest root, whatever has expired.
fn client(present: &Present) -> TrustedMetadata {
    present.trust.clone()
}

/// The top-level roles among what is due.
fn roles(due: &[Due]) -> Vec<Role> {
    due.iter().filter_map(|due| if let RoleName::Top(role) = due.role { Some(role) } else { None }).collect()
}

/// Expiries of the top-level roles, root first.
pub(super) fn expiries(present: &Present) -> crate::error::Result<Vec<(Role, crate::metadata::Expiry)>> {
    let (timestamp, snapshot) = present.trust.listings().ok_or_else(|| Error::new(Kind::Untrusted, "no published state"))?;
    Ok(vec![
        (Role::Root, present.trust.root().expires()),
        (Role::Targets, present.targets.expires()),
        (Role::Snapshot, snapshot.expires()),
        (Role::Timestamp, timestamp.expires()),
    ])
}

fn renew_root(publisher: &Publisher, present: &mut Present, signers: &Signers, consistent_snapshot: Option<bool>) -> Result<()> {
    let before = present.trust.root().clone();
    let expires = Moment::after(publisher.now(), publisher.lifetimes, before.expires()).expiry(Role::Root, Some(before.expires()));
    let mut root = before.renewed(expires)?;
    if let Some(on) = consistent_snapshot {
        // Whichever names the next root asks for must all be in place before it is.
        if on {
            place_hashed_names(publisher, present)?
        } else {
            place_plain_names(publisher, present)?
        }
        place_roles(publisher.storage.as_ref(), present, on)?;
        root = root.with_consistent_snapshot(on);
    }
    let file = sign_root(&root, Some(&before), signers.get(&Role::Root).map_or(&[], Vec::as_slice))?;
    if consistent_snapshot.is_some() {
        let mut next = client(present);
        next.next_root(&file)?;
        check_as_client(publisher.storage.as_ref(), next)?;
    }
    let trust = present.trust.as_client(publisher.now());
    if publish_root(publisher.storage.as_ref(), &trust, &file)? {
        publisher.progress.status(&format!("root signed (version {})", root.version()));
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("another publisher published root version {}", root.version()))
        .hint("run the same command again"))
}

/// The targets that are here and are named by SHA-512 alone.
fn sha512_only(publisher: &Publisher, present: &mut Present) -> Result<Vec<(String, Target)>> {
    present.read_all_bins(publisher.storage.as_ref())?;
    let mut found = Vec::new();
    for (name, entry) in present.entries() {
        let target = Target::parse(entry, name)?;
        if target.hashes.sha256.is_none() && !target.elsewhere && publisher.plain_names != PlainNames::Elsewhere {
            found.push((name.to_owned(), target));
        }
    }
    Ok(found)
}

/// Reads them, and lists both digests; where clients fetch hashed names, both are there before they are listed.
fn rehashed(publisher: &Publisher, targets: &[(String, Target)]) -> Result<Vec<Change>> {
    if !targets.is_empty() {
        publisher.progress.phase("reading targets");
    }
    let storage = publisher.storage.as_ref();
    let rehash = |(name, target): &(String, Target), (): &mut ()| {
        let hashed = target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash));
        for source in hashed.chain([ObjectName::plain_target(name)]) {
            let Some(digests) = digest_object(storage, &source)? else { continue };
            if !target.matches(&digests) {
                return Err(Error::new(Kind::Untrusted, format!("{source} differs from its entry in the targets role"))
                    .hint("`publish verify` lists everything that is wrong"));
            }
            storage.copy(&source, &ObjectName::hashed_target(name, &hex::encode(digests.sha256)), None)?;
            return Ok(Change {
                name: name.clone(),
                expected: Some(target.clone()),
                wanted: Some(Target::of(&digests)),
                keep_existing: false,
                content: None,
            });
        }
        Err(Error::new(Kind::Untrusted, format!("the content of target {name} is missing from {}", storage.location()))
            .hint("restore the file from a backup or a mirror; `publish verify` lists everything that is missing"))
    };
    each(targets, storage.properties().parallelism, || Ok(()), rehash)
}

fn place_hashed_names(publisher: &Publisher, present: &mut Present) -> Result<()> {
    publisher.progress.phase("writing hashed names");
    present.read_all_bins(publisher.storage.as_ref())?;
    for (name, entry) in present.entries() {
        let target = Target::parse(entry, name)?;
        if target.elsewhere || publisher.plain_names == PlainNames::Elsewhere {
            continue;
        }
        let Some(hash) = target.hashes.prefixes().next() else { continue };
        let hashed = ObjectName::hashed_target(name, &hash);
        if publisher.storage.stat(&hashed)?.is_some_and(|stored| stored.length == target.length) {
            continue;
        }
        let plain = ObjectName::plain_target(name);
        // What gets a hashed name is served for ever without a question: it is read and checked first.
        let digests = digest_object(publisher.storage.as_ref(), &plain)?;
        if !digests.is_some_and(|digests| target.matches(&digests)) {
            return Err(Error::new(Kind::Untrusted, format!("{plain} is missing or differs from its entry in the targets role"))
                .hint("`publish verify` lists everything that is wrong"));
        }
        publisher.storage.copy(&plain, &hashed, None)?;
    }
    Ok(())
}

fn place_plain_names(publisher: &Publisher, present: &mut Present) -> Result<()> {
    if publisher.plain_names == PlainNames::Elsewhere {
        return Ok(());
    }
    publisher.progress.phase("making plain names");
    let storage = publisher.storage.as_ref();
    let mut troubles = catch_up(storage, &publisher.pinned()?, PlainNames::All, present, AtHand::default(), publisher.now());
    troubles.extend(check_all(storage, PlainNames::All, present)?.troubles);
    if troubles.is_empty() {
        return Ok(());
    }
    let details = troubles.iter().take(10).map(ToString::to_string);
    Err(Error::new(Kind::Conflict, "consistent snapshots cannot be switched off: not every target has its plain name")
        .details(details)
        .hint("clients would read plain names only; repair these, then run the same command again"))
}
