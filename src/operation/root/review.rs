use super::basis::{Basis, TrustedRoots, VouchedBy, check_given};
use super::draft_file::DraftFile;
use super::names::known_names;
use super::published::{root_file, staleness};
use super::report::{RootReport, report};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::{RoleSigner, sign_all};
use crate::operation::Publisher;
use chrono::Utc;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A draft as it is shown to people, to be signed or published exactly so.
pub struct Review<'w> {
    publisher: Option<&'w Publisher>,
    trusted: TrustedRoots,
    file: DraftFile,
    basis: Basis,
    /// Names in the draft that are others here.
    ignored_names: Vec<Message>,
    /// What is shown.
    pub report: RootReport,
}

impl<'w> Review<'w> {
    /// Reads a draft, once. Without a publisher, as on a machine that has the draft only, the trusted roots determine what it is
    /// compared with.
    pub fn read(publisher: Option<&'w Publisher>, trusted: &TrustedRoots, path: &Path) -> Result<Self> {
        Self::of(publisher, trusted, DraftFile::read(path)?)
    }

    pub(in crate::operation) fn of(publisher: Option<&'w Publisher>, trusted: &TrustedRoots, mut file: DraftFile) -> Result<Self> {
        let mut ignored_names = Vec::new();
        if let Some(publisher) = publisher {
            let known = known_names(&publisher.keyring.names)?;
            for (id, name) in file.draft.names().iter().filter(|(id, name)| known.get(*id).is_some_and(|known| known != *name)) {
                ignored_names.push(Message::new(Id::KeyNameIgnored, format!("the draft calls key {id} `{name}`; that is ignored")));
            }
            file.draft.take_names(&known)?;
        }
        let now = publisher.map_or_else(Utc::now, Publisher::now);
        let (basis, stale) = match publisher {
            Some(publisher) => {
                check_given(&file.draft, trusted, now, |version| root_file(publisher, version))?;
                let stale = staleness(publisher, &file.draft)?;
                (Basis::of_repository(&file.draft, stale.is_none()), stale)
            }
            None => (Basis::without_repository(&file.draft, trusted, now)?, None),
        };
        let mut report = report(publisher, file.path(), &file.draft, &basis, stale)?;
        report.notes.extend(ignored_names.clone());
        Ok(Self { publisher, trusted: trusted.clone(), file, basis, ignored_names, report })
    }

    /// Refuses to sign what clients would not follow, or what does not start from the published root.
    pub fn check(&self) -> Result<()> {
        match self.report.problems.split_first() {
            None => Ok(()),
            Some((problem, more)) => Err(Error::new(Kind::Conflict, format!("root {} is not signed: {problem}", self.report.to))
                .details(more.to_vec())
                .hint("`publish root show` shows the whole draft")),
        }
    }

    /// Signs exactly what is shown, and remembers it.
    pub fn sign(mut self, signers: &[Arc<dyn RoleSigner>]) -> Result<RootReport> {
        self.check()?;
        let added = self.add_signatures(signers)?;
        let now = self.publisher.map_or_else(Utc::now, Publisher::now);
        let kept = self
            .trusted
            .signed
            .as_ref()
            .map(|signed| signed.remember(&self.file.draft, self.basis.by != VouchedBy::Nothing, self.basis.continues.as_deref(), now));
        let mut report = self.again()?;
        if let Some(Err(failure)) = kept {
            report.notes.push(Message::new(
                Id::SigningNotRemembered,
                format!("the record of what you signed cannot be written: {}", failure.message),
            ));
        }
        Ok(RootReport { added, ..report })
    }

    /// Signs and writes the draft.
    pub(in crate::operation) fn add_signatures(&mut self, signers: &[Arc<dyn RoleSigner>]) -> Result<usize> {
        let draft = &mut self.file.draft;
        for signer in signers {
            if !draft.root_keys().any(|(_, key)| key.same_material(signer.public())) {
                return Err(Error::invalid(format!(
                    "neither root {} nor root {} accepts the key in {}",
                    draft.present().version(),
                    draft.next().version(),
                    signer.origin()
                ))
                .detail(format!("it is: {} {}", signer.public().id(), signer.public().keytype()))
                .details(draft.root_keys().map(|(id, key)| format!("may sign: {} {}", draft.describe(id), key.keytype())))
                .hint("check that this is the right key and the right draft"));
            }
        }
        let message = draft.message()?;
        let fitting = draft.root_keys().filter(|(_, key)| signers.iter().any(|signer| signer.public().same_material(key))).count() as u64;
        let signatures = sign_all(&message, signers, draft.root_keys(), fitting)?;
        let added = draft.add_signatures(&signatures)?;
        self.file.write()?;
        Ok(added)
    }

    /// The draft and its file, to be published.
    pub(in crate::operation) fn into_parts(self) -> (DraftFile, RootReport) {
        (self.file, self.report)
    }

    /// The report on its present state.
    pub(in crate::operation) fn again(&self) -> Result<RootReport> {
        let stale = self.publisher.map_or(Ok(None), |publisher| staleness(publisher, &self.file.draft))?;
        let mut report = report(self.publisher, self.file.path(), &self.file.draft, &self.basis, stale)?;
        report.notes.extend(self.ignored_names.clone());
        Ok(report)
    }
}

/// Looks at a draft; without a publisher, as on a machine that has the draft only.
pub fn show(publisher: Option<&Publisher>, path: &Path) -> Result<RootReport> {
    Ok(Review::read(publisher, &TrustedRoots::default(), path)?.report)
}

/// Signs a draft with these keys.
pub fn sign(publisher: Option<&Publisher>, path: &Path, signers: &[Arc<dyn RoleSigner>]) -> Result<RootReport> {
    Review::read(publisher, &TrustedRoots::default(), path)?.sign(signers)
}

/// Takes the signatures of other copies of the draft, and nothing else of them.
pub fn merge(publisher: Option<&Publisher>, trusted: &TrustedRoots, path: &Path, others: &[PathBuf]) -> Result<RootReport> {
    let mut review = Review::read(publisher, trusted, path)?;
    let (mut added, mut notes) = (0, Vec::new());
    for other in others {
        let copy = DraftFile::read(other)?.draft;
        let what = other.display();
        added += review.file.draft.merge(&copy, &what.to_string())?;
        for (id, name) in review.file.draft.other_names(&copy) {
            notes.push(Message::new(Id::KeyNameIgnored, format!("{what} calls key {id} `{name}`; names are not merged")));
        }
        for id in copy.surplus()? {
            notes.push(Message::new(
                Id::SignatureNotCounted,
                format!("{what} has a signature of key {id} that is not valid for this draft"),
            ));
        }
    }
    review.file.write()?;
    let mut report = RootReport { added, ..review.again()? };
    report.notes.extend(notes);
    Ok(report)
}
