//! The layers: a module uses only modules of lower layers.

use std::fs;
use std::path::Path;

/// A module and the modules that it may use.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("error", &[]),
    ("files", &[]),
    ("names", &["error"]),
    ("transport", &["error"]),
    ("digest", &["error"]),
    ("metadata", &["error", "names", "digest"]),
    ("openpgp", &["error"]),
    ("channels", &["error", "files", "names"]),
    ("keys", &["error", "files", "transport", "metadata", "openpgp"]),
    ("storage", &["error", "files", "transport", "names"]),
    ("broker", &["error", "files", "transport", "names", "metadata"]),
    ("tree", &["error"]),
    ("policy", &["error", "names", "digest", "metadata", "openpgp", "channels"]),
    ("repository", &["error", "names", "digest", "metadata", "openpgp", "storage", "keys", "tree", "policy"]),
    (
        "operation",
        &[
            "error",
            "files",
            "names",
            "broker",
            "digest",
            "metadata",
            "openpgp",
            "channels",
            "keys",
            "storage",
            "tree",
            "policy",
            "repository",
        ],
    ),
    ("config", &["error", "files", "metadata", "broker", "keys", "repository", "storage", "tree", "operation"]),
    (
        "cli",
        &[
            "error",
            "files",
            "transport",
            "names",
            "metadata",
            "broker",
            "openpgp",
            "keys",
            "storage",
            "policy",
            "repository",
            "operation",
            "config",
        ],
    ),
];

#[test]
fn no_module_uses_a_higher_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sizes = Vec::new();
    let mut broken = Vec::new();
    for entry in walkdir::WalkDir::new(&source)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
    {
        let relative = entry.path().strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(entry.path()).unwrap();
        sizes.push((text.lines().count(), relative.clone()));
        if relative == "main.rs" || relative == "lib.rs" {
            continue;
        }
        let module = relative.split(['/', '.']).next().unwrap();
        let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("no layer for {module}"));
        for known in text.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()) {
            if !known.is_empty() && known != module && !allowed.contains(&known) {
                broken.push(format!("{relative} knows {known}"));
            }
        }
        let prints = ["println!", "eprintln!", "print!(", "std::process::exit"].iter().any(|word| text.contains(word));
        if prints && module != "cli" {
            broken.push(format!("{relative} prints or exits"));
        }
        if ["error", "transport", "names", "digest", "metadata", "openpgp"].contains(&module)
            && ["Utc::now", "SystemTime::now", "std::fs", "std::env", "std::net::Tcp"].iter().any(|word| text.contains(word))
        {
            broken.push(format!("{relative} is in the lowest layer and reaches outside"));
        }
    }
    sizes.sort();
    println!("largest files: {:?}", sizes.iter().rev().take(8).collect::<Vec<_>>());
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(sizes.len() > 50, "the walk found the sources");
}

#[test]
fn the_pinned_tuf_crate_is_the_measured_one() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"tuf\"\nversion = \"0.3.0-beta14\""));
}
