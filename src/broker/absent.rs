//! In place of the connection to RabbitMQ in a build without the feature `workers`: a config with a broker is refused, so
//! nothing here is ever called.

use super::{DeadLetter, QueueState, WorkerRole};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// How to reach the broker: never, in this build.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The certificate authority of the broker.
    pub ca: Option<PathBuf>,
    /// The certificate and the key that this client shows.
    pub identity: Option<(PathBuf, PathBuf)>,
    never: Never,
}

#[derive(Clone, Copy, Debug)]
enum Never {}

/// A connection that cannot exist.
pub struct Broker(Never);

/// Requests that cannot come.
pub struct Incoming(Never);

/// A message that cannot come.
pub struct Delivery(Never);

impl BrokerOptions {
    /// Refuses every broker.
    pub fn parse(_: &str) -> Result<Self> {
        Err(Error::invalid("this build has no workers, and the config has a `broker`")
            .hint("install a package of publish, or build it with: cargo build --features workers"))
    }

    /// Never called.
    #[must_use]
    pub fn with_password(self, _: &[u8]) -> Self {
        match self.never {}
    }
}

#[allow(missing_docs)]
impl Broker {
    pub fn connect(options: &BrokerOptions, _: &str) -> Result<Self> {
        match options.never {}
    }

    pub fn send(&mut self, _: WorkerRole, _: &str, _: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub fn next_reply(&mut self, _: Duration) -> Result<Option<Vec<u8>>> {
        match self.0 {}
    }

    pub fn answer(&self, _: &str, _: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub fn serve(&self, _: WorkerRole, _: u16) -> Result<Option<Incoming>> {
        match self.0 {}
    }

    pub fn next(&self, _: &mut Incoming, _: Duration) -> Result<Option<Delivery>> {
        match self.0 {}
    }

    pub fn stop(&self, incoming: &Incoming) -> Result<()> {
        match incoming.0 {}
    }

    pub fn acknowledge(&self, delivery: &Delivery) -> Result<()> {
        match delivery.0 {}
    }

    pub fn give_back(&self, delivery: &Delivery) -> Result<()> {
        match delivery.0 {}
    }

    pub fn dead_letter(&self, _: &[(Delivery, String)]) -> Result<()> {
        match self.0 {}
    }

    pub fn states(&self) -> Result<Vec<QueueState>> {
        match self.0 {}
    }

    pub fn dead_letters(&self, _: impl Fn(&DeadLetter) -> bool, _: bool) -> Result<Vec<(DeadLetter, bool)>> {
        match self.0 {}
    }
}

#[allow(missing_docs)]
impl Delivery {
    pub fn body(&self) -> &[u8] {
        match self.0 {}
    }

    pub fn id(&self) -> String {
        match self.0 {}
    }

    pub fn earlier(&self) -> u64 {
        match self.0 {}
    }
}
