use crate::trial::Trial;
use publish::digest::Digests;
use publish::metadata::canonical::canonical;
use publish::metadata::trust::{AtExpiry, TrustedMetadata};
use publish::metadata::{Envelope, Lifetimes, MetaFile, Root, TargetEdits, Targets, parse_expiry, seal};
use publish::policy::clocks::Moment;
use publish::repository::{NewRole, SignedRole, sign_snapshot, sign_targets, sign_timestamp};
use std::borrow::Cow;

#[test]
fn canonical_json_is_what_python_tuf_signs() {
    // Pairs of input and the output of securesystemslib 1.6.0's encode_canonical.
    for (input, output) in [
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (r#" [ 1 , -2, true, null ] "#, r#"[1,-2,true,null]"#),
        (r#""a\"b\\c""#, r#""a\"b\\c""#),
        (r#""line\nbreak\u00e9""#, "\"line\nbreaké\""),
        (r#"{"\ud83d\ude00":0,"\uffff":0}"#, "{\"\u{ffff}\":0,\"😀\":0}"),
        ("{}", "{}"),
    ] {
        assert_eq!(String::from_utf8(canonical(input.as_bytes()).unwrap().into_owned()).unwrap(), output);
    }
    assert!(matches!(canonical(br#"{"a":[1,{"b":"c"}]}"#).unwrap(), Cow::Borrowed(_)), "canonical input is not copied");
    for refused in ["1.5", "1e3", "99999999999999999999999", "{", "\"\u{1}\"", "{\"a\":1}x", "[1,]", "nul", ""] {
        assert!(canonical(refused.as_bytes()).is_err(), "{refused}");
    }
    assert!(canonical(&[b"[".repeat(200), b"]".repeat(200)].concat()).is_err());
    assert!(canonical(b"\"\xff\"").is_err());
}

struct Files {
    root: Vec<u8>,
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    targets: Vec<u8>,
}

/// A client that has read a repository after one release, with everything needed to sign what should be refused.
struct Bench {
    trial: Trial,
    signers: publish::keys::Signers,
    client: TrustedMetadata,
    files: Files,
}

fn new_targets(signed: &SignedRole) -> NewRole {
    NewRole { role: publish::names::Role::Targets.into(), signed: signed.clone() }
}

impl Bench {
    fn new() -> Self {
        let trial = Trial::new();
        trial.release("1.0.0").unwrap();
        let publisher = trial.publisher();
        let client = trial.trust();
        let signers = publisher.signers(client.root(), &publish::metadata::Role::ALL).unwrap();
        let read = |name: &str| std::fs::read(trial.path("repo").join(name)).unwrap();
        let files = Files {
            root: read("1.root.json"),
            timestamp: read("timestamp.json"),
            snapshot: read("2.snapshot.json"),
            targets: read("2.targets.json"),
        };
        Self { client: client.as_client(chrono::Utc::now()), trial, signers, files }
    }

    /// Offers a next state with these versions and expects a refusal with these texts.
    fn refuses(&self, versions: (u64, u64, u64), words: &str) {
        let now = self.trial.publisher().now();
        let root = self.client.root();
        let (timestamp, snapshot) = self.client.listings().unwrap();
        let present = Targets::parse(self.files.targets.clone(), "").unwrap();
        let targets =
            sign_targets(root, &self.signers, &present, &TargetEdits::new(), versions.0, Moment::first(now, Lifetimes::default())).unwrap();
        let snapshot =
            sign_snapshot(root, &self.signers, snapshot, &[new_targets(&targets)], versions.1, Moment::first(now, Lifetimes::default()))
                .unwrap();
        let timestamp =
            sign_timestamp(root, &self.signers, timestamp, Some(&snapshot), versions.2, Moment::first(now, Lifetimes::default())).unwrap();
        let mut client = self.client.clone();
        let result = client
            .timestamp(&timestamp.bytes)
            .map(drop)
            .and_then(|()| client.snapshot(&snapshot.bytes).map(drop))
            .and_then(|()| client.targets(targets.bytes.clone()).map(drop));
        let message = result.expect_err(words).message;
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn clients_refuse_rollbacks_of_every_role() {
    let bench = Bench::new();
    bench.refuses((3, 3, 1), "timestamp.json went back from version 2 to 1");
    bench.refuses((3, 1, 3), "the snapshot that timestamp.json names went back from version 2 to 1");
    bench.refuses((3, 3, i64::MAX as u64), "after which none can follow");
    bench.refuses((3, i64::MAX as u64, 3), "after which none can follow");
    bench.refuses((1, 3, 3), "targets.json in snapshot.json (version 3) went back from version 2 to 1");
}

#[test]
fn clients_refuse_a_snapshot_that_drops_an_entry() {
    let bench = Bench::new();
    let now = bench.trial.publisher().now();
    let root = bench.client.root();
    let (timestamp, snapshot) = bench.client.listings().unwrap();
    let listed = MetaFile { version: 1, length: None, hashes: None };
    let with = snapshot.next(3, now + chrono::TimeDelta::days(1), [("other.json".to_owned(), listed)]);
    let sign = |listing: &publish::metadata::Listing, version| {
        sign_snapshot(root, &bench.signers, listing, &[], version, Moment::first(now, Lifetimes::default())).unwrap()
    };
    let (third, fourth) = (sign(&with, 3), sign(snapshot, 4));
    let mut client = bench.client.clone();
    client
        .timestamp(
            &sign_timestamp(root, &bench.signers, timestamp, Some(&third), 3, Moment::first(now, Lifetimes::default())).unwrap().bytes,
        )
        .unwrap();
    client.snapshot(&third.bytes).unwrap();
    client
        .timestamp(
            &sign_timestamp(root, &bench.signers, timestamp, Some(&fourth), 4, Moment::first(now, Lifetimes::default())).unwrap().bytes,
        )
        .unwrap();
    let message = client.snapshot(&fourth.bytes).unwrap_err().message;
    assert!(message.contains("no longer lists other.json"), "{message}");
}

#[test]
fn clients_refuse_mixed_and_changed_files() {
    let bench = Bench::new();
    let mut client = TrustedMetadata::pin(&bench.files.root, AtExpiry::Refuse(chrono::Utc::now())).unwrap();
    assert!(client.snapshot(&bench.files.snapshot).unwrap_err().message.contains("no timestamp was read"));
    assert!(client.timestamp(&bench.files.snapshot).unwrap_err().message.contains("valid signatures"));
    client.timestamp(&bench.files.timestamp).unwrap();
    let changed = |file: &[u8]| [file, b" "].concat();
    assert!(client.snapshot(&changed(&bench.files.snapshot)).unwrap_err().message.contains("bytes where"));
    client.snapshot(&bench.files.snapshot).unwrap();
    let mut flipped = bench.files.targets.clone();
    *flipped.last_mut().unwrap() = b' ';
    assert!(client.targets(flipped).unwrap_err().message.contains("digest"));
    assert_eq!(client.targets(bench.files.targets.clone()).unwrap().len(), 5);
}

#[test]
fn clients_refuse_what_has_expired_and_publishers_note_it() {
    let bench = Bench::new();
    let later = |days| chrono::Utc::now() + chrono::TimeDelta::days(days);
    let read = |at_expiry| -> publish::error::Result<TrustedMetadata> {
        let mut trust = TrustedMetadata::pin(&bench.files.root, at_expiry)?;
        trust.end_of_roots()?;
        trust.timestamp(&bench.files.timestamp)?;
        trust.snapshot(&bench.files.snapshot)?;
        trust.targets(bench.files.targets.clone())?;
        Ok(trust)
    };
    read(AtExpiry::Refuse(later(0))).unwrap();
    for (days, words) in [(2, "timestamp.json expired"), (400, "root expired")] {
        assert!(read(AtExpiry::Refuse(later(days))).unwrap_err().message.contains(words));
    }
    assert_eq!(read(AtExpiry::Report(later(400))).unwrap().expired().len(), 4);
}

#[test]
fn roots_need_both_quorums_and_the_next_number() {
    let bench = Bench::new();
    let stranger = Trial::new();
    let theirs = stranger.trust().root().clone();
    let ours = bench.client.root();
    let expires = chrono::Utc::now() + chrono::TimeDelta::days(9);
    let sign = |root: &Root, signers: &publish::keys::Signers| {
        publish::repository::sign_root(root, Some(root), &signers[&publish::metadata::Role::Root]).unwrap()
    };
    let their_signers = stranger.publisher().signers(&theirs, &publish::metadata::Role::ALL).unwrap();
    let refused = |file: &[u8], words: &str| {
        let message = bench.client.clone().next_root(file).unwrap_err().message;
        assert!(message.contains(words), "{message}");
    };
    refused(&sign(&theirs.renewed(expires).unwrap(), &their_signers), "by the keys of the root before it");
    refused(&bench.files.root, "has version 1");
    refused(&sign(&ours.renewed(expires).unwrap().renewed(expires).unwrap(), &bench.signers), "has version 3");
    bench.client.clone().next_root(&sign(&ours.renewed(expires).unwrap(), &bench.signers)).unwrap();
    let long = [&bench.files.root[..], &vec![b' '; 512_000]].concat();
    refused(&long, "clients stop at 512000");
}

#[test]
fn a_key_counts_once_towards_a_threshold() {
    let bench = Bench::new();
    let key = bench.client.root().keys_of(publish::metadata::Role::Targets).next().unwrap().1.clone();
    let envelope = Envelope::parse(&bench.files.targets, "").unwrap();
    let message = envelope.canonical().unwrap();
    let id = envelope.signatures[0].keyid.clone();
    // One signature twice, and one key under two ids.
    let twice = seal(
        envelope.signed().as_bytes(),
        &[envelope.signatures[0].clone(), publish::metadata::Signature { keyid: "other".into(), sig: envelope.signatures[0].sig.clone() }],
    );
    let envelope = Envelope::parse(&twice, "").unwrap();
    let keys = [(id.as_str(), &key), ("other", &key)];
    assert_eq!(envelope.valid_signers(&message, keys.into_iter()).len(), 1);
}

#[test]
fn unknown_fields_survive_an_edit() {
    let file = br#"{"signatures":[],"signed":{"_type":"targets","delegations":{"keys":{},"roles":[]},"expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{"a":{"custom":{"x":[1,"y"]},"hashes":{"sha256":"aa"},"length":1},"c":{}},"version":4,"x-unknown":"kept"}}"#;
    let targets = Targets::parse(file.to_vec(), "f").unwrap();
    let edits: TargetEdits = [("b".to_owned(), Some(publish::metadata::Target::of(&Digests::of(b"b")))), ("c".to_owned(), None)].into();
    let edited = String::from_utf8(targets.edited(5, parse_expiry("2031-01-01T00:00:00Z").unwrap(), &edits).unwrap()).unwrap();
    let digest = Digests::of(b"b").hex();
    let expected = format!(
        r#"{{"_type":"targets","delegations":{{"keys":{{}},"roles":[]}},"expires":"2031-01-01T00:00:00Z","spec_version":"1.0.31","targets":{{"a":{{"custom":{{"x":[1,"y"]}},"hashes":{{"sha256":"aa"}},"length":1}},"b":{{"hashes":{{"sha256":"{digest}"}},"length":1}}}},"version":5,"x-unknown":"kept"}}"#
    );
    assert_eq!(edited, expected);
    for (broken, words) in [
        (r#"{"_type":"targets","expires":"2030-01-01T00:00:00Z","targets":{"a":{},"a":{}},"version":1}"#, "target a is listed twice"),
        (r#"{"_type":"targets","_type":"targets","expires":"x","targets":{},"version":1}"#, "field _type occurs twice"),
        (r#"{"_type":"snapshot","expires":"2030-01-01T00:00:00Z","targets":{},"version":1}"#, "holds a `snapshot` role"),
        (r#"{"_type":"targets","expires":"2030-01-01T00:00:00Z","targets":{},"version":0}"#, "versions start at 1"),
        (r#"{"_type":"targets","expires":"tomorrow","targets":{},"version":1}"#, "is not an RFC 3339 time"),
        (r#"{"_type":"targets","expires":"2030-01-01T00:00:00Z","version":1}"#, "no targets"),
    ] {
        let file = format!(r#"{{"signatures":[],"signed":{broken}}}"#);
        let message = Targets::parse(file.into_bytes(), "f").unwrap_err().message;
        assert!(message.contains(words), "{message}");
    }
}
