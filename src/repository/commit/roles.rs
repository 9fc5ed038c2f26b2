//! The steps of a commit: each writes one role under a number of its own.

use super::client::as_client;
use super::{Committer, Replacement, listings};
use crate::error::Result;
use crate::metadata::{ROOT_LIMIT, Role, TargetEdits};
use crate::names::{ObjectName, RoleName};
use crate::policy::clocks::Moment;
use crate::repository::draft::Draft;
use crate::repository::numbers::Numbers;
use crate::repository::parallel::each;
use crate::repository::plain_names::{PlainNames, apply};
use crate::repository::present::Present;
use crate::repository::steps::{NewRole, SignedRole, sign_file, sign_snapshot, sign_timestamp, version_after};

impl Committer<'_> {
    /// Signs and writes targets roles, many at once. `None`: another process holds one of their numbers.
    pub(super) fn write_targets(&self, drafts: &[Draft<'_>], numbers: &Numbers<'_>, moment: Moment) -> Result<Option<Vec<NewRole>>> {
        let write = |draft: &Draft<'_>, (): &mut ()| {
            let sign = |version| {
                let (keys, threshold) = &draft.keys;
                let expires = moment.expiry(Role::Targets, draft.replaced);
                let keys = keys.iter().map(|(id, key)| (id.as_str(), key));
                sign_file(self.signers, Role::Targets, (keys, *threshold), version, (draft.content)(version, expires)?)
            };
            let signed = numbers.create(&draft.role, self.above(&draft.role, draft.base), draft.content_id, &sign)?;
            Ok(signed.map(|signed| NewRole { role: draft.role.clone(), signed }))
        };
        Ok(each(drafts, self.storage.properties().parallelism, || Ok(()), write)?.into_iter().collect())
    }

    /// The snapshot step: signs and writes the snapshot that lists `new`. `None`: another process holds its number.
    pub(in crate::repository) fn write_snapshot(
        &self,
        present: &Present,
        new: &[NewRole],
        numbers: &Numbers<'_>,
        moment: Moment,
    ) -> Result<Option<SignedRole>> {
        let (_, snapshot) = listings(present)?;
        let sign = |version| sign_snapshot(present.trust.root(), self.signers, snapshot, new, version, moment);
        let role = Role::Snapshot.into();
        let signed = numbers.create(&role, self.above(&role, present.versions().snapshot), snapshot_content_id(new), &sign)?;
        if let Some(signed) = &signed {
            self.progress.status(&format!("snapshot signed (version {})", signed.version));
        }
        Ok(signed)
    }

    /// The timestamp step: makes the snapshot visible, after reading all that is new as a client would. `None`: another
    /// process was faster.
    pub(in crate::repository) fn write_timestamp(
        &self,
        present: &Present,
        snapshot: Option<SignedRole>,
        new: Vec<NewRole>,
        moment: Moment,
    ) -> Result<Option<Present>> {
        let root = present.trust.root();
        let (timestamp, _) = listings(present)?;
        let version = version_after(Role::Timestamp, self.above(&Role::Timestamp.into(), present.versions().timestamp))?;
        let signed = sign_timestamp(root, self.signers, timestamp, snapshot.as_ref(), version, moment)?;
        let plain_roles = if root.consistent_snapshot() { Vec::new() } else { plain_roles(&new, snapshot.as_ref()) };
        let next = as_client(present, moment.now(), &signed, snapshot, new)?;
        if self.storage.get(&ObjectName::root(root.version() + 1), ROOT_LIMIT)?.is_some() {
            return Ok(None);
        }
        for (name, file) in plain_roles {
            self.storage.put(&name, &file)?;
        }
        self.storage.sync()?;
        self.replacement.map_or(Ok(()), Replacement::publish)?;
        self.witness.map_or(Ok(()), |witness| witness.swaps(signed.version, &signed.bytes))?;
        if !self.swap_timestamp(present, &signed)? {
            return Ok(None);
        }
        self.witness.inspect(|witness| witness.published());
        self.progress.status(&format!("timestamp signed (version {})", signed.version));
        Ok(Some(next))
    }

    /// The version that the next one of a role must be higher than. A bin is written at most once for each snapshot, so
    /// its version is no higher than the snapshot's.
    pub(super) fn above(&self, role: &RoleName, present: u64) -> u64 {
        let of = match role {
            RoleName::Top(role) => *role,
            RoleName::Bins | RoleName::Delegated(_) => Role::Snapshot,
        };
        present.max(self.floor.of(of))
    }

    /// Without consistent snapshots, plain names are what clients read: content comes before the roles that list it.
    pub(super) fn place_plain_targets(&self, edits: &TargetEdits) -> Result<()> {
        // Removals wait until no metadata names the target any more.
        if self.plain_names == PlainNames::Elsewhere {
            return Ok(());
        }
        for (name, target) in edits.iter().filter(|(_, target)| target.is_some()) {
            apply(self.storage, name, target.as_ref(), false, None)?;
        }
        self.storage.sync()
    }
}

/// Stands for what a snapshot is to list anew.
pub(super) fn snapshot_content_id(new: &[NewRole]) -> [u8; 32] {
    let line = |new: &NewRole| format!("{} {} {}\n", new.role, new.signed.version, new.signed.digests.hex());
    openssl::sha::sha256(new.iter().map(line).collect::<String>().as_bytes())
}

/// The role files that clients read by plain name, those that are listed before the one that lists them.
pub(super) fn plain_roles(new: &[NewRole], snapshot: Option<&SignedRole>) -> Vec<(ObjectName, Vec<u8>)> {
    // A bin before the role that lists it, that before the top-level role.
    let order = |new: &&NewRole| match new.role {
        RoleName::Delegated(_) => 0,
        RoleName::Bins => 1,
        RoleName::Top(_) => 2,
    };
    let mut sorted: Vec<&NewRole> = new.iter().collect();
    sorted.sort_by_key(order);
    let targets = sorted.into_iter().map(|new| (ObjectName::plain_role(&new.role), new.signed.bytes.clone()));
    targets.chain(snapshot.map(|signed| (ObjectName::plain_role(Role::Snapshot), signed.bytes.clone()))).collect()
}
