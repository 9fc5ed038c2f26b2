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
use super::Workspace;
use crate::failure::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The store, or a service that holds keys, may take this long.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// A web server may take this long for one answer.
const WEB_PATIENCE: Duration = Duration::from_secs(10);

/// What the checklist is about, besides the workspace.
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
    /// Why the store could not be opened; the workspace has an empty one then.
    pub store_failure: Option<Failure>,
    /// Why the settings of workers in the config cannot be used.
    pub workers_failure: Option<Failure>,
}

/// Looks at everything.
pub fn examine(mut workspace: Workspace, request: DoctorRequest) -> Checklist {
    let missing = Recorded::around(&mut workspace);
    let workspace = Arc::new(workspace);
    let mut list = Checklist::default();
    let pinned = setup::check(&workspace, &request, &mut list);
    let keys = keys::open_all(&workspace, &missing);
    workspace.progress.phase("reading the store");
    let present = repository::check(&workspace, &request, pinned.as_ref(), &mut list);
    if let Some(url) = &request.public_url {
        workspace.progress.phase(&format!("asking {url}"));
    }
    let dates = served::check(&workspace, &request, pinned.as_deref(), present.as_ref(), &mut list);
    // A request that was given up may hold the workspace until the process ends.
    workspace.progress.finish();
    clock::check(&workspace, &dates, present.as_ref(), &mut list);
    repository::check_expiry(&workspace, present.as_ref(), &mut list);
    keys::check(&workspace, &keys, present.as_ref(), &mut list);
    list.sorted()
}
