//! What a publisher remembers of the repositories it works on, and how it learns it again.

use crate::sandbox::{Sandbox, files};
use crate::trial::Trial;
use publish::error::{Error, Kind};
use publish::operation::StateDocument;
use publish::operation::change::carry_out;
use publish::repository::Versions;
use publish::storage::{Call, LocalDirectory, Observed};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

const STATE: &str = ".publish-state.json";
const OLDER: &str = "older state than this publisher has seen";

fn state(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&fs::read(sandbox.path(STATE)).unwrap()).unwrap()
}

fn copy(sandbox: &Sandbox, to: &str) {
    for (name, bytes) in files(&sandbox.path("repo")) {
        sandbox.write(&format!("{to}/{name}"), bytes);
    }
}

/// Puts the repository back to a copy of it.
fn put_back(sandbox: &Sandbox, from: &str) {
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    fs::rename(sandbox.path(from), sandbox.path("repo")).unwrap();
}

/// A web server of the files below a directory, for as long as the test runs.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let name = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let answer = match fs::read(directory.join(name)) {
                Ok(body) => {
                    [format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat()
                }
                Err(_) => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            let _ = stream.write_all(&answer);
        }
    });
    url
}

fn with_public_url(url: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--public-url", url]).ok();
    sandbox
}

/// A power failure leaves an empty file, an editor any other; none of them is the operator's fault.
#[test]
fn memory_that_cannot_be_read_stops_no_command() {
    let broken: [&dyn Fn(&Sandbox); 6] = [
        &|sandbox| drop(sandbox.write(STATE, "")),
        &|sandbox| drop(sandbox.write(STATE, "nonsense")),
        &|sandbox| drop(sandbox.write(STATE, [0; 300])),
        &|sandbox| drop(sandbox.write(STATE, r#"{"schema":3,"repositories":[]}"#)),
        &|sandbox| fs::remove_file(sandbox.path(STATE)).unwrap(),
        &|sandbox| {
            fs::remove_file(sandbox.path(STATE)).unwrap();
            fs::create_dir(sandbox.path(STATE)).unwrap();
        },
    ];
    for (number, breaks) in broken.iter().enumerate() {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        breaks(&sandbox);
        for command in
            [&["status"][..], &["release", "1.0.1", "--from", "dist", "--dry-run"], &["release", "1.0.1", "--from", "dist", "--quiet"]]
        {
            let run = sandbox.publish(command).ok();
            assert!(run.stderr.contains("warning:") && run.stderr.contains("not be detected"), "{number}: {run:#?}");
        }
        sandbox.publish(&["verify"]).ok();
        if number < 5 {
            // Learned again, and quiet from then on.
            let run = sandbox.publish(&["status"]).ok();
            assert!(!run.stderr.contains("warning:"), "{number}: {run:#?}");
            assert_eq!(state(&sandbox)["repositories"][0]["versions"]["targets"], 3);
        }
    }
}

#[test]
fn memory_belongs_to_a_repository_at_a_location() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    copy(&sandbox, "staging");
    sandbox.write("dist/linux-amd64/bin/acme", b"two\n");
    sandbox.publish(&["--repo", "staging", "release", "1.1.0", "--from", "dist"]).ok();
    sandbox.publish(&["--repo", "staging", "refresh", "--all"]).ok();
    sandbox.publish(&["--repo", "staging", "status"]).ok();
    // What was seen at the copy does not count for the configured one, and vice versa.
    sandbox.publish(&["refresh"]).ok();
    sandbox.publish(&["release", "1.1.0", "--from", "dist"]).ok();
    let locations: Vec<Value> = state(&sandbox)["repositories"].as_array().unwrap().iter().map(|seen| seen["location"].clone()).collect();
    assert_eq!(locations, [json!("./staging"), json!("./repo")]);
    // Each of them is still protected, however it is written.
    copy(&sandbox, "backup");
    sandbox.publish(&["refresh", "--all"]).ok();
    put_back(&sandbox, "backup");
    std::os::unix::fs::symlink("repo", sandbox.path("link")).unwrap();
    let whole = sandbox.path("repo");
    for repo in [&[][..], &["--repo", "repo"], &["--repo", "./dist/../repo/"], &["--repo", "link"], &["--repo", whole.to_str().unwrap()]] {
        sandbox.publish(&[repo, &["status"]].concat()).fails(9, &[OLDER]);
    }
    let elsewhere = sandbox.command().current_dir("/").args(["status", "--config"]).arg(sandbox.path("publish.yaml")).output().unwrap();
    crate::sandbox::Run::from(elsewhere).fails(9, &[OLDER]);
}

/// Moved as a whole, a publisher's directory keeps its memory.
#[test]
fn memory_moves_with_the_publishers_directory() {
    let sandbox = Sandbox::new();
    copy(&sandbox, "backup");
    sandbox.release("1.0.0").ok();
    put_back(&sandbox, "backup");
    let moved = Sandbox::empty();
    for name in ["repo", "keys", "publish.yaml", STATE] {
        fs::rename(sandbox.path(name), moved.path(name)).unwrap();
    }
    moved.publish(&["status"]).fails(9, &[OLDER]);
    // A repository that moves alone is one at a new location: learned again, with a warning.
    fs::rename(moved.path("repo"), moved.path("other")).unwrap();
    let config = fs::read_to_string(moved.path("publish.yaml")).unwrap().replace("repo: repo", "repo: other");
    moved.write("publish.yaml", config);
    let run = moved.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("not be detected"), "{run:#?}");
    assert_eq!(state(&moved)["repositories"].as_array().unwrap().len(), 2, "what was seen at the old one stays");
}

/// As versions before 0.2 wrote it: one repository, without its location.
#[test]
fn memory_in_its_old_form_is_read() {
    let sandbox = Sandbox::new();
    copy(&sandbox, "staging");
    copy(&sandbox, "backup");
    sandbox.release("1.0.0").ok();
    let seen = state(&sandbox)["repositories"][0].clone();
    sandbox.write(STATE, json!({"pinned": seen["pinned"], "versions": seen["versions"]}).to_string());
    // It was about the configured repository, also after a look at another one.
    sandbox.publish(&["--repo", "staging", "refresh", "--all"]).ok();
    sandbox.publish(&["status"]).ok();
    put_back(&sandbox, "backup");
    sandbox.publish(&["status"]).fails(9, &[OLDER]);
}

#[test]
fn memory_is_learned_from_where_users_reach_the_repository() {
    let public = tempfile::TempDir::new().unwrap();
    let url = serve(public.path().to_owned());
    let sandbox = with_public_url(&url);
    copy(&sandbox, "backup");
    sandbox.release("1.0.0").ok();
    for (name, bytes) in files(&sandbox.path("repo")) {
        let path = public.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::remove_file(sandbox.path(STATE)).unwrap();
    // The copy is what is remembered: there is nothing to warn of.
    let run = sandbox.publish(&["status"]).ok();
    assert!(!run.stderr.contains("warning:"), "{run:#?}");
    // The copy has the same root, and is not what users reach.
    copy(&sandbox, "staging");
    let run = sandbox.publish(&["status", "--repo", "staging"]).ok();
    assert!(run.stderr.contains("`public_url` belongs to the configured location"), "{run:#?}");
    put_back(&sandbox, "backup");
    sandbox.unchanged(|| {
        sandbox.release("1.0.1").fails(9, &[&format!("the repository at repo is in an older state than {url} serves"), "--accept-rollback"])
    });
    sandbox.publish(&["refresh", "--all", "--accept-rollback"]).ok();
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    assert_eq!(status["status"]["roles"][3]["version"], 3, "above what users have seen");
}

/// The public copy is optional: one that does not answer, is forged or never ends is a warning.
#[test]
fn a_public_copy_that_is_of_no_use_stops_no_command() {
    let stranger = Sandbox::new();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, words) in [
        (format!("http://{closed}"), "could not be read"),
        (serve(stranger.path("repo")), "could not be read"),
        (format!("http://{}", hangs.local_addr().unwrap()), "more than 10 seconds"),
    ] {
        let sandbox = with_public_url(&url);
        fs::remove_file(sandbox.path(STATE)).unwrap();
        let begun = std::time::Instant::now();
        let run = sandbox.release("1.0.0").ok();
        assert!(run.stderr.contains(words), "{run:#?}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        sandbox.publish(&["verify"]).ok();
    }
}

/// The versions of targets, snapshot and timestamp that are remembered.
fn remembered(sandbox: &Sandbox) -> Vec<u64> {
    let seen = state(sandbox)["repositories"][0]["versions"].clone();
    ["targets", "snapshot", "timestamp"].iter().map(|role| seen[role].as_u64().unwrap()).collect()
}

/// A repository that was put back: its targets role has version 2, and clients have seen version 4.
fn rolled_back() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    copy(&sandbox, "backup");
    sandbox.publish(&["refresh", "--all"]).ok();
    sandbox.publish(&["refresh", "--all"]).ok();
    put_back(&sandbox, "backup");
    sandbox
}

#[test]
fn an_accepted_rollback_makes_every_online_role_due() {
    let sandbox = rolled_back();
    let plan = sandbox.publish(&["refresh", "--accept-rollback", "--dry-run"]).ok();
    for role in ["targets", "snapshot", "timestamp"] {
        assert!(plan.stdout.contains(&format!("{role}: below version 4, which clients have seen")), "{plan:#?}");
        assert!(plan.stdout.contains(&format!("{role} 2 -> 5")), "{plan:#?}");
    }
    let run = sandbox.publish(&["refresh", "--accept-rollback"]).ok();
    assert!(run.stdout.contains("targets 5, snapshot 5, timestamp 5"), "{run:#?}");
    assert_eq!(remembered(&sandbox), [5, 5, 5]);
    // Accepted once, the state is like any other.
    let run = sandbox.publish(&["refresh", "--accept-rollback"]).ok();
    assert!(run.stdout.contains("nothing is due"), "{run:#?}");
    sandbox.publish(&["status"]).ok();
}

#[test]
fn an_accepted_rollback_lowers_no_memory() {
    let sandbox = rolled_back();
    sandbox.write("none.yaml", "groups: []\n");
    let published = files(&sandbox.path("repo"));
    for command in [
        &["status"][..],
        &["verify"],
        &["refresh", "--dry-run"],
        &["refresh", "--all", "--dry-run"],
        &["release", "1.0.0", "--from", "dist"],
        &["release", "1.0.1", "--from", "dist", "--dry-run"],
        &["channels", "--file", "none.yaml"],
        &["prune"],
    ] {
        sandbox.publish(&[command, &["--accept-rollback"]].concat());
        assert_eq!(remembered(&sandbox), [4, 4, 4], "{command:?}");
        assert_eq!(files(&sandbox.path("repo")), published, "{command:?}");
    }
    sandbox.publish(&["status"]).fails(9, &[OLDER]);
    let plan = sandbox.publish(&["release", "1.0.1", "--from", "dist", "--accept-rollback", "--dry-run"]).ok();
    plan.says(&["~ targets    2 -> 5, ", "~ snapshot   2 -> 5, ", "~ timestamp  2 -> 5, "]);
    let run = sandbox.publish(&["release", "1.0.1", "--from", "dist", "--accept-rollback"]).ok();
    assert!(run.stdout.contains("targets 5, snapshot 5, timestamp 5"), "{run:#?}");
    sandbox.publish(&["status"]).ok();
}

/// Clients compare the version of every bin too, and of roles that the command alone would leave as they are.
#[test]
fn an_accepted_rollback_signs_every_bin_above_what_clients_have_seen() {
    for command in [&["refresh"][..], &["release", "1.0.1", "--from", "dist"], &["add-targets", "file.txt", "--prefix", "one"]] {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        sandbox.write("file.txt", "1\n");
        sandbox.publish(&["bins", "--count", "4", "--not-for-trdl", "--confirm", "4"]).ok();
        copy(&sandbox, "backup");
        for number in 0..9 {
            sandbox.publish(&["add-targets", "file.txt", "--prefix", &number.to_string()]).ok();
        }
        sandbox.publish(&["refresh", "--all"]).ok();
        let versions = || -> Vec<(String, u64)> {
            let json = |name: &str| -> Value { serde_json::from_slice(&fs::read(sandbox.path(&format!("repo/{name}"))).unwrap()).unwrap() };
            let snapshot = &json("timestamp.json")["signed"]["meta"]["snapshot.json"]["version"];
            let meta = json(&format!("{snapshot}.snapshot.json"))["signed"]["meta"].clone();
            meta.as_object().unwrap().iter().map(|(name, role)| (name.clone(), role["version"].as_u64().unwrap())).collect()
        };
        let seen = versions();
        put_back(&sandbox, "backup");
        sandbox.publish(&[command, &["--accept-rollback"]].concat()).ok();
        let now = versions();
        assert_eq!(now.len(), seen.len());
        for ((name, now), (_, seen)) in now.iter().zip(&seen) {
            assert!(now > seen, "{command:?}: {name} {now} {seen}");
        }
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn a_root_that_was_rolled_back_is_forgotten_once_all_is_signed_above() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    copy(&sandbox, "backup");
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", "consistent_snapshot: false"));
    sandbox.publish(&["refresh"]).ok();
    sandbox.write("publish.yaml", config);
    put_back(&sandbox, "backup");
    sandbox.publish(&["status"]).fails(9, &["root: version 1 there, version 2 was seen before"]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--accept-rollback"]).ok();
    sandbox.publish(&["status"]).fails(9, &[OLDER]);
    sandbox.publish(&["refresh", "--accept-rollback"]).ok();
    sandbox.publish(&["status"]).ok();
}

#[test]
fn the_warning_states_why_no_versions_are_remembered() {
    let sandbox = Sandbox::new();
    copy(&sandbox, "repo2");
    let run = sandbox.publish(&["--repo", "repo2", "status"]).ok();
    assert!(run.stderr.contains("no versions are remembered for") && run.stderr.contains("belongs to the configured location"), "{run:#?}");
    assert!(!run.stderr.contains("has no `public_url`"), "{run:#?}");
    sandbox.write(STATE, "nonsense");
    let run = sandbox.publish(&["status"]).ok();
    assert!(run.stderr.contains(".publish-state.json cannot be read, and "), "{run:#?}");
    fs::remove_file(sandbox.path(STATE)).unwrap();
    let run = sandbox.publish(&["status"]).ok();
    assert!(run.stderr.contains(".publish-state.json is missing, and "), "{run:#?}");
}

/// Publishes what is in the repository where users reach it.
fn deploy(sandbox: &Sandbox, public: &std::path::Path) {
    for (name, bytes) in files(&sandbox.path("repo")) {
        let path = public.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A repository whose users reach version 1.0.1, with a copy of it at version 1.0.0 in `backup`, and what was remembered then.
fn deployed(public: &std::path::Path) -> (Sandbox, String, Vec<u8>) {
    let url = serve(public.to_owned());
    let sandbox = with_public_url(&url);
    sandbox.release("1.0.0").ok();
    copy(&sandbox, "backup");
    let remembered = fs::read(sandbox.path(STATE)).unwrap();
    sandbox.release("1.0.1").ok();
    deploy(&sandbox, public);
    (sandbox, url, remembered)
}

/// A machine that has not published for a while remembers an old state; what users are served is newer.
#[test]
fn what_users_are_served_counts_like_what_is_remembered() {
    let public = tempfile::TempDir::new().unwrap();
    let (sandbox, url, remembered) = deployed(public.path());
    put_back(&sandbox, "backup");
    sandbox.write(STATE, &remembered);
    let older = format!("the repository at repo is in an older state than {url} serves");
    for command in [&["release", "1.0.2", "--from", "dist"][..], &["refresh", "--all"], &["refresh"], &["status"], &["yank", "1.0.0"]] {
        sandbox.unchanged(|| sandbox.publish(command).fails(9, &[&older, "timestamp: version 2 there, version 3 was seen before"]));
    }
    // Accepted, the next versions are above those that users have.
    let run = sandbox.publish(&["refresh", "--accept-rollback"]).ok();
    assert!(run.stdout.contains("targets 4, snapshot 4, timestamp 4"), "{run:#?}");
    sandbox.publish(&["status"]).ok();
    fs::remove_file(sandbox.path(STATE)).unwrap();
    sandbox.publish(&["status"]).ok();
}

#[test]
fn a_public_copy_that_lags_is_normal() {
    let public = tempfile::TempDir::new().unwrap();
    let (sandbox, _, _) = deployed(public.path());
    sandbox.release("1.0.2").ok();
    for forgets in [true, false] {
        if forgets {
            fs::remove_file(sandbox.path(STATE)).unwrap();
        }
        for command in [&["status"][..], &["refresh", "--all"], &["release", "1.0.2", "--from", "dist"]] {
            let run = sandbox.publish(command).ok();
            assert!(!run.stderr.contains("warning:"), "{command:?} {run:#?}");
        }
    }
}

/// The repository was put back, and a machine that knew nothing published on top: the versions are the same again.
#[test]
fn a_state_that_was_published_on_top_of_a_rollback_is_refused() {
    let public = tempfile::TempDir::new().unwrap();
    let (sandbox, url, _) = deployed(public.path());
    put_back(&sandbox, "backup");
    fs::remove_file(sandbox.path(STATE)).unwrap();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("public_url:", "# public_url:"));
    sandbox.release("1.0.7").ok();
    sandbox.write("publish.yaml", config);
    let forked = format!("the repository at repo has another timestamp version 3 than {url} serves");
    sandbox.unchanged(|| sandbox.release("1.0.8").fails(9, &[&forked, "put back to an older state", "--accept-rollback"]));
    sandbox.publish(&["refresh", "--all", "--accept-rollback"]).ok();
    deploy(&sandbox, public.path());
    sandbox.publish(&["release", "1.0.1", "--from", "dist"]).ok();
    sandbox.publish(&["verify"]).ok();
}

/// One line, in every command, that names the attack; not where the machine has just made the repository.
#[test]
fn a_machine_without_memory_warns_which_attack_it_would_not_detect() {
    let sandbox = Sandbox::new();
    let run = sandbox.release("1.0.0").ok();
    assert!(!run.stderr.contains("warning:"), "{run:#?}");
    for command in [&["release", "1.0.1", "--from", "dist"][..], &["refresh"], &["refresh", "--all", "--quiet"], &["status"]] {
        fs::remove_file(sandbox.path(STATE)).unwrap();
        let run = sandbox.publish(command).ok();
        let warnings: Vec<&str> =
            run.stderr.lines().filter(|line| line.contains("warning:") && !line.contains("identical to release")).collect();
        assert_eq!(
            warnings,
            [
                "warning: .publish-state.json is missing, and the config has no `public_url` to compare it with: a rollback to older metadata by an attacker who can write to repo would not be detected in this run; set `public_url`, or `state` to a bucket, or keep .publish-state.json between runs"
            ],
            "{command:?}"
        );
        if command[0] == "status" {
            break;
        }
        let run = sandbox.publish(command).ok();
        assert!(!run.stderr.contains("would not be detected"), "{command:?} {run:#?}");
    }
}

/// What is remembered protects as well: no warning, and no long wait.
#[test]
fn a_public_copy_that_hangs_delays_no_machine_that_remembers() {
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = with_public_url(&format!("http://{}", hangs.local_addr().unwrap()));
    for command in [&["release", "1.0.0", "--from", "dist"][..], &["refresh", "--all"]] {
        let begun = std::time::Instant::now();
        let run = sandbox.publish(command).ok();
        assert!(!run.stderr.contains("warning:"), "{run:#?}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

/// Every fault of the place that machines share, in turn: what is published is published, and nothing newer is forgotten.
#[test]
fn a_shared_state_survives_faults_at_every_call() {
    let versions = |trial: &Trial| trial.publisher().load().unwrap().versions();
    for method in ["get", "compare_and_swap"] {
        for done in [false, true] {
            for at in 0..4 {
                let trial = Trial::new();
                trial.release("1.0.0").unwrap();
                let shared = trial.path("shared");
                let healthy = || StateDocument::shared(Box::new(LocalDirectory::new(&shared)));
                trial.release_on(&trial.publisher().with_memory(|memory| memory.state = healthy()), "1.0.1").unwrap();
                let calls = AtomicUsize::new(0);
                let watch = move |call: Call| {
                    let counts = call.method == method && call.done == done;
                    if counts && calls.fetch_add(1, Ordering::SeqCst) == at {
                        return Err(Error::new(Kind::Storage, "a fault"));
                    }
                    Ok(())
                };
                let faulty = StateDocument::shared(Box::new(Observed::new(Box::new(LocalDirectory::new(&shared)), watch)));
                trial.release_on(&trial.publisher().with_memory(|memory| memory.state = faulty), "1.0.2").unwrap();
                let document: Value = serde_json::from_slice(&fs::read(shared.join("publish-state.json")).unwrap()).unwrap();
                let seen = document["repositories"][0]["versions"]["timestamp"].as_u64().unwrap();
                let now = versions(&trial).timestamp;
                assert!(seen == now || seen + 1 == now, "{method} {done} {at}: {seen} {now}");
                trial.release_on(&trial.publisher().with_memory(|memory| memory.state = healthy()), "1.0.3").unwrap();
                let document: Value = serde_json::from_slice(&fs::read(shared.join("publish-state.json")).unwrap()).unwrap();
                assert_eq!(document["repositories"][0]["versions"]["timestamp"], versions(&trial).timestamp, "{method} {done} {at}");
            }
        }
    }
}

/// Machines that remember at the same time: none puts back what another has written.
#[test]
fn machines_that_share_a_state_lose_no_version() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let base = trial.publisher().load().unwrap().versions();
    std::thread::scope(|scope| {
        for machine in 0..6 {
            let trial = &trial;
            scope.spawn(move || {
                let state = StateDocument::shared(Box::new(LocalDirectory::new(trial.path("shared"))));
                let publisher = trial.publisher().with_memory(|memory| memory.state = state);
                for round in 0..10 {
                    publisher.remember(&Versions { timestamp: base.timestamp + round * 6 + machine, ..base }).unwrap();
                }
            });
        }
    });
    let document: Value = serde_json::from_slice(&fs::read(trial.path("shared/publish-state.json")).unwrap()).unwrap();
    assert_eq!(document["repositories"].as_array().unwrap().len(), 1);
    assert_eq!(document["repositories"][0]["versions"]["timestamp"], base.timestamp + 59);
}

/// Another publisher commits between the two readings: what users are served is newer than what was read, and nothing is wrong.
#[test]
fn a_publisher_that_was_faster_is_no_rollback() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let url = serve(trial.path("repo"));
    let rival = std::sync::Arc::new(std::sync::Mutex::new(Some(trial.publisher())));
    let request = trial.release_request("1.0.1");
    let watch = move |call: Call| {
        if call.method == "get" && call.name == "timestamp.json" && call.done {
            let rival = rival.lock().unwrap().take();
            if let Some(rival) = rival {
                carry_out(&rival, publish::operation::change::release::prepare(&rival, &request).unwrap()).unwrap();
            }
        }
        Ok(())
    };
    // The copy answers late: it is read after the other publisher has committed.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = slow.local_addr().unwrap();
    let behind = url.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for stream in slow.incoming() {
            let mut stream = stream.unwrap();
            std::thread::sleep(std::time::Duration::from_millis(700));
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap_or(0);
            let mut server = std::net::TcpStream::connect(&behind).unwrap();
            server.write_all(&asked[..length]).unwrap();
            let mut answer = Vec::new();
            let _ = server.read_to_end(&mut answer);
            let _ = stream.write_all(&answer);
        }
    });
    let storage = Box::new(Observed::new(Box::new(LocalDirectory::new(trial.path("repo"))), watch));
    let publisher = trial.publisher_on(storage);
    let publisher = publisher.with_memory(|memory| memory.state = StateDocument::file(trial.path("fresh.json")));
    let publisher = publisher.with_memory(|memory| memory.recall.public_url = Some(format!("http://{address}")));
    assert_eq!(publisher.load().unwrap().versions().timestamp, 3);
}
