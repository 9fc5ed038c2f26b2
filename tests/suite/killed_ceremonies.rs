//! Rotations and commits of roots that were killed, or that met another one: the same command completes, or reports what to do.

use crate::sandbox::Sandbox;
use crate::trial::Trial;
use publish::keys::KeyUri;
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::{self, RootRequest};
use std::fs;

const NOW: [&str; 4] = ["rotate", "snapshot", "--now", "--no-passphrase"];

/// The files of snapshot keys, and how many keys the config and the root have for the role.
fn standing(sandbox: &Sandbox) -> (Vec<String>, usize, usize) {
    let mut files: Vec<String> = fs::read_dir(sandbox.path("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("snapshot") || name.starts_with('.'))
        .collect();
    files.sort();
    let listed = sandbox.publish(&["key", "list", "--json"]).ok().json();
    let role = listed["roles"].as_array().unwrap().iter().find(|role| role["role"] == "snapshot").unwrap().clone();
    (files, role["places"].as_array().unwrap().len(), role["keys"].as_array().unwrap().len())
}

fn is_complete(sandbox: &Sandbox) {
    assert_eq!(standing(sandbox), (vec!["snapshot-2.pem".into(), "snapshot.pem".into()], 1, 1));
    sandbox.publish(&["verify"]).ok();
    sandbox.release("1.0.0").ok();
}

#[test]
fn a_rotation_killed_between_its_roots_is_completed_by_the_same_command() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["rotate", "snapshot", "--no-passphrase"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["rotate", "snapshot"]).fails(5, &["the first half of a rotation is done", "--finish"]));
    sandbox.publish(&NOW).ok().says(&["root 3 drops", "root 3 is published"]);
    is_complete(&sandbox);
    // With a key of the user's choice, too.
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "keys/snapshot-2.pem", "--no-passphrase"]).ok();
    let key = ["--key", "file:keys/snapshot-2.pem"];
    sandbox.publish(&[&["rotate", "snapshot"], &key[..]].concat()).ok();
    sandbox.publish(&[&NOW[..], &key].concat()).ok().says(&["root 3 is published"]);
    is_complete(&sandbox);
}

#[test]
fn a_key_that_a_killed_rotation_dropped_does_not_come_back() {
    for again in [&NOW[..], &["rotate", "snapshot", "--finish"]] {
        let sandbox = Sandbox::new();
        sandbox.publish(&["rotate", "snapshot", "--no-passphrase"]).ok();
        let config = fs::read(sandbox.path("publish.yaml")).unwrap();
        sandbox.publish(&["rotate", "snapshot", "--finish"]).ok();
        // Killed before the config was written.
        fs::write(sandbox.path("publish.yaml"), config).unwrap();
        sandbox.unchanged(|| sandbox.publish(again).ok().says(&["root 3 is published", "the old key is not used any more"]));
        is_complete(&sandbox);
    }
}

#[test]
fn killed_rotations_leave_no_key_files_behind() {
    // Before the config named the key.
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "keys/snapshot-2.pem.new", "--no-passphrase"]).ok();
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let leftover = sandbox.path(&format!("keys/.publish-key-{}", dead.id()));
    dead.wait().unwrap();
    fs::write(&leftover, "half a key").unwrap();
    // One of a running process stays.
    let living = sandbox.write(&format!("keys/.publish-key-{}", std::process::id()), "");
    sandbox.publish(&NOW).ok();
    assert!(!leftover.exists() && living.exists());
    fs::remove_file(living).unwrap();
    is_complete(&sandbox);
    // After it did, and before the file had its name.
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "keys/snapshot-2.pem.new", "--no-passphrase"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let both = config.replace("snapshot: file:keys/snapshot.pem", "snapshot: [file:keys/snapshot.pem, file:keys/snapshot-2.pem]");
    assert_ne!(config, both);
    sandbox.write("publish.yaml", both);
    let made = fs::read(sandbox.path("keys/snapshot-2.pem.new")).unwrap();
    sandbox.publish(&NOW).ok();
    assert!(fs::read(sandbox.path("keys/snapshot-2.pem")).unwrap() == made);
    is_complete(&sandbox);
}

#[test]
fn a_commit_that_was_complete_is_complete_again() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["root", "commit"]).fails(7, &["root-draft.json", "publish root edit"]);
    sandbox.publish(&["root", "edit", "--expires", "300d"]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    let draft = fs::read(sandbox.path("root-draft.json")).unwrap();
    sandbox.publish(&["root", "commit"]).ok().says(&["root 2 is published"]);
    sandbox.unchanged(|| sandbox.publish(&["root", "commit"]).ok().says(&["root 2 is published already; nothing to do"]));
    // Killed before the draft was put away.
    sandbox.write("root-draft.json", &draft);
    sandbox.publish(&["root", "commit"]).ok();
    assert!(!sandbox.path("root-draft.json").exists());
    // Also after others went on.
    sandbox.publish(&["root", "edit", "--expires", "310d"]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "commit"]).ok().says(&["root 3 is published"]);
    sandbox.unchanged(|| sandbox.publish(&["root", "commit"]).ok().says(&["root 3 is published already"]));
}

#[test]
fn the_loser_of_two_commits_of_a_root_is_told_what_to_do() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let publisher = trial.publisher();
    let key = publisher.keyring().load(&KeyUri::File(trial.path("keys/root.pem"))).unwrap();
    let draft = |name: &str, days: i64| {
        let (path, names) = (trial.path(name), trial.path("names.json"));
        let wish = RootRequest { expires: Some(trial.now() + chrono::TimeDelta::days(days)), ..RootRequest::default() };
        root::edit(&publisher, &path, &names, &wish, false).unwrap();
        root::sign(Some(&publisher), &path, std::slice::from_ref(&key)).unwrap();
        path
    };
    let (ours, theirs) = (draft("ours.json", 370), draft("theirs.json", 380));
    let plan = |path| commit::prepare(&publisher, path, CommitRequest::default());
    let (first, second, again) = (plan(&ours).unwrap(), plan(&theirs).unwrap(), plan(&ours).unwrap());
    commit::carry_out(&publisher, first).unwrap();
    let lost = |failure: publish::error::Error| {
        assert!(failure.hints.iter().any(|hint| hint.contains("start again with `publish root edit`")), "{failure:?}");
        failure.message
    };
    let message = lost(commit::carry_out(&publisher, second).unwrap_err());
    assert!(message.contains("another process published another 2.root.json"), "{message}");
    assert!(theirs.exists());
    let message = lost(plan(&theirs).unwrap_err());
    assert!(message.contains("the draft is stale: it follows root 1, and root 2 is published"), "{message}");
    // Two commits of one draft are one.
    commit::carry_out(&publisher, again).unwrap();
    assert!(!ours.exists());
    trial.client().unwrap();
}
