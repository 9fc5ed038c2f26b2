//! `publish queue`: what waits for the workers, and the requests that none could deal with.

use super::Publisher;
use crate::broker::{Broker, DeadLetter, QueueState};
use crate::error::{Error, Result};
use serde::Serialize;

/// What to do with the dead letters of these ids.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Look only.
    None,
    /// Send them to the queue they came from.
    Requeue(Vec<String>),
    /// Remove them.
    Drop(Vec<String>),
}

/// The state.
#[derive(Debug, Serialize)]
pub struct QueueReport {
    /// The queues, the dead letters' last.
    pub queues: Vec<QueueState>,
    /// The dead letters.
    pub dead: Vec<Letter>,
}

/// One dead letter.
#[derive(Debug, Serialize)]
pub struct Letter {
    /// What it is.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Whether it was requeued or removed now.
    pub taken: bool,
}

/// Looks at the queues, and at each dead letter.
pub fn queue(publisher: &Publisher, selection: &Selection) -> Result<QueueReport> {
    let none = || {
        Error::invalid("the config has no `broker`: this publisher signs without workers, so there are no queues")
            .hint("docs/workers.md describes the set-up of workers")
    };
    let workers = publisher.workers.as_ref().ok_or_else(none)?;
    let broker = Broker::connect(&workers.broker, &super::publisher::identity(&publisher.pinned()?))?;
    let (chosen, requeue) = match selection {
        Selection::None => (&[][..], false),
        Selection::Requeue(ids) => (ids.as_slice(), true),
        Selection::Drop(ids) => (ids.as_slice(), false),
    };
    let take = |letter: &DeadLetter| chosen.contains(&letter.id);
    let dead = broker.dead_letters(take, requeue)?.into_iter().map(|(letter, taken)| Letter { letter, taken }).collect();
    Ok(QueueReport { queues: broker.states()?, dead })
}
