//! What this publisher remembers of repositories, so that it does not build on an older state than it has seen.
//!
//! Memory that is missing, empty or cannot be read stops no command: it is learned again from the repository, and from the
//! place where users reach it, which an attacker would have to put back as well. Both are verified from the pinned root.
//! Until then a rollback is not detected, so there is a warning.

use super::bounded::within;
use super::{Workspace, own_file};
use crate::failure::Result;
use crate::files::read_regular;
use crate::metadata::{Envelope, Role};
use crate::repository::{KnownStore, Memory, Place, Present, Seen, Versions, load_versions};
use crate::storage::HttpSource;
use chrono::{DateTime, Utc};
use std::sync::OnceLock;
use std::time::Duration;

/// Asking the public copy takes no longer than this; it is a help, not a condition.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where memory is learned from when there is none.
#[derive(Debug)]
pub struct Recall {
    /// Whether the repository is the one that the config names, which what was remembered without a location is about.
    pub configured: bool,
    /// Where users reach the repository over http(s).
    pub public_url: Option<String>,
    /// What this run has learned.
    pub learned: OnceLock<Versions>,
}

/// What `init` notes before it pins a root: nothing is published below it yet.
const BEGUN: Versions = Versions { root: 1, targets: 0, snapshot: 0, timestamp: 0 };

/// What is remembered that forbids, or allows, to publish first roles.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The timestamp that was seen at this location.
    pub here: Option<u64>,
    /// `init` began here, and nothing that was published is remembered.
    pub begun: bool,
    /// Where the repository was seen, if it was.
    pub elsewhere: Option<String>,
}

impl Default for Recall {
    fn default() -> Self {
        Self { configured: true, public_url: None, learned: OnceLock::new() }
    }
}

impl Workspace {
    /// Refuses a state that is older than the one seen before. `seen` was read before the repository was: another publisher on
    /// this machine may remember a newer state while we read.
    pub(super) fn check_seen(&self, pinned: &[u8], present: &Present, seen: Option<Seen>) -> Result<()> {
        let (versions, learned) = match (seen, self.recall.learned.get()) {
            (Some(seen), _) => (seen.versions, false),
            (None, Some(learned)) => (*learned, true),
            (None, None) => (self.learn(pinned, present), true),
        };
        // Clients forget versions from before a root that replaced the keys of all of them, and so do we.
        if present.trust.reset_at().is_some_and(|root| root > versions.root) {
            return if learned { Ok(()) } else { self.start_over(present) };
        }
        if self.accept_rollback {
            return Ok(());
        }
        let url = self.recall.public_url.as_deref().filter(|_| learned);
        let witness = url.map_or("this publisher has seen".to_owned(), |url| format!("{url} serves"));
        versions.check_not_below(&present.versions(), &witness)
    }

    /// Learns again what was forgotten, and warns.
    fn learn(&self, pinned: &[u8], present: &Present) -> Versions {
        let (public, from) = match &self.recall.public_url {
            None if !self.recall.configured => {
                self.progress.warning(&format!(
                    "no versions are remembered for {}, and `public_url` belongs to the configured location, so a rollback cannot be detected in this run",
                    self.storage.location()
                ));
                let _ = self.recall.learned.set(present.versions());
                return Versions::default();
            }
            None => (None, "the config has no `public_url` to compare it with".to_owned()),
            Some(url) => match ask(url, pinned, self.now()) {
                Ok(versions) => (Some(versions), format!("it was compared with {url}")),
                Err(why) => (None, format!("{url} could not be read: {why}")),
            },
        };
        let file = self.state_file.display();
        let lost = match read_regular(&self.state_file) {
            Ok(content) if Memory::parse(&content).is_some() => format!("no versions are remembered for {}", self.storage.location()),
            Err(_) if !self.state_file.exists() => format!("{file} is missing"),
            _ => format!("{file} cannot be read"),
        };
        self.progress.warning(&format!(
            "{lost}: {from}. A rollback to an older state before this run would not be detected; keep the file between runs"
        ));
        // What was served before a root that replaced the keys of all roles does not count.
        let learned = public.filter(|public| present.trust.reset_at().is_none_or(|root| root <= public.root)).unwrap_or_default();
        // Within this process the present state counts as seen.
        let _ = self.recall.learned.set(learned.newest(&present.versions()));
        learned
    }

    /// What is remembered of this repository at this location.
    pub(super) fn seen(&self, pinned: &[u8]) -> Option<Seen> {
        let memory = self.memory();
        memory.of(&identity(pinned), self.place()).filter(|seen| seen.versions.timestamp > 0).cloned()
    }

    /// What is remembered of the repository of a root, or, without a root, of any repository at this location.
    pub(super) fn past(&self, pinned: Option<&[u8]>) -> Past {
        let (memory, place) = (self.memory(), self.place());
        let Some(identity) = pinned.map(identity) else {
            return Past { here: memory.published_at(place).map(|seen| seen.versions.timestamp), ..Past::default() };
        };
        let of_place = memory.of(&identity, place).map(|seen| seen.versions);
        Past {
            here: of_place.map(|versions| versions.timestamp).filter(|version| *version > 0),
            begun: of_place.is_some_and(|versions| versions == BEGUN),
            elsewhere: memory.published(&identity).map(|seen| seen.location.clone().unwrap_or_else(|| "the place in the config".into())),
        }
    }

    /// Notes that `init` begins a repository with this root at this location.
    pub(super) fn remember_beginning(&self, root: &[u8]) {
        let pinned = identity(root);
        self.change(|memory| {
            let store = self.found.get().cloned().or_else(|| memory.of(&pinned, self.place()).and_then(|known| known.store.clone()));
            memory.keep(Seen { pinned, location: None, versions: BEGUN, store }, self.place());
        });
    }

    /// The versions seen before, remembered or learned.
    pub(super) fn seen_versions(&self) -> Option<Versions> {
        let seen = self.seen(&self.pinned().ok()?).map(|seen| seen.versions);
        seen.or_else(|| self.recall.learned.get().copied())
    }

    /// What is remembered about this store.
    pub(super) fn remembered_store(&self) -> Option<KnownStore> {
        self.memory().store(&self.store_identity).cloned()
    }

    /// Remembers versions, never lower ones. A root that was rolled back stays remembered until every online role is signed
    /// above what was seen: from then on clients that saw the newer state follow this one. A file that cannot be written is a warning: what was
    /// published stays published.
    pub fn remember(&self, versions: &Versions) -> Result<()> {
        let pinned = identity(&self.pinned()?);
        self.change(|memory| {
            let known = memory.of(&pinned, self.place()).cloned();
            let store = self.found.get().cloned().or_else(|| known.as_ref().and_then(|known| known.store.clone()));
            let known = known.map(|known| known.versions).or(self.recall.learned.get().copied()).unwrap_or_default();
            let is_above = self.accept_rollback && Role::ONLINE.iter().all(|role| versions.of(*role) > known.of(*role));
            let versions = if is_above { *versions } else { versions.newest(&known) };
            memory.keep(Seen { pinned, location: None, versions, store }, self.place());
        });
        Ok(())
    }

    /// Remembers what was found out about the store.
    pub(super) fn remember_store(&self) -> Result<()> {
        let (Some(found), Ok(pinned)) = (self.found.get(), self.pinned()) else { return Ok(()) };
        let pinned = identity(&pinned);
        self.change(|memory| {
            let versions = memory.of(&pinned, self.place()).map(|seen| seen.versions).unwrap_or_default();
            memory.keep(Seen { pinned, location: None, versions, store: Some(found.clone()) }, self.place());
        });
        Ok(())
    }

    /// Forgets the versions seen before a root that replaced the keys of all of them, as clients do.
    fn start_over(&self, present: &Present) -> Result<()> {
        let pinned = identity(&self.pinned()?);
        self.change(|memory| {
            let known = memory.of(&pinned, self.place()).cloned();
            if let Some(known) = known.filter(|known| present.trust.reset_at() > Some(known.versions.root)) {
                memory.keep(Seen { versions: present.versions(), ..known }, self.place());
            }
        });
        Ok(())
    }

    fn place(&self) -> Place<'_> {
        Place { location: &self.store_identity, configured: self.recall.configured }
    }

    fn memory(&self) -> Memory {
        read_regular(&self.state_file).ok().and_then(|file| Memory::parse(&file)).unwrap_or_default()
    }

    /// Changes the file, if there is anything to change.
    fn change(&self, edit: impl FnOnce(&mut Memory)) {
        let _turn = self.turn();
        let known = self.memory();
        let mut memory = known.clone();
        edit(&mut memory);
        if memory == known && self.state_file.exists() {
            return;
        }
        let written = memory.to_json().and_then(|json| own_file::replace(&self.state_file, &json));
        if let Err(failure) = written {
            let cause = std::error::Error::source(&failure).map(|error| format!(": {error}")).unwrap_or_default();
            self.progress.warning(&format!("{}{cause}; the next run does not know which versions were seen", failure.message));
        }
    }

    /// Publishers on one machine change the state file in turn, or one could put back an older state than another saw. A
    /// file system without locks only loses that.
    fn turn(&self) -> Option<std::fs::File> {
        let path = self.state_file.with_extension("lock");
        crate::storage::lock(&path, PATIENCE, &|line| self.progress.status(line)).ok()
    }
}

/// What clients are served, as far as it verifies. A server that never ends its answer is left alone after a while.
fn ask(url: &str, pinned: &[u8], now: DateTime<Utc>) -> std::result::Result<Versions, String> {
    let (url, pinned) = (url.to_owned(), pinned.to_owned());
    let asked = within(PATIENCE, move || HttpSource::new(&url).and_then(|source| load_versions(&source, &pinned, now)));
    asked.and_then(|versions| versions).map_err(|failure| failure.message)
}

/// Names a repository by its pinned root, in the state file.
pub(super) fn identity(pinned: &[u8]) -> String {
    // The same root saved with other white space is another file but the same root.
    let canonical = Envelope::parse(pinned, "the pinned root").and_then(|envelope| Ok(openssl::sha::sha256(&envelope.canonical()?)));
    hex::encode(canonical.unwrap_or_else(|_| openssl::sha::sha256(pinned)))
}
