use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.unchanged(|| {
        sandbox.publish(&["release", "v1.0.0", "--from", "dist", "--dry-run"]).ok().says(&[
            "+ linux-amd64  1 file, 21 B",
            "    + bin/acme  21 B",
            "~ targets    1 -> 2, expires 20",
            "~ snapshot   1 -> 2, expires 20",
            "~ timestamp  1 -> 2, expires 20",
            "Nothing was written",
        ])
    });
    let plan = sandbox.publish(&["release", "1.0.0", "--from", "dist", "-n", "--json"]).ok().json();
    assert_eq!(plan["plan"]["platforms"][0]["files"][0]["name"], "releases/1.0.0/linux-amd64/bin/acme");
    assert_eq!((&plan["plan"]["empty"], &plan["dry_run"]), (&false.into(), &true.into()));
}

#[test]
fn stores_the_build_unchanged_under_both_names() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/share/deep/er/empty", b"");
    sandbox.write("dist/windows-amd64/bin/acme.exe", [0_u8, 255, 10, 13].repeat(100_000));
    fs::set_permissions(sandbox.path("dist/linux-amd64/bin/acme"), fs::Permissions::from_mode(0o500)).unwrap();
    sandbox.release("1.0.0").ok();
    let repository = sandbox.repository();
    for (file, content) in crate::sandbox::files(&sandbox.path("dist")) {
        let name = format!("targets/releases/1.0.0/{file}");
        assert!(repository[&name] == content, "{name}");
        let (directory, base) = name.rsplit_once('/').unwrap();
        assert!(repository[&format!("{directory}/{}.{base}", hex::encode(openssl::sha::sha256(&content)))] == content, "{name}");
        assert!(repository.contains_key(&format!("targets/signatures/1.0.0/{file}.sig")), "{file}");
    }
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("repo/targets/releases/1.0.0/linux-amd64/bin/acme"), mode("repo/targets/releases/1.0.0")), (0o644, 0o755));
    sandbox.publish(&["verify"]).ok().says(&["7 targets and 3 OpenPGP signatures checked", "the tuf crate's client agrees"]);
}

#[test]
fn the_same_release_again_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let times = |sandbox: &Sandbox| {
        walkdir::WalkDir::new(sandbox.path("repo"))
            .into_iter()
            .map(|entry| entry.unwrap().metadata().unwrap().modified().unwrap())
            .collect::<Vec<_>>()
    };
    let before = times(&sandbox);
    sandbox.unchanged(|| sandbox.release("1.0.0").ok().says(&["release 1.0.0 is already published; nothing to do"]));
    assert_eq!(before, times(&sandbox));
    // Not even a key is opened.
    fs::remove_file(sandbox.path("keys/targets.pem")).unwrap();
    sandbox.release("1.0.0").ok();
}

#[test]
fn a_published_platform_never_changes() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let published = hex::encode(openssl::sha::sha256(&fs::read(sandbox.path("dist/linux-amd64/bin/acme")).unwrap()));
    // Other bytes of the same length.
    sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho HELLO\n");
    let new = hex::encode(openssl::sha::sha256(b"#!/bin/sh\necho HELLO\n"));
    sandbox
        .unchanged(|| sandbox.release("1.0.0").fails(5, &["releases/1.0.0/linux-amd64/bin/acme", &published, &new, "under a new version"]));
    // Other bytes of another length.
    sandbox.write("dist/linux-amd64/bin/acme", b"longer than it was before");
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(5, &[&published, "(25 bytes)"]));
    // A file more, a file less.
    sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho hello\n");
    sandbox.write("dist/linux-amd64/bin/more", b"");
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(5, &["bin/more: in this build, not published"]));
    fs::rename(sandbox.path("dist/linux-amd64/bin/more"), sandbox.path("dist/linux-amd64/bin/acme")).unwrap();
    fs::rename(sandbox.path("dist/linux-amd64/bin/acme"), sandbox.path("dist/linux-amd64/bin/other")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(5, &["bin/acme: published, not in this build"]));
}

#[test]
fn a_platform_can_come_later() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/any-any/bin/acme", b"generic");
    sandbox.release("1.0.0").ok();
    let signature = fs::read(sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap();
    sandbox.write("dist/darwin-arm64/bin/acme", b"mac");
    sandbox
        .release("1.0.0")
        .ok()
        .says(&["+ darwin-arm64", "= linux-amd64"])
        .fails(0, &["darwin-arm64 machines installed any-any until now and will install darwin-arm64 from now on"]);
    assert!(
        signature == fs::read(sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap(),
        "published signatures stay"
    );
    // The late build alone is enough.
    let late = sandbox.write("late/windows-amd64/bin/acme.exe", b"win").parent().unwrap().parent().unwrap().parent().unwrap().to_owned();
    sandbox.publish(&["release", "1.0.0", "--from", late.to_str().unwrap()]).ok();
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn signatures_are_replaced_on_request_only() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let path = sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig");
    let before = fs::read(&path).unwrap();
    // The key is revoked, as its owner would do it.
    fs::copy(sandbox.openpgp("revoked.asc"), sandbox.path("keys/openpgp.asc")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.0").ok().fails(0, &["is revoked", "publish release 1.0.0 --from DIR --resign"]));
    // A new key, and its certificate, by the advice given.
    let new = sandbox.openpgp("ed25519.asc");
    fs::copy(new, sandbox.path("keys/openpgp.asc")).unwrap();
    sandbox
        .publish(&["release", "1.0.0", "--from", "dist", "--resign"])
        .ok()
        .says(&["~ linux-amd64", "its signatures or channels are up to date now"]);
    assert!(before != fs::read(&path).unwrap());
    sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked", "good: 0 errors, 0 warnings"]);
}

#[test]
fn channels_can_come_in_the_same_commit() {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels"]).ok().says(&[
        "+ 1/stable  1.0.0",
        "trdl update acme 1 stable",
        "targets 2",
    ]);
    sandbox.channels(&[("1", "stable", "1.0.1")]);
    let other = sandbox.path("trdl_channels.yaml");
    sandbox
        .publish(&["release", "1.0.1", "--from", "dist", &format!("--channels={}", other.display())])
        .ok()
        .says(&["~ 1/stable  1.0.0 -> 1.0.1"]);
    // Without `=` the next argument is the version, and a file there is refused with what to write.
    sandbox.channels(&[("1", "stable", "1.0.2")]);
    let given = ["release", "1.0.2", "--from", "dist", "--channels", other.to_str().unwrap()];
    sandbox.unchanged(|| sandbox.publish(&given).fails(2, &["--channels=FILE"]));
    sandbox.publish(&["release", "--from", "dist", "--channels", "1.0.2"]).ok().says(&["~ 1/stable  1.0.1 -> 1.0.2"]);
    sandbox.channels(&[("1", "stable", "1.0.1")]);
    // A mistake in the channels refuses the release too, before anything is written.
    sandbox.channels(&[("1", "stable", "9.9.9")]);
    sandbox.unchanged(|| {
        sandbox
            .publish(&["release", "1.0.2", "--from", "dist", "--channels"])
            .fails(7, &["9.9.9 is not released", "nearest released: 1.0.2"])
    });
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn versions_are_strict() {
    let sandbox = Sandbox::new();
    for (version, words) in [
        ("1.2", "write all three numbers: 1.2.0"),
        ("01.2.3", "no leading zeros: 1.2.3"),
        ("", "the release version is empty"),
        ("vv1.2.3", "starts with a v"),
        ("1.2.3/../x", "is not a semantic version"),
        ("latest", "MAJOR.MINOR.PATCH"),
    ] {
        sandbox.unchanged(|| sandbox.release(version).fails(6, &[words]));
    }
    sandbox.release("1.2.219+fix3").ok();
    sandbox.release("1.2.219").ok().fails(0, &["differ only in build metadata"]);
    sandbox.release("2.0.0-rc.1").ok();
}

#[test]
fn builds_that_cannot_be_published_are_refused_by_name() {
    type Make = fn(&Sandbox);
    let cases: [(Make, &[&str]); 14] = [
        (|s| drop(s.write("dist/linux/bin/acme", b"")), &["`linux` is not a platform directory", "linux-amd64"]),
        (|s| drop(s.write("dist/plan9-amd64/bin/acme", b"")), &["unknown operating system `plan9`"]),
        (
            |s| drop(s.write("dist/macos-arm64/bin/acme", b"")),
            &["dist/macos-arm64: rename it to darwin-arm64, or add --platform darwin-arm64=dist/macos-arm64"],
        ),
        (|s| drop(s.write("dist/linux-x86_64/bin/acme", b"")), &["dist/linux-x86_64: rename it to linux-amd64"]),
        (|s| drop(s.write("dist/README", b"")), &["dist/README: not a platform directory"]),
        (|s| fs::create_dir_all(s.path("dist/linux-arm64/bin")).unwrap(), &["dist/linux-arm64", "contains no files"]),
        (|s| symlink("acme", s.path("dist/linux-amd64/bin/link")).unwrap(), &["bin/link: a symbolic link"]),
        (|s| drop(std::os::unix::net::UnixListener::bind(s.path("dist/linux-amd64/bin/socket")).unwrap()), &["bin/socket: neither a file"]),
        (|s| drop(s.write("dist/linux-amd64/bin/100%", b"")), &["bin/100%", "it holds `%`"]),
        (|s| drop(s.write("dist/linux-amd64/bin/a\nb", b"")), &["a\\nb", "control character U+000A"]),
        (|s| drop(s.write("dist/linux-amd64/bin/e\u{301}", b"")), &["not in composed form (NFC)"]),
        (|s| drop(s.write("dist/linux-amd64/bin/ACME", b"")), &["`bin/ACME` and `bin/acme` differ only in case"]),
        (|s| drop(s.write(&format!("dist/linux-amd64/bin/{}", "x".repeat(200)), b"")), &["one part is longer than 186 bytes"]),
        (
            |s| {
                use std::os::unix::ffi::OsStrExt;
                fs::write(s.path("dist/linux-amd64/bin").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), b"").unwrap();
            },
            &["the name is not UTF-8"],
        ),
    ];
    for (make, words) in cases {
        let sandbox = Sandbox::new();
        make(&sandbox);
        sandbox.unchanged(|| sandbox.release("1.0.0").fails(6, words));
    }
    for character in ["#", "?", "\\", ":", "*", "<", ">", "\"", "|"] {
        let sandbox = Sandbox::new();
        sandbox.write(&format!("dist/linux-amd64/bin/a{character}b"), b"");
        sandbox.unchanged(|| sandbox.release("1.0.0").fails(6, &["it holds `"]));
    }
}

#[test]
fn all_problems_of_a_build_are_reported_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux/x", b"");
    sandbox.write("dist/beos-amd64/x", b"");
    symlink("x", sandbox.path("dist/linux-amd64/link")).unwrap();
    sandbox.release("1.0.0").fails(6, &["`linux` is not", "unknown operating system `beos`", "a symbolic link"]);
}

#[test]
fn missing_and_empty_builds_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["release", "1.0.0", "--from", "nowhere"]).fails(7, &["cannot read the build directory nowhere", "--from"]);
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.publish(&["release", "1.0.0", "--from", "empty"]).fails(6, &["the build directory empty is empty"]);
    sandbox.publish(&["release", "1.0.0", "--from", "publish.yaml"]).fails(6, &["publish.yaml"]);
}

#[test]
fn unusual_names_and_a_missing_bin_are_warned_about() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/share/é and ü", b"x");
    sandbox.write("dist/linux-arm64/lib/x", b"x");
    sandbox.release("1.0.0").ok().fails(0, &["characters outside [A-Za-z0-9._+~/-]", "linux-arm64 has no bin/ directory"]);
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn an_artifact_that_changes_while_it_is_read_is_refused() {
    use publish::repository::{Artifact, Quiet, stage};
    use publish::storage::{Memory, Source};
    let sandbox = Sandbox::new();
    let key = sandbox.openpgp("ed25519.asc");
    let key = publish::openpgp::SigningKey::load(&fs::read(key).unwrap(), "key", chrono::Utc::now(), &|_| unreachable!()).unwrap();
    let program = sandbox.path("dist/linux-amd64/bin/acme");
    let tree = publish::tree::Tree::open(&sandbox.path("dist")).unwrap();
    let file = tree.file("linux-amd64/bin/acme".as_ref(), Default::default()).unwrap();
    // The plan saw other bytes than staging would.
    fs::write(program, "a longer text than before").unwrap();
    let target = publish::names::TargetPath::parse("releases/a").unwrap();
    let artifact = Artifact { file, signature: Some(target.signature().unwrap()), target };
    let storage = Memory::default();
    let failure = stage(&storage, &[artifact], Some(&key), false, chrono::Utc::now(), &Quiet).unwrap_err();
    assert!(failure.message.contains("changed while it was read"), "{failure}");
    assert!(storage.get(&publish::names::ObjectName::plain_target("releases/a"), 100).unwrap().is_none());
}

#[test]
fn a_build_that_grows_while_it_is_read_is_refused() {
    use std::io::Write;
    let sandbox = Sandbox::new();
    let path = sandbox.write("dist/linux-amd64/bin/big", vec![7_u8; 64 << 20]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        sandbox.unchanged_metadata(|| sandbox.release("1.0.0").fails(5, &["bin/big changed while it was read", "nothing was published"]));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn files_of_desktops_are_reported_and_refused_among_programs() {
    let sandbox = Sandbox::new();
    for name in [".DS_Store", "share/Thumbs.db", "__MACOSX/x", "share/._icon.png", "Desktop.ini"] {
        sandbox.write(&format!("dist/linux-amd64/{name}"), "x");
    }
    let words = [".DS_Store", "Thumbs.db", "__MACOSX/x", "._icon.png", "Desktop.ini", "a desktop left these behind"];
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "-n"]).ok().fails(0, &words);
    sandbox.write("dist/linux-amd64/bin/._acme", "x");
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(6, &["dist/linux-amd64/bin/._acme", "--allow-desktop-files"]));
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--allow-desktop-files"]).ok();
    // What is published is no news.
    sandbox.unchanged(|| sandbox.release("1.0.0").ok().says(&["nothing to do"]));
    let add = sandbox.publish(&["add-targets", "dist/linux-amd64/.DS_Store", "--base", "dist/linux-amd64"]);
    add.ok().fails(0, &[".DS_Store: a desktop left these behind"]);
}

#[test]
fn links_in_a_build_are_reported_with_what_to_do() {
    let sandbox = Sandbox::new();
    fs::rename(sandbox.path("dist/linux-amd64"), sandbox.path("elsewhere")).unwrap();
    symlink("../elsewhere", sandbox.path("dist/linux-amd64")).unwrap();
    sandbox.release("1.0.0").fails(6, &["dist/linux-amd64: a symbolic link; make it the platform's directory itself"]);
    fs::remove_file(sandbox.path("dist/linux-amd64")).unwrap();
    fs::rename(sandbox.path("elsewhere"), sandbox.path("dist/linux-amd64")).unwrap();
    symlink("acme", sandbox.path("dist/linux-amd64/bin/link")).unwrap();
    sandbox.release("1.0.0").fails(6, &["bin/link: a symbolic link", "publish an archive"]);
}

#[test]
fn empty_files_are_warned_about() {
    let sandbox = Sandbox::new();
    sandbox.write("dist/linux-amd64/share/none", "");
    let warning = "linux-amd64/share/none is empty; python-tuf before 2.1 and php-tuf refuse empty files";
    let run = sandbox.release("1.0.0").ok();
    assert!(run.stderr.contains(warning) && run.stderr.matches("is empty").count() == 1, "{run:?}");
    assert!(!sandbox.release("1.0.0").ok().stderr.contains("is empty"), "once, when it is published");
    sandbox.write("pool/none", "");
    sandbox.write("pool/some", "some");
    let run = sandbox.publish(&["add-targets", "pool"]).ok();
    assert!(run.stderr.contains("pool/none is empty") && !run.stderr.contains("pool/some"), "{run:?}");
}

/// Other tools publish `v1.2.3` and `1.2`; a trdl client takes both for the version that we would publish.
#[test]
fn a_version_is_not_released_beside_another_spelling_of_it() {
    use crate::trial::Trial;
    use publish::metadata::TargetEdits;
    use publish::repository::stage_bytes;
    let trial = Trial::new();
    trial.release("3.0.0").unwrap();
    let publisher = trial.publisher();
    let mut edits = TargetEdits::new();
    for version in ["v0.0.2", "1.2", "v2"] {
        let name = format!("releases/{version}/linux-amd64/bin/acme");
        edits.insert(name.clone(), Some(stage_bytes(publisher.storage(), &name, version.as_bytes(), false).unwrap()));
    }
    trial.sign_unchecked(&edits);
    for (version, other) in [("0.0.2", Some("v0.0.2")), ("1.2.0", Some("1.2")), ("2.0.0", Some("v2")), ("1.2.1", None), ("0.2.0", None)] {
        match (trial.release(version), other) {
            (Ok(_), None) => {}
            (Err(error), Some(other)) => {
                assert!(error.to_string().contains(&format!("is another spelling of the released {other}")), "{version}: {error}")
            }
            (outcome, _) => panic!("{version}: {outcome:?}"),
        }
    }
}

#[test]
fn a_build_with_the_bytes_of_another_release_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let same = sandbox.unchanged(|| sandbox.publish(&["release", "1.1.0", "--from", "dist", "--dry-run"]).ok());
    assert!(same.stderr.contains("identical to release 1.0.0"), "{same:?}");
    sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho hullo\n");
    let other = sandbox.publish(&["release", "1.1.0", "--from", "dist", "--dry-run", "--json"]).ok();
    assert_eq!(other.json()["plan"]["identical_to"], serde_json::Value::Null, "as long, but other bytes");
    sandbox.publish(&["release", "1.1.0", "--from", "dist"]).ok();
    sandbox.write("dist/darwin-arm64/bin/acme", b"mac");
    let more = sandbox.publish(&["release", "1.2.0", "--from", "dist", "--dry-run", "--json"]).ok();
    assert_eq!(more.json()["plan"]["identical_to"], serde_json::Value::Null, "a platform more");
}

/// What goreleaser, cargo and others leave: every line of the error has its own remedy, and each remedy works.
#[test]
fn builds_of_other_tools_are_published_after_their_remedies() {
    let sandbox = Sandbox::new();
    std::fs::remove_dir_all(sandbox.path("dist")).unwrap();
    for file in ["app_linux_amd64_v1/app", "app_darwin_arm64/app", "app_windows_amd64_v1/app.exe", "artifacts.json", "checksums.txt"] {
        sandbox.write(&format!("dist/{file}"), file);
    }
    sandbox.unchanged(|| {
        sandbox.release("1.0.0").fails(
            6,
            &[
                "dist/app_linux_amd64_v1: rename it to linux-amd64, or add --platform linux-amd64=dist/app_linux_amd64_v1/app",
                "dist/app_darwin_arm64: rename it to darwin-arm64, or add --platform darwin-arm64=dist/app_darwin_arm64/app",
                "dist/app_windows_amd64_v1: rename it to windows-amd64",
                "dist/artifacts.json: not a platform directory; move it out, or name the platforms with --platform",
            ],
        )
    });
    let mapped = |version: &str| {
        sandbox.publish(&[
            "release",
            version,
            "--platform",
            "linux-amd64=dist/app_linux_amd64_v1/app",
            "--platform=darwin-arm64=dist/app_darwin_arm64/app",
        ])
    };
    mapped("1.0.0").ok().says(&["+ darwin-arm64  1 file", "+ bin/app"]);
    assert!(sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/app").is_file());
    sandbox.unchanged(|| mapped("1.0.0").ok());
    sandbox.publish(&["verify"]).ok();
    // A directory keeps its layout; the config maps for ever, relative to --from.
    sandbox.write("target/x86_64-unknown-linux-musl/release/bin/app", "rust");
    let directory = "linux-amd64=target/x86_64-unknown-linux-musl/release";
    sandbox.publish(&["release", "1.1.0", "--platform", directory]).ok();
    assert!(sandbox.path("repo/targets/releases/1.1.0/linux-amd64/bin/app").is_file());
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write(
        "publish.yaml",
        format!("{config}platforms:\n  linux-amd64: app_linux_amd64_v1/app\n  windows-amd64: app_windows_amd64_v1\n"),
    );
    sandbox.publish(&["release", "1.2.0", "--from", "dist"]).ok().says(&["+ linux-amd64", "+ windows-amd64"]);
    assert!(sandbox.path("repo/targets/releases/1.2.0/windows-amd64/app.exe").is_file());
    sandbox.write("publish.yaml", format!("{config}platforms:\n  linux-x64: app\n"));
    sandbox.unchanged(|| sandbox.release("1.3.0").fails(6, &["`platforms` in the config", "did you mean `amd64`?"]));
}

#[test]
fn platforms_on_the_command_line_are_checked() {
    let sandbox = Sandbox::new();
    let release = |platform: &str| sandbox.unchanged(|| sandbox.publish(&["release", "1.0.0", "--platform", platform]));
    release("linux-x86_64=dist").fails(2, &["unknown architecture `x86_64`", "did you mean `amd64`?"]);
    release("linux-amd64").fails(2, &["write <os>-<arch>=PATH"]);
    release("linux-amd64=").fails(2, &["has no path"]);
    release("linux-amd64=nowhere").fails(6, &["linux-amd64=nowhere: No such file"]);
    std::os::unix::fs::symlink(sandbox.path("dist/linux-amd64/bin/acme"), sandbox.path("link")).unwrap();
    release("linux-amd64=link").fails(6, &["link"]);
    sandbox.write("empty/x", "");
    std::fs::remove_file(sandbox.path("empty/x")).unwrap();
    release("linux-amd64=empty").fails(6, &["contains no files"]);
    let twice = ["release", "1.0.0", "--platform", "linux-amd64=dist/linux-amd64", "--platform", "linux-amd64=dist"];
    sandbox.unchanged(|| sandbox.publish(&twice).fails(6, &["names linux-amd64 twice"]));
    let known = |name: &str, expected: Option<&str>| {
        assert_eq!(publish::names::Platform::meant_by(name).map(|platform| platform.to_string()).as_deref(), expected, "{name}");
    };
    known("x86_64-unknown-linux-gnu", Some("linux-amd64"));
    known("aarch64-apple-darwin", Some("darwin-arm64"));
    known("x86_64-pc-windows-msvc", Some("windows-amd64"));
    known("MacOS-ARM64", Some("darwin-arm64"));
    known("linux_amd64", Some("linux-amd64"));
    known("tool-win-x64", Some("windows-amd64"));
    known("linux", None);
    known("linux-386", None);
    known("linux-darwin-amd64", None);
    known("\u{e4}-\u{130}", None);
}

#[test]
fn the_json_result_lists_urls_and_digests_of_what_was_published() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--public-url", "https://tuf.example.org/", "--no-passphrase"]).ok();
    sandbox.write("dist/linux-amd64/bin/a b", b"x");
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    let result = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels", "--json"]).ok().json()["result"].clone();
    let published = result["published"].as_array().unwrap();
    let of = |name: &str| published.iter().find(|target| target["name"] == name).unwrap_or_else(|| panic!("{name}: {published:#?}"));
    let program = of("releases/1.0.0/linux-amd64/bin/acme");
    let bytes = std::fs::read(sandbox.path("dist/linux-amd64/bin/acme")).unwrap();
    assert_eq!(program["sha256"], hex::encode(openssl::sha::sha256(&bytes)));
    assert_eq!(program["length"], bytes.len());
    assert_eq!(program["url"], "https://tuf.example.org/targets/releases/1.0.0/linux-amd64/bin/acme");
    assert_eq!(of("releases/1.0.0/linux-amd64/bin/a b")["url"], "https://tuf.example.org/targets/releases/1.0.0/linux-amd64/bin/a%20b");
    of("signatures/1.0.0/linux-amd64/bin/acme.sig");
    of("channels/1/stable");
    let again = sandbox.publish(&["release", "1.0.0", "--from", "dist", "--channels", "--json"]).ok().json();
    assert_eq!(again["result"]["published"], serde_json::json!([]));
}
