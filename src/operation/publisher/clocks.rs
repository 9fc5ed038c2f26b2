//! This machine's clock against the store's and the published timestamp.

use super::Publisher;
use crate::error::{Error, Id, Kind, Message, Result};
use crate::metadata::Expiry;
use crate::policy::clocks;
use crate::storage::probe::Probe;
use chrono::{DateTime, Utc};

/// What follows from a wrong clock, and what to do.
const WRONG_CLOCK: &str = "correct the clock that is wrong; until then, roles expire too late or are not signed again in time";

impl Publisher {
    /// Warns of a clock that is not the store's. A store that does not report its time is no reason to stop.
    pub(in crate::operation) fn compare_clocks(&self) {
        let theirs = self.storage.clock().ok().flatten();
        let apart = theirs.and_then(|theirs| clocks::disagreement(self.now(), theirs.into()));
        self.report_clock(apart.map(|apart| format!("{apart}; {WRONG_CLOCK}")));
    }

    /// Refuses to make OpenPGP signatures that are dated in the future by the store's clock.
    pub(in crate::operation) fn check_clock_of_signatures(&self) -> Result<()> {
        let theirs = self.storage.clock().ok().flatten();
        theirs.map_or(Ok(()), |theirs| clocks::check_signatures(self.now(), theirs.into()))
    }

    /// What is wrong with this machine's clock, as far as that is known without a write.
    pub(in crate::operation) fn clock_fault(&self, timestamp: Expiry) -> Option<String> {
        let theirs = self.storage.known_time();
        let apart = theirs.and_then(|theirs| clocks::disagreement(self.now(), theirs.into()));
        apart.map(|apart| format!("{apart}; {WRONG_CLOCK}")).or_else(|| clocks::beyond(self.now(), &self.lifetimes, timestamp))
    }

    pub(super) fn report_clock(&self, warning: Option<String>) {
        if let Some(warning) = warning.filter(|_| self.clock_reported.set(()).is_ok()) {
            self.progress.warning(&Message::new(Id::ClocksDisagree, warning));
        }
    }

    /// The store's time, by which ages are computed; refused if this machine's clock is not the same.
    pub(in crate::operation) fn stores_time(&self) -> Result<DateTime<Utc>> {
        let theirs = match self.storage.clock()? {
            Some(theirs) => theirs,
            None => Probe::new(self.storage.as_ref())?.clock()?,
        };
        let theirs = DateTime::<Utc>::from(theirs);
        match clocks::disagreement(self.now(), theirs) {
            None => Ok(theirs),
            Some(apart) => Err(Error::new(Kind::Conflict, apart)
                .id(Id::ClockDiffers)
                .detail("what is deleted depends on the age of each object, so nothing was deleted")
                .hint("correct the clock that is wrong, then run the same command again")),
        }
    }
}
