//! A repository in the shape that Rugged gives one (an imitation, see `testdata/repositories/make-rugged.py`): read,
//! verified, carried on in place with its online keys.

use crate::sandbox::{Run, Sandbox, files, testdata};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const CONFIG: &str = "name: drupal
repo: metadata
root: 1.root.json
keys:
  targets: file:keys/targets
  snapshot: file:keys/snapshot
  timestamp: file:keys/timestamp
plain_names: elsewhere
passphrase_file: passphrase
";

fn taken_over() -> Sandbox {
    let sandbox = Sandbox::empty();
    let source = testdata().join("repositories/rugged");
    for (name, content) in files(&source) {
        let path = sandbox.write(&name, content);
        if name.starts_with("keys/") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    fs::copy(source.join("metadata/1.root.json"), sandbox.path("1.root.json")).unwrap();
    sandbox.secret("passphrase", "test-only\n");
    sandbox.write("publish.yaml", CONFIG);
    sandbox
}

fn role(sandbox: &Sandbox, name: &str) -> Value {
    serde_json::from_slice::<Value>(&fs::read(sandbox.path("metadata").join(name)).unwrap()).unwrap()["signed"].clone()
}

fn changed(sandbox: &Sandbox, run: impl FnOnce() -> Run) -> Vec<String> {
    let before = files(&sandbox.path("metadata"));
    run().ok();
    let after = files(&sandbox.path("metadata"));
    after.into_iter().filter(|(name, content)| before.get(name) != Some(content)).map(|(name, _)| name).collect()
}

#[test]
fn a_rugged_repository_is_verified() {
    let sandbox = taken_over();
    sandbox.publish(&["status"]).ok().says(&["others in 16 hashed bins", "signed by 3 of 3 keys"]);
    let report = sandbox.publish(&["verify", "--metadata-only"]).ok().says(&["good: 0 errors", "keyid_hash_algorithms, as go-tuf"]);
    assert!(!report.stdout.contains("an id of its own"), "{report:#?}");
}

#[test]
fn a_rugged_repository_is_continued_in_place() {
    let sandbox = taken_over();
    fs::write(sandbox.path("served/drupal/module3/1.0.3"), "edited after signing\n").unwrap();
    sandbox.write("served/drupal/new/2.0.0", "never signed\n");
    let add = |arguments: &[&str]| sandbox.publish(&[&["add-targets", "--base", "served"], arguments].concat());
    add(&["--changed", "served", "-n"]).ok().says(&["~ drupal/module3/1.0.3", "new/2.0.0 is not a target", "24 targets unchanged"]);
    let written = changed(&sandbox, || add(&["served"]));
    let bins = written.iter().filter(|name| name.starts_with("bin_")).count();
    assert!((1..=2).contains(&bins), "only touched bins: {written:?}");
    for name in ["snapshot.json", "timestamp.json"] {
        assert!(written.contains(&name.to_owned()), "clients read {name}: {written:?}");
        assert_eq!(role(&sandbox, name)["version"], 2);
    }
    assert!(!written.iter().any(|name| name.contains("targets/") || name.ends_with("1.root.json")), "{written:?}");
    // What was written states lengths, what was not stays as it was; ids and the specification's version do, too.
    let snapshot = role(&sandbox, "snapshot.json");
    let meta = snapshot["meta"].as_object().unwrap();
    assert_eq!(meta.values().filter(|entry| entry.get("length").is_some()).count(), bins);
    assert_eq!(meta.len(), 18);
    assert_eq!(snapshot["spec_version"], "1.0.31");
    sandbox.publish(&["verify", "--metadata-only"]).ok().says(&["good: 0 errors"]);
    add(&["served"]).ok().says(&["nothing to do"]);
    sandbox.publish(&["remove-targets", "drupal/new/*", "--confirm", "1"]).ok();
    sandbox.publish(&["verify", "--metadata-only"]).ok();
}

#[test]
fn a_name_outside_the_delegation_to_the_bins_stays_at_the_top() {
    let sandbox = taken_over();
    // Rugged's patterns end at six parts: a client would never look into the bins for a seventh.
    sandbox.write("served/a/b/c/d/e/f/g", "deep\n");
    sandbox.publish(&["add-targets", "served/a", "--base", "served"]).ok();
    assert!(role(&sandbox, "targets.json")["targets"].get("a/b/c/d/e/f/g").is_some());
    sandbox.publish(&["verify", "--metadata-only"]).ok();
}

#[test]
fn a_wrong_passphrase_or_a_broken_key_file_changes_nothing() {
    let sandbox = taken_over();
    sandbox.write("new/x", "x");
    let metadata = files(&sandbox.path("metadata"));
    let add = || sandbox.publish(&["add-targets", "new", "--base", "new"]);
    sandbox.write("passphrase", "wrong\n");
    add().fails(12, &["wrong passphrase for the key file keys/targets"]);
    sandbox.write("passphrase", "test-only\n");
    let good = fs::read_to_string(sandbox.path("keys/targets")).unwrap();
    for broken in [good.replacen("@@@@", "@@@", 1), good.replace("100000", "0"), "{\"keytype\": \"ed25519\"}".into(), "rubbish".into()] {
        sandbox.write("keys/targets", broken);
        let said = add().fails(6, &["keys/targets is not a private key"]);
        assert!(!said.stderr.contains(&good[..32]), "{said:#?}");
    }
    sandbox.write("keys/targets", good.replace("@@@@1", "@@@@2"));
    add().fails(12, &["wrong passphrase"]);
    assert!(metadata == files(&sandbox.path("metadata")));
}
