//! What a plan shows is what is carried out: a state that moved in between is a conflict.

use crate::trial::Trial;
use publish::operation::change::carry_out;
use publish::operation::change::remove_targets;
use publish::operation::change::yank::{self, YankRequest};
use publish::operation::prune;
use std::fs;
use std::time::Duration;

#[test]
fn a_yank_takes_what_it_listed_or_nothing() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    trial.release("1.0.1").unwrap();
    let publisher = trial.publisher();
    let request = YankRequest { version: "1.0.1".into(), reason: None, ..YankRequest::default() };
    let plan = yank::prepare(&publisher, &request).unwrap();
    // Another publisher adds a platform, which the plan did not list.
    trial.build("darwin-arm64/bin/acme", b"later");
    trial.release("1.0.1").unwrap();
    let error = carry_out(&publisher, plan).unwrap_err();
    assert_eq!(Some(error.kind), Some(publish::error::Kind::Conflict), "{error:#}");
    assert!(trial.path("repo/targets/releases/1.0.1/darwin-arm64/bin/acme").exists());
}

#[test]
fn a_removal_takes_what_it_listed_or_nothing() {
    let trial = Trial::new();
    fs::create_dir(trial.path("pool")).unwrap();
    fs::write(trial.path("pool/one.zip"), "one").unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
    let publisher = trial.publisher();
    let found = remove_targets::prepare(&publisher, &["**/one.zip".to_owned()]).unwrap();
    fs::write(trial.path("pool/one.zip"), "another").unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
    let error = carry_out(&publisher, found).unwrap_err();
    assert_eq!(Some(error.kind), Some(publish::error::Kind::Conflict), "{error:#}");
    // Further targets that match by now are not taken along.
    let found = remove_targets::prepare(&publisher, &["**/*.zip".to_owned()]).unwrap();
    fs::write(trial.path("pool/two.zip"), "two").unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
    carry_out(&publisher, found).unwrap();
    assert!(remove_targets::prepare(&publisher, &["**/one.zip".to_owned()]).is_err());
    assert_eq!(remove_targets::prepare(&publisher, &["**/two.zip".to_owned()]).unwrap().plan.targets.len(), 1);
}

#[test]
fn a_prune_deletes_nothing_that_it_did_not_list() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let publisher = trial.publisher();
    let plan = prune::plan(&publisher, Duration::from_secs(30 * 24 * 3600)).unwrap();
    assert!(plan.objects.is_empty());
    let stray = trial.path("repo/targets/0000000000000000000000000000000000000000000000000000000000000000.stray");
    fs::write(&stray, "old").unwrap();
    let file = fs::File::options().write(true).open(&stray).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(90 * 24 * 3600)).unwrap();
    assert_eq!(prune::apply(&publisher, &plan).unwrap().deleted, 0);
    assert!(stray.exists());
}
