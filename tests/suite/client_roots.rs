//! Roots that some clients refuse, as each client was observed to: the rules of `policy::client_roots`.

use crate::sandbox::Sandbox;
use publish::metadata::{Envelope, Root, Signature, seal};
use publish::policy::client_roots::{Client, check, lockouts_of_file};
use serde_json::{Value, json};
use std::fs;

use Client::{GoTuf, PythonTuf, Trdl, TufJs};

/// A root file after a change of its signed part; nothing checks its signature here.
fn changed(file: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(file).unwrap();
    change(&mut document["signed"]);
    serde_json::to_vec(&document).unwrap()
}

fn clients(file: &[u8]) -> Vec<Client> {
    let mut all: Vec<Client> = Vec::new();
    for client in lockouts_of_file(file, "the root").unwrap().into_iter().flat_map(|lockout| lockout.clients) {
        // What other clients require of key ids is tested with them.
        if client.is_promised() && !all.contains(&client) {
            all.push(client);
        }
    }
    all
}

/// A key of the root, by the role that it signs.
fn key<'v>(signed: &'v mut Value, role: &str) -> &'v mut Value {
    let id = signed["roles"][role]["keyids"][0].as_str().unwrap().to_owned();
    &mut signed["keys"][id]
}

#[test]
fn each_client_refuses_what_it_was_seen_to_refuse() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    assert_eq!(clients(&file), []);
    type Change = fn(&mut Value);
    let table: [(&str, Change, &[Client]); 14] = [
        ("_type capitalised", |root| root["_type"] = "Root".into(), &[PythonTuf, TufJs, GoTuf]),
        ("no spec_version", |root| drop(root.as_object_mut().unwrap().remove("spec_version")), &[PythonTuf, TufJs, GoTuf]),
        ("spec_version 2.0.0", |root| root["spec_version"] = "2.0.0".into(), &[PythonTuf, TufJs]),
        ("spec_version 1", |root| root["spec_version"] = "1".into(), &[PythonTuf, TufJs]),
        ("expires with fraction", |root| root["expires"] = "2099-01-01T00:00:00.5Z".into(), &[PythonTuf]),
        ("expires with offset", |root| root["expires"] = "2099-01-01T00:00:00+03:00".into(), &[PythonTuf]),
        ("consistent_snapshot is a string", |root| root["consistent_snapshot"] = "true".into(), &[Trdl, TufJs, GoTuf]),
        ("further role", |root| root["roles"]["mirrors"] = root["roles"]["targets"].clone(), &[PythonTuf]),
        (
            "key id twice",
            |root| {
                let id = root["roles"]["targets"]["keyids"][0].clone();
                root["roles"]["targets"]["keyids"] = json!([id, id]);
            },
            &[PythonTuf, TufJs],
        ),
        ("threshold above keys", |root| root["roles"]["targets"]["threshold"] = 2.into(), &Client::PROMISED),
        (
            "one key under two ids for threshold 2",
            |root| {
                let copy = key(root, "targets").clone();
                root["keys"]["copy"] = copy;
                root["roles"]["targets"]["keyids"].as_array_mut().unwrap().push("copy".into());
                root["roles"]["targets"]["threshold"] = 2.into();
            },
            &Client::PROMISED,
        ),
        ("no scheme", |root| drop(key(root, "targets").as_object_mut().unwrap().remove("scheme")), &[PythonTuf, TufJs, GoTuf]),
        ("other scheme", |root| key(root, "targets")["scheme"] = "ed25519ph".into(), &[PythonTuf]),
        ("unknown keytype", |root| key(root, "targets")["keytype"] = "sigstore-oidc".into(), &[]),
    ];
    for (what, change, expected) in table {
        let found = clients(&changed(&file, change));
        // A key that cannot be read leaves its role without one, too.
        let expected = if what == "unknown keytype" { &Client::PROMISED[..] } else { expected };
        assert!(found.len() == expected.len() && expected.iter().all(|client| found.contains(client)), "{what}: {found:?}");
    }
    let ecdsa = publish::metadata::PublicKey::from_json(json!({
        "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": p256()}
    }))
    .unwrap();
    let with_ecdsa = changed(&file, |root| root["keys"][ecdsa.id()] = ecdsa.to_json());
    assert_eq!(clients(&with_ecdsa), [Trdl]);
}

#[test]
fn each_client_refuses_signatures_that_it_cannot_read() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    let envelope = Envelope::parse(&file, "").unwrap();
    let with = |more: Signature| {
        let mut signatures = envelope.signatures.clone();
        signatures.push(more);
        clients(&seal(envelope.signed().as_bytes(), &signatures))
    };
    assert_eq!(with(envelope.signatures[0].clone()), [PythonTuf, TufJs]);
    assert_eq!(with(Signature { keyid: "ab".into(), sig: "not hex".into() }), [Trdl]);
    assert_eq!(with(Signature { keyid: "ab".into(), sig: String::new() }), []);
}

/// A repository that was adopted without some client may go on without it; nothing is lost that was not lost before.
#[test]
fn only_a_client_that_followed_until_now_can_be_locked_out() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    let other = changed(&file, |root| root["spec_version"] = "2.0.0".into());
    let root = |file: &[u8]| Root::parse(&Envelope::parse(file, "").unwrap(), "").unwrap();
    check(Some(&root(&other)), &other, "2.root.json").unwrap();
    let failure = check(Some(&root(&file)), &other, "2.root.json").unwrap_err();
    assert!(failure.message.contains("python-tuf, tuf-js"), "{failure:?}");
    check(None, &other, "1.root.json").unwrap_err();
}

fn p256() -> String {
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let key = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    String::from_utf8(key.public_key_to_pem().unwrap()).unwrap()
}
