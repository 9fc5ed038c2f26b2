//! What a command works with: a repository on a store, the keys by reference, the memory of versions, what is known about the
//! store, the clock.

mod builder;
mod clocks;
mod commit;
mod conditions;
mod keyring;
mod memory;
mod public_copy;
mod signers;
mod state_document;

pub use conditions::StoreFacts;
pub use keyring::Keyring;
pub use memory::{Learned, Recall, VersionMemory};
pub use state_document::StateDocument;

pub(super) use memory::{Past, identity};
pub(super) use signers::bins_unsigned;
pub(super) use state_document::Reading;

use super::workers::{Shared, Workers};
use crate::digest::Digests;
use crate::error::{Error, Id, Kind, Result};
use crate::files::read_given;
use crate::keys::KEY_FILES_MISSING;
use crate::metadata::{Lifetimes, ROOT_LIMIT, RepositoryLabel, Role, Target};
use crate::names::ObjectName;
use crate::repository::{PlainNames, Present, Progress, Versions, load};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Everything an operation works with. [`Publisher::new`] makes one; the methods `with_…` set what is not the default.
pub struct Publisher {
    pub(super) storage: Box<dyn Storage>,
    /// The file of the root from which the repository is verified.
    pub(super) pinned_root: PathBuf,
    pub(super) keyring: Keyring,
    pub(super) memory: VersionMemory,
    pub(super) conditions: StoreFacts,
    pub(super) label: RepositoryLabel,
    pub(super) lifetimes: Lifetimes,
    pub(super) plain_names: PlainNames,
    /// SHA-512 beside SHA-256 for new targets.
    pub(super) sha512: bool,
    /// Take an older state than the one seen before.
    pub(super) accept_rollback: bool,
    /// The operator's statement which versions clients have seen.
    pub(super) versions_above: Versions,
    clock: Box<Clock>,
    /// Set once a wrong clock was reported: once for each command.
    clock_reported: OnceLock<()>,
    pub(super) progress: Box<dyn Progress>,
    /// What this process shares with others that work on the repository.
    pub(super) shared: Shared,
    /// Who signs, if it is not this process.
    pub(super) workers: Option<Workers>,
}

/// Gives the present time.
pub type Clock = dyn Fn() -> DateTime<Utc> + Send + Sync;

/// More versions than a worker can have signed since it last saw what was published.
const LAG: u64 = 100;

impl Publisher {
    /// The clock.
    pub(in crate::operation) fn clock(&self) -> &Clock {
        self.clock.as_ref()
    }

    /// The clock's time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The pinned root file.
    pub fn pinned(&self) -> Result<Vec<u8>> {
        read_pinned_root(&self.pinned_root)
    }

    /// Loads and verifies the published state, and refuses one that is older than the state seen before.
    pub fn load(&self) -> Result<Present> {
        let pinned = self.pinned()?;
        // Before the repository: another publisher on this machine may remember a newer state while we read.
        let asking = self.ask_public(&pinned);
        let seen = self.seen(&pinned);
        let asked = asking.is_some();
        let present = load(self.storage.as_ref(), &pinned, self.now())?;
        match self.check_seen(&present, seen.clone(), asking) {
            Ok(()) => Ok(present),
            // Another publisher may have committed after this was read, and before users were served what it is compared with.
            Err(_) if asked => {
                let present = load(self.storage.as_ref(), &pinned, self.now())?;
                self.check_seen(&present, seen, None).map(|()| present)
            }
            Err(older) => Err(older),
        }
    }

    /// The versions that clients have seen, where the repository is older and that was accepted: a restored backup goes on
    /// above them, or clients would refuse it for ever.
    pub(in crate::operation) fn floor(&self) -> Versions {
        let mut floor = if self.accept_rollback { self.seen_versions().unwrap_or_default() } else { Versions::default() };
        if self.workers.is_some() && floor != Versions::default() {
            // A worker remembers the state that it began with, and has not seen what became of its last signatures.
            floor = Versions { root: 0, targets: floor.targets + LAG, snapshot: floor.snapshot + LAG, timestamp: floor.timestamp + LAG };
        }
        floor.newest(&self.versions_above)
    }

    /// Whether new versions skip some, because the published state is older than the one that clients have seen. Every online
    /// role must follow then, and every bin: clients refuse each of them that is older than they know it.
    pub(in crate::operation) fn signs_above(&self, present: &Present) -> bool {
        let (now, floor) = (present.versions(), self.floor());
        let rolled_back = self.accept_rollback && self.seen_versions().is_some_and(|seen| seen.root > now.root);
        rolled_back || Role::ONLINE.iter().any(|role| floor.of(*role) > now.of(*role))
    }

    /// The content of a small target such as a channel, from whichever of its names holds it.
    pub(in crate::operation) fn read_small(&self, name: &str, target: &Target) -> Result<Option<Vec<u8>>> {
        let hashed = target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash));
        for place in hashed.chain([ObjectName::plain_target(name)]) {
            if let Some(object) = self.storage.get(&place, 4096)?
                && target.matches(&Digests::both_of(&object.bytes))
            {
                return Ok(Some(object.bytes));
            }
        }
        Ok(None)
    }

    /// Refuses to build on an expired root: clients refuse everything below it.
    pub(in crate::operation) fn check_root(&self, present: &Present) -> Result<()> {
        let root = present.trust.root();
        if root.expires() > self.now() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Untrusted,
            format!(
                "the root expired on {}; clients refuse everything until it is renewed",
                crate::metadata::format_expiry(root.expires())
            ),
        )
        .id(Id::RootExpired)
        .hint("renew it, then run this command again: publish refresh"))
    }
}

/// Reads the file of the pinned root.
pub(crate) fn read_pinned_root(path: &Path) -> Result<Vec<u8>> {
    read_given(path, ROOT_LIMIT).map_err(|error| {
        Error::io("read the pinned root", path.display(), error)
            .hint(KEY_FILES_MISSING)
            .hint("where no repository was made yet, `publish init` makes it, with keys and repository")
    })
}
