//! What a prune takes and what it leaves, with a clock of the test's choosing.

use crate::trial::Trial;
use chrono::TimeDelta;
use publish::operation::change::carry_out;
use publish::operation::change::yank;
use publish::operation::change::yank::YankRequest;
use publish::operation::{prune, refresh};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sets every file of the repository back in time, as if it had been written so long ago.
fn age(trial: &Trial, days: u64) {
    for entry in walkdir::WalkDir::new(trial.path("repo")).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let file = std::fs::File::options().write(true).open(entry.path()).unwrap();
        file.set_modified(entry.metadata().unwrap().modified().unwrap() - Duration::from_secs(days * 24 * 3600)).unwrap();
    }
}

fn yank(trial: &Trial, version: &str) {
    let request = YankRequest { version: version.to_owned(), reason: None, ..YankRequest::default() };
    let publisher = trial.publisher();
    carry_out(&publisher, yank::prepare(&publisher, &request).unwrap()).unwrap();
}

fn pruned(trial: &Trial) -> Vec<String> {
    let publisher = trial.publisher();
    let plan = prune::plan(&publisher, GRACE).unwrap();
    let done = prune::apply(&publisher, &plan).unwrap();
    assert_eq!((done.deleted, done.skipped), (plan.objects.len(), 0));
    plan.objects
}

fn any(objects: &[String], part: &str) -> bool {
    objects.iter().any(|object| object.contains(part))
}

#[test]
fn nothing_that_a_client_within_the_grace_needs_is_deleted() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    trial.release("1.0.1").unwrap();
    yank(&trial, "1.0.1");
    assert_eq!(pruned(&trial), Vec::<String>::new(), "all of it is young");
    // Old files, but the yank itself is younger than the grace.
    age(&trial, 29);
    assert_eq!(pruned(&trial), Vec::<String>::new());
    trial.client().unwrap();
}

#[test]
fn bins_that_no_snapshot_within_the_grace_lists_are_deleted() {
    let mut trial = Trial::with_bins(12, 8);
    trial.bins_on(&trial.publisher(), 2).unwrap();
    let listed: Vec<String> =
        std::fs::read_dir(trial.path("repo")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(listed.contains(&"1.bin-7.json".to_owned()) && listed.contains(&"2.bin-0.json".to_owned()), "{listed:?}");
    assert_eq!(pruned(&trial), Vec::<String>::new(), "all of it is young");
    std::fs::create_dir_all(trial.path("new")).unwrap();
    std::fs::write(trial.path("new/p3.zip"), b"second edition").unwrap();
    age(&trial, 45);
    trial.wait(TimeDelta::days(45));
    let publisher = trial.publisher();
    refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
    trial.add_on(&trial.publisher(), "new").unwrap();
    age(&trial, 45);
    trial.wait(TimeDelta::days(45));
    let publisher = trial.publisher();
    refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
    let gone = pruned(&trial);
    assert!(any(&gone, "1.bin-0.json") && !any(&gone, "1.bin-7.json"), "the last file of a bin that is left over stays listed: {gone:?}");
    let old = hex::encode(openssl::sha::sha256(b"package 3"));
    assert!(any(&gone, &format!("{old}.p3.zip")), "what it lists is out of reach: {gone:?}");
    trial.client().unwrap();
    assert_eq!(std::fs::read(trial.path("repo/targets/packages/p3.zip")).unwrap(), b"second edition");
}

#[test]
fn what_no_client_can_need_any_more_is_deleted() {
    let mut trial = Trial::new();
    trial.release("1.0.0").unwrap();
    trial.release("1.0.1").unwrap();
    yank(&trial, "1.0.1");
    std::fs::write(trial.path("repo/targets/releases/1.0.0/linux-amd64/abandoned"), b"staged by a run that died").unwrap();
    std::fs::create_dir_all(trial.path("repo/probe/x")).unwrap();
    std::fs::write(trial.path("repo/probe/x/y"), b"").unwrap();
    std::fs::write(trial.path("repo/index.html"), b"somebody's own").unwrap();
    age(&trial, 45);
    trial.wait(TimeDelta::hours(5));
    let publisher = trial.publisher();
    refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
    let strange = prune::plan(&publisher, GRACE).unwrap().strange;
    assert_eq!(strange, ["index.html"]);
    let gone = pruned(&trial);
    for part in [
        "targets/releases/1.0.1/linux-amd64/bin/",
        "targets/signatures/1.0.1/",
        "1.targets.json",
        "3.snapshot.json",
        "abandoned",
        "probe/x/y",
    ] {
        assert!(any(&gone, part), "{part} stays: {gone:#?}");
    }
    for part in ["root.json", "4.targets.json", "timestamp.json", "releases/1.0.0/linux-amd64/bin", "index.html", "yanked", "plain.json"] {
        assert!(!any(&gone, part), "{part} goes: {gone:#?}");
    }
    assert!(trial.path("repo/index.html").exists());
    trial.client().unwrap();
    trial.release("1.0.2").unwrap();
    trial.client().unwrap();
    assert_eq!(pruned(&trial), Vec::<String>::new());
}

#[test]
fn an_orphan_between_two_snapshots_shortens_no_grace() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    // 2 was committed; 3 is the orphan of a dead publisher, old; 4 was committed just now.
    std::fs::write(trial.path("repo/3.snapshot.json"), b"orphan").unwrap();
    std::fs::write(trial.path("repo/3.targets.json"), b"orphan").unwrap();
    age(&trial, 40);
    yank(&trial, "1.0.0");
    let gone = pruned(&trial);
    assert!(!any(&gone, "2.snapshot.json") && !any(&gone, "2.targets.json"), "{gone:#?}");
    assert!(!any(&gone, "releases/1.0.0"), "somebody may be fetching it: {gone:#?}");
    assert!(any(&gone, "3.snapshot.json"), "{gone:#?}");
    trial.client().unwrap();
}

#[test]
fn a_grace_that_publishers_rely_on_cannot_be_shortened() {
    let trial = Trial::new();
    let refused = prune::plan(&trial.publisher(), Duration::from_secs(3600)).unwrap_err();
    assert!(refused.to_string().contains("too short"), "{refused}");
}

#[test]
fn without_yes_nothing_is_deleted() {
    let sandbox = crate::sandbox::Sandbox::new();
    let left = sandbox.write("repo/targets/left", b"behind");
    let file = std::fs::File::options().write(true).open(&left).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(40 * 24 * 3600)).unwrap();
    sandbox.unchanged(|| sandbox.publish(&["prune"]).fails(5, &["nothing was changed", "--confirm acme"]).says(&["- targets/left"]));
    sandbox.unchanged(|| sandbox.publish(&["prune", "--dry-run", "--confirm", "acme"]).ok().says(&["1 file"]));
    sandbox.publish(&["prune", "--confirm", "acme"]).ok().says(&["deleted 1 file"]);
    assert!(!left.exists());
    // Scripts of earlier versions.
    sandbox.publish(&["prune", "--yes"]).ok();
    sandbox.publish(&["prune", "--confirm", "acme"]).ok().says(&["nothing to delete"]);
    sandbox.publish(&["prune", "--grace", "3h"]).fails(6, &["too short", "at least 1d"]);
}
