//! What users are served. It is verified from the pinned root as a client does it, so it proves which versions were
//! published; an attacker who puts back the repository would have to put back this copy as well.

use crate::error::Result;
use crate::operation::bounded::Pending;
use crate::repository::{Sighting, sight};
use crate::storage::HttpSource;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How long to wait for it where nothing is remembered. It is a help, not a condition.
const ALONE: Duration = Duration::from_secs(10);
/// Where versions are remembered.
const BESIDE: Duration = Duration::from_secs(3);

/// A request for the public copy, which is answered while the repository is read.
pub(in crate::operation) struct Asking {
    url: String,
    answer: Result<Pending<Result<Sighting>>>,
}

impl Asking {
    /// Begins to read what this URL serves.
    pub(in crate::operation) fn begin(url: &str, pinned: &[u8], now: DateTime<Utc>) -> Self {
        let (base, pinned) = (url.to_owned(), pinned.to_owned());
        let answer = Pending::begin(move || HttpSource::new(&base).and_then(|source| sight(&source, &pinned, now)));
        Self { url: url.to_owned(), answer }
    }

    /// What is served there, or why that is not known. `remembers`: there is a memory as well, so a long wait is not worth it.
    pub(in crate::operation) fn finish(self, remembers: bool) -> std::result::Result<Sighting, String> {
        let patience = if remembers { BESIDE } else { ALONE };
        let answer = self.answer.and_then(|answer| answer.finish(patience)).and_then(|sighting| sighting);
        answer.map_err(|failure| format!("{} could not be read: {}", self.url, failure.message))
    }
}
