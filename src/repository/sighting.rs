use super::{Present, Versions};
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Role;
use crate::metadata::trust::TrustedMetadata;

/// What was published somewhere at some time: the versions of all roles, and what the two roles say that list the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The versions.
    pub versions: Versions,
    /// SHA-256 of the timestamp and of the snapshot, without their signatures.
    listings: Option<[[u8; 32]; 2]>,
}

impl Sighting {
    /// What a client trusts that has read both listings.
    pub(super) fn of(trust: &TrustedMetadata) -> Self {
        let digest = |listing: &crate::metadata::Listing| openssl::sha::sha256(&listing.to_signed_json());
        let listings = trust.listings().map(|(timestamp, snapshot)| [digest(timestamp), digest(snapshot)]);
        Self { versions: super::present::versions_of(trust), listings }
    }

    /// Refuses a repository at `here` that is older than this, which was seen at `there`; and one that has other content
    /// under the same version: there it was rolled back, and published on top of that.
    pub fn check_not_below(&self, present: &Present, here: &str, there: &str) -> Result<()> {
        let now = Self::of(&present.trust);
        self.versions.check_not_below(&now.versions, here, &format!("{there} serves"))?;
        let (Some(seen), Some(found)) = (&self.listings, &now.listings) else { return Ok(()) };
        for (at, role) in [Role::Timestamp, Role::Snapshot].into_iter().enumerate() {
            let version = self.versions.of(role);
            if version == now.versions.of(role) && seen[at] != found[at] {
                return Err(Error::new(
                    Kind::Untrusted,
                    format!("the repository at {here} has another {role} version {version} than {there} serves"),
                )
                .id(Id::Rollback)
                .detail("both are signed with its keys: the repository was put back to an older state, and something was published on top of it")
                .hint("compare the two with `publish verify` and `publish verify URL`; publish again what is missing here")
                .hint("then sign above what clients have seen: publish refresh --all --accept-rollback"));
            }
        }
        Ok(())
    }
}
