//! The write that makes a commit visible.

use super::Committer;
use crate::error::{Error, Kind, Result};
use crate::metadata::TIMESTAMP_LIMIT;
use crate::names::ObjectName;
use crate::repository::present::Present;
use crate::repository::steps::SignedRole;
use crate::storage::{Storage, Token};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// How often a swap is tried that is refused although nothing has changed.
const SWAPS: u32 = 4;

/// The longest pause between two attempts, before it is made to differ.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Committer<'_> {
    /// Replaces the timestamp that the commit was planned on; `false` if another publisher has replaced it.
    pub(super) fn swap_timestamp(&self, present: &Present, signed: &SignedRole) -> Result<bool> {
        let mut token = present.token.clone();
        let mut pauses = pauses();
        for attempt in 0.. {
            let answer = self.storage.compare_and_swap(&ObjectName::timestamp(), Some(&token), &signed.bytes);
            if matches!(answer, Ok(true)) {
                return Ok(true);
            }
            // Whatever the answer was, the stored object decides.
            let there = self.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?;
            if there.as_ref().is_some_and(|there| there.bytes == signed.bytes) {
                return Ok(true);
            }
            answer?;
            match there.filter(|there| there.bytes == present.timestamp_file) {
                None => return Ok(false),
                Some(there) if attempt + 1 >= SWAPS => return Err(unchanged(self.storage, &there.token)),
                // No other publisher was faster: some stores refuse while another request is in flight.
                Some(there) => token = there.token,
            }
            std::thread::sleep(pauses.next().unwrap_or(LONGEST_PAUSE));
        }
        Ok(false)
    }
}

/// A store that refuses a condition which holds: no other publisher causes this.
pub(super) fn unchanged(storage: &dyn Storage, token: &Token) -> Error {
    let failure = Error::new(
        Kind::Storage,
        format!("{} refuses to replace timestamp.json although it has not changed; nothing was published", storage.location()),
    );
    let failure = if token.is_weak() {
        failure.detail("its ETag is weak (W/\"…\"), and a weak ETag never matches: a gateway or proxy in front of the store alters answers, for example by compressing them")
    } else {
        failure.detail("either reads are stale, from a cache between here and the store, or the store or a gateway in front of it has changed how it treats conditions")
    };
    failure.hint("no other publisher causes this; `publish store check` shows how the store behaves, if possible without the gateway")
}

/// The pauses before further attempts: they grow, and differ between publishers.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
