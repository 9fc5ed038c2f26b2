//! Targets spread over hashed bins.

use crate::sandbox::{Run, Sandbox};

/// A repository without trdl clients, with so many packages.
fn with_packages(count: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 0..count {
        sandbox.write(&format!("pool/p{number}/p{number}.zip"), format!("package {number}"));
    }
    sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", "packages"]).ok();
    sandbox
}

fn bins(sandbox: &Sandbox, count: &str) -> Run {
    sandbox.publish(&["bins", "--count", count, "--not-for-trdl", "--confirm", count])
}

/// The newest file of a role.
fn role(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    let files = sandbox.repository();
    let version = |file: &str| file.strip_suffix(&format!(".{name}.json"))?.parse::<u64>().ok();
    let newest = files.keys().filter_map(|file| Some((version(file)?, file))).max().unwrap_or_else(|| panic!("no {name}")).1;
    serde_json::from_slice::<serde_json::Value>(&files[newest]).unwrap()["signed"].clone()
}

fn numbered(sandbox: &Sandbox) -> Vec<String> {
    sandbox.repository().into_keys().filter(|name| name.ends_with(".json") && name.starts_with(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn a_commit_rewrites_only_the_bins_it_touches() {
    let sandbox = with_packages(40);
    sandbox.unchanged(|| sandbox.publish(&["bins", "--count", "16", "--not-for-trdl"]).fails(5, &["cannot be undone", "--confirm 16"]));
    sandbox.publish(&["bins", "--count", "16"]).fails(6, &["the trdl client reads top-level targets only", "--not-for-trdl"]);
    bins(&sandbox, "12").fails(6, &["12 bins", "power of two"]);
    sandbox.unchanged(|| {
        sandbox
            .publish(&["bins", "--count", "16", "--not-for-trdl", "--confirm", "16", "-n"])
            .ok()
            .says(&["+ 16 bins", "40 targets in them"])
    });
    let made = bins(&sandbox, "16").ok().says(&["40 targets spread over 16 bins"]);
    assert!(made.stderr.contains("warning: go-tuf 2.0 to 2.4.2 finds no target in hashed bins"), "{made:#?}");
    sandbox.publish(&["verify"]).ok().says(&["40 targets", "note: hashed bins: go-tuf 2.0 to 2.4.2"]);
    sandbox.unchanged(|| bins(&sandbox, "16").ok().says(&["nothing to do"]));
    assert_eq!(role(&sandbox, "targets")["targets"], serde_json::json!({}));
    let before = numbered(&sandbox);
    sandbox.write("new/one.zip", b"one more");
    sandbox.publish(&["add-targets", "new", "--base", "new", "--prefix", "packages"]).ok().says(&["+ packages/one.zip"]);
    let added: Vec<String> = numbered(&sandbox).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(added.len(), 2, "one bin and one snapshot: {added:?}");
    assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/one.zip")).unwrap(), b"one more");
    sandbox.publish(&["verify"]).ok().says(&["41 targets"]);
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "new", "--base", "new", "--prefix", "packages"]).ok().says(&["nothing to do"]));
    sandbox.publish(&["status"]).ok().says(&["others in 16 hashed bins", "bins "]);
}

#[test]
fn what_releases_are_stays_at_the_top() {
    let sandbox = with_packages(8);
    bins(&sandbox, "4").ok();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    let top = role(&sandbox, "targets");
    let names: Vec<&String> = top["targets"].as_object().unwrap().keys().collect();
    assert!(
        names.iter().any(|name| name.starts_with("releases/1.0.0/")) && names.iter().any(|name| *name == "channels/1/stable"),
        "{names:?}"
    );
    sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", "packages", "--sign"]).ok().says(&["gets a signature"]);
    assert!(!role(&sandbox, "targets")["targets"].as_object().unwrap().keys().any(|name| name.starts_with("signatures/packages/")));
    sandbox.publish(&["verify"]).ok().says(&["9 OpenPGP signatures checked"]);
    sandbox.publish(&["remove-targets", "packages/p1/*", "--confirm", "1"]).ok().says(&["1 target removed"]);
    assert!(!sandbox.path("repo/targets/packages/p1/p1.zip").exists());
    assert!(!sandbox.path("repo/targets/signatures/packages/p1/p1.zip.sig").exists());
    sandbox.publish(&["verify"]).ok().says(&["8 OpenPGP signatures checked"]);
}

#[test]
fn the_number_changes_both_ways_and_no_entry_leaves_the_snapshot() {
    let sandbox = with_packages(30);
    for (count, listed) in [("8", 8), ("32", 32), ("2", 32), ("16", 32)] {
        let plan = sandbox.publish(&["bins", "--count", count, "--not-for-trdl", "--confirm", count, "--dry-run"]).ok();
        assert_eq!(plan.stdout.contains("30 bins without targets stay listed in the snapshot for ever"), count == "2", "{plan:?}");
        bins(&sandbox, count).ok();
        let snapshot = role(&sandbox, "snapshot");
        assert_eq!(snapshot["meta"].as_object().unwrap().keys().filter(|name| name.starts_with("bin-")).count(), listed);
        sandbox.publish(&["verify"]).ok().says(&["30 targets"]);
        assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/p7/p7.zip")).unwrap(), b"package 7");
    }
    sandbox.publish(&["add-targets", "pool/p3/p3.zip", "--base", "pool", "--prefix", "packages"]).ok().says(&["nothing to do"]);
    sandbox.write("pool/p3/p3.zip", b"second edition");
    sandbox.publish(&["add-targets", "pool/p3/p3.zip", "--base", "pool", "--prefix", "packages"]).ok().says(&["~ packages/p3/p3.zip"]);
    assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/p3/p3.zip")).unwrap(), b"second edition");
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn bins_can_have_a_key_of_their_own() {
    let sandbox = with_packages(4);
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let key = std::fs::read(sandbox.path("keys/snapshot.pem")).unwrap();
    std::fs::copy(sandbox.path("keys/snapshot.pem"), sandbox.path("keys/bins.pem")).unwrap();
    assert_eq!(std::fs::read(sandbox.path("keys/bins.pem")).unwrap(), key);
    sandbox.write("publish.yaml", config.replace("keys:\n", "keys:\n  bins: file:keys/bins.pem\n"));
    bins(&sandbox, "2").ok();
    // The targets key can be put away now.
    std::fs::rename(sandbox.path("keys/targets.pem"), sandbox.path("targets.pem")).unwrap();
    sandbox.write("new/one.zip", b"one more");
    sandbox.publish(&["add-targets", "new", "--base", "new"]).ok();
    bins(&sandbox, "4").ok();
    sandbox.publish(&["verify"]).ok().says(&["5 targets"]);
    sandbox.unchanged_metadata(|| sandbox.release("1.0.0").fails(7, &["keys/targets.pem"]));
    std::fs::copy(sandbox.path("keys/timestamp.pem"), sandbox.path("keys/bins.pem")).unwrap();
    sandbox.write("new/two.zip", b"and another");
    sandbox.unchanged(|| {
        sandbox.publish(&["add-targets", "new", "--base", "new"]).fails(6, &["bin-0 needs 1 signature and 0", "keys: bins:"])
    });
}

#[test]
fn without_consistent_snapshots_there_are_no_bins() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--consistent-snapshot", "false"]).ok();
    sandbox.unchanged(|| bins(&sandbox, "4").fails(6, &["without consistent snapshots", "consistent_snapshot: true"]));
}

#[test]
fn without_consistent_snapshots_every_role_has_the_name_that_clients_ask_for() {
    let sandbox = with_packages(8);
    bins(&sandbox, "4").ok();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let set = |value: &str| {
        let text = config.replace("consistent_snapshot: true", &format!("consistent_snapshot: {value}"));
        drop(sandbox.write("publish.yaml", text));
    };
    set("false");
    sandbox.publish(&["refresh"]).ok();
    sandbox.publish(&["verify"]).ok().says(&["8 targets"]);
    // As an earlier version left it.
    for role in ["bins", "bin-1"] {
        std::fs::remove_file(sandbox.path(&format!("repo/{role}.json"))).unwrap();
    }
    std::fs::copy(sandbox.path("repo/bin-0.json"), sandbox.path("repo/bin-2.json")).unwrap();
    sandbox.publish(&["verify"]).fails(9, &[]).says(&["bins.json is missing", "publish refresh --all"]);
    sandbox.publish(&["refresh", "--all"]).ok();
    sandbox.publish(&["verify"]).ok().says(&["8 targets"]);
    sandbox.write("new/one.zip", b"one more");
    sandbox.publish(&["add-targets", "new", "--base", "new", "--prefix", "packages"]).ok();
    sandbox.publish(&["verify"]).ok().says(&["9 targets"]);
    // And back, where a role has its plain name only, as other tools leave them.
    let numbered = numbered(&sandbox).into_iter().rfind(|name| name.ends_with(".bin-3.json")).unwrap();
    std::fs::remove_file(sandbox.path(&format!("repo/{numbered}"))).unwrap();
    set("true");
    sandbox.publish(&["refresh"]).ok();
    assert!(sandbox.path(&format!("repo/{numbered}")).exists());
    sandbox.publish(&["verify"]).ok().says(&["9 targets"]);
}

#[test]
fn a_switch_that_would_lock_clients_out_is_refused() {
    let sandbox = with_packages(4);
    bins(&sandbox, "2").ok();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", "consistent_snapshot: false"));
    // A package whose content is gone cannot get its plain name, and clients would ask for that.
    let hashed = |file: &std::path::Path| file.to_str().is_some_and(|name| name.ends_with(".p1.zip"));
    for entry in walkdir::WalkDir::new(sandbox.path("repo/targets/packages/p1")).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() && (hashed(entry.path()) || entry.file_name() == "p1.zip") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    sandbox.publish(&["refresh"]).fails(5, &["consistent snapshots cannot be switched off", "packages/p1/p1.zip"]);
    assert!(!sandbox.path("repo/2.root.json").exists());
}
