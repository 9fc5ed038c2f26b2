//! `publish key`: key files and what they are for.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report};
use crate::cli::passphrases::{Sources, new_passphrase};
use crate::cli::publisher::open;
use crate::cli::text::span;
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::keys::{self, KeyUri, Passphrases, RoleSigner, Use};
use crate::metadata::{KeyKind, PublicKey};
use crate::operation::keys::{self as operation, Duty};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Make, inspect and export keys, change passphrases
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "Example:\n  publish key list")]
pub(in crate::cli) enum Key {
    /// Make a key file and print its public key
    #[command(after_help = "Example:\n  publish key new keys/ci.pem --no-passphrase")]
    New {
        /// The new file; must not exist
        file: PathBuf,
        /// The kind of key
        #[arg(long, value_enum, default_value_t = KeyType::Ed25519, value_name = "KIND")]
        kind: KeyType,
        /// Do not encrypt it
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys of each role, their holders and their URIs
    #[command(after_help = "Example:\n  publish key list")]
    List,
    /// Show a key: its public key, and which roles it may sign
    #[command(after_help = "Example:\n  publish key show keys/targets.pem")]
    Show {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print a public key for other tools
    #[command(after_help = "Examples:\n  publish key export keys/targets.pem\n  publish key export keys/openpgp.asc --form openpgp")]
    Export {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
        /// pem for openssl and most tools, json as in TUF metadata, openpgp for the certificate of an OpenPGP key
        #[arg(long, value_enum, default_value_t = KeyForm::Pem, value_name = "FORM")]
        form: KeyForm,
    },
    /// Make the OpenPGP certificate of a key in a device
    #[command(
        after_help = "The key certifies itself. Put the certificate into `openpgp_certificate` of the config, and the key's URI into `openpgp`.\n\nExample:\n  publish key certify 'pkcs11:token=acme;object=openpgp?module-path=/usr/lib/softhsm/libsofthsm2.so' keys/openpgp.cert.asc --user-id 'acme releases'"
    )]
    Certify {
        /// The key's URI
        #[arg(value_name = "KEY")]
        key: String,
        /// The new file for the certificate; must not exist
        file: PathBuf,
        /// The user id
        #[arg(long, value_name = "TEXT")]
        user_id: String,
    },
    /// Make test signatures with a key and verify them
    #[command(
        after_help = "Nothing is published. The command works for key files and for keys in HSMs, agents and key services. AWS KMS and OpenBao are previews: check yours with this command.\n\nExample:\n  publish key check keys/targets.pem"
    )]
    Check {
        /// The key's URI or file
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Change the expiry of the OpenPGP key
    #[command(
        after_help = "WHEN is a date, a span such as 730d, or never. The next publish also publishes the certificate.\n\nExample:\n  publish key extend 730d"
    )]
    Extend {
        /// When it expires
        #[arg(value_name = "WHEN")]
        until: String,
    },
    /// Change the passphrase of a key file
    #[command(
        after_help = "The old passphrase comes from the same sources as for every command; the new one from --new-passphrase-file, PUBLISH_NEW_PASSPHRASE or the terminal. The file is converted to PKCS#8.\n\nExample:\n  publish key passphrase keys/targets.pem --no-passphrase"
    )]
    Passphrase {
        /// The key file
        file: PathBuf,
        /// Read the new passphrase from a file
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Do not encrypt it
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}

/// A kind of key that TUF clients verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyType {
    /// For every TUF client
    Ed25519,
    /// For hardware without Ed25519
    P256,
    /// 3072 bits, for hardware without both
    Rsa,
}

/// A form of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyForm {
    /// SubjectPublicKeyInfo in PEM
    Pem,
    /// The key object of TUF metadata
    Json,
    /// An OpenPGP certificate
    Openpgp,
}

/// `publish key`.
pub(in crate::cli) fn run(global: &Global, arguments: &Key, output: &Output) -> Result<Report> {
    let passphrases = Sources::new(global, &config(global)?);
    match arguments {
        Key::New { file, kind, no_passphrase } => {
            if file.exists() {
                return Err(Error::invalid(format!("{} exists already", file.display()))
                    .hint("choose another name, or see it with `publish key show`")
                    .into());
            }
            if global.dry_run {
                return Ok(Report::dry_run("key", &format!("make {}", file.display())));
            }
            let passphrase = if *no_passphrase { None } else { Some(passphrases.choose(Use::Roles)?) };
            let kind = match kind {
                KeyType::Ed25519 => KeyKind::Ed25519,
                KeyType::P256 => KeyKind::EcdsaP256,
                KeyType::Rsa => KeyKind::RsaPss,
            };
            keys::create(file, kind, passphrase.as_ref())?;
            let signer = keys::load(&KeyUri::File(file.clone()), &Chosen(passphrase))?;
            Ok(shown("made", &signer, &[]))
        }
        Key::Show { key } => {
            let signer = load(key, &passphrases)?;
            // The roles that a key may sign are shown if there is a repository; the key itself needs none.
            let duties = match Config::read(&global.config) {
                Ok(config) => operation::duties_of(&open(global, &config, output)?, signer.public()).unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            Ok(shown("read", &signer, &duties))
        }
        Key::Export { key, form: KeyForm::Openpgp } => {
            let uri = KeyUri::parse(key, Path::new(""))?;
            let public = |bytes: &[u8]| crate::openpgp::public_certificate(bytes, &uri.origin());
            let certificate = match keys::openpgp_certificate(&uri)? {
                Some(certificate) => public(&certificate),
                None => public(&keys::read_secret(&uri)?),
            }?;
            let fingerprint = crate::openpgp::Certificates::default().add(&certificate, &uri.origin())?;
            let text = String::from_utf8_lossy(&certificate).into_owned();
            Ok(Report::new("key", text.clone(), json!({"fingerprint": fingerprint, "certificate": text})))
        }
        Key::Export { key, form } => {
            let public = load(key, &passphrases)?.public().clone();
            let text = if *form == KeyForm::Pem { keys::to_pem(&public)? } else { format!("{}\n", public.to_json()) };
            Ok(Report::new("key", text, json!({"key_id": public.id(), "key": public.to_json()})))
        }
        Key::Passphrase { file, new_passphrase_file, no_passphrase } => {
            if global.dry_run {
                return Ok(Report::dry_run("key", &format!("write {} again", file.display())));
            }
            keys::change_passphrase(file, &passphrases, || {
                if *no_passphrase {
                    Ok(None)
                } else {
                    new_passphrase(new_passphrase_file.as_deref(), &file.display().to_string()).map(Some)
                }
            })?;
            let how = if *no_passphrase { "is not encrypted any more" } else { "opens with the new passphrase" };
            Ok(Report::new(
                "key",
                format!("{} {how}\n", file.display()),
                json!({"file": file.display().to_string(), "encrypted": !no_passphrase}),
            ))
        }
        Key::Certify { key, file, user_id } => {
            if file.exists() {
                return Err(Error::new(Kind::Conflict, format!("{} exists already", file.display())).into());
            }
            let uri = KeyUri::parse(key, Path::new(""))?;
            let signer = keys::load_for_openpgp(&uri, &passphrases)?;
            let signer = signer.ok_or_else(|| {
                Error::invalid("a key in a file has its certificate there").hint("`publish init` makes one, gpg exports one")
            })?;
            if global.dry_run {
                return Ok(Report::dry_run("key", &format!("make {}", file.display())));
            }
            // Signatures must not seem to be older than their key.
            let made = chrono::Utc::now() - chrono::TimeDelta::seconds(1);
            let certificate = crate::openpgp::certify(signer, user_id, made)?;
            let fingerprint = crate::openpgp::Certificates::default().add(&certificate, "the new certificate")?;
            std::fs::write(file, &certificate).map_err(|error| Error::io("write the certificate", file.display(), error))?;
            let text = format!("made {}\nOpenPGP certificate {fingerprint}\n", file.display());
            Ok(Report::new("key", text, json!({"file": file.display().to_string(), "fingerprint": fingerprint})))
        }
        Key::Check { key } => check(&KeyUri::parse(key, Path::new(""))?, &passphrases),
        Key::Extend { until } => {
            let config = Config::read(&global.config)?;
            let publisher = open(global, &config, output)?;
            let now = publisher.now();
            let until = if until == "never" { None } else { Some(crate::metadata::parse_moment(until, now)?) };
            if let Some(over) = until.filter(|until| *until <= now) {
                let when = crate::metadata::format_expiry(over);
                return Err(Error::invalid(format!("the OpenPGP key would expire on {when}, which is in the past"))
                    .hint("give a time in the future, for example 730d")
                    .into());
            }
            let uri = config.openpgp()?;
            let path = uri.path().ok_or_else(|| {
                Error::invalid(format!("{uri} is no file"))
                    .hint("extend it where it is stored, for example with gpg --quick-set-expire, and make its certificate again")
            })?;
            let file = keys::read_secret(&uri)?;
            let from = crate::openpgp::extendable_from(&file, &path.display().to_string(), now)?;
            let written = keys::unlocked(&passphrases, Use::OpenPgp, |unlock| {
                let unlock = |what: &str| unlock(what).map(|secret| zeroize::Zeroizing::new(secret.expose().to_vec()));
                // A second at most, and none after a prompt.
                std::thread::sleep((from - chrono::Utc::now()).to_std().unwrap_or_default());
                crate::openpgp::extend(&file, &path.display().to_string(), until, now, &unlock)
            })?;
            let when = until.map_or("for ever".to_owned(), |until| format!("until {}", crate::metadata::format_expiry(until)));
            if global.dry_run {
                return Ok(Report::dry_run("key", &format!("make {} valid {when}", path.display())));
            }
            keys::replace_private(path, &written)?;
            Ok(Report::new(
                "key",
                format!("{} is valid {when}; the next release publishes its certificate\n", path.display()),
                json!({"file": path.display().to_string(), "until": until.map(crate::metadata::format_expiry)}),
            ))
        }
        Key::List => list(global, output),
    }
}

/// The config where there is one: passphrases may be named in it.
fn config(global: &Global) -> Result<Config> {
    Ok(if global.config.exists() { Config::read(&global.config)? } else { Config::parse("{}", "no config")? })
}

fn load(text: &str, passphrases: &Sources) -> Result<Arc<dyn RoleSigner>> {
    Ok(keys::load(&KeyUri::parse(text, Path::new(""))?, passphrases)?)
}

/// An OpenPGP key in a file: what a release will ask of it.
fn check_openpgp(uri: &KeyUri, file: &[u8], passphrases: &Sources) -> Result<Report> {
    let now = chrono::Utc::now();
    let key = keys::unlocked(passphrases, Use::OpenPgp, |unlock| {
        let unlock = |what: &str| unlock(what).map(|secret| zeroize::Zeroizing::new(secret.expose().to_vec()));
        crate::openpgp::SigningKey::load(file, &uri.origin(), now, &unlock)
    })?;
    key.check(now)?;
    let old = if key.old_gnupg_reads() { "and 1.4 as well" } else { "but not 1.4" };
    let text = format!(
        "{} (OpenPGP)\ncertificate: {}\nsigns:       with {}, verified\nread by:     GnuPG 2.2 and 2.4, {old}\n",
        uri.origin(),
        key.fingerprint(),
        key.hash()
    );
    let json = json!({"key": uri.origin(), "fingerprint": key.fingerprint(), "digest": key.hash().to_string(), "openpgp": true, "gnupg_1_4": key.old_gnupg_reads()});
    Ok(Report::new("key", text, json))
}

fn check(uri: &KeyUri, passphrases: &Sources) -> Result<Report> {
    if matches!(uri, KeyUri::File(_) | KeyUri::Env(_)) {
        let file = keys::read_secret(uri)?;
        if crate::openpgp::is_openpgp(&file) {
            return check_openpgp(uri, &file, passphrases);
        }
    }
    let signer = keys::load(uri, passphrases)?;
    let public = signer.public();
    let signs = |length: usize| {
        let message = vec![b'.'; length];
        let signature = signer.sign(&message)?;
        if public.verifies(&message, &signature) {
            return Ok(());
        }
        Err(Error::new(Kind::Untrusted, format!("the key in {} made a signature that does not verify", signer.origin())))
    };
    // As long as roles are: some services take short messages only.
    let long = signs(1 << 20);
    let (roles, but) = match long {
        Err(failure) if failure.kind == Kind::Invalid && signs(64 << 10).is_ok() => (Ok(()), Some(failure)),
        long => (long, None),
    };
    let openpgp = keys::load_for_openpgp(uri, passphrases)?.map(|signer| crate::openpgp::check(signer, chrono::Utc::now()));
    let mut text = format!("{} ({})\nkey id:  {}\n", signer.origin(), public.keytype(), public.id());
    let say = |text: &mut String, what: &str, done: &Result<(), Error>| match done {
        Ok(()) => drop(writeln!(text, "{what} signs, verified")),
        Err(failure) => drop(writeln!(text, "{what} no: {failure}")),
    };
    say(&mut text, "roles:  ", &roles);
    if let Some(failure) = &but {
        let _ = writeln!(text, "         but none of a megabyte: {failure}");
    }
    openpgp.iter().for_each(|done| say(&mut text, "OpenPGP:", done));
    let good = |done: &Result<(), Error>| done.is_ok();
    let json = json!({"key": signer.origin(), "key_id": public.id(), "roles": good(&roles), "large_roles": good(&roles) && but.is_none(), "openpgp": openpgp.as_ref().map(good)});
    match (roles, openpgp) {
        // Of no use at all: the reason comes as the error, with what to do.
        (Err(failure), None | Some(Err(_))) => Err(failure.into()),
        _ => Ok(Report::new("key", text, json)),
    }
}

fn shown(verb: &str, signer: &Arc<dyn RoleSigner>, duties: &[Duty]) -> Report {
    let public = signer.public();
    let value = public_value(public);
    let mut text = format!("{verb}:   {}\nkey id: {}\nkind:   {}\n", signer.origin(), public.id(), public.keytype());
    if public.kind() == KeyKind::Ed25519 {
        let _ = writeln!(text, "public: {value}");
    }
    let _ = writeln!(text, "sha256: {} (of the public key, as `publish root` shows it)", public.material());
    for duty in duties {
        let _ = writeln!(text, "signs:  {} ({} of its keys needed, expires in {})", duty.role, duty.threshold, span(duty.seconds_left));
    }
    Report::new(
        "key",
        text,
        json!({"file": signer.origin(), "key_id": public.id(), "keytype": public.keytype(), "public": value, "public_sha256": public.material(), "signs": duties}),
    )
}

fn public_value(public: &PublicKey) -> String {
    public.to_json()["keyval"]["public"].as_str().unwrap_or_default().to_owned()
}

fn list(global: &Global, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let listing = operation::list(&open(global, &config, output)?, &config.key_names())?;
    let mut text = String::new();
    for role in &listing {
        let _ =
            writeln!(text, "{}: {} of {} must sign, expires in {}", role.role, role.threshold, role.keys.len(), span(role.seconds_left));
        for key in &role.keys {
            let name = key.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
            let signed = if key.has_signed { "has signed" } else { "has not signed" };
            let _ = writeln!(text, "  key {} {}{name}: {signed} what is published", key.id, key.keytype);
        }
        for place in &role.places {
            let _ = writeln!(text, "  looked for in {}: {}", place.uri, if place.at_hand { "there" } else { "not there" });
        }
    }
    Ok(Report::new("key", text, json!({"roles": listing})))
}

/// The passphrase that was chosen a moment ago.
struct Chosen(Option<keys::Secret>);

impl Passphrases for Chosen {
    fn get(&self, _: Use, what: &str) -> crate::error::Result<keys::Secret> {
        self.0.clone().ok_or_else(|| Error::new(Kind::Passphrase, format!("{what} is encrypted")))
    }

    fn choose(&self, purpose: Use) -> crate::error::Result<keys::Secret> {
        self.get(purpose, "the new key")
    }
}
