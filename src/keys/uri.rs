use crate::failure::{Failure, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a secret key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUri {
    /// `file:PATH`, or a bare path: a key file.
    File(PathBuf),
}

impl KeyUri {
    /// Parses a URI of the config; relative paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let path = text.strip_prefix("file:").unwrap_or(text);
        if path.is_empty() {
            return Err(Failure::invalid("a key URI is empty").hint("write file:PATH"));
        }
        if let Some((scheme, _)) = path.split_once(':')
            && scheme.len() > 1
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            // The rest of the text could be a secret that was pasted here by mistake.
            return Err(
                Failure::invalid(format!("key URIs of the kind `{scheme}:` are not supported")).hint("keys live in files: write file:PATH")
            );
        }
        Ok(Self::File(base.join(path)))
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::File(path) = self;
        write!(f, "file:{}", path.display())
    }
}
