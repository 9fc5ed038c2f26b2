//! Signing by workers: each role on its own host with the one key it holds, requests over a broker. The caller stages
//! content and signs artifacts with the OpenPGP key; it holds no TUF key. No worker signs what it did not verify itself.

mod answers;
mod caller;
mod policy;
mod remote;
mod serve;
mod shared;
mod targets;
mod turned_away;
mod upper;

pub use policy::{Limits, Right, Sender};
pub use serve::{Event, serve};
pub use shared::{Pause, Shared};

pub(super) use caller::commit;

use crate::broker::{Broker, BrokerOptions, Reply, Request, Sealed};
use crate::error::{Error, Kind, Result};
use crate::keys::{self, KeyUri, Passphrases, RoleSigner};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How this process asks workers, or is one.
pub struct Workers {
    /// The broker.
    pub broker: BrokerOptions,
    /// The name under which others know this process.
    pub name: String,
    /// The key it signs requests and replies with; it is no key of any role.
    pub identity: KeyUri,
    /// Who may ask.
    pub senders: BTreeMap<String, Sender>,
    /// What a targets worker agrees to.
    pub limits: Limits,
    /// How long a caller waits for its result.
    pub patience: Duration,
}

/// A worker that does not answer for this long is down, as far as one attempt goes.
const ANSWER: Duration = Duration::from_secs(60);

impl Workers {
    fn identity(&self, passphrases: &dyn Passphrases) -> Result<Arc<dyn RoleSigner>> {
        keys::load(&self.identity, passphrases).map_err(|failure| {
            failure.hint("`workers.identity` names the key that this process signs requests and replies with; `publish key new` makes one")
        })
    }

    fn connect(&self, repository: &str) -> Result<Broker> {
        Broker::connect(&self.broker, repository)
    }

    /// A request, sealed under this process's name.
    fn seal(&self, identity: &dyn RoleSigner, request: &Request) -> Result<Sealed> {
        request.seal(|message| identity.sign(message))
    }
}

/// The form in which a failure is sent to the caller.
fn refusal(failure: &Error) -> Reply {
    let mut details = failure.details.clone();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        details.push(format!("caused by: {error}"));
        cause = error.source();
    }
    Reply::Refused { kind: failure.kind.name().into(), message: failure.message.clone(), details, hints: failure.hints.clone() }
}

/// The failure again at the other end.
fn failure_of(kind: &str, message: String, details: Vec<String>, hints: Vec<String>) -> Error {
    let failure = hints.into_iter().fold(Error::new(Kind::named(kind), message), Error::hint);
    failure.details(details)
}

/// Requests between workers are for now: those that were not taken in time are void.
fn soon(now: DateTime<Utc>) -> (DateTime<Utc>, TimeDelta) {
    (now, TimeDelta::seconds(i64::try_from(ANSWER.as_secs()).unwrap_or(60)))
}
