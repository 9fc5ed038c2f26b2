use std::fmt;

/// The name of a stored object, relative to the repository's root, with `/` between parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// `timestamp.json`, the commit point; the only role file that is always unversioned.
    pub fn timestamp() -> Self {
        Self("timestamp.json".into())
    }

    /// `<version>.<role>.json`.
    pub fn versioned(role: &str, version: u64) -> Self {
        Self(format!("{version}.{role}.json"))
    }

    /// `<role>.json`.
    pub fn plain_role(role: &str) -> Self {
        Self(format!("{role}.json"))
    }

    /// `targets/<dir>/<hash>.<name>`: what clients fetch when the root says `consistent_snapshot`.
    pub fn hashed_target(name: &str, hash: &str) -> Self {
        match name.rsplit_once('/') {
            Some((directory, file)) => Self(format!("targets/{directory}/{hash}.{file}")),
            None => Self(format!("targets/{hash}.{name}")),
        }
    }

    /// `targets/<dir>/<name>`.
    pub fn plain_target(name: &str) -> Self {
        Self(format!("targets/{name}"))
    }

    /// `plain.json`: the targets version whose plain names are fully in place.
    pub fn plain_marker() -> Self {
        Self("plain.json".into())
    }

    /// A name as found in a listing.
    pub fn listed(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
