//! The ceremony: drafts of the next root, signed by several people, and their commit.

use crate::sandbox::{Run, Sandbox};
use serde_json::Value;
use std::fs;

struct Ceremony {
    sandbox: Sandbox,
}

impl Ceremony {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.release("1.0.0").ok();
        Self { sandbox }
    }

    /// Somebody's key: the secret one in a home of its own, the public one beside the config.
    fn person(&self, name: &str) {
        let secret = format!("{name}/secret.pem");
        fs::create_dir_all(self.sandbox.path(name)).unwrap();
        self.sandbox.publish(&["key", "new", &secret, "--no-passphrase"]).ok();
        let public = self.sandbox.publish(&["key", "export", &secret]).ok().stdout;
        self.sandbox.write(&format!("{name}.pem"), public);
    }

    fn root(&self, arguments: &[&str]) -> Run {
        self.sandbox.publish(&[&["root"], arguments].concat())
    }

    /// A copy of the draft goes to a key holder, who signs it on a machine that has nothing else, and comes back.
    fn signed_by(&self, name: &str) -> String {
        let copy = format!("{name}/root-draft.json");
        fs::copy(self.sandbox.path("root-draft.json"), self.sandbox.path(&copy)).unwrap();
        let run = Run::from(
            self.sandbox
                .command()
                .current_dir(self.sandbox.path(name))
                .env("XDG_STATE_HOME", self.sandbox.path(name))
                .args(["root", "sign", "--key", "secret.pem", "--yes"])
                .output()
                .unwrap(),
        );
        run.ok();
        copy
    }

    fn version(&self) -> u64 {
        self.sandbox.publish(&["status", "--json"]).json()["status"]["roles"][0]["version"].as_u64().unwrap()
    }

    fn draft(&self) -> Value {
        serde_json::from_slice(&fs::read(self.sandbox.path("root-draft.json")).unwrap()).unwrap()
    }

    fn write_draft(&self, draft: &Value) {
        self.sandbox.write("root-draft.json", serde_json::to_vec(draft).unwrap());
    }
}

#[test]
fn two_of_three_sign_on_machines_of_their_own_in_any_order() {
    let ceremony = Ceremony::new();
    ["bob", "carol"].iter().for_each(|name| ceremony.person(name));
    let edit = ["edit", "--add-key", "root=bob.pem", "--add-key", "root:carol=carol.pem", "--threshold", "root=2"];
    ceremony.sandbox.unchanged(|| {
        ceremony.root(&edit).ok().says(&["+ root key bob (", "+ root key carol (", "root needs 2 of its keys", "nothing is published"])
    });
    let root_id = ceremony.draft()["next"]["signed"]["roles"]["root"]["keyids"][0].as_str().unwrap().to_owned();
    ceremony
        .sandbox
        .unchanged(|| ceremony.root(&["commit"]).fails(5, &["0 of 1 keys of root 1, 0 of 2 keys of root 2, waiting for 2 of ", &root_id]));
    let (bob, carol) = (ceremony.signed_by("bob"), ceremony.signed_by("carol"));
    ceremony.root(&["merge", &carol]).ok().says(&["1 signature new", "signed   carol"]);
    // A name is nothing that is signed: it takes no signature away.
    ceremony.root(&["edit", "--name", &format!("{}=alice", &root_id[..8])]).ok().says(&["signed   carol", "waiting for 1 of alice, bob"]);
    ceremony.root(&["edit", "--name", "zed=alice"]).fails(6, &["`zed` is not a key of the root"]);
    ceremony.root(&["merge", &bob, &carol]).ok().says(&["1 signature new", "2 of 2 keys of root 2"]);
    // The new keys agree; the old one has not.
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit"]).fails(5, &["0 of 1 keys of root 1", &root_id]));
    ceremony.root(&["sign", "--yes"]).ok().says(&["signed: 1 of 1 keys of root 1, 2 of 2 keys of root 2: complete"]);
    ceremony.root(&["sign", "--yes"]).ok().says(&["it was signed with these keys already"]);
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit", "--dry-run"]).ok().says(&["Nothing was written"]));
    ceremony.root(&["commit"]).ok().says(&["root 2 is published"]);
    assert!(!ceremony.sandbox.path("root-draft.json").exists());
    ceremony.sandbox.publish(&["verify"]).ok();
    // The next one: names are remembered, the first key alone is not enough, one person can be missing.
    ceremony
        .root(&["edit", "--remove-key", &format!("root={}", &root_id[..8]), "--expires", "100d"])
        .ok()
        .says(&["- root key", "~ expires"]);
    ceremony.root(&["sign", "--yes"]).ok().says(&["1 of 2 keys of root 2, 0 of 2 keys of root 3, waiting for bob, carol"]);
    let bob = ceremony.signed_by("bob");
    ceremony.root(&["merge", &bob]).ok().says(&["2 of 2 keys of root 2, 1 of 2 keys of root 3, waiting for carol"]);
    let carol = ceremony.signed_by("carol");
    ceremony.root(&["merge", &carol]).ok();
    ceremony.root(&["commit"]).ok();
    assert_eq!(ceremony.version(), 3);
    ceremony.sandbox.publish(&["verify"]).ok();
    ceremony.sandbox.release("1.0.1").ok();
}

#[test]
fn each_mistake_has_its_own_message() {
    let ceremony = Ceremony::new();
    ["bob", "mallory"].iter().for_each(|name| ceremony.person(name));
    let refused = |arguments: &[&str], words: &[&str]| {
        ceremony.sandbox.unchanged(|| ceremony.root(arguments).fails(6, words));
        assert!(!ceremony.sandbox.path("root-draft.json").exists(), "{arguments:?}");
    };
    refused(&["edit", "--threshold", "root=2"], &["root would need 2 signatures and has 1 key", "--threshold root=1"]);
    refused(&["edit", "--threshold", "root=0"], &["is not a number from 1"]);
    refused(&["edit", "--expires", "2020-01-01"], &["would expire on 2020-01-01", "which is in the past"]);
    refused(&["edit", "--expires", "soon"], &["`soon` is not a moment"]);
    refused(&["edit", "--remove-key", "root=abcdef"], &["is not a key of root"]);
    refused(&["edit", "--add-key", "boot=bob.pem"], &["there is no role `boot`"]);
    refused(&["edit", "--add-key", "bob.pem"], &["not of the form"]);
    refused(&["edit", "--add-key", "root=keys/root.pem"], &["may sign root already"]);
    refused(&["edit", "--add-key", "root=keys/openpgp.asc"], &["not a private key"]);
    let targets =
        ceremony.sandbox.publish(&["key", "show", "keys/targets.pem", "--json"]).ok().json()["key_id"].as_str().unwrap().to_owned();
    refused(&["edit", "--remove-key", &format!("targets={}", &targets[..10])], &["targets would have no key left"]);
    ceremony.root(&["show"]).fails(7, &["root-draft.json", "publish root edit"]);

    ceremony.root(&["edit", "--add-key", "root=bob.pem"]).ok();
    let good = ceremony.draft();
    // An unknown key, then its signature in the file.
    ceremony
        .root(&["sign", "--key", "mallory/secret.pem", "--yes"])
        .fails(6, &["neither root 1 nor root 2 accepts the key in", "may sign: bob"]);
    ceremony.root(&["sign"]).fails(6, &["no terminal", "--yes"]);
    ceremony.root(&["sign", "--yes"]).ok();
    let signed = ceremony.draft();
    let mut surplus = signed.clone();
    surplus["next"]["signatures"].as_array_mut().unwrap().push(serde_json::json!({"keyid": "ab".repeat(32), "sig": "00"}));
    ceremony.write_draft(&surplus);
    ceremony.root(&["show"]).ok().says(&["is not valid", "1 of 1"]);
    // Changed after it was signed: the signature is worth nothing any more.
    let mut changed = signed.clone();
    changed["next"]["signed"]["expires"] = "2199-01-01T00:00:00Z".into();
    ceremony.write_draft(&changed);
    ceremony.root(&["show"]).ok().says(&["is not valid", "0 of 1", "expires 2199-01-01"]);
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit"]).fails(5, &["waiting for"]));
    ceremony.write_draft(&signed);
    let other = ceremony.sandbox.write("other.json", serde_json::to_vec(&changed).unwrap());
    ceremony.root(&["merge", other.to_str().unwrap()]).fails(5, &["and this draft have different changes"]);
    // Another edit reports that the signatures are removed.
    ceremony.root(&["edit", "--expires", "30d"]).ok().says(&["signed already", "were removed"]);
    ceremony.write_draft(&signed);
    // Texts that would show something else than what is signed.
    for hidden in ["al\u{1b}[1A\u{1b}[2Kice", "alice\n  signed   bob", "ali\u{202e}ce", ""] {
        let mut lying = good.clone();
        let id = lying["next"]["signed"]["roles"]["root"]["keyids"][0].as_str().unwrap().to_owned();
        lying["names"][&id] = hidden.into();
        ceremony.write_draft(&lying);
        let run = ceremony.root(&["show"]).fails(6, &["cannot be the name of a key's holder"]);
        assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains('\u{202e}'), "{run:?}");
    }
    let mut lying = good.clone();
    lying["next"]["signatures"] = serde_json::json!([{"keyid": "ab\u{1b}[2K", "sig": ""}]);
    ceremony.write_draft(&lying);
    ceremony.root(&["show"]).fails(6, &["is no key id"]);
    ceremony.write_draft(&signed);
    ceremony.root(&["edit", "--name", "bob=\u{1b}[2K"]).fails(6, &["cannot be the name of a key's holder"]);
    // A draft that no edit of ours could have made.
    let mut impossible = good.clone();
    impossible["next"]["signed"]["roles"]["targets"]["threshold"] = 5.into();
    ceremony.write_draft(&impossible);
    ceremony.root(&["show"]).fails(6, &["targets would need 5 signatures"]);
    let mut skipping = good.clone();
    skipping["next"]["signed"]["version"] = 7.into();
    ceremony.write_draft(&skipping);
    ceremony.root(&["show"]).fails(6, &["version 7 does not follow version 1"]);
    // From another repository; a root signed by unknown keys as the present one.
    let stranger = Ceremony::new();
    stranger.root(&["edit"]).ok();
    ceremony.write_draft(&stranger.draft());
    ceremony.root(&["show"]).ok().says(&["belongs to another repository"]);
    ceremony.root(&["sign", "--yes"]).fails(5, &["root 2 is not signed", "belongs to another repository"]);
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit"]).fails(5, &["belongs to another repository"]));
    let mut forged = good.clone();
    forged["present"] = forged["present"].as_str().unwrap().replacen("\"version\":1", "\"version\":2", 1).into();
    ceremony.write_draft(&forged);
    ceremony.root(&["show"]).fails(9, &["the pinned root has 0 of 1 valid signatures"]);
    // Somebody else was faster.
    ceremony.write_draft(&signed);
    fs::copy(ceremony.sandbox.path("root-draft.json"), ceremony.sandbox.path("stale.json")).unwrap();
    ceremony.root(&["commit"]).ok();
    ceremony.root(&["show", "--draft", "stale.json"]).ok();
    ceremony.root(&["edit", "--expires", "200d"]).ok();
    ceremony.root(&["sign", "--yes"]).ok();
    ceremony.root(&["commit"]).ok();
    ceremony.root(&["show", "--draft", "stale.json"]).ok().says(&["the draft is stale: it follows root 1, and root 3 is published"]);
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit", "--draft", "stale.json"]).fails(5, &["stale"]));
}

#[test]
fn a_root_that_would_lock_clients_out_is_refused_and_replaced_keys_are_reported() {
    let ceremony = Ceremony::new();
    let old = ceremony.sandbox.publish(&["key", "show", "keys/timestamp.pem", "--json"]).ok().json()["key_id"].as_str().unwrap().to_owned();
    ceremony.sandbox.publish(&["key", "new", "keys/timestamp-2.pem", "--no-passphrase"]).ok();
    ceremony.root(&["edit", "--add-key", "timestamp=keys/timestamp-2.pem", "--remove-key", &format!("timestamp={}", &old[..12])]).ok();
    ceremony.root(&["sign", "--yes"]).ok().says(&["complete"]);
    ceremony.root(&["show"]).ok().says(&["timestamp is not signed for it"]);
    ceremony.sandbox.unchanged(|| {
        ceremony.root(&["commit"]).fails(5, &["clients would refuse the published timestamp", "publish rotate ROLE", "--replace-now"])
    });
    // The key was stolen: at once, but not without the new one.
    ceremony
        .sandbox
        .unchanged(|| ceremony.root(&["commit", "--replace-now", "--confirm", "2"]).fails(6, &["role timestamp needs 1 signature"]));
    let config = fs::read_to_string(ceremony.sandbox.path("publish.yaml")).unwrap();
    ceremony.sandbox.write("publish.yaml", config.replace("keys/timestamp.pem", "keys/timestamp-2.pem"));
    ceremony.root(&["commit", "--replace-now", "--dry-run"]).ok().says(&["timestamp: clients fail between"]);
    ceremony.sandbox.unchanged(|| ceremony.root(&["commit", "--replace-now"]).fails(5, &["cannot be undone", "--confirm 2"]));
    ceremony.root(&["commit", "--replace-now", "--confirm", "2"]).ok().says(&["clients failed for at most", "root 2 is published"]);
    ceremony.sandbox.publish(&["verify"]).ok();
    ceremony.sandbox.release("1.0.1").ok();
    // The old key is worth nothing now.
    let config = fs::read_to_string(ceremony.sandbox.path("publish.yaml")).unwrap();
    ceremony.sandbox.write("publish.yaml", config.replace("keys/timestamp-2.pem", "keys/timestamp.pem"));
    ceremony.sandbox.unchanged(|| ceremony.sandbox.release("1.0.2").fails(6, &["role timestamp needs 1 signature"]));
}

#[test]
fn a_root_too_long_for_clients_is_refused() {
    let ceremony = Ceremony::new();
    // One key is as long as it needs to be here.
    let modulus = openssl::bn::BigNum::from_slice(&[0xff; 350_000]).unwrap();
    let key = openssl::rsa::Rsa::from_public_components(modulus, openssl::bn::BigNum::from_u32(65537).unwrap()).unwrap();
    let key = openssl::pkey::PKey::from_rsa(key).unwrap();
    ceremony.sandbox.write("long.pem", key.public_key_to_pem().unwrap());
    let arguments = ["edit", "--add-key", "root=long.pem"];
    ceremony.root(&arguments).fails(6, &["the next root would have", "clients stop at 512000"]);
}

#[test]
fn unusual_key_types_are_warned_about() {
    let ceremony = Ceremony::new();
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let key = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    ceremony.sandbox.write("hsm.pem", key.public_key_to_pem().unwrap());
    ceremony.root(&["edit", "--add-key", "root=hsm.pem"]).ok().says(&[
        "+ root key hsm",
        "ecdsa-sha2-nistp256",
        "clients built on the `tuf` crate cannot read",
    ]);
    ceremony.root(&["sign", "--yes"]).ok();
    ceremony.root(&["commit"]).ok();
    ceremony.sandbox.publish(&["verify"]).ok();
}
