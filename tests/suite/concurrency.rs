use crate::sandbox::{Run, Sandbox};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn two_releases_at_once_are_both_published() {
    for round in 0..5 {
        let sandbox = Sandbox::new();
        sandbox.write("other/darwin-arm64/bin/acme", b"mac");
        let rivals = [
            start(&sandbox, &["release", "1.0.0", "--from", "dist"]),
            start(&sandbox, &["release", "1.0.1", "--from", "dist"]),
            start(&sandbox, &["release", "1.0.0", "--from", "other"]),
        ];
        for rival in rivals {
            Run::from(rival.wait_with_output().unwrap()).ok();
        }
        let status = sandbox.publish(&["status", "--json"]).ok().json();
        assert_eq!(status["status"]["releases"].as_array().unwrap().len(), 2, "round {round}");
        assert_eq!(status["status"]["releases"][1]["platforms"], serde_json::json!(["darwin-arm64", "linux-amd64"]));
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn targets_added_to_bins_while_their_number_changes_are_all_published() {
    let sandbox = Sandbox::new();
    for number in 0..12 {
        sandbox.write(&format!("pool{}/p{number}.zip", number % 4), format!("package {number}"));
    }
    sandbox.publish(&["bins", "--count", "8", "--not-for-trdl", "--confirm", "8"]).ok();
    let mut rivals: Vec<Child> =
        (0..4).map(|pool| start(&sandbox, &["add-targets", &format!("pool{pool}"), "--base", &format!("pool{pool}")])).collect();
    rivals.push(start(&sandbox, &["bins", "--count", "16", "--not-for-trdl", "--confirm", "16"]));
    for rival in rivals {
        Run::from(rival.wait_with_output().unwrap()).ok();
    }
    sandbox.publish(&["verify"]).ok().says(&["12 targets"]);
    sandbox.publish(&["status"]).ok().says(&["16 hashed bins"]);
    assert_eq!(std::fs::read(sandbox.path("repo/targets/p7.zip")).unwrap(), b"package 7");
}

#[test]
fn a_release_and_a_channel_change_at_once_are_both_published() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    let rivals = [start(&sandbox, &["release", "1.0.1", "--from", "dist"]), start(&sandbox, &["channels"])];
    for rival in rivals {
        Run::from(rival.wait_with_output().unwrap()).ok();
    }
    sandbox.publish(&["verify"]).ok();
    sandbox.publish(&["status"]).ok().says(&["1.0.1", "1/stable  1.0.0"]);
}

#[test]
fn of_two_different_builds_of_one_version_one_is_published_and_the_other_refused() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        sandbox.write("other/linux-amd64/bin/acme", b"#!/bin/sh\necho HELLO\n");
        let rivals = [start(&sandbox, &["release", "1.0.0", "--from", "dist"]), start(&sandbox, &["release", "1.0.0", "--from", "other"])];
        let runs: Vec<Run> = rivals.into_iter().map(|rival| rival.wait_with_output().unwrap().into()).collect();
        let mut codes: Vec<i32> = runs.iter().map(|run| run.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 5], "{runs:#?}");
        let loser = runs.iter().find(|run| run.code == 5).unwrap();
        assert!(loser.stderr.contains("releases/1.0.0/linux-amd64/bin/acme"), "{loser:#?}");
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn the_same_release_twice_at_once_is_one_release() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let rivals = [start(&sandbox, &["release", "1.0.0", "--from", "dist"]), start(&sandbox, &["release", "1.0.0", "--from", "dist"])];
        for rival in rivals {
            Run::from(rival.wait_with_output().unwrap()).ok();
        }
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn kill_9_at_any_time_is_finished_by_the_same_command() {
    let sandbox = Sandbox::new();
    for file in 0..40 {
        sandbox.write(&format!("dist/linux-amd64/share/{file}"), vec![file; 50_000]);
    }
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    let mut killed = 0;
    for round in 1..=20_u64 {
        let version = format!("1.0.{round}");
        sandbox.channels(&[("1", "stable", &version)]);
        let arguments = ["release", &version, "--from", "dist", "--channels"];
        let mut child = start(&sandbox, &arguments);
        sleep(Duration::from_millis(round * 7));
        child.kill().unwrap();
        killed += i32::from(!child.wait().unwrap().success());
        // Readers see the old or the new state.
        let report = sandbox.publish(&["verify", "--json"]).json();
        for finding in report["report"]["findings"].as_array().unwrap() {
            assert!(finding["severity"] != "error" || finding["message"].as_str().unwrap().contains("plain name"), "{finding}");
        }
        sandbox.publish(&arguments).ok();
        sandbox.publish(&["verify"]).ok();
    }
    assert!(killed >= 3, "only {killed} runs were killed midway");
    // One that was killed when all was done but its own tidying leaves that to the next run that writes something: the one
    // after it had nothing to do.
    sandbox.publish(&["release", "2.0.0", "--from", "dist"]).ok();
    let staging: Vec<_> = std::fs::read_dir(sandbox.path("repo/.staging")).unwrap().collect();
    assert!(staging.is_empty(), "{staging:?}");
}

#[test]
fn ctrl_c_reports_that_nothing_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/bin/big", vec![9_u8; 200 << 20]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let child = start(&sandbox, &["release", "1.0.0", "--from", "dist"]);
        sleep(Duration::from_millis(60));
        std::process::Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        let run: Run = child.wait_with_output().unwrap().into();
        run.fails(code, &["interrupted; the published repository is valid", "the same command finishes the work"]);
        sandbox.publish(&["verify"]).ok();
    }
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn an_orphan_of_a_killed_publisher_blocks_no_other() {
    let sandbox = Sandbox::new();
    // Numbers that another process took just now and never published.
    for role in ["targets", "snapshot"] {
        sandbox.write(&format!("repo/2.{role}.json"), b"{\"left\": \"behind\"}");
        sandbox.write(&format!("repo/3.{role}.json"), b"{}");
    }
    sandbox.release("1.0.0").ok().says(&["targets 4, snapshot 4, timestamp 2"]);
    assert_eq!(
        std::fs::read(sandbox.path("repo/2.targets.json")).unwrap(),
        b"{\"left\": \"behind\"}",
        "a number once written stays as it is"
    );
    sandbox.publish(&["verify"]).ok();
}
