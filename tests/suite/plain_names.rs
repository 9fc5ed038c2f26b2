//! Plain names follow the commit: two publishers that write the same names, each stopped at every one of them, and killed there
//! or going on later; and what becomes of trouble with them.

use crate::sandbox::Sandbox;
use crate::trial::Trial;
use publish::error::Result;
use publish::error::{Error, Kind};
use publish::metadata::Target;
use publish::names::ObjectName;
use publish::operation::change::carry_out;
use publish::operation::change::yank::{self, YankRequest};
use publish::operation::{Publisher, refresh, status};
use publish::storage::{Call, LocalDirectory, Observed, Source};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What happens to a publisher that was stopped: the call it was stopped at is carried out either way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Dies,
    GoesOn,
}

type Act = fn(&Trial, &Publisher) -> Result<()>;

/// A publisher that stops before the `at`th write of a plain name or of the marker.
struct Stopped<'s> {
    go: Sender<Fate>,
    thread: std::thread::ScopedJoinHandle<'s, Result<()>>,
}

fn is_plain(call: &Call) -> bool {
    let hashed = ObjectName::listed(call.name.clone()).is_hashed_target();
    let writes = ["copy", "delete", "compare_and_swap"].contains(&call.method);
    writes && !hashed && (call.name.starts_with("targets/") || call.name == "plain.json")
}

/// Starts one and waits until it has stopped; `None` if it ended before.
fn start<'s>(scope: &'s std::thread::Scope<'s, '_>, trial: &'s Trial, at: usize, act: Act) -> Option<Stopped<'s>> {
    let (tell, told): (Sender<()>, Receiver<()>) = channel();
    let (go, wait) = channel();
    let (count, dead, wait) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(wait));
    let watch = move |call: Call| {
        if dead.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Storage, "the test killed this publisher"));
        }
        if !call.done && is_plain(&call) && count.fetch_add(1, Ordering::SeqCst) == at {
            tell.send(()).unwrap();
            dead.store(wait.lock().unwrap().recv() == Ok(Fate::Dies), Ordering::SeqCst);
        }
        Ok(())
    };
    let thread = scope.spawn(move || {
        let storage = LocalDirectory::new(trial.path("repo"));
        act(trial, &trial.publisher_on(Box::new(Observed::new(Box::new(storage), watch))))
    });
    match told.recv() {
        Ok(()) => Some(Stopped { go, thread }),
        Err(_) => thread.join().unwrap().map(|()| None).unwrap(),
    }
}

impl Stopped<'_> {
    fn meets(self, fate: Fate) {
        self.go.send(fate).unwrap();
        // The commit is visible: even one that dies here has not failed.
        self.thread.join().unwrap().unwrap();
    }
}

/// Both publishers at every point, in either order, killed or going on. `refresh` puts right what is left, and nothing is left
/// where no publisher was killed.
fn every_pair(base: &Trial, a: Act, b: Act) {
    let backup = base.path("backup");
    copy_directory(&base.path("repo"), &backup);
    let mut tried = 0;
    for at_a in 0.. {
        let mut reached = false;
        for at_b in 0.. {
            let fates = [Fate::Dies, Fate::GoesOn];
            let cells = fates.into_iter().flat_map(|a| fates.map(|b| (a, b))).flat_map(|(a, b)| [true, false].map(|first| (a, b, first)));
            let mut both = false;
            for (fate_a, fate_b, a_first) in cells {
                fs::remove_dir_all(base.path("repo")).unwrap();
                copy_directory(&backup, &base.path("repo"));
                let _ = fs::remove_file(base.path("state.json"));
                let stopped = std::thread::scope(|scope| {
                    let Some(one) = start(scope, base, at_a, a) else { return false };
                    reached = true;
                    let Some(two) = start(scope, base, at_b, b) else {
                        one.meets(Fate::GoesOn);
                        return false;
                    };
                    if a_first {
                        one.meets(fate_a);
                        two.meets(fate_b);
                    } else {
                        two.meets(fate_b);
                        one.meets(fate_a);
                    }
                    true
                });
                if !stopped {
                    break;
                }
                both = true;
                tried += 1;
                let cell = format!(
                    "{at_a} {fate_a:?}, {at_b} {fate_b:?}, {}",
                    if a_first { "the older one first" } else { "the newer one first" }
                );
                if (fate_a, fate_b) == (Fate::GoesOn, Fate::GoesOn) {
                    assert_eq!(wrong(base), Vec::<String>::new(), "{cell}");
                }
                let found = wrong(base);
                let seen = status::status(&base.publisher(), None).unwrap().plain_names;
                assert!(found.is_empty() || !seen.is_empty(), "{cell}: status does not report {found:?}");
                let publisher = base.publisher();
                refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
                assert_eq!(wrong(base), Vec::<String>::new(), "{cell}, after a refresh");
                base.client().unwrap();
            }
            if !both {
                break;
            }
        }
        if !reached {
            break;
        }
    }
    assert!(tried > 60, "only {tried} pairs were tried");
}

/// The plain names that are not what is published.
fn wrong(trial: &Trial) -> Vec<String> {
    let storage = LocalDirectory::new(trial.path("repo"));
    let present = trial.publisher().load().unwrap();
    let mut wrong = Vec::new();
    let mut published = std::collections::BTreeSet::new();
    for (name, entry) in present.entries() {
        let target = Target::parse(entry, name).unwrap();
        let content = storage.get(&ObjectName::plain_target(name), 1 << 20).unwrap().map(|object| object.bytes);
        if !content.is_some_and(|content| target.matches(&publish::digest::Digests::both_of(&content))) {
            wrong.push(name.to_owned());
        }
        published.insert(ObjectName::plain_target(name).to_string());
    }
    let there = crate::sandbox::files(&trial.path("repo"));
    let plain = there.into_keys().filter(|name| name.starts_with("targets/") && !ObjectName::listed(name.clone()).is_hashed_target());
    wrong.extend(plain.filter(|name| !published.contains(name)));
    wrong
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_map(std::result::Result::ok) {
        let path = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() { fs::create_dir_all(path).unwrap() } else { fs::copy(entry.path(), path).map(drop).unwrap() }
    }
}

fn base() -> Trial {
    let trial = Trial::new();
    fs::remove_dir_all(trial.path("dist/any-any")).unwrap();
    trial.release("1.0.0").unwrap();
    trial
}

#[test]
fn channels_moved_by_two_publishers_end_where_the_second_put_them() {
    let trial = base();
    for version in ["1.0.1", "1.0.2"] {
        trial.release(version).unwrap();
    }
    trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
    let a: Act = |trial, publisher| trial.channels_on(publisher, "1.0.1").map(drop);
    let b: Act = |trial, publisher| trial.channels_on(publisher, "1.0.2").map(drop);
    every_pair(&trial, a, b);
}

#[test]
fn a_release_that_is_yanked_before_its_publisher_has_ended_does_not_come_back() {
    let a: Act = |trial, publisher| trial.release_on(publisher, "1.0.1").map(drop);
    let b: Act = |_, publisher| {
        let request = YankRequest { version: "1.0.1".into(), reason: None, ..YankRequest::default() };
        carry_out(publisher, yank::prepare(publisher, &request)?).map(drop)
    };
    every_pair(&base(), a, b);
}

#[test]
fn nothing_about_plain_names_fails_a_command() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    // Another program's directory where a plain name belongs, found by no plan: it comes between plan and commit.
    let blocked = sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme");
    fs::remove_file(&blocked).unwrap();
    sandbox.write("repo/targets/releases/1.0.0/linux-amd64/bin/acme/mine", b"mine");
    fs::remove_file(sandbox.path("repo/plain.json")).unwrap();
    let warned = "the plain name of releases/1.0.0/linux-amd64/bin/acme is not up to date";
    let run = sandbox.release("1.0.1").ok();
    assert!(run.stderr.contains(warned) && run.stderr.contains("bin/acme/mine"), "{run:#?}");
    assert_eq!(fs::read(sandbox.path("repo/targets/releases/1.0.1/linux-amd64/bin/acme")).unwrap(), b"#!/bin/sh\necho hello\n");
    let document = sandbox.publish(&["refresh", "--json"]).ok().json();
    assert!(document["result"]["warnings"][0].as_str().unwrap().contains(warned), "{document}");
    sandbox.publish(&["status"]).fails(11, &[]).says(&[warned]);
    sandbox.publish(&["verify"]).ok().says(&["its plain name could not be written"]);
    sandbox.channels(&[("1", "stable", "1.0.1")]);
    sandbox.publish(&["channels"]).ok();
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1/stable")).unwrap(), b"1.0.1\n");
    // Once the obstacle is gone, any command completes it; empty directories are removed.
    fs::remove_file(blocked.join("mine")).unwrap();
    fs::create_dir_all(blocked.join("a/b")).unwrap();
    let run = sandbox.publish(&["channels"]).ok();
    assert!(!run.stderr.contains("plain name"), "{run:#?}");
    assert_eq!(fs::read(&blocked).unwrap(), b"#!/bin/sh\necho hello\n");
    assert!(!sandbox.publish(&["status"]).ok().stdout.contains("plain name"));
}

#[test]
fn refresh_all_compares_every_plain_name() {
    let sandbox = Sandbox::new();
    for version in ["1.0.0", "1.0.1"] {
        sandbox.release(version).ok();
    }
    for version in ["1.0.0", "1.0.1"] {
        sandbox.channels(&[("1", "stable", version)]);
        sandbox.publish(&["channels"]).ok();
    }
    let withdrawn = "repo/targets/releases/1.0.0/linux-amd64/bin/acme";
    let content = fs::read(sandbox.path(withdrawn)).unwrap();
    sandbox.publish(&["yank", "1.0.0", "--confirm", "1.0.0"]).ok();
    // As an earlier version left them: nothing records which names may be wrong.
    let marker: serde_json::Value = serde_json::from_slice(&fs::read(sandbox.path("repo/plain.json")).unwrap()).unwrap();
    sandbox.write("repo/plain.json", serde_json::json!({"root": marker["root"], "targets": marker["targets"]}).to_string());
    let replace = |name: &str, content: &[u8]| {
        let _ = fs::remove_file(sandbox.path(name));
        sandbox.write(name, content);
    };
    replace("repo/targets/channels/1/stable", b"1.0.0\n");
    replace(withdrawn, &content);
    replace("repo/targets/releases/mine.txt", b"a stranger's file");
    fs::remove_file(sandbox.path("repo/targets/releases/1.0.1/linux-amd64/bin/acme")).unwrap();
    sandbox.publish(&["verify"]).fails(9, &[]).says(&["publish refresh --all"]);
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("plain names: 2 repaired, 1 of withdrawn targets removed"), "{run:#?}");
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1/stable")).unwrap(), b"1.0.1\n");
    assert!(!sandbox.path(withdrawn).exists() && sandbox.path("repo/targets/releases/mine.txt").exists());
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn plain_names_none_is_a_step_of_refresh() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let set = |value: &str| drop(sandbox.write("publish.yaml", format!("{config}plain_names: {value}\n")));
    set("none");
    // Until the switch is made, curl users get what is published.
    let run = sandbox.release("1.0.1").ok();
    assert!(run.stderr.contains("plain names were kept so far") && run.stderr.contains("`publish refresh` removes them"), "{run:#?}");
    sandbox.channels(&[("1", "stable", "1.0.1")]);
    sandbox.publish(&["channels"]).ok();
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1/stable")).unwrap(), b"1.0.1\n");
    sandbox.publish(&["status"]).fails(11, &[]).says(&["plain_names: none", "publish refresh"]);
    sandbox.unchanged(|| sandbox.publish(&["refresh", "--dry-run"]).ok().says(&["- plain names: removed"]));
    let run = sandbox.publish(&["refresh"]).ok();
    assert!(!run.stderr.contains("warning"), "{run:#?}");
    let plain = || {
        sandbox.repository().into_keys().filter(|name| name.starts_with("targets/") && !ObjectName::listed(name.clone()).is_hashed_target())
    };
    assert_eq!(plain().collect::<Vec<_>>(), Vec::<String>::new());
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["channels", "--allow-downgrade"]).ok();
    sandbox.release("1.0.2").ok();
    assert_eq!(plain().count(), 0);
    sandbox.publish(&["verify"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due"]));
    set("all");
    sandbox.unchanged(|| sandbox.publish(&["refresh", "--dry-run"]).ok().says(&["+ plain names: written for every target"]));
    sandbox.publish(&["refresh"]).ok();
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1/stable")).unwrap(), b"1.0.0\n");
    assert_eq!(plain().count(), 2 * 3 + 2);
    sandbox.publish(&["verify"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due"]));
}

#[test]
fn plain_names_are_not_switched_off_where_clients_read_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let switched = config.replace("consistent_snapshot: true", "consistent_snapshot: false");
    sandbox.write(
        "publish.yaml",
        format!(
            "{switched}plain_names: none
"
        ),
    );
    for command in ["refresh", "status", "verify"] {
        sandbox.unchanged(|| sandbox.publish(&[command]).fails(6, &["exclude each other", "leave `plain_names` out"]));
    }
    // A root with that setting but without the config: the setting is without effect.
    sandbox.write("publish.yaml", &switched);
    sandbox.publish(&["refresh"]).ok();
    sandbox.write("publish.yaml", switched.replace("consistent_snapshot: false\n", "") + "plain_names: none\n");
    sandbox.publish(&["refresh"]).ok();
    assert!(sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme").exists());
}

#[test]
fn plain_names_elsewhere_is_a_step_of_refresh_that_keeps_the_files_of_another_server() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.0.1").ok();
    let add = |name: &str, content: &str| {
        sandbox.write(&format!("p/{name}"), content);
        sandbox.publish(&["add-targets", &format!("p/{name}"), "--base", "p", "--prefix", "pk"]).ok()
    };
    add("f", "v1");
    add("g", "v1");
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let set = |value: &str| drop(sandbox.write("publish.yaml", format!("{config}plain_names: {value}\n")));
    set("elsewhere");
    // What publish wrote goes with the target that it was of; what the other server has put there stays.
    assert!(add("f", "v2").stderr.contains("`publish refresh` removes those that publish wrote"));
    assert!(!sandbox.path("repo/targets/pk/f").exists());
    let theirs = ["repo/targets/pk/g", "repo/targets/pk/h"];
    fs::remove_file(sandbox.path(theirs[0])).unwrap();
    theirs.iter().for_each(|path| drop(sandbox.write(path, "v2")));
    add("g", "v2");
    add("h", "v2");
    sandbox.publish(&["yank", "1.0.0", "--confirm", "1.0.0"]).ok();
    assert!(!sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme").exists());
    sandbox.write("repo/targets/releases/other.txt", "of the other server");
    sandbox.publish(&["status"]).fails(11, &[]).says(&["plain_names: elsewhere", "publish refresh"]);
    sandbox.unchanged(|| sandbox.publish(&["refresh", "--dry-run"]).ok().says(&["- plain names: those with the content of a hashed name"]));
    let run = sandbox.publish(&["refresh"]).ok();
    assert!(!run.stderr.contains("warning"), "{run:#?}");
    let plain = || {
        let names = sandbox.repository().into_keys().filter(|name| name.starts_with("targets/"));
        names.filter(|name| !ObjectName::listed(name.clone()).is_hashed_target()).collect::<Vec<_>>()
    };
    let left = ["targets/pk/g", "targets/pk/h", "targets/releases/other.txt"];
    assert_eq!(plain(), left);
    sandbox.release("1.0.2").ok();
    sandbox.publish(&["remove-targets", "pk/h", "--confirm", "1"]).ok();
    assert_eq!(plain(), left);
    assert!(!sandbox.publish(&["status"]).ok().stdout.contains("plain name"));
    sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due"]));
    // Left by a version that forgot them.
    let hashed = sandbox.repository().into_keys().find(|name| name.contains("pk/") && name.ends_with(".f")).unwrap();
    fs::copy(sandbox.path(&format!("repo/{hashed}")), sandbox.path("repo/targets/pk/f")).unwrap();
    set("none");
    sandbox.publish(&["refresh", "--all"]).ok();
    assert_eq!(plain(), left);
    set("all");
    sandbox.publish(&["refresh"]).ok();
    assert!(sandbox.path("repo/targets/releases/1.0.2/linux-amd64/bin/acme").exists());
}

#[test]
fn refresh_all_finds_other_bytes_of_the_same_length() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let plain = "repo/targets/releases/1.0.0/linux-amd64/bin/acme";
    let content = fs::read(sandbox.path(plain)).unwrap();
    let replace = || {
        fs::remove_file(sandbox.path(plain)).unwrap();
        sandbox.write(plain, vec![b'x'; content.len()]);
    };
    replace();
    sandbox.publish(&["verify"]).fails(9, &[]).says(&["`publish refresh --all`"]);
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("plain names: 1 repaired"), "{run:#?}");
    assert_eq!(fs::read(sandbox.path(plain)).unwrap(), content);
    sandbox.publish(&["verify"]).ok();
    // Where plain names are all there is, nothing can restore it, and nothing claims to have.
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", "consistent_snapshot: false"));
    sandbox.publish(&["refresh"]).ok();
    for file in sandbox.repository().into_keys().filter(|name| name.ends_with(".acme")) {
        fs::remove_file(sandbox.path(&format!("repo/{file}"))).unwrap();
    }
    replace();
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("bin/acme is missing from"), "{run:#?}");
}

#[test]
fn the_remedy_for_a_directory_at_the_name_of_a_release_works() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let plain = "repo/targets/releases/1.0.0/linux-amd64/bin/acme";
    fs::remove_file(sandbox.path(plain)).unwrap();
    sandbox.write(&format!("{plain}/x"), "x");
    for command in [&["refresh", "--all"][..], &["status"]] {
        let run = sandbox.publish(command).fails(if command == ["status"] { 11 } else { 0 }, &[]);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains("bin/acme/x") && !text.contains("remove-targets"), "{text}");
        assert!(text.contains("move any other file out of the repository, then: publish refresh"), "{text}");
    }
    fs::rename(sandbox.path(&format!("{plain}/x")), sandbox.path("x")).unwrap();
    let run = sandbox.publish(&["refresh"]).ok();
    assert!(!run.stderr.contains("warning") && sandbox.path(plain).is_file(), "{run:#?}");
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_plain_json_that_cannot_be_read_stops_no_command() {
    let spoil: [fn(&Path); 4] = [
        |marker| fs::write(marker, vec![0; 2 << 20]).unwrap(),
        |marker| fs::write(marker, "[]").unwrap(),
        |marker| {
            fs::remove_file(marker).unwrap();
            std::os::unix::fs::symlink("plain.json", marker).unwrap();
        },
        |marker| {
            fs::remove_file(marker).unwrap();
            fs::create_dir(marker).unwrap();
            fs::write(marker.join("x"), "x").unwrap();
        },
    ];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        let marker = sandbox.path("repo/plain.json");
        spoil(&marker);
        sandbox.publish(&["status"]).fails(11, &[]).says(&["publish refresh"]);
        sandbox.publish(&["verify"]).ok();
        let run = sandbox.publish(&["refresh", "--all"]).ok();
        if case == 3 {
            assert!(run.stderr.contains("move plain.json out of the repository"), "{run:#?}");
            sandbox.release("1.0.1").ok();
            fs::rename(&marker, sandbox.path("away")).unwrap();
        } else {
            assert!(!run.stderr.contains("warning"), "{case}: {run:#?}");
        }
        let run = sandbox.publish(&["refresh"]).ok();
        assert!(!run.stderr.contains("warning"), "{case}: {run:#?}");
        sandbox.unchanged(|| sandbox.publish(&["refresh"]).ok().says(&["nothing is due"]));
        assert!(!sandbox.publish(&["status"]).ok().stdout.contains("plain name"));
        // A switch is not forgotten with the marker.
        if case < 2 {
            spoil(&marker);
            let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
            sandbox.write("publish.yaml", format!("{config}plain_names: {}\n", ["none", "elsewhere"][case]));
            let run = sandbox.release("1.0.1").ok();
            assert!(run.stderr.contains("`publish refresh` replaces plain.json"), "{run:#?}");
            let run = sandbox.publish(&["refresh"]).ok();
            assert!(!run.stderr.contains("warning"), "{case}: {run:#?}");
            assert!(!sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme").exists());
            sandbox.publish(&["verify"]).ok();
        }
    }
}

#[test]
fn a_pipe_in_the_repository_stops_no_command() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let pipe = |path: &str| {
        let _ = fs::remove_file(sandbox.path(path));
        rustix::fs::mknodat(rustix::fs::CWD, sandbox.path(path), rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
            .unwrap();
    };
    let plain = "repo/targets/releases/1.0.0/linux-amd64/bin/acme";
    pipe(plain);
    sandbox.publish(&["verify"]).fails(9, &[]).says(&["`publish refresh --all`"]);
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("plain names: 1 repaired") && sandbox.path(plain).is_file(), "{run:#?}");
    pipe("repo/plain.json");
    sandbox.publish(&["status"]).fails(11, &[]).says(&["not a regular file", "publish refresh"]);
    sandbox.publish(&["verify"]).ok().says(&["not a regular file"]);
    sandbox.release("1.0.1").ok();
    assert!(sandbox.path("repo/plain.json").is_file());
    pipe("repo/timestamp.json");
    sandbox.publish(&["status"]).fails(9, &["not a regular file"]);
}

#[test]
fn a_pipe_at_the_state_file_stops_no_command() {
    let sandbox = Sandbox::new();
    let state = sandbox.path(".publish-state.json");
    fs::remove_file(&state).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &state, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    sandbox.publish(&["status"]).ok();
    sandbox.release("1.0.0").ok();
    assert!(state.is_file());
}

#[test]
fn an_older_root_json_that_comes_late_is_replaced() {
    let sandbox = Sandbox::new();
    let old = fs::read(sandbox.path("repo/root.json")).unwrap();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", "consistent_snapshot: false"));
    sandbox.publish(&["refresh"]).ok();
    sandbox.write("repo/root.json", &old);
    sandbox.publish(&["refresh"]).ok();
    assert_eq!(fs::read(sandbox.path("repo/root.json")).unwrap(), fs::read(sandbox.path("repo/2.root.json")).unwrap());
}
