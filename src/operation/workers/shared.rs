use crate::broker::{Changes, Sealed};
use crate::digest::Digests;
use crate::error::{Error, Id, Kind, Result};
use crate::names::ObjectName;
use crate::storage::{Location, Storage, StoreOptions};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// What callers and workers share and no client may see: change sets, results, and whether work is paused.
pub struct Shared {
    storage: Box<dyn Storage>,
    /// The longest change set that is read, in bytes.
    longest: u64,
}

/// Who paused, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// The reason that the operator gave.
    pub reason: Option<String>,
    /// The flag is there and holds something else; it counts as set.
    #[serde(skip)]
    pub unreadable: bool,
}

/// Results are kept for longer than any request is valid: a replayed one finds its result.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

fn object(name: String) -> ObjectName {
    ObjectName::listed(name)
}

impl Shared {
    /// Opens the place that callers and workers share.
    pub fn open(place: &Location, store: &StoreOptions, longest: u64) -> Result<Self> {
        Ok(Self::new(crate::storage::open(place, store)?, longest))
    }

    /// What is stored there; `longest` is the longest change set, in bytes.
    pub fn new(storage: Box<dyn Storage>, longest: u64) -> Self {
        Self { storage, longest }
    }

    /// Whether work is paused.
    pub fn pause(&self) -> Result<Option<Pause>> {
        let flag = self.storage.get(&object("paused.json".into()), 1 << 16)?;
        // A flag that cannot be read still pauses the work.
        let unreadable = || Pause { since: DateTime::UNIX_EPOCH, reason: Some("the flag cannot be read".into()), unreadable: true };
        Ok(flag.map(|flag| serde_json::from_slice(&flag.bytes).unwrap_or_else(|_| unreadable())))
    }

    /// Pauses, or resumes.
    pub fn set_pause(&self, pause: Option<&Pause>) -> Result<()> {
        let name = object("paused.json".into());
        match pause {
            Some(pause) => self.storage.put(&name, &json(pause)?)?,
            None => self.storage.delete(&name)?,
        }
        self.storage.sync()
    }

    /// Refuses to start work while it is paused.
    pub(in crate::operation) fn check_pause(&self) -> Result<()> {
        let Some(pause) = self.pause()? else { return Ok(()) };
        let reason = pause.reason.map_or(String::new(), |reason| format!(": {reason}"));
        Err(Error::new(Kind::Conflict, format!("publishing is paused since {}{reason}", crate::metadata::format_expiry(pause.since)))
            .id(Id::Paused)
            .hint("to continue, run `publish resume`"))
    }

    /// Puts a change set where the workers find it.
    pub(super) fn put_changes(&self, id: &str, bytes: &[u8]) -> Result<Changes> {
        if bytes.len() as u64 > self.longest {
            return Err(Error::invalid(format!("a change set of {} bytes; no more than {} are accepted", bytes.len(), self.longest))
                .hint("publish fewer targets in one command, or raise `workers.request_bytes` for callers and workers"));
        }
        self.storage.put(&object(format!("requests/{id}.json")), bytes)?;
        self.storage.sync()?;
        Ok(Changes { sha256: Digests::of(bytes).hex(), length: bytes.len() as u64 })
    }

    /// The change set that a request names.
    pub(super) fn changes(&self, id: &str, named: &Changes) -> Result<Vec<u8>> {
        if named.length > self.longest {
            return Err(Error::invalid(format!(
                "request {id} has a change set of {} bytes; no more than {} are read",
                named.length, self.longest
            )));
        }
        let missing = || Error::invalid(format!("the change set of request {id} is missing from {}", self.storage.location()));
        let bytes = self.storage.get(&object(format!("requests/{id}.json")), self.longest)?.ok_or_else(missing)?.bytes;
        if Digests::of(&bytes).hex() != named.sha256 || bytes.len() as u64 != named.length {
            return Err(Error::invalid(format!("the change set of request {id} is not the one that its sender signed")));
        }
        Ok(bytes)
    }

    /// Keeps a request that is being fulfilled, as evidence for the snapshot worker.
    pub(super) fn put_request(&self, id: &str, sealed: &Sealed) -> Result<()> {
        self.storage.put(&object(format!("requests/{id}.sealed.json")), &sealed.to_bytes()?)
    }

    /// A request that is being fulfilled.
    pub(super) fn request(&self, id: &str) -> Result<Sealed> {
        let name = object(format!("requests/{id}.sealed.json"));
        name.check()?;
        let found = self.storage.get(&name, crate::broker::MESSAGE_LIMIT as u64)?;
        Sealed::parse(&found.ok_or_else(|| Error::invalid(format!("request {id} is unknown at {}", self.storage.location())))?.bytes)
    }

    /// Records how a request ended.
    pub(super) fn put_result(&self, id: &str, reply: &[u8]) -> Result<()> {
        self.storage.put(&object(format!("results/{id}.json")), reply)?;
        self.storage.sync()
    }

    /// How a request ended, if it has: a signed reply, which must be verified before it is used.
    pub(super) fn result(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let name = object(format!("results/{id}.json"));
        name.check()?;
        match self.storage.get(&name, crate::broker::MESSAGE_LIMIT as u64) {
            Ok(found) => Ok(found.map(|found| found.bytes)),
            Err(failure) if failure.kind == Kind::Storage => Err(failure),
            // What is too long is not a reply that a worker recorded.
            Err(_) => Ok(None),
        }
    }

    /// Removes requests and results that no replay can need any more.
    pub(super) fn sweep(&self) -> Result<()> {
        let cutoff = SystemTime::now() - KEPT;
        for prefix in ["requests/", "results/"] {
            for stored in self.storage.list(prefix)?.into_iter().filter(|stored| stored.modified < cutoff) {
                self.storage.delete(&stored.name)?;
            }
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
}
