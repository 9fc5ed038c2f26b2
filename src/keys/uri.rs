#[cfg(feature = "pkcs11")]
use super::Pkcs11Uri;
#[cfg(feature = "vault")]
use super::VaultUri;
use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a secret key is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUri {
    /// `file:PATH`, or a bare path: a key file.
    File(PathBuf),
    /// `env:NAME`: a variable that holds what a key file would.
    Env(String),
    /// `gpg:FINGERPRINT`: a key that gpg-agent holds, on a smart card perhaps.
    Gpg(String),
    /// `vault:NAME`: a key in the transit engine of Vault or OpenBao.
    #[cfg(feature = "vault")]
    Vault(VaultUri),
    /// `awskms:KEY`: a key in AWS KMS (preview).
    #[cfg(feature = "awskms")]
    AwsKms(String),
    /// `pkcs11:…`: a key in a hardware security module or smart card.
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11Uri),
}

/// The kinds with what follows them, for errors.
const FORMS: &str = "file:PATH, env:VARIABLE, gpg:FINGERPRINT, pkcs11:token=…;object=…?module-path=…, vault:NAME or awskms:KEY";

impl KeyUri {
    /// Parses a URI of the config; relative paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        if let Some(name) = text.strip_prefix("env:") {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if is_name {
                Ok(Self::Env(name.into()))
            } else {
                Err(Error::invalid("`env:` is not followed by the name of a variable"))
            };
        }
        if let Some(fingerprint) = text.strip_prefix("gpg:") {
            let fingerprint: String = fingerprint.chars().filter(|c| *c != ' ').collect::<String>().to_ascii_uppercase();
            let fits = fingerprint.len() == 40 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit());
            return if fits {
                Ok(Self::Gpg(fingerprint))
            } else {
                Err(Error::invalid("`gpg:` is not followed by a fingerprint of 40 digits")
                    .hint("gpg --list-secret-keys --fingerprint shows it"))
            };
        }
        #[cfg(feature = "vault")]
        if let Some(rest) = text.strip_prefix("vault:") {
            return VaultUri::parse(rest).map(Self::Vault);
        }
        #[cfg(feature = "awskms")]
        if let Some(key) = text.strip_prefix("awskms:") {
            let fits = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_-.".contains(&b));
            return if fits {
                Ok(Self::AwsKms(key.into()))
            } else {
                Err(Error::invalid("`awskms:` is not followed by a key's id, ARN or alias"))
            };
        }
        #[cfg(feature = "pkcs11")]
        if let Some(rest) = text.strip_prefix("pkcs11:") {
            return Pkcs11Uri::parse(rest, base).map(Self::Pkcs11);
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        if path.is_empty() {
            return Err(Error::invalid("a key URI is empty").hint(format!("write {FORMS}")));
        }
        if let Some((scheme, _)) = path.split_once(':')
            && scheme.len() > 1
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            // The rest of the text could be a secret that was pasted here by mistake.
            let left_out = ["pkcs11", "vault", "awskms"].contains(&scheme);
            let why = if left_out { "need a binary that was built with them" } else { "are not supported" };
            return Err(Error::invalid(format!("key URIs of the kind `{scheme}:` {why}")).hint(format!("write {FORMS}")));
        }
        Ok(Self::File(base.join(path)))
    }

    /// Whether the place was tested against an imitation only.
    pub fn is_preview(&self) -> bool {
        match self {
            #[cfg(feature = "awskms")]
            Self::AwsKms(_) => true,
            _ => false,
        }
    }

    /// Whether a service holds the key, which is asked over the network.
    pub fn is_remote(&self) -> bool {
        match self {
            #[cfg(feature = "vault")]
            Self::Vault(_) => true,
            #[cfg(feature = "awskms")]
            Self::AwsKms(_) => true,
            _ => false,
        }
    }

    /// The key file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// Where the key is stored, for errors.
    pub fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the variable {name}"),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(uri) => uri.name().to_owned(),
            _ => self.to_string(),
        }
    }

    /// Whether the key seems to be at hand, without opening it.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::File(path) => path.exists(),
            // Also if it is empty, as a CI without the secret sets it: opening the key then says so.
            Self::Env(name) => std::env::var_os(name).is_some(),
            // It is not known without a request, and a request needs a PIN.
            _ => true,
        }
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Gpg(fingerprint) => write!(f, "gpg:{fingerprint}"),
            #[cfg(feature = "vault")]
            Self::Vault(uri) => uri.fmt(f),
            #[cfg(feature = "awskms")]
            Self::AwsKms(key) => write!(f, "awskms:{key}"),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(uri) => f.write_str(&uri.to_text()),
        }
    }
}
