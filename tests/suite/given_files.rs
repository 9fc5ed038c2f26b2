//! Files that a user names on the command line or in the config: never waited for without end, never read without a limit.

use crate::sandbox::Sandbox;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Every argument that names a file, with `FILE` for the file.
const ARGUMENTS: [&[&str]; 12] = [
    &["verify", "--root", "FILE"],
    &["verify", "--openpgp-certificate", "FILE"],
    &["--config", "FILE", "status"],
    &["--config", "FILE", "--config-sha256", "00", "status"],
    &["--config", "FILE", "init"],
    &["key", "check", "FILE"],
    &["key", "export", "file:FILE"],
    &["--passphrase-file", "FILE", "release", "1.0.0", "--from", "dist"],
    &["channels", "--file", "FILE"],
    &["release", "1.0.0", "--from", "dist", "--channels=FILE"],
    &["root", "show", "--draft", "FILE"],
    &["root", "edit", "--add-key", "root=FILE"],
];

fn command(sandbox: &Sandbox, arguments: &[&str], file: &str) -> Command {
    let mut command = sandbox.command();
    command.args(arguments.iter().map(|argument| argument.replace("FILE", file)));
    command
}

/// A repository whose role keys have a passphrase, so that `--passphrase-file` is read.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.command().args(["init", "--name", "acme"]).env("PUBLISH_PASSPHRASE", "test only passphrase").output().unwrap();
    sandbox
}

/// Runs all of them at the same time and returns those that are not refused, or not within the time.
fn not_refused(sandbox: &Sandbox, file: &str, time: Duration) -> Vec<String> {
    let started = Instant::now();
    let mut running: Vec<_> = ARGUMENTS
        .iter()
        .map(|arguments| {
            let child = command(sandbox, arguments, file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            (arguments.join(" "), child)
        })
        .collect();
    let mut wrong = Vec::new();
    for (arguments, child) in &mut running {
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if started.elapsed() > time => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let Some(status) = status else {
            child.kill().unwrap();
            wrong.push(format!("{arguments}: still runs"));
            continue;
        };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
        let refused = status.code().is_some_and(|code| code == 6)
            && text.contains(file)
            && (text.contains("a pipe") || text.contains("not a regular file"));
        if !refused {
            wrong.push(format!("{arguments}: {status}: {text}"));
        }
    }
    wrong
}

#[test]
fn devices_are_refused() {
    let sandbox = sandbox();
    let wrong = not_refused(&sandbox, "/dev/zero", Duration::from_secs(20));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pipes_that_nothing_writes_to_are_not_waited_for_without_end() {
    let sandbox = sandbox();
    let pipe = sandbox.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let wrong = not_refused(&sandbox, pipe.to_str().unwrap(), Duration::from_secs(60));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pipes_that_a_shell_makes_of_a_command_are_read() {
    let sandbox = sandbox();
    let program = env!("CARGO_BIN_EXE_publish");
    let shell = |text: &str| Command::new("bash").args(["-c", text]).current_dir(sandbox.dir.path()).output().unwrap();
    for text in [
        format!("{program} verify --root <(sleep 1; cat keys/1.root.json)"),
        format!("{program} release 1.0.0 --from dist --passphrase-file <(sleep 1; printf 'test only '; sleep 1; echo passphrase)"),
        format!("cat keys/1.root.json | {program} verify --root /dev/stdin"),
    ] {
        let output = shell(&text);
        assert!(output.status.success(), "{text}: {output:?}");
    }
}

/// What a command reports when it is stopped while it waits: only one that publishes has work to finish.
#[test]
fn an_interrupted_command_mentions_unfinished_work_only_if_there_is_some() {
    use rustix::process::{Pid, Signal, kill_process};
    let sandbox = Sandbox::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("doctor.yaml", format!("{config}public_url: {url}\n"));
    let stop = |arguments: &[&str], waits: &dyn Fn()| {
        let child = sandbox.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        waits();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(143), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let connected = std::cell::RefCell::new(Vec::new());
    let held = || connected.borrow_mut().push(silent.accept().unwrap());
    for arguments in [&["verify", &url, "--root", "keys/1.root.json"][..], &["--config", "doctor.yaml", "doctor"]] {
        let text = stop(arguments, &held);
        assert!(text.ends_with("error: interrupted\n"), "{arguments:?}: {text}");
    }
    let pipe = sandbox.path("channels.pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let opened = || {
        let writer = std::fs::File::options().write(true).open(&pipe).unwrap();
        std::mem::forget(writer);
    };
    let text = stop(&["channels", "--file", pipe.to_str().unwrap()], &opened);
    assert!(text.ends_with("the published repository is valid, and the same command finishes the work\n"), "{text}");
}
