//! How long roles are valid, as the config says, and what follows from it.

use crate::bin_keys::{Upper, committer};
use crate::sandbox::Sandbox;
use crate::trial::Trial;
use chrono::{TimeDelta, Utc};
use publish::config::Setting;
use publish::metadata::{BOUNDS, Expiry, Lifetimes, Role, parse_span};
use publish::operation::{Publisher, refresh, status};
use publish::repository::{Committer, Edit, Renewal};
use std::fs;

fn longer() -> Lifetimes {
    [(Role::Root, "1825d"), (Role::Targets, "365d"), (Role::Snapshot, "14d"), (Role::Timestamp, "3d")]
        .into_iter()
        .fold(Lifetimes::default(), |all, (role, span)| all.with(role, span).unwrap())
}

fn with(trial: &Trial, lifetimes: Lifetimes) -> Publisher {
    trial.publisher().with_lifetimes(lifetimes)
}

fn due(publisher: &Publisher) -> Vec<String> {
    refresh::prepare(publisher, Default::default()).unwrap().plan.due.iter().map(|due| due.role.to_string()).collect()
}

fn refresh_all(publisher: &Publisher) {
    let request = refresh::RefreshRequest { all: true, ..Default::default() };
    refresh::carry_out(publisher, refresh::prepare(publisher, request).unwrap()).unwrap();
}

/// How long each role is valid from now on: targets, snapshot, timestamp, then the bins and the role that lists them.
fn left(trial: &Trial) -> Vec<TimeDelta> {
    let publisher = trial.publisher();
    let mut present = publisher.load().unwrap();
    present.read_all_bins(publisher.storage()).unwrap();
    let (timestamp, snapshot) = present.trust.listings().unwrap();
    let mut all = vec![present.targets.expires(), snapshot.expires(), timestamp.expires()];
    if let Some(bins) = &present.bins {
        all.push(bins.role.expires());
        all.extend(bins.known_by_name().map(|(_, bin)| bin.expires()));
    }
    all.into_iter().map(|expires: Expiry| expires - trial.now() + TimeDelta::seconds(1)).collect()
}

#[test]
fn the_age_at_which_roles_are_renewed_follows_the_lifetime() {
    let ages = |lifetimes: Lifetimes| Role::ALL.map(|role| lifetimes.refresh_age(role).num_hours());
    assert_eq!(ages(Lifetimes::default()), [90 * 24, 21 * 24, 48, 4]);
    assert_eq!(ages(longer()), [450 * 24, 2044, 96, 12]);
    for bounds in BOUNDS {
        for span in [bounds.least, bounds.usual, bounds.most] {
            let lifetimes = Lifetimes::default().with(bounds.role, &format!("{}h", span.num_hours())).unwrap();
            let age = lifetimes.refresh_age(bounds.role);
            // A job that runs every hour has at least four more chances.
            assert!(age >= TimeDelta::hours(1) && span - age >= TimeDelta::hours(4), "{bounds:?}");
        }
    }
}

#[test]
fn the_reference_names_the_default_and_the_bounds_of_every_role() {
    let settings = Setting::all();
    for bounds in BOUNDS {
        let key = format!("lifetimes.{}", bounds.role);
        let Setting { default, meaning, .. } = settings.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!(parse_span(default).unwrap(), bounds.usual);
        let (_, rest) = meaning.split_once(" valid, ").unwrap();
        let (least, most) = rest.split_once(" to ").unwrap();
        let most = most.split([';', ' ']).next().unwrap();
        assert_eq!((parse_span(least).unwrap(), parse_span(most).unwrap()), (bounds.least, bounds.most), "{key}");
    }
}

#[test]
fn lifetimes_outside_their_bounds_are_refused_with_the_line() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let line = config.lines().count() + 1;
    for (lifetimes, lines, words) in [
        ("lifetimes: {timestamp: 5h}", 0, &["the lifetime of timestamp is 5h; it can be 6h to 30d", "`timestamp: 1d`, the default"][..]),
        ("lifetimes: {timestamp: 31d}", 0, &["it can be 6h to 30d"]),
        ("lifetimes:\n  root: 2000d\n", 1, &["the lifetime of root is 2000d; it can be 30d to 1825d"]),
        ("lifetimes:\n  targets: 366d\n", 1, &["it can be 7d to 365d"]),
        ("lifetimes:\n  # a comment on snapshot\n  targets: 90d\n  snapshot: 91d\n", 3, &["it can be 1d to 90d"]),
        ("lifetimes: {timestamp: 3}", 0, &["`3` is not a span of time", "write it as 90m, 12h or 3d"]),
        ("lifetimes: {timestamp: soon}", 0, &["`soon` is not a span of time"]),
        ("lifetimes: {timestamp: 100000000000000d}", 0, &["is not a span of time"]),
        (
            "lifetimes:\n  timestamp: 8d\n",
            1,
            &["the lifetime of timestamp is 8d, longer than that of snapshot, which is 7d", "set `snapshot: 8d` too"],
        ),
        ("lifetimes:\n  root: 30d\n", 1, &["the lifetime of targets is 90d, longer than that of root, which is 30d"]),
    ] {
        sandbox.write("publish.yaml", format!("{config}{lifetimes}\n"));
        let place = format!("publish.yaml:{}: `lifetimes`", line + lines);
        sandbox.unchanged(|| sandbox.publish(&["refresh"]).fails(6, &[words, &[&place]].concat()));
    }
    for (lifetimes, words) in
        [("3d", ""), ("{bins: 7d}", "unknown field `bins`, expected one of `root`, `targets`, `snapshot`, `timestamp`")]
    {
        sandbox.write("publish.yaml", format!("{config}lifetimes: {lifetimes}\n"));
        sandbox.publish(&["refresh"]).fails(6, &[&format!("publish.yaml:{line}: "), words]);
    }
}

#[test]
fn roles_are_signed_for_as_long_as_the_config_says() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}lifetimes: {{root: 730d, targets: 180d, snapshot: 14d, timestamp: 3d}}\n"));
    let days = |sandbox: &Sandbox| -> Vec<i64> {
        let status = sandbox.publish(&["status", "--json"]).json();
        let roles = status["status"]["roles"].as_array().unwrap();
        roles.iter().map(|role| (role["seconds_left"].as_i64().unwrap() + 3600) / 86400).collect()
    };
    assert_eq!(days(&sandbox), [365, 90, 7, 1]);
    // A repository with shorter lifetimes is due at once.
    let run = sandbox.publish(&["refresh"]).ok();
    for reason in
        ["root: older than 180 days", "targets: older than 42 days", "snapshot: older than 4 days", "timestamp: older than 12 hours"]
    {
        assert!(run.stdout.contains(reason), "{run:#?}");
    }
    assert_eq!(days(&sandbox), [730, 180, 14, 3]);
    let run = sandbox.publish(&["status"]).ok();
    assert!(run.stdout.starts_with("healthy") && !run.stdout.contains("note:"), "{run:#?}");
    sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due; next: timestamp at"]));
    let plan = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--dry-run", "--json"]).ok().json();
    let day = (Utc::now() + TimeDelta::days(180)).format("%Y-%m-%d").to_string();
    assert!(plan["plan"]["roles"][0]["expires"].as_str().unwrap().starts_with(&day), "{plan:#}");
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["verify"]).ok().says(&["good: 0 errors, 0 warnings, 2 notes"]);
    // A publisher with shorter ones is told, and what is published does not expire earlier for that.
    sandbox.write("publish.yaml", &config);
    sandbox.publish(&["verify"]).ok().says(&["timestamp is valid until", "a publisher with longer `lifetimes`"]);
    sandbox.publish(&["status"]).ok().says(&["note: timestamp is valid until", "it would be valid for 24 hours"]);
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("warning: the published timestamp expires on"), "{run:#?}");
    assert_eq!(days(&sandbox), [730, 180, 14, 3]);
}

#[test]
fn a_role_that_lives_longer_is_due_later() {
    let mut trial = Trial::new();
    trial.release("1.0.0").unwrap();
    refresh_all(&with(&trial, longer()));
    trial.wait(TimeDelta::hours(11));
    assert_eq!(due(&with(&trial, longer())), [""; 0]);
    let seen = status::status(&with(&trial, longer()), None).unwrap();
    assert_eq!(seen.roles.last().unwrap().refresh_in / 600, 6, "an hour is left");
    trial.wait(TimeDelta::hours(2));
    assert_eq!(due(&with(&trial, longer())), ["timestamp"]);
    trial.wait(TimeDelta::hours(50));
    trial.client().expect("a day and more after the default");
}

#[test]
fn bins_live_as_long_as_targets() {
    let mut trial = Trial::with_bins(9, 4);
    assert!(left(&trial)[3..].iter().all(|left| left.num_days() == 90));
    let publisher = with(&trial, longer());
    assert!(due(&publisher).contains(&"bins".to_owned()));
    refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
    let days = |trial: &Trial| left(trial).iter().map(TimeDelta::num_days).collect::<Vec<_>>();
    assert_eq!(days(&trial), [365, 14, 3, 365, 365, 365, 365, 365]);
    // Back at shorter lifetimes, new bins still live as long as the role that lists them: it says when all are renewed.
    trial.wait(TimeDelta::hours(1));
    trial.bins_on(&trial.publisher(), 8).unwrap();
    assert!(left(&trial)[3..].iter().all(|left| left.num_days() == 364), "{:?}", days(&trial));
    trial.client().unwrap();
}

/// The snapshot worker and the timestamp worker sign for what their own config permits, however long the worker before
/// them has signed for.
#[test]
fn a_worker_refuses_a_role_that_lives_longer_than_its_config_permits() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let sign = |of_targets: Lifetimes, of_upper: Lifetimes, role: Role| {
        let (targets, upper) = (with(&trial, of_targets), with(&trial, of_upper));
        let (pinned, present) = (targets.pinned().unwrap(), targets.load().unwrap());
        let signers = targets.signers(present.trust.root(), &Role::ONLINE).unwrap();
        let renewals = vec![Renewal { role: role.into(), version: present.versions().of(role) }];
        let edit = Edit { renewals, ..Edit::default() };
        let upper = Upper { publisher: &upper, asked: vec![edit.clone()] };
        committer(&targets, &pinned, &signers, Some(&upper)).commit(present, &edit)
    };
    let refused = sign(longer(), Lifetimes::default(), Role::Targets).unwrap_err();
    assert!(refused.message.contains("the new targets.json is valid until"), "{refused:?}");
    assert!(refused.message.contains("this worker's config permits 90 days"), "{refused:?}");
    assert!(refused.hints.iter().any(|hint| hint.contains("the same `lifetimes` on all hosts")), "{refused:?}");
    assert_eq!(left(&trial)[0].num_days(), 90);
    // Shorter is always fine, and so is a role that lives no longer than the one it replaces.
    sign(Lifetimes::default(), longer(), Role::Targets).unwrap();
    sign(longer(), longer(), Role::Targets).unwrap();
    assert_eq!(left(&trial)[0].num_days(), 365);
    sign(Lifetimes::default(), Lifetimes::default(), Role::Targets).unwrap();
    assert_eq!(left(&trial)[0].num_days(), 365);
    // A snapshot that another host has written is judged in the same way.
    let (writes, shows) = (with(&trial, longer().with(Role::Snapshot, "90d").unwrap()), with(&trial, longer()));
    let pinned = writes.pinned().unwrap();
    let mut present = writes.load().unwrap();
    let signers = writes.signers(present.trust.root(), &Role::ONLINE).unwrap();
    let written = committer(&writes, &pinned, &signers, None).list_roles(&mut present, &[], &[]).unwrap().unwrap();
    let show = |committer: Committer<'_>| committer.show_snapshot(&present, Some(&written));
    let refused = show(committer(&shows, &pinned, &signers, None)).unwrap_err();
    assert!(refused.message.contains("the new snapshot.json is valid until"), "{refused:?}");
    assert!(show(committer(&writes, &pinned, &signers, None)).unwrap());
}
