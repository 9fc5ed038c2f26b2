//! A monitor is killed at any moment, and another publisher publishes newer content under the same name before it runs again.

use crate::deaths::{Death, Dying, at_every_call};
use crate::trial::Trial;
use publish::operation::monitor::{MonitorRequest, once};
use publish::tree::Limits;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn request(trial: &Trial) -> MonitorRequest {
    MonitorRequest {
        drop_box: Some(trial.path("box")),
        prefix: "packages".into(),
        sign: false,
        scan: Duration::from_secs(60),
        refresh: Duration::from_secs(3600),
        consistent_snapshot: None,
        at_once: 1000,
        limits: Limits::NONE,
        state: trial.path("state"),
    }
}

fn publish(trial: &Trial, content: &str) {
    fs::create_dir_all(trial.path("pool")).unwrap();
    fs::write(trial.path("pool/f"), content).unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
}

fn in_box(trial: &Trial) -> Vec<String> {
    let names = fs::read_dir(trial.path("box")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("tuf_") && !name.ends_with(".txt")).collect();
    names.sort();
    names
}

fn target(trial: &Trial, name: &str) -> Option<String> {
    fs::read_to_string(trial.path("repo/targets/packages").join(name)).ok()
}

/// Kills a monitor at each point, has another publisher publish in between, and lets it finish; how the points ended:
/// published before, published after, set aside.
fn every_point(prepare: impl Fn() -> Trial, between: impl Fn(&Trial), check: impl Fn(&Trial, bool, bool)) -> [usize; 3] {
    let mut ends = [0; 3];
    at_every_call(|at| {
        let trial = prepare();
        for directory in ["state", "box/tuf_ready_5", "box/tuf_ready_6"] {
            fs::create_dir_all(trial.path(directory)).unwrap();
        }
        // Of the two, one has nothing that counts.
        fs::write(trial.path("box/tuf_ready_5/f"), "overtaken").unwrap();
        fs::write(trial.path("box/tuf_ready_6/f"), "old").unwrap();
        let before = fs::read(trial.path("repo/timestamp.json")).unwrap();
        let dying = Dying::new(&trial, at, Death::Killed);
        // The kill unwinds.
        let _ = catch_unwind(AssertUnwindSafe(|| once(&dying.publisher, &request(&trial), &|_| {})));
        let survived = dying.survived();
        drop(dying);
        let visible = fs::read(trial.path("repo/timestamp.json")).unwrap() != before;
        between(&trial);
        for _ in 0..2 {
            once(&trial.publisher(), &request(&trial), &|_| {});
        }
        let aside = in_box(&trial) == ["tuf_failed_5", "tuf_failed_6"];
        let reasons = ["5", "6"].map(|name| fs::read_to_string(trial.path(&format!("box/tuf_failed_{name}.txt"))));
        assert!(aside || in_box(&trial).is_empty(), "killed at {at}: {:?}, {reasons:?}", in_box(&trial));
        ends[if aside { 2 } else { usize::from(!visible) }] += 1;
        check(&trial, visible, aside);
        if aside {
            // Its owner decides, and is heard.
            fs::rename(trial.path("box/tuf_failed_6"), trial.path("box/tuf_ready_6")).unwrap();
            once(&trial.publisher(), &request(&trial), &|_| {});
            assert_eq!(target(&trial, "f").as_deref(), Some("old"), "killed at {at}");
        }
        trial.client().expect("complete after the next run");
        survived
    });
    ends
}

#[test]
fn a_killed_monitor_reverts_no_newer_content_and_loses_no_upload() {
    let prepare = || {
        let trial = Trial::new();
        publish(&trial, "zero");
        trial
    };
    let check = |trial: &Trial, visible: bool, aside: bool| {
        // What was never visible is published after all, and what was is not published again.
        let wanted = if visible || aside { "newer" } else { "old" };
        assert_eq!(target(trial, "f").as_deref(), Some(wanted), "visible: {visible}, set aside: {aside}");
    };
    let [before, after, aside] = every_point(prepare, |trial| publish(trial, "newer"), check);
    // Only the swap itself is undecided: right before it and right after it, and the reads that confirm it.
    assert!(before > 5 && after > 5 && (1..=6).contains(&aside), "{before} {after} {aside}");
}

#[test]
fn a_killed_monitor_publishes_what_is_left_when_nothing_else_was_published() {
    let prepare = || {
        let trial = Trial::new();
        publish(&trial, "zero");
        trial
    };
    let check = |trial: &Trial, _: bool, aside: bool| {
        assert!(!aside);
        assert_eq!(target(trial, "f").as_deref(), Some("old"));
    };
    every_point(prepare, |_| {}, check);
}
