//! Where output goes: narrow terminals, closed pipes, full disks.

use crate::sandbox::{Run, Sandbox};
use std::fs::File;
use std::process::{Command, Stdio};

/// What a terminal of so many columns shows, before it wraps anything itself.
fn on_columns(sandbox: &Sandbox, columns: u16, command: &str) -> String {
    let line = format!("stty cols {columns}; exec {} {command}", env!("CARGO_BIN_EXE_publish"));
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(sandbox.dir.path())
        .env("NO_COLOR", "1")
        .env("PUBLISH_PROGRESS", "never")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

/// Every line fits, or is one word, or a command to be copied; and no word is cut.
#[test]
fn narrow_terminals_break_lines_between_words() {
    let sandbox = Sandbox::empty();
    sandbox.write("dist/darwin-arm64/bin/acme", b"#!/bin/sh\necho hello from a mac\n");
    sandbox.publish(&["init", "--name", "acme", "--public-url", "https://tuf.example.org", "--no-passphrase"]).ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "rock-solid", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho hello again\n");
    let commands = [
        "--help",
        "release -h",
        "init --help",
        "status",
        "status --install",
        "verify",
        "release 1.1.0 --from dist --dry-run",
        "release 1.0.0 --from dist",
        "release 1,2.0 --from dist",
        "release 1.1.0 --from .",
        "releas",
        "diff 1.0.0 1.0.0",
        "yank 1.0.0",
        "key list",
        "status --config nowhere.yaml",
    ];
    for command in commands {
        let whole = on_columns(&sandbox, 400, command);
        for columns in [40, 60, 80] {
            let seen = on_columns(&sandbox, columns, command);
            for line in seen.lines().filter(|line| line.chars().count() > usize::from(columns)) {
                let copied = ["publish ", "trdl ", "curl ", "gpg ", "Invoke-WebRequest "];
                let copied = copied.iter().any(|command| line.trim_start().starts_with(command));
                assert!(copied || line.split_whitespace().count() == 1, "{columns} columns, {command}: `{line}` in\n{seen}");
            }
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            // Spans of time go on while the commands run.
            let timeless = |text: &str| words(text).into_iter().filter(|word| word.parse::<u64>().is_err()).collect::<Vec<_>>();
            let (mut some, mut all) = (timeless(&seen), timeless(&whole));
            // In a narrow table the last column is below the others.
            some.sort();
            all.sort();
            assert_eq!(some, all, "{columns} columns, {command}:\n{seen}");
        }
    }
}

/// `publish status | head -1`: the other end of a pipe may be closed.
#[test]
fn a_closed_pipe_ends_no_command_in_an_error() {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["reference"],
        &["--help"],
        &["verify"],
        &["completions", "bash"],
        &["release", "1.0.0", "--from", "dist", "--channels"],
    ] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let run: Run = sandbox.command().args(arguments).stdout(write).output().unwrap().into();
        let run = run.ok();
        assert!(!run.stderr.contains("panicked") && !run.stderr.contains("error"), "{arguments:?}: {run:#?}");
    }
    sandbox.publish(&["status"]).ok().says(&["1/stable"]);
}

/// A report that cannot be written is an error, and the one of a commit states that the commit happened.
#[test]
fn a_full_disk_behind_stdout_loses_no_commit_silently() {
    let sandbox = Sandbox::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let run = |arguments: &[&str]| -> Run { sandbox.command().args(arguments).stdout(full()).output().unwrap().into() };
    let lost = "error: cannot write to standard output\n";
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["--help"],
        &["release", "-h"],
        &["--version"],
        &["reference"],
        &["verify"],
        &["key", "list"],
    ] {
        let run = run(arguments).fails(13, &[lost, "No space left on device"]);
        assert!(!run.stderr.contains("the commit happened"), "{run:#?}");
    }
    for (version, more) in [("1.0.0", &[][..]), ("1.0.1", &["--json"])] {
        let happened = format!("the commit happened, only its report is lost: release {version} is published (root 1, targets ");
        sandbox.write("dist/linux-amd64/bin/acme", version);
        run(&[&["release", version, "--from", "dist"], more].concat()).fails(13, &[lost, &happened, "`publish status` shows what"]);
        sandbox.publish(&["status"]).ok().says(&[version]);
        // There is nothing to print, so nothing is lost.
        run(&["release", version, "--from", "dist", "--quiet"]).ok();
    }
    run(&["refresh", "--all"]).fails(13, &["the commit happened, only its report is lost: roles are signed again"]);
    // The same release again, and a new repository.
    run(&["release", "1.0.1", "--from", "dist"])
        .fails(13, &["the command was carried out, only its report is lost: release 1.0.1 is already"]);
    let fresh = Sandbox::empty();
    let made: Run = fresh.command().args(["init", "--name", "acme", "--no-passphrase"]).stdout(full()).output().unwrap().into();
    made.fails(13, &["the command was carried out, only its report is lost: the repository at repo is ready"]);
    // An error keeps its own code.
    run(&["status", "--config", "nowhere.yaml", "--json"]).fails(7, &[lost]);
    run(&["nonsense", "--json"]).fails(2, &[lost]);
}

#[test]
fn a_full_disk_behind_stderr_changes_no_exit_code() {
    let sandbox = Sandbox::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let run = |arguments: &[&str]| -> Run { sandbox.command().args(arguments).stderr(full()).output().unwrap().into() };
    run(&["release", "1.0.0", "--from", "dist"]).ok().says(&["release 1.0.0 is published"]);
    run(&["status", "--config", "nowhere.yaml"]).fails(7, &[]);
    run(&["status", "--config", "nowhere.yaml", "--json"]).fails(7, &[]).says(&["there is no config nowhere.yaml"]);
    run(&["nonsense"]).fails(2, &[]);
}
