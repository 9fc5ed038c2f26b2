//! What every change has in common: open the keys, stage, commit.

use super::certificate::certificate_change;
use super::{Keys, Prepared, Small, Upload, Work, bins, openpgp};
use crate::error::Result;
use crate::keys::Signers;
use crate::metadata::Target;
use crate::operation::{Outcome, Publisher};
use crate::repository::{Change, Edit, Home, PlainNames, Staged, Witness, digest_file, each, stage, stage_bytes};
use std::thread::available_parallelism;

/// Carries out a prepared change. One without anything to do only completes what a killed run may have left.
pub fn carry_out<P>(publisher: &Publisher, prepared: Prepared<P>) -> Result<Outcome> {
    carry_out_before(publisher, prepared, None)
}

/// The same, with a witness of the commit.
pub(in crate::operation) fn carry_out_before<P>(
    publisher: &Publisher,
    prepared: Prepared<P>,
    witness: Option<&dyn Witness>,
) -> Result<Outcome> {
    let work = prepared.work;
    publisher.begin_changes()?;
    if work.is_empty() {
        return Ok(publisher.commit(*work.present, &Edit::default(), &Signers::new())?.into());
    }
    let mut signers = open_keys(publisher, &work)?;
    let signs = work.signs();
    let Work { present, uploads, elsewhere, small, resigned, openpgp, mut edit, keys } = work;
    let openpgp = match openpgp {
        None if signs => {
            publisher.check_clock_of_signatures()?;
            Some(publisher.openpgp_key()?)
        }
        given => given,
    };
    if !uploads.is_empty() {
        publisher.progress.phase("staging");
        let staged = if elsewhere {
            enter(publisher, &uploads)?
        } else {
            let (storage, progress) = (publisher.storage.as_ref(), publisher.progress.as_ref());
            stage(storage, &uploads, openpgp.as_ref(), publisher.sha512, publisher.now(), progress)?
        };
        edit.changes.extend(uploads.into_iter().zip(staged).flat_map(|(upload, staged)| upload.changes(staged)));
    }
    if let Some(key) = &openpgp {
        edit.changes.extend(openpgp::sign_anew(publisher, &present, &resigned, key)?);
        edit.changes.push(certificate_change(publisher, &present.targets, key)?);
        edit.signed_by = key.expires(publisher.now()).map(|expires| (key.fingerprint(), expires));
    }
    if let Keys::Bins(_, choice) = &keys {
        bins::decide_keys(publisher, &present, choice, &mut signers, &mut edit)?;
    }
    publisher.progress.phase("committing");
    edit.changes.extend(each(&small, publisher.storage.properties().parallelism, || Ok(()), |small, ()| small.stage(publisher))?);
    Ok(Outcome::from(publisher.commit_before(*present, &edit, &signers, witness)?).publishing(publisher, &edit))
}

/// Opens the keys that a change needs, before anything is written.
fn open_keys(publisher: &Publisher, work: &Work) -> Result<Signers> {
    let present = work.present.as_ref();
    match &work.keys {
        Keys::Of(roles) | Keys::Bins(roles, _) => publisher.signers(present.trust.root(), roles),
        Keys::OfNames => {
            // The certificate that is published with signatures is a name of the top-level role.
            let top = if work.signs() { Some(Home::Top) } else { None };
            let homes = work.names().map(|name| present.home(name)).collect::<Result<Vec<Home>>>()?;
            publisher.signers_of(present, homes.into_iter().chain(top))
        }
    }
}

impl Upload {
    /// The changes of its target and of its signature.
    fn changes(self, staged: Staged) -> impl Iterator<Item = Change> {
        let target = Change {
            name: self.artifact.target.to_string(),
            expected: self.replaces,
            wanted: Some(staged.target),
            keep_existing: false,
            content: None,
        };
        let signature = self.artifact.signature.zip(staged.signature).map(|(name, (wanted, file))| Change {
            name: name.to_string(),
            expected: self.replaces_signature,
            wanted: Some(wanted),
            keep_existing: self.keeps_signature,
            content: Some(file),
        });
        std::iter::once(target).chain(signature)
    }
}

impl Small {
    /// Stages it, and gives the change of its target.
    fn stage(&self, publisher: &Publisher) -> Result<Change> {
        let Self { name, replaces, content, keeps_existing } = self.clone();
        let wanted = content.as_ref().map(|content| stage_bytes(publisher.storage.as_ref(), &name, content, publisher.sha512));
        Ok(Change { name, expected: replaces, wanted: wanted.transpose()?, keep_existing: keeps_existing, content })
    }
}

/// Reads files for their entries only.
fn enter(publisher: &Publisher, uploads: &[Upload]) -> Result<Vec<Staged>> {
    let enter = |upload: &Upload, (): &mut ()| {
        let mut digests = digest_file(&upload.artifact.file, publisher.progress.as_ref())?;
        if !publisher.sha512 {
            digests.sha512 = None;
        }
        // Where all content is elsewhere, no entry needs to say so.
        let elsewhere = publisher.plain_names != PlainNames::Elsewhere;
        Ok(Staged { target: Target { elsewhere, ..Target::of(&digests) }, signature: None })
    };
    each(uploads, available_parallelism().map_or(1, usize::from), || Ok(()), enter)
}
