//! Numbered role files: the process that creates a number owns it, permanently. The content of a number is signed for that number.

use super::steps::{SignedRole, version_after};
use crate::error::{Error, Kind, Result};
use crate::names::{ObjectName, RoleName};
use crate::storage::{Rivals, Storage};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Where it is not known whether the owner of a number still runs, it has this long to commit: by the store's clock since
/// it wrote the number, or by ours since we first saw it, whichever is over first. Waiting saves work and
/// is not needed for safety: a publisher that goes on too early loses the swap, and one that waits too long loses time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The numbers that one commit meets, over all its attempts.
pub(super) struct Numbers<'a> {
    storage: &'a dyn Storage,
    /// Held by another process, and since when we know.
    rivals: Mutex<HashMap<ObjectName, Instant>>,
    /// Written by us in an earlier attempt, by role and the version they follow.
    ours: Mutex<HashMap<(RoleName, u64), Ours>>,
}

#[derive(Clone)]
struct Ours {
    signed: SignedRole,
    /// What was requested then; the same request gets the same file.
    content_id: [u8; 32],
}

impl<'a> Numbers<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, rivals: Mutex::default(), ours: Mutex::default() }
    }

    /// Creates the first free version of `role` after `base`. `content_id` describes the content except its version and
    /// expiry. `None`: the number's owner may be about to commit.
    pub(super) fn create(
        &self,
        role: &RoleName,
        base: u64,
        content_id: [u8; 32],
        sign: &dyn Fn(u64) -> Result<SignedRole>,
    ) -> Result<Option<SignedRole>> {
        let known = self.ours.lock().unwrap_or_else(PoisonError::into_inner).get(&(role.clone(), base)).cloned();
        if let Some(ours) = known.filter(|ours| ours.content_id == content_id) {
            return Ok(Some(ours.signed));
        }
        let mut version = version_after(role, base)?;
        let mut retries = 0;
        loop {
            let signed = sign(version)?;
            let name = ObjectName::versioned(role, version);
            if self.storage.create(&name, &signed.bytes)? {
                return Ok(Some(self.keep(role, base, content_id, signed)));
            }
            let Some(taken) = self.storage.stat(&name)? else {
                // Some stores answer a conflict while another request is in flight.
                retries += 1;
                if retries > 3 {
                    let place = self.storage.location();
                    return Err(Error::new(Kind::Storage, format!("{place} refuses {name} although there is no such object")));
                }
                continue;
            };
            let is_same = taken.length == signed.bytes.len() as u64
                && self.storage.get(&name, taken.length)?.is_some_and(|object| object.bytes == signed.bytes);
            if is_same {
                return Ok(Some(self.keep(role, base, content_id, signed)));
            }
            if !self.wrote(role, version) && self.owner_may_live(name, taken.modified)? {
                return Ok(None);
            }
            version = self.next_free(role, version)?;
        }
    }

    fn keep(&self, role: &RoleName, base: u64, content_id: [u8; 32], signed: SignedRole) -> SignedRole {
        let ours = Ours { signed: signed.clone(), content_id };
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert((role.clone(), base), ours);
        signed
    }

    fn wrote(&self, role: &RoleName, version: u64) -> bool {
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        ours.iter().any(|((known, _), ours)| known == role && ours.signed.version == version)
    }

    fn owner_may_live(&self, name: ObjectName, written: SystemTime) -> Result<bool> {
        let watched = self.rivals.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert_with(Instant::now).elapsed();
        let patient = watched < PATIENCE && written.elapsed().is_ok_and(|age| age < PATIENCE);
        Ok(patient && self.storage.rivals()? != Rivals::Nobody)
    }

    fn next_free(&self, role: &RoleName, taken: u64) -> Result<u64> {
        let mut version = version_after(role, taken)?;
        while self.storage.stat(&ObjectName::versioned(role, version))?.is_some() {
            version = version_after(role, version)?;
        }
        Ok(version)
    }
}
