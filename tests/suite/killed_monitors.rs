//! A monitor is killed at any moment, and another publisher publishes newer content under the same name before it runs again.

use crate::trial::Trial;
use publish::operation::Publisher;
use publish::operation::monitor::{MonitorRequest, once};
use publish::storage::{Call, LocalDirectory, Observed};
use publish::tree::Limits;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a killed process ends with here: nothing after it runs but destructors, which write nothing.
struct Killed;

/// A publisher that is killed at the `at`th sight of a call to its storage.
fn killed(trial: &Trial, at: usize) -> (Publisher, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let watch = move |_: Call| {
        if counter.fetch_add(1, Ordering::SeqCst) >= at {
            resume_unwind(Box::new(Killed));
        }
        Ok(())
    };
    (trial.publisher_on(Box::new(Observed::new(Box::new(LocalDirectory::new(trial.path("repo"))), watch))), seen)
}

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
    for at in 0.. {
        let trial = prepare();
        for directory in ["state", "box/tuf_ready_5", "box/tuf_ready_6"] {
            fs::create_dir_all(trial.path(directory)).unwrap();
        }
        // Of the two, one has nothing that counts.
        fs::write(trial.path("box/tuf_ready_5/f"), "overtaken").unwrap();
        fs::write(trial.path("box/tuf_ready_6/f"), "old").unwrap();
        let before = fs::read(trial.path("repo/timestamp.json")).unwrap();
        let (publisher, seen) = killed(&trial, at);
        // The kill unwinds.
        let _ = catch_unwind(AssertUnwindSafe(|| once(&publisher, &request(&trial), &|_| {})));
        drop(publisher);
        let survived = seen.load(Ordering::SeqCst) <= at;
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
        if survived {
            assert!(at > 20, "only {at} points were tried");
            return ends;
        }
    }
    unreachable!()
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
