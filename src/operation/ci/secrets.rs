use super::{Forge, Settings};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::{self, KeyUri, Passphrases, Use};
use crate::metadata::Role;
use crate::openpgp::SigningKey;
use crate::storage::{Location, Service};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// A value that the CI stores and hands to jobs as a variable of this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// The variable.
    pub name: String,
    /// What it is.
    pub purpose: Purpose,
    /// The file that holds it; without one, a person types it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A key of a role, or of the hashed bins.
    RoleKey,
    /// The OpenPGP key.
    OpenpgpKey,
    /// The passphrase of the role keys.
    Passphrase,
    /// The passphrase of the OpenPGP key, where it has its own.
    OpenpgpPassphrase,
    /// A credential of the key service.
    KeyService,
    /// A credential of the store.
    Store,
}

/// All secrets of the jobs, and where the config finds each key.
pub(super) struct Secrets {
    list: Vec<Secret>,
    /// Key URIs by the name in the config: the online roles, and `bins` where they have keys of their own.
    pub keys: Vec<(&'static str, Vec<String>)>,
    /// The URI of the OpenPGP key.
    pub openpgp: String,
    /// The OpenPGP key is in a service, and its certificate in a file.
    remote_openpgp: bool,
    credential: &'static str,
}

impl Secrets {
    /// Finds out what the jobs need. Opens key files, to see which are encrypted, and no encrypted one.
    pub fn of(forge: Forge, settings: &Settings, now: DateTime<Utc>, warnings: &mut Vec<Message>) -> Result<Self> {
        let mut found = Self { list: Vec::new(), keys: Vec::new(), openpgp: String::new(), remote_openpgp: false, credential: "" };
        let roles = Role::ONLINE.into_iter().filter_map(|role| Some((role.name(), settings.keys.get(&role)?)));
        let bins = Some(("bins", &settings.bin_keys)).filter(|(_, uris)| !uris.is_empty());
        let mut encrypted = false;
        for (role, uris) in roles.chain(bins) {
            let mut places = Vec::new();
            for (at, uri) in uris.iter().enumerate() {
                let number = if uris.len() > 1 { format!("_{}", at + 1) } else { String::new() };
                let variable = format!("PUBLISH_{}_KEY{number}", role.to_ascii_uppercase());
                places.push(found.place(forge, uri, variable, Purpose::RoleKey)?);
                encrypted |= needs_passphrase(uri, warnings, || keys::load(uri, &NoPassphrase).map(|_| ()))?;
            }
            found.keys.push((role, places));
        }
        found.openpgp = found.place(forge, &settings.openpgp, "PUBLISH_OPENPGP_KEY".into(), Purpose::OpenpgpKey)?;
        found.remote_openpgp = !matches!(settings.openpgp, KeyUri::File(_) | KeyUri::Env(_));
        let openpgp = || {
            let bytes = keys::read_secret(&settings.openpgp)?;
            let locked = |_: &str| Err(Error::new(Kind::Passphrase, ""));
            SigningKey::load(&bytes, &settings.openpgp.origin(), now, &locked).map(|_| ())
        };
        let openpgp_encrypted = needs_passphrase(&settings.openpgp, warnings, openpgp)?;
        let file = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        if encrypted || (openpgp_encrypted && settings.openpgp_passphrase_file.is_none()) {
            found.add("PUBLISH_PASSPHRASE", Purpose::Passphrase, file(&settings.passphrase_file));
        }
        if openpgp_encrypted && settings.openpgp_passphrase_file.is_some() {
            found.add("PUBLISH_OPENPGP_PASSPHRASE", Purpose::OpenpgpPassphrase, file(&settings.openpgp_passphrase_file));
        }
        found.add_credentials(settings);
        Ok(found)
    }

    fn add(&mut self, name: &str, purpose: Purpose, file: Option<String>) {
        if !self.list.iter().any(|known| known.name == name) {
            self.list.push(Secret { name: name.into(), purpose, file });
        }
    }

    /// Where a job finds a key, by its URI there.
    fn place(&mut self, forge: Forge, uri: &KeyUri, variable: String, purpose: Purpose) -> Result<String> {
        match uri {
            KeyUri::File(path) => {
                self.add(&variable, purpose, Some(path.display().to_string()));
                Ok(format!("env:{variable}"))
            }
            KeyUri::Env(name) => {
                let taken = name.to_ascii_uppercase().starts_with(if forge == Forge::GitHub { "GITHUB_" } else { "CI_" });
                if taken || name.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(Error::invalid(format!("{uri} cannot be a secret: {} reserves such names", forge.word()))
                        .hint("give the variable another name in the config"));
                }
                self.add(name, purpose, None);
                Ok(uri.to_string())
            }
            #[cfg(feature = "vault")]
            KeyUri::Vault(_) => {
                for name in ["VAULT_ADDR", "VAULT_ROLE_ID", "VAULT_SECRET_ID"] {
                    self.add(name, Purpose::KeyService, None);
                }
                Ok(uri.to_string())
            }
            #[cfg(feature = "awskms")]
            KeyUri::AwsKms(_) => {
                for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
                    self.add(name, Purpose::KeyService, None);
                }
                Ok(uri.to_string())
            }
            other => Err(Error::invalid(format!("{} is in a device, and hosted runners have none", other.origin()))
                .hint("use a key service (vault:NAME, awskms:KEY) or a key file for CI: docs/keys.md")
                .hint("a runner of your own can reach the device: docs/ci.md#a-runner-of-your-own")),
        }
    }

    fn add_credentials(&mut self, settings: &Settings) {
        let Location::Bucket { service, .. } = &settings.location else { return };
        let (credential, names): (_, &[&str]) = match service {
            Service::S3 => ("AWS_ACCESS_KEY_ID", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
            Service::Azure => ("AZURE_STORAGE_ACCOUNT_KEY", &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"]),
            Service::Gcs => ("GOOGLE_SERVICE_ACCOUNT_KEY", &["GOOGLE_SERVICE_ACCOUNT_KEY"]),
        };
        self.credential = credential;
        for name in names {
            // A key service of the same cloud has the same credentials.
            self.list.retain(|known| known.name != *name);
            self.add(name, Purpose::Store, None);
        }
    }

    /// The variable without which the store cannot be read.
    pub fn credential(&self) -> &'static str {
        self.credential
    }

    /// The secrets of some purposes.
    fn only(&self, purposes: &[Purpose]) -> Vec<&Secret> {
        self.list.iter().filter(|secret| purposes.contains(&secret.purpose)).collect()
    }

    /// What a release needs: everything.
    pub fn of_release(&self) -> Vec<&Secret> {
        self.list.iter().collect()
    }

    /// What signs roles.
    pub fn of_roles(&self) -> Vec<&Secret> {
        self.only(&[Purpose::RoleKey, Purpose::Passphrase, Purpose::KeyService, Purpose::Store])
    }

    /// What reads the store.
    pub fn of_store(&self) -> Vec<&Secret> {
        self.only(&[Purpose::Store])
    }

    /// The certificate that the jobs need beside the config.
    pub fn certificate(&self, settings: &Settings) -> Result<Option<Vec<u8>>> {
        if !self.remote_openpgp {
            return Ok(None);
        }
        let path = &settings.openpgp_certificate;
        let read = read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the OpenPGP certificate", path.display(), error))?;
        Ok(Some(read))
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Secret> {
        self.list
    }
}

/// Whether a key is encrypted. One that is not on this machine may be.
fn needs_passphrase(uri: &KeyUri, warnings: &mut Vec<Message>, open: impl FnOnce() -> Result<()>) -> Result<bool> {
    if !matches!(uri, KeyUri::File(_) | KeyUri::Env(_)) {
        return Ok(false);
    }
    match open() {
        Ok(()) => Ok(false),
        Err(failure) if failure.kind == Kind::Passphrase => Ok(true),
        Err(failure) if failure.kind == Kind::NotFound => {
            if uri.path().is_some() {
                warnings.push(Message::new(
                    Id::SecretElsewhere,
                    format!("{} is not on this machine: store the secret from where it is", uri.origin()),
                ));
            }
            Ok(true)
        }
        Err(failure) => Err(failure),
    }
}

/// Has no passphrase: shows which keys need one.
struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn get(&self, _purpose: Use, what: &str) -> Result<keys::Secret> {
        Err(Error::new(Kind::Passphrase, format!("{what} is encrypted")))
    }

    fn choose(&self, _purpose: Use) -> Result<keys::Secret> {
        Err(Error::new(Kind::Passphrase, "no passphrase is chosen here"))
    }
}
