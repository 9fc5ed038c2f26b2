use super::Versions;
use crate::failure::{Failure, Kind, Result};
use crate::metadata::Role;
use crate::storage::{Conditions, RawPlus};
use serde::{Deserialize, Serialize};

/// The highest versions this publisher has seen of a repository. An older state is somebody's rollback, or a restored
/// backup; publishing on top of it would launder it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// SHA-256 of the pinned root, in hex: which repository this is about.
    pub pinned: String,
    /// The versions.
    pub versions: Versions,
    /// What a probe found out about the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<KnownStore>,
}

/// What a probe found out about a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownStore {
    /// Location and endpoint: which store this is about.
    pub identity: String,
    /// Whether it refuses what it must.
    pub conditions: Conditions,
    /// Whether clients get objects with `+` in their names, if that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_plus: Option<RawPlus>,
}

impl Seen {
    /// Refuses versions below those seen.
    pub fn check(&self, now: &Versions) -> Result<()> {
        let back: Vec<String> = Role::ALL
            .iter()
            .filter(|role| now.of(**role) < self.versions.of(**role))
            .map(|role| format!("{role}: version {} there, version {} was seen before", now.of(*role), self.versions.of(*role)))
            .collect();
        if back.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Kind::Untrusted, "the repository is in an older state than this publisher has seen")
            .details(back)
            .hint("if a backup was restored on purpose: publish refresh --all --accept-rollback; versions go on above those that readers have seen"))
    }
}
