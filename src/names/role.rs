use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The name of the role that lists hashed bins.
pub const BINS: &str = "bins";

/// The four top-level roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Names all keys; its versions are contiguous and kept for ever.
    Root,
    /// Lists the targets.
    Targets,
    /// Lists the versions of all targets roles.
    Snapshot,
    /// Names the snapshot; changing it is the commit.
    Timestamp,
}

impl Role {
    /// In the order in which a repository is set up.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];
    /// Those that every publication signs, in the order in which they are written.
    pub const ONLINE: [Self; 3] = [Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The name in metadata and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The name of any role: one of the four, or one that targets are delegated to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// A top-level role.
    Top(Role),
    /// The role that lists hashed bins.
    Bins,
    /// Another role that targets are delegated to, by the name that the delegation gives it.
    Delegated(String),
}

impl RoleName {
    /// The role of this name. Every text is one: clients read delegations to roles of any name.
    pub fn of(name: &str) -> Self {
        match Role::ALL.into_iter().find(|role| role.name() == name) {
            Some(role) => Self::Top(role),
            None if name == BINS => Self::Bins,
            None => Self::Delegated(name.to_owned()),
        }
    }

    /// The name in metadata and file names.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Top(role) => role.name(),
            Self::Bins => BINS,
            Self::Delegated(name) => name,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        Self::Top(role)
    }
}

impl PartialEq<Role> for RoleName {
    fn eq(&self, other: &Role) -> bool {
        *self == Self::Top(*other)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::of(&name))
    }
}
