//! Drafts of roots from others: what people are shown is what they sign, and it is the whole change.

use crate::sandbox::{Run, Sandbox};
use crate::trial::Trial;
use publish::keys::{self, KeyUri};
use publish::metadata::{Role, RootDraft};
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::rotate;
use publish::operation::root::{self, Review, RootRequest, SignedRoots, TrustedRoots};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Alice publishes; Bob and Carol hold root keys on machines of their own, which have a draft and nothing else.
struct Board {
    sandbox: Sandbox,
}

impl Board {
    /// Two of three sign, since root 2. Nobody has signed anything on the machines of Bob and Carol yet.
    fn new() -> Self {
        let board = Self::of(Sandbox::new());
        ["bob", "carol"].iter().for_each(|name| board.person(name));
        board.root(&["edit", "--add-key", "root=bob.pem", "--add-key", "root=carol.pem", "--threshold", "root=2"]).ok();
        ["keys/root.pem", "bob/secret.pem"].iter().for_each(|key| drop(board.root(&["sign", "--yes", "--key", key]).ok()));
        board.root(&["commit"]).ok();
        board
    }

    fn of(sandbox: Sandbox) -> Self {
        Self { sandbox }
    }

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

    /// On the machine of a person, which has no repository and remembers what they signed.
    fn at(&self, name: &str, arguments: &[&str]) -> Run {
        let home = self.sandbox.path(name);
        let arguments = [&["root"], arguments].concat();
        self.sandbox.command().current_dir(&home).env("XDG_STATE_HOME", &home).args(arguments).output().unwrap().into()
    }

    fn draft(&self) -> Value {
        serde_json::from_slice(&fs::read(self.sandbox.path("root-draft.json")).unwrap()).unwrap()
    }

    fn gives(&self, name: &str, draft: &Value) {
        self.sandbox.write(&format!("{name}/root-draft.json"), serde_json::to_vec(draft).unwrap());
    }

    fn signs(&self, name: &str) -> Run {
        self.at(name, &["sign", "--key", "secret.pem", "--yes"])
    }

    /// A root that changes nothing but its expiry, signed by all and published.
    fn next_root(&self) {
        self.root(&["edit", "--expires", "300d"]).ok();
        ["keys/root.pem", "bob/secret.pem"].iter().for_each(|key| drop(self.root(&["sign", "--yes", "--key", key]).ok()));
        self.root(&["commit"]).ok();
    }

    fn key_id(&self, file: &str) -> String {
        self.sandbox.publish(&["key", "show", file, "--json"]).ok().json()["key_id"].as_str().unwrap().to_owned()
    }
}

/// Key material of an attacker, as it is in a root.
fn evil() -> Value {
    let key = openssl::pkey::PKey::generate_ed25519().unwrap();
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex::encode(key.raw_public_key().unwrap())}})
}

/// The id of a role's first key.
fn id_of(signed: &Value, role: &str) -> String {
    signed["roles"][role]["keyids"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_draft_that_no_edit_makes_is_shown_and_refused() {
    type Change = fn(&mut Value, &str);
    let table: [(Change, &[&str]); 23] = [
        (|root, id| root["keys"][id] = evil(), &["is another key than in root 1, under the same id", "keyval.public is"]),
        (|root, _| root["spec_version"] = "2.0.0".into(), &["spec_version is \"2.0.0\" instead of \"1.0.0\""]),
        (|root, _| root["spec_version"] = "1".into(), &["spec_version is"]),
        (|root, _| drop(root.as_object_mut().unwrap().remove("spec_version")), &["spec_version is missing"]),
        (|root, _| root["_type"] = "Root".into(), &["_type is \"Root\""]),
        (|root, id| root["keys"][id]["scheme"] = "ed25519ph".into(), &["scheme is \"ed25519ph\""]),
        (|root, id| drop(root["keys"][id].as_object_mut().unwrap().remove("scheme")), &["scheme is missing"]),
        (|root, id| root["roles"]["targets"]["keyids"] = json!([id, id]), &["roles.targets.keyids is"]),
        (|root, id| root["roles"]["mirrors"] = json!({"keyids": [id], "threshold": 1}), &["roles.mirrors is new"]),
        (|root, _| root["x-note"] = "I owe Mallory a house".into(), &["x-note is new: \"I owe Mallory a house\""]),
        (|root, _| root["roles"]["targets"]["x"] = 1.into(), &["roles.targets.x is new"]),
        (|root, id| root["keys"][id]["x"] = json!(null), &["x is new: null"]),
        (|root, id| root["keys"][id]["keyval"]["private"] = "00".into(), &["keyval.private is new"]),
        (
            |root, id| {
                let public = root["keys"][id]["keyval"]["public"].as_str().unwrap().to_uppercase();
                root["keys"][id]["keyval"]["public"] = public.into();
            },
            &["keyval.public is"],
        ),
        (|root, _| root["keys"]["ab".repeat(32)] = evil(), &["has an id that is not computed from the key", "is new"]),
        (|root, _| root["consistent_snapshot"] = false.into(), &["consistent_snapshot is false instead of true"]),
        (|root, _| root["consistent_snapshot"] = "true".into(), &["consistent_snapshot is \"true\""]),
        (|root, _| root["expires"] = "2099-01-01T00:00:00.5Z".into(), &["expires is"]),
        (|root, _| root["expires"] = "2099-01-01T03:00:00+03:00".into(), &["expires is \"2099-01-01T03:00:00+03:00\" instead of"]),
        // A new key under an id of its own, and a new key that is one of the present keys.
        (
            |root, _| {
                root["keys"]["abcd"] = evil();
                root["roles"]["targets"]["keyids"].as_array_mut().unwrap().push("abcd".into());
            },
            &["key abcd has an id that is not computed from the key"],
        ),
        (
            |root, id| {
                root["keys"]["abcd"] = root["keys"][id].clone();
                root["roles"]["targets"]["keyids"].as_array_mut().unwrap().push("abcd".into());
            },
            &["key abcd is the same key as"],
        ),
        (
            |root, _| root["roles"]["snapshot"]["keyids"].as_array_mut().unwrap().push("abcd".into()),
            &["snapshot lists key abcd, which is not there"],
        ),
        (|root, _| root["x\u{202e}\u{1b}[2K"] = "\u{200b}".into(), &["x\\u{202e}\\u{1b}[2K is new: \"\\u{200b}\""]),
    ];
    let board = Board::of(Sandbox::new());
    board.root(&["edit", "--expires", "300d"]).ok();
    let good = board.draft();
    board.gives("honest", &good);
    for (at, (change, words)) in table.into_iter().enumerate() {
        let mut altered = good.clone();
        let id = id_of(&altered["next"]["signed"], "targets");
        change(&mut altered["next"]["signed"], &id);
        fs::write(board.sandbox.path("root-draft.json"), serde_json::to_vec(&altered).unwrap()).unwrap();
        for command in [&["show"][..], &["sign", "--yes"], &["commit"], &["edit"], &["merge", "honest/root-draft.json"]] {
            let run = board.sandbox.unchanged(|| board.root(command));
            run.fails(6, &["root-draft.json changes what `publish root edit` does not change; do not sign it"]).fails(6, words);
        }
        let unsigned: Value = serde_json::from_slice(&fs::read(board.sandbox.path("root-draft.json")).unwrap()).unwrap();
        assert_eq!(unsigned["next"]["signatures"], json!([]), "{at}");
        // Nor from a copy, and not on a machine without the repository.
        board.gives("bob", &altered);
        fs::write(board.sandbox.path("root-draft.json"), serde_json::to_vec(&good).unwrap()).unwrap();
        assert_ne!(board.root(&["merge", "bob/root-draft.json"]).code, 0);
        assert_ne!(board.at("bob", &["sign", "--key", "../keys/root.pem", "--yes"]).code, 0);
    }
    board.root(&["sign", "--yes"]).ok();
    board.root(&["commit"]).ok();
}

/// What `root edit` does make is taken, in each form of key that it writes.
#[test]
fn every_edit_makes_a_draft_that_is_taken() {
    let board = Board::of(Sandbox::new());
    board.person("bob");
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let hsm = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    let pem = String::from_utf8(hsm.public_key_to_pem().unwrap()).unwrap();
    // As another tool may have left it: without the last line break, and with fields that no client reads.
    let foreign =
        json!({"keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem.trim_end(), "y": ""}, "x": 1});
    board.sandbox.write("hsm.json", foreign.to_string());
    board.root(&["edit", "--add-key", "targets=hsm.json", "--add-key", "root=bob.pem", "--add-key", "snapshot=bob.pem"]).ok();
    let targets = board.key_id("keys/targets.pem");
    board.root(&["edit", "--remove-key", &format!("targets={targets}"), "--threshold", "root=2"]).ok().says(&["- targets key"]);
    board.root(&["edit", "--add-key", "targets=keys/targets.pem"]).ok();
    assert!(!board.draft()["next"].to_string().contains("\"y\""));
    board.root(&["sign", "--yes"]).ok();
    board.root(&["sign", "--yes", "--key", "bob/secret.pem"]).ok();
    // An older program wrote drafts that do not state which repository they are for.
    let mut old = board.draft();
    assert_eq!(old["repository"]["name"], "acme");
    old.as_object_mut().unwrap().remove("repository");
    fs::write(board.sandbox.path("root-draft.json"), old.to_string()).unwrap();
    board.root(&["commit"]).ok();
    board.sandbox.publish(&["verify"]).ok();
}

#[test]
fn changes_are_not_shown_against_a_forged_present_root() {
    let board = Board::new();
    board.root(&["edit", "--expires", "200d"]).ok();
    let honest = board.draft();
    // Ids that fit their keys, in the next root; a present root in which the other root keys are the attacker's.
    let mut draft = honest.clone();
    let mut attackers = Vec::new();
    let next = &mut draft["next"]["signed"];
    for role in ["targets", "snapshot", "timestamp"] {
        let key = evil();
        let id = publish::metadata::PublicKey::from_json(key.clone()).unwrap().id();
        let old = id_of(next, role);
        next["keys"].as_object_mut().unwrap().remove(&old);
        next["keys"][&id] = key;
        next["roles"][role]["keyids"] = json!([id]);
        attackers.push(id);
    }
    let mut present = draft["next"]["signed"].clone();
    present["version"] = 2.into();
    present["expires"] = "2099-01-01T00:00:00Z".into();
    let mut signatures = Vec::new();
    let bob = board.key_id("bob/secret.pem");
    let secrets: Vec<_> = (0..2).map(|_| openssl::pkey::PKey::generate_ed25519().unwrap()).collect();
    let ids: Vec<String> =
        present["roles"]["root"]["keyids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    for (id, secret) in ids.iter().filter(|id| **id != bob).zip(&secrets) {
        present["keys"][id] =
            json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex::encode(secret.raw_public_key().unwrap())}});
    }
    let message = publish::metadata::canonical::canonical(present.to_string().as_bytes()).unwrap().into_owned();
    for (id, secret) in ids.iter().filter(|id| **id != bob).zip(&secrets) {
        let mut signer = openssl::sign::Signer::new_without_digest(secret).unwrap();
        signatures.push(json!({"keyid": id, "sig": hex::encode(signer.sign_oneshot_to_vec(&message).unwrap())}));
    }
    draft["present"] = json!({"signatures": signatures, "signed": present}).to_string().into();
    // The invention differs from the next root in keys under the same ids; with those of the invention in the next root,
    // it does not.
    board.gives("bob", &draft);
    board.signs("bob").fails(6, &["is another key than in root 2, under the same id"]);
    for id in ids.iter().filter(|id| **id != bob) {
        let key = serde_json::from_str::<Value>(draft["present"].as_str().unwrap()).unwrap()["signed"]["keys"][id].clone();
        draft["next"]["signed"]["keys"][id] = key;
    }
    board.gives("bob", &draft);
    // It cannot be verified: all that Bob would sign is shown, with the attacker's keys.
    let shown = board.at("bob", &["show"]).ok().says(&[
        "it cannot be verified: the whole next root is shown",
        "+ root key bob (",
        "the draft says so",
    ]);
    assert!(attackers.iter().all(|id| shown.stdout.contains(id)), "{shown:#?}");
    // With a root that Bob trusts it is refused.
    fs::copy(board.sandbox.path("repo/2.root.json"), board.sandbox.path("bob/2.root.json")).unwrap();
    fs::copy(board.sandbox.path("repo/1.root.json"), board.sandbox.path("bob/1.root.json")).unwrap();
    let sign = ["sign", "--key", "secret.pem", "--yes", "--root"];
    board.at("bob", &[&sign[..], &["2.root.json"]].concat()).fails(9, &["do not sign this", "differs from the root 2 that you trust"]);
    board.at("bob", &[&sign[..], &["1.root.json"]].concat()).fails(9, &["do not sign this", "does not follow root 1"]);
    // Signing the genuine one records it; then the forged one is refused without --root.
    board.gives("bob", &honest);
    board.at("bob", &[&sign[..], &["2.root.json"]].concat()).ok().says(&["= present root: it follows root 2 in 2.root.json", "~ expires"]);
    board.gives("bob", &draft);
    board.signs("bob").fails(9, &["do not sign this", "you signed root 3 on", "signed-roots"]);
    // On the machine that has the repository, always.
    fs::write(board.sandbox.path("root-draft.json"), draft.to_string()).unwrap();
    board.root(&["sign", "--yes"]).fails(5, &["belongs to another repository"]);
}

#[test]
fn changes_are_shown_against_the_root_that_was_signed_last() {
    let board = Board::new();
    let edit = |arguments: &[&str]| {
        board.root(&[&["edit"], arguments].concat()).ok();
        board.gives("carol", &board.draft());
    };
    let publish = || {
        board.root(&["sign", "--yes"]).ok();
        board.root(&["merge", "carol/root-draft.json"]).ok();
        board.root(&["commit"]).ok();
    };
    // The first time, the present root cannot be verified.
    edit(&["--expires", "200d"]);
    let first = board.signs("carol").ok().says(&["! present root: it cannot be verified", "+ timestamp key", "+ expires"]);
    let digest = first.stdout.lines().find_map(|line| line.strip_prefix("what is signed: sha256 ")).unwrap().to_owned();
    first.says(&[&format!("next root, as it is signed: sha256 {digest}")]);
    // She signs it again, as after an edit; then it is published, and the next one follows it.
    board.signs("carol").ok().says(&["it cannot be verified"]);
    publish();
    edit(&["--expires", "210d"]);
    let second = board.signs("carol").ok().says(&["= present root: you signed it on", "~ expires"]);
    assert!(!second.stdout.contains("+ timestamp key"), "{second:#?}");
    publish();
    // Roots that she did not sign: one is checked by its signatures, and its changes are hers to see.
    board.sandbox.publish(&["key", "new", "more.secret", "--no-passphrase"]).ok();
    let more = board.sandbox.publish(&["key", "export", "more.secret"]).ok().stdout;
    board.sandbox.write("more.pem", more);
    board.root(&["edit", "--add-key", "targets=more.pem"]).ok();
    ["keys/root.pem", "bob/secret.pem"].iter().for_each(|key| drop(board.root(&["sign", "--yes", "--key", key]).ok()));
    board.root(&["commit"]).ok();
    edit(&["--expires", "220d"]);
    // Root 4 she signed; 5 added a key.
    board.signs("carol").fails(9, &["cannot be checked", "root 4 is missing", "--root"]);
    for version in [4, 5] {
        let name = format!("{version}.root.json");
        fs::copy(board.sandbox.path(&format!("repo/{name}")), board.sandbox.path(&format!("carol/{name}"))).unwrap();
    }
    let third = board.at("carol", &["sign", "--key", "secret.pem", "--yes", "--root", "4.root.json"]).ok();
    third.says(&["= present root: it follows root 4 in 4.root.json", "+ targets key more"]);
    publish();
    // A draft of an older root is refused, whatever it contains.
    let old = board.sandbox.path("carol/root-draft.json");
    let mut stale: Value = serde_json::from_slice(&fs::read(&old).unwrap()).unwrap();
    stale["present"] = fs::read_to_string(board.sandbox.path("repo/2.root.json")).unwrap().into();
    stale["next"]["signed"]["version"] = 3.into();
    stale["next"]["signatures"] = json!([]);
    let more = id_of(&stale["next"]["signed"], "targets");
    assert_ne!(more, "");
    let ids = stale["next"]["signed"]["roles"]["targets"]["keyids"].as_array().unwrap().clone();
    board.gives("carol", &stale);
    board.signs("carol").fails(9, &["do not sign this", "it starts from root 2, and you trust the newer root"]);
    assert_eq!(ids.len(), 2);
    // What is remembered and cannot be read is no reason to trust.
    let kept: Vec<PathBuf> =
        fs::read_dir(board.sandbox.path("carol/publish/signed-roots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs::write(&kept[0], b"").unwrap();
    board.signs("carol").fails(6, &["cannot be read", "--root"]);
}

/// A root that was signed and then given up is no root to compare with, unless it was published.
#[test]
fn an_abandoned_root_is_not_trusted() {
    let board = Board::new();
    fs::copy(board.sandbox.path("repo/2.root.json"), board.sandbox.path("carol/2.root.json")).unwrap();
    board.sandbox.publish(&["key", "new", "more.secret", "--no-passphrase"]).ok();
    let more = board.sandbox.publish(&["key", "export", "more.secret"]).ok().stdout;
    board.sandbox.write("more.pem", more);
    board.root(&["edit", "--add-key", "targets=more.pem"]).ok();
    board.gives("carol", &board.draft());
    board.at("carol", &["sign", "--key", "secret.pem", "--yes", "--root", "2.root.json"]).ok();
    let given_up: Value = serde_json::from_slice(&fs::read(board.sandbox.path("carol/root-draft.json")).unwrap()).unwrap();
    fs::remove_file(board.sandbox.path("root-draft.json")).unwrap();
    board.next_root();
    // An attacker takes it for the present root: it has one signature of two.
    board.root(&["edit", "--expires", "200d"]).ok();
    let mut draft = board.draft();
    draft["present"] = json!({"signatures": given_up["next"]["signatures"], "signed": given_up["next"]["signed"]}).to_string().into();
    draft["next"]["signed"] = given_up["next"]["signed"].clone();
    draft["next"]["signed"]["version"] = 4.into();
    board.gives("carol", &draft);
    board.signs("carol").fails(9, &["has 1 of 2 valid signatures"]);
}

#[test]
fn a_draft_is_read_once() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let (draft, names) = (trial.path("draft.json"), trial.path("names.json"));
    let publisher = trial.publisher();
    let (other, key) = (trial.path("keys/other.pem"), trial.path("keys/root.pem"));
    keys::create(&other, publish::metadata::KeyKind::Ed25519, None).unwrap();
    let load = |path: &PathBuf| publisher.keyring().load(&KeyUri::File(path.clone())).unwrap();
    root::edit(&publisher, &draft, &names, &RootRequest::default(), false).unwrap();
    let good = fs::read(&draft).unwrap();
    let wish = RootRequest { add: vec![(Role::Targets, load(&other).public().clone(), None)], ..RootRequest::default() };
    root::edit(&publisher, &draft, &names, &wish, false).unwrap();
    let evil = fs::read(&draft).unwrap();
    // While a person reads what is shown, the file is swapped.
    for publisher in [None, Some(&publisher)] {
        fs::write(&draft, &good).unwrap();
        let review = Review::read(publisher, &TrustedRoots::default(), &draft).unwrap();
        fs::write(&draft, &evil).unwrap();
        let error = review.sign(&[load(&key)]).unwrap_err().to_string();
        assert!(error.contains("has changed since it was read"), "{error}");
        assert!(fs::read(&draft).unwrap() == evil, "the file was written");
    }
    // A copy that is merged, likewise.
    fs::write(&draft, &good).unwrap();
    let shown = Review::read(Some(&publisher), &TrustedRoots::default(), &draft).unwrap().report;
    let signed = root::sign(Some(&publisher), &draft, &[load(&key)]).unwrap();
    assert_eq!(shown.sha256, signed.sha256);
    // What was planned is published, and the other draft is not deleted.
    let prepared = commit::prepare(&publisher, &draft, CommitRequest::default()).unwrap();
    let digest = prepared.plan.root.sha256.clone();
    fs::write(&draft, &evil).unwrap();
    commit::carry_out(&publisher, prepared).unwrap();
    let published = fs::read(trial.path("repo/2.root.json")).unwrap();
    let envelope = publish::metadata::Envelope::parse(&published, "").unwrap();
    assert_eq!(hex::encode(openssl::sha::sha256(&envelope.canonical().unwrap())), digest);
    assert!(fs::read(&draft).unwrap() == evil);
}

/// A rotation that goes on with a draft signs and publishes the draft that it looked at, if it is its own.
#[test]
fn a_rotation_goes_on_with_its_own_draft_only() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let publisher = trial.publisher();
    let (new, evil) = (trial.path("keys/new.pem"), trial.path("keys/evil.pem"));
    for path in [&new, &evil] {
        keys::create(path, publish::metadata::KeyKind::Ed25519, None).unwrap();
    }
    let public = |path: &PathBuf| trial.publisher().keyring().load(&KeyUri::File(path.clone())).unwrap().public().clone();
    let publisher = publisher.with_keys(|keyring| keyring.roles.get_mut(&Role::Timestamp).unwrap().push(KeyUri::File(new.clone())));
    let (draft, names) = (trial.path("draft.json"), trial.path("names.json"));
    let places = rotate::Places { draft: &draft, names: &names };
    let wish = RootRequest { add: vec![(Role::Timestamp, public(&new), None)], ..RootRequest::default() };
    root::edit(&publisher, &draft, &names, &wish, false).unwrap();
    let own = fs::read(&draft).unwrap();
    let mut altered: Value = serde_json::from_slice(&own).unwrap();
    let id = public(&new).id();
    altered["next"]["signed"]["keys"][&id] = public(&evil).to_json();
    fs::write(&draft, altered.to_string()).unwrap();
    rotate::draft_of(&publisher, places, Role::Timestamp).map(drop).unwrap_err();
    rotate::add(&publisher, places, Role::Timestamp).unwrap_err();
    let wish = RootRequest { add: vec![(Role::Timestamp, public(&evil), None)], ..RootRequest::default() };
    fs::remove_file(&draft).unwrap();
    root::edit(&publisher, &draft, &names, &wish, false).unwrap();
    let error = rotate::add(&publisher, places, Role::Timestamp).unwrap_err().to_string();
    assert!(error.contains("there is already a draft of the next root"), "{error}");
    fs::write(&draft, own).unwrap();
    rotate::add(&publisher, places, Role::Timestamp).unwrap();
    assert!(!draft.exists());
}

#[test]
fn names_change_by_edit_alone() {
    let board = Board::of(Sandbox::new());
    ["bob", "carol"].iter().for_each(|name| board.person(name));
    let (bob, carol) = (board.key_id("bob/secret.pem"), board.key_id("carol/secret.pem"));
    board.root(&["edit", "--add-key", "root=bob.pem", "--add-key", "root=carol.pem", "--threshold", "root=2"]).ok();
    board.root(&["sign", "--yes"]).ok();
    let mut swapped = board.draft();
    swapped["names"][&bob] = "carol".into();
    swapped["names"][&carol] = "bob".into();
    board.gives("bob", &swapped);
    board.signs("bob").ok();
    board
        .root(&["merge", "bob/root-draft.json"])
        .ok()
        .says(&["1 signature new", &format!("calls key {bob} `carol`; names are not merged")]);
    // Nor when the copy takes the place of the draft.
    fs::copy(board.sandbox.path("bob/root-draft.json"), board.sandbox.path("root-draft.json")).unwrap();
    board.root(&["sign", "--yes"]).ok().says(&[&format!("the draft calls key {bob} `carol`; that is ignored"), &format!("bob ({bob})")]);
    board.root(&["edit", "--remove-key", "root=bob"]).ok();
    assert!(!board.draft()["next"]["signed"]["roles"]["root"]["keyids"].to_string().contains(&bob));
    board.root(&["edit", "--add-key", "root=bob.pem"]).ok();
    ["keys/root.pem", "bob/secret.pem"].iter().for_each(|key| drop(board.root(&["sign", "--yes", "--key", key]).ok()));
    board.root(&["commit"]).ok();
    let names: Value = serde_json::from_slice(&fs::read(board.sandbox.path("keys/names.json")).unwrap()).unwrap();
    assert_eq!(names, json!({bob.clone(): "bob", carol.clone(): "carol"}));
    board.root(&["edit", "--remove-key", "root=bob"]).ok().says(&[&format!("- root key bob ({bob})")]);
    // A dry run keeps no name.
    board.root(&["edit", "--name", &format!("{carol}=caroline"), "--dry-run"]).ok();
    board.root(&["show"]).ok().says(&[&format!("carol ({carol})")]);
}

#[test]
fn names_that_mislead_are_refused() {
    let board = Board::of(Sandbox::new());
    ["bob", "carol"].iter().for_each(|name| board.person(name));
    board.root(&["edit", "--add-key", "root=bob.pem", "--add-key", "root=carol.pem"]).ok();
    let good = board.draft();
    let carol = board.key_id("carol/secret.pem");
    let prefix = board.key_id("bob/secret.pem")[..6].to_owned();
    let misleading = [
        "b\u{200b}ob",
        "\u{202e}bob",
        "b\u{fe0f}ob",
        "\u{3164}",
        "\u{115f}bob",
        "bo\u{ad}b", // invisible or bidirectional
        "b\u{43e}b",
        "bob\u{0661}", // mixed scripts
        "bob",
        "Bob",
        "BOB",
        "b ob",
        "b.ob",
        "b\u{f6}\u{302}b",
        "bo\u{301}b",            // the same, or not composed
        "\u{42c}\u{43e}\u{42c}", // looks like bob, in one other script
        " bob",
        "bob ",
        "b  ob",
        "",
        &prefix,
    ];
    for name in misleading {
        board.root(&["edit", "--name", &format!("{carol}={name}")]).fails(6, &[]);
        let mut lying = good.clone();
        lying["names"][&carol] = name.into();
        board.gives("honest", &lying);
        let run = board.at("honest", &["show"]).fails(6, &[]);
        assert!(run.stderr.is_ascii() || name.is_ascii(), "{run:#?}");
    }
    for name in ["Carol Müller", "王小明", "Σοφία", "Иван", "o'neil", "carol-2"] {
        board.root(&["edit", "--name", &format!("{carol}={name}")]).ok().says(&[name]);
    }
}

#[test]
fn one_key_under_two_ids_signs_once() {
    let trial = Trial::new();
    let signer = |name: &str| {
        let path = trial.path(&format!("keys/{name}.pem"));
        if !path.exists() {
            keys::create(&path, publish::metadata::KeyKind::Ed25519, None).unwrap();
        }
        trial.publisher().keyring().load(&KeyUri::File(path)).unwrap()
    };
    let (one, two) = (signer("root"), signer("second"));
    let file = fs::read(trial.path("repo/1.root.json")).unwrap();
    let mut document: Value = serde_json::from_slice(&file).unwrap();
    let signed = &mut document["signed"];
    signed["keys"]["abcd"] = one.public().to_json();
    signed["keys"][two.public().id()] = two.public().to_json();
    signed["roles"]["root"] = json!({"keyids": [one.public().id(), "abcd", two.public().id()], "threshold": 2});
    let message = publish::metadata::canonical::canonical(signed.to_string().as_bytes()).unwrap().into_owned();
    document["signatures"] = [&one, &two]
        .iter()
        .map(|signer| json!({"keyid": signer.public().id(), "sig": hex::encode(signer.sign(&message).unwrap())}))
        .collect::<Vec<_>>()
        .into();
    let present = serde_json::to_vec(&document).unwrap();
    let mut draft = RootDraft::start(&present, |_| trial.now() + chrono::TimeDelta::days(9), Default::default()).unwrap();
    let message = draft.message().unwrap();
    let by = |id: &str, signer: &std::sync::Arc<dyn publish::keys::RoleSigner>| publish::metadata::Signature {
        keyid: id.into(),
        sig: hex::encode(signer.sign(&message).unwrap()),
    };
    draft.add_signatures(&[by(&one.public().id(), &one), by("abcd", &one)]).unwrap();
    for quorum in draft.quorums().unwrap() {
        assert!(!quorum.is_reached() && quorum.signed.len() == 1 && quorum.missing == [two.public().id()], "{quorum:?}");
    }
    draft.add_signatures(&[by(&two.public().id(), &two)]).unwrap();
    assert!(draft.quorums().unwrap().iter().all(publish::metadata::Quorum::is_reached));
}

#[test]
fn signing_shows_which_repository_it_is() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--public-url", "https://tuf.example.org", "--no-passphrase"]).ok();
    let board = Board::of(sandbox);
    let first = hex::encode(openssl::sha::sha512(&fs::read(board.sandbox.path("repo/1.root.json")).unwrap()));
    board.root(&["edit", "--expires", "300d"]).ok();
    let line = format!("repository: acme, https://tuf.example.org, first root sha512 {first}");
    let shown = board.root(&["sign", "--yes", "--dry-run"]).ok().says(&[&line]);
    assert!(!shown.stdout.contains("the draft says so"), "{shown:#?}");
    board.gives("bob", &board.draft());
    board.at("bob", &["show"]).ok().says(&[&format!("{line} (the draft says so; nothing confirms it)")]);
    // A draft that names another one is contradicted where the repository is at hand.
    let mut lying = board.draft();
    lying["repository"]["name"] = "other".into();
    fs::write(board.sandbox.path("root-draft.json"), lying.to_string()).unwrap();
    board.root(&["show"]).ok().says(&[&line, "! the draft says that it is for other, https://tuf.example.org"]);
    for name in ["two words", "\u{202e}emca", "a\nb", ""] {
        lying["repository"]["name"] = name.into();
        board.gives("bob", &lying);
        board.at("bob", &["show"]).fails(6, &["the repository is called"]);
    }
}

#[test]
fn keys_of_another_repository_are_warned_about() {
    let sandbox = Sandbox::new();
    let with_keys = |place: &str| {
        fs::create_dir_all(sandbox.path(place).join("keys")).unwrap();
        fs::copy(sandbox.path("keys/root.pem"), sandbox.path(place).join("keys/root.pem")).unwrap();
        sandbox.command().current_dir(sandbox.path(place)).args(["init", "--name", "other", "--no-passphrase"]).output().unwrap()
    };
    let run = Run::from(with_keys("other")).ok();
    assert!(run.stderr.contains("keys/root.pem exists already and becomes a key of this repository"), "{run:#?}");
    assert!(!run.stderr.contains("targets.pem"), "{run:#?}");
    let again = sandbox.publish(&["init"]).ok();
    assert!(!again.stderr.contains("exists already"), "{again:#?}");
}

/// What was signed is kept durably, for each repository, and a machine that cannot keep it can sign.
#[test]
fn what_was_signed_is_kept_for_each_repository() {
    let trial = Trial::new();
    let memory = SignedRoots { directory: trial.path("no/such") };
    let (draft, names) = (trial.path("draft.json"), trial.path("names.json"));
    root::edit(&trial.publisher(), &draft, &names, &RootRequest::default(), false).unwrap();
    let trusted = TrustedRoots { given: Vec::new(), signed: Some(memory.clone()) };
    let key = trial.publisher().keyring().load(&KeyUri::File(trial.path("keys/root.pem"))).unwrap();
    Review::read(None, &trusted, &draft).unwrap().sign(std::slice::from_ref(&key)).unwrap();
    // Another repository with other keys has a file of its own, and no effect on this one.
    let other = Trial::new();
    root::edit(&other.publisher(), &other.path("draft.json"), &other.path("names.json"), &RootRequest::default(), false).unwrap();
    let its = other.publisher().keyring().load(&KeyUri::File(other.path("keys/root.pem"))).unwrap();
    Review::read(None, &trusted, &other.path("draft.json")).unwrap().sign(&[its]).unwrap();
    assert_eq!(fs::read_dir(&memory.directory).unwrap().count(), 2);
    let blocked = trial.path("file");
    fs::write(&blocked, "").unwrap();
    let trusted = TrustedRoots { given: Vec::new(), signed: Some(SignedRoots { directory: blocked.join("x") }) };
    let report = Review::read(None, &trusted, &draft).map(|review| review.sign(&[key]));
    match report {
        Ok(report) => assert!(report.unwrap().notes.iter().any(|note| note.contains("the record of what you signed cannot be written"))),
        Err(error) => panic!("{error:#}"),
    }
}

/// The config names keys that lie elsewhere, and no directory of keys.
#[test]
fn root_edit_makes_the_directory_of_names() {
    let sandbox = Sandbox::new();
    fs::rename(sandbox.path("keys"), sandbox.path("elsewhere")).unwrap();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("keys/", "elsewhere/"));
    sandbox.publish(&["key", "new", "bob.pem", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "root=bob.pem"]).ok();
    let mode = fs::metadata(sandbox.path("keys")).unwrap().permissions().mode() & 0o777;
    assert!(mode == 0o700 && sandbox.path("keys/names.json").is_file(), "{mode:o}");
}

/// A pipe without a writer would never open.
#[test]
fn drafts_are_regular_files() {
    let sandbox = Sandbox::new();
    assert!(std::process::Command::new("mkfifo").arg(sandbox.path("pipe")).status().unwrap().success());
    for command in ["show", "sign", "commit", "edit"] {
        let arguments = ["10", env!("CARGO_BIN_EXE_publish"), "root", command, "--draft", "pipe"];
        let run = std::process::Command::new("timeout").args(arguments).current_dir(sandbox.path("")).output().unwrap();
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(
            run.status.code() == Some(6) && text.contains("the draft pipe") && text.contains("not a regular file"),
            "{command}: {run:?}"
        );
    }
}

#[test]
fn a_commit_without_a_draft_reports_the_newest_root() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["root", "edit", "--expires", "300d"]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "commit"]).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true", "consistent_snapshot: false"));
    sandbox.publish(&["refresh"]).ok();
    let run = sandbox.unchanged(|| sandbox.publish(&["root", "commit"]).ok());
    run.says(&["root 2 is published already, and root 3 after it; there is no draft; nothing to do"]);
}
