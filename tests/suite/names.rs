//! Names that a file system cannot hold side by side are refused before anything is written.

use crate::sandbox::{Run, Sandbox};
use crate::trial::Trial;
use publish::operation::change::add_targets::{self, AddTargetsRequest};
use publish::operation::change::carry_out;
use std::fs;

fn add(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.publish(&[&["add-targets", "pool", "--base", "pool", "--prefix", "pk"][..], more].concat())
}

#[test]
fn a_name_that_was_a_directory_is_refused_while_the_directory_has_content() {
    let sandbox = Sandbox::new();
    sandbox.write("pool/docs/index", b"1");
    sandbox.write("pool/docs/deep/page", b"1");
    add(&sandbox, &[]).ok();
    fs::remove_dir_all(sandbox.path("pool")).unwrap();
    sandbox.write("pool/docs", b"2");
    sandbox.unchanged(|| add(&sandbox, &[]).fails(5, &["pk/docs/", "one would be a directory of the other", "remove the target first"]));
    sandbox.publish(&["remove-targets", "pk/docs/**", "--confirm", "2"]).ok();
    for more in [&["--dry-run"][..], &[], &["--sign"]] {
        sandbox.unchanged(|| add(&sandbox, more).fails(5, &["`pk/docs` cannot be a file: it is a directory", "publish prune"]));
    }
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["verify"]).ok();
    // When prune has deleted the old content, empty directories do not conflict.
    let docs = sandbox.path("repo/targets/pk/docs");
    for entry in walkdir::WalkDir::new(&docs).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        fs::remove_file(entry.path()).unwrap();
    }
    assert!(docs.join("deep").is_dir());
    add(&sandbox, &[]).ok();
    assert_eq!(fs::read(docs).unwrap(), b"2");
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_file_that_is_no_target_where_a_directory_is_needed_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("repo/targets/pk", b"left over");
    sandbox.write("pool/a", b"1");
    sandbox.unchanged(|| add(&sandbox, &[]).fails(5, &["`pk/a` needs a directory where the file targets/pk is", "publish refresh --all"]));
}

#[test]
fn signatures_need_names_too() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/bin/acme.sig/readme", b"x");
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(5, &["bin/acme.sig", "one would be a directory of the other"]));
    fs::remove_dir_all(sandbox.path("dist/linux-amd64/bin/acme.sig")).unwrap();
    sandbox.write("pool/a", b"1");
    sandbox.write("pool/a.sig/b", b"2");
    sandbox.unchanged(|| add(&sandbox, &["--sign"]).fails(5, &["signatures/pk/a.sig", "one would be a directory of the other"]));
    // One after the other.
    add(&sandbox, &[]).ok();
    sandbox.publish(&["add-targets", "pool/a", "--base", "pool", "--prefix", "pk", "--sign"]).ok();
    sandbox.unchanged(|| add(&sandbox, &["--sign"]).fails(5, &["signatures/pk/a.sig"]));
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_drop_box_that_signs_sets_aside_what_needs_a_taken_name() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n  prefix: pk\n  sign: true\n"));
    sandbox.write("box/tuf_ready_1/a", b"1");
    sandbox.write("box/tuf_ready_2/a.sig/b", b"2");
    let log = sandbox.publish(&["monitor", "--once", "--json"]).ok();
    assert!(log.stdout.contains("set aside") && log.stdout.contains("one would be a directory of the other"), "{log:#?}");
    assert!(sandbox.path("repo/targets/pk/a").is_file() && !sandbox.path("repo/targets/pk/a.sig").exists());
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn names_that_differ_only_in_case_are_refused_in_every_part() {
    for (one, other) in [("bin/acme", "Bin/tool"), ("bin/stra\u{df}e", "bin/STRASSE"), ("bin/\u{3c3}", "bin/\u{3c2}"), ("lib/x", "LIB")] {
        let sandbox = Sandbox::empty();
        fs::remove_dir_all(sandbox.path("dist")).unwrap();
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
        sandbox.write(&format!("dist/linux-amd64/{one}"), b"1");
        sandbox.write(&format!("dist/linux-amd64/{other}"), b"2");
        let run = sandbox.unchanged(|| sandbox.release("1.0.0"));
        assert!(run.code == 6 && run.stderr.contains("differ only in case"), "{one} {other}: {run:#?}");
        // Beside what is published.
        sandbox.write(&format!("pool/{one}"), b"1");
        add(&sandbox, &[]).ok();
        fs::remove_dir_all(sandbox.path("pool")).unwrap();
        sandbox.write(&format!("pool/{other}"), b"2");
        sandbox.unchanged(|| add(&sandbox, &[]).fails(5, &["differ only in case"]));
    }
}

/// Plans both, then carries out one after the other: the second plan knew nothing of the first.
#[test]
fn of_two_publishers_with_names_that_exclude_each_other_the_second_is_refused() {
    for bins in [None, Some(4)] {
        for (one, other) in [("docs", "docs/index"), ("docs/index", "docs"), ("docs", "DOCS")] {
            let trial = bins.map_or_else(Trial::new, |bins| Trial::with_bins(3, bins));
            let publisher = trial.publisher();
            let plan = |name: &str, directory: &str| {
                let path = trial.path(directory).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, name).unwrap();
                let base = trial.path(directory);
                let request = AddTargetsRequest {
                    files: vec![base.clone()],
                    base,
                    prefix: "packages".into(),
                    sign: false,
                    only_changed: false,
                    metadata_only: false,
                };
                add_targets::prepare(&publisher, &request).unwrap()
            };
            let (first, second) = (plan(one, "one"), plan(other, "other"));
            carry_out(&publisher, first).unwrap();
            let result = carry_out(&publisher, second);
            // What is in a bin that the second publisher has no reason to read is not found by case.
            if bins.is_some() && one == "docs" && other == "DOCS" {
                continue;
            }
            let error = result.unwrap_err().to_string();
            let words = ["directory of the other", "differ only in case", "where a directory must be"];
            assert!(words.iter().any(|words| error.contains(words)), "{one}, {other}: {error}");
            trial.client().unwrap();
            trial.release("1.0.0").unwrap();
        }
    }
}

/// Names below a platform directory that Windows cannot hold.
const NOT_ON_WINDOWS: [&str; 19] = [
    "bin/aux.exe",
    "bin/NUL",
    "bin/com1.txt",
    "bin/Com0",
    "bin/LPT9.tar.gz",
    "bin/com\u{b9}",
    "bin/lpt\u{b2}.dll",
    "bin/COM\u{b3}",
    "bin/conin$",
    "bin/CONOUT$.log",
    "bin/prn .txt",
    "con/x",
    "lib/Aux.d/deep/x",
    "bin/lib.",
    "bin/lib ",
    "bin/...",
    "bin./tool",
    "share /tool",
    "x.",
];

#[test]
fn names_that_windows_cannot_hold_are_refused_for_windows_and_warned_about_elsewhere() {
    let sandbox = Sandbox::new();
    for name in NOT_ON_WINDOWS {
        let _ = fs::remove_dir_all(sandbox.path("dist"));
        sandbox.write(&format!("dist/windows-any/{name}"), b"1");
        sandbox.write("dist/windows-any/x", b"2");
        let run = sandbox.unchanged(|| sandbox.release("1.0.0"));
        assert!(run.code == 6 && run.stderr.contains("Windows cannot hold") && run.stderr.contains(name), "{name}: {run:#?}");
        for platform in ["any-any", "linux-amd64"] {
            fs::remove_dir_all(sandbox.path("dist")).unwrap();
            sandbox.write(&format!("dist/{platform}/{name}"), b"1");
            let run = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--dry-run"]).ok();
            assert!(run.stderr.contains(&format!("Windows cannot hold these names: `releases/1.0.0/{platform}/{name}`")), "{run:#?}");
        }
        let _ = fs::remove_dir_all(sandbox.path("pool"));
        sandbox.write(&format!("pool/{name}"), b"1");
        let run = add(&sandbox, &["--dry-run"]).ok();
        assert!(run.stderr.contains(&format!("Windows cannot hold these names: `pk/{name}`")), "{run:#?}");
    }
    fs::remove_dir_all(sandbox.path("dist")).unwrap();
    for name in ["auxiliary", "com", "com10", "lpt", "console.exe", "nul-1", "x.con", ".nul", "co\u{f1}", "a b", " c", "..d", "lpt\u{2074}"]
    {
        sandbox.write(&format!("dist/windows-any/bin/{name}"), b"1");
    }
    let run = sandbox.release("1.0.0").ok();
    assert!(!run.stderr.contains("Windows cannot"), "{run:#?}");
}

#[test]
fn a_published_platform_for_windows_is_signed_again_with_the_names_that_it_has() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let publisher = trial.publisher();
    let mut edits = publish::metadata::TargetEdits::new();
    let name = "releases/1.1.0/windows-amd64/bin/aux.exe";
    let target = publish::repository::stage_bytes(publisher.storage(), name, b"old", false).unwrap();
    edits.insert(name.to_owned(), Some(target));
    trial.sign_unchecked(&edits);
    fs::remove_dir_all(trial.path("dist")).unwrap();
    fs::create_dir_all(trial.path("dist/windows-amd64/bin")).unwrap();
    fs::write(trial.path("dist/windows-amd64/bin/aux.exe"), b"old").unwrap();
    trial.release("1.1.0").unwrap();
    assert!(trial.publisher().load().unwrap().targets.get("signatures/1.1.0/windows-amd64/bin/aux.exe.sig").unwrap().is_some());
}

#[test]
fn bins_without_plain_names_refuse_a_file_that_is_a_directory() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}plain_names: none\n"));
    let add = |name: &str| {
        let _ = fs::remove_dir_all(sandbox.path("p"));
        sandbox.write(&format!("p/{name}"), b"1");
        sandbox.publish(&["add-targets", "p", "--base", "p", "--prefix", "pk"])
    };
    let names = ["a", "b", "c", "d"];
    for name in names {
        add(&format!("{name}/below/f")).ok();
    }
    add("x").ok();
    sandbox.publish(&["bins", "--count", "16", "--not-for-trdl", "--confirm", "16"]).ok();
    for name in names {
        sandbox.unchanged(|| add(name).fails(5, &["directory of the other"]));
        sandbox.unchanged(|| add(&format!("{name}/below")).fails(5, &["directory of the other"]));
    }
    sandbox.unchanged(|| add("x/y/z").fails(5, &["directory of the other"]));
}

#[test]
fn verify_names_every_pair_that_differs_only_in_case() {
    let sandbox = Sandbox::new();
    let names = ["a", "b", "c", "d"];
    names.iter().for_each(|name| drop(sandbox.write(&format!("p/x{name}"), b"1")));
    sandbox.publish(&["add-targets", "p", "--base", "p", "--prefix", "pk"]).ok();
    sandbox.publish(&["bins", "--count", "16", "--not-for-trdl", "--confirm", "16"]).ok();
    fs::remove_dir_all(sandbox.path("p")).unwrap();
    let mut pairs = Vec::new();
    for name in names {
        let path = sandbox.write(&format!("p/X{name}"), b"2");
        // Those in another bin are not seen.
        if sandbox.publish(&["add-targets", "p", "--base", "p", "--prefix", "pk"]).code == 0 {
            pairs.push(format!("differs from pk/X{name} only in case"));
        }
        fs::remove_file(path).unwrap();
    }
    assert!(pairs.len() > 1, "{pairs:?}");
    sandbox.publish(&["verify"]).ok().says(&pairs.iter().map(String::as_str).collect::<Vec<_>>());
}
