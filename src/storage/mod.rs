//! Where published bytes are stored. Code above uses the two traits here and never depends on a certain store.
//!
//! [`Source`] is what a client can do, anywhere; [`Storage`] adds what a publisher needs. Every `Storage` passes one
//! conformance suite (`tests/conformance/`): create refuses what exists, swap refuses what changed, no client ever sees
//! half an object, and after `sync` all earlier writes survive loss of power before any later one is seen.

mod answer;
mod headers;
mod http;
mod leftovers;
mod local;
mod location;
mod memory;
mod observed;
mod options;
pub mod probe;
mod properties;
#[cfg(feature = "remote")]
mod remote;
mod upkeep;

#[cfg(not(feature = "remote"))]
use crate::error::Error;
use crate::error::Result;
use crate::names::ObjectName;
use std::io::Read;
use std::time::SystemTime;

pub use answer::Answer;
pub use headers::{Headers, NO_CACHE};
pub use http::HttpSource;
pub(crate) use http::escape;
pub use leftovers::Leftovers;
pub use local::{LocalDirectory, lock};
pub use location::{Location, Service};
pub use memory::Memory;
pub use observed::{Call, Observed};
pub use options::{Conditions, EtagQuotes, RawPlus, Reports, StoreOptions};
pub use properties::Properties;
#[cfg(feature = "remote")]
pub use remote::Remote;
pub use upkeep::{NothingToDo, Upkeep};

/// The storage at a location.
pub fn open(location: &Location, options: &StoreOptions) -> Result<Box<dyn Storage>> {
    match location {
        Location::Directory(path) => Ok(Box::new(LocalDirectory::reporting(path, options.reports.clone()))),
        #[cfg(feature = "remote")]
        Location::Bucket { .. } => Ok(Box::new(Remote::open(location, options)?)),
        #[cfg(not(feature = "remote"))]
        Location::Bucket { .. } => Err(Error::invalid(format!("this `publish` was built without object stores; {location} is one"))
            .hint("install one built with the default cargo features")),
    }
}

/// An object read whole.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Stands for this very content in a later [`Storage::compare_and_swap`].
    pub token: Token,
}

/// A version token: an ETag, a generation, or another value by which a store distinguishes versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// Whether it is a weak ETag, which no condition on writing ever matches.
    pub fn is_weak(&self) -> bool {
        self.0.starts_with(b"W/")
    }
}

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last written, by the store's clock.
    pub modified: SystemTime,
}

/// Something repositories can be read from.
pub trait Source: Send + Sync {
    /// The place, for people.
    fn location(&self) -> String;

    /// Reads an object, `None` if there is none. More than `limit` bytes are an error: metadata comes from strangers.
    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>>;

    /// Opens an object of any size for reading.
    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>>;
}

/// Something repositories can be published to.
pub trait Storage: Source {
    /// Writes a new object; `false` if the name is taken, and then nothing was written.
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool>;

    /// Replaces an object that still is what `expected` identifies (`None`: absent); `false` if it is not. Durable on
    /// return.
    fn compare_and_swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool>;

    /// Writes an object whatever was there.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()>;

    /// Starts writing an object. Its name may be known only once its bytes are; content of any size can be written where the
    /// name is known before, with its length as far as the caller knows.
    fn begin(&self, known: Option<(&ObjectName, u64)>) -> Result<Box<dyn Upload + '_>>;

    /// What is known of the store without a call.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Makes `to` the same content as `from`, replacing what was there; of kind `NotFound` if there is no `from`.
    /// `content` is what `from` holds, if it is at hand: where the two names have different headers, it must be written anew.
    fn copy(&self, from: &ObjectName, to: &ObjectName, content: Option<&[u8]>) -> Result<()>;

    /// The object's listing entry, if there is such an object.
    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>>;

    /// All objects whose names start with `prefix`, sorted by name.
    fn list(&self, prefix: &str) -> Result<Vec<Stored>>;

    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// What keeps an object of this name from being written: in a directory, a name is either a file or holds others.
    fn obstacle(&self, _name: &ObjectName) -> Result<Option<Obstacle>> {
        Ok(None)
    }

    /// Whether `b` is certainly a copy of `a`, found without reading either; `false` if that is not known.
    fn is_copy(&self, _a: &ObjectName, _b: &ObjectName) -> Result<bool> {
        Ok(false)
    }

    /// Everything written before is durable before this returns.
    fn sync(&self) -> Result<()>;

    /// What is needed to look after the store, and not to publish to it.
    fn upkeep(&self) -> &dyn Upkeep {
        &NothingToDo
    }

    /// The store's clock, which dates what is listed; `None` if the store does not report it.
    fn clock(&self) -> Result<Option<SystemTime>>;

    /// The same as far as it is known from earlier answers, without a write.
    fn known_time(&self) -> Option<SystemTime> {
        None
    }

    /// Whether another process is writing now. Most stores do not know.
    fn rivals(&self) -> Result<Rivals> {
        Ok(Rivals::Unknown)
    }
}

/// What occupies a name that an object needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The name is a directory that holds this object, among others perhaps.
    Directory(ObjectName),
    /// This file is where a directory above the name must be.
    File(ObjectName),
}

/// Whether other publishers are at work on a store right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rivals {
    /// No other process is.
    Nobody,
    /// Some process is.
    Somebody,
    /// The store does not report it.
    Unknown,
}

/// An object being written; dropped unfinished, it leaves nothing.
pub trait Upload: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the bytes an object, replacing what was there.
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<()>;
}
