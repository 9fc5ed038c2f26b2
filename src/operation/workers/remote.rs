use super::{ANSWER, Workers, failure_of, soon};
use crate::broker::{Ask, Broker, FileReference, Reply, Request, RoleReference, WorkerRole, new_id};
use crate::digest::Digests;
use crate::failure::{Failure, Kind, Result};
use crate::keys::RoleSigner;
use crate::repository::{NewRole, Present, UpperRoles, Written};
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The snapshot worker and the timestamp worker, as whoever calls them sees them.
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
    fn ask(&self, role: WorkerRole, ask: Ask) -> Result<Reply> {
        let (now, life) = soon((self.clock)());
        let id = new_id()?;
        let request = Request::new(id.clone(), &self.repository, &self.workers.name, now, life, ask);
        let message = self.workers.seal(self.identity.as_ref(), &request)?;
        let mut broker = self.broker.lock().unwrap_or_else(PoisonError::into_inner);
        broker.send(role, &id, &message, true)?;
        let deadline = Instant::now() + ANSWER;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            // Answers to earlier requests may still come.
            if let Some((about, body)) = broker.next_reply(left)?
                && about == id
            {
                let unreadable = |error| Failure::new(Kind::Storage, format!("the {role} worker's answer cannot be read: {error}"));
                return match serde_json::from_slice(&body).map_err(unreadable)? {
                    Reply::Refused { kind, message, details, hints } => {
                        Err(failure_of(&kind, format!("the {role} worker refuses: {message}"), details, hints))
                    }
                    reply => Ok(reply),
                };
            }
        }
        Err(Failure::new(Kind::Storage, format!("the {role} worker does not answer")).hint("is it running? `publish queue` shows"))
    }
}

impl UpperRoles for RemoteRoles<'_> {
    fn snapshot(&self, present: &Present, new: &[NewRole]) -> Result<Option<Written>> {
        let file = |new: &NewRole| FileReference { version: new.signed.version, sha256: new.signed.digests.hex() };
        let roles = new.iter().map(|new| RoleReference { role: new.role.clone(), file: file(new) }).collect();
        let ask = Ask::Snapshot { base: base_of(present), roles, fulfils: self.fulfils.clone() };
        match self.ask(WorkerRole::Snapshot, ask)? {
            Reply::Signed { file } => Ok(Some(Written { version: file.version, sha256: file.sha256 })),
            _ => Ok(None),
        }
    }

    fn timestamp(&self, present: &Present, snapshot: Option<&Written>) -> Result<bool> {
        let snapshot = snapshot.map(|written| FileReference { version: written.version, sha256: written.sha256.clone() });
        let ask = Ask::Timestamp { base: base_of(present), snapshot };
        Ok(matches!(self.ask(WorkerRole::Timestamp, ask)?, Reply::Signed { .. }))
    }
}

/// The timestamp that a state was read from.
pub(super) fn base_of(present: &Present) -> FileReference {
    FileReference { version: present.versions().timestamp, sha256: Digests::of(&present.timestamp_file).hex() }
}
