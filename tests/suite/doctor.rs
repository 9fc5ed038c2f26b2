//! `publish doctor` against real servers: each fault is found under its id, with a remedy, and nothing is written.

use crate::fakes::gcs::Gcs;
use crate::fakes::http::{Request, Response, serve};
use crate::sandbox::{Run, Sandbox, files};
use crate::trial::Trial;
use chrono::{TimeDelta, Utc};
use publish::operation::doctor::{Checklist, DoctorRequest, Item, Verdict, examine};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Tweak = dyn Fn(&Request, Response) -> Option<Response> + Send + Sync;

/// What a good web server answers from a directory.
fn from_directory(root: &Path, request: &Request) -> Response {
    let path = request.target.trim_start_matches('/').replace("%2B", "+");
    let date = Utc::now().to_rfc2822();
    match fs::read(root.join(&path)) {
        Err(_) => Response::new(404).header("Date", date),
        Ok(bytes) => Response::new(200).header("Date", date).header("Cache-Control", "no-cache").body(bytes),
    }
}

/// A published repository behind a web server whose answers are changed by a fault.
struct Served {
    sandbox: Sandbox,
    root: Arc<Mutex<PathBuf>>,
    fault: Arc<Mutex<Box<Tweak>>>,
}

impl Served {
    fn new() -> Self {
        let root = Arc::new(Mutex::new(PathBuf::new()));
        let fault: Arc<Mutex<Box<Tweak>>> = Arc::new(Mutex::new(Box::new(|_, response| Some(response))));
        let (served, tweak) = (root.clone(), fault.clone());
        let url = serve(move |request| {
            let root = served.lock().unwrap().clone();
            let response = from_directory(&root, &request);
            tweak.lock().unwrap()(&request, response)
        });
        let sandbox = Sandbox::empty();
        sandbox.write("dist/linux-amd64/bin/acme.tar.gz", b"\x1f\x8b not really");
        *root.lock().unwrap() = sandbox.path("repo");
        sandbox.publish(&["init", "--name", "acme", "--public-url", &url, "--no-passphrase"]).ok();
        sandbox.release("1.0.0+x").ok();
        Self { sandbox, root, fault }
    }

    fn with(&self, fault: impl Fn(&Request, Response) -> Option<Response> + Send + Sync + 'static) -> &Self {
        *self.fault.lock().unwrap() = Box::new(fault);
        self
    }

    /// With another header of every answer.
    fn header(&self, name: &'static str, value: impl ToString) -> &Self {
        let value = value.to_string();
        self.with(move |_, mut response| {
            response.headers.retain(|(known, _)| known != name);
            Some(response.header(name, &value))
        })
    }

    fn doctor(&self) -> Seen {
        doctor(&self.sandbox, &[])
    }
}

/// The JSON of a run, which changed no file.
struct Seen {
    code: i32,
    json: Value,
}

#[track_caller]
fn doctor(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Seen {
    let before = files(sandbox.dir.path());
    let run: Run = sandbox.command().args(["doctor", "--json"]).envs(variables.iter().copied()).output().unwrap().into();
    assert!(before == files(sandbox.dir.path()), "doctor wrote something: {run:#?}");
    let json = run.json();
    for check in json["checks"].as_array().unwrap_or_else(|| panic!("{run:#?}")) {
        let bad = check["verdict"] == "failed" || check["verdict"] == "warning";
        assert!(!bad || !check["remedies"].as_array().unwrap().is_empty(), "no remedy: {check}");
    }
    assert_eq!(run.code == 0, json["failed"] == 0, "{run:#?}");
    Seen { code: run.code, json }
}

impl Seen {
    fn all(&self, id: &str) -> Vec<&Value> {
        self.json["checks"].as_array().unwrap().iter().filter(|check| check["id"] == id).collect()
    }

    /// One line of this id has the verdict, and its meaning or remedies hold the words.
    #[track_caller]
    fn finds(&self, id: &str, verdict: &str, words: &[&str]) -> &Self {
        let fits = |check: &&Value| check["verdict"] == verdict && words.iter().all(|word| check.to_string().contains(word));
        assert!(self.all(id).iter().any(fits), "{id} {verdict} {words:?} is not in {:#}", self.json);
        self
    }

    /// Nothing else has failed.
    #[track_caller]
    fn only(&self, failed: &[&str]) -> &Self {
        let mut found: Vec<&str> = self.json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["verdict"] == "failed")
            .map(|check| check["id"].as_str().unwrap())
            .collect();
        found.dedup();
        assert_eq!(found, failed, "{:#}", self.json);
        assert_eq!(self.code, if failed.is_empty() { 0 } else { 6 });
        self
    }
}

#[test]
fn a_good_publisher_with_a_good_server_has_no_findings() {
    let served = Served::new();
    served.sandbox.channels(&[("1", "stable", "1.0.0+x")]);
    let seen = served.doctor();
    seen.only(&[]);
    assert_eq!(seen.json["warnings"], 0, "{:#}", seen.json);
    for id in
        ["public-url", "served-state", "missing-files", "cache-headers", "gzip", "plus", "ranges", "clock", "targets-key", "openpgp-key"]
    {
        seen.finds(id, "ok", &[]);
    }
    // Each item is there, and no other.
    let ids: Vec<&str> = Item::ALL.iter().map(|item| item.id()).collect();
    let mut found: Vec<&str> = seen.json["checks"].as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap()).collect();
    found.dedup();
    assert_eq!(found, ids);
    let quiet = served.sandbox.publish(&["doctor", "--quiet", "--fail-on-warning"]).ok();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:#?}");
}

#[test]
fn ids_are_unique_and_in_the_reference() {
    let reference = Sandbox::empty().publish(&["reference"]).ok().stdout;
    let mut ids: Vec<&str> = Item::ALL.iter().map(|item| item.id()).collect();
    for id in &ids {
        assert!(reference.contains(&format!("| `{id}` |")), "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{id}");
    }
    let number = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), number);
}

#[test]
fn faults_of_the_web_server_are_found() {
    let served = Served::new();
    let page = || Response::new(200).header("Content-Type", "text/html").body("<!DOCTYPE html><title>Log in</title>");
    served
        .with(move |_, _| Some(page()))
        .doctor()
        .only(&["public-url", "missing-files"])
        .finds("public-url", "failed", &["is a web page"])
        .finds("missing-files", "failed", &["answered with 200", "fallback page"]);
    served.with(|_, _| Some(Response::new(403))).doctor().only(&["public-url", "missing-files"]).finds("public-url", "failed", &["(403)"]);
    served
        .with(|_, response| Some(if response.status == 404 { Response::new(403) } else { response }))
        .doctor()
        .finds("missing-files", "failed", &["2.root.json does not exist and is answered with 403", "s3:ListBucket"])
        .finds("public-url", "failed", &["answered 403"]);
    served.with(|_, _| Some(Response::new(404))).doctor().only(&["public-url"]).finds("public-url", "failed", &["does not exist (404)"]);
    served.with(|_, _| Some(Response::new(503))).doctor().finds("public-url", "failed", &["answered with 503"]);
    served.with(|_, _| Some(Response::new(200).body("{}"))).doctor().finds("public-url", "failed", &["is not TUF metadata"]);
    served.with(|_, _| None).doctor().only(&["public-url"]).finds("https", "not_checked", &["does not answer"]);
    served
        .with(|request, response| Some(if request.target.contains('+') { Response::new(404) } else { response }))
        .doctor()
        .only(&["plus"])
        .finds("plus", "failed", &["the server reads + as a space; %2B reaches the file", "raw_plus: broken"]);
    // A page instead of the file, with status 200.
    served.with(move |request, response| Some(if request.target.contains('+') { page() } else { response })).doctor().finds(
        "plus",
        "failed",
        &[],
    );
    served
        .with(|request, response| {
            let gz = request.target.ends_with(".gz") && request.headers.get("accept-encoding").is_some_and(|value| value == "gzip");
            Some(if gz { response.header("Content-Encoding", "gzip") } else { response })
        })
        .doctor()
        .only(&["gzip"])
        .finds("gzip", "failed", &["clients unpack it", "RemoveEncoding .gz"]);
    served
        .with(|request, mut response| {
            if request.target.ends_with(".gz") && request.headers.contains_key("accept-encoding") {
                response.body.extend(b"compressed again");
                response = response.header("Content-Encoding", "gzip");
            }
            Some(response)
        })
        .doctor()
        .only(&[])
        .finds("gzip", "warning", &["a second time"]);
    served.with(|_, response| Some(if response.status == 404 { response.header("Cache-Control", "max-age=600") } else { response }));
    served.doctor().only(&[]).finds("missing-files", "warning", &["600 s", "hides a new root"]);
}

#[test]
fn headers_that_let_caches_keep_the_timestamp_are_found() {
    let served = Served::new();
    for good in ["no-cache", "no-store", "max-age=0, must-revalidate", "public, max-age=60", "MAX-AGE=10, s-maxage=\"20\""] {
        served.header("Cache-Control", good).doctor().only(&[]).finds("cache-headers", "ok", &[]);
    }
    for (slow, words) in [("max-age=1800", "1800 s"), ("max-age=0, s-maxage=3600", "3600 s"), ("public", "without Cache-Control")] {
        served.header("Cache-Control", slow).doctor().only(&[]).finds("cache-headers", "warning", &[words, "no-cache"]);
    }
    served.header("Cache-Control", "public, max-age=31536000, immutable").doctor().only(&["cache-headers"]);
    let without = |name: &'static str, value: String| {
        served.with(move |_, mut response| {
            response.headers.retain(|(known, _)| known != "Cache-Control");
            Some(response.header(name, &value))
        })
    };
    without("Expires", (Utc::now() + TimeDelta::days(1)).to_rfc2822()).doctor().only(&["cache-headers"]);
    without("Expires", "0".into()).doctor().only(&[]).finds("cache-headers", "ok", &[]);
    // Without any header the answer to a warning can be an exit code.
    without("X-Nothing", "1".into()).doctor().only(&[]).finds("cache-headers", "warning", &["each cache decides"]);
    served.sandbox.publish(&["doctor", "--fail-on-warning"]).fails(6, &[]).says(&["warning      cache headers"]);
}

#[test]
fn a_clock_that_is_off_is_found_in_both_directions() {
    let served = Served::new();
    let off = |span: TimeDelta| served.header("Date", (Utc::now() + span).to_rfc2822()).doctor();
    off(TimeDelta::days(1)).only(&["clock"]).finds("clock", "failed", &["this machine is 24 hours behind", "timedatectl"]);
    off(TimeDelta::days(-1)).only(&["clock"]).finds("clock", "failed", &["this machine is 24 hours ahead of"]);
    off(TimeDelta::minutes(20)).only(&[]).finds("clock", "warning", &["20 minutes behind"]);
    off(TimeDelta::minutes(1)).only(&[]).finds("clock", "ok", &[]);
    served.header("Date", "yesterday").doctor().only(&[]).finds("clock", "not_checked", &[]);
    // An answer out of a cache is dated by the day on which it was stored.
    served.with(|_, mut response| {
        response.headers.retain(|(name, _)| name != "Date");
        Some(response.header("Date", (Utc::now() - TimeDelta::days(1)).to_rfc2822()).header("Age", 86_400))
    });
    served.doctor().only(&[]).finds("clock", "not_checked", &[]);
}

#[test]
fn what_is_served_is_compared_with_the_store() {
    let served = Served::new();
    let copy = |to: &str| {
        let from = served.sandbox.path("repo");
        for (name, bytes) in files(&from) {
            served.sandbox.write(&format!("{to}/{name}"), bytes);
        }
        served.sandbox.path(to)
    };
    let old = copy("old");
    served.sandbox.release("1.1.0").ok();
    *served.root.lock().unwrap() = old;
    served.doctor().only(&["served-state"]).finds(
        "served-state",
        "failed",
        &["clients get timestamp 2, the store has 3", "purge the cache"],
    );
    served.header("Age", 7000).doctor().finds("served-state", "failed", &["its answer is 7000 s old"]);
    served.with(|_, response| Some(response));
    // The store was put back, the server was not.
    *served.root.lock().unwrap() = copy("new");
    fs::copy(served.sandbox.path("old/timestamp.json"), served.sandbox.path("repo/timestamp.json")).unwrap();
    let seen = served.doctor();
    seen.finds("served-state", "failed", &["clients get timestamp 3, the store has another with version 2"]);
    seen.finds("rollback", "failed", &["older state than this publisher has seen", "--accept-rollback"]);
    fs::copy(served.sandbox.path("new/timestamp.json"), served.sandbox.path("repo/timestamp.json")).unwrap();
    served.doctor().only(&[]);
    // A root that only the store has.
    served.sandbox.publish(&["root", "edit", "--expires", "300d"]).ok();
    served.sandbox.publish(&["root", "sign", "--yes"]).ok();
    served.sandbox.publish(&["root", "commit"]).ok();
    served.doctor().only(&["served-state"]).finds("served-state", "failed", &["clients get root 1, the store has 2", "2.root.json"]);
    // Another repository.
    let other = Sandbox::new();
    other.release("1.0.0").ok();
    *served.root.lock().unwrap() = other.path("repo");
    served.doctor().finds("public-url", "failed", &["serves another repository"]).finds("gzip", "not_checked", &[]);
    // The right repository, with a file that was changed on the way.
    *served.root.lock().unwrap() = served.sandbox.path("repo");
    served.with(|request, mut response| {
        if request.target.ends_with(".snapshot.json") {
            response.body.push(b' ');
        }
        Some(response)
    });
    served.doctor().finds("public-url", "failed", &["does not verify"]);
}

/// Every question to a server ends, whatever the server does.
#[test]
fn servers_that_do_not_answer_cost_a_bounded_time() {
    /// Accepts connections, and writes for ever what `next` gives.
    fn slow(next: impl Fn(usize) -> (Vec<u8>, Duration) + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let next = Arc::new(next);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let next = next.clone();
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    for step in 0.. {
                        let (bytes, pause) = next(step);
                        if stream.write_all(&bytes).is_err() {
                            return;
                        }
                        std::thread::sleep(pause);
                    }
                });
            }
        });
        url
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let second = Duration::from_secs(1);
    let silent = slow(move |_| (Vec::new(), second));
    let servers = [
        ("silent", silent.clone(), "was not answered within 10 seconds"),
        (
            "dripping headers",
            slow(move |step| (if step == 0 { b"HTTP/1.1 200 OK\r\nX: ".to_vec() } else { b"x".to_vec() }, second / 2)),
            "within 10 seconds",
        ),
        ("dripping body", slow(move |step| (if step == 0 { head.to_vec() } else { b" ".to_vec() }, second / 2)), "within 10 seconds"),
        ("endless", slow(move |step| (if step == 0 { head.to_vec() } else { vec![b'x'; 1 << 16] }, Duration::ZERO)), "is not TUF metadata"),
    ];
    std::thread::scope(|scope| {
        for (name, url, words) in servers {
            scope.spawn(move || {
                let sandbox = Sandbox::new();
                sandbox.release("1.0.0").ok();
                let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
                sandbox.write("publish.yaml", format!("{config}public_url: {url}\n"));
                let began = Instant::now();
                doctor(&sandbox, &[]).finds("public-url", "failed", &[words]);
                let took = began.elapsed();
                assert!(took < Duration::from_secs(35), "{name}: {took:?}");
            });
        }
        // The store itself.
        scope.spawn(move || {
            let sandbox = Sandbox::new();
            let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
            sandbox
                .write("publish.yaml", config.replace("repo: repo", &format!("repo: s3://bucket/acme\nstore: {{endpoint: \"{silent}\"}}")));
            let began = Instant::now();
            let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "test-only-secret-access-key")];
            doctor(&sandbox, &keys).finds("store", "failed", &["did not answer: it took more than 30 seconds"]).finds(
                "targets-key",
                "ok",
                &[],
            );
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        });
    });
}

#[test]
fn a_redirect_from_https_to_http_is_found() {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::ssl::{SslAcceptor, SslMethod};
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509NameBuilder};
    let key = PKey::generate_ed25519().unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns("localhost").build(&certificate.x509v3_context(None, None)).unwrap();
    certificate.append_extension(names).unwrap();
    certificate.sign(&key, MessageDigest::null()).unwrap();
    let certificate = certificate.build();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate).unwrap();
    let acceptor = Arc::new(acceptor.build());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let acceptor = acceptor.clone();
            std::thread::spawn(move || {
                let Ok(mut stream) = acceptor.accept(stream) else { return };
                let _ = stream.read(&mut [0; 4096]);
                let answer = "HTTP/1.1 301 Moved\r\nLocation: http://tuf.example.invalid/timestamp.json\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme", "--public-url", &url, "--no-passphrase"]).ok();
    let file = sandbox.write("ca.pem", certificate.to_pem().unwrap());
    doctor(&sandbox, &[("SSL_CERT_FILE", file.to_str().unwrap())])
        .finds("https", "failed", &["redirects to http://tuf.example.invalid", "not encrypted"])
        .finds("public-url", "failed", &["was not followed"]);
    // A certificate that no client trusts.
    doctor(&sandbox, &[]).finds("public-url", "failed", &["certificate verify failed"]);
}

#[test]
fn keys_that_do_not_open_are_found() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let key = |role: &str| sandbox.path(&format!("keys/{role}.pem"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&key("targets"), 0o644);
    doctor(&sandbox, &[]).only(&["targets-key"]).finds("targets-key", "failed", &["mode 0644", "chmod 600", "keys/targets.pem"]);
    mode(&key("targets"), 0o600);
    mode(&sandbox.path("keys/openpgp.asc"), 0o640);
    doctor(&sandbox, &[]).only(&["openpgp-key"]).finds("openpgp-key", "failed", &["mode 0640", "chmod 600"]);
    mode(&sandbox.path("keys/openpgp.asc"), 0o600);
    // A key of another role, a file that is gone, a root key that is kept elsewhere.
    let snapshot = fs::read(key("snapshot")).unwrap();
    fs::copy(key("timestamp"), key("snapshot")).unwrap();
    doctor(&sandbox, &[]).only(&["snapshot-key"]).finds(
        "snapshot-key",
        "failed",
        &["root 1 does not accept it for snapshot", "publish key list"],
    );
    fs::remove_file(key("snapshot")).unwrap();
    doctor(&sandbox, &[]).only(&["snapshot-key"]).finds("snapshot-key", "failed", &["snapshot cannot be signed here", "restore the file"]);
    sandbox.secret("keys/snapshot.pem", snapshot);
    fs::rename(key("root"), sandbox.path("elsewhere.pem")).unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("root-key", "not_checked", &["only changes of the root need it"]);
    // A variable that is not set, and one that is.
    sandbox.write("publish.yaml", config.replace("file:keys/timestamp.pem", "env:TIMESTAMP_KEY"));
    doctor(&sandbox, &[]).only(&["timestamp-key"]).finds("timestamp-key", "failed", &["TIMESTAMP_KEY is not set", "set TIMESTAMP_KEY"]);
    let content = fs::read_to_string(key("timestamp")).unwrap();
    doctor(&sandbox, &[("TIMESTAMP_KEY", &content)]).only(&[]).finds("timestamp-key", "ok", &["the variable TIMESTAMP_KEY opens"]);
    // A secret that lost its line breaks.
    doctor(&sandbox, &[("TIMESTAMP_KEY", "garbage")]).only(&["timestamp-key"]);
    // Of two keys one is enough.
    sandbox.write("publish.yaml", config.replace("file:keys/timestamp.pem", "[file:keys/timestamp.pem, \"env:OTHER_KEY\"]"));
    doctor(&sandbox, &[]).only(&[]).finds("timestamp-key", "warning", &["other keys reach the threshold"]);
    // A machine that only refreshes.
    sandbox.write("publish.yaml", config.replace("file:keys/targets.pem", "[]"));
    fs::remove_file(key("targets")).unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("targets-key", "not_checked", &["none is configured"]);
}

#[test]
fn passphrases_are_missing_wrong_or_right() {
    let sandbox = Sandbox::empty();
    let word = "test only passphrase";
    let with = |arguments: &[&str]| -> Run { sandbox.command().args(arguments).env("PUBLISH_PASSPHRASE", word).output().unwrap().into() };
    with(&["init", "--name", "acme"]).ok();
    with(&["release", "1.0.0", "--from", "dist"]).ok();
    // Nothing is asked for where there is no terminal.
    let seen = doctor(&sandbox, &[]);
    seen.only(&[]).finds("targets-key", "not_checked", &["is encrypted, and no passphrase was given", "PUBLISH_PASSPHRASE"]);
    seen.finds("openpgp-key", "not_checked", &["no passphrase was given"]).finds("openpgp-expiry", "ok", &[]);
    doctor(&sandbox, &[("PUBLISH_PASSPHRASE", "wrong")])
        .only(&["root-key", "targets-key", "snapshot-key", "timestamp-key", "openpgp-key"])
        .finds("targets-key", "failed", &["wrong passphrase"]);
    doctor(&sandbox, &[("PUBLISH_PASSPHRASE", word)]).only(&[]).finds("openpgp-key", "ok", &[]);
    // The file that holds it.
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}passphrase_file: secret\n"));
    doctor(&sandbox, &[]).finds("passphrase-file", "failed", &["secret"]);
    let file = sandbox.write("secret", format!("{word}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    doctor(&sandbox, &[]).finds("passphrase-file", "failed", &["mode 0644", "chmod 600 secret"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("passphrase-file", "ok", &[]).finds("timestamp-key", "ok", &[]);
    fs::write(&file, "\n").unwrap();
    doctor(&sandbox, &[]).finds("passphrase-file", "failed", &["is empty"]);
    // A dry run starts no passphrase command.
    sandbox.write("publish.yaml", format!("{config}passphrase_command: touch {}; echo x\n", sandbox.path("started").display()));
    sandbox.publish(&["doctor", "--dry-run"]).ok();
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_config_that_is_missing_or_broken() {
    let empty = Sandbox::empty();
    empty.publish(&["doctor"]).fails(7, &["there is no config publish.yaml in", "`publish init`"]);
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let path = sandbox.write("publish.yaml", format!("{config}chanels: x.yaml\n"));
    doctor(&sandbox, &[]).only(&["config"]).finds("config", "failed", &["unknown key `chanels`", "did you mean `channels`?"]).finds(
        "store",
        "not_checked",
        &["the config cannot be read"],
    );
    let run = sandbox.publish(&["doctor"]);
    assert!(run.code == 6 && run.stdout.lines().count() < 8 && run.stdout.contains("Nothing else was checked"), "{run:#?}");
    fs::write(&path, &config).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("config", "warning", &["written by every user", "chmod o-w"]);
}

#[test]
fn channels_files_are_found() {
    let sandbox = Sandbox::new();
    doctor(&sandbox, &[]).finds("channels-file", "not_checked", &["does not exist"]);
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    doctor(&sandbox, &[]).finds("channels-file", "ok", &["lists 1 channel"]);
    sandbox.write("trdl_channels.yaml", "groups:\n- name: \"1\"\n  chanels: []\n");
    doctor(&sandbox, &[]).only(&["channels-file"]);
    // A config elsewhere names a file beside it, and this one is not it.
    fs::create_dir(sandbox.path("ci")).unwrap();
    fs::rename(sandbox.path("publish.yaml"), sandbox.path("ci/publish.yaml")).unwrap();
    doctor(&sandbox, &[("PUBLISH_CONFIG", "ci/publish.yaml")]).finds(
        "other-channels-file",
        "warning",
        &["trdl_channels.yaml in the working directory is not used: the config names ci/trdl_channels.yaml", "--file trdl_channels.yaml"],
    );
}

#[test]
fn the_state_file_and_the_pinned_root_are_looked_at() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    doctor(&sandbox, &[]).only(&[]).finds("state", "ok", &["remembers timestamp 2"]);
    let state = fs::read(sandbox.path(".publish-state.json")).unwrap();
    sandbox.write(".publish-state.json", "{");
    doctor(&sandbox, &[]).only(&[]).finds("state", "warning", &["cannot be read as a state document"]);
    fs::remove_file(sandbox.path(".publish-state.json")).unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("state", "warning", &["is missing", "rollback"]).finds("rollback", "not_checked", &[]);
    sandbox.write(".publish-state.json", state);
    let other = Sandbox::new();
    let own = fs::read(sandbox.path("keys/1.root.json")).unwrap();
    fs::copy(other.path("keys/1.root.json"), sandbox.path("keys/1.root.json")).unwrap();
    let seen = doctor(&sandbox, &[]);
    seen.finds("pinned-root", "failed", &["is not the published 1.root.json"]).finds("metadata", "failed", &[]).finds("store", "ok", &[]);
    sandbox.write("keys/1.root.json", "{}");
    doctor(&sandbox, &[]).finds("pinned-root", "failed", &[]).finds("store", "not_checked", &[]);
    fs::remove_file(sandbox.path("keys/1.root.json")).unwrap();
    doctor(&sandbox, &[]).finds("pinned-root", "failed", &["cannot read the pinned root", "backup"]);
    sandbox.write("keys/1.root.json", own);
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    doctor(&sandbox, &[]).finds("store", "failed", &["no TUF repository", "publish init"]).finds("metadata", "not_checked", &[]);
}

#[test]
fn leftovers_and_locks_are_found() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.write("repo/.staging/0123456789abcdef.lock", "");
    sandbox.write("repo/.staging/0123456789abcdef/0/1", "half");
    sandbox.write("repo/probe/0123/small.json", "{}");
    // A process that is gone.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    sandbox.secret(&format!("keys/.publish-key-{dead}"), "half");
    let seen = doctor(&sandbox, &[]);
    seen.only(&[]).finds("leftovers", "warning", &[".staging/0123456789abcdef"]).finds("leftovers", "warning", &["below probe/"]);
    seen.finds("leftovers", "warning", &[&format!("rm keys/.publish-key-{dead}")]).finds("lock", "ok", &[]);
    fs::remove_file(sandbox.path(&format!("keys/.publish-key-{dead}"))).unwrap();
    fs::remove_dir_all(sandbox.path("repo/probe")).unwrap();
    sandbox.release("1.1.0").ok();
    doctor(&sandbox, &[]).finds("leftovers", "ok", &["there are none"]);
    // The lock of the commit, held by this process, and its staging directory.
    let lock = fs::File::options().create(true).truncate(false).write(true).open(sandbox.path("repo/.lock")).unwrap();
    lock.lock().unwrap();
    doctor(&sandbox, &[]).only(&[]).finds("lock", "warning", &[&format!("process {}", std::process::id())]);
    drop(lock);
    sandbox.write("repo/.staging/fedcba9876543210.lock", "");
    let lock = fs::File::open(sandbox.path("repo/.staging/fedcba9876543210.lock")).unwrap();
    lock.lock().unwrap();
    let seen = doctor(&sandbox, &[]);
    seen.finds("lock", "warning", &["a publisher is at work", "fedcba9876543210"]).finds("leftovers", "ok", &[]);
    drop(lock);
    fs::remove_file(sandbox.path("repo/.staging/fedcba9876543210.lock")).unwrap();
    // A draft that waits for signatures, and one that was overtaken.
    sandbox.publish(&["root", "edit", "--expires", "400d"]).ok();
    doctor(&sandbox, &[]).finds("leftovers", "ok", &["the draft root-draft.json of root 2 is not committed yet"]);
    let draft = fs::read(sandbox.path("root-draft.json")).unwrap();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "commit"]).ok();
    sandbox.write("root-draft.json", draft);
    doctor(&sandbox, &[]).finds("leftovers", "warning", &["is for root 2, and root 2 is published", "rm root-draft.json"]);
    // A pause.
    sandbox.publish(&["pause", "--reason", "backup"]).ok();
    doctor(&sandbox, &[]).finds("pause", "warning", &["(backup)", "publish resume"]);
}

#[test]
fn a_bucket_that_refuses_is_named_and_its_date_is_used() {
    let denied = || Response::new(403).body("<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    let url = serve(move |_| Some(denied().header("Date", (Utc::now() + TimeDelta::days(1)).to_rfc2822())));
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("repo: repo", &format!("repo: s3://bucket/acme\nstore: {{endpoint: \"{url}\"}}")));
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "test-only-secret-access-key")];
    doctor(&sandbox, &keys)
        .only(&["store", "clock"])
        .finds("store", "failed", &["403: AccessDenied", "lack a permission"])
        .finds("clock", "failed", &["24 hours behind s3://bucket/acme"])
        .finds("store-writable", "not_checked", &["publish store check"])
        .finds("timestamp-expiry", "not_checked", &[]);
    // No credentials at all: the keys are looked at nevertheless.
    doctor(&sandbox, &[]).only(&["store"]).finds("store", "failed", &["no credentials"]).finds("targets-key", "ok", &[]);
}

#[test]
fn a_bucket_that_works_is_only_read() {
    let gcs = Gcs::start();
    let sandbox = Sandbox::empty();
    sandbox.write("publish.yaml", format!("name: acme\nrepo: gs://bucket/acme\nstore: {{endpoint: \"{}\"}}\n", gcs.url));
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    sandbox.release("1.0.0").ok();
    gcs.requests();
    let seen = doctor(&sandbox, &[]);
    seen.only(&[]).finds("store", "ok", &[]).finds("store-conditions", "ok", &[]).finds("lock", "not_checked", &[]);
    let requests = gcs.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.starts_with("GET ")), "{requests:?}");
}

fn examined(trial: &Trial) -> Checklist {
    let request = DoctorRequest {
        config: trial.path("publish.yaml"),
        channels: trial.path("trdl_channels.yaml"),
        channels_here: trial.path("nowhere.yaml"),
        passphrase_files: Vec::new(),
        root_draft: trial.path("root-draft.json"),
        directory: Some(trial.path("repo")),
        public_url: None,
        store_failure: None,
        workers_failure: None,
    };
    examine(trial.publisher(), request)
}

#[track_caller]
fn verdict(list: &Checklist, item: Item, verdict: Verdict, words: &str) {
    let check = list.checks.iter().find(|check| check.item == item).unwrap();
    assert!(check.verdict == verdict && check.meaning.contains(words), "{check:#?}");
}

#[test]
fn roles_that_were_not_refreshed_are_found() {
    let mut trial = Trial::new();
    let list = examined(&trial);
    assert_eq!(list.count(Verdict::Failed), 0, "{list:#?}");
    trial.wait(TimeDelta::hours(5));
    verdict(&examined(&trial), Item::TimestampExpiry, Verdict::Ok, "valid until");
    trial.wait(TimeDelta::hours(2));
    verdict(&examined(&trial), Item::TimestampExpiry, Verdict::Warning, "no scheduled refresh runs");
    trial.wait(TimeDelta::days(1));
    let list = examined(&trial);
    verdict(&list, Item::TimestampExpiry, Verdict::Failed, "clients refuse updates");
    verdict(&list, Item::RootExpiry, Verdict::Ok, "valid until");
    trial.wait(TimeDelta::days(310));
    verdict(&examined(&trial), Item::RootExpiry, Verdict::Warning, "less than 60 days");
    trial.wait(TimeDelta::days(60));
    verdict(&examined(&trial), Item::RootExpiry, Verdict::Failed, "clients refuse updates");
}

#[test]
fn a_timestamp_from_the_future_is_found() {
    let mut trial = Trial::new();
    trial.wait(-TimeDelta::minutes(30));
    verdict(&examined(&trial), Item::SignedTimes, Verdict::Warning, "30 minutes in this machine's future");
    trial.wait(-TimeDelta::days(1));
    verdict(&examined(&trial), Item::SignedTimes, Verdict::Failed, "24 hours in this machine's future");
    // Extending a key does not help where the clock is wrong.
    let list = examined(&trial);
    verdict(&list, Item::OpenPgpExpiry, Verdict::Failed, "after this machine's time");
    let check = list.checks.iter().find(|check| check.item == Item::OpenPgpExpiry).unwrap();
    assert!(check.remedies.iter().all(|remedy| remedy.contains("clock")), "{check:#?}");
}

#[test]
fn an_openpgp_key_that_ends_soon_is_found() {
    let sandbox = Sandbox::new();
    doctor(&sandbox, &[]).finds("openpgp-expiry", "ok", &[]);
    // The last of several changes in the same second applies at once.
    for until in ["never", "400d", "never", "300d", "20d"] {
        sandbox.publish(&["key", "extend", until]).ok();
    }
    doctor(&sandbox, &[]).only(&[]).finds("openpgp-expiry", "warning", &["it can sign until", "publish key extend 730d"]);
}
