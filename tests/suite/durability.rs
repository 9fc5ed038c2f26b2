//! A kill cannot show loss of power; the order of the system calls can. What is flushed before what is asserted from a
//! trace of a whole release: content before the roles that name it, roles before the timestamp, and the timestamp before
//! the command reports that it is done.

use crate::sandbox::Sandbox;
use std::process::Command;

/// The calls that place or flush something, in their order, as `call path`.
fn trace(sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let log = sandbox.path("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "20000", "-e", "trace=rename,renameat,renameat2,link,linkat,syncfs,fsync,fdatasync,write"])
        .args(["-e", "status=successful", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_publish"))
        .args(arguments)
        .current_dir(sandbox.dir.path())
        .output()
        .expect("strace is installed (.ci/test does it)");
    assert!(status.status.success(), "{status:?}");
    let text = std::fs::read_to_string(&log).unwrap();
    text.lines().filter(|line| !line.contains("resumed>")).map(event).filter(|event| !event.is_empty()).collect()
}

fn event(line: &str) -> String {
    let line = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
    let call = line.split('(').next().unwrap();
    match call {
        "syncfs" | "fsync" | "fdatasync" => {
            let path = line.split(['<', '>']).nth(1).unwrap_or("");
            format!("{call} {}", path.rsplit_once("/repo").map_or(path, |(_, name)| name))
        }
        "write" if line.contains("is published") => "told".into(),
        "write" => String::new(),
        // The destination is the last quoted string.
        _ => format!("place {}", line.rsplit('"').nth(1).unwrap_or("").rsplit_once("repo/").map_or("elsewhere", |(_, name)| name)),
    }
}

#[track_caller]
fn position(events: &[String], wanted: impl Fn(&str) -> bool) -> usize {
    events.iter().position(|event| wanted(event)).unwrap_or_else(|| panic!("{events:#?}"))
}

#[track_caller]
fn last(events: &[String], wanted: impl Fn(&str) -> bool) -> usize {
    events.iter().rposition(|event| wanted(event)).unwrap_or_else(|| panic!("{events:#?}"))
}

#[test]
fn what_names_something_becomes_durable_after_it() {
    let sandbox = Sandbox::new();
    (0..30).for_each(|file| drop(sandbox.write(&format!("dist/linux-amd64/share/{file}"), vec![file; 1_000_000])));
    let events = trace(&sandbox, &["release", "1.0.0", "--from", "dist"]);
    let hashed = |event: &str| {
        let file = event.rsplit('/').next().unwrap();
        event.starts_with("place targets/") && file.split('.').next().is_some_and(|hash| hash.len() == 64)
    };
    let flush = |from: usize, to: usize| events[from..to].iter().any(|event| event.starts_with("syncfs"));
    let content = last(&events, hashed);
    let targets = position(&events, |event| event == "place 2.targets.json");
    let snapshot = position(&events, |event| event == "place 2.snapshot.json");
    let timestamp = position(&events, |event| event == "place timestamp.json");
    let plain = position(&events, |event| event == "place targets/releases/1.0.0/linux-amd64/bin/acme");
    let marker = position(&events, |event| event == "place plain.json");
    let told = position(&events, |event| event == "told");
    assert!(content < targets && flush(content, targets), "content is durable before a role names it: {events:#?}");
    assert!(
        targets < snapshot && snapshot < timestamp && flush(snapshot, timestamp),
        "roles are durable before the timestamp: {events:#?}"
    );
    let after = &events[timestamp + 1..plain];
    assert!(after.iter().any(|event| event.starts_with("fsync")), "the directory is durable before anything else happens: {events:#?}");
    assert!(
        events[snapshot..timestamp].iter().any(|event| event.contains(".staging") && event.starts_with("fsync")),
        "the timestamp's bytes are: {events:#?}"
    );
    assert!(plain < marker && flush(plain, marker), "plain names are durable before the marker says so: {events:#?}");
    assert!(timestamp < told && marker < told, "{events:#?}");
    let remembered = position(&events, |event| event.starts_with("fsync") && event.contains("/.publish-state."));
    let [placed, flushed] = &events[remembered + 1..remembered + 3] else { panic!("{events:#?}") };
    assert!(placed == "place elsewhere" && flushed.starts_with("fsync"), "an empty state file would forget what was seen: {events:#?}");
    // One sync each, not one per object (the background may flush large content early).
    let barriers = events[content..].iter().filter(|event| event.starts_with("syncfs")).count();
    assert!(barriers <= 5, "{barriers} flushes: {events:#?}");
}
