//! The next root while people sign it: one file that can be carried on a stick, with the present root in it, so that a
//! machine without a network can show what changes. Drafts of the same root are merged in any order.

use super::canonical::canonical;
use super::key_names::check_names;
use super::trust::{AtExpiry, TrustedMetadata};
use super::{Envelope, Expiry, PublicKey, RepositoryLabel, Role, Root, RootEdit, Signature, seal};
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A root that is not published yet.
#[derive(Clone, Debug)]
pub struct RootDraft {
    present_file: String,
    present: Root,
    next: Root,
    signatures: Vec<Signature>,
    names: BTreeMap<String, String>,
    repository: Option<RepositoryLabel>,
    base: Option<String>,
}

/// How far the signatures of one root's root keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// The version of the root whose keys these are.
    pub of: u64,
    /// How many must sign.
    pub threshold: u64,
    /// Ids of keys that have.
    pub signed: Vec<String>,
    /// Ids of keys that have not.
    pub missing: Vec<String>,
}

impl Quorum {
    /// Whether enough have signed.
    pub fn is_reached(&self) -> bool {
        self.signed.len() as u64 >= self.threshold
    }
}

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftFile {
    schema: u32,
    /// The present root's file, to the letter.
    present: String,
    next: SignedNext,
    /// Names of people by the ids of their keys.
    #[serde(default)]
    names: BTreeMap<String, String>,
    /// For which repository the draft is, as it states itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<RepositoryLabel>,
    /// SHA-256 of the `timestamp.json` that an unfinished commit began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedNext {
    signatures: Vec<Signature>,
    signed: Value,
}

const SCHEMA: u32 = 1;

impl RootDraft {
    /// The root that follows the present one, unchanged but for its expiry, which is chosen by the present one's.
    pub fn start(present_file: &[u8], expires: impl FnOnce(Expiry) -> Expiry, names: BTreeMap<String, String>) -> Result<Self> {
        let (present_file, present) = read_present(std::str::from_utf8(present_file).unwrap_or_default())?;
        let next = present.renewed(expires(present.expires()))?;
        check_names(&names)?;
        Ok(Self { present_file, present, next, signatures: Vec::new(), names, repository: None, base: None })
    }

    /// Reads a draft; it may come from any source. `what` names the file.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let broken = |why: String| Error::invalid(format!("{what} is not a draft of a root: {why}"));
        let file: DraftFile = serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if file.schema != SCHEMA {
            return Err(broken(format!("schema {}, not {SCHEMA}", file.schema)));
        }
        let (present_file, present) = read_present(&file.present)?;
        let next = Root::from_json(&file.next.signed.to_string(), "the next root")?;
        if next.version() != present.version() + 1 {
            return Err(broken(format!("version {} does not follow version {}", next.version(), present.version())));
        }
        // People decide by what they see: nothing in a file may move the cursor, or hide a line.
        let ids = [&present, &next].into_iter().flat_map(|root| {
            let listed = Role::ALL.into_iter().flat_map(|role| &root.role(role).keyids);
            root.keys().keys().chain(listed)
        });
        let ids = ids.chain(file.next.signatures.iter().map(|signature| &signature.keyid)).chain(file.names.keys());
        if let Some(id) = ids.into_iter().find(|id| !id.bytes().all(|b| b.is_ascii_alphanumeric())) {
            return Err(broken(format!("`{}` is no key id", id.escape_debug())));
        }
        check_names(&file.names).map_err(|failure| failure.detail(format!("in {what}")))?;
        file.repository.as_ref().map_or(Ok(()), RepositoryLabel::check).map_err(&broken)?;
        // Whatever was done to the file, it can be no root that our own edits could not have made, or would refuse.
        let strange = present.not_by_edit(&next);
        if !strange.is_empty() {
            return Err(Error::invalid(format!("{what} changes what `publish root edit` does not change; do not sign it"))
                .details(strange)
                .hint("ask who changed the draft, then start again with `publish root edit`"));
        }
        next.edited(&RootEdit::default())?;
        let (signatures, names) = (file.next.signatures, file.names);
        Ok(Self { present_file, present, next, signatures, names, repository: file.repository, base: file.base })
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let unexpected = |error: serde_json::Error| Error::new(Kind::Unexpected, error.to_string());
        let file = DraftFile {
            schema: SCHEMA,
            present: self.present_file.clone(),
            next: SignedNext {
                signatures: self.signatures.clone(),
                signed: serde_json::from_slice(&self.next.to_signed_json()).map_err(unexpected)?,
            },
            names: self.names.clone(),
            repository: self.repository.clone(),
            base: self.base.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(unexpected)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Changes it; signatures that were on it are over something else then, and go. Says how many those are.
    pub fn edit(&mut self, edit: &RootEdit) -> Result<usize> {
        let next = self.next.edited(edit)?;
        if next.to_signed_json() == self.next.to_signed_json() {
            return Ok(0);
        }
        self.next = next;
        Ok(std::mem::take(&mut self.signatures).len())
    }

    /// Says whose key this is.
    pub fn name(&mut self, key_id: &str, name: &str) -> Result<()> {
        let mut names = self.names.clone();
        names.insert(key_id.to_owned(), name.to_owned());
        check_names(&names)?;
        self.names = names;
        Ok(())
    }

    /// Takes names that are known here: they win over those of the draft.
    pub fn take_names(&mut self, known: &BTreeMap<String, String>) -> Result<()> {
        let mut names = self.names.clone();
        names.extend(known.clone());
        check_names(&names)?;
        self.names = names;
        Ok(())
    }

    /// Adds signatures, each key's once; a wrong or strange one is an error.
    pub fn add_signatures(&mut self, signatures: &[Signature]) -> Result<usize> {
        let message = self.message()?;
        let mut added = 0;
        for signature in signatures {
            let key = self.root_key(&signature.keyid).cloned().ok_or_else(|| {
                Error::invalid(format!(
                    "neither root {} nor root {} accepts key {}",
                    self.present.version(),
                    self.next.version(),
                    signature.keyid
                ))
                .details(self.root_keys().map(|(id, _)| format!("may sign: {}", self.describe(id))))
            })?;
            if !key.verifies(&message, &hex::decode(&signature.sig).unwrap_or_default()) {
                return Err(Error::new(
                    Kind::Untrusted,
                    format!("the signature of {} is not over this draft", self.describe(&signature.keyid)),
                )
                .hint("the draft was changed after it was signed, or the signature is for another draft"));
            }
            let counts = |known: &Signature| key.verifies(&message, &hex::decode(&known.sig).unwrap_or_default());
            if self.signatures.iter().any(|known| known.keyid == signature.keyid && counts(known)) {
                continue;
            }
            // One under this id that counts for nothing must not keep the good one out.
            self.signatures.retain(|known| known.keyid != signature.keyid);
            self.signatures.push(signature.clone());
            added += 1;
        }
        Ok(added)
    }

    /// Takes the signatures of another copy of the same draft, and nothing else of it.
    pub fn merge(&mut self, other: &Self, what: &str) -> Result<usize> {
        if self.present_file != other.present_file {
            return Err(Error::new(Kind::Conflict, format!("{what} has another present root than this draft"))
                .detail(format!("this draft: root {}", self.present.version()))
                .detail(format!("{what}: root {}", other.present.version()))
                .hint("one of them is stale or belongs to another repository"));
        }
        if self.message()? != other.message()? {
            return Err(Error::new(Kind::Conflict, format!("{what} and this draft have different changes"))
                .hint("compare both with `publish root show --draft FILE`; a signature of one is not valid for the other"));
        }
        self.add_signatures(&other.counting()?)
    }

    /// Names that another copy gives to keys and this one does not.
    pub fn other_names(&self, other: &Self) -> Vec<(String, String)> {
        let differs = |(id, name): &(&String, &String)| self.names.get(*id) != Some(name);
        other.names.iter().filter(differs).map(|(id, name)| (id.clone(), name.clone())).collect()
    }

    /// How far the keys of the present and of the next root are; both must be reached.
    pub fn quorums(&self) -> Result<[Quorum; 2]> {
        let message = self.message()?;
        let quorum = |root: &Root| {
            let has_signed = |id: &str, key: &PublicKey| {
                let of_key = |signature: &&Signature| signature.keyid == id;
                self.signatures
                    .iter()
                    .find(of_key)
                    .is_some_and(|signature| key.verifies(&message, &hex::decode(&signature.sig).unwrap_or_default()))
            };
            // One key under two ids counts once, as for clients.
            let mut distinct: Vec<(&str, &PublicKey, bool)> = Vec::new();
            for (id, key) in root.keys_of(Role::Root) {
                match distinct.iter_mut().find(|(_, known, _)| known.same_material(key)) {
                    Some((_, _, signed)) => *signed |= has_signed(id, key),
                    None => distinct.push((id, key, has_signed(id, key))),
                }
            }
            let ids = |wanted: bool| distinct.iter().filter(|(_, _, signed)| *signed == wanted).map(|(id, ..)| (*id).to_owned()).collect();
            Quorum { of: root.version(), threshold: root.role(Role::Root).threshold, signed: ids(true), missing: ids(false) }
        };
        Ok([quorum(&self.present), quorum(&self.next)])
    }

    /// Signatures that count for nothing: by strangers, or over something else.
    pub fn surplus(&self) -> Result<Vec<String>> {
        let message = self.message()?;
        let counts = |signature: &&Signature| {
            self.root_key(&signature.keyid).is_some_and(|key| key.verifies(&message, &hex::decode(&signature.sig).unwrap_or_default()))
        };
        Ok(self.signatures.iter().filter(|signature| !counts(signature)).map(|signature| signature.keyid.clone()).collect())
    }

    /// The signatures that count, one by each key id.
    fn counting(&self) -> Result<Vec<Signature>> {
        let message = self.message()?;
        let mut counting: Vec<Signature> = Vec::new();
        for signature in &self.signatures {
            let counts =
                self.root_key(&signature.keyid).is_some_and(|key| key.verifies(&message, &hex::decode(&signature.sig).unwrap_or_default()));
            if counts && !counting.iter().any(|known| known.keyid == signature.keyid) {
                counting.push(signature.clone());
            }
        }
        Ok(counting)
    }

    /// The file to publish. Placeholders and strange signatures stay out: some clients refuse a root over one.
    pub fn root_file(&self) -> Result<Vec<u8>> {
        Ok(seal(&self.next.to_signed_json(), &self.counting()?))
    }

    /// SHA-256 of the bytes that people sign, in hex.
    pub fn digest(&self) -> Result<String> {
        Ok(hex::encode(openssl::sha::sha256(&self.message()?)))
    }

    /// The bytes that people sign.
    pub fn message(&self) -> Result<Vec<u8>> {
        canonical(&self.next.to_signed_json()).map(std::borrow::Cow::into_owned)
    }

    /// The root that is published, as far as the draft knows.
    pub fn present(&self) -> &Root {
        &self.present
    }

    /// Its file, to the letter.
    pub fn present_file(&self) -> &[u8] {
        self.present_file.as_bytes()
    }

    /// The root to be.
    pub fn next(&self) -> &Root {
        &self.next
    }

    /// Names of people by the ids of their keys.
    pub fn names(&self) -> &BTreeMap<String, String> {
        &self.names
    }

    /// For which repository the draft is, as it states itself.
    pub fn repository(&self) -> Option<&RepositoryLabel> {
        self.repository.as_ref()
    }

    /// Says which repository it is for.
    pub fn set_repository(&mut self, label: RepositoryLabel) -> Result<()> {
        label.check().map_err(Error::invalid)?;
        self.repository = Some(label);
        Ok(())
    }

    /// SHA-256 of the `timestamp.json` that an unfinished commit began with.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Notes what a commit begins with.
    pub fn set_base(&mut self, base: String) {
        self.base = Some(base);
    }

    /// `alice (1f2e…)`, or the id.
    pub fn describe(&self, id: &str) -> String {
        self.names.get(id).map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
    }

    /// The keys that may sign the present or the next root.
    pub fn root_keys(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        let new = self.next.keys_of(Role::Root).filter(|(id, _)| !self.present.role(Role::Root).keyids.iter().any(|known| known == id));
        self.present.keys_of(Role::Root).chain(new)
    }

    fn root_key(&self, id: &str) -> Option<&PublicKey> {
        self.root_keys().find(|(known, _)| *known == id).map(|(_, key)| key)
    }
}

/// The present root; it must at least be signed by its own keys.
fn read_present(file: &str) -> Result<(String, Root)> {
    TrustedMetadata::pin(file.as_bytes(), AtExpiry::Report(Expiry::UNIX_EPOCH))?;
    let root = Root::parse(&Envelope::parse(file, "the present root")?, "the present root")?;
    Ok((file.to_owned(), root))
}
