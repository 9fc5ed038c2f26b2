//! Replies as a worker gives them, and as callers and the targets worker verify them.

use crate::broker::{Certifiers, Credential, Reply, Subject, WorkerRole};
use crate::error::Result;
use crate::keys::{RoleSigner, Signers};
use crate::metadata::Role;
use crate::repository::Present;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, PoisonError};

/// Signs a worker's replies.
pub(super) struct Answers {
    identity: Arc<dyn RoleSigner>,
    keys: Vec<Arc<dyn RoleSigner>>,
    repository: String,
    role: WorkerRole,
    credential: Mutex<Option<Credential>>,
}

impl Answers {
    /// Replies under `identity`, which the keys of the role at hand certify. All of them sign, so that the replies stay
    /// verifiable while a key of the role is replaced.
    pub(super) fn new(identity: Arc<dyn RoleSigner>, signers: &Signers, repository: &str, role: WorkerRole) -> Self {
        let keys = signers.get(&role_of(role)).cloned().unwrap_or_default();
        Self { identity, keys, repository: repository.into(), role, credential: Mutex::new(None) }
    }

    /// A signed reply.
    pub(super) fn seal(&self, reply: &Reply, subject: &Subject, now: DateTime<Utc>) -> Result<Vec<u8>> {
        reply.seal(subject, &self.credential(now)?, |message| self.identity.sign(message))
    }

    /// The credential of this worker, made anew when it is due.
    pub(super) fn credential(&self, now: DateTime<Utc>) -> Result<Credential> {
        let mut held = self.credential.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credential) = held.as_ref().filter(|credential| !credential.is_due(now)) {
            return Ok(credential.clone());
        }
        let sign = |statement: &[u8]| self.keys.iter().map(|key| key.sign(statement)).collect();
        let credential = Credential::new(&self.repository, self.role, self.identity.public(), now, sign)?;
        Ok(held.insert(credential).clone())
    }
}

/// The keys that certify the workers of a role in this state: those of the role, and for targets those of the bins too, for
/// a targets worker may hold no other.
pub(super) fn certifiers(present: &Present, role: WorkerRole) -> Vec<Certifiers> {
    let root = present.trust.root();
    let role = role_of(role);
    let keys = root.keys_of(role).map(|(_, key)| key.clone()).collect();
    let mut certifiers = vec![Certifiers { keys, threshold: root.role(role).threshold }];
    if let Some(bins) = present.bins.as_ref().filter(|_| role == Role::Targets) {
        let (keys, threshold) = bins.keys();
        certifiers.push(Certifiers { keys: keys.into_iter().map(|(_, key)| key).collect(), threshold });
    }
    certifiers
}

fn role_of(role: WorkerRole) -> Role {
    match role {
        WorkerRole::Targets => Role::Targets,
        WorkerRole::Snapshot => Role::Snapshot,
        WorkerRole::Timestamp => Role::Timestamp,
    }
}
