//! The drop box and the monitor that empties it.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

struct Box {
    sandbox: Sandbox,
}

impl Box {
    fn new() -> Self {
        Self::with("prefix: packages")
    }

    fn with(more: &str) -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("box")).unwrap();
        let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
        sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n  {more}\n"));
        Self { sandbox }
    }

    /// A pipeline's upload, made ready.
    fn upload(&self, name: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(self.sandbox.path(&format!("box/tuf_tmp_{name}"))).unwrap();
        for (file, content) in files {
            self.sandbox.write(&format!("box/tuf_tmp_{name}/{file}"), content);
        }
        fs::rename(self.sandbox.path(&format!("box/tuf_tmp_{name}")), self.sandbox.path(&format!("box/tuf_ready_{name}"))).unwrap();
    }

    fn once(&self) -> Run {
        self.sandbox.publish(&["monitor", "--once", "--json"])
    }

    fn start(&self) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.sandbox.path("log")).unwrap();
        self.sandbox.command().args(["monitor", "--json"]).stdout(log).stderr(Stdio::null()).spawn().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.sandbox.path("box")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    fn target(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.sandbox.path("repo/targets").join(name)).ok()
    }

    fn timestamp(&self) -> u64 {
        let status = self.sandbox.publish(&["status", "--json"]).ok().json();
        status["status"]["roles"].as_array().unwrap().last().unwrap()["version"].as_u64().unwrap()
    }
}

fn events(text: &str, event: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn all_that_is_ready_becomes_one_commit_in_the_order_of_names() {
    let dropped = Box::new();
    dropped.upload("1000", &[("y.zip", "later"), ("b.zip", "b")]);
    dropped.upload("999", &[("y.zip", "earlier"), ("a/a.zip", "a")]);
    fs::create_dir_all(dropped.sandbox.path("box/tuf_tmp_1001")).unwrap();
    fs::create_dir_all(dropped.sandbox.path("box/TUF_READY_1002")).unwrap();
    dropped.sandbox.write("box/TUF_READY_1002/c.zip", "upper case");
    // What a monitor had claimed before it died.
    fs::create_dir_all(dropped.sandbox.path("box/tuf_processing_998")).unwrap();
    dropped.sandbox.write("box/tuf_processing_998/d.zip", "claimed");
    let before = dropped.timestamp();
    let run = dropped.once().ok();
    assert_eq!(dropped.timestamp(), before + 1);
    assert_eq!(events(&run.stdout, "published")[0]["uploads"], serde_json::json!(["998", "999", "1000", "1002"]));
    let overtaken = &events(&run.stdout, "overtaken")[0];
    assert_eq!((&overtaken["target"], &overtaken["by"]), (&"packages/y.zip".into(), &"1000".into()));
    assert_eq!(dropped.target("packages/y.zip").as_deref(), Some("later"));
    for name in ["a/a.zip", "b.zip", "c.zip", "d.zip"] {
        assert!(dropped.target(&format!("packages/{name}")).is_some(), "{name}");
    }
    assert_eq!(dropped.names(), ["tuf_tmp_1001"]);
    dropped.sandbox.publish(&["verify"]).ok();
    assert_eq!(dropped.sandbox.unchanged(|| dropped.once().ok()).stdout.lines().count(), 1);
}

#[test]
fn what_cannot_be_accepted_is_set_aside_and_blocks_no_other() {
    let dropped = Box::with("scan: 5");
    dropped.upload("0", &[("ok.zip", "there already")]);
    dropped.once().ok();
    dropped.upload("1", &[("fine.zip", "fine")]);
    dropped.upload("2", &[("releases/1.0.0/linux-amd64/x", "reserved")]);
    dropped.upload("3", &[("bad%name", "x"), ("fine", "y")]);
    fs::create_dir(dropped.sandbox.path("box/tuf_tmp_4")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dropped.sandbox.path("box/tuf_tmp_4/link")).unwrap();
    fs::rename(dropped.sandbox.path("box/tuf_tmp_4"), dropped.sandbox.path("box/tuf_ready_4")).unwrap();
    std::os::unix::fs::symlink("/etc", dropped.sandbox.path("box/tuf_ready_5")).unwrap();
    // Only the published state shows that this one conflicts.
    dropped.upload("6", &[("OK.zip", "differs in case")]);
    dropped.upload("7", &[("ok.zip/below", "is no directory")]);
    dropped.upload("8", &[]);
    dropped.upload("9", &[("last.zip", "last")]);
    let run = dropped.once().ok();
    let aside: Vec<String> = events(&run.stdout, "set aside").iter().map(|event| event["upload"].as_str().unwrap().to_owned()).collect();
    assert_eq!(aside, ["2", "3", "4", "6", "7"]);
    let failed: Vec<String> =
        ["2", "3", "4", "6", "7"].iter().flat_map(|name| [format!("tuf_failed_{name}"), format!("tuf_failed_{name}.txt")]).collect();
    assert_eq!(dropped.names(), [failed, vec!["tuf_ready_5".into()]].concat());
    let reason = |name: &str| fs::read_to_string(dropped.sandbox.path(&format!("box/tuf_failed_{name}.txt"))).unwrap();
    for (name, words) in
        [("2", "reserved"), ("3", "it holds `%`"), ("4", "links are not followed"), ("6", "only in case"), ("7", "directory of the other")]
    {
        assert!(reason(name).contains(words), "{}", reason(name));
    }
    for name in ["fine.zip", "last.zip"] {
        assert!(dropped.target(name).is_some(), "{name}");
    }
    // Mended, it is accepted, and the reason goes with it.
    fs::remove_file(dropped.sandbox.path("box/tuf_failed_3/bad%name")).unwrap();
    fs::rename(dropped.sandbox.path("box/tuf_failed_3"), dropped.sandbox.path("box/tuf_ready_3")).unwrap();
    dropped.once().ok();
    assert_eq!(dropped.target("fine").as_deref(), Some("y"));
    assert!(!dropped.names().iter().any(|name| name.starts_with("tuf_failed_3")));
    dropped.sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_fault_that_is_not_the_uploads_sets_nothing_aside() {
    let dropped = Box::new();
    dropped.upload("1", &[("a.zip", "a")]);
    fs::rename(dropped.sandbox.path("keys/targets.pem"), dropped.sandbox.path("away.pem")).unwrap();
    let run = dropped.sandbox.unchanged_metadata(|| dropped.once());
    assert_eq!(run.code, 13, "{run:?}");
    assert!(events(&run.stdout, "trouble")[0]["why"].as_str().unwrap().contains("keys/targets.pem"), "{run:?}");
    assert_eq!(dropped.names(), ["tuf_processing_1"]);
    fs::rename(dropped.sandbox.path("away.pem"), dropped.sandbox.path("keys/targets.pem")).unwrap();
    dropped.sandbox.publish(&["pause"]).ok();
    dropped.sandbox.unchanged(|| dropped.once().ok());
    dropped.sandbox.publish(&["resume"]).ok();
    dropped.once().ok();
    assert_eq!(dropped.target("packages/a.zip").as_deref(), Some("a"));
    assert!(dropped.names().is_empty());
}

#[test]
fn a_thousand_uploads_at_once_are_visible_after_three_commits_at_most() {
    let dropped = Box::new();
    for number in 0..1000 {
        dropped.upload(&format!("{number}"), &[(&format!("p{number}.zip"), &format!("package {number}"))]);
    }
    let before = dropped.timestamp();
    dropped.once().ok();
    assert!(dropped.timestamp() <= before + 3);
    assert_eq!(dropped.target("packages/p999.zip").as_deref(), Some("package 999"));
    assert!(dropped.names().is_empty());
}

#[test]
fn one_monitor_works_and_another_is_on_standby_until_it_is_killed() {
    let dropped = Box::with("scan: 0.2");
    let log = || fs::read_to_string(dropped.sandbox.path("log")).unwrap_or_default();
    let mut first = dropped.start();
    until("the first is ready", || log().contains("\"ready\""));
    let mut second = dropped.start();
    until("the second stands by", || log().contains("standby"));
    let upload = |number: usize| {
        dropped.upload(&format!("{number}"), &[("same.zip", &format!("edition {number}")), (&format!("p{number}.zip"), "x")]);
        std::thread::sleep(Duration::from_millis(30));
    };
    (0..8).for_each(upload);
    first.kill().unwrap();
    first.wait().unwrap();
    (8..20).for_each(upload);
    until("all are published", || dropped.names().is_empty());
    assert_eq!(dropped.target("same.zip").as_deref(), Some("edition 19"));
    assert!((0..20).all(|number| dropped.target(&format!("p{number}.zip")).is_some()));
    dropped.sandbox.publish(&["verify"]).ok();
    // Told to stop, it ends well.
    tell(&second, "TERM");
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert!(log().contains("\"stopped\""));
}

fn tell(child: &Child, signal: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn health_and_metrics_report_the_state() {
    let dropped = Box::with("listen: 127.0.0.1:0\n  scan: 0.2\n  refresh: 0.2");
    let log = || fs::read_to_string(dropped.sandbox.path("log")).unwrap_or_default();
    let mut monitor = dropped.start();
    until("it listens", || log().contains("listening") && log().contains("\"ready\""));
    let address = events(&log(), "listening")[0]["address"].as_str().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    dropped.upload("1", &[("a.zip", "a")]);
    until("it is published", || dropped.names().is_empty() && get("/metrics").contains("publish_uploads_total{outcome=\"published\"} 1"));
    let metrics = get("/metrics");
    for words in [
        "publish_role_expiry_seconds{role=\"timestamp\"} 86",
        "publish_targets_total 1",
        "publish_last_success_timestamp_seconds{job=\"drop box\"}",
        "publish_paused 0",
    ] {
        assert!(metrics.contains(words), "{words} is not in {metrics}");
    }
    // A config that cannot be read does not end the service; one that can takes effect.
    let config = fs::read_to_string(dropped.sandbox.path("publish.yaml")).unwrap();
    dropped.sandbox.write("publish.yaml", "monitor: [");
    tell(&monitor, "HUP");
    until("it keeps its config", || log().contains("not reloaded"));
    dropped.sandbox.write("publish.yaml", config.replace("drop_box: box\n", "drop_box: box\n  prefix: new\n"));
    tell(&monitor, "HUP");
    until("it has read its config", || log().contains("\"reloaded\""));
    dropped.upload("2", &[("b.zip", "b")]);
    until("the new prefix counts", || dropped.target("new/b.zip").is_some());
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn what_is_due_is_signed_again() {
    let mut trial = crate::trial::Trial::new();
    trial.release("1.0.0").unwrap();
    trial.wait(chrono::TimeDelta::hours(5));
    let request = publish::operation::monitor::MonitorRequest {
        drop_box: None::<PathBuf>,
        prefix: String::new(),
        sign: false,
        scan: Duration::from_secs(1),
        refresh: Duration::from_secs(1),
        consistent_snapshot: None,
        at_once: 100,
        limits: publish::tree::Limits::NONE,
        state: trial.path(""),
    };
    let told = std::cell::RefCell::new(Vec::new());
    publish::operation::monitor::once(&trial.publisher(), &request, &|event| told.borrow_mut().push(format!("{event:?}")));
    assert!(told.borrow().iter().any(|event| event.contains("Refreshed { roles: [Top(Timestamp)] }")), "{told:?}");
    trial.client().unwrap();
}

#[test]
fn a_pause_flag_that_cannot_be_read_is_trouble() {
    let dropped = Box::new();
    dropped.upload("1", &[("a.zip", "a")]);
    fs::create_dir_all(dropped.sandbox.path(".publish-shared")).unwrap();
    let flag = dropped.sandbox.path(".publish-shared/paused.json");
    std::os::unix::fs::symlink("paused.json", &flag).unwrap();
    let check = |why: &str| {
        let run = dropped.sandbox.unchanged(|| dropped.once());
        assert_eq!(run.code, 13, "{run:?}");
        let trouble = events(&run.stdout, "trouble");
        assert_eq!((trouble.len(), &trouble[0]["job"]), (1, &"pause flag".into()), "{run:?}");
        assert!(trouble[0]["why"].as_str().unwrap().contains(why), "{run:?}");
        assert!(events(&run.stdout, "paused").is_empty(), "{run:?}");
    };
    check("paused.json");
    fs::remove_file(&flag).unwrap();
    fs::write(&flag, "nonsense").unwrap();
    check("publish resume");
    dropped.sandbox.publish(&["resume"]).ok();
    dropped.once().ok();
    assert!(dropped.target("packages/a.zip").is_some());
}

#[test]
fn idle_connections_do_not_stop_the_monitor() {
    let dropped = Box::with("listen: 127.0.0.1:0\n  scan: 0.2");
    let log = || fs::read_to_string(dropped.sandbox.path("log")).unwrap_or_default();
    let file = fs::File::options().create(true).append(true).open(dropped.sandbox.path("log")).unwrap();
    let script = format!("ulimit -n 64; exec {} monitor --json", env!("CARGO_BIN_EXE_publish"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(dropped.sandbox.path(""));
    let mut monitor = shell.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).spawn().unwrap();
    until("it listens", || log().contains("listening") && log().contains("\"ready\""));
    let address = events(&log(), "listening")[0]["address"].as_str().unwrap().to_owned();
    let idle: Vec<_> = (0..60).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    // Those that are accepted send nothing or half a request.
    for mut stream in idle.iter().step_by(2) {
        write!(stream, "GET /metrics HTTP/1.1\r\n").unwrap();
    }
    dropped.upload("1", &[("a.zip", "a")]);
    until("it is published", || dropped.names().is_empty());
    // An idle connection is closed, and the next one in line is served.
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut end = Vec::new();
    idle[0].set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = (&idle[0]).read_to_end(&mut end).unwrap();
    assert!(!log().contains("trouble"), "{}", log());
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}
