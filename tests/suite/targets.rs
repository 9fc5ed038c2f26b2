//! Targets that are neither releases nor channels.

use crate::sandbox::{Run, Sandbox};
use std::io::Write;
use std::process::Stdio;

const SIGNED: [&str; 7] = ["add-targets", "pool", "--base", "pool", "--prefix", "packages", "--sign"];

fn with_packages() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("pool/a/a_1.0.0~rc1+dfsg.deb", b"package a");
    sandbox.write("pool/b/b.zip", b"package b");
    sandbox.write("pool/index.json", b"{}");
    sandbox
}

fn versions(sandbox: &Sandbox) -> serde_json::Value {
    sandbox.publish(&["status", "--json"]).ok().json()["status"]["roles"][3]["version"].clone()
}

#[test]
fn packages_and_their_metadata_are_one_commit() {
    let sandbox = with_packages();
    let before = versions(&sandbox).as_u64().unwrap();
    let told = sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", "/packages/"]).ok();
    told.says(&["+ packages/a/a_1.0.0~rc1+dfsg.deb 9 B", "+ packages/index.json", "3 targets published"]);
    assert_eq!(versions(&sandbox), before + 1);
    assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/b/b.zip")).unwrap(), b"package b");
    assert!(!sandbox.path("repo/targets/signatures").exists());
    sandbox.publish(&["verify"]).ok();
    // The same again is nothing; --base alone gives the names.
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", "packages"]).ok().says(&["nothing to do"]));
    sandbox.publish(&["add-targets", "pool/index.json"]).ok().says(&["+ pool/index.json 2 B"]);
}

#[test]
fn a_list_on_standard_input_names_files() {
    let sandbox = with_packages();
    let start = |list: &str| -> Run {
        let mut command = sandbox.command();
        let mut child = command
            .args(["add-targets", "-", "--base", "pool"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    };
    start("pool/b/b.zip\npool/index.json\n").ok().says(&["+ b/b.zip", "+ index.json", "2 targets published"]);
    start("\n").fails(6, &["the list on standard input is empty"]);
    start("pool/missing\n").fails(6, &["pool/missing"]);
}

#[test]
fn a_replacement_is_shown_and_keeps_no_wrong_signature() {
    let sandbox = with_packages();
    sandbox.publish(&SIGNED).ok();
    sandbox.publish(&["verify"]).ok().says(&["3 OpenPGP signatures checked"]);
    let signature = sandbox.path("repo/targets/signatures/packages/b/b.zip.sig");
    assert!(signature.exists());
    sandbox.write("pool/b/b.zip", b"package B, second edition");
    // Without --sign: a target that has a signature gets a new one all the same.
    let told = sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", "packages"]).ok();
    told.says(&["~ packages/b/b.zip 25 B (replaces sha256 ", "= 2 targets unchanged"]);
    sandbox.publish(&["verify"]).ok().says(&["3 OpenPGP signatures checked"]);
    assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/b/b.zip")).unwrap(), b"package B, second edition");
}

#[test]
fn signatures_can_come_later() {
    let sandbox = with_packages();
    sandbox.publish(&SIGNED[..6]).ok();
    sandbox.publish(&SIGNED).ok().says(&["~ packages/b/b.zip 9 B (gets a signature)"]);
    sandbox.publish(&["verify"]).ok().says(&["3 OpenPGP signatures checked"]);
    sandbox.unchanged(|| sandbox.publish(&SIGNED).ok().says(&["nothing to do"]));
}

#[test]
fn changed_files_are_found_and_unknown_ones_reported() {
    let sandbox = with_packages();
    sandbox.publish(&SIGNED[..6]).ok();
    sandbox.write("pool/b/b.zip", b"edited after signing");
    sandbox.write("pool/new.txt", b"nobody's target");
    let changed = ["add-targets", "--changed", "pool", "--base", "pool", "--prefix", "packages"];
    let mut dry = changed.to_vec();
    dry.push("--dry-run");
    sandbox.unchanged(|| sandbox.publish(&dry).ok().says(&["~ packages/b/b.zip", "! pool/new.txt is not a target", "Nothing was written"]));
    sandbox.publish(&changed).ok().says(&["1 target published"]);
    sandbox.unchanged(|| sandbox.publish(&changed).ok().says(&["! pool/new.txt", "nothing to do"]));
    assert!(!sandbox.path("repo/targets/packages/new.txt").exists());
}

#[test]
fn reserved_names_and_names_that_break_clients_are_refused_all_at_once() {
    let sandbox = with_packages();
    for reserved in ["releases", "signatures", "channels", "openpgp", "yanked", "Releases"] {
        let run = sandbox.unchanged(|| sandbox.publish(&["add-targets", "pool", "--base", "pool", "--prefix", reserved]));
        run.fails(6, &[&format!("{reserved}/ is reserved")]);
    }
    let versioned = ["add-targets", "pool", "--base", "pool", "--prefix", "1.0.0", "--sign"];
    sandbox.unchanged(|| sandbox.publish(&versioned).fails(6, &["starts with a version"]));
    sandbox.write("pool/bad%name", b"x");
    sandbox.write("pool/worse:name", b"x");
    std::os::unix::fs::symlink("/etc/passwd", sandbox.path("pool/link")).unwrap();
    let run = sandbox.unchanged(|| sandbox.publish(&["add-targets", "pool", "--base", "pool"]));
    run.fails(6, &["bad%name", "worse:name", "pool/link: neither a file nor a directory"]);
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "/etc/hostname"]).fails(6, &["/etc/hostname: not below"]));
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "pool", "--prefix", "../up"]).fails(6, &["has the part `..`"]));
}

#[test]
fn names_that_differ_in_case_only_are_refused() {
    let sandbox = with_packages();
    sandbox.publish(&["add-targets", "pool", "--base", "pool"]).ok();
    sandbox.write("other/INDEX.json", b"{}");
    sandbox.unchanged(|| {
        sandbox.publish(&["add-targets", "other", "--base", "other"]).fails(5, &["INDEX.json", "index.json", "only in case"])
    });
}

#[test]
fn removal_needs_the_right_number() {
    let sandbox = with_packages();
    sandbox.publish(&SIGNED).ok();
    let told = sandbox.unchanged(|| sandbox.publish(&["remove-targets", "packages/**", "--dry-run"]).ok());
    told.says(&["- packages/a/a_1.0.0~rc1+dfsg.deb", "- packages/index.json", "3 signatures of them", "--confirm 3"]);
    sandbox.unchanged(|| {
        sandbox.publish(&["remove-targets", "packages/**", "--confirm", "2"]).fails(5, &["this would remove 3 targets, not 2"])
    });
    // As many targets are not the same targets.
    let listed = sandbox.publish(&["remove-targets", "packages/*/*.zip", "packages/ind?x.json", "--dry-run", "--json"]).ok().json();
    let confirm = format!("2-{}", listed["plan"]["digest"].as_str().unwrap());
    let other = ["remove-targets", "packages/a/*", "packages/ind?x.json", "--confirm", &confirm];
    sandbox.unchanged(|| sandbox.publish(&other).fails(5, &["this would remove other targets than those that the plan listed"]));
    sandbox
        .publish(&["remove-targets", "packages/*/*.zip", "packages/ind?x.json", "--confirm", &confirm])
        .ok()
        .says(&["2 targets removed"]);
    sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked"]);
    for gone in ["packages/b/b.zip", "signatures/packages/b/b.zip.sig"] {
        assert!(!sandbox.path("repo/targets").join(gone).exists(), "{gone}");
    }
    sandbox.unchanged(|| sandbox.publish(&["remove-targets", "packages/b/b.zip"]).fails(7, &["no target matches"]));
    sandbox.release("1.0.0").ok();
    sandbox.unchanged(|| sandbox.publish(&["remove-targets", "**"]).fails(6, &["which other commands manage", "publish yank"]));
}

#[test]
fn patterns_match_as_documented() {
    let sandbox = Sandbox::new();
    for name in ["x/a.txt", "x/b.txt", "x/y/a.txt", "x/y/z/a.txt", "a.txt"] {
        sandbox.write(&format!("pool/{name}"), name);
    }
    sandbox.publish(&["add-targets", "pool", "--base", "pool"]).ok();
    let matched = |pattern: &str| -> Vec<String> {
        let plan = sandbox.publish(&["remove-targets", pattern, "--dry-run", "--json"]).ok().json();
        serde_json::from_value(plan["plan"]["targets"].clone()).unwrap()
    };
    assert_eq!(matched("x/*.txt"), ["x/a.txt", "x/b.txt"]);
    assert_eq!(matched("**/a.txt"), ["a.txt", "x/a.txt", "x/y/a.txt", "x/y/z/a.txt"]);
    assert_eq!(matched("x/**/a.txt"), ["x/a.txt", "x/y/a.txt", "x/y/z/a.txt"]);
    assert_eq!(matched("x/?/a.txt"), ["x/y/a.txt"]);
    assert_eq!(matched("*").len(), 1);
}

#[test]
fn a_name_that_is_another_targets_hashed_name_is_refused() {
    let sandbox = with_packages();
    sandbox.publish(&["add-targets", "pool", "--base", "pool"]).ok();
    let digest = hex::encode(openssl::sha::sha256(b"{}"));
    sandbox.write(&format!("evil/{digest}.index.json"), b"other content");
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "evil", "--base", "evil"]).fails(6, &["starts with a digest"]));
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn no_name_is_both_a_file_and_a_directory() {
    let sandbox = with_packages();
    sandbox.publish(&["add-targets", "pool", "--base", "pool"]).ok();
    sandbox.write("other/a", b"a file where targets have a directory");
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "other", "--base", "other"]).fails(5, &["`a`", "a directory of the other"]));
    sandbox.write("third/index.json/x", b"a directory where a target is");
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "third", "--base", "third"]).fails(5, &["index.json", "directory of the other"]));
}

#[test]
fn files_that_another_server_serves_are_entered_only() {
    let sandbox = with_packages();
    let add = ["add-targets", "pool", "--base", "pool", "--prefix", "packages", "--metadata-only"];
    sandbox.publish(&add).ok().says(&["+ packages/b/b.zip 9 B", "3 targets published"]);
    assert!(!sandbox.repository().keys().any(|name| name.starts_with("targets/packages")));
    sandbox.publish(&["verify"]).ok().says(&["3 targets served elsewhere"]);
    sandbox.unchanged(|| sandbox.publish(&add).ok().says(&["nothing to do"]));
    sandbox.write("pool/b/b.zip", b"edited after signing");
    let changed = ["add-targets", "--changed", "pool", "--base", "pool", "--prefix", "packages", "--metadata-only"];
    sandbox.publish(&changed).ok().says(&["~ packages/b/b.zip", "1 target published"]);
    // The content can come here later, and go again.
    sandbox.publish(&add[..6]).ok().says(&["3 targets published"]);
    assert_eq!(std::fs::read(sandbox.path("repo/targets/packages/b/b.zip")).unwrap(), b"edited after signing");
    sandbox.publish(&["verify"]).ok();
    sandbox.publish(&add).ok().says(&["3 targets published"]);
    assert!(!sandbox.path("repo/targets/packages/b/b.zip").exists());
    sandbox.publish(&["verify"]).ok().says(&["3 targets served elsewhere"]);
    sandbox.publish(&["prune", "--grace", "1d"]).ok();
    sandbox.publish(&["add-targets", "pool", "--metadata-only", "--sign"]).fails(2, &["--sign"]);
}
