//! Every kind of message has an id that programs can rely on: unique, documented, and in the document where the message is.

use crate::sandbox::Sandbox;
use publish::error::{Class, Id};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn ids_are_unique_documented_and_used() {
    let reference = Sandbox::empty().publish(&["reference"]).ok().stdout;
    let source: String = walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| fs::read_to_string(entry.path()).unwrap())
        .collect();
    let mut seen = BTreeSet::new();
    for id in Id::ALL {
        let text = id.id();
        assert!(seen.insert(text), "{text} is there twice");
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{text}");
        assert!(reference.contains(&format!("| `{text}` | {} |", id.about())), "{text}");
        let variant = format!("{id:?}");
        // The ids of kinds are given in `Id::of_kind`.
        assert!(
            source.contains(&format!("Id::{variant}")) || source.contains(&format!("=> Self::{variant},")),
            "{text} is given to no message"
        );
    }
    assert!(Id::ALL.iter().any(|id| id.class() == Class::Finding));
}

/// The ids of `messages`, each of which has a severity and a text.
#[track_caller]
fn ids(document: &Value) -> Vec<String> {
    let messages = document["messages"].as_array().unwrap_or_else(|| panic!("no messages: {document}"));
    let id = |message: &Value| {
        assert!(message["message"].as_str().is_some_and(|text| !text.is_empty()), "{message}");
        assert!(["warning", "note"].contains(&message["severity"].as_str().unwrap()), "{message}");
        message["id"].as_str().unwrap().to_owned()
    };
    messages.iter().map(id).collect()
}

#[test]
fn warnings_and_notes_have_ids() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/bin/empty", "");
    sandbox.write("dist/darwin-arm64/share/x", "x");
    let dry = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--dry-run", "--json"]).ok().json();
    assert_eq!(ids(&dry), ["no-bin-directory", "empty-file"]);
    // The texts stay where they were.
    let texts: Vec<&str> = dry["plan"]["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(texts.len() == 2 && texts[1].contains("is empty"), "{texts:?}");
    let run = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--json"]).ok();
    assert_eq!(ids(&run.json()), ["no-bin-directory", "empty-file"]);
    // A document without messages says so.
    assert!(ids(&sandbox.publish(&["status", "--json"]).ok().json()).is_empty());
    // Warnings of the run itself.
    fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    let run = sandbox.publish(&["status", "--json"]).ok();
    assert_eq!(ids(&run.json()), ["no-memory"]);
    assert!(run.stderr.contains("would not be detected"), "{run:#?}");
    // Also where the command fails.
    let run = sandbox.publish(&["release", "1.0.0+x", "--from", "nowhere", "--json"]);
    assert!(run.code != 0 && run.json()["messages"].is_array(), "{run:#?}");
    sandbox.publish(&["root", "edit", "--expires", "30d"]).ok();
    let note = sandbox.publish(&["root", "show", "--json"]).ok().json();
    assert!(ids(&note).contains(&"root-expires-earlier".to_owned()), "{note}");
    assert_eq!(note["root"]["notes"][0], "it expires before the present root");
}

#[test]
fn errors_and_findings_have_ids() {
    let error = |sandbox: &Sandbox, arguments: &[&str]| -> String {
        let run = sandbox.publish(&[arguments, &["--json"]].concat());
        assert_ne!(run.code, 0, "{run:#?}");
        let json = run.json();
        json["error"]["id"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
    };
    let empty = Sandbox::empty();
    assert_eq!(error(&empty, &["status"]), "config-missing");
    assert_eq!(error(&empty, &["releas"]), "usage");
    assert_eq!(error(&empty, &["verify", "nowhere"]), "no-repository");
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("dist/linux-amd64/bin/acme", "other bytes");
    assert_eq!(error(&sandbox, &["release", "1.0.0", "--from", "dist"]), "other-content-published");
    assert_eq!(error(&sandbox, &["release", "1,0", "--from", "dist"]), "invalid");
    assert_eq!(error(&sandbox, &["yank", "1.0.0"]), "not-confirmed");
    sandbox.channels(&[("1", "stable", "2.0.0")]);
    assert_eq!(error(&sandbox, &["channels"]), "channel-version-unknown");
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.1.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    assert_eq!(error(&sandbox, &["channels"]), "channel-downgrade");
    sandbox.publish(&["yank", "1.0.0", "--confirm", "1.0.0"]).ok();
    assert_eq!(error(&sandbox, &["release", "1.0.0", "--from", "dist"]), "version-yanked");
    sandbox.publish(&["pause"]).ok();
    assert_eq!(error(&sandbox, &["release", "1.2.0", "--from", "dist"]), "paused");
    sandbox.write("repo/targets/releases/1.1.0/linux-amd64/bin/acme", "tampered");
    let verified = sandbox.publish(&["verify", "--json"]);
    let json = verified.json();
    let findings = json["report"]["findings"].as_array().unwrap();
    assert!(!findings.is_empty() && findings.iter().all(|finding| finding["id"].is_string()), "{json}");
    assert!(findings.iter().any(|finding| finding["id"] == "plain-name-outdated" || finding["id"] == "plain-name-tampered"), "{json}");
    sandbox.write("publish.yaml", "chanels: x\n");
    assert_eq!(error(&sandbox, &["status"]), "config-unknown-key");
}
