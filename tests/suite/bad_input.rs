//! What people and CI systems get wrong: secrets, directories, versions, credentials. Each mistake has an error that names
//! it, and nothing is lost.

use crate::fakes::http::{Response, serve};
use crate::sandbox::{Run, Sandbox};
use std::fs;

/// A repository whose keys are in variables, as on a hosted runner.
fn with_keys_in_variables() -> (Sandbox, Vec<(&'static str, String)>) {
    let sandbox = Sandbox::new();
    let mut config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let mut secrets = Vec::new();
    for (file, variable) in [
        ("targets.pem", "TARGETS_KEY"),
        ("snapshot.pem", "SNAPSHOT_KEY"),
        ("timestamp.pem", "TIMESTAMP_KEY"),
        ("openpgp.asc", "OPENPGP_KEY"),
    ] {
        config = config.replace(&format!("file:keys/{file}"), &format!("env:{variable}"));
        secrets.push((variable, fs::read_to_string(sandbox.path(&format!("keys/{file}"))).unwrap()));
        fs::remove_file(sandbox.path(&format!("keys/{file}"))).unwrap();
    }
    sandbox.write("publish.yaml", config);
    (sandbox, secrets)
}

/// Releases with one of the secrets changed, or missing.
fn release_with(sandbox: &Sandbox, secrets: &[(&str, String)], variable: &str, change: impl Fn(&str) -> Option<String>) -> Run {
    let mut command = sandbox.command();
    command.args(["release", "1.0.0", "--from", "dist"]);
    for (name, secret) in secrets {
        match if *name == variable { change(secret) } else { Some(secret.clone()) } {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap().into()
}

#[test]
fn secrets_of_ci_are_checked_before_anything_is_published() {
    let (sandbox, secrets) = with_keys_in_variables();
    let hint = "CI systems pass an empty variable for a secret that is not defined";
    for (variable, change, code, words) in [
        ("TARGETS_KEY", (|_| None) as fn(&str) -> Option<String>, 7, ["the variable TARGETS_KEY is not set", "pass the secret"]),
        ("OPENPGP_KEY", |_| None, 7, ["the variable OPENPGP_KEY is not set", "pass the secret"]),
        ("TARGETS_KEY", |_| Some(String::new()), 6, ["the variable TARGETS_KEY is empty", hint]),
        ("OPENPGP_KEY", |_| Some(" \n".into()), 6, ["the variable OPENPGP_KEY is empty", hint]),
        ("OPENPGP_KEY", |key| Some(key.replace('\n', " ")), 6, ["OPENPGP_KEY has lost its line breaks", "base64 -w0 FILE"]),
        ("OPENPGP_KEY", |key| Some(key.replace('\n', "")), 6, ["OPENPGP_KEY has lost its line breaks", "base64 -w0 FILE"]),
        ("TARGETS_KEY", |_| Some("***".into()), 6, ["TARGETS_KEY is not a private key in a supported form", "PKCS#8 PEM starts with"]),
        ("TARGETS_KEY", |key| key.lines().next().map(str::to_owned), 6, ["has no end", "only its first line was pasted"]),
    ] {
        sandbox.unchanged_metadata(|| release_with(&sandbox, &secrets, variable, change).fails(code, &words));
    }
    // A PEM key of a role needs no line breaks.
    release_with(&sandbox, &secrets, "TARGETS_KEY", |key| Some(key.replace('\n', " "))).ok();
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_directory_beside_the_right_one_is_answered_with_the_right_one() {
    let sandbox = Sandbox::new();
    for (from, words) in [
        (".", ["has no directory named <os>-<arch>", "did you mean --from dist?"]),
        ("dist/linux-amd64", ["cannot be published", "write --from dist, or --platform linux-amd64=dist/linux-amd64"]),
        ("dist/linux-amd64/bin", ["cannot be published", "dist/linux-amd64 is the directory of one platform"]),
        ("nowhere", ["cannot read the build directory nowhere", "--from names the directory that holds <os>-<arch> directories"]),
        ("publish.yaml", ["cannot read the build directory publish.yaml", "--from names the directory"]),
    ] {
        let code = if from == "nowhere" { 7 } else { 6 };
        sandbox.unchanged(|| sandbox.publish(&["release", "1.0.0", "--from", from]).fails(code, &words));
    }
    let run = |directory: &str, arguments: &[&str]| -> Run {
        sandbox.command().current_dir(sandbox.path(directory)).args(arguments).output().unwrap().into()
    };
    let here = sandbox.dir.path().canonicalize().unwrap();
    let here = here.display();
    for command in [&["status"][..], &["channels"], &["release", "1.0.0", "--from", "../dist"], &["refresh"]] {
        run("repo", command)
            .fails(7, &[&format!("there is no config publish.yaml in {here}/repo"), &format!("run the command in {here},")]);
    }
    run("dist", &["release", "1.0.0", "--config", "../publish.yaml", "--from", "linux-amd64"]).fails(6, &["write --from ., or --platform"]);
    run("dist/linux-amd64", &["release", "1.0.0", "--config", "../../publish.yaml", "--from", "."]).fails(6, &["/dist/linux-amd64 is the"]);
    sandbox.publish(&["status", "--config", "."]).fails(6, &["the config . is a directory", "name the file: ./publish.yaml"]);
    let empty = Sandbox::empty();
    empty.publish(&["status"]).fails(7, &["there is no config publish.yaml in", "the publisher's directory", "publish init"]);
}

#[test]
fn mistyped_versions_are_answered_with_the_version_that_was_meant() {
    let sandbox = Sandbox::new();
    for typed in ["1,2.3", " 1.2.3", "1.2.3 ", "v1,2,3", "1.2;3"] {
        sandbox.unchanged(|| {
            sandbox.publish(&["release", typed, "--from", "dist"]).fails(6, &["is not a semantic version", "did you mean 1.2.3?"])
        });
    }
    sandbox.publish(&["release", "latest", "--from", "dist"]).fails(6, &["write it as MAJOR.MINOR.PATCH"]);
    sandbox.channels(&[("1", "stable", "1,2.3")]);
    sandbox.publish(&["channels"]).fails(6, &["trdl_channels.yaml:5: `1,2.3` is not a semantic version", "did you mean 1.2.3?"]);
}

/// Secret keys are published by no command, under whichever name they are found.
#[test]
fn secret_keys_are_not_published() {
    let sandbox = Sandbox::new();
    let refused = ["secret keys of this publisher are among the files; nothing was published", "name only the files that users need"];
    let run = sandbox.unchanged(|| sandbox.publish(&["add-targets", "keys"]).fails(6, &refused));
    for name in ["root.pem", "targets.pem", "snapshot.pem", "timestamp.pem", "openpgp.asc", "openpgp.revocation.asc"] {
        assert!(run.stderr.contains(&format!("  keys/{name}\n")), "{run:#?}");
    }
    sandbox.unchanged(|| sandbox.publish(&["add-targets", "keys/targets.pem", "--dry-run"]).fails(6, &refused));
    fs::hard_link(sandbox.path("keys/targets.pem"), sandbox.path("dist/linux-amd64/key")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(6, &[refused[0], "dist/linux-amd64/key"]));
    sandbox.publish(&["add-targets", "keys/1.root.json"]).ok();
}

#[test]
fn a_bucket_that_refuses_access_is_named_by_every_command() {
    let url = serve(|_| Some(Response::new(403).body("<Error><Code>AccessDenied</Code><Message>no</Message></Error>")));
    let sandbox = Sandbox::new();
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_REGION", "eu-central-1")];
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("repo: repo", &format!("repo: s3://bucket/x\nstore: {{endpoint: \"{url}\"}}")));
    for command in [&["release", "1.0.0", "--from", "dist"][..], &["channels"], &["refresh"], &["status"], &["verify"], &["store", "check"]]
    {
        sandbox.channels(&[("1", "stable", "1.0.0")]);
        let run: Run = sandbox.command().args(command).envs(keys).output().unwrap().into();
        run.fails(4, &["in s3://bucket/x", "403: AccessDenied: no", "the credentials lack a permission"]);
    }
}
