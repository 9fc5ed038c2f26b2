//! Releases that other tools named: `v0.0.2`, `1.2`, and names that are no version.

use crate::sandbox::Sandbox;
use crate::verify::with_target;
use publish::metadata::Targets;
use std::fs;

/// A repository as another tool left it.
fn adopted(versions: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for version in versions {
        with_target(&sandbox, &format!("releases/{version}/linux-amd64/bin/acme"), version.as_bytes());
        with_target(&sandbox, &format!("signatures/{version}/linux-amd64/bin/acme.sig"), b"signature");
    }
    sandbox
}

fn channel(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("repo/targets/channels/1/stable")).unwrap()
}

#[test]
fn channels_take_the_exact_name_of_any_release() {
    let sandbox = adopted(&["v0.0.2", "1.2", "nightly"]);
    for version in ["v0.0.2", "1.2", "nightly"] {
        sandbox.channels(&[("1", "stable", version)]);
        sandbox.publish(&["channels", "--dry-run"]).ok();
        sandbox.publish(&["channels"]).ok();
        assert_eq!(channel(&sandbox), format!("{version}\n"), "the client looks for the directory of exactly this name");
    }
    // Other spellings are no release.
    for (version, code, words) in [
        ("0.0.2", 7, "nearest released: v0.0.2"),
        ("v1.2", 6, "trdl_channels.yaml:5: `v1.2` is not a semantic version"),
        ("1.2.0", 7, "nearest released: 1.2"),
        ("v0.0.3", 6, "trdl_channels.yaml:5: version `v0.0.3` starts with a v; write `0.0.3`"),
        ("nightl", 6, "not a semantic version"),
        ("..", 6, "not a semantic version"),
        ("nightly/linux-amd64", 6, "not a semantic version"),
    ] {
        sandbox.channels(&[("1", "stable", version)]);
        sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(code, &[words]));
    }
    // A release of ours with the channel in the same commit.
    sandbox.channels(&[("1", "stable", "1.3.0"), ("1", "beta", "1.2")]);
    sandbox.publish(&["release", "1.3.0", "--from", "dist", "--channels"]).ok();
    assert_eq!(channel(&sandbox), "1.3.0\n");
}

#[test]
fn channels_order_such_names_as_far_as_they_are_versions() {
    let sandbox = adopted(&["v0.0.2", "1.2", "v1.3.0-rc.1", "nightly"]);
    sandbox.release("1.2.1").ok();
    let unordered = "`nightly` is not a version, so whether this is a downgrade was not checked";
    for (from, to, refused, warned) in [
        ("v0.0.2", "1.2", false, false),
        ("1.2", "v0.0.2", true, false),
        ("1.2", "1.2.1", false, false),
        ("1.2.1", "1.2", true, false),
        ("1.2.1", "v1.3.0-rc.1", false, false),
        ("v1.3.0-rc.1", "1.2.1", true, false),
        ("1.2", "nightly", false, true),
        ("nightly", "v0.0.2", false, true),
    ] {
        sandbox.channels(&[("1", "stable", from)]);
        sandbox.publish(&["channels", "--allow-downgrade", "--allow-missing-platforms"]).ok();
        sandbox.channels(&[("1", "stable", to)]);
        let run = sandbox.publish(&["channels", "--allow-missing-platforms"]);
        assert_eq!((run.code, run.stderr.contains(unordered)), (if refused { 5 } else { 0 }, warned), "{from} -> {to}: {run:?}");
        assert_eq!(run.stderr.contains("is a pre-release"), to.contains("rc"), "{run:?}");
    }
}

#[test]
fn yank_takes_the_exact_name_of_any_release() {
    let sandbox = adopted(&["v0.0.2", "0.0.2", "1.2", "nightly"]);
    sandbox.release("2.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.2")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.unchanged(|| {
        sandbox.publish(&["yank", "1.2", "--confirm", "1.2"]).fails(5, &["1.2 cannot be yanked: channels point at it", "1/stable"])
    });
    for (version, code, words) in [
        ("1.2.0", 7, "no release 1.2.0"),
        ("v1.2", 6, "not a semantic version"),
        ("nightly/linux-amd64", 6, "not a semantic version"),
        ("", 6, "the release version is empty"),
        ("1.2/", 6, "not a semantic version"),
    ] {
        sandbox.unchanged(|| sandbox.publish(&["yank", version]).fails(code, &[words]));
    }
    // The exact name comes before the version without its `v`.
    let run = sandbox.publish(&["yank", "v0.0.2", "--confirm", "v0.0.2"]).ok().says(&["v0.0.2 is yanked"]);
    assert!(run.stderr.contains("warning: 0.0.2 is another spelling of v0.0.2 and stays published"), "{run:?}");
    assert_eq!(fs::read(sandbox.path("repo/targets/yanked/v0.0.2")).unwrap(), b"v0.0.2\n");
    assert!(sandbox.path("repo/targets/releases/0.0.2/linux-amd64/bin/acme").is_file());
    assert!(!sandbox.path("repo/targets/releases/v0.0.2/linux-amd64/bin/acme").exists());
    assert!(!sandbox.path("repo/targets/signatures/v0.0.2/linux-amd64/bin/acme.sig").exists());
    sandbox.publish(&["yank", "0.0.2", "--confirm", "0.0.2"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["yank", "v0.0.2", "--confirm", "v0.0.2"]).ok().says(&["v0.0.2 was yanked already"]));
    sandbox.publish(&["yank", "nightly", "--confirm", "nightly"]).ok();
    sandbox.publish(&["yank", "v2.0.0", "--confirm", "2.0.0"]).ok().says(&["release 2.0.0 is yanked"]);
    sandbox.channels(&[("1", "stable", "nightly")]);
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(7, &["1/stable: nightly was yanked; choose another"]));
    // No spelling of a yanked version is published again.
    with_target(&sandbox, "releases/v3/linux-amd64/bin/acme", b"3");
    sandbox.publish(&["yank", "v3", "--confirm", "v3"]).ok();
    sandbox.unchanged(|| sandbox.release("3.0.0").fails(5, &["3.0.0 was yanked as v3"]));
}

#[test]
fn a_yank_takes_signatures_out_of_bins() {
    let sandbox = adopted(&["v0.0.2", "v0.0.3"]);
    sandbox.publish(&["bins", "--count", "4", "--not-for-trdl", "--confirm", "4"]).ok();
    let top = || {
        let names = sandbox.repository().into_iter().filter(|(name, _)| name.ends_with(".targets.json"));
        let number = |name: &str| name.split('.').next().and_then(|number| number.parse::<u64>().ok());
        let (_, bytes) = names.max_by_key(|(name, _)| number(name)).unwrap();
        Targets::parse(bytes, "f").unwrap()
    };
    assert_eq!(top().below("signatures/").count(), 0, "they are in bins");
    sandbox.publish(&["yank", "v0.0.2", "--confirm", "v0.0.2"]).ok().says(&["1 file and 1 signature to remove"]);
    assert!(!sandbox.path("repo/targets/signatures/v0.0.2/linux-amd64/bin/acme.sig").exists());
    assert!(sandbox.path("repo/targets/signatures/v0.0.3/linux-amd64/bin/acme.sig").is_file());
}
