use super::remote::RemoteRoles;
use super::{Workers, failure_of};
use crate::broker::{Ask, Broker, Reply, Request, WorkerRole, new_id};
use crate::failure::{Failure, Kind, Result};
use crate::keys::Signers;
use crate::metadata::Role;
use crate::operation::Workspace;
use crate::repository::{Committed, Edit, Present};
use chrono::TimeDelta;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long one wait for an answer lasts before the recorded results are looked at.
const GLANCE: Duration = Duration::from_secs(2);

/// Has an edit committed by the workers.
pub(in crate::operation) fn commit(workspace: &Workspace, workers: &Workers, present: Present, edit: &Edit) -> Result<Committed> {
    let pinned = workspace.pinned()?;
    let repository = super::super::workspace::identity(&pinned);
    let identity = workers.identity(workspace.passphrases.as_ref())?;
    let upper_only = edit.changes.is_empty()
        && edit.rebin.is_none()
        && edit.renewals.iter().all(|renewal| [Role::Snapshot.name(), Role::Timestamp.name()].contains(&renewal.role.as_str()));
    let committed = if upper_only {
        // Nothing for the targets worker: what it is asked for would only wait behind its other work.
        let broker = Mutex::new(workers.connect(&repository)?);
        let remote = RemoteRoles { workers, identity, broker, repository, fulfils: Vec::new(), clock: &*workspace.clock };
        let signers = Signers::new();
        let mut committer = workspace.committer(&pinned, &signers);
        committer.upper = Some(&remote);
        committer.commit(present, edit)?
    } else {
        let changes = workspace.shared.put_changes_of(edit)?;
        let now = workspace.now();
        let life = TimeDelta::from_std(workers.patience).unwrap_or(crate::broker::LONGEST_LIFE).min(crate::broker::LONGEST_LIFE);
        let request = Request::new(changes.0.clone(), &repository, &workers.name, now, life, Ask::Targets { changes: changes.1 });
        let message = workers.seal(identity.as_ref(), &request)?;
        let changed = Call { workspace, workers, repository: &repository, id: &request.id, message: &message }.finish()?;
        Committed { versions: workspace.load()?.versions(), changed, rebases: 0 }
    };
    workspace.remember(&committed.versions)?;
    Ok(committed)
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
    workspace: &'a Workspace,
    workers: &'a Workers,
    repository: &'a str,
    id: &'a str,
    message: &'a [u8],
}

impl Call<'_> {
    /// Sends the request and waits for its end; a broker that goes away is waited for. Says whether anything changed.
    fn finish(&self) -> Result<bool> {
        let deadline = Instant::now() + self.workers.patience;
        let mut told = false;
        loop {
            let trouble = match self.attempt(deadline) {
                Ok(Some(answer)) => return answer,
                Ok(None) => None,
                Err(failure) if failure.kind == Kind::Storage => Some(failure),
                Err(failure) => return Err(failure),
            };
            if Instant::now() >= deadline {
                return Err(self.out_of_patience(trouble));
            }
            if let Some(trouble) = trouble.filter(|_| !told) {
                self.workspace.progress.status(&format!("waiting: {}", trouble.message));
                told = true;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Sends the request over a new connection and waits. `None`: until the deadline nobody answered.
    fn attempt(&self, deadline: Instant) -> Result<Option<Result<bool>>> {
        if let Some(reply) = self.workspace.shared.result(self.id)? {
            return Ok(end_of(reply));
        }
        let mut broker: Broker = self.workers.connect(self.repository)?;
        // The same id again is harmless: whoever has done it answers with what was recorded.
        broker.send(WorkerRole::Targets, self.id, self.message, true)?;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let reply = match broker.next_reply(left.min(GLANCE))? {
                Some((about, body)) if about == self.id => serde_json::from_slice(&body).ok(),
                Some(_) => None,
                None => self.workspace.shared.result(self.id)?,
            };
            match reply {
                Some(Reply::Status { line }) => self.workspace.progress.status(&line),
                Some(reply) => {
                    if let Some(end) = end_of(reply) {
                        return Ok(Some(end));
                    }
                }
                None => {}
            }
        }
        Ok(None)
    }

    fn out_of_patience(&self, trouble: Option<Failure>) -> Failure {
        let seconds = self.workers.patience.as_secs();
        let failure = Failure::new(Kind::Storage, format!("the targets worker has not answered request {} within {seconds} s", self.id))
            .detail("the request is void from now on; what was staged stays for the next run")
            .hint("`publish queue` shows whether workers run and what waits; then run the same command again");
        match trouble {
            Some(trouble) => failure.source(trouble),
            None => failure,
        }
    }
}

fn end_of(reply: Reply) -> Option<Result<bool>> {
    match reply {
        Reply::Done { changed } => Some(Ok(changed)),
        Reply::Refused { kind, message, details, hints } => Some(Err(failure_of(&kind, message, details, hints))),
        Reply::Status { .. } | Reply::Signed { .. } | Reply::Again => None,
    }
}
