use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The commands in help texts, in an order in which they can run.
#[test]
fn examples_of_help_texts_run() {
    let sandbox = Sandbox::empty();
    sandbox.write("dist/linux-amd64/bin/acme", b"x");
    let commands = [
        "init",
        "release",
        "channels",
        "adopt",
        "add-targets",
        "remove-targets",
        "bins",
        "refresh",
        "monitor",
        "pause",
        "resume",
        "key",
        "key new",
        "key list",
        "key show",
        "key export",
        "key extend",
        "key passphrase",
        "rotate",
        "root",
        "root edit",
        "root show",
        "root sign",
        "root merge",
        "root commit",
        "yank",
        "prune",
        "store",
        "store check",
        "status",
        "verify",
        "completions",
        "man",
        "reference",
    ];
    let bob = || {
        sandbox.publish(&["key", "new", "bob.pem", "--no-passphrase"]).ok();
        sandbox.write("keys/bob.pem", sandbox.publish(&["key", "export", "bob.pem"]).ok().stdout);
    };
    // Somebody else's repository, with its keys beside it.
    let old = || {
        for (from, to) in [("repo", "old/repository"), ("keys", "old/keys")] {
            for (name, content) in crate::sandbox::files(&sandbox.path(from)) {
                let path = sandbox.write(&format!("{to}/{name}"), content);
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    };
    let mut ran = 0;
    for command in commands {
        match command {
            "adopt" => old(),
            "root edit" => bob(),
            "root commit" => drop(sandbox.publish(&["root", "sign", "--key", "bob.pem", "--yes"]).ok()),
            _ => {}
        }
        let help = sandbox.publish(&[command.split(' ').collect(), vec!["--help"]].concat()).ok().stdout;
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{command} has no example"));
        for line in examples.lines().filter(|line| line.starts_with("  publish ")) {
            if command == "yank" {
                sandbox.release("1.0.1");
            }
            if command == "release" {
                sandbox.channels(&[("1", "stable", "1.0.0")]);
            }
            // A service runs until it is stopped: its own tests start it, and those of workers need a broker.
            if command == "monitor" && !line.contains("--once") {
                continue;
            }
            let arguments: Vec<&str> = line.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
            sandbox.publish(&arguments).ok();
            ran += 1;
        }
    }
    assert!(ran >= 40, "{ran}");
}

#[test]
fn the_reference_page_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let sandbox = Sandbox::empty();
    let now = sandbox.publish(&["reference"]).ok().stdout;
    assert!(fs::read_to_string(page).unwrap_or_default() == now, "run: publish reference > docs/reference.md");
    for variable in ["PUBLISH_CONFIG", "PUBLISH_REPO", "PUBLISH_PASSPHRASE", "PUBLISH_DRY_RUN"] {
        assert!(now.contains(variable), "{variable}");
    }
}

#[test]
fn errors_are_json_documents_on_request() {
    let sandbox = Sandbox::empty();
    let error = sandbox.publish(&["status", "--json"]).json();
    assert_eq!((&error["schema"], &error["error"]["kind"], &error["error"]["exit_code"]), (&1.into(), &"not_found".into(), &7.into()));
    assert!(error["error"]["hints"].to_string().contains("publish init"));
    let usage = sandbox.publish(&["release", "--json"]);
    assert_eq!((usage.code, &usage.json()["error"]["kind"]), (2, &"usage".into()));
    let sandbox = Sandbox::new();
    sandbox.write("trdl_channels.yaml", "x: 1\n");
    let error = sandbox.publish(&["channels", "--json"]);
    assert_eq!((error.code, error.stderr.as_str()), (6, ""));
    assert!(error.json()["error"]["details"][0].as_str().unwrap().contains("trdl_channels.yaml:1"));
    let release = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--json"]).ok();
    assert_eq!((release.stderr.as_str(), &release.json()["result"]["changed"]), ("", &true.into()));
}

#[test]
fn flags_override_variables_and_variables_override_the_config() {
    let sandbox = Sandbox::new();
    let other = Sandbox::new();
    let run = |name: &str, value: &str, arguments: &[&str]| Run::from(sandbox.command().args(arguments).env(name, value).output().unwrap());
    let elsewhere = other.path("repo").display().to_string();
    // The other repository does not verify from our root: it was looked at.
    run("PUBLISH_REPO", &elsewhere, &["status"]).fails(9, &["valid signatures"]);
    run("PUBLISH_REPO", &elsewhere, &["status", "--repo", "repo"]).ok();
    run("PUBLISH_CONFIG", "nowhere.yaml", &["status"]).fails(7, &["nowhere.yaml"]);
    run("PUBLISH_DRY_RUN", "1", &["release", "1.0.0", "--from", "dist"]).ok().says(&["Nothing was written"]);
    assert_eq!(run("PUBLISH_JSON", "true", &["status"]).ok().json()["command"], "status");
    run("PUBLISH_PROGRESS", "sometimes", &["status"]).fails(2, &["sometimes", "PUBLISH_PROGRESS"]);
    run("PUBLISH_DRY_RUN", "perhaps", &["status"]).fails(2, &["perhaps", "PUBLISH_DRY_RUN"]);
}

#[test]
fn quiet_drops_status_and_keeps_warnings() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-arm64/x", b"x");
    let run = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--quiet"]).ok();
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr, "warning: linux-arm64 has no bin/ directory; `trdl use`, `exec` and `bin-path` need one\n");
    assert_eq!(sandbox.publish(&["status", "-q"]).ok().stdout, "", "healthy");
    let due = sandbox.publish(&["status", "-q", "--fail-within", "2d"]).fails(3, &[]).stdout;
    assert!(due.starts_with("expires soon: timestamp") && due.lines().count() == 1, "{due}");
}

#[test]
fn a_commit_reports_each_step() {
    let sandbox = Sandbox::new();
    let run = sandbox.release("1.0.0").ok();
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "staging",
            "committing",
            "targets signed (version 2)",
            "snapshot signed (version 2)",
            "timestamp signed (version 2)",
            "visible to clients"
        ]
    );
}

#[test]
fn progress_bars_can_be_forced() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/bin/big", vec![1_u8; 8 << 20]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--progress", "always"]).ok();
}

#[test]
fn config_mistakes_are_reported() {
    let sandbox = Sandbox::new();
    let good = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    for (text, words) in [
        ("repoo: x\n", ["unknown key `repoo`", "did you mean `repo`?"]),
        ("frobnicate: x\n", ["unknown key `frobnicate`", "known keys:"]),
        ("repo: [1]\n", ["cannot be read", "publish.yaml:"]),
        ("repo: a\nrepo: b\n", ["cannot be read", "duplicate"]),
        ("keys:\n  tragets: file:x\n", ["unknown role `tragets`", "roles: root, targets"]),
        ("keys:\n  targets: tpm:x\n", ["`tpm:` are not supported", "file:PATH"]),
        ("repo: ftp://host/x\n", ["ftp:// cannot be published to", "s3://bucket/prefix"]),
        ("repo: s3:///x\n", ["names no bucket", "s3:///x"]),
        ("repo: s3://bucket/a//b\n", ["empty part", "s3://bucket/a//b"]),
        ("repo: s3://bucket/a?b\n", ["characters that clients", "s3://bucket/a?b"]),
        ("store: {endpoit: x}\n", ["cannot be read", "unknown field `endpoit`"]),
        ("store: {conditions: perhaps}\n", ["cannot be read", "unknown variant"]),
        ("plain_names: some\n", ["cannot be read", "unknown variant"]),
        ("a: &a [x]\nb: [*a, *a]\n", ["unknown key `a`", "known keys"]),
        ("\tx", ["cannot be read", "publish.yaml"]),
    ] {
        sandbox.write("publish.yaml", text);
        sandbox.unchanged(|| sandbox.publish(&["status"]).fails(6, &words));
    }
    // An empty config has every default, which are those that init writes.
    sandbox.write("publish.yaml", "# nothing\n");
    sandbox.publish(&["status"]).ok();
    sandbox.write("publish.yaml", good);
    sandbox.publish(&["status"]).ok();
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(sandbox.publish(&["completions", shell]).ok().stdout.contains("publish"));
    }
}

#[test]
fn places_without_a_repository_are_distinguished() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("nothing")).unwrap();
    sandbox.publish(&["status", "--repo", "nothing"]).fails(10, &["there is no TUF repository at nothing", "publish init"]);
    sandbox.publish(&["status", "--repo", "nowhere"]).fails(10, &["there is no TUF repository at nowhere"]);
    sandbox.publish(&["verify", "nothing"]).fails(10, &["neither 1.root.json nor root.json"]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--repo", "publish.yaml"]).fails(10, &["no TUF repository"]);
    let empty = Sandbox::empty();
    empty.publish(&["release", "1.0.0", "--from", "dist"]).fails(7, &["publish.yaml", "publish init"]);
}

/// A name moves no cursor and hides no line, whatever its origin.
#[test]
fn nothing_that_is_shown_controls_the_terminal() {
    let sandbox = Sandbox::new();
    for (name, shown) in [("a\u{1b}[2Kb", "a\\u{1b}[2Kb"), ("a\rb", "a\\u{d}b"), ("a\u{202e}b", "a\\u{202e}b"), ("a\u{9b}b", "a\\u{9b}b")] {
        let run = sandbox.publish(&["key", "show", name]).fails(7, &[shown]);
        assert!(!run.stderr.contains(name), "{run:?}");
    }
    // In documents, JSON has its own way.
    let run = sandbox.publish(&["key", "show", "a\u{1b}[2Kb", "--json"]);
    assert!(run.code == 7 && !run.stdout.contains('\u{1b}'), "{run:?}");
    assert!(run.json()["error"]["message"].as_str().unwrap().contains("a\u{1b}[2Kb"));
}

#[test]
fn spans_and_dates_have_one_form() {
    let sandbox = Sandbox::new();
    let spans = [
        "3é",
        "д",
        "3日",
        "365д",
        "",
        "d",
        "3",
        "3w",
        "+3d",
        "-3d",
        "3 d",
        "３d",
        "3D",
        "1.5d",
        "99999999999d",
        "999999d",
        "999999999999999999999999m",
    ];
    for wrong in spans {
        sandbox.publish(&["status", &format!("--fail-within={wrong}")]).fails(2, &["write it as 90m, 12h or 3d"]);
        sandbox.publish(&["prune", &format!("--grace={wrong}")]).fails(2, &["write it as 90m, 12h or 3d"]);
    }
    let moments = [
        "2030-12-31T23:59:60Z",
        "2030-12-31T23:59:59.5Z",
        "2030-12-31T23:59:59+00:00",
        "2030-12-31t23:59:59z",
        "2030-12-31 23:59:59Z",
        "2030-12-31T23:59:59",
        "2030-13-01",
        "2030-02-30",
        "30-01-01",
        "10000-01-01",
        "+2030-01-01",
        "-2030-01-01",
        "２030-01-01",
        "２０３０-０１-０１",
    ];
    for wrong in moments.into_iter().chain(spans) {
        sandbox.publish(&["root", "edit", &format!("--expires={wrong}")]).fails(6, &["write 2027-01-31, 2027-01-31T12:00:00Z or 365d"]);
        sandbox.publish(&["key", "extend", "--", wrong]).fails(6, &["write 2027-01-31, 2027-01-31T12:00:00Z or 365d"]);
    }
    for over in ["2020-01-01", "0d", "1970-01-01T00:00:00Z", "0001-01-01"] {
        sandbox.publish(&["root", "edit", "--expires", over]).fails(6, &["which is in the past", "hint: give a time in the future"]);
        sandbox.publish(&["key", "extend", over]).fails(6, &["which is in the past", "hint: give a time in the future"]);
    }
    assert!(!sandbox.path("root-draft.json").exists());
    sandbox.publish(&["root", "edit", "--expires", "2099-12-31T23:59:59Z"]).ok();
    let draft = std::fs::read_to_string(sandbox.path("root-draft.json")).unwrap();
    assert!(draft.contains("\"2099-12-31T23:59:59Z\""));
    for odd in ["2099-12-31T23:59:60Z", "2099-12-31T23:59:59.0Z", "2099-12-31T23:59:59+00:00", "2099-12-31t23:59:59Z"] {
        sandbox.write("root-draft.json", draft.replace("2099-12-31T23:59:59Z", odd));
        for command in ["show", "sign", "commit"] {
            sandbox.publish(&["root", command]).fails(6, &["is not of the form that every client reads"]);
        }
    }
}

#[test]
fn settings_in_seconds_are_bounded() {
    let sandbox = Sandbox::new();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    for setting in ["store: {timeout: 18446744073709551615}", "workers: {patience: 18446744073709551615}"] {
        sandbox.write("publish.yaml", format!("{config}\n{setting}\n"));
        sandbox.publish(&["status"]).fails(6, &["it is a number of seconds up to"]);
    }
    sandbox.write("publish.yaml", format!("{config}\nmonitor: {{scan: 1.0e19, drop_box: box}}\n"));
    sandbox.publish(&["monitor"]).fails(6, &["`monitor.scan` is", "it is a number of seconds from 0.1 to"]);
}
