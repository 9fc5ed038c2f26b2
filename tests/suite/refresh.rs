use crate::sandbox::Sandbox;
use crate::trial::Trial;
use chrono::TimeDelta;
use publish::metadata::{Role, Target, TargetEdits};
use publish::operation::{refresh, status};
use publish::repository::{Quiet, digest_file};
use std::fs;

#[test]
fn touches_nothing_when_nothing_is_due() {
    let sandbox = Sandbox::new();
    sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due; next: timestamp at"]));
}

fn due(trial: &Trial) -> Vec<String> {
    refresh::prepare(&trial.publisher(), Default::default()).unwrap().plan.due.iter().map(|due| due.role.to_string()).collect()
}

#[test]
fn roles_are_due_at_their_age_with_the_roles_that_list_them() {
    for (age, roles) in [
        (TimeDelta::hours(3), vec![]),
        (TimeDelta::hours(5), vec!["timestamp"]),
        (TimeDelta::days(3), vec!["snapshot", "timestamp"]),
        (TimeDelta::days(22), vec!["targets", "snapshot", "timestamp"]),
        (TimeDelta::days(91), vec!["root", "targets", "snapshot", "timestamp"]),
        (TimeDelta::days(1000), vec!["root", "targets", "snapshot", "timestamp"]),
    ] {
        let mut trial = Trial::new();
        trial.release("1.0.0").unwrap();
        trial.wait(age);
        assert_eq!(due(&trial), roles, "{age}");
        let before = trial.client().unwrap_err_if(age > TimeDelta::days(1));
        let publisher = trial.publisher();
        let outcome = refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
        assert_eq!(outcome.changed, !roles.is_empty());
        let versions = outcome.versions;
        for role in Role::ALL {
            let expected = u64::from(role != Role::Root) + 1 + u64::from(roles.contains(&role.name()));
            assert_eq!(versions.of(role), expected, "{role} after {age}");
        }
        assert!(due(&trial).is_empty());
        trial.client().expect("a client takes the refreshed repository");
        drop(before);
    }
}

#[test]
fn bins_are_renewed_together_when_the_role_that_lists_them_is_due() {
    let mut trial = Trial::with_bins(9, 4);
    // What is touched on the way gets a new expiry of its own, and never an older one than the rest.
    for (days, roles) in [
        (20, vec!["snapshot", "timestamp"]),
        (2, vec!["targets", "bins", "snapshot", "timestamp"]),
        (100, vec!["root", "targets", "bins", "snapshot", "timestamp"]),
    ] {
        trial.wait(TimeDelta::days(days));
        assert_eq!(due(&trial), roles);
        let publisher = trial.publisher();
        refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
        assert!(due(&trial).is_empty());
        trial.client().unwrap();
        // As long as the next refresh may take, and then some.
        trial.wait(TimeDelta::hours(23));
        trial.client().unwrap();
    }
}

#[test]
fn an_expired_root_names_the_command_that_renews_it() {
    let mut trial = Trial::new();
    trial.wait(TimeDelta::days(400));
    let error = trial.release("1.0.0").unwrap_err();
    let failure = &error;
    assert!(failure.message.contains("the root expired on") && failure.hints[0].contains("publish refresh"), "{failure:?}");
    let publisher = trial.publisher();
    refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
    trial.release("1.0.0").unwrap();
    trial.client().unwrap();
}

#[test]
fn a_root_key_kept_elsewhere_does_not_hold_up_the_online_roles() {
    let mut trial = Trial::new();
    trial.wait(TimeDelta::days(100));
    fs::rename(trial.path("keys/root.pem"), trial.path("offline.pem")).unwrap();
    let publisher = trial.publisher();
    let prepared = refresh::prepare(&publisher, Default::default()).unwrap();
    assert_eq!(prepared.plan.postponed.iter().map(|due| due.role.to_string()).collect::<Vec<_>>(), ["root"]);
    refresh::carry_out(&publisher, prepared).unwrap();
    trial.client().unwrap();
    // Once it has expired there is no way around it.
    trial.wait(TimeDelta::days(300));
    let publisher = trial.publisher();
    let error = refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("cannot open the key file") && error.contains("keys/root.pem"), "{error}");
}

#[test]
fn status_is_an_alarm_on_request() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["status", "--fail-within", "3h"]).ok();
    sandbox.publish(&["status", "--fail-within", "2d"]).fails(3, &[]).says(&["alarm: timestamp expires", "publish refresh"]);
    let document = sandbox.publish(&["status", "--fail-within", "8d", "--json"]).json();
    assert_eq!(document["status"]["alarms"].as_array().unwrap().len(), 2);
    for wrong in ["3", "d", "", "3w", "-1d", "99999999999999999d"] {
        sandbox.publish(&["status", &format!("--fail-within={wrong}")]).fails(2, &["fail-within"]);
    }
    let mut trial = Trial::new();
    trial.wait(TimeDelta::days(2));
    let status = status::status(&trial.publisher(), None).unwrap();
    assert_eq!(status.next.as_deref(), Some("publish refresh"));
}

#[test]
fn the_config_switches_consistent_snapshots() {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    for (wish, word) in [("false", "off"), ("true", "on")] {
        sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", &format!("consistent_snapshot: {wish}")));
        sandbox.unchanged(|| {
            sandbox.publish(&["refresh", "--dry-run"]).ok().says(&[&format!("root: consistent snapshots are switched {word}")])
        });
        sandbox.publish(&["refresh"]).ok();
        sandbox.publish(&["verify"]).ok();
        sandbox.release(if wish == "true" { "1.0.1" } else { "1.0.2" }).ok();
        sandbox.publish(&["verify"]).ok();
        sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok());
    }
}

/// Two people hold the root's keys: no host can sign the root that switches, and the other roles are renewed all the same.
#[test]
fn a_switch_that_waits_for_root_keys_holds_up_no_renewal() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "bob.pem", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "root=bob.pem", "--threshold", "root=2"]).ok();
    sandbox.publish(&["root", "sign", "--yes", "--key", "keys/root.pem", "--key", "bob.pem"]).ok();
    sandbox.publish(&["root", "commit"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let switched = config.replace("consistent_snapshot: true", "consistent_snapshot: false");
    sandbox.write("publish.yaml", &switched);
    for arguments in [&["refresh", "--all", "-n"][..], &["refresh", "--all"], &["refresh"]] {
        let run = sandbox.publish(arguments).ok();
        assert!(run.stderr.contains("warning: consistent snapshots stay on") && !run.stdout.contains("switched"), "{run:#?}");
    }
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    let version = |role: usize| status["status"]["roles"][role]["version"].as_u64().unwrap();
    assert_eq!((version(0), version(3)), (2, 2), "{status:#?}");
    sandbox.publish(&["verify"]).ok();
    // Where both keys are, the same line switches.
    let root = switched.lines().find(|line| line.trim_start().starts_with("root: ") && line.contains("pem")).map(str::to_owned);
    let both = "  root: [file:keys/root.pem, file:bob.pem]";
    let with_both = match &root {
        Some(line) => switched.replace(line.as_str(), both),
        None => format!("{switched}\nkeys:\n{both}\n"),
    };
    sandbox.write("publish.yaml", with_both);
    let run = sandbox.publish(&["refresh"]).ok();
    assert!(!run.stderr.contains("consistent snapshots stay"), "{run:#?}");
    sandbox.publish(&["status"]).ok().says(&["consistent snapshots are off"]);
    sandbox.publish(&["verify"]).ok();
}

/// Entries as trdl's server and the go-tuf CLI make them: SHA-512 alone.
fn sha512_alone(trial: &Trial) -> Vec<String> {
    let publisher = trial.publisher();
    let present = publisher.load().unwrap();
    let mut edits = TargetEdits::new();
    for (name, _) in present.entries() {
        let plain = trial.path("repo/targets").join(name);
        let tree = publish::tree::Tree::open(&trial.path("repo/targets")).unwrap();
        let digests = digest_file(&tree.file(name.as_ref(), Default::default()).unwrap(), &Quiet).unwrap();
        let mut wanted = Target::of(&digests);
        wanted.hashes.sha256 = None;
        let (directory, file) = name.rsplit_once('/').unwrap();
        let consistent = present.trust.root().consistent_snapshot();
        for (hash, there) in [(hex::encode(digests.sha512.unwrap()), consistent), (hex::encode(digests.sha256), false)] {
            let hashed = trial.path(&format!("repo/targets/{directory}/{hash}.{file}"));
            if there { fs::copy(&plain, hashed).map(drop).unwrap() } else { drop(fs::remove_file(hashed)) }
        }
        edits.insert(name.into(), Some(wanted));
    }
    trial.sign_unchecked(&edits);
    edits.into_keys().collect()
}

#[test]
fn what_is_named_by_sha512_alone_gets_a_sha256_on_request() {
    for consistent in [true, false] {
        let trial = Trial::new();
        trial.release("1.0.0").unwrap();
        let publisher = trial.publisher();
        let wish = refresh::RefreshRequest { consistent_snapshot: Some(consistent), ..Default::default() };
        refresh::carry_out(&publisher, refresh::prepare(&publisher, wish).unwrap()).unwrap();
        let names = sha512_alone(&trial);
        trial.client().expect("all is well");
        assert!(refresh::prepare(&publisher, wish).unwrap().plan.empty, "nobody asked");
        let rehash = || refresh::prepare(&publisher, refresh::RefreshRequest { rehash: true, ..wish }).unwrap();
        // What is not what was signed gets no new digest.
        let (victim, hidden) = (trial.path("repo/targets").join(&names[0]), trial.path("hidden"));
        if !consistent {
            fs::rename(&victim, &hidden).unwrap();
            fs::write(&victim, "evil").unwrap();
            let error = refresh::carry_out(&publisher, rehash()).unwrap_err().to_string();
            assert!(error.contains("differs from its entry in the targets role"), "{error}");
            fs::rename(&hidden, &victim).unwrap();
        }
        assert_eq!(rehash().plan.rehashed, names.len());
        assert!(refresh::carry_out(&publisher, rehash()).unwrap().changed);
        trial.client().expect("all is well");
        let present = publisher.load().unwrap();
        for (name, entry) in present.entries() {
            let hashes = Target::parse(entry, name).unwrap().hashes;
            assert!(hashes.sha256.is_some() && hashes.sha512.is_some(), "{name}");
        }
        assert!(rehash().plan.empty);
        trial.release("1.0.0").unwrap();
        trial.release("1.0.1").unwrap();
    }
}

#[test]
fn the_verdict_follows_the_clock() {
    use publish::operation::status::Health;
    let mut trial = Trial::new();
    let health = |trial: &Trial, within: Option<i64>| status::status(&trial.publisher(), within.map(TimeDelta::hours)).unwrap().health;
    assert_eq!(health(&trial, None), Health::Healthy);
    assert_eq!(health(&trial, Some(48)), Health::ExpiresSoon);
    // What an hourly job leaves due is no alarm.
    trial.wait(TimeDelta::hours(5));
    assert_eq!(health(&trial, None), Health::RefreshDue);
    assert_eq!(health(&trial, Some(12)), Health::Healthy);
    trial.wait(TimeDelta::hours(10));
    assert_eq!(health(&trial, Some(12)), Health::ExpiresSoon);
    trial.wait(TimeDelta::hours(10));
    assert_eq!((health(&trial, None), health(&trial, Some(12))), (Health::Expired, Health::Expired));
    let verdict = status::status(&trial.publisher(), None).unwrap().verdict;
    assert!(verdict.starts_with("EXPIRED: timestamp; clients refuse updates"), "{verdict}");
}
