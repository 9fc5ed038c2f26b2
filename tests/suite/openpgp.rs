//! The life cycle of an OpenPGP key: it is extended, certifies the next one, and what it signed is signed again on request.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A user with gpg, who has the published certificates.
struct Reader<'s> {
    sandbox: &'s Sandbox,
    home: tempfile::TempDir,
}

impl<'s> Reader<'s> {
    fn new(sandbox: &'s Sandbox) -> Self {
        let home = tempfile::TempDir::new_in("/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { sandbox, home }
    }

    fn gpg(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("gpg");
        command.current_dir(self.sandbox.dir.path()).args(["--batch", "--homedir"]).arg(self.home.path()).args(arguments);
        let output = command.output().unwrap();
        // gpg prints notations as they are, which need not be text.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn imports(&self) {
        for name in crate::sandbox::files(&self.sandbox.path("repo/targets/openpgp")).keys().filter(|name| name.len() == 44) {
            self.gpg(&["--import", &format!("repo/targets/openpgp/{name}")]).ok();
        }
    }

    /// Who signed a release, by fingerprint.
    fn signer(&self, version: &str) -> String {
        let file = format!("{version}/linux-amd64/bin/acme");
        let said = self
            .gpg(&[
                "--status-fd",
                "1",
                "--verify",
                &format!("repo/targets/signatures/{file}.sig"),
                &format!("repo/targets/releases/{file}"),
            ])
            .ok();
        let line = said.stdout.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG ")).unwrap().to_owned();
        line.split(' ').next().unwrap().to_owned()
    }
}

fn fingerprint(sandbox: &Sandbox) -> String {
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let file = config.lines().find_map(|line| line.strip_prefix("openpgp: file:")).unwrap().to_owned();
    let run =
        Run::from(Command::new("gpg").args(["--batch", "--with-colons", "--show-keys"]).arg(sandbox.path(&file)).output().unwrap()).ok();
    run.stdout.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':').to_owned()
}

/// What GnuPG refuses beside a good signature, and parsers pass over.
#[test]
fn a_signature_file_is_one_signature() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let good = fs::read(sandbox.path("repo/targets/signatures/1.0.0/linux-amd64/bin/acme.sig")).unwrap();
    let armored = |with: &dyn Fn(String) -> String| {
        let body = openssl::base64::encode_block(&good);
        with(format!("-----BEGIN PGP SIGNATURE-----\nVersion: x\n\n{body}\n-----END PGP SIGNATURE-----\n")).into_bytes()
    };
    let parse = |bytes: &[u8]| publish::openpgp::DetachedSignature::parse(bytes, "acme.sig");
    parse(&good).unwrap();
    parse(&armored(&|text| text)).unwrap();
    parse(&armored(&|text| text.replace('\n', "\r\n"))).unwrap();
    for (bytes, words) in [
        ([&good[..], &good[..]].concat(), "more follows the signature"),
        ([&good[..], b"\xff\xffjunk"].concat(), "more follows the signature"),
        ([&good[..], b"\n"].concat(), "more follows the signature"),
        (good[..good.len() - 1].to_vec(), "it is cut off"),
        (armored(&|text| format!("hello\n{text}")), "does not begin with an armor block"),
        (armored(&|text| format!("{text}{text}")), "more follows the signature"),
        (armored(&|text| format!("{text}junk")), "more follows the signature"),
        (armored(&|text| text.replace("Version: x", "junk")), "an invalid header"),
        (armored(&|text| text.replace("\n-----END", "\n=AAAA\n-----END")), "the checksum of its armor is wrong"),
        (armored(&|text| text.replace("\n-----END", "\n!\n-----END")), "its armor is not base64"),
    ] {
        let failure = parse(&bytes).expect_err(words);
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

#[test]
fn a_new_key_is_certified_by_the_old_one_and_signs_what_is_requested() {
    let sandbox = Sandbox::new();
    for version in ["1.0.0", "1.0.1"] {
        sandbox.release(version).ok();
    }
    let old = fingerprint(&sandbox);
    let exported = sandbox.publish(&["key", "export", "keys/openpgp.asc", "--form", "openpgp"]).ok().stdout;
    assert_eq!(exported.as_bytes(), fs::read(sandbox.path(&format!("repo/targets/openpgp/{old}.asc"))).unwrap());
    sandbox.unchanged(|| {
        sandbox.publish(&["rotate", "openpgp", "--no-passphrase", "-n"]).ok().says(&["openpgp-2.asc", "Nothing was written"])
    });
    sandbox.unchanged(|| {
        sandbox.publish(&["rotate", "openpgp", "--no-passphrase", "--resign", "9.9.9"]).fails(7, &["no signatures of release 9.9.9"])
    });
    assert!(!sandbox.path("keys/openpgp-2.asc").exists(), "no key is made that has nothing to do");
    sandbox.publish(&["rotate", "openpgp", "--no-passphrase", "--resign", "1.0.1"]).ok().says(&["and 1 signatures by it"]);
    let new = fingerprint(&sandbox);
    assert_ne!(old, new);
    assert!(sandbox.path("keys/openpgp-2.revocation.asc").exists());
    let reader = Reader::new(&sandbox);
    reader.imports();
    assert_eq!((reader.signer("1.0.0"), reader.signer("1.0.1")), (old.clone(), new.clone()));
    let checked = reader.gpg(&["--with-colons", "--check-sigs", &new]).ok().stdout;
    let by_old = checked.lines().any(|line| line.starts_with("sig:!:") && line.contains(&old[24..]));
    assert!(by_old, "the old key vouches for the new one: {checked}");
    sandbox.release("1.0.2").ok();
    assert_eq!(reader.signer("1.0.2"), new);
    sandbox.publish(&["verify"]).ok().says(&["3 OpenPGP signatures checked", "good: 0 errors"]);
    // The key was stolen: nothing of it counts any more, and everything is signed again.
    sandbox
        .publish(&["rotate", "openpgp", "--no-passphrase", "--without-old", "--resign", "all"])
        .ok()
        .says(&["openpgp-3.asc", "and 3 signatures by it"]);
    let newest = fingerprint(&sandbox);
    reader.imports();
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        assert_eq!(reader.signer(version), newest);
    }
    let checked = reader.gpg(&["--with-colons", "--check-sigs", &newest]).ok().stdout;
    assert!(!checked.contains(&new[24..]), "{checked}");
    sandbox.publish(&["verify"]).ok();
    sandbox.publish(&["rotate", "targets", "--resign", "all"]).fails(6, &["about the OpenPGP key"]);
}

#[test]
fn a_key_without_its_old_one_reports_what_to_do() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("keys/openpgp.asc")).unwrap();
    sandbox.publish(&["rotate", "openpgp", "--no-passphrase"]).fails(7, &["--without-old", "publish its revocation"]);
    sandbox.publish(&["rotate", "openpgp", "--no-passphrase", "--without-old"]).ok();
    sandbox.release("1.0.0").ok();
}

#[test]
fn expiry_moves() {
    // Expired long ago, and encrypted with a subkey that signs.
    for (key, passphrase) in
        [("expired.asc", None), ("encrypted.asc", Some("test only passphrase")), ("subkey.asc", None), ("rsa3072.asc", None)]
    {
        let sandbox = Sandbox::new();
        fs::remove_file(sandbox.path("keys/openpgp.asc")).unwrap();
        fs::copy(sandbox.openpgp(key), sandbox.path("keys/openpgp.asc")).unwrap();
        let publish = |arguments: &[&str]| {
            let mut command = sandbox.command();
            if let Some(passphrase) = passphrase {
                command.env("PUBLISH_OPENPGP_PASSPHRASE", passphrase);
            }
            Run::from(command.args(arguments).output().unwrap())
        };
        if key == "expired.asc" {
            publish(&["release", "1.0.0", "--from", "dist"]).fails(6, &["is expired"]);
        }
        publish(&["key", "extend", "730d"]).ok().says(&["is valid until 20", "the next release publishes"]);
        publish(&["release", "1.0.0", "--from", "dist"]).ok();
        let reader = Reader::new(&sandbox);
        reader.imports();
        reader.signer("1.0.0");
        let shown = reader.gpg(&["--with-colons", "--list-keys"]).ok().stdout;
        let expiries: Vec<&str> =
            shown.lines().filter(|line| line.starts_with("pub:")).map(|line| line.split(':').nth(6).unwrap()).collect();
        assert!(expiries.iter().all(|expiry| !expiry.is_empty()), "{shown}");
        publish(&["key", "extend", "never"]).ok().says(&["for ever"]);
        publish(&["release", "1.0.1", "--from", "dist"]).ok();
        publish(&["verify"]).ok();
    }
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("keys/openpgp.asc")).unwrap();
    fs::copy(sandbox.openpgp("stub-primary.asc"), sandbox.path("keys/openpgp.asc")).unwrap();
    sandbox.publish(&["key", "extend", "1d"]).fails(6, &["lacks the secret", "gpg --quick-set-expire"]);
    sandbox.publish(&["key", "extend", "sometime"]).fails(6, &["is not a moment"]);
}
