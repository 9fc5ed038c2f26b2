//! What a publisher remembers of the repositories it works on, and how it learns it again.

use crate::sandbox::{Sandbox, files};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

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
    let run = sandbox.publish(&["status"]).ok();
    assert!(run.stderr.contains(&format!("it was compared with {url}")), "{run:#?}");
    // The copy has the same root, and is not what users reach.
    copy(&sandbox, "staging");
    let run = sandbox.publish(&["status", "--repo", "staging"]).ok();
    assert!(run.stderr.contains("`public_url` belongs to the configured location"), "{run:#?}");
    put_back(&sandbox, "backup");
    sandbox.unchanged(|| sandbox.release("1.0.1").fails(9, &[&format!("older state than {url} serves"), "--accept-rollback"]));
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
    assert!(run.stderr.contains(".publish-state.json cannot be read: "), "{run:#?}");
    fs::remove_file(sandbox.path(STATE)).unwrap();
    let run = sandbox.publish(&["status"]).ok();
    assert!(run.stderr.contains(".publish-state.json is missing: "), "{run:#?}");
}
