//! A worker's life: take requests from the queue of its role, judge them, do the step, answer, acknowledge. It may die at
//! any instant: what was not acknowledged is delivered again, to it or to a standby, and the same request gets the
//! recorded answer.

use super::answers::{Answers, certifiers};
use super::policy::{Sender, check_content, check_request, check_rights};
use super::remote::{RemoteRoles, base_of};
use super::turned_away::TurnedAway;
use super::{Workers, refusal};
use crate::broker::{Ask, Broker, Delivery, FileReference, Incoming, Reply, Request, Sealed, Subject, WorkerRole};
use crate::failure::{Failure, Kind, Result};
use crate::keys::{RoleSigner, Signers};
use crate::metadata::{PublicKey, Role};
use crate::operation::Workspace;
use crate::operation::rotate::bins_behind;
use crate::operation::workspace::bins_unsigned;
use crate::policy::bins::check_bin_keys;
use crate::repository::{Committed, Committer, Edit, Home, Present, Progress, Quiet, View, Written};
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So many requests are committed together at most.
const BATCH: u16 = 256;
/// So many messages the other workers take at once: each request is its own step, and a flood is buried together.
const FEW: u16 = 64;
/// How long a worker looks for more requests once it has one.
const GATHER: Duration = Duration::from_millis(5);
/// How long a wait lasts before the worker looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(500);
/// A request that failed so often for reasons of the store or the broker is not tried again.
const TRIES: u64 = 15;
/// How often old requests and results are swept.
const SWEEP: Duration = Duration::from_secs(3600);

/// What a worker tells.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// It is connected and takes requests.
    Ready,
    /// Work is paused, or goes on.
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
        failure: &'a Failure,
    },
    /// Something failed and is tried again.
    Trouble(&'a Failure),
}

/// Serves one role until `stop`: the running work is finished then.
pub fn serve(workspace: &Workspace, role: WorkerRole, stop: &AtomicBool, log: &(dyn Fn(Event<'_>) + Sync)) -> Result<()> {
    let workers = workspace.workers.as_ref().ok_or_else(|| {
        Failure::invalid("a worker needs a broker, and the config names none")
            .hint("set `broker: amqps://user@host` and `workers:`; docs/workers.md shows how")
    })?;
    let pinned = workspace.pinned()?;
    let identity = workers.identity(workspace.passphrases.as_ref())?;
    let own = match role {
        WorkerRole::Targets => Role::Targets,
        WorkerRole::Snapshot => Role::Snapshot,
        WorkerRole::Timestamp => Role::Timestamp,
    };
    let present = workspace.load()?;
    workspace.begin_changes_even_paused()?;
    workspace.compare_clocks();
    let signers = workspace.worker_signers(&present, own)?;
    let repository = super::super::workspace::identity(&pinned);
    let answers = Answers::new(identity.clone(), &signers, &repository, role);
    // A key that cannot certify is met before any request is.
    answers.credential(workspace.now())?;
    let turned_away = TurnedAway::default();
    let worker = Worker { workspace, workers, role, pinned, identity, signers, repository, answers, turned_away, log };
    let mut swept = Instant::now();
    let mut told: Option<(String, Instant)> = None;
    while !stop.load(Ordering::Relaxed) {
        let Err(failure) = worker.connected(stop, &mut swept) else { continue };
        if failure.kind != Kind::Storage {
            return Err(failure);
        }
        // The same trouble once a minute is enough.
        if told.as_ref().is_none_or(|(message, at)| *message != failure.message || at.elapsed() > Duration::from_secs(60)) {
            log(Event::Trouble(&failure));
            told = Some((failure.message.clone(), Instant::now()));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

struct Worker<'a> {
    workspace: &'a Workspace,
    workers: &'a Workers,
    role: WorkerRole,
    pinned: Vec<u8>,
    identity: Arc<dyn RoleSigner>,
    signers: Signers,
    repository: String,
    answers: Answers,
    turned_away: TurnedAway,
    log: &'a (dyn Fn(Event<'_>) + Sync),
}

/// A message that is a request of a known sender.
struct Genuine<'a> {
    delivery: Delivery,
    sealed: Sealed,
    request: Request,
    sender: &'a Sender,
    subject: Subject,
}

/// A genuine request that is to be fulfilled.
struct Accepted {
    delivery: Delivery,
    request: Request,
    subject: Subject,
    edit: Edit,
}

impl Worker<'_> {
    /// Serves over one connection until it breaks or `stop`.
    fn connected(&self, stop: &AtomicBool, swept: &mut Instant) -> Result<()> {
        let broker = self.workers.connect(&self.repository)?;
        let at_once = if self.role == WorkerRole::Targets { BATCH } else { FEW };
        let mut incoming: Option<Incoming> = None;
        let mut paused = false;
        while !stop.load(Ordering::Relaxed) {
            let pause = self.role == WorkerRole::Targets && self.workspace.shared.pause()?.is_some();
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
                    let serving = broker.serve(self.role, at_once)?;
                    (self.log)(Event::Ready);
                    none.insert(serving)
                }
            };
            if swept.elapsed() > SWEEP && self.role == WorkerRole::Targets {
                self.workspace.shared.sweep()?;
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
        broker.bury(&dead)?;
        Ok(genuine)
    }

    /// Checks who asks, for which repository and role, and until when.
    fn open(&self, body: &[u8]) -> Result<(Sealed, Request, &Sender)> {
        let sealed = Sealed::parse(body)?;
        let request = sealed.open(|name| self.workers.senders.get(name).map(|sender| &sender.key))?;
        request.check(&self.repository, self.workspace.now())?;
        let fits = match request.ask {
            Ask::Targets { .. } => WorkerRole::Targets,
            Ask::Snapshot { .. } => WorkerRole::Snapshot,
            Ask::Timestamp { .. } => WorkerRole::Timestamp,
        };
        if fits != self.role {
            return Err(Failure::invalid(format!("request {} is for the {fits} worker; this one signs {} only", request.id, self.role)));
        }
        let sender = self.workers.senders.get(&request.sender).ok_or_else(|| Failure::new(Kind::Unexpected, "a sender came and went"))?;
        Ok((sealed, request, sender))
    }

    /// A batch of requests to the targets worker, committed together.
    fn targets(&self, broker: &Broker, batch: Vec<Genuine<'_>>) -> Result<()> {
        let mut accepted: Vec<Accepted> = Vec::new();
        for Genuine { delivery, sealed, request, sender, subject } in batch {
            if let Some(other) = accepted.iter().find(|other| other.request.id == request.id) {
                if other.subject == subject {
                    // The same request twice: the first is answered, and so is this one then.
                    broker.acknowledge(&delivery)?;
                } else {
                    self.bury(broker, delivery, &taken(&request.id))?;
                }
                continue;
            }
            match self.accept(&sealed, &request, sender, &subject) {
                Ok(Opened::New(edit)) => accepted.push(Accepted { delivery, request, subject, edit: *edit }),
                Ok(Opened::Recorded(record)) => {
                    broker.answer(&request.id, &record)?;
                    broker.acknowledge(&delivery)?;
                }
                Ok(Opened::Taken) => self.bury(broker, delivery, &taken(&request.id))?,
                Ok(Opened::Unwanted(failure)) => {
                    let unwanted = Accepted { delivery, request, subject, edit: Edit::default() };
                    self.conclude(broker, &unwanted, &refusal(&failure), Some(&failure))?;
                }
                Err(failure) => self.turn_away(broker, delivery, &subject, &failure)?,
            }
        }
        // A change of bins comes alone.
        let (alone, together): (Vec<Accepted>, Vec<Accepted>) = accepted.into_iter().partition(|accepted| accepted.edit.rebin.is_some());
        if !together.is_empty() {
            self.commit(broker, together)?;
        }
        alone.into_iter().try_for_each(|accepted| self.commit(broker, vec![accepted]))
    }

    /// What to do with a genuine request.
    fn accept(&self, sealed: &Sealed, request: &Request, sender: &Sender, subject: &Subject) -> Result<Opened> {
        let Ask::Targets { changes } = &request.ask else { return Err(Failure::new(Kind::Unexpected, "a request of another kind")) };
        if let Some(record) = self.workspace.shared.result(&request.id)? {
            // Any process that can write to the state store could have put a file there: what no targets worker signed is
            // no result, and the request is looked at again.
            let certifiers = certifiers(&self.workspace.load()?, self.role);
            let now = self.workspace.now();
            if Reply::open(&record, subject, &certifiers, now).is_ok() {
                return Ok(Opened::Recorded(record));
            }
            if Reply::is_about_another(&record, subject, &certifiers, now) {
                return Ok(Opened::Taken);
            }
        }
        let edit = Edit::from_change_set(&self.workspace.shared.changes(&request.id, changes)?)?;
        if let Err(failure) = check_request(sender, &self.workers.limits, &edit) {
            return Ok(Opened::Unwanted(failure));
        }
        self.workspace.shared.put_request(&request.id, sealed)?;
        Ok(Opened::New(Box::new(edit)))
    }

    /// Commits a batch and tells each its own result.
    fn commit(&self, broker: &Broker, batch: Vec<Accepted>) -> Result<()> {
        let mut present = match self.workspace.load() {
            Ok(present) => present,
            Err(failure) => return self.try_again(broker, batch, &failure),
        };
        let storage = self.workspace.storage.as_ref();
        let names: Vec<String> = batch.iter().flat_map(|accepted| accepted.edit.names_to_read()).collect();
        if let Err(failure) = present.read_bins_of(storage, names.iter().map(String::as_str)) {
            return self.try_again(broker, batch, &failure);
        }
        let mut view = View::new(&present);
        let mut good = Vec::new();
        // Each is judged in the state that those before it leave.
        for accepted in batch {
            let now = self.workspace.now();
            let judged =
                self.check_bins(&present, &accepted.edit).and_then(|()| view.after(&accepted.edit, storage, now)).and_then(|more| {
                    check_content(storage, &self.workers.limits, (&present, &view), &more, now)?;
                    Ok(more)
                });
            match judged {
                Ok(more) => {
                    view.made.extend(more);
                    good.push(accepted);
                }
                Err(failure) if failure.kind == Kind::Storage => self.try_again(broker, vec![accepted], &failure)?,
                Err(failure) => self.conclude(broker, &accepted, &refusal(&failure), Some(&failure))?,
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        // A request that has the targets role signed again also has the bins follow its keys; like every change of bins, alone.
        if let Some(rekey) = bins_behind(self.workspace, &present)? {
            let renews = |edit: &Edit| edit.renewals.iter().any(|renewal| renewal.role == Role::Targets.name());
            if good.len() > 1 && good.iter().any(|accepted| renews(&accepted.edit)) {
                let (alone, together): (Vec<Accepted>, Vec<Accepted>) = good.into_iter().partition(|accepted| renews(&accepted.edit));
                if !together.is_empty() {
                    self.commit(broker, together)?;
                }
                return alone.into_iter().try_for_each(|accepted| self.commit(broker, vec![accepted]));
            }
            good.iter_mut().filter(|accepted| renews(&accepted.edit)).for_each(|accepted| accepted.edit.rekey = Some(rekey.clone()));
        }
        let edits: Vec<Edit> = good.iter().map(|accepted| accepted.edit.clone()).collect();
        let told = Told { broker, answers: &self.answers, now: self.workspace.now(), batch: &good };
        self.notice(&present)?;
        let result = self.with_upper(&good, |upper| {
            let committer = Committer { progress: &told, upper: Some(upper), ..self.committer() };
            committer.commit_all(present, &edits)
        });
        match result {
            Ok(answers) => {
                for (accepted, answer) in good.iter().zip(answers) {
                    match answer {
                        Ok(committed) => self.conclude(broker, accepted, &done(&committed), None)?,
                        Err(failure) => self.conclude(broker, accepted, &refusal(&failure), Some(&failure))?,
                    }
                }
                Ok(())
            }
            // Something about one of them; alone, it fails alone.
            Err(failure) if failure.kind != Kind::Storage && good.len() > 1 => {
                (self.log)(Event::Trouble(&failure));
                good.into_iter().try_for_each(|accepted| self.commit(broker, vec![accepted]))
            }
            Err(failure) if failure.kind == Kind::Storage || failure.kind == Kind::Conflict => self.try_again(broker, good, &failure),
            Err(failure) => good.into_iter().try_for_each(|accepted| self.conclude(broker, &accepted, &refusal(&failure), Some(&failure))),
        }
    }

    /// Refuses bins with keys that a request brings along, and changes in bins that the keys at hand cannot sign.
    fn check_bins(&self, present: &Present, edit: &Edit) -> Result<()> {
        let at_hand = self.signers.get(&Role::Targets).map_or(&[][..], Vec::as_slice);
        let known: Vec<(String, PublicKey)> = present.keys_in_bins()?.into_iter().flat_map(|(keys, _)| keys).collect();
        if let Some(rebin) = &edit.rebin {
            let own: Vec<PublicKey> = at_hand.iter().map(|signer| signer.public().clone()).collect();
            return check_bin_keys(present.trust.root(), &known, &own, &rebin.keys, rebin.threshold);
        }
        let Some(bins) = &present.bins else { return Ok(()) };
        let mut touches = false;
        for name in edit.names() {
            touches |= present.home(name)? != Home::Top;
        }
        if touches { bins.check_signers(at_hand).map_err(|failure| bins_unsigned(present, failure)) } else { Ok(()) }
    }

    fn with_upper<T>(&self, batch: &[Accepted], work: impl FnOnce(&RemoteRoles<'_>) -> Result<T>) -> Result<T> {
        let fulfils = batch.iter().map(|accepted| accepted.request.id.clone()).collect();
        // A connection of its own: replies to this worker's requests and requests to it do not meet.
        let broker = Mutex::new(self.workers.connect(&self.repository)?);
        let (workers, identity, clock) = (self.workers, self.identity.clone(), &*self.workspace.clock);
        work(&RemoteRoles { workers, identity, broker, repository: self.repository.clone(), fulfils, clock })
    }

    /// A request to the snapshot or the timestamp worker.
    fn upper(&self, broker: &Broker, genuine: Genuine<'_>) -> Result<()> {
        let Genuine { delivery, request, sender, subject, .. } = genuine;
        let reply = match self.upper_step(&request, sender) {
            Ok(reply) => reply,
            Err(failure) => {
                (self.log)(Event::Refused { id: &request.id, failure: &failure });
                refusal(&failure)
            }
        };
        if let Reply::Signed { file } = &reply {
            (self.log)(Event::Done { id: &request.id, sender: &request.sender, what: format!("{} {} signed", self.role, file.version) });
        }
        broker.answer(&request.id, &self.answers.seal(&reply, &subject, self.workspace.now())?)?;
        broker.acknowledge(&delivery)
    }

    fn upper_step(&self, request: &Request, sender: &Sender) -> Result<Reply> {
        let mut present = self.workspace.load()?;
        self.notice(&present)?;
        let (base, renews) = match &request.ask {
            Ask::Snapshot { base, roles, .. } => (base, roles.is_empty()),
            Ask::Timestamp { base, snapshot } => (base, snapshot.is_none()),
            Ask::Targets { .. } => return Err(Failure::new(Kind::Unexpected, "a request of another kind")),
        };
        if renews && !sender.may.contains(&super::Right::Refresh) {
            return Err(Failure::new(Kind::Permission, "this sender may not ask for `refresh`"));
        }
        if *base != base_of(&present) {
            return Ok(Reply::Again);
        }
        let committer = self.committer();
        let file = match &request.ask {
            Ask::Snapshot { roles, fulfils, .. } => {
                let asked = fulfils.iter().map(|id| self.evidence(id)).collect::<Result<Vec<Edit>>>()?;
                let roles: Vec<(String, Written)> = roles.iter().map(|role| (role.role.clone(), written(&role.file))).collect();
                let signed = committer.list_roles(&mut present, &roles, &asked)?;
                signed.map(|signed| FileReference { version: signed.version, sha256: signed.sha256 })
            }
            Ask::Timestamp { snapshot, .. } => {
                if committer.show_snapshot(&present, snapshot.as_ref().map(written).as_ref())? {
                    let published = self.workspace.load()?;
                    self.workspace.remember(&published.versions())?;
                    Some(base_of(&published))
                } else {
                    None
                }
            }
            Ask::Targets { .. } => None,
        };
        Ok(file.map_or(Reply::Again, |file| Reply::Signed { file }))
    }

    /// Remembers a published state, so that this worker too refuses an older one. Not while older ones are accepted: what was
    /// seen before is what versions go on above.
    fn notice(&self, present: &Present) -> Result<()> {
        if self.workspace.accept_rollback { Ok(()) } else { self.workspace.remember(&present.versions()) }
    }

    /// What a request that is being fulfilled asked for, under the signature of a sender who may.
    fn evidence(&self, id: &str) -> Result<Edit> {
        let sealed = self.workspace.shared.request(id)?;
        let request = sealed.open(|name| self.workers.senders.get(name).map(|sender| &sender.key))?;
        request.check(&self.repository, self.workspace.now())?;
        let edit = match &request.ask {
            Ask::Targets { changes } if request.id == id => Edit::from_change_set(&self.workspace.shared.changes(id, changes)?)?,
            _ => return Err(Failure::invalid(format!("request {id} is not one to the targets worker"))),
        };
        if let Some(sender) = self.workers.senders.get(&request.sender) {
            check_rights(sender, self.workers.limits.elsewhere, &edit)?;
        }
        Ok(edit)
    }

    fn committer(&self) -> Committer<'_> {
        // Each step is told to whoever asked; here it is one line in the log when all is done.
        Committer { progress: &Quiet, ..self.workspace.committer(&self.pinned, &self.signers) }
    }

    /// Records how a request ended, replies to its sender, and lets the broker forget it.
    fn conclude(&self, broker: &Broker, accepted: &Accepted, reply: &Reply, failure: Option<&Failure>) -> Result<()> {
        let id = accepted.request.id.as_str();
        let sealed = self.answers.seal(reply, &accepted.subject, self.workspace.now())?;
        self.workspace.shared.put_result(id, &sealed)?;
        match (reply, failure) {
            (_, Some(failure)) => (self.log)(Event::Refused { id, failure }),
            (Reply::Done { changed, .. }, _) => {
                let what =
                    format!("{} targets {}", accepted.edit.changes.len(), if *changed { "published" } else { "were published already" });
                (self.log)(Event::Done { id, sender: &accepted.request.sender, what });
            }
            _ => {}
        }
        broker.answer(id, &sealed)?;
        broker.acknowledge(&accepted.delivery)
    }

    /// Logs a message that goes to the dead letters, unless there are too many.
    fn note(&self, delivery: &Delivery, failure: &Failure) {
        if self.turned_away.is_to_be_logged(&failure.message, Instant::now()) {
            (self.log)(Event::Refused { id: &delivery.id(), failure });
        }
    }

    /// A request that is of no use: it goes to the dead letters unanswered.
    fn bury(&self, broker: &Broker, delivery: Delivery, failure: &Failure) -> Result<()> {
        self.note(&delivery, failure);
        broker.bury(&[(delivery, failure.message.clone())])
    }

    /// A genuine request that cannot be looked at: its sender is told, and it can be looked at among the dead letters.
    fn turn_away(&self, broker: &Broker, delivery: Delivery, subject: &Subject, failure: &Failure) -> Result<()> {
        if failure.kind == Kind::Storage {
            (self.log)(Event::Trouble(failure));
            std::thread::sleep(Duration::from_secs(1));
            return broker.give_back(&delivery);
        }
        (self.log)(Event::Refused { id: &subject.request, failure });
        broker.answer(&subject.request, &self.answers.seal(&refusal(failure), subject, self.workspace.now())?)?;
        broker.bury(&[(delivery, failure.message.clone())])
    }

    /// The store or another worker failed: later, or after too many tries never.
    fn try_again(&self, broker: &Broker, batch: Vec<Accepted>, failure: &Failure) -> Result<()> {
        (self.log)(Event::Trouble(failure));
        std::thread::sleep(Duration::from_secs(1));
        for accepted in batch {
            if accepted.delivery.earlier() < TRIES {
                broker.give_back(&accepted.delivery)?;
                continue;
            }
            let (id, reply) = (accepted.request.id.as_str(), refusal(failure));
            let sealed = self.answers.seal(&reply, &accepted.subject, self.workspace.now())?;
            self.workspace.shared.put_result(id, &sealed)?;
            broker.answer(id, &sealed)?;
            broker.bury(&[(accepted.delivery, format!("given up after {TRIES} tries: {}", failure.message))])?;
        }
        Ok(())
    }
}

fn done(committed: &Committed) -> Reply {
    Reply::Done { changed: committed.changed, snapshot: committed.versions.snapshot }
}

fn taken(id: &str) -> Failure {
    Failure::new(Kind::Permission, format!("request {id} has the id of another request"))
}

/// What is to be done with a genuine request.
enum Opened {
    /// It may be fulfilled.
    New(Box<Edit>),
    /// It was answered before, with this reply.
    Recorded(Vec<u8>),
    /// Another request with its id was answered before.
    Taken,
    /// Its sender may not make it.
    Unwanted(Failure),
}

fn written(file: &FileReference) -> Written {
    Written { version: file.version, sha256: file.sha256.clone() }
}

/// Reports each step to the senders of a batch; one that does not listen misses nothing that is not recorded.
struct Told<'a> {
    broker: &'a Broker,
    answers: &'a Answers,
    now: DateTime<Utc>,
    batch: &'a [Accepted],
}

impl Progress for Told<'_> {
    fn phase(&self, _: &str) {}
    fn expect(&self, _: u64, _: u64) {}
    fn bytes(&self, _: u64) {}
    fn file(&self) {}

    fn status(&self, line: &str) {
        let status = Reply::Status { line: line.into() };
        for accepted in self.batch {
            if let Ok(message) = self.answers.seal(&status, &accepted.subject, self.now) {
                let _ = self.broker.answer(&accepted.request.id, &message);
            }
        }
    }
}
