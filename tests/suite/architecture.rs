//! The layers: a module uses only modules of lower layers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules by layer, the lowest first. `docs/contributing.md` says what each layer is for.
const LAYERS: [(&str, &[&str]); 7] = [
    ("values", &["error", "names", "digest", "metadata", "openpgp"]),
    ("files and connections", &["files", "transport", "tree"]),
    ("inputs and services", &["channels", "keys", "storage", "broker"]),
    ("promises", &["policy"]),
    ("repository", &["repository"]),
    ("operations", &["operation"]),
    ("edge", &["config", "cli"]),
];

/// What modules may use of their own layer.
const WITHIN: [(&str, &[&str]); 6] = [
    ("names", &["error"]),
    ("digest", &["error"]),
    ("openpgp", &["error"]),
    ("metadata", &["error", "names", "digest"]),
    ("tree", &[]),
    ("cli", &["config"]),
];

/// What modules must not use although it is in a lower layer.
const NEVER: [(&str, &[&str]); 4] = [
    // Values and requests go in, refusals come out.
    ("policy", &["files", "transport", "tree", "keys", "storage", "broker"]),
    ("repository", &["files", "transport", "channels", "broker"]),
    ("channels", &["metadata", "openpgp", "digest"]),
    ("config", &["openpgp", "channels"]),
];

/// The names of `keys` that `repository` uses: whoever signs is known to it as a signer only.
const SIGNERS: [&str; 3] = ["RoleSigner", "Signers", "sign_all"];

/// What modules of the lowest layer do not name: they know no clock, disk, network or environment.
const OUTSIDE: [&str; 5] = ["Utc::now", "SystemTime::now", "std::fs", "std::env", "std::net::Tcp"];

/// What only the command line does.
const PRINTS: [&str; 4] = ["println!", "eprintln!", "print!(", "std::process::exit"];

fn layer_of(module: &str) -> usize {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module)).unwrap_or_else(|| panic!("no layer for {module}"))
}

/// What a list of exceptions has for a module.
fn listed<'l>(list: &'l [(&str, &'l [&'l str])], module: &str) -> &'l [&'l str] {
    list.iter().find(|(name, _)| *name == module).map_or(&[], |(_, modules)| modules)
}

fn may_use(module: &str, other: &str) -> bool {
    let (own, theirs) = (layer_of(module), layer_of(other));
    let allowed = theirs < own || listed(&WITHIN, module).contains(&other);
    (module == other || allowed) && !listed(&NEVER, module).contains(&other)
}

/// The modules that a file names.
fn named(text: &str) -> BTreeSet<&str> {
    text.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()).collect()
}

#[test]
fn no_module_uses_a_higher_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    let mut files = 0;
    let rust = |entry: &walkdir::DirEntry| entry.path().extension().is_some_and(|extension| extension == "rs");
    for entry in walkdir::WalkDir::new(&source).into_iter().map(Result::unwrap).filter(rust) {
        let relative = entry.path().strip_prefix(&source).unwrap().to_str().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        files += 1;
        if relative == "main.rs" || relative == "lib.rs" {
            continue;
        }
        let module = relative.split(['/', '.']).next().unwrap();
        let strange = named(&text).into_iter().filter(|other| !other.is_empty() && !may_use(module, other));
        broken.extend(strange.map(|other| format!("{relative} uses {other}")));
        if layer_of(module) == 0 {
            broken.extend(OUTSIDE.iter().filter(|word| text.contains(**word)).map(|word| format!("{relative} has {word}")));
        }
        if module != "cli" {
            broken.extend(PRINTS.iter().filter(|word| text.contains(**word)).map(|word| format!("{relative} has {word}")));
            // Sequoia's errors are anyhow's: they become our own where they come in.
            if module != "openpgp" && text.contains("anyhow") {
                broken.push(format!("{relative} uses anyhow"));
            }
        }
        if module == "repository" {
            let keys = text.lines().filter_map(|line| line.strip_prefix("use crate::keys::"));
            let names = keys.flat_map(|names| names.split(|c: char| !c.is_alphanumeric() && c != '_')).filter(|name| !name.is_empty());
            broken.extend(names.filter(|name| !SIGNERS.contains(name)).map(|name| format!("{relative} uses keys::{name}")));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(files > 50, "the walk found the sources");
}

/// The rule itself: an upward edge, one within a layer and a forbidden one are found.
#[test]
fn the_layers_are_ordered() {
    assert!(may_use("operation", "policy") && may_use("cli", "config") && may_use("metadata", "names"));
    for (module, other) in [("policy", "repository"), ("names", "metadata"), ("keys", "storage"), ("policy", "storage"), ("config", "cli")]
    {
        assert!(!may_use(module, other), "{module} may use {other}");
    }
}

#[test]
fn the_pinned_tuf_crate_is_the_measured_one() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"tuf\"\nversion = \"0.3.0-beta14\""));
}
