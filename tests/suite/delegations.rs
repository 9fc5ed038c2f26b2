//! Delegations to keys of others: adopting a repository shows them and asks, and they can be ended.

use crate::sandbox::{Sandbox, files, testdata};
use publish::keys::{self, KeyUri, Passphrases, Secret, Use};
use publish::metadata::canonical::canonical;
use publish::metadata::{Envelope, PublicKey, Signature, seal};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn get(&self, _: Use, what: &str) -> publish::error::Result<Secret> {
        panic!("{what} is not encrypted")
    }
    fn choose(&self, _: Use) -> publish::error::Result<Secret> {
        panic!("keys are not encrypted")
    }
}

/// A role file that the key signs under this id.
fn signed(key: &Path, id: &str, role: &Value) -> Vec<u8> {
    let signer = keys::load(&KeyUri::File(key.to_owned()), &NoPassphrase).unwrap();
    let role = serde_json::to_vec(role).unwrap();
    let sig = hex::encode(signer.sign(&canonical(&role).unwrap()).unwrap());
    seal(&role, &[Signature { keyid: id.to_owned(), sig }])
}

/// What is given away: a repository of another tool, its keys, and the delegations that its last owner put in.
struct Given {
    sandbox: Sandbox,
    mallory: PublicKey,
}

/// A role with these `delegations`, given the id and the object of mallory's key.
fn given(name: &str, paths: &Value, below: Option<Value>) -> Given {
    given_with(name, paths, below, |_, _| {})
}

/// The same with a change of the delegations of `targets.json`, given the key that signs it.
fn given_with(name: &str, paths: &Value, below: Option<Value>, change: impl Fn(&mut Value, &PublicKey)) -> Given {
    let sandbox = Sandbox::empty();
    for (file, content) in files(&testdata().join("repositories/key-ids/listed")) {
        let path = sandbox.write(&format!("old/{file}"), content);
        if file.starts_with("keys/") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let stranger = sandbox.path("mallory.pem");
    keys::create(&stranger, publish::metadata::KeyKind::Ed25519, None).unwrap();
    let mallory = keys::load(&KeyUri::File(stranger.clone()), &NoPassphrase).unwrap().public().clone();
    let metadata = sandbox.path("old/metadata");
    let read = |file: &str| {
        let bytes = fs::read(metadata.join(file)).unwrap();
        let envelope = Envelope::parse(&bytes, file).unwrap();
        (envelope.signatures[0].keyid.clone(), serde_json::from_str::<Value>(envelope.signed()).unwrap())
    };
    let key = |role: &str| sandbox.path(&format!("old/keys/{role}.pem"));
    let role = json!({"keyids": [mallory.id()], "name": name, "paths": paths, "terminating": true, "threshold": 1});
    let mut block = json!({"keys": {mallory.id(): mallory.to_json()}, "roles": [role]});
    change(&mut block, keys::load(&KeyUri::File(key("targets")), &NoPassphrase).unwrap().public());
    let (id, mut targets) = read("1.targets.json");
    targets["delegations"] = block;
    fs::write(metadata.join("1.targets.json"), signed(&key("targets"), &id, &targets)).unwrap();
    let (id, mut snapshot) = read("1.snapshot.json");
    snapshot["meta"] = json!({"targets.json": {"version": 1}, format!("{name}.json"): {"version": 1}});
    if !name.contains('/') {
        let mut delegated =
            json!({"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2126-01-01T00:00:00Z", "targets": {}});
        let content = "evil\n";
        delegated["targets"]["releases/6.6.6/linux-amd64/bin/acme"] =
            json!({"length": content.len(), "hashes": {"sha256": hex::encode(openssl::sha::sha256(content.as_bytes()))}});
        if let Some(below) = below {
            delegated["delegations"] = json!({"keys": {mallory.id(): mallory.to_json()}, "roles": [below]});
        }
        fs::write(metadata.join(format!("1.{name}.json")), signed(&stranger, &mallory.id(), &delegated)).unwrap();
    }
    fs::write(metadata.join("1.snapshot.json"), signed(&key("snapshot"), &id, &snapshot)).unwrap();
    let (id, mut timestamp) = read("timestamp.json");
    timestamp["meta"] = json!({"snapshot.json": {"version": 1}});
    fs::write(metadata.join("timestamp.json"), signed(&key("timestamp"), &id, &timestamp)).unwrap();
    fs::create_dir(sandbox.path("new")).unwrap();
    Given { sandbox, mallory }
}

impl Given {
    fn adopt(&self, more: &[&str]) -> crate::sandbox::Run {
        let arguments =
            ["adopt", "old/metadata", "--keys", "old/keys", "--name", "acme", "--config", "new/publish.yaml", "--no-passphrase"];
        self.sandbox.publish(&[&arguments[..], more].concat())
    }

    fn publish(&self, arguments: &[&str]) -> crate::sandbox::Run {
        self.sandbox.publish(&[arguments, &["--config", "new/publish.yaml"]].concat())
    }
}

fn everything() -> Value {
    json!(["releases/*/*/*/*", "*"])
}

#[test]
fn adopt_lists_delegations_and_asks() {
    let given = given("mallory", &everything(), None);
    let id = given.mallory.id();
    let words: [&str; 5] = [
        "! role targets delegates to mallory, which lists 1 target",
        &id,
        "releases/*/*/*/*, *",
        "look for these names in no other role",
        "remove-delegation",
    ];
    given.adopt(&["--dry-run"]).ok().says(&words);
    given.adopt(&[]).fails(6, &["there is no terminal to ask", "delegates to keys of others: mallory", "--yes"]);
    assert_eq!(fs::read_dir(given.sandbox.path("new")).unwrap().count(), 0, "nothing is written before the answer");
    let report = given.adopt(&["--yes", "--json"]).ok().json();
    let shown = &report["plan"]["delegations"][0];
    assert!(shown["to"] == json!(["mallory"]) && shown["keys"][0]["id"] == id && shown["paths"] == everything() && shown["held"] == false);
    given.publish(&["status"]).fails(11, &[]).says(&["DELEGATIONS to keys of others", "delegates to mallory", &id, "releases/*/*/*/*, *"]);
    let status = given.publish(&["status", "--json"]).json();
    assert_eq!(status["status"]["delegations"][0]["to"], json!(["mallory"]));
    given.publish(&["verify", "--metadata-only"]).ok().says(&["delegation to mallory", &id]);
}

/// An unknown key beside the owner's: what matters is whether it can sign without the owner's.
#[test]
fn a_delegation_that_unknown_keys_sign_alone_is_not_the_owners() {
    for (threshold, twice, own) in [(1, false, false), (2, false, false), (2, true, false), (1, false, true)] {
        let given = given_with("mallory", &everything(), None, |block, owner| {
            let mut ids = vec![owner.id()];
            block["keys"][owner.id()] = owner.to_json();
            if !own {
                ids.extend(block["roles"][0]["keyids"][0].as_str().map(str::to_owned));
            }
            if twice {
                let other = json!({"keytype": "x-unknown", "scheme": "x", "keyval": {"public": "00"}});
                block["keys"]["ab".repeat(32)] = other;
                ids.push("ab".repeat(32));
            }
            block["roles"][0]["keyids"] = json!(ids);
            block["roles"][0]["threshold"] = json!(threshold);
        });
        if own {
            given.adopt(&[]).ok().says(&["= role targets delegates to mallory"]);
            continue;
        }
        given.adopt(&["-n"]).ok().says(&["! role targets delegates to mallory", &given.mallory.id()]);
        given.adopt(&[]).fails(6, &["there is no terminal to ask", "delegates to keys of others: mallory"]);
        given.adopt(&["--yes"]).ok();
        given.publish(&["status"]).fails(11, &[]).says(&["DELEGATIONS to keys of others", &given.mallory.id()]);
    }
}

/// A key of a top-level role that was not found signs it without the owner, unless the threshold needs the owner too.
#[test]
fn a_top_level_role_that_unknown_keys_sign_alone_needs_a_confirmation() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "stranger.pem", "--no-passphrase"]).ok();
    let change = |arguments: &[&str]| {
        sandbox.publish(&[&["root", "edit"], arguments].concat()).ok();
        sandbox.publish(&["root", "sign", "--yes", "--key", "keys/root.pem", "--key", "stranger.pem"]).ok();
        sandbox.publish(&["root", "commit"]).ok();
    };
    let adopt = |config| ["adopt", "repo", "--keys", "keys", "--name", "acme", "--config", config, "--no-passphrase"];
    fs::create_dir(sandbox.path("both")).unwrap();
    fs::create_dir(sandbox.path("new")).unwrap();
    change(&["--add-key", "root=stranger.pem", "--threshold", "root=2"]);
    sandbox.publish(&adopt("both/publish.yaml")).ok();
    let adopt = adopt("new/publish.yaml");
    change(&["--add-key", "timestamp=stranger.pem"]);
    let stranger = keys::load(&KeyUri::File(sandbox.path("stranger.pem")), &NoPassphrase).unwrap().public().id();
    let asked = format!("these keys, none of which was found, can sign timestamp alone: {stranger}");
    sandbox.publish(&adopt).fails(6, &["there is no terminal to ask", "whose timestamp can be signed with keys that were not found"]);
    let plan = sandbox.publish(&[&adopt[..], &["-n"]].concat()).ok();
    assert!(plan.stdout.contains(&asked) && plan.stdout.matches("these keys, none of which was found").count() == 1, "{plan:#?}");
    assert!(!sandbox.path("new/publish.yaml").exists());
    sandbox.publish(&[&adopt[..], &["--yes"]].concat()).ok();
}

/// The same for bins: a key that is neither a targets key nor one that the config names for them.
#[test]
fn status_lists_bins_that_unknown_keys_sign_alone() {
    let sandbox = Sandbox::new();
    for key in ["keys/bins.pem", "keys/other.pem"] {
        sandbox.publish(&["key", "new", key, "--no-passphrase"]).ok();
    }
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let with = |keys: &str| sandbox.write("publish.yaml", config.replace("keys:\n", &format!("keys:\n  bins: {keys}\n")));
    with("[file:keys/bins.pem, file:keys/other.pem]");
    sandbox.publish(&["bins", "--count", "4", "--not-for-trdl", "--confirm", "4"]).ok();
    let status = sandbox.publish(&["status"]).ok();
    assert!(!status.stdout.contains("DELEGATIONS"), "{status:#?}");
    with("file:keys/bins.pem");
    sandbox.publish(&["status"]).ok().says(&[
        "DELEGATIONS to keys of others",
        "role targets delegates to bins",
        "role bins delegates to bin-",
    ]);
}

#[test]
fn a_delegation_ends_on_request() {
    let given = given("mallory", &everything(), None);
    given.adopt(&["--yes"]).ok();
    given.publish(&["remove-delegation", "bob"]).fails(7, &["does not delegate to `bob`", "delegated to: mallory"]);
    given.publish(&["remove-delegation", "mallory"]).fails(5, &["needs a confirmation", "--confirm mallory"]);
    given.publish(&["remove-delegation", "mallory", "-n"]).ok().says(&["- role targets delegates to mallory", "Nothing was written"]);
    given.publish(&["remove-delegation", "mallory", "--confirm", "mallory"]).ok().says(&["does not delegate to mallory any more"]);
    let targets = fs::read_to_string(given.sandbox.path("old/metadata/2.targets.json")).unwrap();
    assert!(!targets.contains("mallory") && !targets.contains(&given.mallory.id()), "{targets}");
    // Clients refuse a snapshot that loses an entry.
    assert!(fs::read_to_string(given.sandbox.path("old/metadata/2.snapshot.json")).unwrap().contains("mallory.json"));
    let status = given.publish(&["status"]).ok();
    assert!(!status.stdout.contains("DELEGATIONS"), "{status:#?}");
    given.publish(&["verify", "--metadata-only"]).ok().says(&["good: 0 errors", "0 targets"]);
}

#[test]
fn nested_delegations_are_listed_too() {
    let below = json!({"keyids": ["ab".repeat(32)], "name": "eve", "paths": ["nested/*"], "terminating": false, "threshold": 1});
    let given = given("mallory", &everything(), Some(below));
    given.adopt(&["-n"]).ok().says(&[
        "! role targets delegates to mallory",
        "! role mallory delegates to eve",
        "a key that clients cannot read",
        "not read: the snapshot does not list it",
    ]);
}

/// The adopter holds the keys: nothing is delegated to others.
#[test]
fn delegations_to_keys_that_were_found_need_no_confirmation() {
    let given = given("mallory", &everything(), None);
    fs::copy(given.sandbox.path("mallory.pem"), given.sandbox.path("old/keys/mallory.pem")).unwrap();
    given.adopt(&[]).ok().says(&["= role targets delegates to mallory", "adopted"]);
}

#[test]
fn names_from_others_contain_no_control_characters() {
    for name in ["m\u{1b}[2K\u{1b}[1A\r", "m\nadopted; no delegation", "../../m", "m\u{202e}yrollam"] {
        let given = given(name, &json!([format!("{name}/*")]), None);
        for run in [
            given.adopt(&["-n"]),
            given.adopt(&[]),
            given.adopt(&["--yes"]),
            given.publish(&["status"]),
            given.publish(&["verify", "--metadata-only"]),
        ] {
            for text in [&run.stdout, &run.stderr] {
                assert!(!text.contains('\u{1b}') && !text.contains('\r') && !text.contains('\u{202e}'), "{run:#?}");
                assert!(!text.lines().any(|line| line.starts_with("adopted; no delegation")), "{run:#?}");
            }
        }
        given.adopt(&["-n"]).fails(5, &["there is a publisher here already"]);
        assert!(!given.sandbox.path("m.json").exists());
    }
}
