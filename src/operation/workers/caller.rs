use super::answers::certifiers;
use super::remote::RemoteRoles;
use super::{Workers, failure_of};
use crate::broker::{Ask, Broker, Certifiers, Reply, Request, Sealed, Subject, WorkerRole, new_id};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::Signers;
use crate::metadata::Role;
use crate::operation::Publisher;
use crate::repository::{Committed, Edit, Present, Versions, load_restored, plain_state};
use chrono::TimeDelta;
use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long one wait for a reply lasts before the recorded results are looked at.
const GLANCE: Duration = Duration::from_secs(2);
/// A reply that cannot be verified may be signed under a newer root: the repository is read again at most so often.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Has an edit committed by the workers.
pub(in crate::operation) fn commit(publisher: &Publisher, workers: &Workers, present: Present, edit: &Edit) -> Result<Committed> {
    let pinned = publisher.pinned()?;
    let repository = crate::operation::publisher::identity(&pinned);
    let identity = workers.identity(publisher.keyring.passphrases.as_ref())?;
    let upper_only = edit.changes.is_empty()
        && edit.rebin.is_none()
        && edit.renewals.iter().all(|renewal| [Role::Snapshot, Role::Timestamp].iter().any(|role| renewal.role == *role));
    let committed = if upper_only {
        // Nothing for the targets worker: its requests would only wait behind its other work.
        let broker = Mutex::new(workers.connect(&repository)?);
        let remote = RemoteRoles { workers, identity, broker, repository, fulfils: Vec::new(), clock: publisher.clock() };
        let signers = Signers::new();
        let mut committer = publisher.committer(&pinned, &signers);
        committer.upper = Some(&remote);
        committer.commit(present, edit)?
    } else {
        let changes = publisher.shared.put_changes_of(edit)?;
        let now = publisher.now();
        edit.check_key(now)?;
        let life = TimeDelta::from_std(workers.patience).unwrap_or(crate::broker::LONGEST_LIFE).min(crate::broker::LONGEST_LIFE);
        // No worker begins with it once the key has expired that signed its artifacts.
        let life = edit.signed_by.as_ref().map_or(life, |(_, expires)| life.min(*expires - now));
        let request = Request::new(changes.0.clone(), &repository, &workers.name, now, life, Ask::Targets { changes: changes.1 });
        let sealed = workers.seal(identity.as_ref(), &request)?;
        let subject = Subject::new(&repository, WorkerRole::Targets, &request.id, &sealed);
        let certifiers = RefCell::new((certifiers(&present, WorkerRole::Targets), Instant::now()));
        let (changed, versions) =
            Call { publisher, workers, edit, subject, sealed, pinned, certifiers, disbelieved: Cell::new(false) }.finish()?;
        Committed { versions, changed, rebases: 0, warnings: open_plain_names(publisher) }
    };
    publisher.remember(&committed.versions)?;
    Ok(committed)
}

/// What the targets worker could not do after the commit, as the repository states.
fn open_plain_names(publisher: &Publisher) -> Vec<Message> {
    let open = plain_state(publisher.storage.as_ref()).open;
    let warning =
        |(name, why): (String, String)| format!("the plain name of {name} is not up to date: {why}; `publish status` shows the remedy");
    open.into_iter().take(10).map(warning).map(|text| Message::new(Id::PlainNameNotCurrent, text)).collect()
}

impl super::Shared {
    fn put_changes_of(&self, edit: &Edit) -> Result<(String, crate::broker::Changes)> {
        let id = new_id()?;
        let changes = self.put_changes(&id, &edit.to_change_set()?)?;
        Ok((id, changes))
    }
}

/// A request on its way.
struct Call<'a> {
    publisher: &'a Publisher,
    workers: &'a Workers,
    edit: &'a Edit,
    subject: Subject,
    sealed: Sealed,
    pinned: Vec<u8>,
    /// The keys that certify the targets worker, and when they were read.
    certifiers: RefCell<(Vec<Certifiers>, Instant)>,
    /// Whether a reply was ignored: one line reports it, however many there are.
    disbelieved: Cell<bool>,
}

/// How a request ended: whether anything changed, and the versions that are published.
type End = Result<(bool, Versions)>;

impl Call<'_> {
    /// Sends the request and waits for its end; a broker that disconnects is waited for.
    fn finish(&self) -> End {
        let deadline = Instant::now() + self.workers.patience;
        let (mut reported, mut last) = (false, None);
        loop {
            match self.attempt(deadline) {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                Err(failure) if failure.kind == Kind::Storage => last = Some(failure),
                Err(failure) => return Err(failure),
            }
            if Instant::now() >= deadline {
                return Err(self.out_of_patience(last));
            }
            if let Some(trouble) = last.as_ref().filter(|_| !reported) {
                self.publisher.progress.status(&format!("waiting: {}", trouble.message));
                reported = true;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Sends the request over a new connection and waits. `None`: until the deadline there was no reply.
    fn attempt(&self, deadline: Instant) -> Result<Option<End>> {
        if let Some(end) = self.recorded()? {
            return Ok(Some(end));
        }
        let mut broker: Broker = self.workers.connect(&self.subject.repository)?;
        // The same id again is harmless: a worker that has done it replies with what was recorded.
        broker.send(WorkerRole::Targets, &self.subject.request, &self.sealed.to_bytes()?)?;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let end = match broker.next_reply(left.min(GLANCE))? {
                Some(message) => self.open(&message)?.map_or(Ok(None), |reply| self.end_of(reply))?,
                None => self.recorded()?,
            };
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }

    /// The end that a worker recorded. Any process that can write to the state store could have put a file there: it is
    /// opened like any other reply.
    fn recorded(&self) -> Result<Option<End>> {
        match self.publisher.shared.result(&self.subject.request)? {
            Some(record) => self.open(&record)?.map_or(Ok(None), |reply| self.end_of(reply)),
            None => Ok(None),
        }
    }

    /// A reply, if the targets worker has signed it for this request.
    fn open(&self, message: &[u8]) -> Result<Option<Reply>> {
        let open = || Reply::open(message, &self.subject, &self.certifiers.borrow().0, self.publisher.now());
        let mut reply = open();
        if reply.is_err() && self.certifiers.borrow().1.elapsed() > READ_AGAIN {
            self.certifiers.replace((certifiers(&self.publisher.load()?, WorkerRole::Targets), Instant::now()));
            reply = open();
        }
        if let Err(failure) = reply.as_ref()
            && !self.disbelieved.replace(true)
        {
            self.publisher.progress.status(&failure.message);
        }
        Ok(reply.ok())
    }

    fn end_of(&self, reply: Reply) -> Result<Option<End>> {
        Ok(match reply {
            Reply::Done { changed, snapshot } => Some(self.confirm(snapshot)?.map(|versions| (changed, versions))),
            Reply::Refused { kind, message, details, hints } => Some(Err(failure_of(&kind, message, details, hints))),
            Reply::Status { line } => {
                self.publisher.progress.status(&line);
                None
            }
            Reply::Signed { .. } | Reply::Again => None,
        })
    }

    /// Reads the repository before the request is reported as done: what was requested is published now, or was in
    /// the snapshot that the worker names and has been changed since.
    fn confirm(&self, snapshot: u64) -> Result<Result<Versions>> {
        let (storage, now) = (self.publisher.storage.as_ref(), self.publisher.now());
        let mut present = self.publisher.load()?;
        let versions = present.versions();
        present.read_bins_of(storage, self.edit.names())?;
        if self.edit.is_done_in(&present)? {
            return Ok(Ok(versions));
        }
        let unconfirmed = || {
            Error::new(
                Kind::Untrusted,
                format!("the targets worker reports request {} as done, and the repository does not contain it", self.subject.request),
            )
            .hint("assume that it is not published; check the targets worker's host and run `publish verify`")
        };
        if snapshot > versions.snapshot {
            return Ok(Err(unconfirmed()));
        }
        // The root that is valid now must verify that snapshot: after a root that replaced the keys, this is not known.
        let earlier = load_restored(storage, &self.pinned, versions.root.saturating_add(1), snapshot, 0, now);
        let mut earlier = match earlier {
            Ok(earlier) => earlier,
            Err(failure) if failure.kind == Kind::Storage => return Err(failure),
            Err(failure) => return Ok(Err(unconfirmed().detail(failure.message))),
        };
        earlier.read_bins_of(storage, self.edit.names())?;
        Ok(if self.edit.is_done_in(&earlier)? { Ok(versions) } else { Err(unconfirmed()) })
    }

    fn out_of_patience(&self, trouble: Option<Error>) -> Error {
        let seconds = self.workers.patience.as_secs();
        let message = format!("the targets worker has not answered request {} within {seconds} s", self.subject.request);
        let failure = Error::new(Kind::Storage, message)
            .detail("the request is now invalid; the staged content stays for the next run")
            .hint("`publish queue` shows running workers and waiting requests; then run the same command again");
        match trouble {
            Some(trouble) => failure.source(trouble),
            None => failure,
        }
    }
}
