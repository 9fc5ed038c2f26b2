//! Prompts for passphrases, on a terminal that `script` makes.

use crate::sandbox::{Sandbox, files};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Runs a command on a terminal; when it asks for a passphrase, `act` happens. Says what was seen, with the exit code and
/// whether the terminal shows what is typed in the last lines.
fn on_a_terminal(sandbox: &Sandbox, command: &str, act: impl FnOnce(&mut dyn Write, i32)) -> String {
    let publish = env!("CARGO_BIN_EXE_publish");
    let line = format!(
        "sh -c 'echo $$ > pid; exec {publish} {command}'; echo code=$?; stty -a | grep -o -- '-\\?\\bisig\\b'; stty -a | grep -o -- ' -\\?echo\\b'"
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(sandbox.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_remove("PUBLISH_PASSPHRASE")
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut act = Some(act);
    let mut byte = [0];
    while output.read(&mut byte).unwrap_or(0) == 1 {
        seen.push(byte[0]);
        if seen.ends_with(b": ")
            && String::from_utf8_lossy(&seen).contains("passphrase for")
            && let Some(act) = act.take()
        {
            let pid = fs::read_to_string(sandbox.path("pid")).unwrap().trim().parse().unwrap();
            act(&mut input, pid);
        }
    }
    let _ = child.wait();
    String::from_utf8_lossy(&seen).into_owned()
}

/// Runs a command on a terminal where this is typed; says what was seen.
fn answered(sandbox: &Sandbox, command: &str, typed: &str) -> String {
    let line = format!("{} {command}; echo code=$?", env!("CARGO_BIN_EXE_publish"));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(sandbox.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{typed}\n").as_bytes()).unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

/// A person confirms only what was shown: `--quiet` keeps the plan back only where nothing is asked.
#[test]
fn a_quiet_command_that_asks_shows_its_plan_first() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("file.txt", "1\n");
    sandbox.publish(&["add-targets", "file.txt"]).ok();
    let before = files(&sandbox.path("repo"));
    for (command, plan, asks) in [
        ("yank 1.0.0 --quiet", "Withdraw release 1.0.0 of acme", "type 1.0.0: "),
        ("yank 1.0.0", "Withdraw release 1.0.0 of acme", "type 1.0.0: "),
        ("remove-targets file.txt --quiet", "file.txt", "To remove 1 target, type "),
        ("refresh --all --versions-above 50 --quiet", "targets: ", "type 50: "),
    ] {
        let seen = answered(&sandbox, command, "no");
        let (before, after) = seen.split_once(asks).unwrap_or_else(|| panic!("{command}: {seen}"));
        let shown = before.split_once(plan).unwrap_or_else(|| panic!("{command}: {seen}"));
        assert!(!shown.1.contains(plan) || command.contains("remove"), "{command}: shown once: {seen}");
        assert!(after.contains("not confirmed") && after.contains("code=5"), "{command}: {seen}");
    }
    assert_eq!(files(&sandbox.path("repo")), before);
    let seen = answered(&sandbox, "yank 1.0.0 --quiet --confirm 1.0.0", "");
    assert!(!seen.contains("Withdraw") && seen.contains("code=0"), "{seen}");
}

fn encrypted() -> Sandbox {
    let sandbox = Sandbox::empty();
    let made = sandbox.command().args(["key", "new", "key.pem"]).env("PUBLISH_PASSPHRASE", "test only passphrase").output().unwrap();
    assert!(made.status.success());
    sandbox
}

#[track_caller]
fn ended(seen: &str, code: i32) {
    assert!(seen.contains(&format!("code={code}")), "{seen}");
    let echo = seen.rsplit("code=").next().unwrap();
    assert!(echo.contains(" echo") && !echo.contains("-echo") && !echo.contains("-isig"), "{seen}");
}

#[test]
fn ctrl_c_at_a_prompt_exits_with_130_and_restores_the_terminal() {
    let sandbox = encrypted();
    for command in ["init --name acme", "key new other.pem", "key show key.pem", "key check key.pem", "key passphrase key.pem"] {
        let seen = on_a_terminal(&sandbox, command, |terminal, _| drop(terminal.write_all(b"abc\x03")));
        ended(&seen, 130);
        assert!(seen.contains("interrupted") && !seen.contains("no terminal") && !seen.contains("abc"), "{seen}");
    }
    let seen = on_a_terminal(&sandbox, "--json key show key.pem", |terminal, _| drop(terminal.write_all(b"\x03")));
    ended(&seen, 130);
    assert!(seen.contains("\"kind\":\"interrupted\""), "{seen}");
}

/// From elsewhere: `timeout`, a closed session, another terminal.
#[test]
fn a_signal_at_a_prompt_leaves_the_terminal_as_it_was() {
    for (signal, code) in [(2, 130), (15, 143)] {
        let kill = |_: &mut dyn Write, pid: i32| {
            // The echo goes off right after the question.
            std::thread::sleep(std::time::Duration::from_millis(200));
            let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
        };
        ended(&on_a_terminal(&Sandbox::empty(), "key new key.pem", kill), code);
    }
}

#[test]
fn a_closed_terminal_is_distinguished_from_a_missing_one() {
    let seen = on_a_terminal(&Sandbox::empty(), "key new key.pem", |terminal, _| drop(terminal.write_all(b"\x04")));
    assert!(!seen.contains("no terminal"), "{seen}");
    ended(&seen, 12);
}

/// Runs a command on a terminal and types one answer after each question.
fn typing(sandbox: &Sandbox, command: &str, answers: &[&str]) -> String {
    let publish = env!("CARGO_BIN_EXE_publish");
    // A question without an answer must not hang the test.
    let line = format!("timeout --foreground 30 sh -c 'exec {publish} {command}'; echo code=$?");
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(sandbox.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_remove("PUBLISH_PASSPHRASE")
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut from, mut byte) = (Vec::new(), 0, [0]);
    let mut answers = answers.iter();
    while output.read(&mut byte).unwrap_or(0) == 1 {
        seen.push(byte[0]);
        if seen.ends_with(b": ") && String::from_utf8_lossy(&seen[from..]).contains("passphrase") {
            from = seen.len();
            if let Some(answer) = answers.next() {
                input.write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
        }
    }
    let _ = child.wait();
    assert_eq!(answers.len(), 0, "{}", String::from_utf8_lossy(&seen));
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_mistyped_passphrase_can_be_typed_three_times() {
    let sandbox = encrypted();
    let seen = typing(&sandbox, "key show key.pem", &["wrong", "test only passphrase"]);
    assert!(seen.contains("code=0") && seen.contains("that passphrase does not open") && seen.contains("attempt 2 of 3"), "{seen}");
    let seen = typing(&sandbox, "key show key.pem", &["wrong", "again wrong", "wrong once more"]);
    assert!(seen.contains("code=12") && seen.contains("wrong passphrase for the key file"), "{seen}");
    // Without a terminal nothing is asked: a wrong one and a missing one are different errors.
    let run = |value: Option<&str>| {
        let mut command = sandbox.command();
        command.args(["key", "show", "key.pem"]);
        value.map(|value| command.env("PUBLISH_PASSPHRASE", value));
        crate::sandbox::Run::from(command.output().unwrap())
    };
    run(Some("wrong")).fails(12, &["wrong passphrase for the key file key.pem", "PUBLISH_PASSPHRASE"]);
    run(None).fails(12, &["a passphrase is needed for key.pem, and there is no terminal to ask on", "--passphrase-file"]);
}

#[test]
fn a_passphrase_that_opened_one_key_is_tried_on_the_others() {
    let sandbox = Sandbox::empty();
    let made = sandbox.command().args(["init", "--name", "acme"]).env("PUBLISH_PASSPHRASE", "test only passphrase").output().unwrap();
    assert!(made.status.success());
    // Three role keys and the OpenPGP key, one question.
    let seen = typing(&sandbox, "release 1.0.0 --from dist", &["test only passphrase"]);
    assert!(seen.contains("code=0") && seen.matches("passphrase for").count() == 1, "{seen}");
    // One key with a passphrase of its own: it is asked for by name.
    let changed = sandbox
        .command()
        .args(["key", "passphrase", "keys/timestamp.pem"])
        .env("PUBLISH_PASSPHRASE", "test only passphrase")
        .env("PUBLISH_NEW_PASSPHRASE", "the second secret")
        .output()
        .unwrap();
    assert!(changed.status.success(), "{changed:?}");
    sandbox.write("dist/linux-amd64/bin/acme", b"another");
    let seen = typing(&sandbox, "--progress never release 1.0.1 --from dist", &["test only passphrase", "the second secret"]);
    assert!(seen.contains("code=0") && seen.contains("does not open"), "{seen}");
}

/// Escape sequences only where the terminal has them and they are not switched off.
#[test]
fn dumb_terminals_and_no_color_get_plain_text() {
    let sandbox = Sandbox::new();
    for (variables, plain) in
        [("TERM=dumb", true), ("TERM=xterm NO_COLOR=1", false), ("TERM=xterm NO_COLOR=1 PUBLISH_PROGRESS=never", true)]
    {
        let publish = env!("CARGO_BIN_EXE_publish");
        let line = format!("env {variables} {publish} release 1.0.0 --from dist; env {variables} {publish} release x --from dist");
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(sandbox.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(seen.contains("error:") && !seen.contains("\u{1b}[1;"), "{variables}: no colour: {seen:?}");
        assert!(!plain || !seen.contains('\u{1b}'), "{variables}: {seen:?}");
    }
    let line = format!("env TERM=xterm {} release x --from dist", env!("CARGO_BIN_EXE_publish"));
    let output =
        Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(sandbox.dir.path()).stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\u{1b}[1;31merror:"), "the terminal that has colours gets them");
}
