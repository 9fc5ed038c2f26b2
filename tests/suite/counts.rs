//! What operations cost, in exact numbers: a regression here is a slower or a dearer publish.

use crate::trial::Trial;
use publish::operation::change::release;
use publish::operation::{Publisher, refresh, status};
use publish::storage::{Call, LocalDirectory, Observed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Runs something on a recording storage and counts calls by method.
fn calls<T>(trial: &Trial, act: impl FnOnce(&Publisher) -> T) -> BTreeMap<&'static str, usize> {
    let seen: Arc<Mutex<Vec<Call>>> = Arc::default();
    let recorder = seen.clone();
    let watch = move |call: Call| {
        recorder.lock().unwrap().push(call);
        Ok(())
    };
    act(&trial.publisher_on(Box::new(Observed::new(Box::new(LocalDirectory::new(trial.path("repo"))), watch))));
    let mut counts = BTreeMap::new();
    for call in seen.lock().unwrap().iter().filter(|call| call.done) {
        *counts.entry(call.method).or_default() += 1;
    }
    counts
}

/// Runs something for which there is nothing to do, and returns whether it changed anything.
type Idle = fn(&Trial, &Publisher) -> bool;

fn writes(counts: &BTreeMap<&'static str, usize>) -> usize {
    ["create", "compare_and_swap", "put", "upload", "copy", "delete"].iter().filter_map(|method| counts.get(method)).sum()
}

#[test]
fn a_release_writes_each_object_once() {
    let trial = Trial::new();
    let counts = calls(&trial, |publisher| trial.release_on(publisher, "1.0.0").unwrap());
    // Two artifacts, two signatures, one certificate: uploaded once, then named once; two role files; the timestamp and the
    // marker of the plain names are swapped.
    assert_eq!((counts["upload"], counts["copy"], counts["create"], counts["compare_and_swap"]), (5, 5, 2, 2), "{counts:?}");
    assert_eq!((counts.get("put"), counts.get("delete")), (None, None));
}

#[test]
fn a_channel_change_writes_only_what_changed() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let counts = calls(&trial, |publisher| trial.channels_on(publisher, "1.0.0").unwrap());
    assert_eq!((counts["upload"], counts["copy"], counts["create"], counts["compare_and_swap"]), (2, 2, 2, 2), "{counts:?}");
    assert_eq!(counts.get("put"), None);
}

#[test]
fn only_names_that_changed_recently_are_checked_again() {
    let trial = Trial::new();
    ["1.0.0", "1.0.1"].into_iter().for_each(|version| drop(trial.release(version).unwrap()));
    trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
    // What is only added cannot be undone by an older write.
    let refresh = |publisher: &Publisher| refresh::carry_out(publisher, refresh::prepare(publisher, Default::default()).unwrap()).unwrap();
    assert_eq!(calls(&trial, refresh).get("open"), None);
    trial.channels_on(&trial.publisher(), "1.0.1").unwrap();
    let counts = calls(&trial, refresh);
    assert_eq!((counts["open"], writes(&counts)), (2, 0), "two channels were moved: {counts:?}");
    let counts = calls(&trial, |publisher| trial.release_on(publisher, "1.0.2").unwrap());
    assert_eq!((counts["open"], counts["copy"]), (2, 4), "{counts:?}");
}

#[test]
fn nothing_to_do_writes_nothing() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
    let idle: [(&str, Idle); 4] = [
        ("identical release", |trial, publisher| trial.release_on(publisher, "1.0.0").unwrap().changed),
        ("same channels", |trial, publisher| trial.channels_on(publisher, "1.0.0").unwrap().changed),
        ("refresh", |_, publisher| {
            refresh::carry_out(publisher, refresh::prepare(publisher, Default::default()).unwrap()).unwrap().changed
        }),
        ("dry run", |trial, publisher| release::prepare(publisher, &trial.release_request("2.0.0")).unwrap().plan.empty),
    ];
    for (what, act) in idle {
        let counts = calls(&trial, |publisher| assert!(!act(&trial, publisher), "{what}"));
        assert_eq!(writes(&counts), 0, "{what}: {counts:?}");
        // The roots' end, timestamp, snapshot, targets; those that apply also ask for the marker of the plain names, and the
        // plan of a refresh shows a change of `plain_names`.
        assert!(counts["get"] <= 5 + usize::from(what == "refresh"), "{what}: {counts:?}");
        assert_eq!(counts.get("open"), None, "{what} reads no content");
    }
    let counts = calls(&trial, |publisher| status::status(publisher, None).unwrap());
    assert_eq!(writes(&counts), 0);
}

#[test]
fn a_dry_run_reads_no_artifact() {
    let trial = Trial::new();
    // A named pipe would block a read without end, but it is refused; an unreadable file is an error, so make one that is huge.
    let path = trial.path("dist/linux-amd64/bin/sparse");
    std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    let plan = release::prepare(&trial.publisher(), &trial.release_request("1.0.0")).unwrap().plan;
    assert_eq!(plan.upload_bytes, (1 << 42) + 6);
}

#[test]
fn each_byte_of_an_artifact_is_read_once() {
    let trial = Trial::new();
    trial.build("linux-amd64/bin/big", &vec![3_u8; 3_000_000]);
    // What this process has read according to the kernel, around a run of the binary.
    let config = trial.path("publish.yaml");
    let output = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=read,openat,copy_file_range,sendfile", "-e", "status=successful", "-y"])
        .arg(env!("CARGO_BIN_EXE_publish"))
        .args(["release", "1.0.0", "--from"])
        .arg(trial.path("dist"))
        .arg("--config")
        .arg(config)
        .output()
        .expect("strace is installed (.ci/test does it)");
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{trace}");
    let read: u64 = trace
        .lines()
        .filter(|line| line.contains("read(") && line.contains("/bin/big>"))
        .filter_map(|line| line.rsplit("= ").next()?.trim().parse::<u64>().ok())
        .sum();
    assert_eq!(read, 3_000_000);
    let stored =
        trace.lines().filter(|line| line.contains("openat") && line.contains("O_RDONLY") && line.contains("repo/targets/releases")).count();
    assert_eq!(stored, 0, "nothing is read back from the store");
}
