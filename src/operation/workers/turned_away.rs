//! How much of what is turned away gets into the log: any process with the broker's credentials can send messages without end.

use crate::error::{Error, Kind};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many reasons are logged in each interval, each once; the other messages are counted.
const LINES: usize = 20;
const INTERVAL: Duration = Duration::from_secs(60);

/// The messages that were turned away in the present interval.
#[derive(Default)]
pub(super) struct TurnedAway(Mutex<Tally>);

#[derive(Default)]
struct Tally {
    began: Option<Instant>,
    logged: BTreeSet<String>,
    more: u64,
}

impl TurnedAway {
    /// Counts a message, and decides whether it gets a line of its own.
    pub(super) fn is_to_be_logged(&self, reason: &str, now: Instant) -> bool {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.began.get_or_insert(now);
        let new = tally.logged.len() < LINES && tally.logged.insert(reason.to_owned());
        tally.more += u64::from(!new);
        new
    }

    /// At the end of an interval: one line for all messages that got none.
    pub(super) fn summary(&self, now: Instant) -> Option<Error> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.began.filter(|began| now.duration_since(*began) >= INTERVAL)?;
        let more = std::mem::take(&mut *tally).more;
        let text = format!("{more} more messages that cannot be authenticated went to the dead letters");
        (more > 0).then(|| Error::new(Kind::Permission, text))
    }
}
