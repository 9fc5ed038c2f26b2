//! The targets worker: requests are judged one after the other, and committed together.

use super::answers::{Answers, certifiers};
use super::policy::{Sender, check_content, check_request};
use super::refusal;
use super::remote::RemoteRoles;
use super::serve::{Event, Genuine, Worker};
use crate::broker::{Ask, Broker, Delivery, Reply, Request, Sealed, Subject};
use crate::error::{Error, Kind, Result};
use crate::metadata::{PublicKey, Role};
use crate::operation::publisher::bins_unsigned;
use crate::operation::root::rotate::bins_behind;
use crate::policy::bins::check_bin_keys;
use crate::repository::{Committed, Committer, Edit, Home, Present, Progress, View};
use chrono::{DateTime, Utc};
use std::sync::Mutex;
use std::time::Duration;

/// A request that failed so often for reasons of the store or the broker is not tried again.
const TRIES: u64 = 15;

/// A genuine request that is to be fulfilled.
struct Accepted {
    delivery: Delivery,
    request: Request,
    subject: Subject,
    edit: Edit,
}

impl Worker<'_> {
    /// A batch of requests to the targets worker, committed together.
    pub(super) fn targets(&self, broker: &Broker, batch: Vec<Genuine<'_>>) -> Result<()> {
        let mut accepted: Vec<Accepted> = Vec::new();
        for Genuine { delivery, sealed, request, sender, subject } in batch {
            if let Some(other) = accepted.iter().find(|other| other.request.id == request.id) {
                if other.subject == subject {
                    // The same request twice: the first is answered, and so is this one then.
                    broker.acknowledge(&delivery)?;
                } else {
                    self.dead_letter(broker, delivery, &taken(&request.id))?;
                }
                continue;
            }
            match self.accept(&sealed, &request, sender, &subject) {
                Ok(Opened::New(edit)) => accepted.push(Accepted { delivery, request, subject, edit: *edit }),
                Ok(Opened::Recorded(record)) => {
                    broker.answer(&request.id, &record)?;
                    broker.acknowledge(&delivery)?;
                }
                Ok(Opened::Taken) => self.dead_letter(broker, delivery, &taken(&request.id))?,
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
        let Ask::Targets { changes } = &request.ask else { return Err(Error::new(Kind::Unexpected, "a request of another kind")) };
        if let Some(record) = self.publisher.shared.result(&request.id)? {
            // Any process that can write to the state store could have put a file there: what no targets worker signed is
            // no result, and the request is looked at again.
            let certifiers = certifiers(&self.publisher.load()?, self.role);
            let now = self.publisher.now();
            if Reply::open(&record, subject, &certifiers, now).is_ok() {
                return Ok(Opened::Recorded(record));
            }
            if Reply::is_about_another(&record, subject, &certifiers, now) {
                return Ok(Opened::Taken);
            }
        }
        // The sender signed for these bytes: what is wrong with them is the sender's to hear.
        let edit = match Edit::from_change_set(&self.publisher.shared.changes(&request.id, changes)?) {
            Ok(edit) => edit,
            Err(failure) => return Ok(Opened::Unwanted(failure)),
        };
        if let Err(failure) = check_request(sender, &self.workers.limits, &edit) {
            return Ok(Opened::Unwanted(failure));
        }
        self.publisher.shared.put_request(&request.id, sealed)?;
        Ok(Opened::New(Box::new(edit)))
    }

    /// Commits a batch and sends each sender its own result.
    fn commit(&self, broker: &Broker, batch: Vec<Accepted>) -> Result<()> {
        let mut present = match self.publisher.load() {
            Ok(present) => present,
            Err(failure) => return self.try_again(broker, batch, &failure),
        };
        let storage = self.publisher.storage.as_ref();
        let names: Vec<String> = batch.iter().flat_map(|accepted| accepted.edit.names_to_read()).collect();
        let asked: Vec<Edit> = batch.iter().map(|accepted| accepted.edit.clone()).collect();
        let read = present.read_bins_of(storage, names.iter().map(String::as_str));
        // New names are judged beside those that they must not collide with, which may be in other bins.
        if let Err(failure) = read.and_then(|()| present.read_bins_around(storage, &asked)) {
            return self.try_again(broker, batch, &failure);
        }
        let mut view = View::new(&present);
        let mut good = Vec::new();
        // Each is judged in the state that those before it leave.
        for accepted in batch {
            let now = self.publisher.now();
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
        if let Some(rekey) = bins_behind(self.publisher, &present)? {
            let renews = |edit: &Edit| edit.renewals.iter().any(|renewal| renewal.role == Role::Targets);
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
        let reporting = Reporting { broker, answers: &self.answers, now: self.publisher.now(), batch: &good };
        self.notice(&present)?;
        let result = self.with_upper(&good, |upper| {
            let committer = Committer { progress: &reporting, upper: Some(upper), ..self.committer() };
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
        let (workers, identity, clock) = (self.workers, self.identity.clone(), self.publisher.clock());
        work(&RemoteRoles { workers, identity, broker, repository: self.repository.clone(), fulfils, clock })
    }

    /// Records how a request ended, replies to its sender, and lets the broker forget it.
    fn conclude(&self, broker: &Broker, accepted: &Accepted, reply: &Reply, failure: Option<&Error>) -> Result<()> {
        let id = accepted.request.id.as_str();
        let sealed = self.answers.seal(reply, &accepted.subject, self.publisher.now())?;
        self.publisher.shared.put_result(id, &sealed)?;
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

    /// A genuine request that cannot be looked at: its sender is informed, and it is kept among the dead letters.
    fn turn_away(&self, broker: &Broker, delivery: Delivery, subject: &Subject, failure: &Error) -> Result<()> {
        if failure.kind == Kind::Storage {
            (self.log)(Event::Trouble(failure));
            std::thread::sleep(Duration::from_secs(1));
            return broker.give_back(&delivery);
        }
        (self.log)(Event::Refused { id: &subject.request, failure });
        broker.answer(&subject.request, &self.answers.seal(&refusal(failure), subject, self.publisher.now())?)?;
        broker.dead_letter(&[(delivery, failure.message.clone())])
    }

    /// The store or another worker failed: later, or after too many tries never.
    fn try_again(&self, broker: &Broker, batch: Vec<Accepted>, failure: &Error) -> Result<()> {
        (self.log)(Event::Trouble(failure));
        std::thread::sleep(Duration::from_secs(1));
        for accepted in batch {
            if accepted.delivery.earlier() < TRIES {
                broker.give_back(&accepted.delivery)?;
                continue;
            }
            let (id, reply) = (accepted.request.id.as_str(), refusal(failure));
            let sealed = self.answers.seal(&reply, &accepted.subject, self.publisher.now())?;
            self.publisher.shared.put_result(id, &sealed)?;
            broker.answer(id, &sealed)?;
            broker.dead_letter(&[(accepted.delivery, format!("given up after {TRIES} tries: {}", failure.message))])?;
        }
        Ok(())
    }
}

fn done(committed: &Committed) -> Reply {
    Reply::Done { changed: committed.changed, snapshot: committed.versions.snapshot }
}

fn taken(id: &str) -> Error {
    Error::new(Kind::Permission, format!("request {id} has the id of another request"))
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
    Unwanted(Error),
}

/// Reports each step to the senders of a batch; every step is also recorded, for a sender that does not receive the report.
struct Reporting<'a> {
    broker: &'a Broker,
    answers: &'a Answers,
    now: DateTime<Utc>,
    batch: &'a [Accepted],
}

impl Progress for Reporting<'_> {
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
