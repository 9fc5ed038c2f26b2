//! What GnuPG makes of the signatures of every kind of key that can be made here.

use crate::sandbox::{Run, Sandbox};
use openpgp::cert::prelude::{CertBuilder, CipherSuite};
use openpgp::packet::key::{Key4, PrimaryRole, SecretParts};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::serialize::SerializeInto;
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, SignatureType};
use openpgp::{Cert, Packet, Profile};
use sequoia_openpgp as openpgp;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn gpg(home: &Path, arguments: &[&str]) -> Run {
    let output = Command::new("gpg").args(["--batch", "--quiet", "--homedir"]).arg(home).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn home() -> tempfile::TempDir {
    let home = tempfile::TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    home
}

/// The agent that gpg starts ends with its directory, but not at once.
fn end(home: &Path) {
    let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output();
}

fn keep(sandbox: &Sandbox, key: &[u8]) -> String {
    let path = sandbox.write("imported.asc", key);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A release by this key is good for `publish verify`, for gpg and for gpgv.
#[track_caller]
fn signs_for_gpg(kind: &str, key: &[u8]) {
    let sandbox = Sandbox::empty();
    let key = keep(&sandbox, key);
    let run = sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", &key]);
    assert_eq!(run.code, 0, "{kind}: {run:#?}");
    sandbox.release("1.0.0").ok();
    let verify = sandbox.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked", "good: 0 errors"]);
    assert!(!verify.stdout.contains("GnuPG"), "{kind}: {verify:#?}");
    let reader = home();
    let certificate = fs::read_dir(sandbox.path("repo/targets/openpgp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name.len() == 44));
    let certificate = certificate.unwrap();
    let file = sandbox.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme");
    let signature = sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig");
    gpg(reader.path(), &["--import", certificate.to_str().unwrap()]).ok();
    let run = gpg(reader.path(), &["--verify", signature.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{kind}: {run:#?}");
    let keyring = reader.path().join("keyring.gpg");
    gpg(reader.path(), &["--output", keyring.to_str().unwrap(), "--export"]).ok();
    let gpgv = Command::new("gpgv").arg("--keyring").args([&keyring, &signature, &file]).output().unwrap();
    assert!(gpgv.status.success(), "{kind}: {gpgv:?}");
    end(reader.path());
}

/// Refused before anything is made, and again where the config names it.
#[track_caller]
fn is_refused(kind: &str, key: &[u8], words: &[&str]) {
    let sandbox = Sandbox::empty();
    let path = keep(&sandbox, key);
    let run = sandbox.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", &path]);
    assert!(run.code == 6 && words.iter().all(|word| run.stderr.contains(word)), "{kind}: {run:#?}");
    assert!(!sandbox.path("repo").exists() && !sandbox.path("publish.yaml").exists(), "{kind}");
    sandbox.write("publish.yaml", format!("name: acme\nopenpgp: {path}\n"));
    let run = sandbox.publish(&["init", "--no-passphrase"]);
    assert!(run.code == 6 && words.iter().all(|word| run.stderr.contains(word)), "{kind}: {run:#?}");
    assert!(!sandbox.path("repo").exists() && !sandbox.path("keys").exists(), "{kind}");
    // A repository whose key is exchanged for it.
    let sandbox = Sandbox::new();
    let path = keep(&sandbox, key);
    for arguments in [
        &["rotate", "openpgp", "--no-passphrase", "--key"][..],
        &["adopt", "repo", "--keys", "keys", "--config", "new/p.yaml", "--no-passphrase", "--openpgp-key"],
    ] {
        let run = sandbox.unchanged(|| sandbox.publish(&[arguments, &[path.as_str()]].concat()));
        assert!(run.code == 6 && words.iter().all(|word| run.stderr.contains(word)), "{kind}: {run:#?}");
    }
    fs::copy(&path, sandbox.path("keys/openpgp.asc")).unwrap();
    let run = sandbox.unchanged(|| sandbox.release("1.0.0"));
    assert!(run.code == 6 && words.iter().all(|word| run.stderr.contains(word)), "{kind}: {run:#?}");
}

#[test]
fn gpg_verifies_signatures_by_every_kind_of_key_that_gpg_makes() {
    let maker = home();
    for kind in
        ["rsa2048", "dsa3072", "ed25519", "nistp256", "nistp384", "nistp521", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"]
    {
        let name = format!("{kind}@example.org");
        gpg(maker.path(), &["--passphrase", "", "--quick-generate-key", &name, kind, "sign", "never"]).ok();
        let exported = gpg(maker.path(), &["--armor", "--export-secret-keys", &name]).ok();
        signs_for_gpg(kind, exported.stdout.as_bytes());
    }
    // A signing subkey on a curve that needs a longer digest than its primary key.
    let name = "mixed@example.org";
    gpg(maker.path(), &["--passphrase", "", "--quick-generate-key", name, "ed25519", "cert", "never"]).ok();
    let listing = gpg(maker.path(), &["--with-colons", "--list-keys", name]).ok();
    let fingerprint = listing.stdout.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':').to_owned();
    gpg(maker.path(), &["--passphrase", "", "--quick-add-key", &fingerprint, "brainpoolP512r1/ecdsa", "sign", "never"]).ok();
    let exported = gpg(maker.path(), &["--armor", "--export-secret-keys", name]).ok();
    signs_for_gpg("a Brainpool subkey", exported.stdout.as_bytes());
    end(maker.path());
}

#[test]
fn keys_of_which_gpg_cannot_read_the_signatures_are_refused() {
    is_refused(
        "algorithm 27",
        &certificate(Key4::generate_ed25519().unwrap(), HashAlgorithm::SHA512),
        &["algorithm 27", "gpg cannot read"],
    );
    is_refused("algorithm 28", &certificate(Key4::generate_ed448().unwrap(), HashAlgorithm::SHA512), &["algorithm 28", "gpg cannot read"]);
    // A key that gpg reads, with a self-signature that it does not.
    let brainpool = Key4::generate_ecc(true, Curve::BrainpoolP384).unwrap();
    is_refused(
        "a short digest",
        &certificate(brainpool, HashAlgorithm::SHA256),
        &["gpg rejects SHA256 with Brainpool P-384, which needs SHA384"],
    );
    let (version_6, _) = CertBuilder::new()
        .set_profile(Profile::RFC9580)
        .unwrap()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
        .add_userid("acme")
        .generate()
        .unwrap();
    is_refused("version 6", &version_6.as_tsk().armored().to_vec().unwrap(), &["version 6"]);
    let maker = home();
    gpg(maker.path(), &["--passphrase", "", "--quick-generate-key", "odd@example.org", "secp256k1", "sign", "never"]).ok();
    is_refused(
        "secp256k1",
        gpg(maker.path(), &["--armor", "--export-secret-keys"]).ok().stdout.as_bytes(),
        &["of a kind that is not supported"],
    );
    end(maker.path());
}

/// A certificate around a key, with a self-signature over this digest.
fn certificate(key: Key4<SecretParts, PrimaryRole>, digest: HashAlgorithm) -> Vec<u8> {
    let key = Key::V4(key);
    let mut signer = key.clone().into_keypair().unwrap();
    let cert = Cert::try_from(vec![Packet::from(key)]).unwrap();
    let user_id = UserID::from("acme");
    let builder = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_hash_algo(digest)
        .set_key_flags(KeyFlags::empty().set_certification().set_signing())
        .unwrap();
    let binding = user_id.bind(&mut signer, &cert, builder).unwrap();
    cert.insert_packets(vec![Packet::from(user_id), binding.into()]).unwrap().0.as_tsk().armored().to_vec().unwrap()
}

/// What another tool, or an earlier version of this one, has published already.
#[test]
fn signatures_and_certificates_that_gpg_rejects_are_reported() {
    use publish::openpgp::{Certificates, DetachedSignature};
    let now = chrono::Utc::now();
    let report = |key: Key4<SecretParts, PrimaryRole>, digest: HashAlgorithm| {
        let mut signer = Key::V4(key.clone()).role_into_unspecified().into_keypair().unwrap();
        let packet = SignatureBuilder::new(SignatureType::Binary).set_hash_algo(digest).sign_message(&mut signer, b"acme").unwrap();
        let signature = DetachedSignature::parse(&Packet::from(packet).to_vec().unwrap(), "acme.sig").unwrap();
        let mut certificates = Certificates::default();
        certificates.add(&certificate(key, HashAlgorithm::SHA512), "acme").unwrap();
        let unreadable = certificates.unreadable_by_gnupg(now).pop().map(|(_, why)| why);
        (certificates.gnupg_rejects(&signature), unreadable)
    };
    let brainpool = || Key4::generate_ecc(true, Curve::BrainpoolP512).unwrap();
    assert_eq!(report(brainpool(), HashAlgorithm::SHA512), (None, None));
    let (signature, certificate) = report(brainpool(), HashAlgorithm::SHA256);
    assert!(signature.unwrap().contains("gpg rejects SHA256 with Brainpool P-512, which needs SHA512") && certificate.is_none());
    let (signature, certificate) = report(Key4::generate_ed25519().unwrap(), HashAlgorithm::SHA256);
    assert!(signature.unwrap().contains("algorithm 27") && certificate.unwrap().contains("algorithm 27"));
}
