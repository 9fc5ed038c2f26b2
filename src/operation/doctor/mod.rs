//! `publish doctor`: looks at everything that publishing and updating depend on, and names a remedy for whatever is not as
//! it should be.
//!
//! Nothing is written: not to the store, not to the state file. What can only be tried by writing (conditional writes, races)
//! is left to `publish store check`. Every request to a store or a server has a limit of time, and a server that exceeded it
//! gets no further request.

mod check;
mod clock;
mod keys;
mod repository;
mod served;
mod setup;
mod web;

pub use check::{Check, Checklist, Item, Section, Verdict};

use self::keys::Recorded;
use super::Publisher;
use crate::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The store, or a service that holds keys, may take this long.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// A web server may take this long for one answer.
const WEB_PATIENCE: Duration = Duration::from_secs(10);

/// What the checklist is about, besides the publisher.
pub struct DoctorRequest {
    /// The config, which was read.
    pub config: PathBuf,
    /// The configured channels file.
    pub channels: PathBuf,
    /// A channels file in the working directory.
    pub channels_here: PathBuf,
    /// The files that passphrases are read from.
    pub passphrase_files: Vec<PathBuf>,
    /// The draft of the next root.
    pub root_draft: PathBuf,
    /// The repository's directory, if it is in one.
    pub directory: Option<PathBuf>,
    /// Where users reach the repository, if it is the configured one.
    pub public_url: Option<String>,
    /// Why the store could not be opened; the publisher has an empty one then.
    pub store_failure: Option<Error>,
    /// Why the settings of workers in the config cannot be used.
    pub workers_failure: Option<Error>,
}

/// Looks at everything.
pub fn examine(mut publisher: Publisher, request: DoctorRequest) -> Checklist {
    let missing = Recorded::around(&mut publisher);
    let publisher = Arc::new(publisher);
    let mut list = Checklist::default();
    let pinned = setup::check(&publisher, &request, &mut list);
    let keys = keys::open_all(&publisher, &missing);
    publisher.progress.phase("reading the store");
    let present = repository::check(&publisher, &request, pinned.as_ref(), &mut list);
    if let Some(url) = &request.public_url {
        publisher.progress.phase(&format!("asking {url}"));
    }
    let dates = served::check(&publisher, &request, pinned.as_deref(), present.as_ref(), &mut list);
    // A request that was given up may hold the publisher until the process ends.
    publisher.progress.finish();
    clock::check(&publisher, &dates, present.as_ref(), &mut list);
    repository::check_expiry(&publisher, present.as_ref(), &mut list);
    keys::check(&publisher, &keys, present.as_ref(), &mut list);
    list.sorted()
}
