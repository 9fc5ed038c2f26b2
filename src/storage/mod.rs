//! Where published bytes live. Code above knows the two traits here and never which store is behind them.
//!
//! [`Source`] is what a reader can do, anywhere; [`Storage`] adds what a publisher needs. Every `Storage` passes one
//! conformance suite (`tests/storage.rs`): create refuses what exists, swap refuses what changed, no reader ever sees
//! half an object, and after `barrier` all earlier writes survive loss of power before any later one is seen.

mod http;
mod local;
mod memory;
mod observed;

use crate::failure::Result;
use crate::layout::ObjectName;
use std::io::Read;
use std::time::SystemTime;

pub use http::HttpSource;
pub use local::LocalDirectory;
pub use memory::Memory;
pub use observed::{Call, Observed};

/// An object read whole.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Stands for this very content in a later [`Storage::swap`].
    pub token: Token,
}

/// A version token: an ETag, a generation, or whatever a store tells versions apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Vec<u8>);

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

    /// Replaces an object that still is what `expected` stands for (`None`: absent); `false` if it is not. Durable on
    /// return.
    fn swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool>;

    /// Writes an object whatever was there.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()>;

    /// Starts writing an object whose name is known only once its bytes are.
    fn begin(&self) -> Result<Box<dyn Upload + '_>>;

    /// Makes `to` the same content as `from`, replacing what was there.
    fn copy(&self, from: &ObjectName, to: &ObjectName) -> Result<()>;

    /// The object's listing entry, if there is such an object.
    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>>;

    /// All objects whose names start with `prefix`, sorted by name.
    fn list(&self, prefix: &str) -> Result<Vec<Stored>>;

    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Everything written before is durable before this returns.
    fn barrier(&self) -> Result<()>;

    /// Whether somebody else is writing now. Most stores cannot tell.
    fn rivals(&self) -> Result<Rivals> {
        Ok(Rivals::Unknown)
    }
}

/// Whether other publishers are at work on a store right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rivals {
    /// No other process is.
    Nobody,
    /// Some process is.
    Somebody,
    /// The store cannot tell.
    Unknown,
}

/// An object being written; dropped unfinished, it leaves nothing.
pub trait Upload: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the bytes an object, replacing what was there.
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<()>;
}
