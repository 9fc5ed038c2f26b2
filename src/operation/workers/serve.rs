//! A worker's life: take requests from the queue of its role, judge them, do the step, answer, acknowledge. It may die at
//! any instant: what was not acknowledged is delivered again, to it or to a standby, and the same request gets the
//! recorded answer.

use super::Workers;
use super::answers::Answers;
use super::policy::Sender;
use super::turned_away::TurnedAway;
use crate::broker::{Ask, Broker, Delivery, Incoming, Request, Sealed, Subject, WorkerRole};
use crate::error::{Error, Kind, Result};
use crate::keys::{RoleSigner, Signers};
use crate::metadata::Role;
use crate::operation::Publisher;
use crate::repository::{Committer, Present, Quiet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// So many requests are committed together at most.
const BATCH: u16 = 256;
/// So many messages the other workers take at once: each request is its own step, and many invalid ones are moved together.
const FEW: u16 = 64;
/// How long a worker looks for more requests once it has one.
const GATHER: Duration = Duration::from_millis(5);
/// How long a wait lasts before the worker looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(500);
/// So often in a row a queue may be unready, half a second apart.
const MOST_UNREADY: u32 = 20;
/// How often old requests and results are swept.
const SWEEP: Duration = Duration::from_secs(3600);

/// The events of a worker.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// It is connected and takes requests.
    Ready,
    /// Work is paused, or resumed.
    Paused(bool),
    /// A request was carried out.
    Done {
        /// Its id.
        id: &'a str,
        /// Who asked.
        sender: &'a str,
        /// What for and how it ended.
        what: String,
    },
    /// A request was refused.
    Refused {
        /// Its id, if that could be read.
        id: &'a str,
        /// Why.
        failure: &'a Error,
    },
    /// Something failed and is tried again.
    Trouble(&'a Error),
}

/// Serves one role until `stop`: the running work is finished then.
pub fn serve(publisher: &Publisher, role: WorkerRole, stop: &AtomicBool, log: &(dyn Fn(Event<'_>) + Sync)) -> Result<()> {
    let workers = publisher.workers.as_ref().ok_or_else(|| {
        Error::invalid("a worker needs a broker, and the config has no `broker`")
            .hint("set `broker: amqps://user@host` and `workers:`; see docs/workers.md")
    })?;
    let pinned = publisher.pinned()?;
    let identity = workers.identity(publisher.keyring.passphrases.as_ref())?;
    let own = match role {
        WorkerRole::Targets => Role::Targets,
        WorkerRole::Snapshot => Role::Snapshot,
        WorkerRole::Timestamp => Role::Timestamp,
    };
    let present = publisher.load()?;
    publisher.begin_changes_even_paused()?;
    publisher.compare_clocks();
    let signers = publisher.worker_signers(&present, own)?;
    let repository = super::super::publisher::identity(&pinned);
    let answers = Answers::new(identity.clone(), &signers, &repository, role);
    // A key that cannot certify is met before any request is.
    answers.credential(publisher.now())?;
    let turned_away = TurnedAway::default();
    let worker =
        Worker { publisher, workers, role, pinned, identity, signers, repository, answers, turned_away, unready: AtomicU32::new(0), log };
    let mut swept = Instant::now();
    let mut reported: Option<(String, Instant)> = None;
    while !stop.load(Ordering::Relaxed) {
        let Err(failure) = worker.connected(stop, &mut swept) else { continue };
        if failure.kind != Kind::Storage {
            return Err(failure);
        }
        // The same trouble once a minute is enough.
        if reported.as_ref().is_none_or(|(message, at)| *message != failure.message || at.elapsed() > Duration::from_secs(60)) {
            log(Event::Trouble(&failure));
            reported = Some((failure.message.clone(), Instant::now()));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

pub(super) struct Worker<'a> {
    pub(super) publisher: &'a Publisher,
    pub(super) workers: &'a Workers,
    pub(super) role: WorkerRole,
    pub(super) pinned: Vec<u8>,
    pub(super) identity: Arc<dyn RoleSigner>,
    pub(super) signers: Signers,
    pub(super) repository: String,
    pub(super) answers: Answers,
    pub(super) turned_away: TurnedAway,
    /// How often in a row the queue was not ready.
    pub(super) unready: AtomicU32,
    pub(super) log: &'a (dyn Fn(Event<'_>) + Sync),
}

/// A message that is a request of a known sender.
pub(super) struct Genuine<'a> {
    pub(super) delivery: Delivery,
    pub(super) sealed: Sealed,
    pub(super) request: Request,
    pub(super) sender: &'a Sender,
    pub(super) subject: Subject,
}

impl Worker<'_> {
    /// Another process is still making the queue: the next connection may find it ready.
    fn wait_for_queue(&self) -> Result<()> {
        if self.unready.fetch_add(1, Ordering::Relaxed) > MOST_UNREADY {
            return Err(Error::new(Kind::Storage, format!("the queue of the {} worker stays unusable", self.role))
                .hint("the broker's log has the reason; delete the queue there if it is damaged, then it is made anew"));
        }
        std::thread::sleep(GLANCE);
        Ok(())
    }

    /// Serves over one connection until it breaks or `stop`.
    fn connected(&self, stop: &AtomicBool, swept: &mut Instant) -> Result<()> {
        let broker = self.workers.connect(&self.repository)?;
        let at_once = if self.role == WorkerRole::Targets { BATCH } else { FEW };
        let mut incoming: Option<Incoming> = None;
        let mut paused = false;
        while !stop.load(Ordering::Relaxed) {
            let pause = self.role == WorkerRole::Targets && self.publisher.shared.pause()?.is_some();
            if pause != paused {
                paused = pause;
                (self.log)(Event::Paused(paused));
            }
            if paused {
                if let Some(incoming) = incoming.take() {
                    broker.stop(&incoming)?;
                }
                std::thread::sleep(GLANCE);
                continue;
            }
            let taking = match &mut incoming {
                Some(incoming) => incoming,
                none => {
                    let Some(serving) = broker.serve(self.role, at_once)? else {
                        return self.wait_for_queue();
                    };
                    self.unready.store(0, Ordering::Relaxed);
                    (self.log)(Event::Ready);
                    none.insert(serving)
                }
            };
            if swept.elapsed() > SWEEP && self.role == WorkerRole::Targets {
                self.publisher.shared.sweep()?;
                *swept = Instant::now();
            }
            let first = broker.next(taking, GLANCE)?;
            if let Some(failure) = self.turned_away.summary(Instant::now()) {
                (self.log)(Event::Refused { id: "", failure: &failure });
            }
            let Some(first) = first else { continue };
            let mut batch = vec![first];
            while batch.len() < usize::from(at_once)
                && let Some(next) = broker.next(taking, GATHER)?
            {
                batch.push(next);
            }
            let genuine = self.sift(&broker, batch)?;
            match self.role {
                WorkerRole::Targets => self.targets(&broker, genuine)?,
                WorkerRole::Snapshot | WorkerRole::Timestamp => {
                    genuine.into_iter().try_for_each(|genuine| self.upper(&broker, genuine))?;
                }
            }
        }
        Ok(())
    }

    /// Separates authenticated requests from all other messages, which go to the dead letters before anything else is done,
    /// and are never answered.
    fn sift(&self, broker: &Broker, batch: Vec<Delivery>) -> Result<Vec<Genuine<'_>>> {
        let (mut genuine, mut dead) = (Vec::new(), Vec::new());
        for delivery in batch {
            match self.open(delivery.body()) {
                Ok((sealed, request, sender)) => {
                    let subject = Subject::new(&self.repository, self.role, &request.id, &sealed);
                    genuine.push(Genuine { delivery, sealed, request, sender, subject });
                }
                Err(failure) => {
                    self.note(&delivery, &failure);
                    dead.push((delivery, failure.message));
                }
            }
        }
        broker.dead_letter(&dead)?;
        Ok(genuine)
    }

    /// Checks who asks, for which repository and role, and until when.
    fn open(&self, body: &[u8]) -> Result<(Sealed, Request, &Sender)> {
        let sealed = Sealed::parse(body)?;
        let request = sealed.open(|name| self.workers.senders.get(name).map(|sender| &sender.key))?;
        request.check(&self.repository, self.publisher.now())?;
        let fits = match request.ask {
            Ask::Targets { .. } => WorkerRole::Targets,
            Ask::Snapshot { .. } => WorkerRole::Snapshot,
            Ask::Timestamp { .. } => WorkerRole::Timestamp,
        };
        if fits != self.role {
            return Err(Error::invalid(format!("request {} is for the {fits} worker; this one signs {} only", request.id, self.role)));
        }
        let sender = self.workers.senders.get(&request.sender).ok_or_else(|| Error::new(Kind::Unexpected, "a sender disappeared"))?;
        Ok((sealed, request, sender))
    }

    /// Remembers a published state, so that this worker too refuses an older one. Not while older ones are accepted: what was
    /// seen before is what versions go on above.
    pub(super) fn notice(&self, present: &Present) -> Result<()> {
        if self.publisher.accept_rollback { Ok(()) } else { self.publisher.remember(&present.versions()) }
    }

    pub(super) fn committer(&self) -> Committer<'_> {
        // Each step is reported to the caller; here it is one line in the log when all is done.
        Committer { progress: &Quiet, ..self.publisher.committer(&self.pinned, &self.signers) }
    }

    /// Logs a message that goes to the dead letters, unless there are too many.
    pub(super) fn note(&self, delivery: &Delivery, failure: &Error) {
        if self.turned_away.is_to_be_logged(&failure.message, Instant::now()) {
            (self.log)(Event::Refused { id: &delivery.id(), failure });
        }
    }

    /// An invalid request: it is moved to the dead letters unanswered.
    pub(super) fn dead_letter(&self, broker: &Broker, delivery: Delivery, failure: &Error) -> Result<()> {
        self.note(&delivery, failure);
        broker.dead_letter(&[(delivery, failure.message.clone())])
    }
}
