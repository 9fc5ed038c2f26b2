//! Key ids: those of new keys are computed as those of the root's other keys, or clients that compute them are locked out.

use crate::sandbox::{Sandbox, files, testdata};
use publish::metadata::{Envelope, KeyIdStyle, PublicKey, Role, Root};
use publish::policy::client_roots::{self, Client};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const KEYS: &str = "name: packages\nrepo: metadata\nroot: 1.root.json\nkeys:\n  root: file:keys/root.pem\n  targets: file:keys/targets.pem\n  snapshot: file:keys/snapshot.pem\n  timestamp: file:keys/timestamp.pem\n";

/// One of the repositories that `testdata/repositories/make-key-ids.py` made.
fn frozen(kind: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    let source = testdata().join("repositories/key-ids").join(kind);
    for (name, content) in files(&source) {
        let path = sandbox.write(&name, content);
        if name.starts_with("keys/") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    fs::copy(source.join("metadata/1.root.json"), sandbox.path("1.root.json")).unwrap();
    sandbox.write("publish.yaml", KEYS);
    sandbox
}

fn root(sandbox: &Sandbox, directory: &str, version: u64) -> Root {
    let file = fs::read(sandbox.path(&format!("{directory}/{version}.root.json"))).unwrap();
    Root::parse(&Envelope::parse(&file, "root").unwrap(), "root").unwrap()
}

fn locks_out(root: &Root, client: Client) -> bool {
    client_roots::lockouts(root, &[]).iter().any(|lockout| lockout.clients.contains(&client))
}

/// The id as PHP-TUF 8190efc computes it, written down again here: keys sorted, no white space.
fn php_id(key: &PublicKey) -> String {
    let public = key.to_json()["keyval"]["public"].as_str().unwrap().to_owned();
    let text = format!(
        r#"{{"keyid_hash_algorithms":["sha256","sha512"],"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}"#
    );
    hex::encode(openssl::sha::sha256(text.as_bytes()))
}

fn newest(sandbox: &Sandbox, directory: &str, role: &str) -> Value {
    let suffix = format!(".{role}.json");
    let version = |name: &String| name.strip_suffix(&suffix).and_then(|number| number.parse::<u64>().ok());
    let all = files(&sandbox.path(directory));
    let name = all.keys().filter(|name| version(name).is_some()).max_by_key(|name| version(name)).unwrap();
    serde_json::from_slice::<Value>(&all[name]).unwrap()["signed"].clone()
}

#[test]
fn new_keys_have_ids_of_the_roots_style() {
    for (kind, style, php) in [("hashed", KeyIdStyle::HashAlgorithms, true), ("listed", KeyIdStyle::ListedHashAlgorithms, false)] {
        let sandbox = frozen(kind);
        assert_eq!(root(&sandbox, "metadata", 1).key_id_style(), Some(style));
        for role in ["snapshot", "targets", "timestamp"] {
            sandbox.publish(&["rotate", role, "--no-passphrase"]).ok();
            sandbox.publish(&["rotate", role, "--finish"]).ok();
        }
        sandbox.publish(&["key", "new", "alice.pem", "--no-passphrase"]).ok();
        sandbox.publish(&["root", "edit", "--add-key", "root=alice.pem", "--add-key", "timestamp:cron=alice.pem"]).ok();
        sandbox.publish(&["root", "sign", "--yes"]).ok().says(&["+ root key cron"]);
        sandbox.publish(&["root", "commit"]).ok();
        for version in 1..=8 {
            let root = root(&sandbox, "metadata", version);
            assert_eq!(root.key_id_style(), Some(style), "{kind} {version}");
            assert_eq!(locks_out(&root, Client::PhpTuf), !php, "{kind} {version}");
            for (id, key) in root.keys() {
                assert_eq!(*id, php_id(key));
                assert_eq!(key.to_json().get("keyid_hash_algorithms").is_some(), kind == "listed");
            }
        }
        assert_eq!(root(&sandbox, "metadata", 8).keys_of(Role::Root).count(), 2);
        let report = sandbox.publish(&["verify", "--metadata-only"]).ok().says(&["good: 0 errors"]);
        assert_eq!(report.stdout.contains("php-tuf cannot read this root"), !php, "{report:#?}");
    }
}

/// The bins' own keys too, and those of bins that the targets key signs.
#[test]
fn repositories_for_php_tuf_are_made_on_request() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--key-ids", "php-tuf"]).ok();
    assert!(!locks_out(&root(&sandbox, "repo", 1), Client::PhpTuf) && locks_out(&root(&sandbox, "repo", 1), Client::TufCrate));
    sandbox.write("pool/one.zip", "one");
    sandbox.publish(&["add-targets", "pool", "--base", "pool"]).ok();
    sandbox.publish(&["bins", "--count", "2", "--not-for-trdl", "--confirm", "2"]).ok();
    sandbox.publish(&["rotate", "targets", "--no-passphrase", "--now"]).ok();
    let check = |sandbox: &Sandbox, hashed: bool| {
        for role in ["targets", "bins"] {
            let keys = newest(sandbox, "repo", role)["delegations"]["keys"].as_object().unwrap().clone();
            for (id, key) in keys {
                assert_eq!(id == php_id(&PublicKey::from_json(key.clone()).unwrap()), hashed);
                assert!(key.get("keyid_hash_algorithms").is_none());
            }
        }
    };
    check(&sandbox, true);
    sandbox.publish(&["key", "new", "keys/bins.pem", "--no-passphrase"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("keys:\n", "keys:\n  bins: file:keys/bins.pem\n"));
    sandbox.publish(&["bins", "--rekey"]).ok();
    check(&sandbox, true);
    let report = sandbox.publish(&["verify"]).ok();
    assert!(!report.stdout.contains("php-tuf cannot") && !report.stdout.contains("php-tuf computes"), "{report:#?}");
    // Against the root's style on request only; `verify` then names who is locked out.
    sandbox.publish(&["bins", "--rekey", "--key-ids", "specification"]).ok();
    check(&sandbox, false);
    sandbox.publish(&["verify"]).ok().says(&["php-tuf computes another id for key"]);
}

#[test]
fn a_root_that_mixes_styles_is_reported_and_followed_role_by_role() {
    let sandbox = frozen("mixed");
    assert_eq!(root(&sandbox, "metadata", 1).key_id_style(), None);
    for role in ["targets", "snapshot"] {
        sandbox.publish(&["rotate", role, "--no-passphrase", "--now"]).ok();
    }
    let root = root(&sandbox, "metadata", 5);
    let style = |role| root.keys_of(role).map(|(id, key)| KeyIdStyle::of(id, key)).next().unwrap();
    assert_eq!(style(Role::Targets), Some(KeyIdStyle::HashAlgorithms));
    assert_eq!(style(Role::Snapshot), Some(KeyIdStyle::Specification));
    sandbox.publish(&["verify", "--metadata-only"]).ok().says(&["php-tuf computes other ids for 2 of its 4 keys"]);
    sandbox.publish(&["root", "edit", "--expires", "100d"]).ok();
    sandbox.publish(&["root", "show"]).ok().says(&["! php-tuf cannot read this root", "2 of its 4 keys"]);
}

#[test]
fn users_of_php_tuf_are_not_locked_out_later() {
    let sandbox = frozen("hashed");
    sandbox.publish(&["key", "new", "p256.pem", "--kind", "p256", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "root=p256.pem"]).ok().says(&["php-tuf cannot read this root"]);
    sandbox.publish(&["root", "sign", "--yes"]).fails(5, &["root 2 is not signed: php-tuf cannot read this root"]);
    sandbox
        .unchanged_metadata(|| sandbox.publish(&["root", "commit"]).fails(5, &["php-tuf cannot read this root", "is not an Ed25519 key"]));
    // Where it reads nothing anyway, another kind of key is the owner's choice.
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "p256.pem", "--kind", "p256", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "root=p256.pem"]).ok().says(&["php-tuf cannot read this root"]);
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "commit"]).ok();
}

/// Rules of php-tuf that no other client has, one change each.
#[test]
fn rules_of_php_tuf_are_checked() {
    let good: Value =
        serde_json::from_slice(&fs::read(testdata().join("repositories/key-ids/hashed/metadata/1.root.json")).unwrap()).unwrap();
    let lockouts = |change: &dyn Fn(&mut Value)| {
        let mut file = good.clone();
        change(&mut file);
        let file = serde_json::to_vec(&file).unwrap();
        let found = client_roots::lockouts_of_file(&file, "root").unwrap();
        found.into_iter().filter(|lockout| lockout.clients.contains(&Client::PhpTuf)).map(|lockout| lockout.why).collect::<Vec<_>>()
    };
    assert_eq!(lockouts(&|_| ()), Vec::<String>::new());
    let first = good["signed"]["keys"].as_object().unwrap().keys().next().unwrap().clone();
    type Change<'c> = &'c dyn Fn(&mut Value);
    let changes: [(&str, Change<'_>); 9] = [
        ("other fields than keytype", &|file| {
            file["signed"]["keys"][&first]["keyid_hash_algorithms"] = serde_json::json!(["sha256", "sha512"])
        }),
        ("other fields than keytype", &|file| file["signed"]["keys"][&first]["keyval"]["private"] = "".into()),
        ("role root has other fields", &|file| file["signed"]["roles"]["root"]["name"] = "x".into()),
        ("it has a role `mirrors`", &|file| file["signed"]["roles"]["mirrors"] = file["signed"]["roles"]["root"].clone()),
        ("no consistent_snapshot", &|file| drop(file["signed"].as_object_mut().unwrap().remove("consistent_snapshot"))),
        ("PHP writes in another way", &|file| file["signed"]["custom"] = serde_json::json!({})),
        ("PHP writes in another way", &|file| file["signed"]["custom"] = "Zürich".into()),
        ("is empty", &|file| file["signatures"][0]["sig"] = "".into()),
        ("spec_version", &|file| file["signed"]["spec_version"] = "2.0.0".into()),
    ];
    for (words, change) in changes {
        let found = lockouts(change);
        assert!(found.iter().any(|why| why.contains(words)), "{words}: {found:?}");
    }
}
