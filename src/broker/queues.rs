use serde::{Deserialize, Serialize};
use std::fmt;

/// The roles that workers sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerRole {
    /// The targets role and its bins.
    Targets,
    /// The snapshot.
    Snapshot,
    /// The timestamp.
    Timestamp,
}

impl WorkerRole {
    /// In the order of a commit.
    pub const ALL: [Self; 3] = [Self::Targets, Self::Snapshot, Self::Timestamp];
}

impl fmt::Display for WorkerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        })
    }
}

/// The names of one repository's queues: a broker can serve many repositories.
#[derive(Clone, Debug)]
pub struct Queues {
    prefix: String,
}

impl Queues {
    /// Those of the repository whose first root has this SHA-256, in hex.
    pub fn of(repository: &str) -> Self {
        Self { prefix: format!("publish.{}", &repository[..repository.len().min(16)]) }
    }

    /// Where requests to a role wait.
    pub fn role(&self, role: WorkerRole) -> String {
        format!("{}.{role}", self.prefix)
    }

    /// Where the reply to a request is awaited. The name is made of the id, which the sender signs, so that nothing in a
    /// message's properties can lead a reply elsewhere.
    pub fn reply(&self, id: &str) -> String {
        format!("{}.reply.{id}", self.prefix)
    }

    /// Where requests end that no worker could deal with.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }
}

/// The state of a queue.
#[derive(Clone, Debug, Serialize)]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub waiting: u32,
    /// Workers connected to it: one is active, the others are on standby.
    pub workers: u32,
}

/// A request that no worker could deal with.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// The request's id, as the message names it.
    pub id: String,
    /// The queue it was in.
    pub queue: String,
    /// Why it is here.
    pub reason: String,
    /// The message's length in bytes.
    pub length: usize,
}
