use crate::failure::{Failure, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a secret key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUri {
    /// `file:PATH`, or a bare path: a key file.
    File(PathBuf),
    /// `env:NAME`: a variable that holds what a key file would.
    Env(String),
}

/// The kinds with what follows them, for errors.
const FORMS: &str = "file:PATH or env:VARIABLE";

impl KeyUri {
    /// Parses a URI of the config; relative paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        if let Some(name) = text.strip_prefix("env:") {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if is_name {
                Ok(Self::Env(name.into()))
            } else {
                Err(Failure::invalid("`env:` is not followed by the name of a variable"))
            };
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        if path.is_empty() {
            return Err(Failure::invalid("a key URI is empty").hint(format!("write {FORMS}")));
        }
        if let Some((scheme, _)) = path.split_once(':')
            && scheme.len() > 1
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            // The rest of the text could be a secret that was pasted here by mistake.
            return Err(Failure::invalid(format!("key URIs of the kind `{scheme}:` are not supported")).hint(format!("write {FORMS}")));
        }
        Ok(Self::File(base.join(path)))
    }

    /// The key file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Where the key lives, in words for errors.
    pub fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the variable {name}"),
        }
    }

    /// Whether the key seems to be at hand, without opening it.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::File(path) => path.exists(),
            Self::Env(name) => std::env::var_os(name).is_some(),
        }
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}
