use super::Publisher;
use crate::error::{Id, Message, Result};
use crate::keys::Signers;
use crate::metadata::Role;
use crate::names::RoleName;
use crate::policy::clocks;
use crate::repository::{Committed, Committer, Edit, Present, Renewal, Witness};

impl Publisher {
    /// Commits an edit planned on `present` and remembers what is published then.
    pub fn commit(&self, present: Present, edit: &Edit, signers: &Signers) -> Result<Committed> {
        self.commit_before(present, edit, signers, None)
    }

    /// The same, with a witness.
    pub(in crate::operation) fn commit_before(
        &self,
        present: Present,
        edit: &Edit,
        signers: &Signers,
        witness: Option<&dyn Witness>,
    ) -> Result<Committed> {
        let Some(workers) = self.workers.as_ref().filter(|_| !edit.is_empty()) else {
            if edit.is_empty() || !self.signs_above(&present) {
                return self.commit_here(present, edit, signers, witness);
            }
            let edit = with_every_role(edit, &present);
            let mut signers = self.signers(present.trust.root(), &Role::ONLINE)?;
            self.add_bin_signers(&present, &mut signers)?;
            return self.commit_here(present, &edit, &signers, witness);
        };
        witness.map_or(Ok(()), |witness| witness.asks(&present))?;
        let committed = crate::operation::workers::commit(self, workers, present, edit)?;
        witness.inspect(|witness| witness.published());
        Ok(committed)
    }

    /// The same with the keys at hand, whichever process signs otherwise.
    pub(in crate::operation) fn commit_locally(&self, present: Present, edit: &Edit, signers: &Signers) -> Result<Committed> {
        self.commit_here(present, edit, signers, None)
    }

    fn commit_here(&self, present: Present, edit: &Edit, signers: &Signers, witness: Option<&dyn Witness>) -> Result<Committed> {
        // A directory's clock is the date of a new file: a run that changes nothing writes none.
        if !edit.is_empty() {
            self.compare_clocks();
        }
        if let Some((timestamp, _)) = present.trust.listings() {
            self.report_clock(clocks::beyond(self.now(), &self.lifetimes, timestamp.expires()));
        }
        let pinned = self.pinned()?;
        let committer = Committer { witness, ..self.committer(&pinned, signers) };
        let mut committed = committer.commit(present, edit)?;
        if let Err(failure) = self.remember(&committed.versions) {
            // It is published: a failure here would report that it is not.
            committed.warnings.push(Message::new(
                Id::VersionsNotRemembered,
                format!("the versions published now were not remembered: {}", failure.message),
            ));
        }
        Ok(committed)
    }

    /// A committer on this publisher's store, with these keys.
    pub fn committer<'a>(&'a self, pinned: &'a [u8], signers: &'a Signers) -> Committer<'a> {
        Committer {
            storage: self.storage.as_ref(),
            pinned,
            signers,
            plain_names: self.plain_names,
            clock: &*self.clock,
            lifetimes: self.lifetimes,
            progress: self.progress.as_ref(),
            upper: None,
            replacement: None,
            floor: self.floor(),
            witness: None,
        }
    }
}

/// The edit, which signs every online role and the bins too.
fn with_every_role(edit: &Edit, present: &Present) -> Edit {
    let (mut edit, versions) = (edit.clone(), present.versions());
    let online = Role::ONLINE.iter().map(|role| Renewal { role: (*role).into(), version: versions.of(*role) });
    let bins = present.bins.as_ref().map(|bins| Renewal { role: RoleName::Bins, version: bins.role.version() });
    for renewal in online.chain(bins) {
        if !edit.renewals.iter().any(|known| known.role == renewal.role) {
            edit.renewals.push(renewal);
        }
    }
    edit
}
