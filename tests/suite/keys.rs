use crate::sandbox::{Run, Sandbox};
use openssl::pkey::{Id, PKey};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "test only pässphrase";

fn encrypted() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.secret("passphrase", format!("{SECRET}\n"));
    sandbox.publish(&["init", "--name", "acme", "--passphrase-file", "passphrase"]).ok();
    sandbox
}

fn rsa(bits: u32) -> Vec<u8> {
    PKey::from_rsa(openssl::rsa::Rsa::generate(bits).unwrap()).unwrap().private_key_to_pem_pkcs8().unwrap()
}

fn elliptic(curve: openssl::nid::Nid) -> Vec<u8> {
    let group = openssl::ec::EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap().private_key_to_pem_pkcs8().unwrap()
}

/// No output of ours ever holds the secret.
#[track_caller]
fn discreet(run: Run) -> Run {
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:#?}");
    run
}

#[test]
fn openssl_opens_our_key_files() {
    let sandbox = encrypted();
    let pem = fs::read(sandbox.path("keys/targets.pem")).unwrap();
    assert!(pem.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(PKey::private_key_from_pem_passphrase(&pem, SECRET.as_bytes()).unwrap().id(), Id::ED25519);
    assert!(PKey::private_key_from_pem_passphrase(&pem, b"another").is_err());
    let plain = Sandbox::new();
    assert_eq!(PKey::private_key_from_pem(&fs::read(plain.path("keys/root.pem")).unwrap()).unwrap().id(), Id::ED25519);
}

#[test]
fn we_open_key_files_of_openssl() {
    let sandbox = Sandbox::new();
    let key = PKey::private_key_from_pem(&fs::read(sandbox.path("keys/timestamp.pem")).unwrap()).unwrap();
    // The same key as OpenSSL writes it, encrypted with its own default of PBKDF2.
    let pem = key.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"other").unwrap();
    fs::write(sandbox.path("keys/timestamp.pem"), pem).unwrap();
    sandbox.command().args(["release", "1.0.0", "--from", "dist"]).env("PUBLISH_PASSPHRASE", "other").output().map(Run::from).unwrap().ok();
}

#[test]
fn passphrases_come_from_files_commands_and_variables() {
    let sandbox = encrypted();
    let release = |version: &str, how: &[&str]| discreet(sandbox.publish(&[&["release", version, "--from", "dist"], how].concat()));
    release("1.0.0", &["--passphrase-file", "passphrase"]).ok();
    release("1.0.1", &["--passphrase-command", "cat passphrase"]).ok();
    let variable = |name: &str, value: &str, version: &str| {
        Run::from(sandbox.command().args(["release", version, "--from", "dist"]).env(name, value).output().unwrap())
    };
    discreet(variable("PUBLISH_PASSPHRASE", SECRET, "1.0.2")).ok();
    discreet(variable("PUBLISH_PASSPHRASE_FILE", "passphrase", "1.0.3")).ok();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    fs::write(sandbox.path("publish.yaml"), config + "passphrase_command: cat passphrase\n").unwrap();
    release("1.0.4", &[]).ok();
    // A flag goes before the config.
    sandbox.unchanged(|| release("1.0.5", &["--passphrase-command", "echo wrong"]).fails(12, &["wrong passphrase"]));
}

#[test]
fn missing_and_wrong_passphrases_are_reported_with_what_to_do() {
    let sandbox = encrypted();
    let release = |how: &[&str]| sandbox.unchanged(|| discreet(sandbox.publish(&[&["release", "1.0.0", "--from", "dist"], how].concat())));
    release(&[]).fails(12, &["keys/targets.pem", "no terminal", "--passphrase-file", "PUBLISH_PASSPHRASE"]);
    release(&["--passphrase-command", "echo nope"]).fails(12, &["wrong passphrase for the key file keys/targets.pem"]);
    release(&["--passphrase-command", "exit 3"]).fails(12, &["the passphrase command failed", "exit status: 3"]);
    release(&["--passphrase-command", "true"]).fails(12, &["contains no passphrase"]);
    release(&["--passphrase-file", "nowhere"]).fails(7, &["passphrase file nowhere"]);
    let wrong_openpgp = Run::from(
        sandbox
            .command()
            .args(["release", "1.0.0", "--from", "dist", "--passphrase-file", "passphrase"])
            .env("PUBLISH_OPENPGP_PASSPHRASE", "nope")
            .output()
            .unwrap(),
    );
    discreet(wrong_openpgp).fails(12, &["wrong passphrase for the OpenPGP key in keys/openpgp.asc", "PUBLISH_OPENPGP_PASSPHRASE"]);
    // Reading needs no key.
    sandbox.publish(&["status"]).ok();
    release(&["--dry-run"]).ok();
}

#[test]
fn init_without_a_passphrase_or_terminal_makes_no_key() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["init", "--name", "acme"]).fails(12, &["no terminal", "--no-passphrase"]);
    assert!(!sandbox.path("repo/1.root.json").exists());
    // And can be finished.
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
}

#[test]
fn key_files_that_others_can_read_are_refused() {
    let sandbox = Sandbox::new();
    for (key, mode) in [("keys/targets.pem", 0o640), ("keys/snapshot.pem", 0o604), ("keys/openpgp.asc", 0o660)] {
        fs::set_permissions(sandbox.path(key), fs::Permissions::from_mode(mode)).unwrap();
        sandbox.unchanged(|| sandbox.release("1.0.0").fails(4, &[key, "can be read or written by others", &format!("chmod 600 {key}")]));
        fs::set_permissions(sandbox.path(key), fs::Permissions::from_mode(0o600)).unwrap();
    }
    sandbox.release("1.0.0").ok();
}

#[test]
fn wrong_keys_are_refused_by_name() {
    let sandbox = Sandbox::new();
    let good = fs::read(sandbox.path("keys/targets.pem")).unwrap();
    let attempt = |bytes: &[u8], code, words: &[&str]| {
        fs::write(sandbox.path("keys/targets.pem"), bytes).unwrap();
        sandbox.unchanged(|| sandbox.release("1.0.0").fails(code, words));
    };
    attempt(
        &fs::read(sandbox.path("keys/snapshot.pem")).unwrap(),
        6,
        &["role targets needs 1 signature", "keys/targets.pem (of snapshot)", "the root names:"],
    );
    attempt(b"nonsense", 6, &["keys/targets.pem is not a private key in a supported form", "PKCS#8 PEM"]);
    attempt(&rsa(2048), 6, &["(of no role)"]);
    attempt(&rsa(1024), 6, &["of a kind that TUF clients do not verify", "RSA from 2048 bits"]);
    attempt(&elliptic(openssl::nid::Nid::SECP384R1), 6, &["of a kind that TUF clients do not verify"]);
    attempt(&PKey::generate_x25519().unwrap().private_key_to_pem_pkcs8().unwrap(), 6, &["not a key of a kind that TUF clients verify"]);
    attempt(&PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap(), 6, &["(of no role)"]);
    fs::remove_file(sandbox.path("keys/targets.pem")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(7, &["cannot open the key file keys/targets.pem"]));
    sandbox.write("keys/targets.pem", good);
    fs::set_permissions(sandbox.path("keys/targets.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.release("1.0.0").ok();
}

#[test]
fn openpgp_keys_of_every_kind_sign() {
    for name in ["ed25519.asc", "rsa3072.asc", "nistp384.asc", "subkey.asc", "stub-primary.asc", "binary.gpg"] {
        let sandbox = Sandbox::empty();
        let key = sandbox.openpgp(name);
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", key.to_str().unwrap()]).ok();
        sandbox.release("1.0.0").ok();
        sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked", "good: 0 errors"]);
    }
}

#[test]
fn openpgp_keys_that_cannot_sign_are_refused_each_with_its_message() {
    for (name, words) in [
        ("public.asc", ["contains only a public key", "gpg --export-secret-keys"]),
        ("two.asc", ["contains 2 OpenPGP keys", "export just one"]),
        ("rsa1024.asc", ["is too weak", "make a new key"]),
        ("sha1.asc", ["is too weak", "make a new key"]),
        ("expired.asc", ["is expired", "gpg --quick-set-expire"]),
        ("revoked.asc", ["is revoked", "--resign"]),
        ("revokedsub.asc", ["no signing key that can be used", "revoked"]),
        ("certify.asc", ["has no key that may sign", "--export-secret-subkeys"]),
        ("stub.asc", ["no signing key that can be used", "its secret is a stub"]),
        ("README.md", ["is not an OpenPGP key", "gpg --export-secret-keys"]),
    ] {
        let sandbox = Sandbox::empty();
        let key = sandbox.openpgp(name);
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", key.to_str().unwrap()]).fails(6, &words);
        assert!(!sandbox.path("repo").exists(), "{name}: refused before anything was made");
        // The same key at release time, by way of the config.
        let sandbox = Sandbox::new();
        fs::copy(&key, sandbox.path("keys/openpgp.asc"))
            .unwrap_or_else(|_| fs::copy(sandbox.openpgp(name), sandbox.path("keys/openpgp.asc")).unwrap());
        fs::set_permissions(sandbox.path("keys/openpgp.asc"), fs::Permissions::from_mode(0o600)).unwrap();
        sandbox.unchanged(|| sandbox.release("1.0.0").fails(6, &words));
    }
}

#[test]
fn an_encrypted_openpgp_key_opens_with_its_own_passphrase() {
    let sandbox = Sandbox::empty();
    let key = sandbox.openpgp("encrypted.asc");
    sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", key.to_str().unwrap()]).ok();
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(12, &["encrypted.asc", "no terminal", "--openpgp-passphrase-file"]));
    sandbox.publish(&["release", "1.0.0", "--from", "dist", "--openpgp-passphrase-command", "echo test only passphrase"]).ok();
    sandbox.publish(&["verify"]).ok();
}

/// All keys in one document, by role and unencrypted, as the JSON of trdl's server has them.
/// What `vault read -format=json sys/raw/…` prints: the stored entry is a string of the answer, and the content is in the entry
/// in base64.
#[test]
fn keys_are_found_as_vault_prints_them() {
    let sandbox = Sandbox::new();
    let pem = fs::read(sandbox.path("keys/targets.pem")).unwrap();
    let key = PKey::private_key_from_pem(&pem).unwrap();
    let (public, private) = (hex::encode(key.raw_public_key().unwrap()), hex::encode(key.raw_private_key().unwrap()));
    let value = serde_json::json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public, "private": private + &public}});
    let content = serde_json::to_string_pretty(&serde_json::json!({"TargetsKey": value})).unwrap();
    let base64 = openssl::base64::encode_block(content.as_bytes());
    let entry = serde_json::json!({"Key": "tuf_repository_keys", "Value": base64, "SealWrap": false}).to_string();
    let unpadded = base64.trim_end_matches('=').to_owned();
    for inner in [content.clone(), base64.clone(), unpadded, entry.clone(), format!("\n {entry} \n")] {
        let document = serde_json::json!({"request_id": "5a0e", "lease_duration": 0, "data": {"value": inner}}).to_string();
        let path = sandbox.write("given/vault.json", document);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let plan = sandbox.publish(&["adopt", "repo", "--keys", "given", "--config", "new/publish.yaml", "-n"]).ok();
        assert!(plan.stdout.contains("-> targets.pem"), "{inner}: {plan:#?}");
    }
    // Deeper than any tool wraps, it is not looked for; and text that only looks like base64 is nothing.
    let deep = (0..6).fold(content, |inner, _| serde_json::json!({"data": inner}).to_string());
    for inner in [deep, serde_json::json!({"data": "eyJ but no base64"}).to_string(), serde_json::json!({"data": "eyJ=="}).to_string()] {
        let path = sandbox.write("given/vault.json", inner);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let plan = sandbox.publish(&["adopt", "repo", "--keys", "given", "--config", "new/publish.yaml", "-n"]).ok();
        assert!(!plan.stdout.contains("-> targets.pem"), "{plan:#?}");
    }
}

#[test]
fn a_repository_is_adopted_with_its_keys_in_one_document() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let mut keys = serde_json::Map::new();
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let key = PKey::private_key_from_pem(&fs::read(sandbox.path(&format!("keys/{role}.pem"))).unwrap()).unwrap();
        let public = hex::encode(key.raw_public_key().unwrap());
        let private = hex::encode(key.raw_private_key().unwrap()) + &public;
        let value = serde_json::json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public, "private": private}});
        keys.insert(role.to_owned(), value);
    }
    let document = sandbox.write("keys.json", serde_json::to_vec(&serde_json::json!({"data": keys})).unwrap());
    let adopt = ["adopt", "repo", "--keys", "keys.json", "--name", "acme", "--config", "new/publish.yaml", "--no-passphrase"];
    sandbox.publish(&adopt).fails(4, &["keys.json", "others"]);
    fs::set_permissions(document, fs::Permissions::from_mode(0o600)).unwrap();
    // While keys are missing, files without usable keys are listed.
    sandbox.write("given/odd.json", r#"{"shape": "unknown"}"#);
    let from_directory = ["adopt", "repo", "--keys", "given", "--config", "new/publish.yaml", "-n"];
    sandbox.publish(&from_directory).ok().says(&["given/odd.json contains no secret key in a supported form", "it cannot be signed here"]);
    sandbox.unchanged(|| sandbox.publish(&adopt).ok());
    let before = sandbox.publish(&["key", "list", "--json"]).ok().json();
    let after = sandbox.publish(&["key", "list", "--json", "--config", "new/publish.yaml"]).ok().json();
    let ids = |listing: &serde_json::Value| {
        listing["roles"].as_array().map(|roles| roles.iter().map(|role| role["keys"].clone()).collect::<Vec<_>>())
    };
    assert!(ids(&before).is_some_and(|ids| ids.len() == 4));
    assert_eq!(ids(&before), ids(&after));
    sandbox.publish(&["refresh", "--all", "--config", "new/publish.yaml"]).ok().says(&["root 1, targets 3, snapshot 3, timestamp 3"]);
    sandbox.publish(&["verify"]).ok().says(&["good: 0 errors"]);
}
