//! Whole screens. `.ci/accept` accepts a change: look at the difference before the commit.

use crate::sandbox::Sandbox;
use std::path::{Path, PathBuf};

fn screens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens")
}

/// What differs from run to run: digests, fingerprints, dates, spans of time, and the directory of the test.
fn redacted(sandbox: &Sandbox) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(screens().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&regex_of(&sandbox.dir.path().display().to_string()), "[DIR]");
    settings.add_filter(r"\b[0-9a-fA-F]{128}\b", "[SHA512]");
    settings.add_filter(r"\b[0-9a-fA-F]{64}\b", "[SHA256]");
    settings.add_filter(r"\b[0-9A-F]{40}\b", "[FINGERPRINT]");
    settings.add_filter(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z\b", "[TIME]");
    settings.add_filter(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}( UTC)?)?\b", "[DATE]");
    settings.add_filter(r"http://(127\.0\.0\.1|localhost):[0-9]+", "[SERVER]");
    settings.add_filter(r"\b[0-9.]+ (B|KiB) read\b", "[SIZE] read");
    settings.add_filter(r"\bin [0-9]+ (d|h|min)( [0-9]+ (h|min))? *", "in [SPAN] ");
    settings
}

fn regex_of(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_ascii_alphanumeric() && c != '/').then_some('\\').into_iter().chain([c])).collect()
}

/// stdout and stderr of a command, as a terminal shows them one after the other.
fn screen(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.publish(arguments);
    format!("$ publish {}\n{}{}[exit code {}]\n", arguments.join(" "), run.stderr, run.stdout, run.code)
}

#[test]
fn help_and_errors() {
    trycmd::TestCases::new()
        .register_bin("publish", Path::new(env!("CARGO_BIN_EXE_publish")))
        .case("tests/screens/commands/*.trycmd")
        .run();
}

/// The overview names every command exactly once, and fits a terminal.
#[test]
fn the_overview_is_complete() {
    let sandbox = Sandbox::empty();
    let overview = sandbox.publish(&["--help"]).ok().stdout;
    assert!(overview.lines().count() <= 40 && overview.lines().all(|line| line.chars().count() <= 80), "{overview}");
    let reference = sandbox.publish(&["reference"]).ok().stdout;
    let commands: Vec<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("### publish ")).filter(|name| !name.contains(' ')).collect();
    assert!(commands.len() > 20, "{commands:?}");
    let words: Vec<&str> = overview
        .lines()
        .flat_map(|line| match line.strip_prefix("  ") {
            Some(listed) => listed.split_once("  ").map_or(vec![], |(names, _)| names.split(", ").collect()),
            None => line.rsplit_once("More: ").map_or(vec![], |(_, names)| names.trim_end_matches('.').split(", ").collect()),
        })
        .collect();
    for command in &commands {
        assert_eq!(words.iter().filter(|word| *word == command).count(), 1, "{command} in {overview}");
    }
    assert_eq!(words.len(), commands.len(), "{words:?}");
}

/// What a release engineer sees on the first day.
#[test]
fn a_first_release() {
    let sandbox = Sandbox::empty();
    sandbox.write("dist/linux-amd64/share/README", b"read me\n");
    sandbox.write("dist/darwin-arm64/bin/acme", b"#!/bin/sh\necho hello from a mac\n");
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "beta", "1.0.0")]);
    let mut seen = String::new();
    for arguments in [
        &["init", "--name", "acme", "--public-url", "https://tuf.example.org", "--no-passphrase"][..],
        &["release", "1.0.0", "--from", "dist", "--channels", "--dry-run"],
        &["release", "1.0.0", "--from", "dist", "--channels"],
        &["release", "1.0.0", "--from", "dist", "--channels"],
        &["status"],
    ] {
        seen.push_str(&screen(&sandbox, arguments));
        seen.push('\n');
    }
    redacted(&sandbox).bind(|| insta::assert_snapshot!("a_first_release", seen));
}

/// The plan of a second release, in both forms, and the comparison afterwards.
#[test]
fn a_second_release() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/darwin-arm64/bin/acme", b"#!/bin/sh\necho hello from a mac\n");
    sandbox.write("dist/linux-amd64/share/old.txt", b"only in the first\n");
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    std::fs::remove_dir_all(sandbox.path("dist/darwin-arm64")).unwrap();
    std::fs::remove_file(sandbox.path("dist/linux-amd64/share/old.txt")).unwrap();
    sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho hello again, and longer than before\n");
    // Nothing in a file's name ends the code block of the Markdown form.
    sandbox.write("dist/windows-amd64/bin/``` @everyone [x](y).exe", b"x");
    sandbox.channels(&[("1", "stable", "1.1.0"), ("1", "beta", "1.1.0")]);
    let mut seen = String::new();
    for arguments in [
        &["release", "1.1.0", "--from", "dist", "--channels"][..],
        &["release", "1.1.0", "--from", "dist", "--channels", "--allow-missing-platforms", "--dry-run"],
        &["release", "1.1.0", "--from", "dist", "--channels", "--allow-missing-platforms", "--dry-run", "--format", "markdown"],
        &["release", "1.1.0", "--from", "dist", "--channels", "--allow-missing-platforms", "--format", "markdown"],
        &["release", "1.1.0", "--from", "dist", "--channels", "--allow-missing-platforms"],
        &["diff", "1.0.0", "1.1.0"],
        &["diff", "1/stable", "1.0.0", "--format", "markdown"],
        &["diff", "1.0.0", "1.0.9"],
        &["diff", "stable", "1.0.0", "--verbose"],
        &["yank", "1.1.0", "--move-to", "1.0.0", "--dry-run"],
        &["yank", "1.1.0", "--move-to", "1.0.0", "--allow-missing-platforms", "--dry-run"],
        &["yank", "1.1.0", "--move-to", "1.0.0", "--allow-missing-platforms", "--dry-run", "--format", "markdown"],
    ] {
        seen.push_str(&screen(&sandbox, arguments));
        seen.push('\n');
    }
    redacted(&sandbox).bind(|| insta::assert_snapshot!("a_second_release", seen));
    // The release is published by now: this is what a script reads.
    let mut seen = String::new();
    for (from, to, code) in [("1.0.0", "1.1.0", 0), ("1.1.0", "stable", 0), ("1.0.0", "1.0.9", 7)] {
        let document = sandbox.publish(&["diff", from, to, "--json"]).fails(code, &[]).json();
        seen.push_str(&format!("$ publish diff {from} {to} --json\n{document:#}\n\n"));
    }
    redacted(&sandbox).bind(|| insta::assert_snapshot!("diff_json", seen));
}

/// What `publish ci` shows before and after it writes its files.
#[test]
fn ci_screens() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path(".git")).unwrap();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let bucket = "repo: s3://acme-tuf/stable\nstore: {region: eu-central-1, conditions: enforced}";
    sandbox.write("publish.yaml", config.replace("repo: repo", bucket));
    let mut seen = String::new();
    for arguments in [
        &["ci", "github", "--dry-run"][..],
        &["ci", "gitlab"],
        &["ci", "github", "--url", "https://example.org/publish.tar.gz", "--sha256", &"0".repeat(64)],
        &["ci", "github", "--build", "./build.sh"],
        &["ci", "github", "--json"],
    ] {
        seen.push_str(&screen(&sandbox, arguments));
        seen.push('\n');
    }
    for file in ["publish.ci.yaml", ".gitlab/publish.gitlab-ci.yml", ".github/workflows/publish-release.yml"] {
        seen.push_str(&format!("$ cat {file}\n{}\n", std::fs::read_to_string(sandbox.path(file)).unwrap()));
    }
    redacted(&sandbox).bind(|| insta::assert_snapshot!("ci", seen));
}

/// The verdict, the exit code and the sections of `status`; and what users need to install.
#[test]
fn status_screens() {
    let sandbox = Sandbox::empty();
    for platform in ["linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64", "windows-arm64"] {
        sandbox.write(&format!("dist/{platform}/bin/acme"), platform);
    }
    sandbox.publish(&["init", "--name", "acme", "--public-url", "https://tuf.example.org", "--no-passphrase"]).ok();
    let mut seen = screen(&sandbox, &["status"]);
    for version in ["1.0.0", "1.1.0-rc.1", "1.1.0"] {
        sandbox.channels(&[("1", "stable", version), ("1", "beta", version), ("2", "alpha", "1.0.0")]);
        sandbox.write("dist/linux-amd64/bin/acme", version);
        sandbox.publish(&["release", version, "--from", "dist", "--channels"]).ok();
    }
    for arguments in [
        &["status"][..],
        &["status", "--quiet"],
        &["status", "--quiet", "--fail-within", "3d"],
        &["status", "--install"],
        &["status", "file:repo"],
    ] {
        seen.push_str(&format!("\n{}", screen(&sandbox, arguments)));
    }
    std::fs::write(sandbox.path("repo/plain.json"), b"{}").unwrap();
    seen.push_str(&format!("\n{}", screen(&sandbox, &["status", "--quiet"])));
    redacted(&sandbox).bind(|| insta::assert_snapshot!("status", seen));
    let screen = sandbox.publish(&["status", "--json"]).fails(11, &[]);
    assert_eq!(screen.json()["status"]["health"], "incomplete");
    let screen = sandbox.publish(&["status"]).stdout;
    assert!(
        screen.lines().filter(|line| !line.starts_with('!') && !line.starts_with("incomplete")).all(|line| line.chars().count() <= 80),
        "{screen}"
    );
}

/// What `verify` shows of a good repository, of one with flaws, of one that fails, and over http.
#[test]
fn verify_screens() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/darwin-arm64/bin/acme", b"#!/bin/sh\necho hello from a mac\n");
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    let url = crate::verify::serve(sandbox.path("repo"), "404 Not Found");
    let mut seen = screen(&sandbox, &["verify"]);
    for arguments in [
        &["verify", &url, "--root", "keys/1.root.json"][..],
        &["verify", &url],
        &["verify", &url, "--metadata-only", "--root-sha512", "00"],
        &["verify", "dist"],
    ] {
        seen.push_str(&format!("\n{}", screen(&sandbox, arguments)));
    }
    std::fs::remove_file(sandbox.path("repo/targets/channels/1/stable")).unwrap();
    std::fs::remove_file(sandbox.path("repo/root.json")).unwrap();
    seen.push_str(&format!("\n{}", screen(&sandbox, &["verify"])));
    let program = sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme");
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, b"#!/bin/sh\necho hacked\n").unwrap();
    seen.push_str(&format!("\n{}", screen(&sandbox, &["verify"])));
    std::fs::write(sandbox.path("repo/2.targets.json"), b"{}").unwrap();
    seen.push_str(&format!("\n{}", screen(&sandbox, &["verify"])));
    seen.push_str(&format!("\n{}", screen(&sandbox, &["verify", &url])));
    redacted(&sandbox).bind(|| insta::assert_snapshot!("verify", seen));
}

/// The checklist: nothing to find, several faults at once, a config that cannot be read.
#[test]
fn doctor_screens() {
    use crate::fakes::http::{Response, serve};
    use std::os::unix::fs::PermissionsExt;
    let url = serve(|_| Some(Response::new(200).header("Content-Type", "text/html").body("<!DOCTYPE html><p>Please log in")));
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    let mut seen = screen(&sandbox, &["doctor"]);
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{}public_url: {url}\n", config.replace("file:keys/timestamp.pem", "env:TIMESTAMP_KEY")));
    std::fs::set_permissions(sandbox.path("keys/targets.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    for arguments in [&["doctor"][..], &["doctor", "--quiet", "--fail-on-warning"]] {
        seen.push_str(&format!("\n{}", screen(&sandbox, arguments)));
    }
    sandbox.write("publish.yaml", "chanels: x.yaml\n");
    seen.push_str(&format!("\n{}", screen(&sandbox, &["doctor"])));
    redacted(&sandbox).bind(|| insta::assert_snapshot!("doctor", seen));
}
