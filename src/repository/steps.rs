//! The three steps of a commit, each for one role with that role's keys only: the same code signs in one process and in
//! separate workers.

use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::keys::{RoleSigner, Signers, sign_all};
use crate::metadata::canonical::canonical;
use crate::metadata::{LAST_VERSION, Listing, MetaFile, PublicKey, Role, Root, TargetEdits, Targets, seal};
use crate::names::RoleName;
use crate::policy::clocks::Moment;
use std::fmt::Display;
use std::sync::Arc;

/// A signed role file with what the next role lists of it. The bytes hashed are the bytes written.
#[derive(Clone, Debug)]
pub struct SignedRole {
    /// The role's version.
    pub version: u64,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Of the file.
    pub digests: Digests,
}

/// A targets role that a commit writes: `targets`, or one that it delegates to.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Its name.
    pub role: RoleName,
    /// Its file.
    pub signed: SignedRole,
}

impl SignedRole {
    /// A file that another process has signed.
    pub fn of(version: u64, bytes: Vec<u8>) -> Self {
        Self { version, digests: Digests::of(&bytes), bytes }
    }

    fn listed(&self) -> MetaFile {
        MetaFile::of(self.version, &self.digests)
    }
}

/// Signs the targets role that follows `present`.
pub fn sign_targets(
    root: &Root,
    signers: &Signers,
    present: &Targets,
    edits: &TargetEdits,
    version: u64,
    moment: Moment,
) -> Result<SignedRole> {
    let signed = present.edited(version, moment.expiry(Role::Targets, Some(present.expires())), edits)?;
    sign_file(signers, Role::Targets, keys_of(root, Role::Targets), version, signed)
}

/// Signs the snapshot that lists `new` roles, and all others as before.
pub fn sign_snapshot(
    root: &Root,
    signers: &Signers,
    present: &Listing,
    new: &[NewRole],
    version: u64,
    moment: Moment,
) -> Result<SignedRole> {
    let entries = new.iter().map(|new| (format!("{}.json", new.role), new.signed.listed()));
    let next = present.next(version, moment.expiry(Role::Snapshot, Some(present.expires())), entries);
    if next.get("targets.json").is_none() {
        return Err(Error::new(Kind::Untrusted, "the snapshot does not list targets.json"));
    }
    sign_file(signers, Role::Snapshot, keys_of(root, Role::Snapshot), version, next.to_signed_json())
}

/// Signs the timestamp that lists `snapshot` (`None`: as before).
pub fn sign_timestamp(
    root: &Root,
    signers: &Signers,
    present: &Listing,
    snapshot: Option<&SignedRole>,
    version: u64,
    moment: Moment,
) -> Result<SignedRole> {
    let listed = snapshot.map(SignedRole::listed).or_else(|| present.get("snapshot.json").cloned());
    let listed = listed.ok_or_else(|| Error::new(Kind::Untrusted, "the timestamp does not list snapshot.json"))?;
    let expires = moment.expiry(Role::Timestamp, Some(present.expires()));
    let next = present.next(version, expires, [("snapshot.json".to_owned(), listed)]);
    sign_file(signers, Role::Timestamp, keys_of(root, Role::Timestamp), version, next.to_signed_json())
}

/// The version after this one.
///
/// # Errors
/// When no client would read it: an attacker has raised the versions.
pub fn version_after(role: impl Display, version: u64) -> Result<u64> {
    if version < LAST_VERSION {
        return Ok(version + 1);
    }
    Err(Error::new(Kind::Untrusted, format!("{role} is at version {version}, and clients read none above {LAST_VERSION}"))
        .hint("if an attacker with stolen keys did that, replace the keys and reset the versions: docs/recovery.md"))
}

/// The keys of a role, and how many must sign.
fn keys_of(root: &Root, role: Role) -> (impl Iterator<Item = (&str, &PublicKey)>, u64) {
    (root.keys_of(role), root.role(role).threshold)
}

/// Signs a file with the signers of a role that are among its keys.
pub(super) fn sign_file<'k>(
    signers: &Signers,
    role: Role,
    (keys, threshold): (impl Iterator<Item = (&'k str, &'k PublicKey)>, u64),
    version: u64,
    signed: Vec<u8>,
) -> Result<SignedRole> {
    let at_hand: &[Arc<dyn RoleSigner>] = signers.get(&role).map_or(&[], Vec::as_slice);
    let signatures = sign_all(&canonical(&signed)?, at_hand, keys, threshold)?;
    Ok(SignedRole::of(version, seal(&signed, &signatures)))
}

/// Refuses to start work that could not be signed: for each role, enough of the keys at hand must be keys of the role.
pub fn check_signers(root: &Root, signers: &Signers, roles: &[Role]) -> Result<()> {
    for role in roles {
        let at_hand: &[Arc<dyn RoleSigner>] = signers.get(role).map_or(&[], Vec::as_slice);
        let fitting = root.keys_of(*role).filter(|(_, key)| at_hand.iter().any(|signer| signer.public().same_material(key))).count() as u64;
        let threshold = root.role(*role).threshold;
        if fitting >= threshold {
            continue;
        }
        let mut failure = Error::invalid(format!(
            "role {role} needs {threshold} signature{} and {fitting} of the configured keys can sign it",
            if threshold == 1 { "" } else { "s" }
        ));
        for (id, _) in root.keys_of(*role) {
            failure = failure.detail(format!("the root names: {id}"));
        }
        for signer in at_hand {
            let other = Role::ALL.iter().find(|other| root.keys_of(**other).any(|(_, key)| key.same_material(signer.public())));
            let of = other.map_or("of no role".to_owned(), |other| format!("of {other}"));
            failure = failure.detail(format!("configured:     {} in {} ({of})", signer.public().id(), signer.origin()));
        }
        return Err(failure.hint(format!("check `keys: {role}:` in the config")));
    }
    Ok(())
}
