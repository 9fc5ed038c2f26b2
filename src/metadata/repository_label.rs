use super::key_names::escaped;
use serde::{Deserialize, Serialize};

/// What people call a repository. In a draft this is a claim of its author: nothing signs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryLabel {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where users reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-512 of its first root's file, in hex: what users of trdl typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_root_sha512: Option<String>,
}

impl RepositoryLabel {
    /// It is shown before people sign: only what is plain to see.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        for text in [&self.name, &self.url, &self.first_root_sha512].into_iter().flatten() {
            if text.is_empty() || text.len() > 300 || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!("the repository is called `{}`", escaped(text)));
            }
        }
        Ok(())
    }
}
