//! The snapshot worker and the timestamp worker: each request is one step on what another worker has written.

use super::policy::{Sender, check_rights};
use super::refusal;
use super::remote::base_of;
use super::serve::{Event, Genuine, Worker};
use crate::broker::{Ask, Broker, FileReference, Reply, Request};
use crate::error::{Error, Kind, Result};
use crate::names::RoleName;
use crate::repository::{Edit, Written};

impl Worker<'_> {
    /// A request to the snapshot or the timestamp worker.
    pub(super) fn upper(&self, broker: &Broker, genuine: Genuine<'_>) -> Result<()> {
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
        broker.answer(&request.id, &self.answers.seal(&reply, &subject, self.publisher.now())?)?;
        broker.acknowledge(&delivery)
    }

    fn upper_step(&self, request: &Request, sender: &Sender) -> Result<Reply> {
        let mut present = self.publisher.load()?;
        self.notice(&present)?;
        let (base, renews) = match &request.ask {
            Ask::Snapshot { base, roles, .. } => (base, roles.is_empty()),
            Ask::Timestamp { base, snapshot } => (base, snapshot.is_none()),
            Ask::Targets { .. } => return Err(Error::new(Kind::Unexpected, "a request of another kind")),
        };
        if renews && !sender.may.contains(&super::Right::Refresh) {
            return Err(Error::new(Kind::Permission, "this sender has no right to request `refresh`"));
        }
        if *base != base_of(&present) {
            return Ok(Reply::Again);
        }
        let committer = self.committer();
        let file = match &request.ask {
            Ask::Snapshot { roles, fulfils, .. } => {
                let asked = fulfils.iter().map(|id| self.evidence(id)).collect::<Result<Vec<Edit>>>()?;
                let roles: Vec<(RoleName, Written)> = roles.iter().map(|role| (role.role.clone(), written(&role.file))).collect();
                let signed = committer.list_roles(&mut present, &roles, &asked)?;
                signed.map(|signed| FileReference { version: signed.version, sha256: signed.sha256 })
            }
            Ask::Timestamp { snapshot, .. } => {
                if committer.show_snapshot(&present, snapshot.as_ref().map(written).as_ref())? {
                    let published = self.publisher.load()?;
                    self.publisher.remember(&published.versions())?;
                    Some(base_of(&published))
                } else {
                    None
                }
            }
            Ask::Targets { .. } => None,
        };
        Ok(file.map_or(Reply::Again, |file| Reply::Signed { file }))
    }

    /// What a request in progress asks for, under the signature of a sender who may.
    fn evidence(&self, id: &str) -> Result<Edit> {
        let sealed = self.publisher.shared.request(id)?;
        let request = sealed.open(|name| self.workers.senders.get(name).map(|sender| &sender.key))?;
        request.check(&self.repository, self.publisher.now())?;
        let edit = match &request.ask {
            Ask::Targets { changes } if request.id == id => Edit::from_change_set(&self.publisher.shared.changes(id, changes)?)?,
            _ => return Err(Error::invalid(format!("request {id} is not one to the targets worker"))),
        };
        if let Some(sender) = self.workers.senders.get(&request.sender) {
            check_rights(sender, self.workers.limits.elsewhere, &edit)?;
        }
        Ok(edit)
    }
}

fn written(file: &FileReference) -> Written {
    Written { version: file.version, sha256: file.sha256.clone() }
}
