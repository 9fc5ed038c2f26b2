use crate::broker::QueueState;
use crate::error::Error;
use crate::names::RoleName;
use crate::operation::Outcome;
use crate::tree::Limits;
use chrono::{DateTime, Utc};
use std::path::PathBuf;
use std::time::Duration;

/// What the monitor does.
#[derive(Clone, Debug)]
pub struct MonitorRequest {
    /// The drop box, if there is one to empty.
    pub drop_box: Option<PathBuf>,
    /// Stands before every name.
    pub prefix: String,
    /// Give each target an OpenPGP signature.
    pub sign: bool,
    /// How often the drop box is looked at, whatever the file system reports.
    pub scan: Duration,
    /// How often it is seen whether a role is due.
    pub refresh: Duration,
    /// The consistent snapshots that the config wishes for.
    pub consistent_snapshot: Option<bool>,
    /// Most targets in one commit.
    pub at_once: usize,
    /// How much one upload may hold.
    pub limits: Limits,
    /// A directory of this monitor alone, for its lock and what it remembers of the drop box.
    pub state: PathBuf,
}

/// Why the monitor returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal has stopped it.
    Stopped,
    /// A signal requested a new read of its config.
    Reload,
}

/// The events of the monitor.
#[derive(Debug)]
pub enum Event<'a> {
    /// It has the drop box and watches it.
    Ready,
    /// No lock in the drop box keeps out monitors with other state directories.
    Unguarded,
    /// Another monitor has the drop box; this one is on standby.
    Standby,
    /// Work is paused, or resumed.
    Paused(bool),
    /// It looked, and all is as it should be.
    Alive,
    /// When each role expires.
    Expiries(Vec<(&'static str, DateTime<Utc>)>),
    /// The state of the workers' queues.
    Queues(Vec<QueueState>),
    /// Uploads were published.
    Published {
        /// Their names, in order.
        uploads: Vec<&'a str>,
        /// How many targets changed.
        targets: usize,
        /// What the commit did.
        outcome: &'a Outcome,
    },
    /// Of two equal names in two uploads the later one counts.
    Overtaken {
        /// The target.
        target: &'a str,
        /// The upload whose file counts.
        by: &'a str,
    },
    /// An upload was set aside.
    SetAside {
        /// Its name.
        upload: &'a str,
        /// Where it is now.
        to: PathBuf,
        /// Why.
        failure: &'a Error,
    },
    /// Something in the drop box stays where it is and is not published.
    LeftAlone {
        /// Its name, or that of the entry.
        upload: &'a str,
        /// Why.
        failure: &'a Error,
    },
    /// A published upload cannot be removed and stays.
    Kept {
        /// Its name.
        upload: &'a str,
        /// Why.
        failure: &'a Error,
    },
    /// Roles were signed again.
    Refreshed {
        /// Which.
        roles: Vec<RoleName>,
    },
    /// Something failed and is tried again.
    Trouble {
        /// What it was about: `drop box`, `refresh` or `pause flag`.
        job: &'static str,
        /// Why.
        failure: &'a Error,
        /// Whether the round before failed for the same reason.
        again: bool,
    },
}
