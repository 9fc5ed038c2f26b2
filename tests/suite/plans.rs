//! Plans of `release`, `channels` and `diff`, beyond what the screens show.

use crate::sandbox::Sandbox;

const PLATFORMS: [&str; 3] = ["darwin-arm64", "linux-amd64", "windows-amd64"];

/// A pull request from a fork has no secrets: its plan needs none.
#[test]
fn a_dry_run_needs_no_key() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.1.0")]);
    for role in ["root", "targets", "snapshot", "timestamp"] {
        std::fs::remove_file(sandbox.path(&format!("keys/{role}.pem"))).unwrap();
    }
    std::fs::remove_file(sandbox.path("keys/openpgp.asc")).unwrap();
    for format in ["text", "markdown"] {
        sandbox.unchanged(|| {
            let release = ["release", "1.1.0", "--from", "dist", "--channels", "--dry-run", "--format", format];
            sandbox.publish(&release).ok().says(&["Plan: 1 file and 1 channel to add."])
        });
        sandbox.channels(&[("1", "stable", "1.0.0")]);
        sandbox.unchanged(|| sandbox.publish(&["channels", "--dry-run", "--format", format]).ok().says(&["Plan: 1 channel to add."]));
        sandbox.channels(&[("1", "stable", "1.1.0")]);
    }
    sandbox.unchanged(|| sandbox.publish(&["diff", "1.0.0", "1.0.0", "--format", "markdown"]).ok().says(&["The releases are identical."]));
    sandbox.unchanged(|| sandbox.publish(&["release", "1.1.0", "--from", "dist"]).fails(7, &["cannot open the key file"]));
}

/// GitHub refuses comments of more than 65536 characters: the lists of files are cut, channels and roles stay.
#[test]
fn a_comment_fits_the_forge() {
    let sandbox = Sandbox::new();
    for platform in PLATFORMS {
        for number in 0..300 {
            sandbox.write(&format!("dist/{platform}/share/{number}-{}", "x".repeat(170)), b"x");
        }
    }
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    let plan = |more: &[&str]| {
        let all = [&["release", "1.0.0", "--from", "dist", "--channels", "--dry-run"], more].concat();
        sandbox.unchanged(|| sandbox.publish(&all).ok()).stdout
    };
    for more in [&["--format", "markdown"][..], &["--format", "markdown", "--verbose"]] {
        let comment = plan(more);
        assert!(comment.chars().count() < 65_536, "{}", comment.chars().count());
        for kept in ["+ darwin-arm64", "+ 1/stable", "~ timestamp", "files and 1 channel to add.", "more (--verbose lists them)"] {
            assert!(comment.contains(kept), "{kept} in {comment}");
        }
    }
    let text = plan(&[]);
    assert!(text.lines().count() < 120 && text.contains("and 270 more (--verbose lists them)"), "{text}");
    assert!(plan(&["--verbose"]).lines().count() > 900);
}

/// The config of a pull request is as little trusted as its files.
#[test]
fn a_name_in_the_heading_of_a_comment_is_only_text() {
    let sandbox = Sandbox::new();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let hostile = "name: 'a``b @everyone [x](https://example.org)'";
    sandbox.write("publish.yaml", config.replace("name: acme", hostile));
    let comment =
        sandbox.unchanged(|| sandbox.publish(&["release", "1.0.0", "--from", "dist", "--dry-run", "--format", "markdown"])).stdout;
    assert_eq!(
        comment.lines().next().unwrap_or_default(),
        "### ``` Release 1.0.0 of a``b @everyone [x](https://example.org) ```",
        "{comment}"
    );
}

/// What users read is at most 60 columns wide, if names are short.
#[test]
fn a_plan_fits_a_narrow_terminal() {
    let sandbox = Sandbox::new();
    PLATFORMS.iter().for_each(|platform| drop(sandbox.write(&format!("dist/{platform}/bin/acme"), b"1")));
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "beta", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    std::fs::remove_dir_all(sandbox.path("dist/windows-amd64")).unwrap();
    sandbox.write("dist/linux-amd64/bin/acme", vec![b'x'; 123_456]);
    sandbox.channels(&[("1", "stable", "1.1.0"), ("1", "beta", "1.1.0")]);
    let plan = ["release", "1.1.0", "--from", "dist", "--channels", "--allow-missing-platforms", "--dry-run"];
    let plan = sandbox.publish(&plan).ok().says(&["! 1/stable  windows-amd64 users stay on 1.0.0"]).stdout;
    assert!(plan.lines().all(|line| line.chars().count() <= 60), "{plan}");
}

#[test]
fn a_channel_is_enough_to_name_a_release() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("dist/linux-amd64/share/new.txt", b"new");
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "beta", "1.1.0"), ("2", "beta", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.publish(&["diff", "stable", "1.1.0"]).ok().says(&["Release 1.1.0, compared with 1.0.0", "1 file added, 1 file identical."]);
    sandbox
        .publish(&["diff", "beta", "1.1.0"])
        .fails(7, &["there is no release or channel beta", "1/stable where several groups have one"]);
    sandbox.publish(&["diff", "1/beta", "2/beta"]).ok().says(&["Release 1.0.0, compared with 1.1.0"]);
}

/// A change that is published already is one line, also as a plan.
#[test]
fn nothing_to_do_is_one_line() {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok();
    for arguments in [&["release", "1.0.0", "--from", "dist", "--channels"][..], &["channels"]] {
        for more in [&[][..], &["--dry-run"]] {
            let said = sandbox.unchanged(|| sandbox.publish(&[arguments, more].concat()).ok().says(&["nothing to do"])).stdout;
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
