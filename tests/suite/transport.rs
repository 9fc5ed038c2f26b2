//! Credentials do not leave this machine unencrypted, whatever a config or a variable contains.

use crate::sandbox::{Run, Sandbox};
use publish::transport;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

const S3: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test-only-secret-access-key"), ("AWS_REGION", "eu-central-1")];
const AZURE: [(&str, &str); 2] = [("AZURE_STORAGE_ACCOUNT_NAME", "acme"), ("AZURE_STORAGE_ACCOUNT_KEY", "dGVzdA==")];

#[test]
fn plain_http_is_for_this_machine() {
    for local in [
        "http://127.0.0.1:9000",
        "http://localhost",
        "http://LOCALHOST:1",
        "HTTP://127.8.9.1/x",
        "http://[::1]:8200",
        "http://127.1",
        "http://2130706433/",
        "http://0x7f.0.0.1",
        "http://[::ffff:127.0.0.1]",
        "https://s3.example.org",
        "HTTPS://example.org",
    ] {
        transport::check(local, "it").unwrap_or_else(|error| panic!("{local}: {error}"));
    }
    for (other, words) in [
        ("http://example.org", "example.org is not this machine"),
        ("HTTP://EXAMPLE.org", "example.org is not this machine"),
        ("http:example.org", "example.org is not this machine"),
        // Read in different ways by different parsers.
        ("http:\\\\example.org", "characters that no URL has"),
        (" http://example.org", "characters that no URL has"),
        ("ht\ntp://example.org", "characters that no URL has"),
        ("http://①②⑦.0.0.1:9", "characters that no URL has"),
        ("http://127.0.0.1\\@localhost", "characters that no URL has"),
        ("http://127.0.0.1.example.org", "is not this machine"),
        ("http://localhost.example.org", "is not this machine"),
        ("http://bucket.localhost", "is not this machine"),
        ("http://127.0.0.1@example.org", "a user name or a password"),
        ("http://127.0.0.1:9000@example.org", "a user name or a password"),
        ("https://user:secret@example.org", "a user name or a password"),
        ("http://127.0.0.1\\@example.org", "characters that no URL has"),
        ("http://example.org#@127.0.0.1", "example.org is not this machine"),
        ("http://example.org?@127.0.0.1", "example.org is not this machine"),
        ("http://0.0.0.0", "is not this machine"),
        ("http://[::]", "is not this machine"),
        ("http://[::ffff:10.0.0.1]", "is not this machine"),
        ("http://[fe80::1]", "is not this machine"),
        ("http://169.254.169.254", "is not this machine"),
        ("http://10.0.0.1", "is not this machine"),
        ("http://128.0.0.1", "is not this machine"),
        ("ftp://127.0.0.1", "not https"),
        ("127.0.0.1:9000", "no URL"),
        ("", "no URL"),
    ] {
        let failure = transport::check(other, "it").expect_err(other);
        assert!(failure.message.contains(words), "{other:?}: {}", failure.message);
        assert!(!failure.message.contains("secret"), "{other:?}: {}", failure.message);
    }
}

/// Each of them before anything is sent or made, and with the flag not at this point.
#[test]
fn credentials_of_stores_are_not_sent_unencrypted() {
    let evil = "http://store.example.invalid:9000";
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, &str, Variables<'_>, Variables<'_>); 8] = [
        ("s3://bucket/acme", evil, &S3, &[]),
        ("s3://bucket/acme", "", &S3, &[("AWS_ENDPOINT_URL", evil)]),
        ("s3://bucket/acme", "", &S3, &[("AWS_ENDPOINT_URL_S3", evil)]),
        ("s3://bucket/acme", "http://127.0.0.1:9", &S3, &[("AWS_ENDPOINT_URL_S3", evil)]),
        ("s3://bucket/acme", "", &S3, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.2.example.invalid/")]),
        ("az://container/acme", evil, &AZURE, &[]),
        ("az://container/acme", "", &AZURE, &[("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", evil)]),
        ("gs://bucket/acme", evil, &[], &[]),
    ];
    for (repo, endpoint, credentials, variables) in cases {
        let sandbox = Sandbox::empty();
        let endpoint = if endpoint.is_empty() { String::new() } else { format!("store: {{endpoint: \"{endpoint}\"}}\n") };
        sandbox.write("publish.yaml", format!("name: acme\nrepo: {repo}\n{endpoint}"));
        let run = |arguments: &[&str]| -> Run {
            let command = &mut sandbox.command();
            command.args(arguments).envs(credentials.iter().copied()).envs(variables.iter().copied());
            command.env("PUBLISH_ALLOW_PLAIN_HTTP", "true").output().unwrap().into()
        };
        for arguments in [&["init", "--no-passphrase"][..], &["status"], &["store", "check"]] {
            run(arguments).fails(6, &["is not this machine: credentials would travel in clear", "--allow-plain-http"]);
        }
        assert!(!sandbox.path("keys").exists(), "refused before anything was made");
    }
    // The same for the place that workers share, and for a repository that is only read.
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}store: {{endpoint: \"{evil}\"}}\nworkers: {{state: \"s3://bucket/state\"}}\n"));
    let run: Run = sandbox.command().arg("status").envs(S3).output().unwrap().into();
    run.fails(6, &["is not this machine"]);
    sandbox.publish(&["verify", "http://user:secret@store.example.invalid/repo"]).fails(6, &["user name or password"]);
}

#[test]
fn credentials_of_brokers_and_key_services_are_not_sent_unencrypted() {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    for broker in ["amqp://guest@broker.example.invalid/", "amqp://127.0.0.1.example.invalid", "amqp://guest@localhost@example.invalid/"] {
        sandbox.write("publish.yaml", format!("{config}broker: \"{broker}\"\nworkers: {{name: ci}}\n"));
        let run = sandbox.publish(&["status"]);
        assert!(run.code == 6 && (run.stderr.contains("is not this machine") || run.stderr.contains("is not an AMQP URL")), "{run:#?}");
    }
    sandbox.write("publish.yaml", &config);
    let check = |key: &str, variables: &[(&str, &str)]| -> Run {
        let command = &mut sandbox.command();
        command
            .args(["key", "check", key])
            .envs(S3)
            .env("VAULT_TOKEN", "hvs.test-only-token-of-the-operator")
            .envs(variables.iter().copied());
        command.output().unwrap().into()
    };
    for address in [
        "http://vault.example.invalid:8200",
        "http://127.0.0.1:8200@vault.example.invalid",
        "http://localhost.example.invalid",
        "HTTP://vault.example.invalid",
    ] {
        let run = check("vault:acme", &[("VAULT_ADDR", address)]);
        assert!(run.code == 6 && run.stderr.contains("VAULT_ADDR"), "{run:#?}");
    }
    check("awskms:alias/acme", &[("AWS_ENDPOINT_URL_KMS", "http://kms.example.invalid")])
        .fails(6, &["AWS_ENDPOINT_URL_KMS", "is not this machine"]);
}

/// A server that keeps what it is asked and answers one thing.
fn server(answer: String) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8192];
            let length = stream.read(&mut request).unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, told)
}

/// What is meant for this machine goes neither through a proxy nor, by a redirect, to another.
#[test]
fn local_endpoints_are_reached_without_a_proxy() {
    let refuse = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (proxy, proxied) = server(refuse.clone());
    let (store, asked) = server(refuse);
    let (leads_away, _) = server(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://vault.example.invalid/v1/x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .into(),
    );
    let sandbox = Sandbox::empty();
    sandbox.write("publish.yaml", format!("name: acme\nrepo: s3://bucket/acme\nstore: {{endpoint: \"http://{store}\"}}\n"));
    let run = |arguments: &[&str], vault: &str| -> Run {
        let command = &mut sandbox.command();
        command
            .args(arguments)
            .envs(S3)
            .env("VAULT_TOKEN", "hvs.test-only-token-of-the-operator")
            .env("VAULT_ADDR", format!("http://{vault}"));
        command.env("AWS_ENDPOINT_URL_KMS", format!("http://{store}"));
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(name, format!("http://{proxy}"));
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap().into()
    };
    run(&["init", "--no-passphrase"], &store);
    assert!(asked.try_iter().any(|request| request.contains("bucket")), "the store was asked");
    run(&["key", "check", "vault:acme"], &store);
    assert!(asked.try_iter().any(|request| request.contains("hvs.")), "Vault was asked");
    run(&["key", "check", "awskms:alias/acme"], &store);
    assert!(asked.try_iter().any(|request| request.contains("TrentService")), "KMS was asked");
    run(&["key", "check", "vault:acme"], &leads_away);
    assert_eq!(proxied.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
}

/// The operator's permission on the command line, and only there.
#[test]
fn the_flag_permits_plain_http() {
    let sandbox = Sandbox::empty();
    sandbox
        .write("publish.yaml", "name: acme\nrepo: s3://bucket/acme\nstore: {endpoint: \"http://store.example.invalid:9\", timeout: 1}\n");
    let run = |arguments: &[&str]| -> Run { sandbox.command().args(arguments).envs(S3).output().unwrap().into() };
    run(&["init", "--no-passphrase"]).fails(6, &["is not this machine"]);
    // It goes on to look for the host.
    run(&["init", "--no-passphrase", "--allow-plain-http"]).fails(13, &["http://store.example.invalid:9"]);
}

#[test]
fn a_pinned_config_is_the_only_one_that_is_used() {
    let sandbox = Sandbox::new();
    let config = fs::read(sandbox.path("publish.yaml")).unwrap();
    let pin = hex::encode(openssl::sha::sha256(&config));
    let status = || -> Run { sandbox.command().arg("status").env("PUBLISH_CONFIG_SHA256", &pin).output().unwrap().into() };
    status().ok();
    sandbox.write("publish.yaml", [&config[..], b"passphrase_command: touch started\n"].concat());
    status().fails(9, &["is not the one that is pinned", &pin]);
    fs::remove_file(sandbox.path("publish.yaml")).unwrap();
    status().fails(7, &["publish.yaml"]);
    sandbox.publish(&["status", "--config-sha256", "00"]).fails(7, &["publish.yaml"]);
}

/// Whatever a changed config names: a dry run starts no command, and asks for nothing.
#[test]
fn a_dry_run_starts_no_passphrase_command() {
    let sandbox = Sandbox::empty();
    let word = "test only passphrase";
    let init: Run = sandbox.command().args(["init", "--name", "acme"]).env("PUBLISH_PASSPHRASE", word).output().unwrap().into();
    init.ok();
    let release: Run =
        sandbox.command().args(["release", "1.0.0", "--from", "dist"]).env("PUBLISH_PASSPHRASE", word).output().unwrap().into();
    release.ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", format!("{config}passphrase_command: touch {}; echo x\n", sandbox.path("started").display()));
    sandbox.channels(&[("1", "stable", "1.0.0")]);
    sandbox.write("files/a.txt", "a");
    let before = crate::sandbox::files(sandbox.dir.path());
    let good: [&[&str]; 15] = [
        &["init"],
        &["release", "1.0.1", "--from", "dist"],
        &["release", "1.0.0", "--from", "dist", "--resign"],
        &["channels"],
        &["add-targets", "files", "--sign"],
        &["bins", "--count", "4", "--not-for-trdl", "--confirm", "4"],
        &["refresh"],
        &["refresh", "--all"],
        &["rotate", "openpgp", "--resign", "all"],
        &["yank", "1.0.0", "--confirm", "1.0.0"],
        &["prune"],
        &["key", "new", "new.pem"],
        &["key", "passphrase", "keys/targets.pem"],
        &["root", "edit", "--expires", "400d"],
        &["status"],
    ];
    for arguments in good {
        let run = sandbox.publish(&[arguments, &["--dry-run"]].concat());
        assert!(run.code == 0, "{arguments:?}: {run:#?}");
        assert!(!sandbox.path("started").exists(), "{arguments:?}");
    }
    // These need a key for their plan, and take its passphrase from a file or a variable only.
    let adopt = ["adopt", "repo", "--keys", "keys", "--config", "new/publish.yaml"];
    for arguments in [&["rotate", "targets"][..], &["rotate", "timestamp", "--finish"], &["key", "extend", "730d"], &adopt] {
        sandbox.publish(&[arguments, &["--dry-run"]].concat()).fails(12, &["a dry run starts no passphrase command"]);
        assert!(!sandbox.path("started").exists(), "{arguments:?}");
    }
    let given: Run = sandbox.command().args(["rotate", "targets", "-n"]).env("PUBLISH_PASSPHRASE", word).output().unwrap().into();
    given.ok().says(&["Nothing was written"]);
    assert!(before == crate::sandbox::files(sandbox.dir.path()), "a dry run writes nothing");
}
