use super::answers::certifiers;
use super::{ANSWER, Workers, failure_of, soon};
use crate::broker::{Ask, Broker, FileReference, Reply, Request, RoleReference, Subject, WorkerRole, new_id};
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::keys::RoleSigner;
use crate::repository::{NewRole, Present, UpperRoles, Written};
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The snapshot worker and the timestamp worker, as their callers see them.
pub(super) struct RemoteRoles<'a> {
    pub(super) workers: &'a Workers,
    pub(super) identity: Arc<dyn RoleSigner>,
    pub(super) broker: Mutex<Broker>,
    pub(super) repository: String,
    /// The requests to the targets worker that are being fulfilled.
    pub(super) fulfils: Vec<String>,
    pub(super) clock: &'a (dyn Fn() -> DateTime<Utc> + Sync),
}

impl RemoteRoles<'_> {
    fn ask(&self, role: WorkerRole, ask: Ask, present: &Present) -> Result<Reply> {
        let (now, life) = soon((self.clock)());
        let id = new_id()?;
        let request = Request::new(id.clone(), &self.repository, &self.workers.name, now, life, ask);
        let sealed = self.workers.seal(self.identity.as_ref(), &request)?;
        let subject = Subject::new(&self.repository, role, &id, &sealed);
        let certifiers = certifiers(present, role);
        let mut broker = self.broker.lock().unwrap_or_else(PoisonError::into_inner);
        broker.send(role, &id, &sealed.to_bytes()?)?;
        let deadline = Instant::now() + ANSWER;
        let mut disbelieved = None;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Some(message) = broker.next_reply(left)? else { continue };
            match Reply::open(&message, &subject, &certifiers, (self.clock)()) {
                Ok(Reply::Refused { kind, message, details, hints }) => {
                    return Err(failure_of(&kind, format!("the {role} worker refuses: {message}"), details, hints));
                }
                Ok(Reply::Status { .. }) => {}
                Ok(reply) => return Ok(reply),
                // Any process with the broker's credentials can send what looks like a reply.
                Err(failure) => disbelieved = Some(failure),
            }
        }
        let failure = Error::new(Kind::Storage, format!("the {role} worker does not answer"));
        let failure = disbelieved.into_iter().fold(failure, |failure, last| failure.detail(last.message));
        Err(failure.hint("check that it runs: `publish queue` shows the running workers"))
    }
}

impl UpperRoles for RemoteRoles<'_> {
    fn snapshot(&self, present: &Present, new: &[NewRole]) -> Result<Option<Written>> {
        let file = |new: &NewRole| FileReference { version: new.signed.version, sha256: new.signed.digests.hex() };
        let roles = new.iter().map(|new| RoleReference { role: new.role.clone(), file: file(new) }).collect();
        let ask = Ask::Snapshot { base: base_of(present), roles, fulfils: self.fulfils.clone() };
        match self.ask(WorkerRole::Snapshot, ask, present)? {
            Reply::Signed { file } => Ok(Some(Written { version: file.version, sha256: file.sha256 })),
            _ => Ok(None),
        }
    }

    fn timestamp(&self, present: &Present, snapshot: Option<&Written>) -> Result<bool> {
        let snapshot = snapshot.map(|written| FileReference { version: written.version, sha256: written.sha256.clone() });
        let ask = Ask::Timestamp { base: base_of(present), snapshot };
        Ok(matches!(self.ask(WorkerRole::Timestamp, ask, present)?, Reply::Signed { .. }))
    }
}

/// The timestamp that a state was read from.
pub(super) fn base_of(present: &Present) -> FileReference {
    FileReference { version: present.versions().timestamp, sha256: Digests::of(&present.timestamp_file).hex() }
}
