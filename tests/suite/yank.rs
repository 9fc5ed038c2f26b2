use crate::sandbox::Sandbox;

#[test]
fn a_yanked_release_is_removed_and_its_version_is_never_used_again() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.0.1").ok();
    sandbox.unchanged(|| {
        sandbox
            .publish(&["yank", "1.0.1", "--confirm", "1.0.1", "--dry-run"])
            .ok()
            .says(&["- linux-amd64   1 file, 21 B", "Nothing was written"])
    });
    sandbox.unchanged(|| {
        sandbox
            .publish(&["yank", "1.0.1", "--dry-run", "--verbose"])
            .ok()
            .says(&["- bin/acme  21 B", "- signatures/1.0.1/linux-amd64/bin/acme.sig"])
    });
    sandbox
        .publish(&["yank", "v1.0.1", "--confirm", "1.0.1", "--reason", "corrupts its config"])
        .ok()
        .says(&["1.0.1 is yanked", "can never be published again"]);
    sandbox.publish(&["verify"]).ok();
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    assert_eq!(status["status"]["releases"].as_array().unwrap().len(), 1);
    assert_eq!(status["status"]["yanked"], serde_json::json!(["1.0.1"]));
    assert_eq!(std::fs::read(sandbox.path("repo/targets/yanked/1.0.1")).unwrap(), b"1.0.1\ncorrupts its config\n");
    assert!(!sandbox.path("repo/targets/releases/1.0.1/linux-amd64/bin/acme").exists(), "curl users no longer get it");
    let hashed = |sandbox: &Sandbox| sandbox.repository().keys().any(|name| name.starts_with("targets/releases/1.0.1/"));
    assert!(hashed(&sandbox), "readers that have begun still do");
    sandbox.unchanged(|| sandbox.release("1.0.1").fails(5, &["1.0.1 was yanked", "new version"]));
    sandbox.unchanged(|| sandbox.publish(&["yank", "1.0.1", "--confirm", "1.0.1"]).ok().says(&["yanked already"]));
    sandbox.unchanged(|| sandbox.publish(&["yank", "1.0.7", "--confirm", "1.0.7"]).fails(7, &["no release 1.0.7", "released: 1.0.0"]));
    sandbox.channels(&[("1", "stable", "1.0.1")]);
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(7, &["1/stable: 1.0.1 was yanked; choose another"]));
}

#[test]
fn a_release_that_a_channel_points_at_stays() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "beta", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.unchanged(|| {
        sandbox
            .publish(&["yank", "1.0.0", "--confirm", "1.0.0"])
            .fails(5, &["channels point at it", "1/beta", "1/stable", "publish channels"])
    });
}

#[test]
fn a_yank_and_a_channel_change_at_once_never_leave_a_channel_without_its_release() {
    for _ in 0..6 {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        sandbox.release("1.0.1").ok();
        sandbox.channels(&[("1", "stable", "1.0.1")]);
        let start = |arguments: &[&str]| {
            sandbox.command().args(arguments).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let mut rivals = [start(&["yank", "1.0.1", "--confirm", "1.0.1"]), start(&["channels"])];
        let codes: Vec<i32> = rivals.iter_mut().map(|rival| rival.wait().unwrap().code().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn versions_that_differ_in_case_only_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0-rc1").ok();
    sandbox.unchanged(|| sandbox.release("1.0.0-RC1").fails(5, &["differs from the released 1.0.0-rc1 only in case"]));
}

#[test]
fn a_yank_is_confirmed_by_its_version() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.unchanged(|| sandbox.publish(&["yank", "1.0.0"]).fails(5, &["cannot be undone", "nothing was changed", "--confirm 1.0.0"]));
    sandbox.unchanged(|| sandbox.publish(&["yank", "1.0.0", "--confirm", "1.0.1"]).fails(5, &["--confirm names 1.0.1, not 1.0.0"]));
    sandbox.unchanged(|| sandbox.publish(&["yank", "1.0.0", "--json"]).fails(5, &[]));
    sandbox.publish(&["yank", "v1.0.0", "--confirm", "1.0.0"]).ok();
}

#[test]
fn a_yank_moves_the_channels_in_the_same_commit() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("dist/darwin-arm64/bin/acme", b"mac");
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.1.0"), ("1", "beta", "1.1.0"), ("2", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    let yank = |more: &[&str]| sandbox.publish(&[&["yank", "1.1.0", "--confirm", "1.1.0", "--move-to"], more].concat());
    sandbox.unchanged(|| yank(&["1.1.0"]).fails(7, &["is not another release", "released: 1.0.0"]));
    sandbox.unchanged(|| yank(&["9.9.9"]).fails(7, &["is not another release"]));
    // Users of the platform that only 1.1.0 has would be left behind.
    sandbox.unchanged(|| yank(&["1.0.0"]).fails(5, &["no darwin-arm64", "--allow-missing-platforms"]));
    let version = sandbox.publish(&["status", "--json"]).ok().json()["status"]["roles"][1]["version"].as_u64().unwrap();
    yank(&["1.0.0", "--allow-missing-platforms"]).ok().says(&[
        "~ 1/stable  1.1.0 -> 1.0.0 (downgrade)",
        "! 1/stable  darwin-arm64 users stay on 1.1.0",
        "Change these lines of the channels file",
        "trdl_channels.yaml:5: version: 1.0.0",
    ]);
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    assert_eq!(status["status"]["roles"][1]["version"].as_u64().unwrap(), version + 1, "one commit");
    assert_eq!(status["status"]["channels"], serde_json::json!({"1/beta": "1.0.0", "1/stable": "1.0.0", "2/stable": "1.0.0"}));
    sandbox.publish(&["verify"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(7, &["1.1.0 was yanked; choose another"]));
}

#[test]
fn the_plan_of_a_yank_names_the_next_step() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.1.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.unchanged(|| {
        sandbox.publish(&["yank", "v1.1.0", "--move-to", "1.0.0", "--dry-run"]).ok().says(&[
            "- linux-amd64   1 file, ",
            "Plan: 1 channel to change, 1 file and 1 signature to remove.",
            "Nothing was written. To withdraw it: --confirm 1.1.0 instead of --dry-run.",
            "trdl_channels.yaml:5: version: 1.0.0",
        ])
    });
}
