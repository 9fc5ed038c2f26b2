//! `publish ci`: the files for hosted runners. `interop/ci` runs them; here are the screens, refusals, and what the files hold.

use crate::sandbox::{Run, Sandbox};
use serde_yaml::Value;
use std::fs;

const HOSTED: &str = "publish.ci.yaml";

/// A checkout with a config for a bucket. The keys are those of a repository in a directory: `publish ci` reads no repository.
fn checkout() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path(".git")).unwrap();
    change(&sandbox, "repo: repo", "repo: s3://acme-tuf/stable\nstore: {region: eu-central-1, conditions: enforced}");
    sandbox
}

#[track_caller]
fn change(sandbox: &Sandbox, from: &str, to: &str) {
    let text = text(sandbox, "publish.yaml");
    assert!(text.contains(from), "`{from}` is not in {text}");
    sandbox.write("publish.yaml", text.replace(from, to));
}

#[track_caller]
fn text(sandbox: &Sandbox, path: &str) -> String {
    fs::read_to_string(sandbox.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn yaml(sandbox: &Sandbox, path: &str) -> Value {
    serde_yaml::from_str(&text(sandbox, path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files that `publish ci` wrote.
fn written(sandbox: &Sandbox) -> Vec<String> {
    let names = crate::sandbox::files(sandbox.dir.path()).into_keys();
    names.filter(|name| name.starts_with(".git") || name.starts_with("publish.ci") || name.starts_with("publish.root")).collect()
}

fn github(sandbox: &Sandbox) -> Run {
    sandbox.publish(&["ci", "github"])
}

/// The scripts of all steps of a workflow.
fn scripts(workflow: &Value) -> Vec<String> {
    let jobs = workflow["jobs"].as_mapping().unwrap();
    let steps = jobs.values().flat_map(|job| job["steps"].as_sequence().unwrap());
    steps.filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
}

#[test]
fn github_files_are_written_once_and_are_the_same_every_time() {
    let sandbox = checkout();
    let before = written(&sandbox);
    sandbox.publish(&["ci", "github", "--dry-run"]).ok().says(&["+ .github/workflows/publish-release.yml", "Nothing was written"]);
    assert_eq!(before, written(&sandbox));
    github(&sandbox).ok().says(&["The files are written.", "gh secret set PUBLISH_TARGETS_KEY --env publish < keys/targets.pem"]);
    assert_eq!(
        written(&sandbox),
        [
            ".github/workflows/publish-channels.yml",
            ".github/workflows/publish-nightly.yml",
            ".github/workflows/publish-plan.yml",
            ".github/workflows/publish-refresh.yml",
            ".github/workflows/publish-release.yml",
            "publish.ci.yaml",
            "publish.root.json",
        ]
    );
    let first = crate::sandbox::files(sandbox.dir.path());
    github(&sandbox).ok().says(&["All files are written already."]);
    sandbox.publish(&["ci", "github", "--force"]).ok();
    assert_eq!(first, crate::sandbox::files(sandbox.dir.path()));
    let run = sandbox.publish(&["ci", "github", "--json"]).ok();
    assert_eq!(run.json()["plan"]["empty"], true, "{run:#?}");
    assert!(run.json()["plan"]["files"].as_array().unwrap().iter().all(|file| file["change"] == "keep"), "{run:#?}");
}

#[test]
fn the_config_of_the_jobs_has_no_root_key_and_is_read() {
    let sandbox = checkout();
    github(&sandbox).ok();
    let config = yaml(&sandbox, HOSTED);
    assert_eq!(config["keys"]["root"], Value::Sequence(Vec::new()));
    assert_eq!(config["keys"]["targets"], "env:PUBLISH_TARGETS_KEY");
    assert_eq!(config["openpgp"], "env:PUBLISH_OPENPGP_KEY");
    assert_eq!(config["repo"], "s3://acme-tuf/stable");
    assert_eq!(config["name"], "acme");
    assert_eq!(config["store"]["region"], "eu-central-1");
    assert_eq!(text(&sandbox, "publish.root.json"), text(&sandbox, "keys/1.root.json"));
    for file in written(&sandbox) {
        let text = text(&sandbox, &file);
        assert!(!text.contains("ROOT_KEY") && !text.contains("root.pem") && !text.contains("keys/root"), "{file}: {text}");
    }
    // It publishes, here to the directory, with keys from variables only.
    let keys = ["targets", "snapshot", "timestamp"].map(|role| {
        let key = text(&sandbox, &format!("keys/{role}.pem"));
        fs::remove_file(sandbox.path(&format!("keys/{role}.pem"))).unwrap();
        (format!("PUBLISH_{}_KEY", role.to_ascii_uppercase()), key)
    });
    let openpgp = text(&sandbox, "keys/openpgp.asc");
    fs::remove_dir_all(sandbox.path("keys")).unwrap();
    let release = ["release", "1.0.0", "--from", "dist", "--config", HOSTED, "--repo", "repo"];
    let with = |key: &str| -> Run {
        let mut command = sandbox.command();
        command.args(release).envs(keys.clone()).env("PUBLISH_OPENPGP_KEY", &openpgp);
        if !key.is_empty() {
            command.env(key, "");
        }
        command.output().unwrap().into()
    };
    for key in ["PUBLISH_TARGETS_KEY", "PUBLISH_TIMESTAMP_KEY", "PUBLISH_OPENPGP_KEY"] {
        sandbox.unchanged_metadata(|| with(key).fails(6, &[&format!("the variable {key} is empty"), "CI systems pass an empty variable"]));
    }
    with("").ok();
    // A refresh names a secret that the CI does not have; it does not leave that role to others.
    let mut refresh = sandbox.command();
    refresh.args(["refresh", "--all", "--config", HOSTED, "--repo", "repo"]).envs(keys.clone()).env("PUBLISH_SNAPSHOT_KEY", "");
    let run: Run = refresh.output().unwrap().into();
    run.fails(6, &["the variable PUBLISH_SNAPSHOT_KEY is empty"]);
}

#[test]
fn files_of_others_are_never_replaced() {
    let sandbox = checkout();
    sandbox.write(".github/workflows/publish-plan.yml", "name: mine\n");
    sandbox.write(HOSTED, "name: mine\n");
    let before = written(&sandbox);
    for force in [&["ci", "github"][..], &["ci", "github", "--force"], &["ci", "github", "--dry-run"]] {
        sandbox.publish(force).fails(
            5,
            &[
                "nothing was written",
                "publish.ci.yaml was not written by",
                "publish-plan.yml was not written by",
                "move files of others away",
            ],
        );
    }
    assert_eq!(before, written(&sandbox));
    fs::remove_file(sandbox.path(".github/workflows/publish-plan.yml")).unwrap();
    fs::remove_file(sandbox.path(HOSTED)).unwrap();
    github(&sandbox).ok();
    // A file of ours that a person changed, or that other options would make.
    let refresh = ".github/workflows/publish-refresh.yml";
    let changed = text(&sandbox, refresh) + "# changed\n";
    sandbox.write(refresh, &changed);
    github(&sandbox).fails(5, &["publish-refresh.yml was changed since", "--force"]);
    assert_eq!(text(&sandbox, refresh), changed);
    sandbox.publish(&["ci", "github", "--force"]).ok().says(&["~ .github/workflows/publish-refresh.yml", "= publish.ci.yaml"]);
    assert!(!text(&sandbox, refresh).contains("# changed"));
}

#[test]
fn a_pipeline_of_the_project_is_left_alone() {
    let sandbox = checkout();
    sandbox.publish(&["ci", "gitlab"]).ok().says(&["+ .gitlab-ci.yml", "glab variable set PUBLISH_TARGETS_KEY --protected"]);
    assert_eq!(yaml(&sandbox, ".gitlab-ci.yml")["include"][0]["local"], ".gitlab/publish.gitlab-ci.yml");
    let mine = "stages: [build, deploy]\n";
    sandbox.write(".gitlab-ci.yml", mine);
    sandbox.publish(&["ci", "gitlab"]).ok().says(&["Add these lines to .gitlab-ci.yml", "  - local: .gitlab/publish.gitlab-ci.yml"]);
    assert_eq!(text(&sandbox, ".gitlab-ci.yml"), mine);
    sandbox.write(".gitlab-ci.yml", format!("{mine}include:\n  - local: .gitlab/publish.gitlab-ci.yml\n"));
    let run = sandbox.publish(&["ci", "gitlab"]).ok();
    assert!(!run.stdout.contains("Add these lines"), "{run:#?}");
    // The files for GitHub beside it share the config.
    github(&sandbox).ok().says(&["= publish.ci.yaml"]);
}

#[test]
fn what_cannot_work_on_a_hosted_runner_is_refused() {
    let sandbox = checkout();
    let refused = |words: &[&str]| {
        let before = written(&sandbox);
        for forge in ["github", "gitlab"] {
            sandbox.publish(&["ci", forge]).fails(6, words);
        }
        assert_eq!(before, written(&sandbox));
    };
    let good = text(&sandbox, "publish.yaml");
    change(&sandbox, "repo: s3://acme-tuf/stable", "repo: repo");
    refused(&["is a directory, and hosted runners start without it", "docs/stores.md"]);
    sandbox.write("publish.yaml", good.replace("{region: eu-central-1, conditions: enforced}", "{conditions: enforced}"));
    refused(&["the region of s3://acme-tuf/stable is not known", "AWS_REGION"]);
    sandbox.write("publish.yaml", good.replace("targets: file:keys/targets.pem", "targets: gpg:25D5B647ED92C4E1B3A1F3C20C1DB0A8E41B96F7"));
    refused(&["is in a device, and hosted runners have none"]);
    sandbox.write("publish.yaml", format!("{good}broker: amqp://ci@127.0.0.1/\nworkers: {{name: ci}}\n"));
    refused(&["workers sign", "drop-box"]);
    sandbox.write("publish.yaml", good.replace("channels: trdl_channels.yaml", "channels: \"a'b ${{ github.token }}.yaml\""));
    refused(&["the channels file `a\\'b ${{ github.token }}.yaml` is not a plain path"]);
    sandbox.write("publish.yaml", good.replace("targets: file:keys/targets.pem", "targets: env:GITHUB_TARGETS"));
    sandbox.publish(&["ci", "github"]).fails(6, &["env:GITHUB_TARGETS cannot be a secret"]);
    sandbox.write("publish.yaml", good);
    for (flag, value, words) in [
        ("--from", "../dist", "not a plain path below the checkout"),
        ("--from", "a b", "not a plain path below the checkout"),
        ("--build", "make\u{7}", "control characters"),
        ("--build", " ", "the build command is empty"),
    ] {
        sandbox.publish(&["ci", "github", flag, value]).fails(6, &[words]);
    }
    let digest = "0".repeat(64);
    for (url, sha256, words) in [
        ("https://x/'${{ github.token }}", digest.as_str(), "not an http(s) URL of plain characters"),
        ("https://x/y.tar.gz", "12", "64 hex digits"),
    ] {
        sandbox.publish(&["ci", "github", "--url", url, "--sha256", sha256]).fails(6, &[words]);
    }
    sandbox.publish(&["ci", "github", "--url", "https://x/y"]).fails(2, &["--sha256"]);
    fs::remove_dir(sandbox.path(".git")).unwrap();
    refused_elsewhere(&sandbox);
}

fn refused_elsewhere(sandbox: &Sandbox) {
    github(sandbox).fails(7, &["is not the top of a git checkout", "--directory"]);
}

/// From another directory, the commands name the keys by paths that are right in the checkout.
#[test]
fn another_directory_gets_the_files_and_absolute_paths() {
    let sandbox = checkout();
    fs::create_dir_all(sandbox.path("project/.git")).unwrap();
    let key = fs::canonicalize(sandbox.path("keys/targets.pem")).unwrap();
    sandbox.publish(&["ci", "github", "--directory", "project"]).ok().says(&[&format!("--env publish < {}", key.display())]);
    assert_eq!(yaml(&sandbox, "project/publish.ci.yaml")["channels"], "trdl_channels.yaml");
    assert!(!sandbox.path(HOSTED).exists());
    sandbox.publish(&["ci", "github", "--directory", "nowhere"]).fails(7, &["nowhere is not the top of a git checkout"]);
}

/// Values of the config stand in the config of the jobs only, quoted by the YAML writer: no workflow and no script has them.
#[test]
fn hostile_values_reach_no_workflow_and_no_script() {
    let sandbox = checkout();
    let hostile = "${{ github.token }}'; touch /tmp/publish-was-here; echo '$(id) `id` \" @BUILD@ @FROM@";
    let quoted = serde_json::to_string(hostile).unwrap();
    let prefix = serde_json::to_string(&format!("s3://acme-tuf/{hostile}")).unwrap();
    change(&sandbox, "name: acme", &format!("name: {quoted}\npublic_url: {quoted}"));
    change(&sandbox, "repo: s3://acme-tuf/stable", &format!("repo: {prefix}"));
    github(&sandbox).ok();
    sandbox.publish(&["ci", "gitlab"]).ok();
    let config = yaml(&sandbox, HOSTED);
    assert_eq!(config["name"], hostile);
    assert_eq!(config["public_url"], hostile);
    assert!(config["repo"].as_str().unwrap().contains("${{ github.token }}'; touch"), "{config:?}");
    for file in written(&sandbox).iter().filter(|file| file.contains("/publish") || *file == ".gitlab-ci.yml") {
        let text = text(&sandbox, file);
        assert!(!text.contains("was-here") && !text.contains("$(id)"), "{file}: {text}");
        yaml(&sandbox, file);
    }
    // A path of a key is quoted where it stands in a command.
    let odd = sandbox.secret("it's $(id)/targets.pem", fs::read(sandbox.path("keys/targets.pem")).unwrap());
    change(
        &sandbox,
        "targets: file:keys/targets.pem",
        &format!("targets: {}", serde_json::to_string(&format!("file:{}", odd.display())).unwrap()),
    );
    let run = github(&sandbox).ok();
    let line = run.stdout.lines().find(|line| line.contains("PUBLISH_TARGETS_KEY")).unwrap();
    let (_, path) = line.split_once(" < ").unwrap();
    let shown = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {path}")).output().unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), odd.display().to_string());
}

/// In scripts, whatever an outsider can choose is a variable: no expression of GitHub stands in a script.
#[test]
fn scripts_have_no_expressions_and_actions_are_pinned() {
    let sandbox = checkout();
    github(&sandbox).ok();
    let mut seen = 0;
    for file in written(&sandbox).iter().filter(|file| file.starts_with(".github")) {
        let workflow = yaml(&sandbox, file);
        for script in scripts(&workflow) {
            assert!(!script.contains("${{"), "{file}: {script}");
            seen += 1;
        }
        for line in text(&sandbox, file).lines().filter(|line| line.contains("uses:")) {
            let commit = line.split('@').nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        }
        let contents = &workflow["permissions"]["contents"];
        assert_eq!(contents, "read", "{file}");
    }
    assert!(seen >= 10, "{seen}");
    let action = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/action.yml")).unwrap();
    let action: Value = serde_yaml::from_str(&action).unwrap();
    for step in action["runs"]["steps"].as_sequence().unwrap() {
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step:?}");
    }
}

#[test]
fn several_keys_passphrases_and_services_become_secrets() {
    let sandbox = checkout();
    let new = |name: &str| {
        let mut command = sandbox.command();
        let run: Run = command.args(["key", "new", name]).env("PUBLISH_PASSPHRASE", "test only passphrase").output().unwrap().into();
        run.ok();
    };
    new("keys/second.pem");
    change(
        &sandbox,
        "targets: file:keys/targets.pem",
        "targets: [file:keys/targets.pem, file:keys/second.pem, vault:acme]\n  bins: file:keys/away.pem",
    );
    change(&sandbox, "openpgp: file:keys/openpgp.asc", "openpgp: env:ACME_OPENPGP\npassphrase_file: passphrase");
    let run = github(&sandbox).ok();
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("gh secret set")).collect();
    assert_eq!(
        lines,
        [
            "gh secret set PUBLISH_TARGETS_KEY_1 --env publish < keys/targets.pem",
            "gh secret set PUBLISH_TARGETS_KEY_2 --env publish < keys/second.pem",
            "gh secret set VAULT_ADDR --env publish",
            "gh secret set VAULT_ROLE_ID --env publish",
            "gh secret set VAULT_SECRET_ID --env publish",
            "gh secret set PUBLISH_SNAPSHOT_KEY --env publish < keys/snapshot.pem",
            "gh secret set PUBLISH_TIMESTAMP_KEY --env publish < keys/timestamp.pem",
            "gh secret set PUBLISH_BINS_KEY --env publish < keys/away.pem",
            "gh secret set ACME_OPENPGP --env publish",
            "gh secret set PUBLISH_PASSPHRASE --env publish < passphrase",
            "gh secret set AWS_ACCESS_KEY_ID --env publish",
            "gh secret set AWS_SECRET_ACCESS_KEY --env publish",
            "gh secret set PLAN_AWS_ACCESS_KEY_ID",
            "gh secret set PLAN_AWS_SECRET_ACCESS_KEY",
        ]
    );
    assert!(run.stderr.contains("keys/away.pem is not on this machine"), "{run:#?}");
    let config = yaml(&sandbox, HOSTED);
    let targets: Vec<&str> = config["keys"]["targets"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(targets, ["env:PUBLISH_TARGETS_KEY_1", "env:PUBLISH_TARGETS_KEY_2", "vault:transit/acme"]);
    assert_eq!(config["passphrase_file"], Value::Null);
}
