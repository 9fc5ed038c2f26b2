//! Repositories in object stores, through the binary, on the imitation of Google Cloud Storage. The same on real engines is
//! in `interop/stores`.

use crate::fakes::gcs::Gcs;
use crate::fakes::http::{Response, serve};
use crate::sandbox::{Run, Sandbox};
use std::collections::BTreeMap;

/// A sandbox whose repository is `gs://bucket/acme` in the imitation.
fn on(gcs: &Gcs, more: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("publish.yaml", format!("name: acme\nrepo: gs://bucket/acme\nstore:\n  endpoint: {}\n{more}", gcs.url));
    sandbox
}

fn initialised(gcs: &Gcs, more: &str) -> Sandbox {
    let sandbox = on(gcs, more);
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    gcs.requests();
    sandbox
}

/// Requests by method; those for parts of uploads count as what they are.
fn by_method(requests: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    requests.iter().for_each(|request| *counts.entry(request.split(' ').next().unwrap()).or_default() += 1);
    counts
}

#[test]
fn a_repository_in_a_bucket_is_as_good_as_one_in_a_directory() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok().says(&["release 1.0.0 is published"]);
    sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked"]);
    sandbox.publish(&["status"]).ok().says(&["gs://bucket/acme", "preview: Google Cloud Storage", "1/stable"]);
    assert!(gcs.names().iter().all(|name| name.starts_with("acme/")), "{:?}", gcs.names());
    assert!(gcs.names().contains(&"acme/targets/releases/1.0.0/linux-amd64/bin/acme".to_owned()));
    assert!(!gcs.names().iter().any(|name| name.contains("probe")), "the probe cleans up");
}

#[test]
fn a_release_costs_exactly_these_requests() {
    for files in [1, 7] {
        let gcs = Gcs::start();
        let sandbox = initialised(&gcs, "");
        (1..files).for_each(|file| drop(sandbox.write(&format!("dist/linux-amd64/share/{file}"), format!("{file}"))));
        sandbox.release("1.0.0").ok();
        let requests = gcs.requests();
        // Load: the next root (there is none), timestamp, snapshot, targets. Before the swap: the next root again. After it:
        // the marker of the plain names, and the timestamp, which may have moved.
        // Per artifact: itself and its signature, each once hashed and once plain; the certificate likewise.
        // Then two role files, the timestamp and the marker.
        assert_eq!(by_method(&requests), BTreeMap::from([("GET", 7), ("PUT", 4 * files + 2 + 4)]), "{requests:#?}");
        sandbox.release("1.0.1").ok();
        // The certificate is there already.
        let requests = gcs.requests();
        assert_eq!(by_method(&requests), BTreeMap::from([("GET", 7), ("PUT", 4 * files + 4)]), "{requests:#?}");
    }
}

#[test]
fn a_channel_change_and_a_refresh_cost_exactly_these_requests() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("1", "beta", "1.0.0")]);
    gcs.requests();
    sandbox.publish(&["channels"]).ok();
    let requests = gcs.requests();
    assert_eq!(by_method(&requests), BTreeMap::from([("GET", 7), ("PUT", 2 * 2 + 4)]), "{requests:#?}");
    sandbox.publish(&["refresh"]).ok().says(&["nothing is due"]);
    assert_eq!(
        gcs.requests(),
        [
            "GET acme/2.root.json",
            "GET acme/timestamp.json",
            "GET acme/3.snapshot.json",
            "GET acme/3.targets.json",
            // For the plan, and again right before anything might be written.
            "GET acme/plain.json",
            "GET acme/plain.json"
        ]
    );
    sandbox.publish(&["release", "2.0.0", "--from", "dist", "--dry-run"]).ok();
    assert_eq!(gcs.requests().len(), 4, "a dry run only loads");
}

#[test]
fn a_copy_that_the_store_carries_out_late_is_undone_by_the_next_run() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        sandbox.release(version).ok();
    }
    let binary = "acme/targets/releases/1.0.1/linux-amd64/bin/acme";
    let content = gcs.get(binary).unwrap();
    for version in ["1.0.0", "1.0.2"] {
        sandbox.channels(&[("1", "stable", version)]);
        sandbox.publish(&["channels"]).ok();
    }
    sandbox.publish(&["yank", "1.0.1", "--confirm", "1.0.1"]).ok();
    // The client had given the first request up, and the store served it all the same.
    let late = || {
        gcs.put("acme/targets/channels/1/stable", b"1.0.0\n");
        gcs.put(binary, &content);
    };
    for command in [&["refresh"][..], &["channels"], &["release", "1.0.3", "--from", "dist"]] {
        late();
        sandbox.publish(&["status"]).fails(11, &[]).says(&[
            "plain name of channels/1/stable",
            "releases/1.0.1/linux-amd64/bin/acme",
            "publish refresh",
        ]);
        sandbox.publish(&["verify"]).fails(9, &[]).says(&["a write arrived late", "is not published any more", "publish refresh"]);
        sandbox.publish(command).ok();
        assert_eq!(gcs.get("acme/targets/channels/1/stable").unwrap(), b"1.0.2\n", "{command:?}");
        assert_eq!(gcs.get(binary), None, "{command:?}: a withdrawn file is gone");
        sandbox.publish(&["verify"]).ok();
        assert!(!sandbox.publish(&["status"]).ok().stdout.contains("plain name"));
    }
}

#[test]
fn a_store_is_tested_once_and_the_result_recorded() {
    let gcs = Gcs::start();
    let sandbox = on(&gcs, "");
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    assert!(gcs.requests().iter().any(|request| request.contains("probe/")));
    sandbox.release("1.0.0").ok();
    assert!(!gcs.requests().iter().any(|request| request.contains("probe/")));
    // A machine without the state file tries again; the config can state it permanently.
    std::fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    sandbox.release("1.0.1").ok();
    assert!(gcs.requests().iter().any(|request| request.contains("probe/")));
    std::fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap() + "  conditions: enforced\n";
    sandbox.write("publish.yaml", config);
    sandbox.release("1.0.2").ok();
    assert!(!gcs.requests().iter().any(|request| request.contains("probe/")));
}

#[test]
fn a_store_that_ignores_conditions_needs_the_operators_statement() {
    let gcs = Gcs::ignoring_conditions();
    let sandbox = on(&gcs, "");
    sandbox.publish(&["init", "--no-passphrase"]).fails(6, &["ignores the conditions", "single_publisher: true"]);
    assert!(gcs.names().is_empty(), "{:?}", gcs.names());
    assert!(!sandbox.path("keys").exists(), "refused before anything is written");
    let check = sandbox.publish(&["store", "check"]);
    assert_eq!(check.code, 6);
    check.says(&["FAILED   conditions: ignored", "conditions: ignored", "is not suitable for a repository"]);
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}single_publisher: true\n"));
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["status"]).ok().says(&["the config states that there is no other publisher; nothing enforces it"]);
    sandbox.publish(&["verify"]).ok();
    // The statement is needed for every change.
    sandbox.write("publish.yaml", config);
    let before = gcs.names();
    for command in [
        &["release", "1.0.1", "--from", "dist"][..],
        &["refresh"],
        &["yank", "1.0.0", "--confirm", "1.0.0"],
        &["prune", "--confirm", "acme"],
    ] {
        sandbox.publish(command).fails(6, &["ignores the conditions"]);
    }
    assert_eq!(gcs.names(), before);
}

#[test]
fn a_lone_publisher_on_such_a_store_still_overwrites_nothing_of_its_own() {
    let gcs = Gcs::ignoring_conditions();
    let sandbox = initialised(&gcs, "single_publisher: true\n");
    // The orphan of a killed run.
    gcs.put("acme/2.targets.json", b"orphan");
    gcs.age(std::time::Duration::from_secs(60));
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["status"]).ok().says(&["targets    3 "]);
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn store_check_reports_what_the_store_does() {
    let gcs = Gcs::start();
    let sandbox = on(&gcs, &format!("public_url: {}/bucket/acme\n", gcs.url));
    let told = sandbox.publish(&["store", "check"]).ok();
    told.says(&[
        "ok       conditions:",
        "ok       race:",
        "ok       headers:",
        "ok       clients: missing root: 404",
        "conditions: enforced",
        "raw_plus: works",
    ]);
    assert!(gcs.names().is_empty(), "{:?}", gcs.names());
    let report = sandbox.publish(&["store", "check", "--json"]).ok().json();
    assert_eq!((report["good"].clone(), report["command"].clone()), (true.into(), "store check".into()));
}

#[test]
fn names_with_plus_are_refused_where_they_cannot_be_fetched() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    sandbox.release("1.0.0+fix1").ok();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap() + "  raw_plus: broken\n";
    sandbox.write("publish.yaml", config);
    sandbox.release("1.0.1+fix1").fails(6, &["has a `+`", "store check"]);
    sandbox.write("dist/linux-amd64/lib/libc++.so", b"x");
    sandbox.release("1.0.1").fails(6, &["libc++.so", "rename the file"]);
}

#[test]
fn nothing_configured_is_an_error_that_names_what_to_set() {
    let sandbox = Sandbox::empty();
    let init = |repo: &str, more: &[(&str, &str)]| -> Run {
        let arguments = ["init", "--no-passphrase", "--repo", repo];
        sandbox.command().args(arguments).env("HOME", sandbox.dir.path()).envs(more.iter().copied()).output().unwrap().into()
    };
    init("s3://bucket/x", &[]).fails(4, &["no credentials for S3", "AWS_ACCESS_KEY_ID", "instance_metadata: true"]);
    init("gs://bucket/x", &[]).fails(4, &["no credentials for Google", "GOOGLE_APPLICATION_CREDENTIALS"]);
    init("az://box/x", &[]).fails(4, &["no account for Azure", "AZURE_STORAGE_ACCOUNT_NAME"]);
    init("az://box/x", &[("AZURE_STORAGE_ACCOUNT_NAME", "a")]).fails(4, &["no credentials for Azure", "AZURE_STORAGE_ACCOUNT_KEY"]);
    let secret = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hidden-secret")];
    let run = init("s3://bucket/x", &secret).fails(6, &["region", "AWS_REGION"]);
    assert!(!run.stderr.contains("hidden-secret"));
    assert!(!sandbox.path("publish.yaml").exists() && !sandbox.path("keys").exists());
}

#[test]
fn a_missing_bucket_is_reported() {
    let gcs = Gcs::start();
    let sandbox = on(&gcs, "");
    sandbox.publish(&["init", "--no-passphrase", "--repo", "gs://other/x"]).fails(7, &["there is no such bucket"]);
}

#[test]
fn a_large_artifact_is_resumed_by_its_digest() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    let content = vec![7; 20 << 20];
    sandbox.write("dist/linux-amd64/big", &content);
    let parts = |requests: &[String]| requests.iter().filter(|request| request.contains("uploadId") && request.starts_with("PUT")).count();
    let staged = format!("acme/targets/releases/1.0.0/linux-amd64/{}.big", hex::encode(openssl::sha::sha256(&content)));
    // As a run leaves it that dies before its commit.
    gcs.put(&staged, &content);
    sandbox.release("1.0.0").ok();
    assert_eq!(parts(&gcs.requests()), 0);
    sandbox.publish(&["verify"]).ok();
    // What is older may be about to be pruned: sent again, which renews its date.
    gcs.put(&staged.replace("1.0.0", "1.0.1"), &content);
    gcs.age(std::time::Duration::from_secs(13 * 3600));
    sandbox.release("1.0.1").ok();
    assert_eq!(parts(&gcs.requests()), 3);
    // Another length is no match.
    gcs.put(&staged.replace("1.0.0", "1.0.2"), b"half");
    sandbox.release("1.0.2").ok();
    assert_eq!(parts(&gcs.requests()), 3);
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn an_artifact_that_the_store_cannot_copy_is_refused_before_anything_is_sent() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    let huge = sandbox.write("dist/linux-amd64/huge", b"");
    std::fs::File::options().write(true).open(huge).unwrap().set_len((5 << 30) + 1).unwrap();
    sandbox.release("1.0.0").fails(6, &["dist/linux-amd64/huge has 5368709121 bytes", "plain_names: none"]);
    assert!(gcs.requests().iter().all(|request| request.starts_with("GET ")));
}

#[test]
fn a_store_that_reads_plus_as_a_space_is_found() {
    let gcs = Gcs::start();
    // What clients get: everything but names with a raw plus.
    let readers = serve(|request| Some(Response::new(if request.target.contains('+') { 404 } else { 200 })));
    let missing = serve(|_| Some(Response::new(404)));
    let sandbox = initialised(&gcs, &format!("public_url: {missing}\n"));
    sandbox.release("1.0.0+fix1").ok();
    sandbox.publish(&["store", "check"]).ok().says(&["warning  clients: + in names", "raw_plus: broken"]);
    // Remembered from then on.
    sandbox.unchanged(|| sandbox.release("1.0.1+fix1").fails(6, &["has a `+`", "reads a raw + as a space"]));
    sandbox.release("1.0.1").ok();
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace(&missing, &readers));
    let check = sandbox.publish(&["store", "check"]);
    assert_eq!(check.code, 6);
    check.says(&["FAILED   clients: missing root: 200 instead of 404"]);
}

#[test]
fn errors_of_a_store_are_reported_without_its_secrets() {
    let answers = [
        (403, "SignatureDoesNotMatch", 4, "AWS_SECRET_ACCESS_KEY"),
        (403, "ExpiredToken", 4, "have expired"),
        (403, "RequestTimeTooSkewed", 4, "clock is wrong"),
        (403, "AccessDenied", 4, "lack a permission"),
        (400, "AuthorizationHeaderMalformed", 6, "another region"),
        (301, "without LOCATION", 6, "another region"),
        (404, "NoSuchBucket", 7, "no such bucket"),
    ];
    for (status, code, exit, words) in answers {
        let body = format!("<Error><Code>{code}</Code><Message>no</Message><StringToSign>AWS4-hidden</StringToSign></Error>");
        let url = serve(move |_| Some(Response::new(status).body(body.clone())));
        let sandbox = Sandbox::empty();
        sandbox.write("publish.yaml", format!("repo: s3://bucket/x\nstore: {{endpoint: \"{url}\", conditions: enforced}}\n"));
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hidden-secret")];
        let run: Run = sandbox.command().args(["init", "--no-passphrase"]).envs(keys).output().unwrap().into();
        let run = run.fails(exit, &[code, words]);
        assert!(!run.stderr.contains("hidden"), "{run:#?}");
        assert!(!sandbox.path("keys").exists(), "refused before anything was made");
    }
}

#[test]
fn a_store_that_refuses_every_condition_is_not_taken_for_a_rival() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    gcs.refuse("acme/timestamp.json");
    let began = std::time::Instant::now();
    let run = sandbox
        .release("1.0.0")
        .fails(13, &["refuses to replace timestamp.json although it has not changed", "no other publisher causes this"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(20) && !run.stderr.contains("faster"), "{run:#?}");
    let swaps = gcs.requests().iter().filter(|request| *request == "PUT acme/timestamp.json").count();
    assert_eq!(swaps, 4);
}

/// Another machine with the same config and keys, and no files besides.
fn fresh_machine(of: &Sandbox) -> Sandbox {
    let machine = Sandbox::empty();
    for (name, bytes) in crate::sandbox::files(&of.path("keys")) {
        machine.secret(&format!("keys/{name}"), bytes);
    }
    machine.write("publish.yaml", std::fs::read(of.path("publish.yaml")).unwrap());
    machine
}

fn with_shared_state(gcs: &Gcs, more: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    let config = format!("name: acme\nrepo: gs://bucket/acme\nstate: gs://bucket/private\nstore:\n  endpoint: {}\n{more}", gcs.url);
    sandbox.write("publish.yaml", config);
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    sandbox
}

const STATE: &str = "private/publish-state.json";

/// Whether it warns of anything but a build that has not changed.
fn warns(run: &Run) -> bool {
    run.stderr.lines().any(|line| line.contains("warning") && !line.contains("identical to release"))
}

/// What one machine has published, every other one knows, however new it is.
#[test]
fn machines_share_their_memory_in_a_bucket() {
    let gcs = Gcs::start();
    let sandbox = with_shared_state(&gcs, "");
    assert!(!sandbox.path(".publish-state.json").exists());
    let run = sandbox.release("1.0.0").ok();
    assert!(!warns(&run), "{run:#?}");
    let before: Vec<(String, Vec<u8>)> =
        gcs.names().into_iter().filter(|name| name.starts_with("acme/")).map(|name| (name.clone(), gcs.get(&name).unwrap())).collect();
    let other = fresh_machine(&sandbox);
    gcs.requests();
    let run = other.release("1.0.1").ok();
    assert!(!warns(&run), "{run:#?}");
    let requests: Vec<String> = gcs.requests().into_iter().filter(|request| request.contains("private/")).collect();
    assert_eq!(requests, [format!("GET {STATE}"), format!("GET {STATE}"), format!("PUT {STATE}")]);
    // An attacker with the store's credentials puts back what was published before.
    before.iter().for_each(|(name, bytes)| gcs.put(name, bytes));
    let seen = format!("the repository at gs://bucket/acme is in an older state than this publisher has seen (gs://bucket/{STATE})");
    for machine in [&sandbox, &other, &fresh_machine(&sandbox)] {
        machine.release("1.0.2").fails(9, &[&seen]);
        machine.publish(&["refresh", "--all"]).fails(9, &[&seen]);
        assert!(!machine.path(".publish-state.json").exists());
    }
    fresh_machine(&sandbox).publish(&["refresh", "--accept-rollback"]).ok().says(&["targets 4"]);
    other.release("1.0.1").ok();
}

#[test]
fn machines_that_publish_at_the_same_time_share_one_state() {
    let gcs = Gcs::start();
    let sandbox = with_shared_state(&gcs, &format!("public_url: {}/bucket/acme\n", gcs.url));
    let other = fresh_machine(&sandbox);
    for round in 0..3 {
        let start = |machine: &Sandbox, version: String| {
            let mut command = machine.command();
            let arguments = ["release".to_owned(), version, "--from".into(), "dist".into()];
            command.args(arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let both = [start(&sandbox, format!("1.{round}.0")), start(&other, format!("1.{round}.1"))];
        for child in both {
            let run = Run::from(child.wait_with_output().unwrap()).ok();
            assert!(!warns(&run), "{run:#?}");
        }
        let state: serde_json::Value = serde_json::from_slice(&gcs.get(STATE).unwrap()).unwrap();
        let published: serde_json::Value = serde_json::from_slice(&gcs.get("acme/timestamp.json").unwrap()).unwrap();
        assert_eq!(state["repositories"].as_array().unwrap().len(), 1, "{state:#}");
        assert_eq!(state["repositories"][0]["versions"]["timestamp"], published["signed"]["version"]);
    }
}

#[test]
fn a_shared_state_that_cannot_be_used_stops_no_command() {
    let gcs = Gcs::start();
    let sandbox = with_shared_state(&gcs, "");
    sandbox.release("1.0.0").ok();
    let doctor = || sandbox.publish(&["doctor"]).stdout;
    assert!(doctor().contains("gs://bucket/private/publish-state.json remembers timestamp 2"), "{}", doctor());
    // What this version does not read may be a newer version's: it is not overwritten.
    gcs.put(STATE, b"{\"schema\": 9}");
    assert!(doctor().contains("publish-state.json cannot be read as a state document"), "{}", doctor());
    let run = sandbox.release("1.0.1").ok();
    assert!(run.stderr.contains("publish-state.json cannot be read") && run.stderr.contains("would not be detected"), "{run:#?}");
    assert!(run.stderr.contains("holds no state that this version of publish reads"), "{run:#?}");
    assert_eq!(gcs.get(STATE).unwrap(), b"{\"schema\": 9}");
    gcs.put(STATE, br#"{"schema": 2, "repositories": []}"#);
    gcs.refuse(STATE);
    let run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(run.stderr.contains("publish-state.json was not written: other publishers changed"), "{run:#?}");
    sandbox.publish(&["verify"]).ok();
}

/// Clients read what is in the repository, and prune deletes what is not of it.
#[test]
fn a_state_in_the_repository_is_refused() {
    let gcs = Gcs::start();
    let sandbox = initialised(&gcs, "");
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    for (state, why) in [
        ("gs://bucket/acme", "which is also the repository"),
        ("gs://bucket/acme/state", "which is inside the repository"),
        ("gs://bucket", "which is above the repository"),
    ] {
        sandbox.write("publish.yaml", format!("state: {state}\n{config}"));
        for command in [&["status"][..], &["release", "1.0.0", "--from", "dist"]] {
            sandbox.publish(command).fails(6, &[&format!("`state` in the config is {state}, {why}"), "clients cannot read"]);
        }
    }
    sandbox.write("publish.yaml", format!("state: gs://bucket/acme-state\n{config}"));
    sandbox.release("1.0.0").ok();
    assert!(gcs.names().contains(&"acme-state/publish-state.json".to_owned()));
    sandbox.write("publish.yaml", format!("state: http://example.org/state\n{config}"));
    sandbox.publish(&["status"]).fails(6, &["`state` in the config: "]);
    let local = Sandbox::new();
    let config = std::fs::read_to_string(local.path("publish.yaml")).unwrap();
    local.write("publish.yaml", format!("state: repo/state.json\n{config}"));
    local.publish(&["status"]).fails(6, &["`state` in the config is repo/state.json, which is inside the repository"]);
}
