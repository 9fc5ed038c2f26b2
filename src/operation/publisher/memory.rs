//! What this publisher remembers of repositories, so that it does not build on an older state than it has seen.
//!
//! What users are served counts like what is remembered: an attacker who puts back the repository would have to put back that
//! copy too. Both are verified from the pinned root. A command goes on without memory that is missing or cannot be read, and
//! without a copy that does not answer; a run that has neither prints which attack it would not detect.

use super::public_copy::Asking;
use super::state_document::Reading;
use super::{Publisher, StateDocument};
use crate::error::{Id, Message, Result};
use crate::metadata::{Envelope, Role};
use crate::repository::{KnownStore, Memory, Place, Present, Seen, Sighting, Versions};
use std::sync::Mutex;

/// Where versions are learned from besides what is remembered.
#[derive(Debug)]
pub struct Recall {
    /// Whether the repository is the one that the config names, which what was remembered without a location is about.
    pub configured: bool,
    /// Where users reach the repository over http(s).
    pub public_url: Option<String>,
    /// What this run has learned.
    pub learned: Mutex<Option<Learned>>,
}

/// What a run has learned besides what is remembered.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// What users were served when it began.
    served: Option<Sighting>,
    /// The state that it began with, where nothing was remembered: within this run it counts as seen.
    begun: Versions,
}

impl Learned {
    fn versions(&self) -> Versions {
        self.served.as_ref().map_or(self.begun, |served| served.versions.newest(&self.begun))
    }
}

/// What `init` notes before it pins a root: nothing is published below it yet.
const BEGUN: Versions = Versions { root: 1, targets: 0, snapshot: 0, timestamp: 0 };

/// What is remembered that forbids, or allows, to publish first roles.
#[derive(Debug, Default)]
pub(in crate::operation) struct Past {
    /// The timestamp that was seen at this location.
    pub here: Option<u64>,
    /// `init` began here, and nothing that was published is remembered.
    pub begun: bool,
    /// Where the repository was seen, if it was.
    pub elsewhere: Option<String>,
}

/// What a publisher remembers of the repositories that it works on.
pub struct VersionMemory {
    /// The highest versions seen.
    pub state: StateDocument,
    /// Tells this location from others in the state document: for a store with its endpoint.
    pub identity: String,
    /// Where versions are learned from that the state document does not have.
    pub recall: Recall,
}

impl VersionMemory {
    /// A memory of what is at this location.
    pub fn new(state: StateDocument, identity: String, recall: Recall) -> Self {
        Self { state, identity, recall }
    }
}

impl Default for Recall {
    fn default() -> Self {
        Self { configured: true, public_url: None, learned: Mutex::default() }
    }
}

impl Publisher {
    /// Begins to ask what users are served, once in a run, while the repository is read.
    pub(in crate::operation) fn ask_public(&self, pinned: &[u8]) -> Option<Asking> {
        let url = self.memory.recall.public_url.as_deref().filter(|_| self.learned().is_none())?;
        Some(Asking::begin(url, pinned, self.now()))
    }

    /// Refuses a state that is older than the one seen before. `seen` was read before the repository was: another publisher on
    /// this machine may remember a newer state while we read.
    pub(in crate::operation) fn check_seen(&self, present: &Present, seen: Option<Seen>, asking: Option<Asking>) -> Result<()> {
        let mut learned = match self.learned() {
            Some(learned) => learned,
            None => self.learn(present, seen.is_some(), asking),
        };
        // Clients forget versions from before a root that replaced the keys of all of them, and so do we.
        let counts = |versions: &Versions| present.trust.reset_at().is_none_or(|root| root <= versions.root);
        if !counts(&learned.begun) {
            learned.begun = Versions::default();
        }
        learned.served = learned.served.filter(|served| counts(&served.versions));
        if let Ok(mut known) = self.memory.recall.learned.lock() {
            *known = Some(learned.clone());
        }
        let remembered = match seen {
            Some(seen) if counts(&seen.versions) => seen.versions,
            Some(_) => {
                self.start_over(present);
                Versions::default()
            }
            None => learned.begun,
        };
        if self.accept_rollback {
            return Ok(());
        }
        let here = self.storage.location();
        let witness = if self.memory.state.is_shared() {
            format!("this publisher has seen ({})", self.memory.state)
        } else {
            "this publisher has seen".into()
        };
        remembered.check_not_below(&present.versions(), &here, &witness)?;
        match (&learned.served, &self.memory.recall.public_url) {
            (Some(served), Some(url)) => served.check_not_below(present, &here, url),
            _ => Ok(()),
        }
    }

    /// Learns what is not remembered, and warns if that is nothing.
    fn learn(&self, present: &Present, remembers: bool, asking: Option<Asking>) -> Learned {
        let answer = asking.map(|asking| asking.finish(remembers));
        let begun = if remembers { Versions::default() } else { present.versions() };
        let why = match answer {
            Some(Ok(served)) => return Learned { served: Some(served), begun },
            // What is remembered protects as well; whether users are served is not the question here.
            _ if remembers => return Learned::default(),
            Some(Err(why)) => why,
            None if !self.memory.recall.configured => "`public_url` belongs to the configured location".into(),
            None => "the config has no `public_url` to compare it with".into(),
        };
        let here = self.storage.location();
        let lost = match self.memory.state.read() {
            Reading::Known(_) => format!("no versions are remembered for {here}"),
            Reading::Missing if self.memory.state.is_shared() => format!("there is no {} yet", self.memory.state),
            Reading::Missing => format!("{} is missing", self.memory.state),
            Reading::Broken => format!("{} cannot be read", self.memory.state),
            Reading::Unreachable(why) => format!("{} was not read ({why})", self.memory.state),
        };
        let remedy = match () {
            () if self.memory.state.is_shared() => "it is written when something is published".to_owned(),
            () if self.memory.recall.public_url.is_some() => format!("keep {} between runs, or set `state` to a bucket", self.memory.state),
            () => format!("set `public_url`, or `state` to a bucket, or keep {} between runs", self.memory.state),
        };
        self.progress.warning(&Message::new(Id::NoMemory, format!(
            "{lost}, and {why}: a rollback to older metadata by an attacker who can write to {here} would not be detected in this run; {remedy}"
        )));
        Learned { served: None, begun }
    }

    fn learned(&self) -> Option<Learned> {
        self.memory.recall.learned.lock().ok().and_then(|learned| learned.clone())
    }

    /// What is remembered of this repository at this location, read now.
    pub(in crate::operation) fn seen(&self, pinned: &[u8]) -> Option<Seen> {
        let Reading::Known(memory) = self.memory.state.read_again() else { return None };
        memory.of(&identity(pinned), self.place()).filter(|seen| seen.versions.timestamp > 0).cloned()
    }

    /// What is remembered of the repository of a root, or, without a root, of any repository at this location.
    pub(in crate::operation) fn past(&self, pinned: Option<&[u8]>) -> Past {
        let (memory, place) = (self.remembered(), self.place());
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
    pub(in crate::operation) fn remember_beginning(&self, root: &[u8]) {
        let pinned = identity(root);
        self.change(&|memory| {
            let store =
                self.conditions.found.get().cloned().or_else(|| memory.of(&pinned, self.place()).and_then(|known| known.store.clone()));
            memory.keep(Seen { pinned: pinned.clone(), location: None, versions: BEGUN, store }, self.place());
        });
    }

    /// The versions seen before, remembered or learned.
    pub(in crate::operation) fn seen_versions(&self) -> Option<Versions> {
        let pinned = self.pinned().ok()?;
        let memory = self.remembered();
        let seen = memory.of(&identity(&pinned), self.place()).map(|seen| seen.versions).filter(|versions| versions.timestamp > 0);
        let learned = self.learned().map(|learned| learned.versions());
        seen.map(|seen| learned.map_or(seen, |learned| seen.newest(&learned))).or(learned)
    }

    /// What is remembered about this store.
    pub(in crate::operation) fn remembered_store(&self) -> Option<KnownStore> {
        self.remembered().store(&self.memory.identity).cloned()
    }

    /// Remembers versions, never lower ones. A root that was rolled back stays remembered until every online role is signed
    /// above what was seen: from then on clients that saw the newer state follow this one. Memory that cannot be written is a
    /// warning: what was published stays published.
    pub fn remember(&self, versions: &Versions) -> Result<()> {
        let pinned = identity(&self.pinned()?);
        let learned = self.learned().unwrap_or_default().versions();
        self.change(&|memory| {
            let known = memory.of(&pinned, self.place()).cloned();
            let store = self.conditions.found.get().cloned().or_else(|| known.as_ref().and_then(|known| known.store.clone()));
            let known = known.map(|known| known.versions).unwrap_or_default().newest(&learned);
            let is_above = self.accept_rollback && Role::ONLINE.iter().all(|role| versions.of(*role) > known.of(*role));
            let versions = if is_above { *versions } else { versions.newest(&known) };
            memory.keep(Seen { pinned: pinned.clone(), location: None, versions, store }, self.place());
        });
        Ok(())
    }

    /// Remembers what was found out about the store.
    pub(in crate::operation) fn remember_store(&self) -> Result<()> {
        let (Some(found), Ok(pinned)) = (self.conditions.found.get(), self.pinned()) else { return Ok(()) };
        let pinned = identity(&pinned);
        self.change(&|memory| {
            let versions = memory.of(&pinned, self.place()).map(|seen| seen.versions).unwrap_or_default();
            memory.keep(Seen { pinned: pinned.clone(), location: None, versions, store: Some(found.clone()) }, self.place());
        });
        Ok(())
    }

    /// Forgets the versions seen before a root that replaced the keys of all of them, as clients do.
    fn start_over(&self, present: &Present) {
        let Ok(pinned) = self.pinned() else { return };
        let pinned = identity(&pinned);
        self.change(&|memory| {
            let known = memory.of(&pinned, self.place()).cloned();
            if let Some(known) = known.filter(|known| present.trust.reset_at() > Some(known.versions.root)) {
                memory.keep(Seen { versions: present.versions(), ..known }, self.place());
            }
        });
    }

    fn place(&self) -> Place<'_> {
        Place { location: &self.memory.identity, configured: self.memory.recall.configured }
    }

    fn remembered(&self) -> Memory {
        if let Reading::Known(memory) = self.memory.state.read() { memory } else { Memory::default() }
    }

    fn change(&self, edit: &dyn Fn(&mut Memory)) {
        if let Err(failure) = self.memory.state.change(self.progress.as_ref(), edit) {
            let cause = std::error::Error::source(&failure).map(|error| format!(": {error}")).unwrap_or_default();
            let of = if self.memory.state.is_shared() { format!("{} was not written: ", self.memory.state) } else { String::new() };
            self.progress.warning(&Message::new(
                Id::StateNotWritten,
                format!("{of}{}{cause}; the next run does not know which versions were seen", failure.message),
            ));
        }
    }
}

/// Names a repository by its pinned root, in the state file.
pub(in crate::operation) fn identity(pinned: &[u8]) -> String {
    // The same root saved with other white space is another file but the same root.
    let canonical = Envelope::parse(pinned, "the pinned root").and_then(|envelope| Ok(openssl::sha::sha256(&envelope.canonical()?)));
    hex::encode(canonical.unwrap_or_else(|_| openssl::sha::sha256(pinned)))
}
