use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn prints_the_line_that_users_type() {
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
fn again_it_changes_nothing() {
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
        order[kept..].iter().for_each(|file| fs::remove_file(sandbox.path(file)).unwrap());
        let before = crate::sandbox::files(sandbox.dir.path());
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
        let after = crate::sandbox::files(sandbox.dir.path());
        for file in &order[..kept] {
            // A revocation certificate belongs to its key: without the key, both are made anew.
            if *file != "keys/openpgp.revocation.asc" || kept > 6 {
                assert!(before[*file] == after[*file], "{file} changed after a kill that left {kept} files");
            }
        }
        sandbox.release("1.0.0").ok();
        sandbox.publish(&["verify"]).ok();
    }
}

#[test]
fn refuses_a_place_that_holds_another_repository() {
    let other = Sandbox::new();
    let sandbox = Sandbox::empty();
    let repo = other.path("repo");
    other.unchanged(|| {
        sandbox
            .publish(&["init", "--name", "acme", "--no-passphrase", "--repo", repo.to_str().unwrap()])
            .fails(5, &["there is a repository", "--repo"])
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
        "nothing was written",
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
    sandbox.publish(&["status"]).ok().says(&["consistent snapshots off: single publisher"]);
    sandbox.publish(&["verify"]).ok();
    let repository = sandbox.repository();
    assert!(repository.contains_key("targets/releases/1.0.0/linux-amd64/bin/acme") && repository.contains_key("targets.json"));
    assert!(!repository.keys().any(|name| name.contains(".acme")), "no hashed names");
}
