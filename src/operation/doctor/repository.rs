//! The repository in its store, read as a publisher does before a change. Nothing is written.

use super::check::{Checklist, Item, Verdict};
use super::{DoctorRequest, Publisher, STORE_PATIENCE};
use crate::error::{Error, Kind, Result};
use crate::files::read_regular;
use crate::keys::unfinished;
use crate::metadata::{Envelope, ROOT_LIMIT, Role, RootDraft, format_expiry};
use crate::names::ObjectName;
use crate::operation::bounded::within;
use crate::operation::refresh::expiries;
use crate::repository::{Present, load};
use crate::storage::Conditions;
use chrono::TimeDelta;
use rustix::fs::{Access, access};
use std::path::Path;
use std::sync::Arc;

/// Items that need the published state.
const NEED_STATE: [Item; 2] = [Item::Metadata, Item::Rollback];
/// Scheduled jobs run late; a role that is due for longer was not refreshed.
const LATE: TimeDelta = TimeDelta::hours(2);
/// The root is renewed by people, who need time.
const ROOT_AHEAD: TimeDelta = TimeDelta::days(60);

/// Gives the published state, if it verifies.
pub(super) fn check(
    publisher: &Arc<Publisher>,
    request: &DoctorRequest,
    pinned: Option<&Vec<u8>>,
    list: &mut Checklist,
) -> Option<Present> {
    check_workers(publisher, request, list);
    if let Some(failure) = &request.store_failure {
        list.failure(Item::Store, Verdict::Failed, failure, "correct `repo` and `store` in the config: docs/stores.md");
        if pinned.is_some() {
            list.not_checked(Item::PinnedRoot, "it can be read; the store cannot");
        }
        check_pause(publisher, request, list);
        list.none_checked(&[Item::Writable, Item::Conditions, Item::Lock], "the store could not be opened");
        list.none_checked(&NEED_STATE, "the store could not be opened");
        check_leftovers(publisher, request, None, list);
        return None;
    }
    let present = load_present(publisher, pinned, list);
    check_writable(request, list);
    check_conditions(publisher, list);
    check_pause(publisher, request, list);
    check_lock(publisher, list);
    check_leftovers(publisher, request, present.as_ref(), list);
    present
}

/// Reads the store and judges the store, the pinned root, the metadata and the versions.
fn load_present(publisher: &Arc<Publisher>, pinned: Option<&Vec<u8>>, list: &mut Checklist) -> Option<Present> {
    let location = publisher.storage.location();
    let Some(pinned) = pinned else {
        list.not_checked(Item::Store, "without a pinned root, nothing in the store can be verified");
        list.none_checked(&NEED_STATE, "there is no usable pinned root");
        return None;
    };
    // Before the repository: another publisher may remember a newer state while this one reads.
    let seen = publisher.seen(pinned);
    let loaded = {
        let (publisher, pinned) = (publisher.clone(), pinned.clone());
        within(STORE_PATIENCE, move || {
            let storage = publisher.storage.as_ref();
            let own = own_version(&pinned)?;
            let published = storage.get(&ObjectName::root(own), ROOT_LIMIT)?;
            let present = load(storage, &pinned, publisher.now());
            Ok::<_, Error>((own, published, present))
        })
    };
    let (own, published, present) = match loaded {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(failure)) => return unreadable(publisher, &failure, list),
        Err(timeout) => {
            let remedy = "check the endpoint and the network; `store: {timeout: …}` in the config does not change this limit";
            list.failed(Item::Store, format!("{location} did not answer: {}", timeout.message), remedy);
            list.not_checked(Item::PinnedRoot, "it can be read; the store did not answer");
            list.none_checked(&NEED_STATE, "the store did not answer");
            return None;
        }
    };
    let present = match present {
        Err(failure) if failure.kind != Kind::Untrusted && failure.kind != Kind::Invalid => return unreadable(publisher, &failure, list),
        other => other,
    };
    list.ok(Item::Store, format!("{location} can be read"));
    let file = publisher.pinned_root.display();
    match &published {
        Some(published) if canonical(&published.bytes) == canonical(pinned) => {
            list.ok(Item::PinnedRoot, format!("{file} is version {own} of the published root"));
        }
        Some(_) => list.failed(
            Item::PinnedRoot,
            format!("{file} is not the published {own}.root.json: it belongs to another repository, or one of the two was replaced"),
            "compare the SHA-512 of both with the line that your users run (`trdl add … SHA512`); then correct `root` or `repo` in the config",
        ),
        None => list.failed(
            Item::PinnedRoot,
            format!("{own}.root.json, which {file} is a copy of, is missing from {location}"),
            format!("if the repository is the right one, put it back: copy {file} to {own}.root.json there"),
        ),
    }
    match present {
        Err(failure) => {
            list.failure(Item::Metadata, Verdict::Failed, &failure, "publish verify; then docs/recovery.md");
            list.not_checked(Item::Rollback, "the metadata does not verify");
            None
        }
        Ok(present) => {
            let versions = present.versions();
            let numbers = Role::ALL.iter().map(|role| format!("{role} {}", versions.of(*role))).collect::<Vec<_>>().join(", ");
            list.ok(Item::Metadata, format!("{numbers}: verified from the pinned root"));
            // Versions from before a root that replaced the keys of all roles bind no client and no publisher.
            let seen = seen.filter(|seen| present.trust.reset_at().is_none_or(|root| root <= seen.versions.root));
            match seen.map(|seen| seen.versions.check_not_below(&versions, &location, "this publisher has seen")) {
                None => list.not_checked(Item::Rollback, "no earlier versions are remembered"),
                Some(Ok(())) => list.ok(Item::Rollback, "the repository is not older than the state seen before"),
                Some(Err(failure)) => {
                    list.failure(Item::Rollback, Verdict::Failed, &failure, "docs/recovery.md#the-bucket-was-restored-from-an-old-backup");
                }
            }
            Some(present)
        }
    }
}

fn unreadable(publisher: &Publisher, failure: &Error, list: &mut Checklist) -> Option<Present> {
    list.failure(Item::Store, Verdict::Failed, failure, "check the network, and `repo` and `store` in the config: docs/stores.md");
    list.not_checked(Item::PinnedRoot, format!("{} can be read; the store cannot", publisher.pinned_root.display()));
    list.none_checked(&NEED_STATE, "the store cannot be read");
    None
}

pub(super) fn own_version(pinned: &[u8]) -> Result<u64> {
    let envelope = Envelope::parse(pinned, "the pinned root")?;
    crate::metadata::Root::parse(&envelope, "the pinned root").map(|root| root.version())
}

/// What was signed: files that differ in white space are the same root.
pub(super) fn canonical(file: &[u8]) -> Option<Vec<u8>> {
    Envelope::parse(file, "the root").and_then(|envelope| envelope.canonical().map(|bytes| bytes.into_owned())).ok()
}

fn check_writable(request: &DoctorRequest, list: &mut Checklist) {
    let Some(directory) = &request.directory else {
        let why = "doctor writes nothing to a store";
        return list.not_checked_but(Item::Writable, why, "publish store check: it writes objects below probe/ and removes them");
    };
    match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => list.ok(Item::Writable, "this user can write to the directory"),
        Err(error) => list.failed(
            Item::Writable,
            format!("{} cannot be written by this user ({error})", directory.display()),
            "run as the user that publishes, or change the owner of the directory",
        ),
    }
}

fn check_conditions(publisher: &Publisher, list: &mut Checklist) {
    let check = "publish store check";
    match (publisher.known_conditions(), publisher.conditions.single_publisher) {
        (Ok(Some(Conditions::Enforced)), _) => list.ok(Item::Conditions, "the store keeps publishers apart"),
        (_, true) => list.ok(Item::Conditions, "the config states that there is no other publisher; nothing enforces it"),
        (Ok(Some(Conditions::Ignored)), false) => list.failed(
            Item::Conditions,
            "the store ignores the conditions that keep publishers apart: every change is refused",
            "use a store that enforces them; if there is no other publisher: `single_publisher: true` in the config",
        ),
        (Ok(None), false) => list.not_checked_but(Item::Conditions, "the store was not tried out yet", check),
        (Err(failure), false) => list.failure(Item::Conditions, Verdict::Warning, &failure, check),
    }
}

fn check_workers(publisher: &Publisher, request: &DoctorRequest, list: &mut Checklist) {
    match (&request.workers_failure, &publisher.workers) {
        (Some(failure), _) => {
            list.failure(Item::Workers, Verdict::Failed, failure, "correct `broker` and `workers` in the config: docs/workers.md")
        }
        (None, None) => list.ok(Item::Workers, "none: this process signs"),
        (None, Some(_)) => list.not_checked_but(Item::Workers, "doctor does not connect to the broker", "publish queue"),
    }
}

fn check_pause(publisher: &Arc<Publisher>, request: &DoctorRequest, list: &mut Checklist) {
    if request.workers_failure.is_some() {
        return list.not_checked(Item::Pause, "the settings of workers in the config cannot be used");
    }
    let shared = publisher.clone();
    match within(STORE_PATIENCE, move || shared.shared.pause()).and_then(|pause| pause) {
        Ok(None) => list.ok(Item::Pause, "work is not paused"),
        Ok(Some(pause)) => {
            let reason = pause.reason.map_or(String::new(), |reason| format!(" ({reason})"));
            list.warning(Item::Pause, format!("work is paused since {}{reason}", format_expiry(pause.since)), "publish resume");
        }
        Err(failure) => list.failure(Item::Pause, Verdict::Failed, &failure, "correct `workers.state` in the config"),
    }
}

fn check_lock(publisher: &Publisher, list: &mut Checklist) {
    match publisher.storage.upkeep().leftovers() {
        Ok(None) => list.not_checked(Item::Lock, "the store has none: publishers are kept apart by conditional writes"),
        Err(failure) => list.failure(Item::Lock, Verdict::Warning, &failure, "look at the directory"),
        Ok(Some(left)) => match left.lock.iter().chain(&left.running).next() {
            None => list.ok(Item::Lock, "no process holds it"),
            Some(holder) => {
                list.warning(
                    Item::Lock,
                    format!("a publisher is at work: {holder}"),
                    "wait for it, or look at that process: ps -fp PROCESS",
                );
            }
        },
    }
}

fn check_leftovers(publisher: &Arc<Publisher>, request: &DoctorRequest, present: Option<&Present>, list: &mut Checklist) {
    let before = list.checks.len();
    match publisher.storage.upkeep().leftovers() {
        Ok(Some(left)) if !left.abandoned.is_empty() => list.warning(
            Item::Leftovers,
            format!("killed runs left {}", left.abandoned.join(", ")),
            "nothing: the next command that publishes removes them",
        ),
        _ => {}
    }
    let store = publisher.clone();
    // A store that could not be read is reported once.
    let list_probes = || within(STORE_PATIENCE, move || store.storage.list("probe/")).and_then(|found| found);
    match if list.has_failed(Item::Store) { Ok(Vec::new()) } else { list_probes() } {
        Ok(found) if !found.is_empty() => list.warning(
            Item::Leftovers,
            format!("a killed `publish store check` left {} objects below probe/", found.len()),
            "publish prune --dry-run",
        ),
        Ok(_) => {}
        Err(failure) => {
            list.failure(Item::Leftovers, Verdict::Warning, &failure, "permit the credentials to list the bucket: docs/stores.md")
        }
    }
    check_draft(&request.root_draft, present, list);
    let directories = publisher.keyring.roles.values().flatten().chain([&publisher.keyring.openpgp]).filter_map(|uri| uri.path()?.parent());
    let directories: std::collections::BTreeSet<&Path> = directories.collect();
    for path in directories.into_iter().flat_map(unfinished) {
        let path = path.display();
        list.warning(Item::Leftovers, format!("a killed run left the unfinished key {path}"), format!("rm {path}"));
    }
    if list.checks.len() == before && list.has_failed(Item::Store) {
        list.not_checked(Item::Leftovers, "there are none on this machine; the store cannot be read");
    } else if list.checks.len() == before {
        list.ok(Item::Leftovers, "there are none");
    }
}

/// A draft that waits for signatures is no leftover; one whose version is published by now is.
fn check_draft(path: &Path, present: Option<&Present>, list: &mut Checklist) {
    let shown = path.display();
    let Ok(bytes) = read_regular(path) else { return };
    match (RootDraft::parse(&bytes, &shown.to_string()), present) {
        (Err(failure), _) => list.failure(Item::Leftovers, Verdict::Warning, &failure, &format!("rm {shown}")),
        (Ok(draft), Some(present)) if draft.next().version() <= present.versions().root => list.warning(
            Item::Leftovers,
            format!("the draft {shown} is for root {}, and root {} is published", draft.next().version(), present.versions().root),
            format!("publish root show; if nothing of it is needed: rm {shown}"),
        ),
        (Ok(draft), _) => {
            list.ok(
                Item::Leftovers,
                format!("the draft {shown} of root {} is not committed yet: publish root show", draft.next().version()),
            );
        }
    }
}

/// Until when each role is valid.
pub(super) fn check_expiry(publisher: &Publisher, present: Option<&Present>, list: &mut Checklist) {
    let items = [
        (Role::Root, Item::RootExpiry),
        (Role::Targets, Item::TargetsExpiry),
        (Role::Snapshot, Item::SnapshotExpiry),
        (Role::Timestamp, Item::TimestampExpiry),
    ];
    let expiries = present.map(expiries);
    let Some(Ok(expiries)) = expiries else {
        return list.none_checked(&items.map(|(_, item)| item), "the published metadata could not be read");
    };
    let now = publisher.now();
    let clock_first = if list.has_failed(Item::Clock) { "set the clock (see `clock`), then: " } else { "" };
    for (role, expires) in expiries {
        let Some((_, item)) = items.iter().find(|(known, _)| *known == role) else { continue };
        let until = format_expiry(expires);
        let renew = match role {
            Role::Root => "publish refresh with the root keys, or a ceremony: docs/ceremony.md",
            _ => "publish refresh; from cron or CI every hour: docs/first-release.md#6-keep-it-fresh",
        };
        let renew = format!("{clock_first}{renew}");
        if expires <= now {
            list.failed(*item, format!("expired on {until}: clients refuse updates"), renew);
        } else if role == Role::Root && expires - now < ROOT_AHEAD {
            list.warning(*item, format!("valid until {until}, for less than {} days", ROOT_AHEAD.num_days()), renew);
        } else if role != Role::Root && now - publisher.lifetimes.due_at(role, expires) > LATE {
            let due = format_expiry(publisher.lifetimes.due_at(role, expires));
            list.warning(*item, format!("valid until {until}; due to be signed again since {due}, so no scheduled refresh runs"), renew);
        } else {
            list.ok(*item, format!("valid until {until}"));
        }
    }
}
