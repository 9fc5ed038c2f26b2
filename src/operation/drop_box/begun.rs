//! Commits that a monitor did not see the end of. It can be killed after the swap of the timestamp and before the upload is
//! `tuf_done_<x>`; by the time it runs again, other publishers may have published newer content under the same names, and the
//! upload must not revert it. The repository alone does not show it: numbered role files of a commit that never became visible look
//! like those of one that did. So three things are remembered durably:
//!
//! - before the swap: the version and the digest of the timestamp that is about to be written ([`Begun::Swap`]); with workers,
//!   who write it, the versions that the request was planned on ([`Begun::Request`]);
//! - right after the swap, before plain names and anything else: that the upload is published.
//!
//! An upload without any of these was not committed. One that is marked as published is done. In between, the next round
//! decides ([`took_place`]): the commit took place if its timestamp is the one that is published, and did not if the published
//! one is older, or another one of that version. A newer one proves nothing. With workers, no snapshot since then that contains
//! the upload proves that it was not published. What remains is a kill in the few milliseconds of the swap itself, or while
//! workers are at work, followed by commits of others: then the upload is published only if that changes nothing, and is set
//! aside otherwise. Neither is newer content reverted nor is an upload lost without a message.

use super::memory::End;
use super::{DropBox, Upload};
use crate::error::{Error, Kind, Result};
use crate::names::TargetPath;
use crate::operation::Publisher;
use crate::operation::change::add_targets::NamedFiles;
use crate::repository::{Present, Versions, Witness, digest_file, load_restored};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// Snapshots between two states that are read at most.
const MOST_BETWEEN: u64 = 64;

/// What is known about a commit in advance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::operation) enum Begun {
    /// The timestamp that this process is about to write.
    Swap {
        /// Its version.
        version: u64,
        /// Of its bytes, in hex.
        sha256: String,
    },
    /// Workers are asked; what was published then.
    Request {
        /// The version of the timestamp.
        timestamp: u64,
        /// The version of the snapshot.
        snapshot: u64,
    },
}

/// Whether a commit took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operation) enum Took {
    /// It did: its uploads are published.
    Place,
    /// It did not: its uploads are to be published.
    No,
    /// It may have, and what is published now is something else.
    Unknown,
}

impl DropBox {
    /// The commit that an upload was in when its monitor ended.
    pub(in crate::operation) fn begun(&self, upload: &Upload) -> Option<&Begun> {
        match self.memory.end(upload)? {
            End::Begun(begun) => Some(begun),
            End::Published | End::Refused => None,
        }
    }
}

/// Remembers the uploads of one commit.
pub(in crate::operation) struct Noted<'a> {
    drop_box: Mutex<&'a mut DropBox>,
    uploads: Vec<&'a Upload>,
}

impl<'a> Noted<'a> {
    pub(in crate::operation) fn new(drop_box: &'a mut DropBox, uploads: Vec<&'a Upload>) -> Self {
        Self { drop_box: Mutex::new(drop_box), uploads }
    }

    fn keep(&self, end: &End) -> Result<()> {
        let memory = &mut self.drop_box.lock().unwrap_or_else(PoisonError::into_inner).memory;
        for upload in &self.uploads {
            memory.keep(upload, end.clone());
        }
        memory.save()
    }
}

impl Witness for Noted<'_> {
    fn swaps(&self, version: u64, timestamp: &[u8]) -> Result<()> {
        self.keep(&End::Begun(Begun::Swap { version, sha256: hex::encode(openssl::sha::sha256(timestamp)) }))
    }

    fn asks(&self, present: &Present) -> Result<()> {
        let Versions { timestamp, snapshot, .. } = present.versions();
        self.keep(&End::Begun(Begun::Request { timestamp, snapshot }))
    }

    fn published(&self) {
        // If this cannot be written, the rename that follows records the same.
        let _ = self.keep(&End::Published);
    }
}

/// Whether the commit of an upload took place, by what is published now.
pub(in crate::operation) fn took_place(publisher: &Publisher, begun: &Begun, files: &NamedFiles, present: &mut Present) -> Result<Took> {
    let now = present.versions();
    match begun {
        Begun::Swap { sha256, .. } if *sha256 == present.digest() => return Ok(Took::Place),
        Begun::Swap { version, .. } if now.timestamp <= *version => return Ok(Took::No),
        Begun::Request { timestamp, .. } if now.timestamp <= *timestamp => return Ok(Took::No),
        Begun::Swap { .. } | Begun::Request { .. } => {}
    }
    if contains(publisher, present, files)? {
        return Ok(Took::Place);
    }
    if let Begun::Request { snapshot, .. } = begun {
        let since = (snapshot + 1).max(now.snapshot.saturating_sub(MOST_BETWEEN));
        let (pinned, storage) = (publisher.pinned()?, publisher.storage.as_ref());
        let mut held = since > snapshot + 1;
        for version in (since..now.snapshot).rev() {
            match load_restored(storage, &pinned, now.root.saturating_add(1), version, 0, publisher.now()) {
                Ok(mut earlier) => held |= contains(publisher, &mut earlier, files)?,
                Err(failure) if failure.kind == Kind::Storage => return Err(failure),
                // Pruned, or signed by keys that were replaced: its content is not known.
                Err(_) => held = true,
            }
            if held {
                break;
            }
        }
        if !held {
            return Ok(Took::No);
        }
    }
    Ok(Took::Unknown)
}

/// Whether a state has every file of an upload.
fn contains(publisher: &Publisher, present: &mut Present, files: &NamedFiles) -> Result<bool> {
    present.read_bins_of(publisher.storage.as_ref(), files.keys().map(TargetPath::as_str))?;
    for (name, file) in files {
        let Some(target) = present.target(name.as_str())?.filter(|target| target.length == file.length()) else { return Ok(false) };
        if !target.matches(&digest_file(file, publisher.progress.as_ref())?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why an upload of which it is not known whether it was published is not published again.
pub(in crate::operation) fn superseded(upload: &Upload) -> Error {
    Error::new(
        Kind::Conflict,
        format!("upload {} may have been published already, before other publishers changed its names", upload.name.escape_debug()),
    )
    .detail("the monitor ended while it was being published; publishing it now could revert newer content")
    .hint("compare it with the published targets; to publish it anyway, rename it to `tuf_ready_…`")
}
