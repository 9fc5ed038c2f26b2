//! `publish rotate openpgp`: another key for the signatures of artifacts. The old certificate stays published, for what it
//! signed; the new one is certified by the old key. Releases are signed again on request, from the content in the store.

use super::{Prepared, Work};
use crate::error::{Error, Kind, Result};
use crate::keys::write_private;
use crate::names::{SignatureName, TargetName};
use crate::openpgp::{Generated, SigningKey, sign};
use crate::operation::Publisher;
use crate::policy::signatures::is_misplaced;
use crate::repository::{Change, Present, View, digest_for_signature, each, stage_bytes};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What publishing another certificate will do.
#[derive(Debug, Serialize)]
pub struct OpenPgpPlan {
    /// Signatures that are made anew.
    pub resigned: Vec<String>,
}

/// Which signatures the new key makes anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resign {
    /// Those of these versions.
    Versions(Vec<String>),
    /// All there are.
    All,
}

/// Keeps a new key at `path`, with its revocation certificate beside it, and returns where that is. The revocation certificate
/// comes first: a key without one must not come into use. One that is there already may be the only one of a published key:
/// it stays, and the new one is named after its own key.
pub fn keep_openpgp(path: &Path, generated: &Generated) -> crate::error::Result<PathBuf> {
    let mut revocation = path.with_extension("revocation.asc");
    if revocation.symlink_metadata().is_ok() {
        revocation = path.with_extension(format!("{}.revocation.asc", generated.fingerprint));
    }
    write_private(&revocation, &generated.revocation)?;
    write_private(path, &generated.secret)?;
    Ok(revocation)
}

/// Finds the signatures to make anew.
pub fn prepare(publisher: &Publisher, resign: &Resign) -> Result<Prepared<OpenPgpPlan>> {
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    present.read_all_bins(publisher.storage.as_ref())?;
    let wanted = |signature: SignatureName<'_>| match resign {
        Resign::All => true,
        Resign::Versions(versions) => versions.iter().any(|version| signature.first_part() == version),
    };
    let view = View::new(&present);
    let mut resigned: Vec<String> = Vec::new();
    let mut versions_found: BTreeSet<&str> = BTreeSet::new();
    for (name, _) in present.entries() {
        let TargetName::Signature(signature) = TargetName::of(name) else { continue };
        if signature.mirrored().is_some() && wanted(signature) && !is_misplaced(signature, &view)? {
            versions_found.insert(signature.first_part());
            resigned.push(name.to_owned());
        }
    }
    if let Resign::Versions(versions) = resign
        && let Some(missing) = versions.iter().find(|version| !versions_found.contains(version.as_str()))
    {
        return Err(
            Error::new(Kind::NotFound, format!("there are no signatures of release {missing}")).hint("`publish status` lists the releases")
        );
    }
    let work = Work { resigned: resigned.clone(), ..Work::on(present) };
    Ok(Prepared { plan: OpenPgpPlan { resigned }, work })
}

impl Prepared<OpenPgpPlan> {
    /// With the new key, which signs, and whose certificate is published.
    #[must_use]
    pub fn by(mut self, key: SigningKey) -> Self {
        self.work.openpgp = Some(key);
        self
    }
}

/// Makes published signatures anew, from the content in the store.
pub(super) fn sign_anew(publisher: &Publisher, present: &Present, resigned: &[String], key: &SigningKey) -> Result<Vec<Change>> {
    if resigned.is_empty() {
        return Ok(Vec::new());
    }
    let storage = publisher.storage.as_ref();
    publisher.progress.phase("signing anew");
    let make = |name: &String, signer: &mut Box<dyn sequoia_openpgp::crypto::Signer + Send>| -> crate::error::Result<Change> {
        let exists = |name: &str| present.target(name).is_ok_and(|target| target.is_some());
        let missing = || Error::new(Kind::Untrusted, format!("the content that {name} signs is missing from {}", storage.location()));
        let TargetName::Signature(signature) = TargetName::of(name) else { return Err(missing()) };
        let artifact = signature.signed(exists).ok_or_else(missing)?;
        let target = present.target(&artifact)?.ok_or_else(missing)?;
        let state =
            digest_for_signature(storage, &present.place_of(storage, &artifact, &target)?, &target, key.hash())?.ok_or_else(missing)?;
        let file = sign(signer.as_mut(), state, publisher.now())?;
        let wanted = stage_bytes(storage, name, &file, publisher.sha512)?;
        publisher.progress.file();
        Ok(Change { name: name.clone(), expected: present.target(name)?, wanted: Some(wanted), keep_existing: false, content: Some(file) })
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    each(resigned, threads, || key.signer(), make)
}
