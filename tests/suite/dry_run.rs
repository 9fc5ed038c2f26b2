//! `--dry-run` on every command: nothing is made, changed, renamed or removed, and a command without a plan refuses the flag.

use crate::sandbox::{Run, Sandbox};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// Everything below a directory; files with the times of the last change. A directory's own changes when the plan of a prune
/// looks at the store's clock.
fn everything(root: &Path) -> BTreeMap<String, Option<(SystemTime, u64)>> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    let stamp = |entry: &walkdir::DirEntry| {
        let metadata = entry.metadata().unwrap();
        metadata.is_file().then(|| (metadata.modified().unwrap(), metadata.len()))
    };
    entries.map(|entry| (entry.path().to_str().unwrap().to_owned(), stamp(&entry))).collect()
}

/// A publisher with work for every command: all roles are due, and an upload is ready.
fn busy() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("files/a.txt", "a");
    sandbox.publish(&["release", "1.0.0", "--from", "dist"]).ok();
    sandbox.publish(&["add-targets", "files", "--base", "files"]).ok();
    sandbox.write("files/b.txt", "b");
    sandbox.write("box/tuf_ready_1/c.txt", "c");
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.publish(&["root", "edit", "--expires", "400d"]).ok();
    sandbox.write("mate.json", std::fs::read(sandbox.path("root-draft.json")).unwrap());
    let config = std::fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let drop_box = "monitor:\n  drop_box: box\nconsistent_snapshot: false\n";
    sandbox.write("publish.yaml", config.replace("consistent_snapshot: true\n", "") + drop_box);
    sandbox
}

#[test]
fn a_dry_run_of_any_command_leaves_everything_as_it_is() {
    let sandbox = busy();
    let adopt = ["adopt", "repo", "--keys", "keys", "--config", "new/publish.yaml"];
    let table: &[(&[&str], i32)] = &[
        (&["init", "--config", "other/publish.yaml"], 0),
        (&adopt, 0),
        (&["release", "1.0.1", "--from", "dist", "--channels"], 0),
        (&["channels"], 0),
        (&["add-targets", "files", "--base", "files", "--sign"], 0),
        (&["remove-targets", "a.txt", "--confirm", "1"], 0),
        (&["bins", "--count", "4", "--not-for-trdl", "--confirm", "4"], 0),
        (&["refresh"], 0),
        (&["refresh", "--all"], 0),
        (&["rotate", "snapshot", "--no-passphrase"], 0),
        (&["rotate", "snapshot", "--now", "--no-passphrase"], 0),
        (&["rotate", "openpgp", "--no-passphrase"], 0),
        (&["pause"], 0),
        (&["resume"], 0),
        (&["key", "new", "new.pem", "--no-passphrase"], 0),
        (&["key", "list"], 0),
        (&["key", "show", "keys/targets.pem"], 0),
        (&["key", "export", "keys/targets.pem"], 0),
        (&["key", "extend", "900d"], 0),
        (&["key", "passphrase", "keys/targets.pem", "--no-passphrase"], 0),
        (&["root", "edit", "--expires", "300d"], 0),
        (&["root", "show"], 0),
        (&["root", "sign", "--yes"], 0),
        (&["yank", "1.0.0", "--confirm", "1.0.0"], 0),
        (&["prune", "--confirm", "acme", "--grace", "30d"], 0),
        (&["status"], 0),
        (&["verify"], 0),
        (&["completions", "bash"], 0),
        (&["reference"], 0),
        (&["monitor", "--once"], 2),
        (&["monitor"], 2),
        (&["refresh", "--watch"], 2),
        (&["worker", "timestamp"], 2),
        (&["queue", "requeue", "--all"], 2),
        (&["queue", "drop", "--all"], 2),
        (&["store", "check"], 2),
        (&["root", "merge", "mate.json"], 2),
        (&["key", "check", "keys/targets.pem"], 2),
    ];
    let before = everything(sandbox.dir.path());
    for (arguments, code) in table {
        let run = sandbox.publish(&[*arguments, &["--dry-run"]].concat());
        assert_eq!(run.code, *code, "{arguments:?}: {run:#?}");
        assert!(*code == 0 || run.stderr.contains("has no dry run"), "{arguments:?}: {run:#?}");
        assert_eq!(everything(sandbox.dir.path()), before, "{arguments:?}: {run:#?}");
    }
    // A variable counts as the flag does, and the refusal is a document too.
    let run: Run = sandbox.command().args(["monitor", "--once", "--json"]).env("PUBLISH_DRY_RUN", "1").output().unwrap().into();
    assert_eq!((run.code, run.json()["error"]["kind"].as_str()), (2, Some("usage")));
    assert_eq!(everything(sandbox.dir.path()), before);
}
