use super::{Clock, Keyring, Publisher, StoreFacts, VersionMemory};
use crate::keys::Passphrases;
use crate::metadata::{Lifetimes, RepositoryLabel};
use crate::operation::workers::{Shared, Workers};
use crate::repository::{PlainNames, Progress, Quiet, Versions};
use crate::storage::Storage;
use chrono::Utc;
use std::path::PathBuf;
use std::sync::OnceLock;

impl Publisher {
    /// A publisher that signs itself, with the clock of this machine, without output. `pinned_root` is the file of the root from
    /// which the repository is verified.
    pub fn new(storage: Box<dyn Storage>, pinned_root: PathBuf, keyring: Keyring, memory: VersionMemory, shared: Shared) -> Self {
        Self {
            storage,
            pinned_root,
            keyring,
            memory,
            conditions: StoreFacts::default(),
            label: RepositoryLabel::default(),
            lifetimes: Lifetimes::default(),
            plain_names: PlainNames::default(),
            sha512: false,
            accept_rollback: false,
            versions_above: Versions::default(),
            clock: Box::new(Utc::now),
            clock_reported: OnceLock::new(),
            progress: Box::new(Quiet),
            shared,
            workers: None,
        }
    }

    /// Works on another store.
    #[must_use]
    pub fn with_storage(self, storage: Box<dyn Storage>) -> Self {
        Self { storage, ..self }
    }

    /// Verifies from the root in another file.
    #[must_use]
    pub fn with_pinned_root(self, pinned_root: PathBuf) -> Self {
        Self { pinned_root, ..self }
    }

    /// Changes which keys are used.
    #[must_use]
    pub fn with_keys(mut self, change: impl FnOnce(&mut Keyring)) -> Self {
        change(&mut self.keyring);
        self
    }

    /// Changes what is remembered, and where.
    #[must_use]
    pub fn with_memory(mut self, change: impl FnOnce(&mut VersionMemory)) -> Self {
        change(&mut self.memory);
        self
    }

    /// Takes over what the config states about the store.
    #[must_use]
    pub fn with_store_facts(self, conditions: StoreFacts) -> Self {
        Self { conditions, ..self }
    }

    /// What people call the repository.
    #[must_use]
    pub fn with_label(self, label: RepositoryLabel) -> Self {
        Self { label, ..self }
    }

    /// How long what is signed is valid.
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// Which plain names to keep.
    #[must_use]
    pub fn with_plain_names(self, plain_names: PlainNames) -> Self {
        Self { plain_names, ..self }
    }

    /// SHA-512 beside SHA-256 for new targets.
    #[must_use]
    pub fn with_sha512(self, sha512: bool) -> Self {
        Self { sha512, ..self }
    }

    /// Takes an older state than the one seen before.
    #[must_use]
    pub fn accepting_rollback(self, accept_rollback: bool) -> Self {
        Self { accept_rollback, ..self }
    }

    /// Signs above these versions, which clients have seen as the operator states.
    #[must_use]
    pub fn signing_above(self, versions_above: Versions) -> Self {
        Self { versions_above, ..self }
    }

    /// Reads the time from another clock.
    #[must_use]
    pub fn with_clock(self, clock: Box<Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Reports how far things are.
    #[must_use]
    pub fn with_progress(self, progress: Box<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Lets workers sign.
    #[must_use]
    pub fn with_workers(self, workers: Option<Workers>) -> Self {
        Self { workers, ..self }
    }

    /// The store.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What opened its keys, for another publisher: no passphrase is requested again.
    pub fn into_passphrases(self) -> Box<dyn Passphrases> {
        self.keyring.passphrases
    }

    /// The memory of versions.
    pub fn memory(&self) -> &VersionMemory {
        &self.memory
    }

    /// The name and address of the repository.
    pub fn label(&self) -> &RepositoryLabel {
        &self.label
    }

    /// What this process shares with others that work on the repository.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether workers sign.
    pub fn has_workers(&self) -> bool {
        self.workers.is_some()
    }
}
