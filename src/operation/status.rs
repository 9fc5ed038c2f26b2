//! `publish status`: what is published, until when it is valid, and what to do next.

use super::Publisher;
use super::change::channels;
use super::delegations::{Delegation, of_others};
use super::refresh::expiries;
use super::workers::Pause;
use crate::error::Result;
use crate::metadata::{Lifetimes, Role, Targets, format_expiry};
use crate::names::{CHANNELS, RELEASES, ReleaseVersion, YANKED, release_directory, released_versions};
use crate::policy::clocks;
use crate::repository::{BINS, Bins, Present, Trouble, Versions, each, load, stale};
use crate::storage::{Conditions, Source};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// Dates are looked up for this many of the newest releases, and for those that channels point at.
const DATED: usize = 15;

/// The verdict on a repository, the most serious state that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A role has expired: clients refuse updates.
    Expired,
    /// Work is paused.
    Paused,
    /// Something that belongs to the published state is missing or stale.
    Incomplete,
    /// A role expires within the requested span.
    ExpiresSoon,
    /// A role is due to be signed again.
    RefreshDue,
    /// Clients can update, and nothing is due.
    Healthy,
}

/// The state of a repository.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The verdict.
    pub health: Health,
    /// The verdict as one line, with what to do.
    pub verdict: String,
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
    /// What is wrong with this machine's clock, as far as it is known; spans of time are computed by that clock.
    pub clock: Option<String>,
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
    /// The operator's statement that there is no other publisher.
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
    /// When its first file was stored, by the store's clock; of a few old releases it is not looked up.
    pub published: Option<String>,
    /// Channels that point at it.
    pub channels: Vec<String>,
}

/// Reads the state. `fail_within` raises an alarm for every role that expires sooner.
pub fn status(publisher: &Publisher, fail_within: Option<TimeDelta>) -> Result<Status> {
    let mut present = publisher.load()?;
    let (now, lifetimes) = (publisher.now(), publisher.lifetimes);
    let plain_names = stale(publisher.storage.as_ref(), publisher.plain_names, &mut present, now)?;
    let root = present.trust.root();
    let versions = present.versions();
    let mut roles: Vec<RoleStatus> = expiries(&present)?
        .into_iter()
        .map(|(role, expires)| role_status(&present, role, versions.of(role), expires, now, &lifetimes))
        .collect();
    if let Some(bins) = &present.bins {
        roles.insert(2, bins_status(bins, now, &lifetimes));
    }
    let targets = &present.targets;
    let channels = channels::published(publisher, targets)?;
    let alarms = roles
        .iter()
        .filter(|role| fail_within.is_some_and(|span| role.seconds_left < span.num_seconds()))
        .map(|role| format!("{} expires {}", role.role, role.expires))
        .collect();
    let long_lived = expiries(&present)?
        .into_iter()
        .filter(|(role, expires)| *role != Role::Root && clocks::is_beyond(*role, now, &lifetimes, *expires));
    let long_lived = long_lived.map(|(role, expires)| clocks::long_lived(role, &lifetimes, expires)).collect();
    let due = roles.iter().any(|role| role.refresh_in < 0);
    let releases = read_releases(targets, &channels);
    let repairable = plain_names.iter().any(|trouble| trouble.remedy.contains("`publish refresh`"));
    let next = match (due || repairable, releases.is_empty()) {
        (true, _) => Some("publish refresh".to_owned()),
        (false, true) => Some("publish release VERSION --from DIR".to_owned()),
        (false, false) => None,
    };
    let paused = publisher.shared.pause()?;
    let mut releases = releases;
    date_releases(publisher, &present, &mut releases)?;
    let health = health(&roles, paused.is_some(), !plain_names.is_empty(), fail_within);
    Ok(Status {
        health,
        verdict: verdict(health, &roles, paused.as_ref(), &plain_names, releases.is_empty()),
        location: publisher.storage.location(),
        consistent_snapshot: root.consistent_snapshot(),
        roles,
        targets: targets.len(),
        bins: present.bins.as_ref().map_or(0, Bins::count),
        delegations: of_others(publisher, &present)?,
        releases,
        yanked: targets.below(YANKED).map(|name| name[YANKED.len()..].to_owned()).collect(),
        channels,
        plain_names,
        paused,
        store: StoreStatus { conditions: publisher.known_conditions()?, single_publisher: publisher.conditions.single_publisher },
        next,
        clock: present.trust.listings().and_then(|(timestamp, _)| publisher.clock_fault(timestamp.expires())),
        long_lived,
        alarms,
    })
}

/// What clients get from a web server.
#[derive(Debug, Serialize)]
pub struct Served {
    /// The verdict.
    pub health: Health,
    /// The verdict as one line, with what to do.
    pub verdict: String,
    /// Where.
    pub location: String,
    /// Each role.
    pub roles: Vec<RoleStatus>,
    /// How many releases the metadata lists.
    pub releases: usize,
    /// How many channels it lists.
    pub channels: usize,
}

/// Reads what a web server serves, verified from a pinned root as a client does. `published` are the versions in the
/// repository behind it, if they are known.
pub fn served(
    source: &dyn Source,
    pinned: &[u8],
    published: Option<Versions>,
    now: DateTime<Utc>,
    lifetimes: Lifetimes,
    fail_within: Option<TimeDelta>,
) -> Result<Served> {
    let present = load(source, pinned, now)?;
    let versions = present.versions();
    let roles: Vec<RoleStatus> = expiries(&present)?
        .into_iter()
        .map(|(role, expires)| role_status(&present, role, versions.of(role), expires, now, &lifetimes))
        .collect();
    let behind = published.filter(|published| published.timestamp != versions.timestamp);
    let mut health = health(&roles, false, behind.is_some(), fail_within);
    // Whether a role is due is the publisher's concern.
    if health == Health::RefreshDue {
        health = Health::Healthy;
    }
    let verdict = match (behind, health) {
        (Some(published), Health::Incomplete) => format!(
            "not current: clients get timestamp version {}, the repository has {}; a cache or a copy is behind",
            versions.timestamp, published.timestamp
        ),
        _ => verdict(health, &roles, None, &[], false),
    };
    let releases = released_versions(present.targets.below(RELEASES)).len();
    let channels = present.targets.below(CHANNELS).count();
    Ok(Served { health, verdict, location: source.location(), roles, releases, channels })
}

fn health(roles: &[RoleStatus], paused: bool, incomplete: bool, fail_within: Option<TimeDelta>) -> Health {
    let sooner = |span: i64| roles.iter().any(|role| role.seconds_left < span);
    match () {
        () if sooner(0) => Health::Expired,
        () if paused => Health::Paused,
        () if incomplete => Health::Incomplete,
        () if fail_within.is_some_and(|span| sooner(span.num_seconds())) => Health::ExpiresSoon,
        // An hourly job leaves a role due for up to an hour: an alarm with a span of its own does not go off for that.
        () if fail_within.is_none() && roles.iter().any(|role| role.refresh_in < 0) => Health::RefreshDue,
        () => Health::Healthy,
    }
}

fn verdict(health: Health, roles: &[RoleStatus], paused: Option<&Pause>, stale: &[Trouble], empty: bool) -> String {
    let names = |wanted: &dyn Fn(&RoleStatus) -> bool| {
        roles.iter().filter(|role| wanted(role)).map(|role| role.role).collect::<Vec<_>>().join(", ")
    };
    let first = roles.iter().min_by_key(|role| role.seconds_left);
    match health {
        Health::Expired => {
            format!("EXPIRED: {}; clients refuse updates; run `publish refresh`", names(&|role| role.seconds_left < 0))
        }
        Health::Paused => {
            let since = paused.map(|pause| format_expiry(pause.since)).unwrap_or_default();
            let reason = paused.and_then(|pause| pause.reason.as_ref()).map_or(String::new(), |reason| format!(" ({reason})"));
            format!("paused since {since}{reason}; end it with `publish resume`")
        }
        Health::Incomplete => {
            let what = if stale.len() == 1 { "1 plain name is".to_owned() } else { format!("{} plain names are", stale.len()) };
            format!("incomplete: {what} not up to date; {}", stale.first().map_or("run `publish refresh`", |trouble| &trouble.remedy))
        }
        Health::ExpiresSoon => {
            let soon = first.map_or(String::new(), |role| format!("{} expires {}", role.role, role.expires));
            format!("expires soon: {soon}; run `publish refresh`")
        }
        Health::RefreshDue => format!("refresh due: {}; run `publish refresh`", names(&|role| role.refresh_in < 0)),
        Health::Healthy if empty => "healthy, nothing is released yet; next: publish release VERSION --from DIR".into(),
        Health::Healthy => "healthy: clients can update".into(),
    }
}

/// Dates of the releases that channels point at and of the newest ones: one request to the store for each.
fn date_releases(publisher: &Publisher, present: &Present, releases: &mut [ReleaseStatus]) -> Result<()> {
    let wanted = |(at, release): &(usize, &ReleaseStatus)| *at < DATED || !release.channels.is_empty();
    let indices: Vec<usize> = releases.iter().enumerate().filter(wanted).map(|(at, _)| at).collect();
    let date = |at: &usize, (): &mut ()| {
        let prefix = release_directory(&releases[*at].version);
        let Some(name) = present.targets.below(&prefix).next() else { return Ok(None) };
        let Some(target) = present.targets.get(name)? else { return Ok(None) };
        let place = present.place_of(publisher.storage.as_ref(), name, &target)?;
        Ok(publisher.storage.stat(&place)?.map(|stored| format_expiry(DateTime::<Utc>::from(stored.modified))))
    };
    let dates = each(&indices, publisher.storage.properties().parallelism, || Ok(()), date)?;
    indices.into_iter().zip(dates).for_each(|(at, date)| releases[at].published = date);
    Ok(())
}

fn role_status(
    present: &Present,
    role: Role,
    version: u64,
    expires: DateTime<Utc>,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> RoleStatus {
    let keys = present.trust.root().role(role);
    RoleStatus {
        role: role.name(),
        version,
        expires: format_expiry(expires),
        seconds_left: (expires - now).num_seconds(),
        refresh_in: (lifetimes.due_at(role, expires) - now).num_seconds(),
        signatures: present.trust.signatures(role),
        keys: keys.keyids.len(),
        threshold: keys.threshold,
    }
}

/// The role that lists the bins represents all of them: they are renewed together.
fn bins_status(bins: &Bins, now: DateTime<Utc>, lifetimes: &Lifetimes) -> RoleStatus {
    let (keys, threshold) = bins.keys();
    let expires = bins.role.expires();
    RoleStatus {
        role: BINS,
        version: bins.role.version(),
        expires: format_expiry(expires),
        seconds_left: (expires - now).num_seconds(),
        refresh_in: (lifetimes.due_at(Role::Targets, expires) - now).num_seconds(),
        signatures: threshold,
        keys: keys.len(),
        threshold,
    }
}

fn read_releases(targets: &Targets, channels: &BTreeMap<String, String>) -> Vec<ReleaseStatus> {
    let mut releases: Vec<ReleaseStatus> = Vec::new();
    for name in targets.below(RELEASES) {
        let mut parts = name.split('/').skip(1);
        let (Some(version), Some(platform)) = (parts.next(), parts.next()) else { continue };
        if releases.last().is_none_or(|release| release.version != version) {
            let channels = channels.iter().filter(|(_, points)| *points == version).map(|(channel, _)| channel.clone()).collect();
            releases.push(ReleaseStatus { version: version.into(), platforms: Vec::new(), files: 0, published: None, channels });
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
