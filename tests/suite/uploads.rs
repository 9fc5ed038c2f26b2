//! Uploads by other users who mean harm, or whose files the monitor cannot remove.

use crate::sandbox::{Run, Sandbox};
use proptest::prelude::*;
use publish::operation::drop_box::{DropBox, order};
use publish::tree::Limits;
use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

/// Users of this machine; both may write to the drop box.
const MONITOR: u32 = 3001;
const PIPELINE: u32 = 3002;
const GROUP: u32 = 3003;

/// A drop box that the monitor and a pipeline of another user share.
struct Shared {
    sandbox: Sandbox,
}

impl Shared {
    fn new(more: &str) -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("box")).unwrap();
        let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
        sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n{more}"));
        let all = Command::new("chown").args(["-R", &format!("{MONITOR}:{MONITOR}")]).arg(sandbox.dir.path()).status().unwrap();
        assert!(all.success());
        let shared = Self { sandbox };
        shared.owned_by(MONITOR, 0o2770);
        fs::set_permissions(shared.sandbox.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        shared
    }

    fn owned_by(&self, user: u32, mode: u32) {
        chown(self.sandbox.path("box"), Some(user), Some(GROUP)).unwrap();
        fs::set_permissions(self.sandbox.path("box"), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, user: u32, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        let user = user.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--groups", &GROUP.to_string(), program]);
        command.current_dir(self.sandbox.dir.path());
        command
    }

    /// A pipeline's script, run in the drop box.
    #[track_caller]
    fn pipeline(&self, script: &str) {
        let run = self.command(PIPELINE, "sh").args(["-ec", &format!("cd box; {script}")]).output().unwrap();
        assert!(run.status.success(), "{run:?}");
    }

    /// An upload of one file.
    #[track_caller]
    fn upload(&self, name: &str, file: &str, content: &str) {
        self.pipeline(&format!(
            "umask 022; mkdir tuf_tmp_{name}; printf '{content}' >tuf_tmp_{name}/{file}; mv tuf_tmp_{name} tuf_ready_{name}"
        ));
    }

    /// A round; its events.
    #[track_caller]
    fn round(&self) -> Vec<(String, serde_json::Value)> {
        let run: Run = self.command(MONITOR, env!("CARGO_BIN_EXE_publish")).args(["monitor", "--once", "--json"]).output().unwrap().into();
        let run = run.ok();
        let lines = run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["event"].as_str().unwrap().to_owned(), line)).collect()
    }

    fn target(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.sandbox.path("repo/targets").join(name)).ok()
    }

    fn there(&self, name: &str) -> bool {
        self.sandbox.path("box").join(name).symlink_metadata().is_ok()
    }
}

fn told<'a>(events: &'a [(String, serde_json::Value)], event: &str) -> Vec<&'a serde_json::Value> {
    events.iter().filter(|(name, _)| name == event).map(|(_, line)| line).collect()
}

#[test]
fn an_upload_that_cannot_be_removed_is_published_once() {
    let shared = Shared::new("");
    shared.upload("1", "a", "first");
    shared.pipeline("umask 002; mkdir -p tuf_tmp_2/d; echo b >tuf_tmp_2/d/b; chmod 555 tuf_tmp_2/d; mv tuf_tmp_2 tuf_ready_2");
    shared.pipeline("umask 002; mkdir tuf_tmp_3; echo c >tuf_tmp_3/c; mv tuf_tmp_3 tuf_ready_3");
    let events = shared.round();
    assert_eq!(told(&events, "published")[0]["uploads"], serde_json::json!(["1", "2", "3"]));
    let kept: Vec<_> = told(&events, "kept").iter().map(|line| line["upload"].as_str().unwrap()).collect();
    assert_eq!(kept, ["1", "2"]);
    assert!(shared.there("tuf_done_1") && shared.there("tuf_done_2") && !shared.there("tuf_done_3"));
    // Newer content stays, and what was reported is not reported again.
    shared.upload("4", "a", "second");
    shared.round();
    for _ in 0..2 {
        let events = shared.round();
        assert!(told(&events, "kept").is_empty() && told(&events, "published").is_empty(), "{events:?}");
        assert_eq!(shared.target("a").as_deref(), Some("second"));
    }
    // The same name again is another upload. Once its owner permits it, the next process removes what was kept.
    shared.upload("1", "a", "third");
    shared.pipeline("chmod -R g+w tuf_done_2 tuf_done_4");
    shared.round();
    assert_eq!(shared.target("a").as_deref(), Some("third"));
    assert!(!shared.there("tuf_done_2") && !shared.there("tuf_done_4") && shared.there("tuf_done_1.2"));
}

#[test]
fn a_sticky_drop_box_publishes_and_refuses_each_upload_once() {
    let shared = Shared::new("");
    // Of root, and sticky: the monitor can rename nothing.
    shared.owned_by(0, 0o3770);
    shared.upload("1", "a", "first");
    shared.pipeline("mkdir tuf_tmp_2; ln -s /etc/passwd tuf_tmp_2/link; mv tuf_tmp_2 tuf_ready_2");
    let events = shared.round();
    assert_eq!(told(&events, "published")[0]["uploads"], serde_json::json!(["1"]));
    assert_eq!(told(&events, "left alone")[0]["upload"], "2");
    assert_eq!(told(&events, "kept").len(), 1);
    shared.upload("3", "a", "second");
    shared.round();
    for _ in 0..2 {
        assert!(shared.round().iter().all(|(event, _)| event == "ready"));
        assert_eq!(shared.target("a").as_deref(), Some("second"));
    }
    // What happens in a published directory does not make it another upload; a new one of its name is one.
    shared.pipeline("echo late >tuf_ready_1/late; rm tuf_ready_1/a");
    shared.round();
    assert_eq!((shared.target("a").as_deref(), shared.target("late")), (Some("second"), None));
    shared.pipeline("rm -r tuf_ready_1 tuf_ready_2/link; echo mended >tuf_ready_2/mended");
    shared.upload("1", "a", "third");
    shared.round();
    assert_eq!((shared.target("a").as_deref(), shared.target("mended").as_deref()), (Some("third"), Some("mended\n")));
}

#[test]
fn what_is_written_into_the_drop_box_goes_through_no_link() {
    let shared = Shared::new("");
    let precious = shared.sandbox.write("precious", "of the monitor");
    chown(&precious, Some(MONITOR), Some(MONITOR)).unwrap();
    shared.pipeline(
        "ln -s ../precious tuf_failed_1.txt; ln -s ../precious .publish-monitor-lock; ln -s nowhere tuf_failed_1.2.txt; \
         mkdir tuf_tmp_1; ln -s x tuf_tmp_1/EVIL; mv tuf_tmp_1 tuf_ready_1",
    );
    let events = shared.round();
    assert_eq!(told(&events, "set aside").len(), 1);
    assert_eq!(told(&events, "unguarded").len(), 1);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "of the monitor");
    let reason = fs::read_to_string(shared.sandbox.path("box/tuf_failed_1.3.txt")).unwrap();
    assert!(reason.contains("EVIL"), "{reason}");
    assert!(!shared.there("nowhere"));
    // Pipelines can read it, whatever the monitor's umask.
    assert_eq!(fs::metadata(shared.sandbox.path("box/tuf_failed_1.3.txt")).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn no_upload_and_no_entry_blocks_the_others() {
    let long = "x".repeat(243);
    let zoo = [
        ("ln -s /nonexistent tuf_processing_1; mkdir tuf_ready_1; echo a >tuf_ready_1/a", Some("a")),
        ("touch tuf_processing_1 tuf_done_1; mkdir tuf_ready_1; echo a >tuf_ready_1/a", Some("a")),
        ("mkdir tuf_processing_1; mkdir tuf_ready_1; echo a >tuf_ready_1/a", Some("a")),
        ("mkdir tuf_failed_1.txt tuf_failed_1; mkdir tuf_ready_1; ln -s x tuf_ready_1/a", None),
        ("ln -s /nonexistent tuf_failed_1; mkdir tuf_ready_1; ln -s x tuf_ready_1/a", None),
        (&format!("mkdir tuf_ready_{long}; echo a >tuf_ready_{long}/a"), Some("a")),
        (&format!("mkdir tuf_ready_{long}; ln -s x tuf_ready_{long}/a"), None),
        ("mkdir tuf_ready_1; echo a >tuf_ready_1/a; chmod 0 tuf_ready_1", None),
        ("mkdir -p tuf_ready_1/d; echo a >tuf_ready_1/d/a; chmod 0 tuf_ready_1/d", None),
        ("mkdir tuf_ready_1; echo a >tuf_ready_1/a; chmod 0 tuf_ready_1/a", None),
        ("mkdir tuf_ready_1; mkfifo tuf_ready_1/a", None),
        ("mkfifo tuf_ready_1", None),
        ("ln -s /etc tuf_ready_1", None),
        ("mkdir tuf_ready_1; truncate -s 4T tuf_ready_1/a", None),
        ("mkdir tuf_ready_1; (cd tuf_ready_1; for i in $(seq 40); do mkdir d; cd d; done; echo a >a)", None),
        ("mkdir tuf_ready_1; (cd tuf_ready_1; for i in $(seq 400); do mkdir dddddddd; cd dddddddd; done)", None),
        ("mkdir tuf_ready_1; (cd tuf_ready_1; for i in $(seq 21); do mkdir $i; done)", None),
        ("mkdir tuf_ready_1; touch tuf_ready_1/$(printf '\\377')", None),
        ("d=tuf_ready_$(printf '\\377'); mkdir $d; touch $d/a", None),
        ("mkdir tuf_ready_1; echo a >tuf_ready_1/$(printf 'a%.0s' $(seq 250))", None),
        ("mkdir tuf_ready_1; echo a >tuf_ready_1/there; mkdir tuf_ready_1/there2; echo a >tuf_ready_1/THERE", None),
    ];
    let shared = Shared::new("  upload_files: 20\n");
    for (script, target) in zoo {
        shared.pipeline(script);
        shared.upload("9", "good", script.len().to_string().as_str());
        let events = shared.round();
        assert_eq!(shared.target("good"), Some(script.len().to_string()), "{script}: {events:?}");
        if let Some(target) = target {
            assert_eq!(shared.target(target).as_deref(), Some("a\n"), "{script}: {events:?}");
        } else {
            let bad = told(&events, "set aside").len() + told(&events, "left alone").len();
            assert_eq!(bad, 1, "{script}: {events:?}");
        }
        let again = shared.round();
        assert!(again.iter().all(|(event, _)| event == "ready"), "{script}: {again:?}");
        let _ = Command::new("sh")
            .args(["-c", "chmod -R u+rwx box/tuf_*; rm -rf box/tuf_* repo/targets/a"])
            .current_dir(shared.sandbox.dir.path())
            .output();
        shared.sandbox.publish(&["remove-targets", "a", "--confirm", "1"]);
        let all = Command::new("chown").args(["-R", &MONITOR.to_string()]).arg(shared.sandbox.path("repo")).status().unwrap();
        assert!(all.success());
    }
}

#[test]
fn files_of_other_users_are_not_published_through_hard_links() {
    let shared = Shared::new("");
    shared.sandbox.write("secret", "of the monitor");
    shared.sandbox.write("other", "of another user");
    chown(shared.sandbox.path("secret"), Some(MONITOR), None).unwrap();
    shared.pipeline(
        "for i in 1 2 3 4; do mkdir tuf_tmp_$i; echo own >tuf_tmp_$i/own$i; done; ln tuf_tmp_4/own4 tuf_tmp_4/again; ln tuf_tmp_4/own4 kept",
    );
    // The kernel may forbid such links; where it does not, or by the time the other name is gone, they are refused here.
    fs::hard_link(shared.sandbox.path("secret"), shared.sandbox.path("box/tuf_tmp_1/x")).unwrap();
    fs::hard_link(shared.sandbox.path("other"), shared.sandbox.path("box/tuf_tmp_2/y")).unwrap();
    fs::rename(shared.sandbox.write("gone", "of the monitor"), shared.sandbox.path("box/tuf_tmp_3/z")).unwrap();
    chown(shared.sandbox.path("box/tuf_tmp_3/z"), Some(MONITOR), None).unwrap();
    shared.pipeline("for i in 1 2 3 4; do mv tuf_tmp_$i tuf_ready_$i; done");
    let events = shared.round();
    let aside: Vec<_> = told(&events, "set aside").iter().map(|line| line["upload"].as_str().unwrap()).collect();
    assert_eq!(aside, ["1", "2", "3"], "{events:?}");
    assert_eq!(told(&events, "published")[0]["uploads"], serde_json::json!(["4"]));
}

#[test]
fn private_files_of_the_monitors_user_are_not_published() {
    let shared = Shared::new("");
    let own = |script: &str| {
        let run = shared.command(MONITOR, "sh").args(["-ec", &format!("umask 027; cd box; {script}")]).output().unwrap();
        assert!(run.status.success(), "{run:?}");
    };
    own("mkdir -m 700 a b c d e; for i in a b c d; do echo SECRET >$i/$i; done");
    own("chmod 755 b c d; chmod 600 b/b; mkdir -m 700 c/deep; mv c/c c/deep/c; mkdir e/f; echo SECRET >e/f/x; chmod 604 d/d");
    shared.pipeline("for i in a b c d e; do mv $i tuf_ready_$i; done");
    // A private group of its own is none that others are in.
    own("mkdir g; echo SECRET >g/g; chmod 640 g/g");
    chown(shared.sandbox.path("box/g/g"), None, Some(MONITOR)).unwrap();
    shared.pipeline("mv g tuf_ready_g");
    // What they can read is handed over.
    own("mkdir -p tuf_tmp_1/p; echo own >tuf_tmp_1/p/own; mv tuf_tmp_1 tuf_ready_1");
    let events = shared.round();
    let aside: Vec<_> = told(&events, "set aside").iter().map(|line| line["upload"].as_str().unwrap()).collect();
    assert_eq!(aside, ["a", "b", "c", "d", "e", "g"], "{events:?}");
    assert_eq!(told(&events, "published")[0]["uploads"], serde_json::json!(["1"]));
    // Where others can rename nothing, all of it is the monitor's own.
    for mode in [0o700, 0o755, 0o3770] {
        shared.owned_by(MONITOR, mode);
        own(&format!(
            "mkdir -m 700 tuf_tmp_{mode}; echo own >tuf_tmp_{mode}/f{mode}; chmod 600 tuf_tmp_{mode}/*; mv tuf_tmp_{mode} tuf_ready_{mode}"
        ));
        assert_eq!(told(&shared.round(), "published").len(), 1, "{mode:o}");
    }
}

#[test]
fn a_lock_that_another_user_holds_does_not_stop_the_monitor() {
    let shared = Shared::new("");
    shared.upload("1", "a", "a");
    let mut holder = shared.command(PIPELINE, "bash");
    holder.args(["-c", "umask 0; exec 9<>box/.publish-monitor-lock; flock 9; echo held; exec sleep 60"]);
    let mut holder = holder.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    let events = shared.round();
    let stopped = holder.kill();
    holder.wait().unwrap();
    stopped.unwrap();
    assert_eq!(told(&events, "unguarded").len(), 1, "{events:?}");
    assert_eq!(shared.target("a").as_deref(), Some("a"));
}

/// The drop box in this process. A child of another test can hold the lock until it runs its program.
fn taken(sandbox: &Sandbox) -> DropBox {
    let take = || DropBox::open(&sandbox.path("box"), "", Limits::NONE, &sandbox.path("state")).unwrap();
    std::iter::repeat_with(take).inspect(|_| std::thread::sleep(std::time::Duration::from_millis(1))).flatten().next().unwrap()
}

/// An upload of this user's, claimed and read, and a secret beside the drop box.
fn claimed(rename: &str) -> (Sandbox, DropBox, publish::operation::drop_box::Upload) {
    let sandbox = Sandbox::empty();
    sandbox.write("keys/f", "sekret");
    sandbox.write("keys/d/f", "sekret");
    sandbox.write("box/tuf_ready_1/d/f", "public");
    fs::create_dir(sandbox.path("state")).unwrap();
    let mut drop_box = taken(&sandbox);
    let upload = drop_box.claim().unwrap().uploads.remove(0);
    assert!(sandbox.path(rename).exists());
    (sandbox, drop_box, upload)
}

#[test]
fn nothing_outside_is_opened_whatever_is_exchanged_after_the_look() {
    let cases = [
        ("box/tuf_processing_1", "ln -s $PWD/keys"),
        ("box/tuf_processing_1/d", "ln -s $PWD/keys/d"),
        ("box/tuf_processing_1/d", "ln -s ../../keys/d"),
        ("box/tuf_processing_1/d/f", "ln -s $PWD/keys/f"),
        ("box/tuf_processing_1/d/f", "ln -s ../../../keys/f"),
        ("box/tuf_processing_1/d/f", "ln -s /proc/self/environ"),
        ("box/tuf_processing_1/d/f", "mkdir"),
        ("box/tuf_processing_1/d/f", "mkfifo"),
        ("box/tuf_processing_1/d/f", "cp -a other"),
        ("box/tuf_processing_1/d", "cp -a box/aside"),
    ];
    for (place, exchange) in cases {
        let (sandbox, drop_box, upload) = claimed(place);
        let content = fs::metadata(sandbox.path("box/tuf_processing_1/d/f")).unwrap().modified().unwrap();
        // As long as the first one and modified at the same time.
        fs::File::options().write(true).open(sandbox.write("other", "notpub")).unwrap().set_modified(content).unwrap();
        let file = drop_box.read(&upload).unwrap().remove("d/f").unwrap();
        fs::rename(sandbox.path(place), sandbox.path("box/aside")).unwrap();
        let run = Command::new("sh").args(["-ec", &format!("{exchange} {place}")]).current_dir(sandbox.dir.path()).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        let failure = file.open().unwrap_err();
        assert!(failure.input.is_some(), "{exchange} {place}: {failure}");
        // Exchanged before the look, the upload is refused or holds what is there then.
        let mut text = String::new();
        if let Some(file) = drop_box.read(&upload).ok().and_then(|mut files| files.remove("d/f")) {
            std::io::Read::read_to_string(&mut file.open().unwrap(), &mut text).unwrap();
        }
        assert!(["", "notpub", "public"].contains(&text.as_str()), "{exchange} {place}: {text}");
    }
}

#[test]
fn what_is_exchanged_after_the_look_stops_its_own_upload_only() {
    for exchange in [
        "echo longer >box/tuf_processing_2/b",
        "rm box/tuf_processing_2/b",
        "mv box/tuf_processing_2 box/tuf_tmp_2",
        "mv box/tuf_processing_2 box/aside; ln -s ../keys box/tuf_processing_2",
        "mv box/tuf_processing_2 box/tuf_ready_2; mkdir box/tuf_processing_2",
    ] {
        let trial = crate::trial::Trial::new();
        for (upload, file) in [("1", "a"), ("2", "b"), ("4", "d")] {
            let directory = trial.path(&format!("box/tuf_ready_{upload}"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), file).unwrap();
        }
        // Told as set aside when the others have been looked at.
        fs::create_dir(trial.path("box/tuf_ready_3")).unwrap();
        symlink("x", trial.path("box/tuf_ready_3/link")).unwrap();
        let request = publish::operation::monitor::MonitorRequest {
            drop_box: Some(trial.path("box")),
            prefix: String::new(),
            sign: false,
            scan: std::time::Duration::from_secs(1),
            refresh: std::time::Duration::from_secs(1),
            consistent_snapshot: None,
            at_once: 100,
            limits: Limits::NONE,
            state: trial.path(""),
        };
        let told = std::cell::RefCell::new(Vec::new());
        let root = trial.path("");
        publish::operation::monitor::once(&trial.publisher(), &request, &|event| {
            let event = format!("{event:?}");
            if event.starts_with("SetAside { upload: \"3\"") {
                assert!(Command::new("sh").args(["-ec", exchange]).current_dir(&root).status().unwrap().success());
            }
            told.borrow_mut().push(event);
        });
        let there = |name: &str| trial.path(&format!("repo/targets/{name}")).exists();
        assert!(there("a") && there("d") && !there("b"), "{exchange}: {told:#?}");
        let about = |event: &&String| event.contains("upload: \"2\"");
        assert_eq!(told.borrow().iter().filter(about).count(), 1, "{exchange}: {told:#?}");
        assert!(!told.borrow().iter().any(|event| event.starts_with("Trouble")), "{exchange}: {told:#?}");
    }
}

#[test]
fn an_upload_that_the_store_has_no_space_for_stops_no_other() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n"));
    sandbox.write("box/tuf_ready_1/big", vec![1_u8; 3 << 20]);
    sandbox.write("box/tuf_ready_2/small", "small");
    let publish = env!("CARGO_BIN_EXE_publish");
    let script = format!(
        "cp -a repo copy; mount -t tmpfs -o size=1m none repo; cp -a copy/. repo/; {publish} monitor --once --json && exit 99; \
         cat repo/targets/small; ls box; mount -o remount,size=20m repo; {publish} monitor --once --json; ls box; wc -c repo/targets/big"
    );
    let mut command = Command::new("unshare");
    let run: Run =
        command.args(["--map-root-user", "--mount", "sh", "-ec", &script]).current_dir(sandbox.dir.path()).output().unwrap().into();
    run.ok().says(&["No space left", "small", "tuf_processing_1", "3145728"]);
}

#[test]
fn any_number_of_uploads_that_do_not_fit_stop_no_other() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n"));
    for name in 1..=4 {
        sandbox.write(&format!("box/tuf_ready_{name}/big{name}"), vec![1_u8; 3 << 20]);
    }
    for name in 5..=6 {
        sandbox.write(&format!("box/tuf_ready_{name}/small{name}"), "small");
    }
    // A limit of the process is met by a signal, which must not kill it either.
    let publish = env!("CARGO_BIN_EXE_publish");
    let script = format!(
        "cp -a repo copy; mount -t tmpfs -o size=1m none repo; cp -a copy/. repo/; {publish} monitor --once --json && exit 99; \
         cat repo/targets/small6; mount -o remount,size=40m repo; ulimit -f 2048; {publish} monitor --once --json && exit 99; \
         mkdir box/tuf_ready_7; echo more >box/tuf_ready_7/more; {publish} monitor --once --json && exit 99; cat repo/targets/more; ls box"
    );
    let mut command = Command::new("unshare");
    let run: Run =
        command.args(["--map-root-user", "--mount", "bash", "-ec", &script]).current_dir(sandbox.dir.path()).output().unwrap().into();
    let run = run.ok().says(&["No space left", "small", "File too large", "more"]);
    let left: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("tuf_")).collect();
    assert_eq!(left, ["tuf_processing_1", "tuf_processing_2", "tuf_processing_3", "tuf_processing_4"], "{run:#?}");
}

#[test]
fn names_of_uploads_forge_no_lines() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n"));
    let odd = "\n2026-11-26T00:00:00Z info published targets=9\r\u{1b}[31m\u{85}\u{202e}";
    for name in [format!("tuf_ready_1{odd}"), format!("tuf_ready_2{odd}")] {
        fs::create_dir_all(sandbox.path("box").join(name)).unwrap();
    }
    symlink("x", sandbox.path("box").join(format!("tuf_ready_1{odd}")).join(format!("link{odd}"))).unwrap();
    fs::write(sandbox.path("box").join(format!("tuf_ready_2{odd}")).join("good"), "good").unwrap();
    fs::write(sandbox.path("box").join(format!("tuf_ready_3{odd}")), "no directory").unwrap();
    let run = sandbox.publish(&["monitor", "--once"]).ok();
    let reason = fs::read_dir(sandbox.path("box")).unwrap().map(|entry| entry.unwrap().path());
    let reason = reason.filter(|path| path.to_str().unwrap().ends_with(".txt")).map(|path| fs::read_to_string(path).unwrap());
    for text in reason.chain([run.stderr.clone()]) {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("2026-11-26T00:00:00Z info published")), "{text}");
        assert!(text.contains("targets=9"), "{text}");
    }
    assert!(
        run.stderr.contains("set aside") && run.stderr.contains("left alone") && sandbox.path("repo/targets/good").exists(),
        "{run:#?}"
    );
}

#[test]
fn a_removal_touches_nothing_outside() {
    let (sandbox, mut drop_box, upload) = claimed("box/tuf_processing_1");
    symlink("../../../keys", sandbox.path("box/tuf_processing_1/d/link")).unwrap();
    drop_box.mark_published(&mut [upload.clone()]).unwrap();
    let done = drop_box.claim().unwrap().published.remove(0);
    // Another directory in its place is not removed.
    fs::rename(sandbox.path("box/tuf_done_1"), sandbox.path("box/aside")).unwrap();
    fs::rename(sandbox.path("keys"), sandbox.path("box/tuf_done_1")).unwrap();
    drop_box.remove(&done).unwrap_err();
    assert!(sandbox.path("box/tuf_done_1/f").exists());
    fs::rename(sandbox.path("box/tuf_done_1"), sandbox.path("keys")).unwrap();
    fs::rename(sandbox.path("box/aside"), sandbox.path("box/tuf_done_1")).unwrap();
    drop(drop_box);
    let mut next = taken(&sandbox);
    let done = next.claim().unwrap().published.remove(0);
    next.remove(&done).unwrap();
    assert!(!sandbox.path("box/tuf_done_1").exists() && sandbox.path("keys/d/f").exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_uploads_is_total(names in prop::collection::vec(
        prop_oneof![
            "[0-9]{1,3}", "0{0,3}[0-9]{1,40}", "[0-9]{1,3}\\.[0-9]{0,3}", "[0-9]{1,2}(a|-rc1|e5|\\.\\.1)", ".{0,3}",
            Just("NaN".to_owned()), Just("inf".to_owned()), Just("-inf".to_owned()), Just("1e5".to_owned()), Just("".to_owned()),
        ], 3)) {
        let [a, b, c] = [&names[0], &names[1], &names[2]];
        prop_assert_eq!(order(a, b), order(b, a).reverse());
        prop_assert_eq!(order(a, b) == Ordering::Equal, a == b);
        if order(a, b) != Ordering::Greater && order(b, c) != Ordering::Greater {
            prop_assert_ne!(order(a, c), Ordering::Greater);
        }
        if let (Ok(left), Ok(right)) = (a.parse::<u128>(), b.parse::<u128>()) && left != right {
            prop_assert_eq!(order(a, b), left.cmp(&right));
        }
    }
}

#[test]
fn numbers_come_first_and_by_value() {
    let mut names =
        ["b", "1e5", "10", "9", "NaN", "9.5", "1700000000.123", "1700000000.2", "100000000000000000000000000000000000000001", "007"];
    names.sort_by(|a, b| order(a, b));
    let sorted =
        ["007", "9", "9.5", "10", "1700000000.123", "1700000000.2", "100000000000000000000000000000000000000001", "1e5", "NaN", "b"];
    assert_eq!(names, sorted);
}
