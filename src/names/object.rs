use super::{RELEASES, Role, RoleName};
use crate::error::{Error, Kind, Result};
use std::fmt;

/// The name of a stored object, relative to the repository's root, with `/` between parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// `timestamp.json`, the commit point; the only role file that is always unversioned.
    pub fn timestamp() -> Self {
        Self::plain_role(Role::Timestamp)
    }

    /// `<version>.root.json`.
    pub fn root(version: u64) -> Self {
        Self::versioned(Role::Root, version)
    }

    /// `<version>.<role>.json`.
    pub fn versioned(role: impl fmt::Display, version: u64) -> Self {
        Self(format!("{version}.{role}.json"))
    }

    /// `<role>.json`.
    pub fn plain_role(role: impl fmt::Display) -> Self {
        Self(format!("{role}.json"))
    }

    /// `targets/<dir>/<hash>.<name>`: what clients fetch when the root has `consistent_snapshot`.
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

    /// `probe/<unique>/…`: where a store is tried out.
    pub fn probe(unique: &str, name: &str) -> Self {
        Self(format!("probe/{unique}/{name}"))
    }

    /// Whether it is such a name.
    pub fn is_probe(&self) -> bool {
        self.0.starts_with("probe/")
    }

    /// Whether the object keeps its content for ever once it is there: numbered role files, hashed targets, and the files
    /// of a release, whose version is never used again.
    pub fn is_immutable(&self) -> bool {
        let Some(target) = self.0.strip_prefix("targets/") else {
            return self.numbered().is_some();
        };
        let file = target.rsplit_once('/').map_or(target, |(_, file)| file);
        target.starts_with(RELEASES) || is_hash_prefixed(file)
    }

    /// The target whose content this object holds, under its plain name or a hashed one.
    pub fn target(&self) -> Option<String> {
        let target = self.0.strip_prefix("targets/")?;
        let (directory, file) = target.rsplit_once('/').map_or(("", target), |(_, file)| (&target[..target.len() - file.len()], file));
        let plain = if is_hash_prefixed(file) { file.split_once('.').map_or(file, |(_, plain)| plain) } else { file };
        Some(format!("{directory}{plain}"))
    }

    /// Whether its name has the form of a hashed target's.
    pub fn is_hashed_target(&self) -> bool {
        self.0.starts_with("targets/") && self.0.rsplit('/').next().is_some_and(is_hash_prefixed)
    }

    /// The role and version of a numbered role file.
    pub fn numbered(&self) -> Option<(RoleName, u64)> {
        let (number, rest) = self.0.split_once('.')?;
        let role = rest.strip_suffix(".json").filter(|role| !role.is_empty() && !role.contains('/'))?;
        Some((RoleName::of(role), number.parse().ok().filter(|version: &u64| version.to_string() == number)?))
    }

    /// A name as found in a listing.
    pub fn listed(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Refuses names that lead out of the repository: they come from metadata that another process may have written.
    pub fn check(&self) -> Result<()> {
        if self.0.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains('\0')) {
            let name = self.0.escape_debug();
            return Err(Error::new(Kind::Untrusted, format!("object name `{name}` is outside the repository")));
        }
        Ok(())
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

/// Whether a file's name has the form of a hashed target's.
pub(super) fn is_hash_prefixed(file: &str) -> bool {
    file.split_once('.').is_some_and(|(hash, _)| is_hash(hash))
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 64 | 128) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{ObjectName, RoleName};
    use crate::names::Role;

    #[test]
    fn a_numbered_role_file_is_its_role_and_version() {
        let numbered = |name: &str| ObjectName::listed(name).numbered();
        assert_eq!(numbered("3.root.json"), Some((RoleName::Top(Role::Root), 3)));
        assert_eq!(numbered("12.bins.json"), Some((RoleName::Bins, 12)));
        assert_eq!(numbered("1.a.b.json"), Some((RoleName::Delegated("a.b".into()), 1)));
        for strange in ["root.json", "03.root.json", "x.root.json", "1..json", "1.a/b.json", "1.root", "99999999999999999999.root.json"] {
            assert_eq!(numbered(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_target_is_found_behind_both_of_its_names() {
        let hash = "ab".repeat(32);
        for name in ["a.zip", "dir/a.zip"] {
            let hashed = ObjectName::hashed_target(name, &hash);
            assert!(hashed.is_hashed_target() && hashed.is_immutable());
            assert_eq!((hashed.target().as_deref(), ObjectName::plain_target(name).target().as_deref()), (Some(name), Some(name)));
        }
        assert!(
            ObjectName::plain_target("releases/1.0.0/any-any/a").is_immutable()
                && !ObjectName::plain_target("channels/1/stable").is_immutable()
        );
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../x", "a/../x", "/x", "a//x", "a/./x", "a/", "a\0b"] {
            assert!(ObjectName::listed(name).check().is_err(), "{name}");
        }
        assert!(ObjectName::root(1).check().is_ok());
    }
}
