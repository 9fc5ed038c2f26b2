use super::Versions;
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Role;
use crate::storage::{Conditions, RawPlus};
use serde::{Deserialize, Serialize};

/// The form of the file that [`Memory`] is kept in.
const SCHEMA: u64 = 2;
/// So many repositories are remembered; the one that was not used for the longest time is forgotten.
const MOST: usize = 64;

/// The highest versions that a publisher has seen of each repository that it works on. An older state is a rollback by an
/// attacker, or a restored backup; publishing on top of it would launder it.
///
/// What was seen belongs to a repository *and* a location: a staging copy has the same root, and other versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    schema: u64,
    repositories: Vec<Seen>,
}

/// What was seen of one repository at one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// SHA-256 of the pinned root, in hex: which repository this is about.
    pub pinned: String,
    /// Where it was seen. Without one it is about the location in the config: earlier versions of this program kept no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The versions.
    pub versions: Versions,
    /// What a probe found out about the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<KnownStore>,
}

/// A location, as entries of [`Memory`] are found by it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Tells it from all others.
    pub location: &'a str,
    /// Whether it is the one in the config.
    pub configured: bool,
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

impl Default for Memory {
    fn default() -> Self {
        Self { schema: SCHEMA, repositories: Vec::new() }
    }
}

impl Memory {
    /// Reads the file, also in the form that holds one repository; `None` if it cannot be read.
    pub fn parse(file: &[u8]) -> Option<Self> {
        if let Ok(memory) = serde_json::from_slice::<Self>(file) {
            return (memory.schema == SCHEMA).then_some(memory);
        }
        let mut seen: Seen = serde_json::from_slice(file).ok()?;
        // A bucket's is known from what was found out about it.
        seen.location = seen.store.as_ref().map(|store| &store.identity).filter(|identity| identity.contains("://")).cloned();
        Some(Self { repositories: vec![seen], ..Self::default() })
    }

    /// The file.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
    }

    /// What was seen of a repository at a place.
    pub fn of(&self, pinned: &str, place: Place<'_>) -> Option<&Seen> {
        let exact = self.repositories.iter().find(|seen| seen.pinned == pinned && seen.location.as_deref() == Some(place.location));
        exact.or_else(|| self.repositories.iter().find(|seen| place.configured && seen.pinned == pinned && seen.location.is_none()))
    }

    /// What was seen published of a repository, wherever that was.
    pub fn published(&self, pinned: &str) -> Option<&Seen> {
        self.repositories.iter().find(|seen| seen.pinned == pinned && seen.versions.timestamp > 0)
    }

    /// What was seen published at a place, whichever repository it was.
    pub fn published_at(&self, place: Place<'_>) -> Option<&Seen> {
        let here = |seen: &&Seen| seen.location.as_deref().map_or(place.configured, |location| location == place.location);
        self.repositories.iter().find(|seen| here(seen) && seen.versions.timestamp > 0)
    }

    /// What is known about a store, whichever repository it was found out with.
    pub fn store(&self, identity: &str) -> Option<&KnownStore> {
        self.repositories.iter().filter_map(|seen| seen.store.as_ref()).find(|store| store.identity == identity)
    }

    /// Keeps what was seen of a repository at a place, instead of what was known.
    pub fn keep(&mut self, seen: Seen, place: Place<'_>) {
        let seen = Seen { location: Some(place.location.to_owned()), ..seen };
        self.repositories.retain(|known| {
            let same = known.location == seen.location || (place.configured && known.location.is_none());
            !(same && known.pinned == seen.pinned)
        });
        self.repositories.push(seen);
        let surplus = self.repositories.len().saturating_sub(MOST);
        self.repositories.drain(..surplus);
    }
}

impl Versions {
    /// Refuses versions at `here` below these, which `witness` has seen.
    pub fn check_not_below(&self, now: &Self, here: &str, witness: &str) -> Result<()> {
        let back: Vec<String> = Role::ALL
            .iter()
            .filter(|role| now.of(**role) < self.of(**role))
            .map(|role| format!("{role}: version {} there, version {} was seen before", now.of(*role), self.of(*role)))
            .collect();
        if back.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Untrusted, format!("the repository at {here} is in an older state than {witness}"))
            .id(Id::Rollback)
            .details(back)
            .hint("if a backup was restored on purpose: publish refresh --accept-rollback; it signs every online role above the versions that clients have seen"))
    }
}
