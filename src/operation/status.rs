//! `publish status`: what is published, until when it is valid, and what to do next.

use super::delegations::{Delegation, of_others};
use super::refresh::expiries;
use super::workers::Pause;
use super::{Workspace, channels};
use crate::layout::ReleaseVersion;
use crate::metadata::{Role, Targets, format_expiry};
use crate::policy::clocks;
use crate::repository::{BINS, Bins, Present, Trouble, stale};
use crate::storage::Conditions;
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// The state of a repository.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Where it is.
    pub location: String,
    /// What keeps publishers apart there.
    pub store: StoreStatus,
    /// Whether clients fetch versioned names.
    pub consistent_snapshot: bool,
    /// Each role.
    pub roles: Vec<RoleStatus>,
    /// How many targets there are in the top-level role.
    pub targets: usize,
    /// How many bins the other targets are spread over; 0 for none.
    pub bins: usize,
    /// Delegations to keys that this publisher does not sign with.
    pub delegations: Vec<Delegation>,
    /// Releases, newest version first.
    pub releases: Vec<ReleaseStatus>,
    /// Versions that were yanked.
    pub yanked: Vec<String>,
    /// Channels: `group/channel` and version.
    pub channels: BTreeMap<String, String>,
    /// Plain names that are not what is published, and what puts them right.
    pub plain_names: Vec<Trouble>,
    /// Since when work is paused, if it is.
    pub paused: Option<Pause>,
    /// The most useful next command, if one is due.
    pub next: Option<String>,
    /// Roles that are valid for longer than those that are signed now.
    pub long_lived: Vec<String>,
    /// Roles that expire within the asked span.
    pub alarms: Vec<String>,
}

/// What is known about the store.
#[derive(Debug, Serialize)]
pub struct StoreStatus {
    /// Whether it refuses what it must; absent until it was tried.
    pub conditions: Option<Conditions>,
    /// The operator's word that nobody else publishes there.
    pub single_publisher: bool,
}

/// One role.
#[derive(Debug, Serialize)]
pub struct RoleStatus {
    /// Its name.
    pub role: &'static str,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: String,
    /// Seconds until then; negative once it has.
    pub seconds_left: i64,
    /// Seconds until `refresh` signs it again; negative once that is due.
    pub refresh_in: i64,
    /// Keys that have signed it; of the bins, those that must have.
    pub signatures: u64,
    /// Keys that may sign it.
    pub keys: usize,
    /// How many must.
    pub threshold: u64,
}

/// One release.
#[derive(Debug, Serialize)]
pub struct ReleaseStatus {
    /// Its version.
    pub version: String,
    /// Its platforms.
    pub platforms: Vec<String>,
    /// How many artifacts it has.
    pub files: usize,
    /// Channels that point at it.
    pub channels: Vec<String>,
}

/// Reads the state. `fail_within` raises an alarm for every role that expires sooner.
pub fn status(workspace: &Workspace, fail_within: Option<TimeDelta>) -> Result<Status> {
    let mut present = workspace.load()?;
    let now = workspace.now();
    let plain_names = stale(workspace.storage.as_ref(), workspace.plain_names, &mut present, now)?;
    let root = present.trust.root();
    let versions = present.versions();
    let mut roles: Vec<RoleStatus> =
        expiries(&present)?.into_iter().map(|(role, expires)| role_status(&present, role, versions.of(role), expires, now)).collect();
    if let Some(bins) = &present.bins {
        roles.insert(2, bins_status(bins, now));
    }
    let targets = &present.targets;
    let channels = channels::published(workspace, targets)?;
    let alarms = roles
        .iter()
        .filter(|role| fail_within.is_some_and(|span| role.seconds_left < span.num_seconds()))
        .map(|role| format!("{} expires {}", role.role, role.expires))
        .collect();
    let long_lived =
        expiries(&present)?.into_iter().filter(|(role, expires)| *role != Role::Root && clocks::is_beyond(*role, now, *expires));
    let long_lived = long_lived.map(|(role, expires)| clocks::long_lived(role, expires)).collect();
    let due = roles.iter().any(|role| role.refresh_in < 0);
    let releases = read_releases(targets, &channels);
    let repairable = plain_names.iter().any(|trouble| trouble.remedy.contains("`publish refresh`"));
    let next = match (due || repairable, releases.is_empty()) {
        (true, _) => Some("publish refresh".to_owned()),
        (false, true) => Some("publish release VERSION --from DIR".to_owned()),
        (false, false) => None,
    };
    Ok(Status {
        location: workspace.storage.location(),
        consistent_snapshot: root.consistent_snapshot(),
        roles,
        targets: targets.len(),
        bins: present.bins.as_ref().map_or(0, Bins::count),
        delegations: of_others(workspace, &present)?,
        releases,
        yanked: targets.below("yanked/").map(|name| name["yanked/".len()..].to_owned()).collect(),
        channels,
        plain_names,
        paused: workspace.shared.pause()?,
        store: StoreStatus { conditions: workspace.known_conditions()?, single_publisher: workspace.single_publisher },
        next,
        long_lived,
        alarms,
    })
}

fn role_status(present: &Present, role: Role, version: u64, expires: DateTime<Utc>, now: DateTime<Utc>) -> RoleStatus {
    let keys = present.trust.root().role(role);
    RoleStatus {
        role: role.name(),
        version,
        expires: format_expiry(expires),
        seconds_left: (expires - now).num_seconds(),
        refresh_in: (role.due_at(expires) - now).num_seconds(),
        signatures: present.trust.signatures(role),
        keys: keys.keyids.len(),
        threshold: keys.threshold,
    }
}

/// The role that lists the bins stands for all of them: they are renewed together.
fn bins_status(bins: &Bins, now: DateTime<Utc>) -> RoleStatus {
    let (keys, threshold) = bins.keys();
    let expires = bins.role.expires();
    RoleStatus {
        role: BINS,
        version: bins.role.version(),
        expires: format_expiry(expires),
        seconds_left: (expires - now).num_seconds(),
        refresh_in: (Role::Targets.due_at(expires) - now).num_seconds(),
        signatures: threshold,
        keys: keys.len(),
        threshold,
    }
}

fn read_releases(targets: &Targets, channels: &BTreeMap<String, String>) -> Vec<ReleaseStatus> {
    let mut releases: Vec<ReleaseStatus> = Vec::new();
    for name in targets.below("releases/") {
        let mut parts = name.split('/').skip(1);
        let (Some(version), Some(platform)) = (parts.next(), parts.next()) else { continue };
        if releases.last().is_none_or(|release| release.version != version) {
            let channels = channels.iter().filter(|(_, points)| *points == version).map(|(channel, _)| channel.clone()).collect();
            releases.push(ReleaseStatus { version: version.into(), platforms: Vec::new(), files: 0, channels });
        }
        if let Some(release) = releases.last_mut() {
            release.files += 1;
            if release.platforms.last().is_none_or(|last| last != platform) {
                release.platforms.push(platform.into());
            }
        }
    }
    releases.sort_by_key(|release| std::cmp::Reverse(ReleaseVersion::of_release(&release.version)));
    releases
}
