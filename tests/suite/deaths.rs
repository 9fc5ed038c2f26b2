//! Death at every call: a publisher that ends between any two calls to its storage. Every test that kills one at each point
//! in turn goes through here.

use crate::trial::Trial;
use publish::error::{Error, Kind, Result};
use publish::operation::Publisher;
use publish::storage::{Call, LocalDirectory, Observed};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer points than these were not tried at all: something ended before it began.
const LEAST: usize = 20;

/// How a publisher dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its storage fails for good: what the publisher does about it is seen.
    StorageFails,
    /// It is killed: nothing after the call runs but destructors, which write nothing.
    Killed,
}

/// What a killed publisher unwinds with.
struct Killed;

/// A publisher that dies, and how many calls it was seen to make.
pub struct Dying {
    pub publisher: Publisher,
    seen: Arc<AtomicUsize>,
    at: usize,
}

impl Dying {
    /// One that dies at the `at`th sight of a call: even sights are before a call, odd ones after it was carried out, as when
    /// a request was served and its answer lost.
    pub fn new(trial: &Trial, at: usize, death: Death) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = seen.clone();
        let watch = move |call: Call| -> Result<()> {
            if counter.fetch_add(1, Ordering::SeqCst) < at {
                return Ok(());
            }
            if death == Death::Killed {
                resume_unwind(Box::new(Killed));
            }
            Err(Error::new(Kind::Storage, format!("died at {call:?}")))
        };
        let storage = Observed::new(Box::new(LocalDirectory::new(trial.path("repo"))), watch);
        Self { publisher: trial.publisher_on(Box::new(storage)), seen, at }
    }

    /// Whether it made fewer calls than it was to die at.
    pub fn survived(&self) -> bool {
        self.seen.load(Ordering::SeqCst) <= self.at
    }
}

/// Calls `once` with every point in turn, until it says that nothing died there.
pub fn at_every_call(mut once: impl FnMut(usize) -> bool) {
    for at in 0.. {
        if once(at) {
            assert!(at > LEAST, "only {at} points were tried");
            return;
        }
    }
}
