#![no_main]
//! Plans as a worker gets them: a change set by another process, applied to a published state and checked against the
//! promises to clients. No accepted plan may change a published release.

use libfuzzer_sys::fuzz_target;
use publish::repository::{Edit, Present, View, load};
use publish::storage::LocalDirectory;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A repository with release 1.0.0 and its channels, made once by the program itself.
static PUBLISHED: LazyLock<(Present, LocalDirectory)> = LazyLock::new(|| {
    let home = std::env::temp_dir().join(format!("publish-fuzz-plans-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a directory");
    let project = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::copy(project.join("trdl_channels.yaml"), home.join("trdl_channels.yaml")).expect("the channels file");
    let config = home.join("publish.yaml");
    let config = config.to_str().expect("a path in UTF-8");
    let build = project.join("testdata/build");
    let build = build.to_str().expect("a path in UTF-8");
    // libFuzzer writes its corpus by relative paths: the working directory stays.
    for command in [&["init", "--name", "acme", "--no-passphrase"][..], &["release", "1.0.0", "--from", build, "--channels"]] {
        let options = ["--quiet", "--config", config];
        let arguments = ["publish"].iter().chain(command).chain(&options).map(Into::into);
        assert_eq!(format!("{:?}", publish::cli::main(arguments)), format!("{:?}", std::process::ExitCode::SUCCESS));
    }
    let pinned = std::fs::read(home.join("repo/1.root.json")).expect("the first root");
    let storage = LocalDirectory::new(home.join("repo"));
    let present = load(&storage, &pinned, chrono::Utc::now()).expect("a repository that was just made");
    (present, storage)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(edit) = Edit::from_change_set(bytes) else { return };
    let (present, storage) = &*PUBLISHED;
    let Ok(changes) = View::new(present).after(&edit, storage, chrono::Utc::now()) else { return };
    for (name, wanted) in &changes {
        let published = View::new(present).get(name).expect("a readable entry");
        let withdrawn = wanted.is_none() && changes.contains_key("yanked/1.0.0");
        assert!(!name.starts_with("releases/1.0.0/") || published.is_none() || withdrawn, "{name} changes");
    }
});
