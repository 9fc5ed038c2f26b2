use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn init_prints_the_line_that_users_run() {
    let sandbox = Sandbox::empty();
    let run = sandbox.publish(&["init", "--name", "acme", "--public-url", "https://tuf.example.org/", "--no-passphrase"]).ok();
    let root = fs::read(sandbox.path("repo/1.root.json")).unwrap();
    let sha512 = hex::encode(openssl::sha::sha512(&root));
    run.says(&[&format!("trdl add acme https://tuf.example.org 1 {sha512}"), "https://tuf.example.org/targets/openpgp/"]);
    assert_eq!(root, fs::read(sandbox.path("keys/1.root.json")).unwrap());
    assert_eq!(root, fs::read(sandbox.path("repo/root.json")).unwrap());
    for key in ["root.pem", "targets.pem", "snapshot.pem", "timestamp.pem", "openpgp.asc", "openpgp.revocation.asc"] {
        assert_eq!(fs::metadata(sandbox.path("keys").join(key)).unwrap().permissions().mode() & 0o7777, 0o600, "{key}");
    }
    sandbox.publish(&["verify"]).ok().says(&["good: 0 errors"]);
}

#[test]
fn init_run_again_changes_nothing() {
    let sandbox = Sandbox::new();
    let keys = crate::sandbox::files(&sandbox.path("keys"));
    sandbox.unchanged(|| sandbox.publish(&["init"]).ok().says(&["is ready already", "trdl add acme"]));
    assert!(keys == crate::sandbox::files(&sandbox.path("keys")));
}

/// What a kill leaves is some first part of the files, in the order in which they are made.
#[test]
fn a_killed_one_resumes_with_the_same_keys() {
    let order = [
        "publish.yaml",
        "keys/root.pem",
        "keys/targets.pem",
        "keys/snapshot.pem",
        "keys/timestamp.pem",
        "keys/openpgp.revocation.asc",
        "keys/openpgp.asc",
        "keys/1.root.json",
        "repo/1.root.json",
        "repo/1.targets.json",
        "repo/1.snapshot.json",
        "repo/timestamp.json",
        "repo/root.json",
        "repo/plain.json",
        ".publish-state.json",
    ];
    for kept in 0..order.len() {
        let sandbox = Sandbox::new();
        let state = begun(&sandbox);
        order[kept..].iter().for_each(|file| fs::remove_file(sandbox.path(file)).unwrap());
        // Before the root is pinned, it is noted as begun.
        if kept + 1 < order.len() && sandbox.path("keys/1.root.json").exists() {
            sandbox.write(".publish-state.json", state);
        }
        let before = crate::sandbox::files(sandbox.dir.path());
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
        let after = crate::sandbox::files(sandbox.dir.path());
        for file in &order[..kept] {
            assert!(before[*file] == after[*file], "{file} changed after a kill that left {kept} files");
        }
        sandbox.release("1.0.0").ok();
        sandbox.publish(&["verify"]).ok();
    }
}

/// The state file as it is before the first timestamp.
fn begun(sandbox: &Sandbox) -> Vec<u8> {
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(sandbox.path(".publish-state.json")).unwrap()).unwrap();
    state["repositories"][0]["versions"] = serde_json::json!({"root": 1, "targets": 0, "snapshot": 0, "timestamp": 0});
    serde_json::to_vec(&state).unwrap()
}

/// What one that fails has noted, the next one finds.
#[test]
fn a_failed_one_resumes_with_the_same_keys() {
    for obstacle in ["1.root.json", "1.targets.json", "1.snapshot.json"] {
        for consistent in ["true", "false"] {
            let sandbox = Sandbox::empty();
            sandbox.write(&format!("repo/{obstacle}/in/the/way"), "");
            let init = ["init", "--name", "acme", "--no-passphrase", "--consistent-snapshot", consistent];
            assert_ne!(sandbox.publish(&init).code, 0);
            let keys = crate::sandbox::files(&sandbox.path("keys"));
            assert!(keys.contains_key("1.root.json") && !sandbox.path("repo/timestamp.json").exists());
            fs::remove_dir_all(sandbox.path("repo").join(obstacle)).unwrap();
            sandbox.publish(&init).ok();
            assert!(keys == crate::sandbox::files(&sandbox.path("keys")));
            sandbox.publish(&["verify"]).ok();
        }
    }
}

/// Nothing may be made and nothing be written.
fn refuses(sandbox: &Sandbox, arguments: &[&str], code: i32, words: &[&str]) {
    let before = crate::sandbox::files(sandbox.dir.path());
    for dry_run in [&["--dry-run"][..], &[]] {
        sandbox.publish(&[&["init", "--name", "acme", "--no-passphrase"], arguments, dry_run].concat()).fails(code, words);
        assert!(before == crate::sandbox::files(sandbox.dir.path()), "something was written");
    }
}

const LOST: &str = "docs/recovery.md#the-published-timestamp-is-missing";

/// Version 1 of everything again would be a rollback for clients, without the releases.
#[test]
fn init_does_not_restart_a_published_repository() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.1.0").ok();
    let state = begun(&sandbox);
    fs::remove_file(sandbox.path("repo/timestamp.json")).unwrap();
    for command in [&["status"][..], &["refresh"], &["release", "2.0.0", "--from", "dist"]] {
        sandbox.publish(command).fails(10, &["no timestamp.json", LOST]);
    }
    let verify = sandbox.publish(&["verify"]);
    assert_eq!(verify.code, 9);
    assert!(verify.stdout.contains("timestamp.json is missing") && verify.stdout.contains(LOST), "{verify:#?}");
    refuses(&sandbox, &[], 7, &["timestamp.json is missing", "3.snapshot.json", "remembers timestamp 3", LOST]);
    // Each other piece of evidence is enough.
    let config = fs::read(sandbox.path("publish.yaml")).unwrap();
    for lost in [".publish-state.json", "keys/1.root.json", "publish.yaml"] {
        fs::remove_file(sandbox.path(lost)).unwrap();
        let (code, words) = if lost == "publish.yaml" { (5, "not the one of this config") } else { (7, LOST) };
        refuses(&sandbox, &[], code, &[words]);
    }
    sandbox.write("publish.yaml", config);
    fs::copy(sandbox.path("repo/1.root.json"), sandbox.path("keys/1.root.json")).unwrap();
    sandbox.write(".publish-state.json", state);
    refuses(&sandbox, &[], 7, &["3.snapshot.json", LOST]);
}

/// The steps of docs/recovery.md for that, with the timestamp of an older state.
#[test]
fn an_older_timestamp_brings_a_repository_back() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let older = fs::read(sandbox.path("repo/timestamp.json")).unwrap();
    sandbox.release("1.1.0").ok();
    fs::remove_file(sandbox.path("repo/timestamp.json")).unwrap();
    sandbox.write("repo/timestamp.json", older);
    sandbox.publish(&["verify"]).ok();
    sandbox.publish(&["refresh"]).fails(9, &["older state", "--accept-rollback"]);
    sandbox.publish(&["refresh", "--all", "--accept-rollback"]).ok().says(&["timestamp 4"]);
    sandbox.release("1.1.0").ok();
    sandbox.publish(&["verify"]).ok().says(&["timestamp 5"]);
}

#[test]
fn init_does_not_restart_a_damaged_repository() {
    for left in ["targets", "1.root.json", "2.snapshot.json", "2.targets.json", "1.targets.json", "root.json", "plain.json"] {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        fs::rename(sandbox.path("repo"), sandbox.path("whole")).unwrap();
        fs::create_dir(sandbox.path("repo")).unwrap();
        fs::rename(sandbox.path("whole").join(left), sandbox.path("repo").join(left)).unwrap();
        refuses(&sandbox, &[], 7, &["timestamp.json is missing", left, LOST]);
        fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
        refuses(&sandbox, &[], 7, &["timestamp.json is missing", left, LOST]);
        fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
        refuses(&sandbox, &[], 7, &["timestamp.json is missing", left, LOST]);
    }
    // Only a second root: the first one was complete.
    let sandbox = Sandbox::new();
    sandbox.write(".publish-state.json", begun(&sandbox));
    fs::remove_file(sandbox.path("repo/timestamp.json")).unwrap();
    fs::remove_file(sandbox.path("repo/root.json")).unwrap();
    fs::remove_file(sandbox.path("repo/plain.json")).unwrap();
    fs::copy(sandbox.path("repo/1.root.json"), sandbox.path("repo/2.root.json")).unwrap();
    refuses(&sandbox, &[], 7, &["2.root.json", LOST]);
    fs::remove_file(sandbox.path("repo/2.root.json")).unwrap();
    sandbox.publish(&["init"]).ok();
}

#[test]
fn init_refuses_a_place_with_a_role_of_another_repository() {
    for file in ["5.root.json", "snapshot.json", "3.targets.json", "1.snapshot.json", "1.timestamp.json", "root.json", "targets/hello"] {
        let sandbox = Sandbox::empty();
        sandbox.write(&format!("repo/{file}"), "{}");
        refuses(&sandbox, &[], 5, &["there is already a repository", file]);
        // Where a person wrote the config.
        sandbox.write("publish.yaml", "name: acme\n");
        refuses(&sandbox, &[], 7, &["there is already a repository", "nothing was made"]);
    }
    let sandbox = Sandbox::empty();
    sandbox.write("repo/index.html", "not a repository's");
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
}

#[test]
fn init_refuses_a_place_with_another_repository() {
    let other = Sandbox::new();
    let sandbox = Sandbox::empty();
    let repo = other.path("repo");
    other.unchanged(|| {
        sandbox
            .publish(&["init", "--name", "acme", "--no-passphrase", "--repo", repo.to_str().unwrap()])
            .fails(5, &["there is already a repository", "--repo"])
    });
    assert!(!sandbox.path("publish.yaml").exists() && !sandbox.path("keys").exists(), "refused before anything was made");
}

#[test]
fn a_dry_run_makes_nothing() {
    let sandbox = Sandbox::empty();
    let before = crate::sandbox::files(sandbox.dir.path());
    sandbox.publish(&["init", "--no-passphrase", "--dry-run", "--name", "acme"]).ok().says(&[
        "+ publish.yaml",
        "+ keys/root.pem",
        "Nothing was written",
    ]);
    assert!(before == crate::sandbox::files(sandbox.dir.path()));
}

#[test]
fn refuses_names_and_urls_that_trdl_cannot_use() {
    for (arguments, words) in [
        (["--name", "trdl"], "cannot be used with `trdl add`"),
        (["--name", "a b"], "cannot be used with `trdl add`"),
        (["--public-url", "s3://bucket"], "is not http(s)"),
    ] {
        let sandbox = Sandbox::empty();
        sandbox.publish(&[&["init", "--no-passphrase"], arguments.as_slice()].concat()).fails(6, &[words]);
        assert!(!sandbox.path("publish.yaml").exists());
    }
}

#[test]
fn makes_rsa_keys_on_request() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-algorithm", "rsa4096"]).ok();
    sandbox.release("1.0.0").ok();
    // An RSA-4096 signature alone is 512 bytes; an Ed25519 one 64.
    assert!(fs::metadata(sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap().len() > 512);
    sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked"]);
}

#[test]
fn consistent_snapshots_can_be_off() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--consistent-snapshot", "false"]).ok();
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["status"]).ok().says(&["consistent snapshots are off: only one publisher can work"]);
    sandbox.publish(&["verify"]).ok();
    let repository = sandbox.repository();
    assert!(repository.contains_key("targets/releases/1.0.0/linux-amd64/bin/acme") && repository.contains_key("targets.json"));
    assert!(!repository.keys().any(|name| name.contains(".acme")), "no hashed names");
}

const KEYS: [&str; 5] = ["keys/root.pem", "keys/targets.pem", "keys/snapshot.pem", "keys/timestamp.pem", "keys/openpgp.asc"];

/// A key that is made now would be one that no root knows, and a lost key would look as if it were there.
#[test]
fn makes_no_key_for_a_repository_that_exists() {
    let mut cases: Vec<Vec<&str>> = KEYS.iter().map(|key| vec![*key]).collect();
    cases.push(KEYS.to_vec());
    cases.push([&KEYS[..], &["keys/openpgp.revocation.asc"]].concat());
    cases.push([&KEYS[..], &["keys/openpgp.revocation.asc", "keys/1.root.json", ".publish-state.json"]].concat());
    cases.push(vec!["keys/targets.pem", "publish.yaml"]);
    cases.push(vec!["keys/root.pem", "keys/1.root.json"]);
    cases.push(vec!["keys/targets.pem", "repo/timestamp.json"]);
    cases.push(vec!["keys/targets.pem", "repo/1.root.json"]);
    cases.push(vec!["keys/targets.pem", "repo/1.root.json", "repo/root.json", "repo/timestamp.json"]);
    for missing in cases {
        let sandbox = Sandbox::new();
        missing.iter().for_each(|file| fs::remove_file(sandbox.path(file)).unwrap());
        let before = crate::sandbox::files(sandbox.dir.path());
        for dry_run in [&["--dry-run"][..], &[]] {
            let init = [&["init", "--name", "acme", "--no-passphrase"], dry_run].concat();
            let run = sandbox.publish(&init).fails(7, &["nothing was made", "backup", "docs/recovery.md#"]);
            missing.iter().filter(|file| KEYS.contains(file)).for_each(|file| {
                assert!(run.stderr.contains(&format!("missing: {file}")), "{file} is not in {run:#?}");
            });
            assert!(before == crate::sandbox::files(sandbox.dir.path()), "{missing:?}");
        }
    }
}

/// What a second repository of the same config must not be: one that begins again below what clients have seen.
#[test]
fn init_makes_no_second_repository_where_the_first_is_missing() {
    let sandbox = Sandbox::new();
    fs::rename(sandbox.path("repo"), sandbox.path("moved")).unwrap();
    let before = crate::sandbox::files(sandbox.dir.path());
    sandbox.publish(&["init", "--no-passphrase"]).fails(7, &["the repository at repo is missing", "backup"]);
    assert!(before == crate::sandbox::files(sandbox.dir.path()));
    // A later root, as `adopt --root` pins it, begins no repository.
    let sandbox = Sandbox::new();
    sandbox.publish(&["rotate", "snapshot", "--no-passphrase", "--now"]).ok();
    fs::copy(sandbox.path("repo/3.root.json"), sandbox.path("keys/1.root.json")).unwrap();
    sandbox.publish(&["init"]).ok().says(&["is ready already"]);
    fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    fs::rename(sandbox.path("repo"), sandbox.path("moved")).unwrap();
    sandbox.publish(&["init", "--no-passphrase"]).fails(7, &["the repository at repo is missing", "not a first root"]);
    assert!(!sandbox.path("repo/1.root.json").exists());
}

/// Each of two repositories with one root accepts the metadata of the other.
#[test]
fn makes_no_second_repository_with_the_same_root() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    refuses(&sandbox, &["--repo", "repoo"], 5, &["there is no repository at repoo", "--repo"]);
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("repo: repo", "repo: repoo"));
    refuses(&sandbox, &[], 5, &["there is no repository at repoo", "is at another place", "/repo", "correct `repo`"]);
    fs::remove_file(sandbox.path("publish.yaml")).unwrap();
    refuses(&sandbox, &["--repo", "repoo"], 5, &["there is no repository at repoo", "is at another place"]);
    fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    refuses(
        &sandbox,
        &["--repo", "repoo"],
        7,
        &["keys/1.root.json is the root of a repository", "there is no repository at repoo", "--repo"],
    );
    sandbox.write("publish.yaml", &config);
    fs::rename(sandbox.path("repo"), sandbox.path("moved")).unwrap();
    refuses(
        &sandbox,
        &[],
        7,
        &["keys/1.root.json is the root of a repository", "there is no repository at repo", LOST, "move keys/1.root.json away"],
    );
    // A copy is the same repository.
    fs::rename(sandbox.path("moved"), sandbox.path("repoo")).unwrap();
    sandbox.publish(&["init", "--no-passphrase", "--repo", "repoo"]).ok().says(&["is ready already"]);
}

/// Where this publisher's memory is all that is left, no other repository takes the place of the one that is gone.
#[test]
fn makes_no_other_repository_where_one_is_remembered() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    fs::remove_dir_all(sandbox.path("keys")).unwrap();
    refuses(&sandbox, &[], 7, &["the repository at repo is missing", "remembers timestamp 1"]);
    fs::remove_file(sandbox.path("publish.yaml")).unwrap();
    refuses(&sandbox, &[], 7, &["the repository at repo is missing", "on purpose, delete .publish-state.json"]);
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--repo", "another"]).ok();
}

#[test]
fn the_backup_comes_first_where_the_pinned_root_is_missing() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
    for command in [&["status"][..], &["refresh"], &["release", "1.0.0", "--from", "dist"], &["verify"]] {
        let run = sandbox.publish(command).fails(7, &["read the pinned root", "keys/1.root.json"]);
        let (backup, init) = (run.stderr.find("backup"), run.stderr.find("publish init"));
        assert!(backup.is_some() && init.is_some() && backup < init, "{command:?}: {run:#?}");
    }
}

/// The pinned root is found again only where it can be no one else's: this machine has every key that may sign roots.
#[test]
fn pins_a_published_root_only_with_all_its_root_keys() {
    let sandbox = Sandbox::new();
    let pinned = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
    sandbox.publish(&["init"]).ok();
    assert!(pinned == fs::read(sandbox.path("keys/1.root.json")).unwrap());
    // An attacker's root names our online keys, and the root key is kept elsewhere.
    let attacker = Sandbox::empty();
    for key in ["targets", "snapshot", "timestamp"] {
        attacker.write(&format!("keys/{key}.pem"), fs::read(sandbox.path(&format!("keys/{key}.pem"))).unwrap());
        fs::set_permissions(attacker.path(&format!("keys/{key}.pem")), fs::Permissions::from_mode(0o600)).unwrap();
    }
    attacker.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap().replace("root: file:keys/root.pem", "root: []");
    sandbox.write("publish.yaml", config);
    fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    fs::rename(attacker.path("repo"), sandbox.path("repo")).unwrap();
    sandbox.publish(&["init"]).fails(5, &["not the one of this config"]);
    assert!(!sandbox.path("keys/1.root.json").exists());
}

#[test]
fn revocation_certificates_are_never_replaced() {
    // Of a key that is in use elsewhere.
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("keys")).unwrap();
    let only = sandbox.write("keys/openpgp.revocation.asc", "the only one");
    let run = sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
    assert_eq!(fs::read_to_string(&only).unwrap(), "the only one");
    let fingerprint =
        sandbox.publish(&["key", "export", "keys/openpgp.asc", "--form", "openpgp", "--json"]).ok().json()["fingerprint"].clone();
    let made = format!("keys/openpgp.{}.revocation.asc", fingerprint.as_str().unwrap());
    run.says(&[&made]);
    assert!(fs::read_to_string(sandbox.path(&made)).unwrap().starts_with("-----BEGIN PGP"));
    // The same in a rotation.
    let next = sandbox.write("keys/openpgp-2.revocation.asc", "the only one of the next");
    sandbox.publish(&["rotate", "openpgp", "--no-passphrase"]).ok();
    assert_eq!(fs::read_to_string(next).unwrap(), "the only one of the next");
}

/// Every place of the documentation that a message names is there.
#[test]
fn messages_name_sections_that_exist() {
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for entry in walkdir::WalkDir::new(project.join("src")).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let text = fs::read_to_string(entry.path()).unwrap();
        for rest in text.split("docs/").skip(1) {
            let place: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.#/".contains(*c)).collect();
            let Some((file, anchor)) = place.split_once('#') else { continue };
            let page = fs::read_to_string(project.join("docs").join(file)).unwrap_or_else(|_| panic!("docs/{file} is named in {entry:?}"));
            let heading = |line: &str| -> String {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
            };
            assert!(page.lines().any(|line| line.starts_with('#') && heading(line) == anchor), "docs/{place}, named in {entry:?}");
            named += 1;
        }
    }
    assert!(named > 3, "the walk found messages");
}

/// A prompt that fails must leave nothing that the corrected command would have to match.
#[test]
fn a_failed_prompt_leaves_no_config() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "wrong"]).fails(12, &["no terminal"]);
    assert!(!sandbox.path("publish.yaml").exists());
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok().says(&["trdl add acme"]);
}

#[test]
fn a_config_without_keys_is_removed_again() {
    let sandbox = Sandbox::empty();
    sandbox.write("keys", "not a directory");
    sandbox.publish(&["init", "--name", "wrong", "--no-passphrase"]).fails(6, &["keys"]);
    assert!(!sandbox.path("publish.yaml").exists());
    fs::remove_file(sandbox.path("keys")).unwrap();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok().says(&["trdl add acme"]);
}

#[test]
fn a_pinned_root_taken_from_the_repository_is_a_warning() {
    let sandbox = Sandbox::new();
    let pinned = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
    let run = sandbox.publish(&["init"]).ok();
    let sha512 = hex::encode(openssl::sha::sha512(&pinned));
    assert!(run.stderr.contains("keys/1.root.json is missing") && run.stderr.contains(&sha512), "{run:#?}");
    assert_eq!(fs::read(sandbox.path("keys/1.root.json")).unwrap(), pinned);
}
