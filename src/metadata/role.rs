use std::fmt;

/// The `spec_version` that we write; every client we know reads it.
pub const SPEC_VERSION: &str = "1.0.0";

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
