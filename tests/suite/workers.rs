//! Signing by workers, with a real RabbitMQ, against attackers who hold the broker's credentials, a caller's identity, or the
//! state store. The long tests are in `interop/workers`.

use crate::rabbitmq::{Attacker, RabbitMq};
use crate::sandbox::{Run, Sandbox};
use crate::verify::Never;
use lapin::BasicProperties;
use publish::broker::{Ask, Changes, Credential, Reply, Request, Sealed, Subject, WorkerRole};
use publish::keys::{KeyUri, RoleSigner};
use publish::metadata::Target;
use publish::repository::{Change, Edit, Present, load, stage_bytes};
use publish::storage::LocalDirectory;
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOSTS: [&str; 4] = ["ci", "targets", "snapshot", "timestamp"];

/// A repository with a worker for each role, each with a home and a key of its own, and a caller.
struct Team {
    sandbox: Sandbox,
    broker: Arc<RabbitMq>,
    workers: Vec<Child>,
    repository: String,
}

impl Team {
    fn new(patience: u32) -> Self {
        let broker = RabbitMq::up();
        let sandbox = Sandbox::new();
        let mut publics = Vec::new();
        for host in HOSTS {
            fs::create_dir_all(sandbox.path(&format!("{host}/keys"))).unwrap();
            let made = sandbox.publish(&["key", "new", &format!("{host}/keys/identity.pem"), "--no-passphrase", "--json"]).ok();
            publics.push(made.json()["public"].as_str().unwrap().to_owned());
            fs::copy(sandbox.path("keys/1.root.json"), sandbox.path(host).join("keys/1.root.json")).unwrap();
        }
        for role in &HOSTS[1..] {
            fs::rename(sandbox.path(&format!("keys/{role}.pem")), sandbox.path(&format!("{role}/keys/{role}.pem"))).unwrap();
        }
        fs::rename(sandbox.path("keys/openpgp.asc"), sandbox.path("ci/keys/openpgp.asc")).unwrap();
        let exported = sandbox.publish(&["key", "export", "ci/keys/openpgp.asc", "--form", "openpgp"]).ok();
        sandbox.write("openpgp.pub.asc", exported.stdout);
        for host in HOSTS {
            let senders = json!({
                "ci": {"key": publics[0], "prefixes": ["releases/", "signatures/", "openpgp/", "channels/", "yanked/", "packages/"], "may": ["publish", "remove", "refresh"]},
                "targets": {"key": publics[1], "may": ["refresh"]},
            });
            let workers = json!({"name": host, "state": "../shared", "patience": patience, "certificates": ["../openpgp.pub.asc"], "senders": senders});
            sandbox.write(
                &format!("{host}/publish.yaml"),
                format!("name: acme\nrepo: ../repo\nbroker: {}\nworkers: {workers}\n", broker.url()),
            );
        }
        let root: Value = serde_json::from_slice(&fs::read(sandbox.path("keys/1.root.json")).unwrap()).unwrap();
        let mut canonical = Vec::new();
        publish::metadata::canonical::write_canonical(&mut canonical, &root["signed"]).unwrap();
        let repository = hex::encode(openssl::sha::sha256(&canonical));
        Self { sandbox, broker, workers: Vec::new(), repository }
    }

    /// Starts workers and waits until they serve.
    fn start(&mut self, roles: &[&str]) {
        for role in roles {
            let log = fs::File::create(self.sandbox.path(&format!("{role}.log"))).unwrap();
            let worker = self.command(role).args(["worker", role, "--json"]).stdout(log).stderr(Stdio::null()).spawn().unwrap();
            self.workers.push(worker);
        }
        for role in roles {
            until(|| !self.events(role, "ready").is_empty(), &format!("the {role} worker is ready"));
        }
    }

    fn events(&self, role: &str, event: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.sandbox.path(&format!("{role}.log"))).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == event).collect()
    }

    fn command(&self, host: &str) -> Command {
        let mut command = self.sandbox.command();
        command.current_dir(self.sandbox.path(host)).env("PUBLISH_BROKER_PASSWORD", "guest");
        command
    }

    fn ci(&self, arguments: &[&str]) -> Run {
        self.command("ci").args(arguments).output().unwrap().into()
    }

    fn package(&self, content: &str) {
        self.sandbox.write("ci/packages/p.zip", content);
    }

    fn queue(&self, name: &str) -> String {
        format!("publish.{}.{name}", &self.repository[..16])
    }

    fn present(&self) -> Present {
        let pinned = fs::read(self.sandbox.path("keys/1.root.json")).unwrap();
        load(&LocalDirectory::new(self.sandbox.path("repo")), &pinned, chrono::Utc::now()).unwrap()
    }

    fn signer(&self, path: &str) -> Arc<dyn RoleSigner> {
        publish::keys::load(&KeyUri::File(self.sandbox.path(path)), &Never).unwrap()
    }

    /// A reply as the worker of this role would give it, by an attacker who holds its keys.
    fn stolen(&self, role: WorkerRole, message: &[u8], reply: &Reply) -> Vec<u8> {
        let sealed = Sealed::parse(message).unwrap();
        let (key, identity) = (self.signer(&format!("{role}/keys/{role}.pem")), self.signer(&format!("{role}/keys/identity.pem")));
        let now = chrono::Utc::now();
        let sign = |statement: &[u8]| Ok(vec![key.sign(statement)?]);
        let credential = Credential::new(&self.repository, role, identity.public(), now, sign).unwrap();
        let subject = Subject::new(&self.repository, role, &id_of(message), &sealed);
        reply.seal(&subject, &credential, |message| identity.sign(message)).unwrap()
    }

    /// A request that an attacker signs with the identity of CI.
    fn forge(&self, id: &str, edit: &Edit) -> Vec<u8> {
        self.forge_set(id, &edit.to_change_set().unwrap())
    }

    fn forge_set(&self, id: &str, set: &[u8]) -> Vec<u8> {
        self.sandbox.write(&format!("shared/requests/{id}.json"), set);
        let changes = Changes { sha256: hex::encode(openssl::sha::sha256(set)), length: set.len() as u64 };
        let life = chrono::TimeDelta::minutes(5);
        let request = Request::new(id.into(), &self.repository, "ci", chrono::Utc::now(), life, Ask::Targets { changes });
        let identity = self.signer("ci/keys/identity.pem");
        request.seal(|message| identity.sign(message)).unwrap().to_bytes().unwrap()
    }

    fn change(&self, name: &str, content: Option<&[u8]>) -> Change {
        let storage = LocalDirectory::new(self.sandbox.path("repo"));
        let wanted: Option<Target> = content.map(|content| stage_bytes(&storage, name, content, false).unwrap());
        Change { name: name.into(), expected: self.present().targets.get(name).unwrap(), wanted, keep_existing: false, content: None }
    }

    fn result(&self, id: &str) -> Value {
        let path = self.sandbox.path(&format!("shared/results/{id}.json"));
        until(|| path.exists(), "a result");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn dead(&self) -> Vec<Value> {
        self.ci(&["queue", "--json"]).ok().json()["queue"]["dead"].as_array().unwrap().clone()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

#[track_caller]
fn until(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn id_of(message: &[u8]) -> String {
    let message: Value = serde_json::from_slice(message).unwrap();
    let payload: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
    payload["id"].as_str().unwrap().to_owned()
}

/// Replies that no targets worker signed for this request, made from one that it did.
fn forgeries(team: &Team, message: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let done = Reply::Done { changed: true, snapshot: 1 };
    let refused = Reply::Refused { kind: "conflict".into(), message: "x".into(), details: Vec::new(), hints: Vec::new() };
    let altered = |role, reply: &Reply, alter: &dyn Fn(&mut Value)| {
        let mut message: Value = serde_json::from_slice(&team.stolen(role, message, reply)).unwrap();
        alter(&mut message);
        serde_json::to_vec(&message).unwrap()
    };
    use WorkerRole::{Snapshot, Targets};
    vec![
        (serde_json::to_vec(&json!({"is": "done", "changed": true, "snapshot": 1})).unwrap(), "it is not a signed reply"),
        (vec![b'['; 1_000_000], "it is not a signed reply"),
        (vec![b' '; 2 << 20], "it is too long"),
        (altered(Targets, &done, &|reply| reply["signed"]["asked"] = json!("00".repeat(32))), "it is about another request"),
        (altered(Targets, &done, &|reply| reply["signed"]["request"] = json!("00".repeat(16))), "it is about another request"),
        (altered(Targets, &refused, &|reply| reply["message"] = json!("y")), "its signature is wrong"),
        (altered(Targets, &done, &|reply| reply["snapshot"] = json!(2)), "its signature is wrong"),
        (altered(Targets, &done, &|reply| reply["more"] = json!(2)), "it is not a signed reply"),
        (altered(Snapshot, &done, &|_| {}), "its sender's credential is for another repository or role"),
        (
            altered(Snapshot, &done, &|reply| reply["signed"]["credential"]["role"] = json!("targets")),
            "no key of the targets role certifies its sender",
        ),
        (
            altered(Targets, &done, &|reply| reply["signed"]["credential"]["repository"] = json!("00")),
            "its sender's credential is for another repository or role",
        ),
        (
            altered(Targets, &done, &|reply| reply["signed"]["credential"]["until"] = json!("2020-01-01T00:00:00Z")),
            "its sender's credential is not valid now",
        ),
        (
            altered(Targets, &done, &|reply| reply["signed"]["credential"]["until"] = json!("+262142-01-01T00:00:00Z")),
            "its sender's credential is not valid now",
        ),
        (
            altered(Targets, &done, &|reply| reply["signed"]["credential"]["signatures"] = json!(vec!["00"; 100_000])),
            "no key of the targets role",
        ),
    ]
}

#[test]
fn replies_are_accepted_only_as_their_worker_signed_them() {
    let team = Team::new(3);
    let message = team.forge(&"ab".repeat(16), &Edit::default());
    let (sealed, now) = (Sealed::parse(&message).unwrap(), chrono::Utc::now());
    let subject = Subject::new(&team.repository, WorkerRole::Targets, &id_of(&message), &sealed);
    let keys: Vec<_> = team.present().trust.root().keys_of(publish::metadata::Role::Targets).map(|(_, key)| key.clone()).collect();
    let certifiers = [publish::broker::Certifiers { keys, threshold: 1 }];
    let reply = Reply::Done { changed: true, snapshot: 7 };
    let genuine = team.stolen(WorkerRole::Targets, &message, &reply);
    assert_eq!(Reply::open(&genuine, &subject, &certifiers, now).unwrap(), reply);
    let later = now + chrono::TimeDelta::days(8);
    assert!(Reply::open(&genuine, &subject, &certifiers, later).is_err(), "a credential ends");
    let two = certifiers.clone().map(|certifiers| publish::broker::Certifiers { threshold: 2, ..certifiers });
    assert!(Reply::open(&genuine, &subject, &two, now).is_err(), "one key of two that must sign");
    for (forged, words) in forgeries(&team, &message) {
        let failure = Reply::open(&forged, &subject, &certifiers, now).expect_err(words);
        assert!(failure.message.contains(words), "`{words}` is not in {failure:?}");
    }
}

/// Replies of attackers in the place of the targets worker; whatever they are, a caller does not take them for a
/// publication.
#[test]
fn a_caller_accepts_what_the_targets_worker_signs_and_the_repository_shows() {
    let team = Team::new(3);
    // The queues are there when the first process has connected.
    team.ci(&["queue"]).ok();
    let attacker = Attacker::connect(&team.broker);
    let mut taken = attacker.take_from(&team.queue("targets"));
    let before = team.present().digest();
    let mut attack = |what: &str, recorded: bool, forge: &dyn Fn(&[u8]) -> Vec<Vec<u8>>, code: i32, words: &str| {
        team.package(what);
        let mut caller = team.command("ci");
        let caller = caller.args(["add-targets", "packages"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let message = attacker.next(&mut taken);
        let id = id_of(&message.data);
        for forged in forge(&message.data) {
            if recorded {
                team.sandbox.write(&format!("shared/results/{id}.json"), forged);
            } else {
                let to = message.properties.reply_to().clone().unwrap();
                attacker.send(&to.to_string(), &forged, BasicProperties::default().with_correlation_id(id.clone().into()));
            }
        }
        Run::from(caller.wait_with_output().unwrap()).fails(code, &[words]);
        assert_eq!(team.present().digest(), before, "{what}");
    };
    let forged = |message: &[u8]| forgeries(&team, message).into_iter().map(|(forged, _)| forged).collect::<Vec<_>>();
    let signed = |snapshot| {
        let team = &team;
        move |message: &[u8]| vec![team.stolen(WorkerRole::Targets, message, &Reply::Done { changed: true, snapshot })]
    };
    attack("forged replies", false, &forged, 13, "a reply is not accepted");
    attack("a forged record", true, &|message| forged(message)[..1].to_vec(), 13, "a reply is not accepted");
    attack("stolen keys", false, &signed(1), 9, "the repository does not contain it");
    attack("stolen keys, a later state", false, &signed(99), 9, "the repository does not contain it");
    attack("stolen keys, a record", true, &signed(1), 9, "the repository does not contain it");
}

/// What was published and has been changed since is done all the same.
#[test]
fn a_caller_finds_its_change_in_the_snapshot_that_published_it() {
    let mut team = Team::new(20);
    team.start(&["targets", "snapshot", "timestamp"]);
    team.package("first");
    team.ci(&["add-targets", "packages"]).ok();
    team.package("second");
    team.ci(&["add-targets", "packages"]).ok();
    team.workers.iter_mut().for_each(|worker| worker.kill().unwrap());
    let attacker = Attacker::connect(&team.broker);
    let mut taken = attacker.take_from(&team.queue("targets"));
    // A worker that was slow to report: snapshot 2 had the first content, and snapshot 3 has another.
    for (snapshot, code) in [(2, 0), (3, 9)] {
        team.package("first");
        let mut caller = team.command("ci");
        let caller = caller.args(["add-targets", "packages"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let message = attacker.next(&mut taken);
        let reply = team.stolen(WorkerRole::Targets, &message.data, &Reply::Done { changed: true, snapshot });
        attacker.send(&message.properties.reply_to().clone().unwrap().to_string(), &reply, BasicProperties::default());
        let run = Run::from(caller.wait_with_output().unwrap());
        assert_eq!(run.code, code, "{run:#?}");
    }
}

/// The timestamp worker's place is taken: what it reports is read back before anything is recorded.
#[test]
fn the_targets_worker_reads_back_what_the_timestamp_worker_reports() {
    let mut team = Team::new(30);
    team.start(&["targets", "snapshot"]);
    let attacker = Attacker::connect(&team.broker);
    let mut taken = attacker.take_from(&team.queue("timestamp"));
    team.package("p");
    let mut caller = team.command("ci");
    let caller = caller.args(["add-targets", "packages"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let message = attacker.next(&mut taken);
    let signed = Reply::Signed { file: publish::broker::FileReference { version: 2, sha256: "00".repeat(32) } };
    let to = message.properties.reply_to().clone().unwrap().to_string();
    attacker.send(&to, &serde_json::to_vec(&signed).unwrap(), BasicProperties::default());
    attacker.send(&to, &team.stolen(WorkerRole::Snapshot, &message.data, &signed), BasicProperties::default());
    attacker.send(&to, &team.stolen(WorkerRole::Timestamp, &message.data, &signed), BasicProperties::default());
    let run = Run::from(caller.wait_with_output().unwrap());
    run.fails(9, &["the timestamp worker reports that it signed, but the published timestamp is still the old one"]);
    assert_eq!(team.present().versions().timestamp, 1);
}

/// Odd and hostile messages by a process that has the broker's credentials only: valid requests are served, what cannot
/// be authenticated is moved to the dead letters unanswered, and the log stays short.
#[test]
fn invalid_messages_become_dead_letters_and_valid_requests_are_served() {
    let mut team = Team::new(60);
    team.start(&["targets", "snapshot", "timestamp"]);
    let attacker = Attacker::connect(&team.broker);
    let sealed = |payload: String| serde_json::to_vec(&json!({"payload": payload, "signature": "00"})).unwrap();
    let request = |id: &str, sender: &str, until: &str| {
        let ask = json!({"for": "targets", "changes": {"sha256": "", "length": 0}});
        json!({"schema": 1, "id": id, "repository": team.repository, "sender": sender, "not_after": until, "ask": ask}).to_string()
    };
    let id = "ab".repeat(16);
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 100],
        vec![b'{'; 200_000],
        vec![b'['; 1_000_000],
        vec![b'x'; 3 << 20],
        sealed("{}".into()),
        sealed("[".repeat(200_000)),
        sealed(json!({"\u{1b}[2J": 1}).to_string()),
        sealed(request("../../../x", "ci", "+262142-12-31T23:59:59Z")),
        sealed(request(&id, "ci", "-262143-01-01T00:00:00Z")),
        sealed(request(&id, &"\u{1b}[2J".repeat(1000), "2030-01-01T00:00:00Z")),
    ];
    let queues = ["targets", "snapshot", "timestamp"].map(|role| team.queue(role));
    let mut sent = 0;
    for queue in &queues {
        let dead = team.queue("dead");
        let reply_tos = ["", queue, "amq.rabbitmq.reply-to.g1h2AA5.x", "nobody", &"x".repeat(255), &dead];
        for (body, to) in bodies.iter().flat_map(|body| reply_tos.iter().map(move |to| (body, *to))) {
            let mut properties = BasicProperties::default().with_message_id(format!("\u{1b}[31m{}", "i".repeat(200)).into());
            if !to.is_empty() {
                properties = properties.with_reply_to(to.into()).with_correlation_id(id.clone().into());
            }
            attacker.send(queue, body, properties);
            sent += 1;
        }
    }
    team.package("p");
    let started = Instant::now();
    team.ci(&["add-targets", "packages"]).ok();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    until(
        || {
            team.ci(&["queue", "--json"]).ok().json()["queue"]["queues"]
                .as_array()
                .unwrap()
                .iter()
                .take(3)
                .all(|queue| queue["waiting"] == 0)
        },
        "all is done",
    );
    let letters = team.dead();
    assert_eq!(letters.len(), sent, "each is there once: none was answered into a queue");
    assert!(letters.iter().all(|letter| !letter.to_string().contains("\\u001b")), "control characters are not passed on");
    assert!(letters.iter().any(|letter| letter["length"] == 3 << 20));
    for role in ["targets", "snapshot", "timestamp"] {
        let lines = team.events(role, "refused").len();
        assert!((5..=20).contains(&lines), "{lines} lines of {role}");
        assert!(team.events(role, "trouble").is_empty(), "{:?}", team.events(role, "trouble"));
    }
    // What another process wrote among the dead letters is not sent to any queue.
    let headers =
        [("publish-queue", "amq.rabbitmq.reply-to.x")].into_iter().fold(lapin::types::FieldTable::default(), |mut table, (name, value)| {
            table.insert(name.into(), lapin::types::AMQPValue::LongString(value.into()));
            table
        });
    attacker.send(&team.queue("dead"), b"x", BasicProperties::default().with_headers(headers).with_message_id("foreign".into()));
    team.ci(&["queue", "requeue", "foreign"]).ok().says(&["0 dead letters requeued"]);
    let dead = team.dead().len().to_string();
    team.ci(&["queue", "drop", "--all"]).fails(5, &["cannot be undone", &format!("--confirm {dead}")]);
    assert_eq!(team.dead().len().to_string(), dead);
    team.ci(&["queue", "drop", "--all", "--confirm", &dead]).ok();
    assert!(team.dead().is_empty());
}

/// A stolen identity of CI: what the promises do not forbid is judged by content.
#[test]
fn a_stolen_identity_publishes_nothing_that_breaks_a_promise() {
    let mut team = Team::new(30);
    team.start(&["targets", "snapshot", "timestamp"]);
    fs::create_dir_all(team.sandbox.path("ci/dist")).unwrap();
    team.command("ci").args(["release", "1.0.0", "--from", "../dist"]).output().map(Run::from).unwrap().ok();
    let attacker = Attacker::connect(&team.broker);
    let ask = |id: u8, changes: Vec<Change>| {
        let id = hex::encode([id; 16]);
        let message = team.forge(&id, &Edit { changes, ..Edit::default() });
        attacker.send(&team.queue("targets"), &message, BasicProperties::default());
        team.result(&id)
    };
    let signature = fs::read(team.sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap();
    let windows = "releases/1.0.0/windows-amd64/bin/acme.exe";
    let windows_signature = "signatures/1.0.0/windows-amd64/bin/acme.exe.sig";
    let dated_ahead = {
        let key = fs::read(team.sandbox.path("ci/keys/openpgp.asc")).unwrap();
        let now = chrono::Utc::now();
        let key = publish::openpgp::SigningKey::load(&key, "key", now, &|_: &str| unreachable!("the key is not encrypted")).unwrap();
        let mut state = sequoia_openpgp::types::HashAlgorithm::SHA512.context().unwrap().for_signature(4);
        state.update(b"MZ");
        publish::openpgp::sign(key.signer().unwrap().as_mut(), state, now + chrono::TimeDelta::hours(1)).unwrap()
    };
    for (id, changes, words) in [
        (1, vec![team.change("releases/1.0.0/linux-amd64/bin/evil", Some(b"evil"))], "a published platform never changes"),
        (2, vec![team.change(windows, Some(b"MZ"))], "has no signature"),
        (3, vec![team.change(windows, Some(b"MZ")), team.change(windows_signature, Some(&signature))], "signature"),
        (4, vec![team.change(windows_signature, Some(&signature))], "which is not a target"),
        (5, vec![team.change("channels/1/stable", Some(b"9.9.9\n"))], "which is not released"),
        (6, vec![team.change("openpgp/key.asc", Some(b"x"))], "is not an OpenPGP key"),
        (15, vec![team.change(windows, Some(b"MZ")), team.change(windows_signature, Some(&dated_ahead))], "after this worker's time"),
        (7, vec![team.change("yanked/1.0.0", Some(b"1.0.0\n"))], "leaves some targets"),
    ] {
        let result = ask(id, changes);
        assert!(result["is"] == "refused" && result["message"].as_str().unwrap().contains(words), "{result}");
    }
    // A change set that names a target twice, and one that cannot be read, under a genuine signature.
    let twice = vec![team.change("packages/t", Some(b"t")), team.change("packages/t", None)];
    for (id, edit, words) in [
        ("11", Some(Edit { changes: twice, ..Edit::default() }), "names target packages/t twice"),
        ("12", None, "cannot be read"),
        ("13", Some(Edit { changes: vec![team.change("packages/\u{202e}gpj.exe", Some(b"x"))], ..Edit::default() }), "U+202E"),
    ] {
        let set = edit.map_or(b"{\"schema\":1,".to_vec(), |edit| edit.to_change_set().unwrap());
        attacker.send(&team.queue("targets"), &team.forge_set(&id.repeat(16), &set), BasicProperties::default());
        let result = team.result(&id.repeat(16));
        assert!(result["is"] == "refused" && result["message"].as_str().unwrap().contains(words), "{result}");
    }
    // A channel that is removed could come back at a release with fewer platforms.
    team.sandbox.write("ci/trdl_channels.yaml", "groups:\n- name: \"1\"\n  channels:\n  - name: stable\n    version: 1.0.0\n");
    team.ci(&["channels"]).ok();
    let result = ask(14, vec![team.change("channels/1/stable", None)]);
    assert!(result["is"] == "refused" && result["message"].as_str().unwrap().contains("has no right to request"), "{result}");
    // Together, the one that breaks a promise fails alone.
    let batch = [
        (team.forge(&"b1".repeat(16), &Edit { changes: vec![team.change("packages/a", Some(b"a"))], ..Edit::default() })),
        (team
            .forge(&"b2".repeat(16), &Edit { changes: vec![team.change("releases/1.0.0/linux-amd64/bin/acme", None)], ..Edit::default() })),
        (team.forge(&"b3".repeat(16), &Edit { changes: vec![team.change("packages/b", Some(b"b"))], ..Edit::default() })),
    ];
    batch.iter().for_each(|message| attacker.send(&team.queue("targets"), message, BasicProperties::default()));
    let ends = ["b1", "b2", "b3"].map(|id| team.result(&id.repeat(16))["is"].as_str().unwrap().to_owned());
    assert_eq!(ends, ["done", "refused", "done"]);
    // The id of a request that was answered: another request gets neither its answer nor one of its own.
    let replayed = team.forge(&"b1".repeat(16), &Edit { changes: vec![team.change("packages/c", Some(b"c"))], ..Edit::default() });
    attacker.send(&team.queue("targets"), &replayed, BasicProperties::default());
    until(|| team.dead().iter().any(|letter| letter["reason"].as_str().unwrap().contains("has the id of another request")), "it is buried");
    assert_eq!(team.present().targets.get("packages/c").unwrap(), None);
    // A result that was put into the state store before the request came is not accepted.
    let planted = hex::encode([9; 16]);
    team.sandbox.write(&format!("shared/results/{planted}.json"), b"{\"is\":\"done\",\"changed\":true,\"snapshot\":1}");
    let message = team.forge(&planted, &Edit { changes: vec![team.change("packages/d", Some(b"d"))], ..Edit::default() });
    attacker.send(&team.queue("targets"), &message, BasicProperties::default());
    until(|| team.result(&planted)["signed"].is_object(), "a signed result");
    assert!(team.present().targets.get("packages/d").unwrap().is_some());
    team.command("ci").args(["verify", "--root", "keys/1.root.json"]).output().map(Run::from).unwrap().ok();
}
