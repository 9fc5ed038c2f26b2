//! What a person signed last, kept on their machine: one small file for each repository, in the directory of the user's state.
//!
//! A signer without the repository has nothing else to compare a draft with: the draft brings its own present root. A file
//! is found by the keys, not by a name: any draft that has one of the root keys of a remembered root must continue that root.

use crate::error::{Error, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{Envelope, Expiry, PublicKey, RepositoryLabel, Role, Root, RootDraft};
use crate::operation::own_file;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A root that was signed, and the one that it follows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedRoot {
    schema: u32,
    /// The version that was signed.
    pub(super) version: u64,
    /// SHA-256 of the bytes that were signed.
    pub(super) sha256: String,
    /// SHA-256 of the signed part of the root that it follows.
    pub(super) present_sha256: String,
    /// The file of that root, if it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) present: Option<String>,
    /// The root keys of both, by SHA-256 of the public key.
    root_keys: Vec<String>,
    /// What the repository was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repository: Option<RepositoryLabel>,
    /// When.
    pub(super) signed: String,
    #[serde(skip)]
    pub(super) file: PathBuf,
}

const SCHEMA: u32 = 1;

/// The directory of these files.
#[derive(Clone, Debug)]
pub struct SignedRoots {
    /// Where.
    pub directory: PathBuf,
}

impl SignedRoots {
    /// The remembered roots that have a root key of the draft's, present or next.
    pub(super) fn related_to(&self, draft: &RootDraft) -> Result<Vec<SignedRoot>> {
        let failed = |error| Error::io("read the roots that were signed here, in", self.directory.display(), error);
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let of_draft = root_keys(draft);
        let mut related = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let known = read(&path)?;
            if known.root_keys.iter().any(|key| of_draft.contains(key)) {
                related.push(known);
            }
        }
        related.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(related)
    }

    /// Keeps what was signed, in the file of the root that it continues, if there is one.
    pub(super) fn remember(&self, draft: &RootDraft, vouched: bool, continues: Option<&Path>, now: Expiry) -> Result<()> {
        let present_sha256 = digest_of(draft.present_file())?;
        let present = String::from_utf8_lossy(draft.present_file()).into_owned();
        let signed = SignedRoot {
            schema: SCHEMA,
            version: draft.next().version(),
            sha256: draft.digest()?,
            present: vouched.then_some(present),
            root_keys: root_keys(draft),
            repository: draft.repository().cloned(),
            signed: crate::metadata::format_expiry(now),
            file: PathBuf::new(),
            present_sha256: present_sha256.clone(),
        };
        crate::keys::create_private_directory(&self.directory)?;
        let file = continues.map_or_else(|| self.directory.join(format!("{}.json", &present_sha256[..32])), Path::to_owned);
        let bytes = serde_json::to_vec_pretty(&signed).map_err(|error| Error::invalid(error.to_string()))?;
        own_file::replace(&file, &bytes)
    }
}

impl SignedRoot {
    /// The root that it follows, if it was verified.
    pub(super) fn trust(&self, now: Expiry) -> Result<Option<TrustedMetadata>> {
        self.present.as_ref().map(|file| TrustedMetadata::pin(file.as_bytes(), AtExpiry::Report(now))).transpose()
    }
}

fn read(path: &Path) -> Result<SignedRoot> {
    let broken = |why: String| {
        Error::invalid(format!("{} cannot be read: {why}", path.display()))
            .hint("it contains the root that you signed last; move it away, and give the present root with --root")
    };
    let bytes = read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", path.display(), error))?;
    let signed: SignedRoot = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    if signed.schema != SCHEMA {
        return Err(broken(format!("schema {}, not {SCHEMA}", signed.schema)));
    }
    Ok(SignedRoot { file: path.to_owned(), ..signed })
}

/// The root keys of a draft, present and next, by the keys themselves.
fn root_keys(draft: &RootDraft) -> Vec<String> {
    let of = |root: &Root| root.keys_of(Role::Root).map(|(_, key)| PublicKey::material(key)).collect::<Vec<_>>();
    let mut keys = of(draft.next());
    keys.extend(of(draft.present()));
    keys.sort();
    keys.dedup();
    keys
}

/// SHA-256 of the signed part of a root's file.
pub(super) fn digest_of(file: &[u8]) -> Result<String> {
    Ok(hex::encode(openssl::sha::sha256(&Envelope::parse(file, "the root")?.canonical()?)))
}
