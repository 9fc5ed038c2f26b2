//! The recovery guide (docs/recovery.md), carried out.

use crate::sandbox::{Sandbox, files};
use crate::trial::Trial;
use chrono::TimeDelta;
use publish::operation::refresh::{self, RefreshRequest};
use std::fs;

const ALL: RefreshRequest = RefreshRequest { consistent_snapshot: None, all: true, rehash: false };

#[test]
fn a_bucket_restored_from_an_old_backup_continues_above_what_clients_have_seen() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let (early, backup) = (trial.trust(), files(&trial.path("repo")));
    trial.release("1.0.1").unwrap();
    trial.channels_on(&trial.publisher(), "1.0.1").unwrap();
    let late = trial.trust();
    fs::remove_dir_all(trial.path("repo")).unwrap();
    for (name, content) in &backup {
        let path = trial.path("repo").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    assert!(trial.updates(&late).is_err(), "readers refuse the old state");
    // No command continues from it by accident.
    let refused = trial.release("1.0.2").unwrap_err().to_string();
    assert!(refused.contains("older state than this publisher has seen"), "{refused}");
    let publisher = trial.publisher();
    let publisher = publisher.accepting_rollback(true);
    refresh::carry_out(&publisher, refresh::prepare(&publisher, ALL).unwrap()).unwrap();
    trial.updates(&late).unwrap();
    trial.updates(&early).unwrap();
    // What the backup lacked is published again, and goes on.
    trial.release("1.0.1").unwrap();
    trial.channels_on(&trial.publisher(), "1.0.1").unwrap();
    trial.updates(&late).unwrap();
    trial.client().expect("all is well");
}

#[test]
fn the_operator_gives_versions_that_are_not_remembered() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    sandbox.publish(&["refresh", "--versions-above", "500", "--confirm", "500"]).fails(2, &["--all"]);
    let refresh = ["refresh", "--all", "--versions-above", "500"];
    sandbox.unchanged(|| sandbox.publish(&refresh).fails(5, &["cannot be undone", "--confirm 500"]));
    sandbox.unchanged(|| sandbox.publish(&[&refresh[..], &["--confirm", "50"]].concat()).fails(5, &["--confirm names 50, not 500"]));
    sandbox.publish(&[&refresh[..], &["--confirm", "500"]].concat()).ok();
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    let versions: Vec<u64> = status["status"]["roles"].as_array().unwrap().iter().map(|role| role["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 501, 501, 501]);
    sandbox.release("1.0.1").ok();
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_lost_targets_key_is_replaced_at_once() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let lost = sandbox.publish(&["key", "show", "keys/targets.pem", "--json"]).ok().json()["key_id"].as_str().unwrap().to_owned();
    fs::remove_file(sandbox.path("keys/targets.pem")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.1").fails(7, &["keys/targets.pem"]));
    sandbox.publish(&["key", "new", "keys/targets.pem", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "targets=keys/targets.pem", "--remove-key", &format!("targets={lost}")]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "commit", "--replace-now", "--confirm", "2"]).ok();
    sandbox.release("1.0.1").ok();
    sandbox.publish(&["verify"]).ok().says(&["good: 0 errors"]);
}

#[test]
fn one_of_three_root_keys_is_lost_and_the_other_two_replace_it() {
    let sandbox = Sandbox::new();
    for name in ["bob", "carol", "dave"] {
        sandbox.publish(&["key", "new", &format!("{name}.secret"), "--no-passphrase"]).ok();
        sandbox.write(&format!("{name}.pem"), sandbox.publish(&["key", "export", &format!("{name}.secret")]).ok().stdout);
    }
    let root = |arguments: &[&str]| sandbox.publish(&[&["root"], arguments].concat());
    root(&["edit", "--add-key", "root=bob.pem", "--add-key", "root=carol.pem", "--threshold", "root=2"]).ok();
    root(&["sign", "--yes"]).ok();
    root(&["sign", "--yes", "--key", "bob.secret"]).ok();
    root(&["commit"]).ok();
    fs::remove_file(sandbox.path("carol.secret")).unwrap();
    root(&["edit", "--remove-key", "root=carol", "--add-key", "root=dave.pem"]).ok();
    root(&["sign", "--yes"]).ok().says(&["1 of 2"]);
    sandbox.unchanged(|| root(&["commit"]).fails(5, &["waiting for"]));
    root(&["sign", "--yes", "--key", "bob.secret"]).ok().says(&["complete"]);
    root(&["commit"]).ok();
    sandbox.publish(&["verify"]).ok();
    sandbox.publish(&["key", "list"]).ok().says(&["dave"]);
}

#[test]
fn a_clock_that_was_a_day_behind_is_set_right() {
    let mut trial = Trial::new();
    trial.wait(TimeDelta::hours(30));
    trial.release("1.0.0").unwrap();
    let old = trial.trust();
    trial.wait(TimeDelta::hours(-25));
    trial.release("1.0.1").unwrap();
    trial.wait(TimeDelta::hours(25));
    // No role expires before the one that it replaced: clients, whose clocks are right, follow.
    trial.updates(&old).unwrap();
    trial.release("1.0.2").unwrap();
    trial.updates(&old).unwrap();
    trial.client().expect("all is well");
    // A day ahead: what was signed is valid for a day longer, and nothing needs to be done.
    trial.wait(TimeDelta::hours(25));
    trial.release("1.0.3").unwrap();
    trial.wait(TimeDelta::hours(-25));
    trial.updates(&old).unwrap();
    trial.release("1.0.4").unwrap();
    trial.updates(&old).unwrap();
}

#[test]
fn a_root_that_expired_yesterday_is_renewed_and_all_clients_follow() {
    let mut trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let old = trial.trust();
    trial.wait(TimeDelta::days(366));
    assert!(trial.updates(&old).is_err());
    let error = trial.release("1.0.1").unwrap_err().to_string();
    assert!(error.contains("the root expired on"), "{error}");
    refresh::carry_out(&trial.publisher(), refresh::prepare(&trial.publisher(), RefreshRequest::default()).unwrap()).unwrap();
    trial.updates(&old).unwrap();
    trial.release("1.0.1").unwrap();
    trial.client().expect("all is well");
}
