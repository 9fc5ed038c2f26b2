//! The unlucky operator: no permission, no space, a tampered or older repository.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Runs a script in a mount namespace of its own; needs root, or user namespaces.
fn in_namespace(sandbox: &Sandbox, script: &str) -> Run {
    let root = fs::metadata("/proc/self").map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0).unwrap();
    let mut command = Command::new("unshare");
    command.args(if root { vec!["--mount"] } else { vec!["--map-root-user", "--mount"] });
    let script = script.replace("PUBLISH", env!("CARGO_BIN_EXE_publish"));
    command.args(["sh", "-ec", &script]).current_dir(sandbox.dir.path()).output().expect("unshare is installed").into()
}

#[test]
fn a_full_disk_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("dist/linux-amd64/bin/big", vec![1_u8; 3 << 20]);
    // The repository is on a file system of 1 MiB, then on a larger one.
    let run = in_namespace(
        &sandbox,
        "cp -a repo copy; mount -t tmpfs -o size=1m none repo; cp -a copy/. repo/; \
         PUBLISH release 1.0.1 --from dist && exit 99 || echo code $?; \
         PUBLISH verify; ls repo/.staging | wc -l; \
         mount -o remount,size=20m repo; PUBLISH release 1.0.1 --from dist; PUBLISH verify",
    );
    run.ok()
        .says(&["code 13", "good: 0 errors", "release 1.0.1 is published"])
        .fails(0, &["No space left on device", "free some space and run the same command again"]);
}

#[test]
fn a_read_only_repository_is_reported_and_unchanged() {
    let sandbox = Sandbox::new();
    let run = in_namespace(
        &sandbox,
        "mount --bind repo repo; mount -o remount,bind,ro repo; PUBLISH status; PUBLISH release 1.0.0 --from dist && exit 99 || echo code $?",
    );
    run.ok().says(&["ROLE", "code 4"]).fails(0, &["cannot write to", "mounted read-only"]);
    sandbox.release("1.0.0").ok();
}

#[test]
fn another_user_gets_a_plain_refusal() {
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(sandbox.path("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| -> Run {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_publish")])
            .args(arguments)
            .current_dir(sandbox.dir.path());
        command.output().expect("setpriv is installed").into()
    };
    as_nobody(&["status"]).ok();
    sandbox.unchanged(|| {
        as_nobody(&["release", "1.0.0", "--from", "dist"])
            .fails(4, &["cannot open the key file keys/targets.pem", "check the owner and mode"])
    });
    fs::set_permissions(sandbox.path("repo/timestamp.json"), fs::Permissions::from_mode(0o600)).unwrap();
    as_nobody(&["status"]).fails(4, &["timestamp.json", "Permission denied"]);
    fs::set_permissions(sandbox.path("dist/linux-amd64/bin/acme"), fs::Permissions::from_mode(0o000)).unwrap();
    let keys: Vec<_> = fs::read_dir(sandbox.path("keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
    Command::new("chown").arg("-R").arg("65534").args(&keys).arg(sandbox.path("repo")).status().unwrap();
    sandbox.unchanged_metadata(|| {
        as_nobody(&["release", "1.0.0", "--from", "dist"]).fails(4, &["dist/linux-amd64/bin/acme", "Permission denied"])
    });
}

#[test]
fn an_older_state_than_seen_is_refused_until_accepted() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let backup = sandbox.repository();
    sandbox.release("1.0.1").ok();
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    for (name, bytes) in &backup {
        sandbox.write(&format!("repo/{name}"), bytes);
    }
    for command in [vec!["release", "1.0.2", "--from", "dist"], vec!["refresh"], vec!["status"]] {
        sandbox.unchanged(|| {
            sandbox.publish(&command).fails(
                9,
                &["older state than this publisher has seen", "timestamp: version 2 there, version 3 was seen before", "--accept-rollback"],
            )
        });
    }
    sandbox.publish(&["release", "1.0.2", "--from", "dist", "--accept-rollback"]).ok();
    sandbox.publish(&["status"]).ok();
}

#[test]
fn a_tampered_repository_is_not_continued() {
    for (file, from, to, words) in [
        ("repo/timestamp.json", "\"version\":2", "\"version\":9", "timestamp.json has 0 of 1 valid signatures"),
        ("repo/2.snapshot.json", "\"version\":2", "\"version\":3", "does not have the digest that is listed"),
        ("repo/2.targets.json", "bin/acme", "bin/evil", "does not have the digest that is listed"),
        ("repo/2.targets.json", "{", "{ ", "bytes; no more than"),
        ("repo/timestamp.json", "{", "<html>", "is not a signed TUF role"),
        ("repo/timestamp.json", "{", "\n<!DOCTYPE html>", "captive portal"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        let text = fs::read_to_string(sandbox.path(file)).unwrap();
        assert!(text.contains(from));
        sandbox.write(file, text.replacen(from, to, 1));
        sandbox.unchanged(|| sandbox.release("1.0.1").fails(9, &[words]));
    }
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    fs::remove_file(sandbox.path("repo/2.snapshot.json")).unwrap();
    sandbox.release("1.0.1").fails(9, &["2.snapshot.json is missing", "restore the file"]);
    // A root without authorised signatures.
    let sandbox = Sandbox::new();
    let stranger = Sandbox::new();
    let root = fs::read_to_string(stranger.path("repo/1.root.json")).unwrap().replace("\"version\":1", "\"version\":2");
    sandbox.write("repo/2.root.json", root);
    sandbox.release("1.0.0").fails(9, &["2.root.json, by the keys of the root before it", "has 0 of 1 valid signatures", "has not signed"]);
}

/// A process that holds a lock on a file, as another user if it can.
fn hold(path: &std::path::Path, foreign: bool) -> std::process::Child {
    let path = path.to_str().unwrap();
    let user: &[&str] = if foreign { &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] } else { &[] };
    let command: Vec<&str> = user.iter().copied().chain(["flock", "-F", "-x", path, "sh", "-c", "echo held; exec sleep 60"]).collect();
    let mut child =
        Command::new(command[0]).args(&command[1..]).stdout(std::process::Stdio::piped()).spawn().expect("util-linux is installed");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    child
}

#[test]
fn a_lock_that_another_user_holds_stops_no_publisher() {
    use publish::storage::lock;
    use std::time::Duration;
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    fs::set_permissions(sandbox.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("repo/.lock"), mode(".publish-state.lock")), (0o600, 0o600));
    let mut directory = hold(sandbox.dir.path(), true);
    sandbox.publish(&["refresh", "--all"]).ok();
    directory.kill().unwrap();
    directory.wait().unwrap();
    // A file of an earlier version, which every user can lock: it is replaced by one that only its owner can.
    let path = sandbox.path("repo/.lock");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let reported = std::sync::Mutex::new(Vec::new());
    let report = |line: &str| reported.lock().unwrap().push(line.to_owned());
    let take = |patience| lock(&path, patience, &report);
    let mut other = hold(&path, true);
    drop(take(Duration::from_millis(1200)).unwrap());
    assert_eq!(mode("repo/.lock"), 0o600);
    assert!(reported.lock().unwrap()[0].contains(&format!("process {} (", other.id())), "{reported:?}");
    other.kill().unwrap();
    other.wait().unwrap();
    // One of the same user is a publisher's, which is waited for, but not for ever.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut own = hold(&path, false);
    let error = take(Duration::from_millis(50)).unwrap_err();
    assert!(error.kind() == std::io::ErrorKind::TimedOut && error.to_string().contains(&own.id().to_string()), "{error}");
    own.kill().unwrap();
    own.wait().unwrap();
    drop(take(Duration::from_millis(50)).unwrap());
    assert_eq!(mode("repo/.lock"), 0o600, "replaced by the first publisher that holds it");
    sandbox.publish(&["refresh", "--all"]).ok();
    sandbox.publish(&["verify"]).ok();
}
