use crate::sandbox::Sandbox;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

fn published() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    sandbox
}

/// The findings of a run, as `severity subject message`.
fn findings(sandbox: &Sandbox, arguments: &[&str]) -> (i32, Vec<String>) {
    let run = sandbox.publish(&[&["verify", "--json"], arguments].concat());
    let findings = run.json()["report"]["findings"].as_array().unwrap_or_else(|| panic!("{run:#?}")).clone();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    (
        run.code,
        findings
            .iter()
            .map(|finding| format!("{} {} {}", text(finding, "severity"), text(finding, "subject"), text(finding, "message")))
            .collect(),
    )
}

#[track_caller]
fn finds(sandbox: &Sandbox, code: i32, words: &str) {
    let (got, findings) = findings(sandbox, &[]);
    assert!(findings.iter().any(|finding| finding.contains(words)), "`{words}` is not in {findings:#?}");
    assert_eq!(got, code, "{findings:#?}");
}

fn hashed(sandbox: &Sandbox, directory: &str) -> PathBuf {
    let mut entries = fs::read_dir(sandbox.path("repo/targets").join(directory)).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().len() == 64).unwrap()
}

/// Replaces a file that may be linked under another name.
fn replace(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn tampered_content_is_found_under_both_names() {
    let sandbox = published();
    replace(&sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme"), b"#!/bin/sh\necho hacked\n");
    finds(&sandbox, 9, "its plain name holds other bytes than its hashed name");
    let sandbox = published();
    replace(&hashed(&sandbox, "releases/1.0.0/linux-amd64/bin"), b"#!/bin/sh\necho jello\n");
    finds(&sandbox, 9, "differs from its entry; stated: sha256");
    let sandbox = published();
    replace(&hashed(&sandbox, "releases/1.0.0/linux-amd64/bin"), &[0; 1000]);
    finds(&sandbox, 9, "is longer than the 21 bytes its entry states");
    let sandbox = published();
    fs::remove_file(hashed(&sandbox, "channels/1")).unwrap();
    finds(&sandbox, 9, "stable is missing");
    let sandbox = published();
    fs::remove_file(sandbox.path("repo/targets/channels/1/stable")).unwrap();
    finds(&sandbox, 0, "warning channels/1/stable its plain name is missing");
    let sandbox = published();
    fs::remove_file(sandbox.path("repo/root.json")).unwrap();
    finds(&sandbox, 0, "warning root.json is missing");
}

/// Keys that sign whatever the test wants, past every check that a publisher makes.
pub fn with_target(sandbox: &Sandbox, name: &str, content: &[u8]) {
    use publish::names::ObjectName;
    use publish::repository::{AtHand, NewRole, PlainNames, catch_up, load, sign_snapshot, sign_targets, sign_timestamp, stage_bytes};
    use publish::storage::{LocalDirectory, Storage};
    let storage = LocalDirectory::new(sandbox.path("repo"));
    let pinned = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    let now = chrono::Utc::now();
    let present = load(&storage, &pinned, now).unwrap();
    let wanted = stage_bytes(&storage, name, content, false).unwrap();
    let mut signers = publish::keys::Signers::new();
    for role in publish::metadata::Role::ALL {
        let uri = publish::keys::KeyUri::File(sandbox.path(&format!("keys/{role}.pem")));
        signers.entry(role).or_default().push(publish::keys::load(&uri, &Never).unwrap());
    }
    let (root, versions) = (present.trust.root(), present.versions());
    let (timestamp, snapshot) = present.trust.listings().unwrap();
    let edits = [(name.to_owned(), Some(wanted))].into_iter().collect();
    let targets = sign_targets(
        root,
        &signers,
        &present.targets,
        &edits,
        versions.targets + 1,
        publish::policy::clocks::Moment::first(now, Default::default()),
    )
    .unwrap();
    let new = [NewRole { role: publish::names::Role::Targets.into(), signed: targets }];
    let snapshot = sign_snapshot(
        root,
        &signers,
        snapshot,
        &new,
        versions.snapshot + 1,
        publish::policy::clocks::Moment::first(now, Default::default()),
    )
    .unwrap();
    let timestamp = sign_timestamp(
        root,
        &signers,
        timestamp,
        Some(&snapshot),
        versions.timestamp + 1,
        publish::policy::clocks::Moment::first(now, Default::default()),
    )
    .unwrap();
    assert!(storage.create(&ObjectName::versioned("targets", versions.targets + 1), &new[0].signed.bytes).unwrap());
    assert!(storage.create(&ObjectName::versioned("snapshot", versions.snapshot + 1), &snapshot.bytes).unwrap());
    assert!(storage.compare_and_swap(&ObjectName::timestamp(), Some(&present.token), &timestamp.bytes).unwrap());
    let mut present = load(&storage, &pinned, now).unwrap();
    assert_eq!(catch_up(&storage, &pinned, PlainNames::All, &mut present, AtHand::default(), now), []);
}

pub struct Never;

impl publish::keys::Passphrases for Never {
    fn get(&self, _: publish::keys::Use, _: &str) -> publish::error::Result<publish::keys::Secret> {
        unreachable!()
    }
    fn choose(&self, _: publish::keys::Use) -> publish::error::Result<publish::keys::Secret> {
        unreachable!()
    }
}

#[test]
fn what_digests_do_not_say_is_found_too() {
    for (name, content, code, words) in [
        ("channels/1/stable", &b"9.9.9\n"[..], 9, "points at `9.9.9`, which is not released"),
        ("yanked/1.0.0", b"1.0.0\n", 9, "the version was yanked, and it is published"),
        ("yanked/v1.0.0", b"v1.0.0\n", 9, "the version was yanked, and it is published"),
        ("signatures/1.0.0/linux-amd64/bin/orphan.sig", b"x", 9, "signs an artifact that is not published"),
        ("channels/v1/stable", b"1.0.0\n", 0, "group `v1` starts with a v"),
        ("channels/1/nightly", b"1.0.0\n", 0, "unknown channel `nightly`"),
        ("releases/1.0.0/linux-amd64/bin/more", b"x", 0, "bin/more has no signature"),
        ("signatures/1.0.0/linux-amd64/bin/gone.sig", b"x", 9, "gone.sig is not a detached OpenPGP signature"),
        ("signatures/1.0.0/linux-amd64/bin/acme.sig", b"garbage", 9, "acme.sig is not a detached OpenPGP signature"),
        ("releases/1.0.0/linux/x", b"x", 0, "is not below releases/<version>/<os>-<arch>/"),
        ("releases/1.0.0/linux-amd64/bin/ACME", b"x", 0, "differs from releases/1.0.0/linux-amd64/bin/ACME only in case"),
        ("a:b", b"x", 0, "it holds `:`"),
        ("openpgp/0000.asc", b"x", 9, "openpgp/0000.asc is not an OpenPGP key"),
    ] {
        let sandbox = published();
        with_target(&sandbox, name, content);
        finds(&sandbox, code, words);
    }
    // A good signature of another file.
    let sandbox = published();
    sandbox.write("dist/linux-amd64/bin/acme", b"other");
    sandbox.release("1.0.1").ok();
    let stolen = fs::read(sandbox.path("repo/targets/signatures/1.0.1/linux-amd64/bin/acme.sig")).unwrap();
    with_target(&sandbox, "signatures/1.0.0/linux-amd64/bin/acme.sig", &stolen);
    finds(&sandbox, 9, "signature over this file");
    // A signer whose certificate is not there.
    let sandbox = published();
    let stranger = published();
    let foreign = fs::read(stranger.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap();
    with_target(&sandbox, "signatures/1.0.0/linux-amd64/bin/acme.sig", &foreign);
    finds(&sandbox, 9, "no certificate for its signer");
}

#[test]
fn trust_starts_where_the_caller_says() {
    let sandbox = published();
    let root = fs::read(sandbox.path("repo/1.root.json")).unwrap();
    let digest = hex::encode(openssl::sha::sha512(&root));
    let (code, found) = findings(&sandbox, &["repo"]);
    assert!(code == 0 && found.iter().any(|finding| finding.contains("trusted without a check")), "{found:?}");
    let (code, found) = findings(&sandbox, &["repo", "--root-sha512", &digest.to_uppercase()]);
    assert!(code == 0 && !found.iter().any(|finding| finding.contains("trusted without")), "{found:?}");
    sandbox.publish(&["verify", "repo", "--root-sha512", "00"]).fails(9, &["is not the one with the given SHA-512", &digest]);
    let stranger = published();
    let other = stranger.path("repo/1.root.json");
    let (code, found) = findings(&sandbox, &["repo", "--root", other.to_str().unwrap()]);
    assert!(code == 9 && found.iter().any(|finding| finding.contains("valid signatures")), "{found:?}");
}

/// A plain static file server, one thread a request.
pub fn serve(root: PathBuf, status_for_missing: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || answer(stream, &root, status_for_missing));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, root: &Path, status_for_missing: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::from("x");
    while !header.trim().is_empty() {
        header.clear();
        reader.read_line(&mut header)?;
    }
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    match fs::read(root.join(path)) {
        Ok(body) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
            stream.write_all(&body)
        }
        Err(_) => write!(stream, "HTTP/1.1 {status_for_missing}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}

#[test]
fn works_over_http() {
    let sandbox = published();
    let url = serve(sandbox.path("repo"), "404 Not Found");
    let (code, found) = findings(&sandbox, &[&url, "--root", "keys/1.root.json"]);
    assert!(code == 0 && found.iter().all(|finding| finding.starts_with("note")), "{found:?}");
    let url = serve(sandbox.path("repo"), "403 Forbidden");
    sandbox.publish(&["verify", &url, "--root", "keys/1.root.json"]).fails(4, &["2.root.json answered 403", "s3:ListBucket"]);
    let url = serve(sandbox.path("repo"), "500 Oops");
    sandbox.publish(&["verify", &url]).fails(13, &["answered 500"]);
    sandbox.publish(&["verify", "http://127.0.0.1:9"]).fails(13, &["cannot fetch http://127.0.0.1:9/1.root.json"]);
}

#[test]
fn foreign_repositories_are_read() {
    // Made by python-tuf 7 and frozen: delegations, ECDSA and RSA keys, spec_version 1.0.31, no consistent snapshots.
    let sandbox = Sandbox::empty();
    let repository = crate::sandbox::testdata().join("repositories/python-tuf");
    let run = sandbox.publish(&["verify", repository.to_str().unwrap(), "--json"]);
    let report = run.json();
    let findings = report["report"]["findings"].as_array().unwrap();
    let errors: Vec<&Value> = findings.iter().filter(|finding| finding["severity"] == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(report["report"]["targets"], 3);
    assert_eq!(report["report"]["second_opinion"]["verdict"], "cannot_read");
}

/// A job that checks every night prints nothing while all is well.
#[test]
fn quiet_prints_nothing_without_errors_and_warnings() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let run = sandbox.publish(&["verify", "--quiet"]).ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let run = sandbox.publish(&["verify", "--quiet", "--json"]).ok();
    assert_eq!(run.json()["good"], true);
    std::fs::write(sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme"), b"other").unwrap();
    let run = sandbox.publish(&["verify", "--quiet"]);
    assert!(run.code == 9 && run.stdout.contains("FAILED") && run.stdout.contains("releases/1.0.0/linux-amd64/bin/acme"), "{run:#?}");
}
