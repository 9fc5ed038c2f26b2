use crate::sandbox::Sandbox;
use publish::channels::ChannelsFile;
use std::fs;

/// Runs the binary in a directory of the sandbox.
fn publish_in(sandbox: &Sandbox, directory: &str, arguments: &[&str]) -> crate::sandbox::Run {
    sandbox.command().current_dir(sandbox.path(directory)).args(arguments).output().unwrap().into()
}

#[test]
fn a_channels_file_in_the_working_directory_is_never_ignored_in_silence() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    let configured = sandbox.path("trdl_channels.yaml");
    let configured = configured.to_str().unwrap();
    let config = sandbox.path("publish.yaml");
    let config = config.to_str().unwrap();
    let other = std::fs::read_to_string(configured).unwrap().replace("1.0.0", "1.1.0");
    sandbox.write("work/trdl_channels.yaml", &other);
    let release = ["--config", config, "release", "1.1.0", "--from", "../dist"];
    let words = ["two channels files differ", configured, "trdl_channels.yaml in the working directory"];
    sandbox.unchanged(|| {
        let run = publish_in(&sandbox, "work", &["--config", config, "channels"]).fails(6, &words);
        assert!(run.stderr.contains(&format!("to publish the one that the config names: --file {configured}\n")), "{run:#?}");
        assert!(run.stderr.contains("to publish the one here: --file trdl_channels.yaml\n"), "{run:#?}");
        publish_in(&sandbox, "work", &["--config", config, "channels", "--dry-run"]).fails(6, &words);
        let run = publish_in(&sandbox, "work", &[&release[..], &["--channels"]].concat()).fails(6, &words);
        assert!(run.stderr.contains("to publish the one here: --channels=trdl_channels.yaml\n"), "{run:#?}");
        // What publishes no channels reads no such file.
        let run = publish_in(&sandbox, "work", &release).ok();
        assert!(!run.stderr.contains("channels"), "{run:#?}");
        run
    });
    // Named on the command line, and equal files: there is nothing to ask.
    let run = publish_in(&sandbox, "work", &["--config", config, "channels", "--file", configured]).ok().says(&["1/stable"]);
    assert!(!run.stderr.contains("warning"), "{run:#?}");
    publish_in(&sandbox, "work", &["--config", config, "channels", "--file", "trdl_channels.yaml"]).ok().says(&["1.0.0 -> 1.1.0"]);
    sandbox.write("trdl_channels.yaml", &other);
    publish_in(&sandbox, "work", &["--config", config, "channels"]).ok().says(&["all channels are published already"]);
    // The one of the config is missing: the one here is not taken for it.
    std::fs::remove_file(configured).unwrap();
    let run = publish_in(&sandbox, "work", &["--config", config, "channels"]).fails(6, &[configured, "is missing"]);
    assert!(run.stderr.contains("to publish the one here: --file trdl_channels.yaml"), "{run:#?}");
}

#[test]
fn another_channels_file_that_the_config_names_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.release("1.1.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    let text = std::fs::read_to_string(sandbox.path("trdl_channels.yaml")).unwrap();
    sandbox.write("ci/channels.yaml", text.replace("1.0.0", "1.1.0"));
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("channels: trdl_channels.yaml", "channels: ci/channels.yaml"));
    let warning = "channels are read from ci/channels.yaml, as the config says; trdl_channels.yaml differs from it and is not published";
    let run = sandbox.publish(&["channels"]).ok().says(&["1/stable", "1.1.0"]);
    assert_eq!(run.stderr.matches(warning).count(), 1, "{run:#?}");
    let plan = sandbox.publish(&["channels", "--dry-run", "--json"]).ok().json();
    assert_eq!(plan["plan"]["warnings"], serde_json::json!([warning]));
    std::fs::copy(sandbox.path("ci/channels.yaml"), sandbox.path("trdl_channels.yaml")).unwrap();
    let run = sandbox.publish(&["channels"]).ok();
    assert!(!run.stderr.contains("warning"), "{run:#?}");
}

#[test]
fn shows_and_publishes_each_change() {
    let sandbox = Sandbox::new();
    for version in ["1.2.19", "1.2.20"] {
        sandbox.release(version).ok();
    }
    sandbox.channels(&[("1.2", "stable", "1.2.19"), ("1.2", "alpha", "1.2.19")]);
    sandbox.publish(&["channels"]).ok().says(&["+ 1.2/alpha   1.2.19", "+ 1.2/stable  1.2.19", "Plan: 2 channels to add."]);
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1.2/stable")).unwrap(), b"1.2.19\n");
    sandbox.channels(&[("1.2", "stable", "1.2.20"), ("1.2", "alpha", "1.2.19")]);
    sandbox.unchanged(|| {
        sandbox.publish(&["channels", "--dry-run"]).ok().says(&[
            "~ 1.2/stable  1.2.19 -> 1.2.20",
            "= 1 channel   unchanged",
            "Nothing was written",
        ])
    });
    sandbox.publish(&["channels"]).ok();
    assert_eq!(fs::read(sandbox.path("repo/targets/channels/1.2/stable")).unwrap(), b"1.2.20\n");
    sandbox.unchanged(|| sandbox.publish(&["channels"]).ok().says(&["nothing to do"]));
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn downgrades_must_be_requested() {
    let sandbox = Sandbox::new();
    for version in ["1.9.0", "1.10.0", "1.10.0-rc.1"] {
        sandbox.release(version).ok();
    }
    sandbox.channels(&[("1", "stable", "1.10.0")]);
    sandbox.publish(&["channels"]).ok();
    for older in ["1.9.0", "1.10.0-rc.1"] {
        sandbox.channels(&[("1", "stable", older)]);
        sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(5, &[&format!("1/stable 1.10.0 -> {older}"), "--allow-downgrade"]));
    }
    sandbox.publish(&["channels", "--allow-downgrade"]).ok();
    sandbox.channels(&[("1", "stable", "1.9.0")]);
    sandbox.publish(&["channels", "--allow-downgrade"]).ok();
}

#[test]
fn vanished_channels_are_kept_unless_pruned() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.channels(&[("1", "stable", "1.0.0"), ("2", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.unchanged(|| sandbox.publish(&["channels"]).ok().says(&["! 2/stable   not in the file; `channels --prune` removes it"]));
    sandbox.publish(&["channels", "--prune"]).ok().says(&["- 2/stable   1.0.0, removed: its users get no more updates"]);
    assert!(!sandbox.path("repo/targets/channels/2/stable").exists());
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    assert_eq!(status["status"]["channels"], serde_json::json!({"1/stable": "1.0.0"}));
    // No groups at all is a file like any other.
    sandbox.write("trdl_channels.yaml", "{}\n");
    sandbox.publish(&["channels", "--prune"]).ok();
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn versions_that_are_not_released_name_the_nearest() {
    let sandbox = Sandbox::new();
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).fails(7, &["trdl_channels.yaml:5: 1/stable: 1.0.0 is not released (nothing is released yet)"]);
    for version in ["1.2.0", "1.2.9", "3.0.0", "1.3.0"] {
        sandbox.release(version).ok();
    }
    sandbox.channels(&[("1", "alpha", "1.2.7"), ("1", "stable", "9.0.0")]);
    sandbox.unchanged(|| {
        sandbox.publish(&["channels"]).fails(7, &["1/alpha: 1.2.7", "nearest released: 1.2.9, 1.2.0, 1.3.0", "1/stable: 9.0.0"])
    });
}

/// Text of a channels file, and the messages with their lines that its refusal must contain.
const MISTAKES: &[(&str, &[&str])] = &[
    ("", &["1: the file is empty"]),
    ("groups: 1", &["1: `groups` must be a list"]),
    ("- a", &["1: the file must be a mapping"]),
    ("gruops: []", &["1: unknown key `gruops` in the file; did you mean `groups`?"]),
    ("groups:\n- name: 1\n  name: 2\n", &["3: key `name` occurs twice"]),
    ("groups: []\ngroups: []\n", &["2: key `groups` occurs twice"]),
    ("groups: []\n---\ngroups: []\n", &["2: a second document"]),
    ("groups:\n- name: v1\n", &["2: group `v1` starts with a v", "write `1`"]),
    ("groups:\n- name: 1.x\n", &["looks like a version constraint"]),
    ("groups:\n- name: ~1\n", &["group `~1`"]),
    ("groups:\n- name: ''\n", &["`name` of a group is empty"]),
    ("groups:\n- channels: []\n", &["2: a group has no `name`"]),
    ("groups:\n- name: 1\n- name: 1\n", &["3: group `1` is already defined on line 2"]),
    ("groups:\n- name: 1\n  channels:\n  - name: stabel\n    version: 1.0.0\n", &["4: unknown channel `stabel`"]),
    (
        "groups:\n- name: 1\n  channels:\n  - name: beta\n    version: 1.0.0\n  - name: beta\n    version: 1.0.0\n",
        &["6: channel `beta` is already defined on line 4"],
    ),
    ("groups:\n- name: 1\n  channels:\n  - name: beta\n    version: v1.0.0\n", &["5: version `v1.0.0` starts with a v; write `1.0.0`"]),
    (
        "groups:\n- name: 1\n  channels:\n  - name: beta\n    version: 1.10\n",
        &["5: `1.10` is not a semantic version", "write all three numbers: 1.10.0"],
    ),
    ("groups:\n- name: 1\n  channels:\n  - name: beta\n    version:\n", &["5: `version` of a channel is empty"]),
    ("groups:\n- name: 1\n  channels:\n  - name: beta\n    version: [1]\n", &["5: `version` of a channel must be a string"]),
    (
        "groups:\n- name: 1\n  channels:\n  - nmae: beta\n",
        &["4: unknown key `nmae` in a channel; did you mean `name`?", "4: a channel has no `name`", "4: a channel has no `version`"],
    ),
    ("groups:\n- name: 1\n\tchannels: []\n", &["3: a tab is used for indentation"]),
    ("groups: [\n", &["not YAML"]),
    ("groups: &a []\n", &["1: anchors (&name) are not allowed"]),
    ("groups: *a\n", &["not YAML"]),
    ("groups: !!seq []\n", &["1: tags (!name) are not allowed"]),
    ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", &["1: anchors (&name) are not allowed"]),
];

#[test]
fn all_mistakes_of_a_file_are_reported_with_their_lines() {
    for (text, words) in MISTAKES {
        let checked = ChannelsFile::parse(text.as_bytes(), "f").and_then(|file| file.check_versions("f", |_| false));
        let failure = checked.expect_err(text);
        let all = failure.details.join("\n");
        for word in *words {
            assert!(all.contains(word), "`{word}` is not in\n{all}\nfor {text:?}");
        }
    }
    let failure = ChannelsFile::parse(b"groups:\n- name: v1\n  channels:\n  - name: x\n    version: 1\n", "f").unwrap_err();
    assert_eq!(failure.details.len(), 3, "{:?}", failure.details);
    assert!(ChannelsFile::parse(b"\xff", "f").unwrap_err().message.contains("not UTF-8 at byte 0"));
    let nested = |depth: usize| {
        ChannelsFile::parse(format!("groups: {}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes(), "f").unwrap_err().details.join("")
    };
    assert!(nested(30).contains("too deeply nested"), "{}", nested(30));
    // The scanner itself stops here; it must do so with a message.
    assert!(nested(10_000).contains("f:1: "), "{}", nested(10_000));
}

#[test]
fn scalars_keep_their_source_text() {
    let file = ChannelsFile::parse(
        b"groups:\n- name: 1.10\n  channels:\n  - {name: stable, version: 1.10.0}\n- name: 010\n- name: latest\n  channels:\n",
        "f",
    )
    .unwrap();
    assert_eq!((file.assignments[0].group.as_str(), file.assignments[0].version.as_str(), file.assignments[0].line), ("1.10", "1.10.0", 4));
    assert_eq!(ChannelsFile::parse(b"groups:\n", "f").unwrap(), ChannelsFile::default());
    assert_eq!(ChannelsFile::parse(b"{}", "f").unwrap(), ChannelsFile::default());
}

#[test]
fn mistakes_leave_the_repository_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("trdl_channels.yaml", "groups: nonsense\n");
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(6, &["trdl_channels.yaml:1:", "nothing was published"]));
    fs::remove_file(sandbox.path("trdl_channels.yaml")).unwrap();
    sandbox.publish(&["channels"]).fails(7, &["cannot read the channels file trdl_channels.yaml", "--file"]);
    let file = fs::File::create(sandbox.path("huge.yaml")).unwrap();
    file.set_len(100 << 20).unwrap();
    sandbox.unchanged(|| {
        sandbox.publish(&["channels", "--file", "huge.yaml"]).fails(6, &["has 104857600 bytes; no more than 1048576 are read"])
    });
}

#[test]
fn the_example_is_a_valid_file() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("trdl_channels.yaml");
    assert_eq!(ChannelsFile::read(&path).unwrap().assignments.len(), 5);
}

/// A release of these platform directories, each with one file.
fn release_of(sandbox: &Sandbox, version: &str, platforms: &[&str]) {
    let build = format!("build-{version}");
    platforms.iter().for_each(|platform| drop(sandbox.write(&format!("{build}/{platform}/bin/acme"), version)));
    sandbox.publish(&["release", version, "--from", &build]).ok();
}

#[test]
fn channels_keep_the_platforms_that_their_users_have() {
    let sandbox = Sandbox::new();
    let releases: [(&str, &[&str]); 6] = [
        ("1.0.0", &["linux-amd64", "windows-any", "any-arm64"]),
        ("1.1.0", &["linux-amd64"]),
        ("1.2.0", &["any-any"]),
        ("1.3.0", &["linux-any", "windows-amd64", "windows-arm64", "darwin-arm64"]),
        ("1.4.0", &["linux-any", "windows-amd64", "windows-arm64", "darwin-any"]),
        ("1.5.0", &["windows-any", "any-amd64", "any-arm64"]),
    ];
    releases.iter().for_each(|(version, platforms)| release_of(&sandbox, version, platforms));
    for (from, to, lost) in [
        ("1.0.0", "1.1.0", "no darwin-arm64, linux-arm64, windows-amd64, windows-arm64"),
        ("1.2.0", "1.3.0", "no darwin-amd64"),
        ("1.4.0", "1.3.0", "no darwin-amd64"),
        ("1.5.0", "1.1.0", "no darwin-amd64, darwin-arm64, linux-arm64, windows-amd64, windows-arm64"),
    ] {
        sandbox.channels(&[("1", "stable", from), ("2", "beta", from)]);
        sandbox.publish(&["channels", "--allow-missing-platforms", "--allow-downgrade"]).ok();
        sandbox.channels(&[("1", "stable", to), ("2", "beta", from), ("3", "ea", to)]);
        let moves = format!("1/stable {from} -> {to}: {lost}");
        for dry in [&["channels", "--allow-downgrade"][..], &["channels", "--allow-downgrade", "--dry-run"]] {
            sandbox.unchanged(|| sandbox.publish(dry).fails(5, &[&moves, "--allow-missing-platforms"]));
        }
    }
    // What serves the same machines by other directories is no loss.
    for (from, to) in [("1.0.0", "1.4.0"), ("1.2.0", "1.5.0"), ("1.1.0", "1.0.0"), ("1.3.0", "1.2.0")] {
        sandbox.channels(&[("1", "stable", from)]);
        sandbox.publish(&["channels", "--allow-missing-platforms", "--allow-downgrade"]).ok();
        sandbox.channels(&[("1", "stable", to)]);
        sandbox.publish(&["channels", "--allow-downgrade"]).ok();
    }
}

#[test]
fn a_release_with_channels_keeps_the_platforms_that_their_users_have() {
    let sandbox = Sandbox::new();
    release_of(&sandbox, "1.0.0", &["linux-amd64", "darwin-arm64"]);
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["channels"]).ok();
    sandbox.channels(&[("1", "stable", "2.0.0")]);
    sandbox.write("two/linux-amd64/bin/acme", "two");
    let release = ["release", "2.0.0", "--from", "two", "--channels"];
    sandbox.unchanged(|| sandbox.publish(&release).fails(5, &["1/stable 1.0.0 -> 2.0.0: no darwin-arm64"]));
    // The platform that comes later completes it.
    sandbox.publish(&["release", "2.0.0", "--from", "two"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(5, &["no darwin-arm64"]));
    fs::rename(sandbox.path("two/linux-amd64"), sandbox.path("linux")).unwrap();
    sandbox.write("two/darwin-any/bin/acme", "two");
    sandbox.publish(&release).ok();
    // An allowed loss is published, and verify reports it, also beside a channel that stayed.
    sandbox.channels(&[("1", "stable", "2.0.0"), ("1", "alpha", "3.0.0")]);
    sandbox.write("three/linux-amd64/bin/acme", "three");
    sandbox.publish(&["release", "3.0.0", "--from", "three", "--channels"]).ok();
    sandbox
        .publish(&["verify"])
        .ok()
        .says(&["channels/1/alpha", "points at 3.0.0, which has nothing for darwin-amd64, darwin-arm64; 2.0.0 has"]);
    sandbox.channels(&[("1", "stable", "3.0.0"), ("1", "alpha", "3.0.0")]);
    sandbox.unchanged(|| sandbox.publish(&["channels"]).fails(5, &["1/stable 2.0.0 -> 3.0.0: no darwin-amd64, darwin-arm64"]));
    sandbox.publish(&["channels", "--allow-missing-platforms"]).ok();
}

/// No process that requests the commit, including a caller of workers, moves a channel that way without a request for it.
#[test]
fn a_commit_keeps_the_platforms_that_users_of_a_channel_have() {
    use crate::trial::Trial;
    use publish::metadata::Role;
    use publish::names::channel_content;
    use publish::repository::{Change, Edit, stage_bytes};
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
    fs::remove_dir_all(trial.path("dist/any-any")).unwrap();
    trial.release("1.1.0").unwrap();
    let publisher = trial.publisher();
    let present = publisher.load().unwrap();
    let (name, content) = ("channels/1/stable".to_owned(), channel_content("1.1.0"));
    let wanted = Some(stage_bytes(publisher.storage(), &name, &content, false).unwrap());
    let change = Change { expected: present.targets.get(&name).unwrap(), name, wanted, keep_existing: false, content: None };
    for may_lose_platforms in [false, true] {
        let edit = Edit { changes: vec![change.clone()], may_lose_platforms, ..Edit::default() };
        // As it reaches a worker.
        let edit = Edit::from_change_set(&edit.to_change_set().unwrap()).unwrap();
        let present = publisher.load().unwrap();
        let signers = publisher.signers(present.trust.root(), &Role::ONLINE).unwrap();
        match publisher.commit(present, &edit, &signers) {
            Ok(_) => assert!(may_lose_platforms),
            Err(failure) => assert!(!may_lose_platforms && failure.details[0].contains("1/stable 1.0.0 -> 1.1.0: no "), "{failure:?}"),
        }
    }
}

#[test]
fn versions_that_differ_in_build_metadata_or_as_text_are_ordered_too() {
    let sandbox = Sandbox::new();
    let versions = ["1.0.0", "1.0.0+fix1", "1.0.0+fix2", "1.0.0+fix10", "2.0.0-rc9", "2.0.0-rc10", "2.0.0-rc.9", "2.0.0-rc.10"];
    versions.iter().for_each(|version| drop(sandbox.release(version).ok()));
    let text = "compares such parts as text";
    for (from, to, refused, why) in [
        ("1.0.0", "1.0.0+fix1", false, false),
        ("1.0.0+fix1", "1.0.0+fix2", false, false),
        ("1.0.0+fix2", "1.0.0+fix1", true, false),
        ("1.0.0+fix1", "1.0.0", true, false),
        ("1.0.0+fix2", "1.0.0+fix10", true, true),
        ("2.0.0-rc9", "2.0.0-rc10", true, true),
        ("2.0.0-rc10", "2.0.0-rc9", false, false),
        ("2.0.0-rc.9", "2.0.0-rc.10", false, false),
        ("2.0.0-rc.9", "1.0.0+fix10", true, false),
    ] {
        sandbox.channels(&[("1", "alpha", from)]);
        sandbox.publish(&["channels", "--allow-downgrade"]).ok();
        sandbox.channels(&[("1", "alpha", to)]);
        let run = sandbox.publish(&["channels"]);
        assert_eq!((run.code, run.stderr.contains(text)), (if refused { 5 } else { 0 }, why), "{from} -> {to}: {run:?}");
    }
    // Users of stable do not expect a pre-release; those of the other channels do.
    for (channel, warned) in [("alpha", false), ("stable", true), ("rock-solid", true)] {
        sandbox.channels(&[("3", channel, "2.0.0-rc.9")]);
        for arguments in [&["channels", "--dry-run"][..], &["channels"]] {
            let run = sandbox.publish(arguments).ok();
            assert_eq!(run.stderr.contains("warning: 3/") && run.stderr.contains("is a pre-release"), warned, "{channel}: {run:?}");
        }
    }
}
