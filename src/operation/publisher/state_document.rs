//! Where the memory of versions is kept: in a file of this machine, or in an object that machines without files of their own
//! share.
//!
//! A file is changed in turn, under a lock. An object is changed by compare and swap: two machines that publish at the same
//! time read, raise and write again until both are in it. Both write whole documents, so a publisher that is killed leaves the
//! old one or the new one. A command goes on without an object that cannot be reached, after a bounded wait.

use crate::error::{Error, Kind, Result};
use crate::files::read_regular;
use crate::names::ObjectName;
use crate::operation::bounded::within;
use crate::operation::own_file;
use crate::repository::{Memory, Progress};
use crate::storage::{Location, Storage, StoreOptions, Token};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A lock, or an answer of the store, is waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a change starts over because another machine was faster.
const ATTEMPTS: u32 = 20;

/// The longest pause between two attempts, before it is made to differ.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// No such document is near this long, in bytes.
const LONGEST: u64 = 1 << 20;
/// The name of the object.
const OBJECT: &str = "publish-state.json";

/// The document with the memory of versions.
pub struct StateDocument {
    place: Place,
    /// What was read last from a store: one command reads it once, and again when it loads the repository again.
    last: Mutex<Option<Reading>>,
}

enum Place {
    File(PathBuf),
    Object(Arc<dyn Storage>),
}

/// What a read document contains.
#[derive(Clone, Debug)]
pub(in crate::operation) enum Reading {
    /// This.
    Known(Memory),
    /// There is none.
    Missing,
    /// It is there, and is no such document.
    Broken,
    /// It was not read, for this reason.
    Unreachable(String),
}

impl StateDocument {
    /// The document at a place that the config names, of a publisher that works on the repository at `repository`.
    pub fn open(place: &Location, repository: &Location, store: &StoreOptions) -> Result<Self> {
        if let Some(why) = place.conflict_with(repository) {
            return Err(Error::invalid(format!("`state` in the config is {place}, {why} the repository at {repository}"))
                .detail("clients can read what is in a repository, and commands that clean it up may delete what does not belong there")
                .hint("set `state` to a file outside it, or to a bucket or prefix that clients cannot read"));
        }
        match place {
            Location::Directory(file) => Ok(Self::file(file)),
            Location::Bucket { .. } => Ok(Self::shared(crate::storage::open(place, store)?)),
        }
    }

    /// A file of this machine.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::File(path.into()), last: Mutex::default() }
    }

    /// An object below a place that machines share.
    pub fn shared(storage: Box<dyn Storage>) -> Self {
        Self { place: Place::Object(storage.into()), last: Mutex::default() }
    }

    /// Where it is, if it is a file.
    pub(in crate::operation) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Object(_) => None,
        }
    }

    /// Whether machines share it.
    pub(in crate::operation) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Object(_))
    }

    /// Reads it now.
    pub(in crate::operation) fn read_again(&self) -> Reading {
        let reading = match &self.place {
            Place::File(path) => match read_regular(path) {
                Ok(content) => Memory::parse(&content).map_or(Reading::Broken, Reading::Known),
                Err(_) if !path.exists() => Reading::Missing,
                Err(_) => Reading::Broken,
            },
            Place::Object(storage) => match self.get(storage) {
                Ok(None) => Reading::Missing,
                Ok(Some((_, None))) => Reading::Broken,
                Ok(Some((_, Some(memory)))) => Reading::Known(memory),
                Err(failure) => Reading::Unreachable(failure.message),
            },
        };
        self.keep(&reading);
        reading
    }

    /// What it held when it was last read, or now.
    pub(in crate::operation) fn read(&self) -> Reading {
        let last = if self.is_shared() { self.last.lock().ok().and_then(|last| last.clone()) } else { None };
        last.unwrap_or_else(|| self.read_again())
    }

    /// Changes it, if there is anything to change.
    pub(in crate::operation) fn change(&self, progress: &dyn Progress, edit: &dyn Fn(&mut Memory)) -> Result<()> {
        match &self.place {
            Place::File(path) => change_file(path, progress, edit),
            Place::Object(storage) => self.change_object(storage, edit),
        }
    }

    fn change_object(&self, storage: &Arc<dyn Storage>, edit: &dyn Fn(&mut Memory)) -> Result<()> {
        let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(20)).with_max_delay(LONGEST_PAUSE);
        let mut pauses = pauses.with_jitter().without_max_times().build();
        for _ in 0..ATTEMPTS {
            let (token, known) = match self.get(storage)? {
                Some((_, None)) => {
                    return Err(Error::invalid(format!("{self} holds no state that this version of publish reads")));
                }
                Some((token, Some(memory))) => (Some(token), memory),
                None => (None, Memory::default()),
            };
            let mut memory = known.clone();
            edit(&mut memory);
            if memory == known && token.is_some() {
                return Ok(());
            }
            let json = memory.to_json()?;
            let (store, bytes) = (Arc::clone(storage), json.clone());
            let swapped = within(PATIENCE, move || store.compare_and_swap(&ObjectName::listed(OBJECT), token.as_ref(), &bytes))?;
            // After a refusal or an error, what is there decides: the write may have been carried out.
            if matches!(swapped, Ok(true)) || self.get(storage)?.is_some_and(|(_, there)| there.as_ref() == Some(&memory)) {
                self.keep(&Reading::Known(memory));
                return Ok(());
            }
            swapped?;
            std::thread::sleep(pauses.next().unwrap_or(LONGEST_PAUSE));
        }
        Err(Error::new(Kind::Conflict, format!("other publishers changed {self} {ATTEMPTS} times in a row")))
    }

    /// The object with its token, and what it holds.
    fn get(&self, storage: &Arc<dyn Storage>) -> Result<Option<(Token, Option<Memory>)>> {
        let store = Arc::clone(storage);
        let object = within(PATIENCE, move || store.get(&ObjectName::listed(OBJECT), LONGEST))??;
        Ok(object.map(|object| (object.token, Memory::parse(&object.bytes))))
    }

    fn keep(&self, reading: &Reading) {
        if let Ok(mut last) = self.last.lock() {
            *last = Some(reading.clone());
        }
    }
}

impl fmt::Display for StateDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Object(storage) => write!(f, "{}/{OBJECT}", storage.location()),
        }
    }
}

/// Publishers on one machine change the file in turn, or one could put back an older state than another saw. A file system
/// without locks only loses that.
fn change_file(path: &Path, progress: &dyn Progress, edit: &dyn Fn(&mut Memory)) -> Result<()> {
    let _turn = crate::storage::lock(&path.with_extension("lock"), PATIENCE, &|line| progress.status(line)).ok();
    let known = read_regular(path).ok().and_then(|file| Memory::parse(&file)).unwrap_or_default();
    let mut memory = known.clone();
    edit(&mut memory);
    if memory == known && path.exists() {
        return Ok(());
    }
    own_file::replace(path, &memory.to_json()?)
}
