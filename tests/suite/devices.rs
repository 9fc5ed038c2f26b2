//! Keys that are stored elsewhere: a real PKCS#11 token (SoftHSM), the real gpg-agent, and imitations of Vault (a real one is in interop/vault) and AWS KMS that
//! really sign. Each signs roles and artifacts.

use crate::fakes::kms::{self, Kms};
use crate::fakes::vault::{self, Vault};
use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A sandbox in which commands see these variables.
struct Host {
    sandbox: Sandbox,
    env: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Host {
    fn new(env: &[(&str, &str)], secrets: &[&str]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { sandbox: Sandbox::empty(), env, secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect() }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
    }

    fn unset(&mut self, name: &str) {
        self.env.retain(|(known, _)| known != name);
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let run = Run::from(self.command(program).args(arguments).output().unwrap());
        for secret in &self.secrets {
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "a secret is in {run:#?}");
        }
        run
    }

    fn command(&self, program: &str) -> Command {
        let mut command = if program == "publish" { self.sandbox.command() } else { Command::new(program) };
        command.current_dir(self.sandbox.dir.path()).envs(self.env.iter().cloned());
        command
    }

    #[track_caller]
    fn publish(&self, arguments: &[&str]) -> Run {
        self.run("publish", arguments)
    }

    fn configure(&self, keys: &[(&str, &str)], openpgp: Option<&str>) {
        let mut text = "name: acme\nkeys:\n".to_owned();
        keys.iter().for_each(|(role, uri)| text += &format!("  {role}: \"{uri}\"\n"));
        openpgp.iter().for_each(|uri| text += &format!("openpgp: \"{uri}\"\nopenpgp_certificate: cert.asc\n"));
        self.sandbox.write("publish.yaml", text);
    }

    fn versions(&self) -> Vec<u64> {
        self.status()["roles"].as_array().unwrap().iter().map(|role| role["version"].as_u64().unwrap()).collect()
    }

    fn status(&self) -> serde_json::Value {
        self.publish(&["status", "--json"]).ok().json()["status"].clone()
    }

    /// gpg, with a key ring of its own, names the signer of a signature.
    fn gpg_verifies(&self, version: &str) {
        let home = self.sandbox.path("reader");
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let certificates = crate::sandbox::files(&self.sandbox.path("repo/targets/openpgp")).into_keys().filter(|name| name.len() == 44);
        let gpg = |arguments: &[&str]| {
            Run::from(
                Command::new("gpg")
                    .current_dir(self.sandbox.dir.path())
                    .arg("--batch")
                    .arg("--homedir")
                    .arg(&home)
                    .args(arguments)
                    .output()
                    .unwrap(),
            )
        };
        for certificate in certificates {
            gpg(&["--import", &format!("repo/targets/openpgp/{certificate}")]).ok();
        }
        let file = format!("{version}/linux-amd64/bin/acme");
        let said = gpg(&["--verify", &format!("repo/targets/signatures/{file}.sig"), &format!("repo/targets/releases/{file}")]).ok();
        assert!(said.stderr.contains("Good signature"), "{said:#?}");
    }
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token with keys of these labels and kinds, PIN pin-of-acme.
fn token(keys: &[(&str, &str)]) -> (Host, impl Fn(&str) -> String + use<>) {
    let mut host = Host::new(&[], &["pin-of-acme", "pin-of-nobody"]);
    let config = host.sandbox.write(
        "softhsm2.conf",
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", host.sandbox.path("tokens").display()),
    );
    fs::create_dir(host.sandbox.path("tokens")).unwrap();
    host.set("SOFTHSM2_CONF", config.to_str().unwrap());
    host.run("softhsm2-util", &["--init-token", "--free", "--label", "acme", "--pin", "pin-of-acme", "--so-pin", "12345678"]).ok();
    for (at, (label, kind)) in keys.iter().enumerate() {
        let id = format!("{:02}", at + 1);
        let made = host
            .command("pkcs11-tool")
            .args([
                "--module",
                MODULE,
                "--token-label",
                "acme",
                "--login",
                "--pin",
                "pin-of-acme",
                "--keypairgen",
                "--key-type",
                kind,
                "--label",
                label,
                "--id",
                &id,
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let pin = host.sandbox.write("pin", "pin-of-acme\n");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    (host, |label: &str| format!("pkcs11:token=acme;object={label}?module-path={MODULE}&pin-source=file:pin"))
}

#[test]
fn a_token_signs_roles_and_artifacts_with_every_kind_of_key() {
    for (kind, keytype) in [("EC:edwards25519", "ed25519"), ("EC:prime256v1", "ecdsa-sha2-nistp256"), ("rsa:2048", "rsa")] {
        let (host, uri) = token(&[("targets", kind), ("snapshot", kind), ("timestamp", kind), ("openpgp", kind)]);
        host.publish(&["key", "show", &uri("targets")]).ok().says(&[keytype, "pkcs11:token=acme;object=targets"]);
        host.publish(&["key", "check", &uri("targets")]).ok().says(&["roles:   signs, verified", "OpenPGP: signs, verified"]);
        host.publish(&["key", "certify", &uri("openpgp"), "cert.asc", "--user-id", "acme releases"]).ok().says(&["OpenPGP certificate"]);
        host.configure(
            &[("targets", &uri("targets")), ("snapshot", &uri("snapshot")), ("timestamp", &uri("timestamp"))],
            Some(&uri("openpgp")),
        );
        host.publish(&["init", "--no-passphrase"]).ok();
        host.publish(&["release", "1.0.0", "--from", "dist"]).ok();
        host.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked", "good: 0 errors"]);
        host.gpg_verifies("1.0.0");
        assert!(!host.sandbox.path("keys/targets.pem").exists());
    }
}

#[test]
fn errors_of_a_token_are_reported() {
    let (mut host, uri) = token(&[("targets", "EC:edwards25519")]);
    host.configure(&[("targets", &uri("targets"))], None);
    host.publish(&["init", "--no-passphrase"]).ok();
    let release = |host: &Host| host.publish(&["release", "1.0.0", "--from", "dist"]);
    let config = fs::read_to_string(host.sandbox.path("publish.yaml")).unwrap();
    let with = |old: &str, new: &str| drop(host.sandbox.write("publish.yaml", config.replace(old, new)));
    with("&pin-source=file:pin", "");
    host.sandbox.unchanged(|| release(&host).fails(12, &["no terminal", "PUBLISH_PASSPHRASE"]));
    host.set("PUBLISH_PASSPHRASE", "pin-of-nobody");
    host.sandbox.unchanged(|| {
        release(&host).fails(12, &["pkcs11:token=acme;object=targets: the PIN is wrong", "left before the token locks itself"])
    });
    host.set("PUBLISH_PASSPHRASE", "pin-of-acme");
    let with = |old: &str, new: &str| drop(host.sandbox.write("publish.yaml", config.replace(old, new)));
    with("token=acme", "token=other");
    host.sandbox.unchanged(|| release(&host).fails(7, &["no such token is plugged in", "there is: token=acme"]));
    with("object=targets", "object=nothing");
    host.sandbox.unchanged(|| release(&host).fails(7, &["has no private key of that name"]));
    with(MODULE, "/usr/lib/nothing.so");
    host.sandbox.unchanged(|| release(&host).fails(6, &["the PKCS#11 module /usr/lib/nothing.so cannot be used", "module-path="]));
    with("pin-source=file:pin", "pin-value=pin-of-acme");
    host.publish(&["status"]).fails(6, &["holds a PIN", "pin-source"]);
    with("pin-source=file:pin", "frobnicate=1");
    host.publish(&["status"]).fails(6, &["`frobnicate`"]);
    // The token is pulled.
    host.sandbox.write("publish.yaml", &config);
    fs::rename(host.sandbox.path("tokens"), host.sandbox.path("pulled")).unwrap();
    fs::create_dir(host.sandbox.path("tokens")).unwrap();
    host.sandbox.unchanged(|| release(&host).fails(7, &["no such token is plugged in"]));
    fs::remove_dir_all(host.sandbox.path("tokens")).unwrap();
    fs::rename(host.sandbox.path("pulled"), host.sandbox.path("tokens")).unwrap();
    // With a second key, of which the threshold needs one only, publishing goes on without the token.
    release(&host).ok();
    host.publish(&["verify"]).ok();
}

#[test]
fn gpg_agent_signs_artifacts_and_p256_roles() {
    let mut host = Host::new(&[], &[]);
    // Short: the agent's socket is in it.
    let home = tempfile::TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    host.set("GNUPGHOME", home.path().to_str().unwrap());
    let gpg = |arguments: &[&str]| {
        host.run("gpg", &[&["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""], arguments].concat()).ok()
    };
    let fingerprint = |name: &str| {
        let listing = gpg(&["--with-colons", "--list-secret-keys", name]).stdout;
        listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':').to_owned()
    };
    for kind in ["ed25519", "nistp256", "rsa2048"] {
        gpg(&["--quick-generate-key", kind, kind, "sign", "0"]);
    }
    let role = fingerprint("nistp256");
    for (at, kind) in ["ed25519", "nistp256", "rsa2048"].into_iter().enumerate() {
        host.configure(&[("timestamp", &format!("gpg:{role}"))], Some(&format!("gpg:{}", fingerprint(kind))));
        host.publish(&["init", "--no-passphrase"]).ok();
        let version = format!("1.0.{at}");
        host.publish(&["release", &version, "--from", "dist"]).ok();
        host.gpg_verifies(&version);
    }
    host.publish(&["verify"]).ok().says(&["3 OpenPGP signatures checked"]);
    // So many that every byte comes up in them: some travel escaped.
    for number in 0..100 {
        host.sandbox.write(&format!("many/linux-amd64/bin/f{number}"), number.to_string());
    }
    host.publish(&["release", "2.0.0", "--from", "many"]).ok();
    host.publish(&["verify"]).ok().says(&["103 OpenPGP signatures checked"]);
    // Where only digests are signed, roles need a key type that signs one.
    let ed25519 = format!("gpg:{}", fingerprint("ed25519"));
    host.publish(&["key", "check", &ed25519]).ok().says(&["roles:   no: ", "gpg-agent signs digests only", "OpenPGP: signs, verified"]);
    host.publish(&["key", "check", "keys/targets.pem"]).ok().says(&["roles:   signs, verified"]);
    host.publish(&["key", "export", &ed25519]).ok();
    host.publish(&["root", "edit", "--add-key", &format!("root:card={ed25519}")]).ok();
    host.publish(&["root", "sign", "--key", &ed25519, "--yes"]).fails(6, &["gpg-agent signs digests only", "nistp256"]);
    host.publish(&["key", "show", &format!("gpg:{}", "AB".repeat(20))]).fails(7, &["gpg has no such secret key"]);
    host.publish(&["key", "show", "gpg:1234"]).fails(6, &["fingerprint of 40 digits"]);
    host.run("gpgconf", &["--kill", "all"]);
}

/// The key is on a card, which gpg-agent reaches through a card daemon (of SoftHSM's token) and whose PIN it asks for with
/// pinentry; the agent and the daemon are real, the pinentry answers by itself.
#[test]
fn gpg_agent_signs_with_a_card_and_asks_for_its_pin_before_work_begins() {
    let (mut host, _) = token(&[("openpgp", "rsa:2048")]);
    let run = |host: &Host, program: &str, arguments: &[&str]| host.run(program, arguments).ok().stdout;
    let pkcs11 = |host: &Host, arguments: &[&str]| {
        run(
            host,
            "pkcs11-tool",
            &[&["--module", MODULE, "--token-label", "acme", "--login", "--pin", "pin-of-acme", "--id", "01"], arguments].concat(),
        )
    };
    // The daemon finds keys by their certificates.
    pkcs11(&host, &["--read-object", "--type", "pubkey", "-o", "card.der"]);
    run(&host, "openssl", &["pkey", "-pubin", "-inform", "DER", "-in", "card.der", "-out", "card.pem"]);
    run(&host, "openssl", &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"]);
    run(&host, "openssl", &["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=card", "-keyout", "any.key", "-out", "card.csr"]);
    run(
        &host,
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            "card.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-force_pubkey",
            "card.pem",
            "-outform",
            "DER",
            "-out",
            "card.crt",
        ],
    );
    pkcs11(&host, &["--write-object", "card.crt", "--type", "cert"]);
    // Short: the agent's socket is in it.
    let home = tempfile::TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    host.set("GNUPGHOME", home.path().to_str().unwrap());
    let pinentry = home.path().join("pinentry");
    let answers = |with: &str| {
        let script = format!(
            "#!/bin/sh\necho OK\nwhile read -r command rest; do\ncase $command in\nGETPIN) echo asked >>{0}.log; echo '{with}' ;;\nBYE) echo OK; exit ;;\nesac\necho OK\ndone\n",
            pinentry.display()
        );
        fs::write(&pinentry, script).unwrap();
        fs::set_permissions(&pinentry, fs::Permissions::from_mode(0o755)).unwrap();
        run(&host, "gpgconf", &["--kill", "all"]);
    };
    fs::write(
        home.path().join("gpg-agent.conf"),
        format!("scdaemon-program /usr/bin/gnupg-pkcs11-scd\npinentry-program {}\n", pinentry.display()),
    )
    .unwrap();
    fs::write(home.path().join("gnupg-pkcs11-scd.conf"), format!("providers softhsm\nprovider-softhsm-library {MODULE}\n")).unwrap();
    answers("D pin-of-acme");
    let learned = run(&host, "gpg-connect-agent", &["learn --sendinfo --force", "/bye"]);
    let grip = learned.lines().find_map(|line| line.strip_prefix("S KEYPAIRINFO ")).and_then(|line| line.split(' ').next()).unwrap();
    let parameters = format!("Key-Type: RSA\nKey-Grip: {grip}\nKey-Usage: sign\nName-Real: acme releases\nExpire-Date: 0\n%commit\n");
    host.sandbox.write("parameters", parameters);
    run(&host, "gpg", &["--batch", "--generate-key", "parameters"]);
    let listing = run(&host, "gpg", &["--batch", "--with-colons", "--list-secret-keys"]);
    let fingerprint = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':');
    host.configure(&[], Some(&format!("gpg:{fingerprint}")));
    host.publish(&["init", "--no-passphrase"]).ok();
    let release = |host: &Host| host.publish(&["release", "1.0.0", "--from", "dist"]);
    for (answer, words) in [("D pin-of-nobody", "the passphrase or PIN is wrong"), ("ERR 83886179 cancelled", "was not given")] {
        answers(answer);
        host.sandbox.unchanged(|| release(&host).fails(12, &[words]));
    }
    answers("D pin-of-acme");
    fs::write(home.path().join("pinentry.log"), "").unwrap();
    for number in 0..9 {
        host.sandbox.write(&format!("dist/linux-amd64/share/{number}"), number.to_string());
    }
    release(&host).ok();
    assert_eq!(fs::read_to_string(home.path().join("pinentry.log")).unwrap(), "asked\n", "once is enough");
    host.publish(&["verify"]).ok().says(&["10 OpenPGP signatures checked"]);
    host.gpg_verifies("1.0.0");
    run(&host, "gpgconf", &["--kill", "all"]);
}

fn on_vault(vault: &Vault) -> Host {
    let host =
        Host::new(&[("VAULT_ADDR", &vault.url), ("VAULT_TOKEN", vault::TOKEN)], &[vault::TOKEN, vault::SECRET_ID, "hvs.of-the-role"]);
    host.configure(
        &[("targets", "vault:targets"), ("snapshot", "vault:snapshot"), ("timestamp", "vault:timestamp")],
        Some("vault:transit/openpgp"),
    );
    host.publish(&["key", "certify", "vault:openpgp", "cert.asc", "--user-id", "acme releases"]).ok();
    host.publish(&["init", "--no-passphrase"]).ok();
    host
}

#[test]
fn vault_signs_roles_and_artifacts_with_every_kind_of_key() {
    for kind in ["ed25519", "p256", "rsa"] {
        let vault = Vault::start(&[("targets", kind), ("snapshot", "p256"), ("timestamp", "rsa"), ("openpgp", kind)]);
        let host = on_vault(&vault);
        let checked = host.publish(&["key", "check", "vault:targets"]).ok().says(&["roles:   signs, verified", "OpenPGP: signs, verified"]);
        assert_eq!(
            checked.stdout.contains("but none of a megabyte"),
            kind == "ed25519",
            "Vault bounds the texts in requests: {checked:#?}"
        );
        host.publish(&["release", "1.0.0", "--from", "dist"]).ok();
        host.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked", "good: 0 errors"]);
        host.gpg_verifies("1.0.0");
    }
}

#[test]
fn vault_may_seal_throttle_and_end_tokens_and_nothing_is_lost() {
    let vault = Vault::start(&[("targets", "ed25519"), ("snapshot", "p256"), ("timestamp", "p256"), ("openpgp", "ed25519")]);
    let mut host = on_vault(&vault);
    let release = |host: &Host, version: &str| host.publish(&["release", version, "--from", "dist"]);
    vault.throttle(3);
    release(&host, "1.0.0").ok();
    // Sealed at each signature in turn: the trial, artifact, targets, snapshot, timestamp.
    for signatures in 0..5 {
        let before = host.versions();
        vault.seal_after(signatures);
        release(&host, "1.0.1").fails(13, &["is sealed", "unseal it"]);
        vault.seal(false);
        vault.seal_after(usize::MAX);
        assert_eq!(host.versions(), before, "nothing became visible");
    }
    release(&host, "1.0.1").ok();
    // The token ends midway; without an AppRole that is the end, and the same command finishes later.
    vault.ends_after(vault::TOKEN, 6);
    release(&host, "1.0.2").fails(4, &["the token may not use the key, or has expired"]);
    vault.ends_after(vault::TOKEN, usize::MAX);
    release(&host, "1.0.2").ok();
    // With one, a fresh token is got and the work goes on; a short-lived one is renewed.
    host.unset("VAULT_TOKEN");
    host.set("VAULT_ROLE_ID", "publisher");
    let secret = host.sandbox.write("secret-id", vault::SECRET_ID);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    host.set("VAULT_SECRET_ID_FILE", secret.to_str().unwrap());
    vault.log();
    vault.lifetime(0);
    release(&host, "1.0.3").ok();
    vault.lifetime(1);
    vault.log();
    host.sandbox.write("dist/linux-amd64/bin/large", vec![7_u8; 64 << 20]);
    release(&host, "1.0.4").ok();
    assert!(vault.log().iter().any(|request| request.contains("auth/approle/login")));
    host.set("VAULT_ROLE_ID", "stranger");
    release(&host, "1.0.5").fails(13, &["the AppRole login was refused", "Vault says: invalid role or secret ID"]);
    host.set("VAULT_ROLE_ID", "publisher");
    // A key that was replaced in Vault is no key of the root; the version that is pinned still is.
    vault.rotate("targets", "ed25519");
    release(&host, "1.0.5").fails(6, &["role targets needs 1 signature and 0"]);
    let config = fs::read_to_string(host.sandbox.path("publish.yaml")).unwrap();
    host.sandbox.write("publish.yaml", config.replace("vault:targets", "vault:targets@1"));
    release(&host, "1.0.5").ok();
    // One that signs with something else is noticed before anything is written.
    vault.lie(true);
    host.sandbox.unchanged_metadata(|| release(&host, "1.0.6").fails(1, &[]));
    vault.lie(false);
    for (name, value, words) in [
        ("VAULT_ADDR", "http://vault.example.org:8200", "VAULT_ADDR is not https://"),
        ("VAULT_ADDR", "http://127.0.0.1:9", "Vault does not answer"),
    ] {
        let good = vault.url.clone();
        host.set(name, value);
        host.sandbox.unchanged(|| {
            let run = release(&host, "1.0.7");
            assert!(run.code != 0 && run.stderr.contains(words), "{run:#?}");
            run
        });
        host.set(name, &good);
    }
    host.publish(&["key", "show", "vault:nothing"]).fails(7, &["no such key or mount"]);
    host.set("VAULT_TOKEN", "two\nlines");
    host.publish(&["key", "show", "vault:targets"]).fails(6, &["does not contain a token", "one line"]);
    host.unset("VAULT_TOKEN");
    host.publish(&["verify"]).ok();
}

#[test]
fn aws_kms_signs_digests_with_signed_requests() {
    let kms = Kms::start(&[
        ("alias/targets", "p256"),
        ("alias/snapshot", "rsa"),
        ("alias/openpgp", "p256"),
        ("alias/rsa", "rsa"),
        ("alias/edwards", "ed25519"),
    ]);
    let mut host = Host::new(
        &[
            ("AWS_ENDPOINT_URL_KMS", &kms.url),
            ("AWS_ACCESS_KEY_ID", kms::ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", kms::SECRET),
            ("AWS_REGION", "eu-central-1"),
        ],
        &[kms::SECRET],
    );
    for openpgp in ["awskms:alias/openpgp", "awskms:alias/rsa"] {
        let _ = fs::remove_file(host.sandbox.path("cert.asc"));
        host.configure(&[("targets", "awskms:alias/targets"), ("snapshot", "awskms:alias/snapshot")], Some(openpgp));
        host.publish(&["key", "certify", openpgp, "cert.asc", "--user-id", "acme releases"]).ok();
        host.publish(&["init", "--no-passphrase"]).ok();
        let version = if openpgp.ends_with("rsa") { "1.0.1" } else { "1.0.0" };
        kms.throttle(3);
        host.publish(&["release", version, "--from", "dist"]).ok();
        host.gpg_verifies(version);
    }
    host.publish(&["verify"]).ok().says(&["2 OpenPGP signatures checked"]);
    assert!(kms.log().iter().all(|action| action == "TrentService.Sign" || action == "TrentService.GetPublicKey"));
    host.publish(&["key", "check", "awskms:alias/targets"]).ok().says(&["roles:   signs, verified", "OpenPGP: signs, verified"]);
    let show = |host: &Host, key: &str| host.publish(&["key", "show", key]);
    show(&host, "awskms:alias/edwards").fails(6, &["ECC_NIST_EDWARDS25519", "ECC_NIST_P256", "4096 bytes"]);
    show(&host, "awskms:alias/nothing").fails(7, &["NotFoundException (400): Key does not exist"]);
    show(&host, "awskms:alias/forbidden").fails(4, &["AccessDeniedException", "kms:Sign"]);
    kms.throttle(100);
    show(&host, "awskms:alias/targets").fails(13, &["KMS throttles"]);
    kms.throttle(0);
    host.set("AWS_SECRET_ACCESS_KEY", "another-test-only-secret");
    host.secrets.push("another-test-only-secret".into());
    show(&host, "awskms:alias/targets").fails(4, &["the signature does not match"]);
    host.unset("AWS_ACCESS_KEY_ID");
    show(&host, "awskms:alias/targets").fails(7, &["no AWS credentials are configured"]);
    host.unset("AWS_REGION");
    show(&host, "awskms:alias/targets").fails(7, &["no region is known", "AWS_REGION"]);
}

#[test]
fn several_keys_of_a_role_sign_at_once_and_one_may_be_away() {
    let vault = Vault::start(&[("a", "ed25519"), ("b", "ed25519")]);
    let mut host = Host::new(&[("VAULT_ADDR", &vault.url), ("VAULT_TOKEN", vault::TOKEN)], &[vault::TOKEN]);
    host.sandbox.write("publish.yaml", "name: acme\n");
    host.publish(&["init", "--no-passphrase"]).ok();
    host.publish(&["root", "edit", "--add-key", "timestamp:a=vault:a", "--add-key", "timestamp:b=vault:b", "--threshold", "timestamp=2"])
        .ok();
    host.publish(&["root", "sign", "--yes"]).ok();
    host.sandbox.write("publish.yaml", "name: acme\nkeys:\n  timestamp: [file:keys/timestamp.pem, vault:a, vault:b]\n");
    // The threshold rises: what is published would not be enough.
    host.publish(&["root", "commit"]).fails(5, &["clients would refuse the published timestamp"]);
    host.publish(&["root", "commit", "--replace-now", "--confirm", "2"]).ok();
    assert_eq!(host.status()["roles"][3]["signatures"], 3);
    fs::rename(host.sandbox.path("keys/timestamp.pem"), host.sandbox.path("away.pem")).unwrap();
    let run = host.publish(&["release", "1.0.0", "--from", "dist"]).ok();
    assert!(run.stderr.contains("going on without a key: cannot open the key file keys/timestamp.pem"), "{run:#?}");
    assert_eq!(host.status()["roles"][3]["signatures"], 2);
    vault.seal(true);
    let run = host.publish(&["release", "1.0.1", "--from", "dist"]).fails(7, &["keys/timestamp.pem"]);
    assert!(run.stderr.contains("also: vault:transit/a: Vault is sealed") && run.stderr.contains("also: vault:transit/b"), "{run:#?}");
    host.set("VAULT_TOKEN", "nothing");
}
