//! Replies under the signature of the worker that gives them. A reply is bound to the repository, to the worker's role, and
//! to one request: to its id and to the exact bytes that its sender signed.
//!
//! Nothing needs to be configured for it: a worker holds the key of its role, which every process can verify from the root
//! that it pins. That key certifies the worker's identity for some days ([`Credential`]), and the identity signs replies.
//! Both signatures begin with a line of their own, so that neither can be taken for role metadata or for a request.

use super::{Reply, Sealed, WorkerRole};
use crate::error::{Error, Kind, Result};
use crate::metadata::{KeyKind, PublicKey, canonical};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REPLY_DOMAIN: &[u8] = b"publish signing reply, version 1\n";
const CREDENTIAL_DOMAIN: &[u8] = b"publish worker identity, version 1\n";

/// How long a credential is valid. Recorded results must be verifiable for longer than any request is valid.
pub const CREDENTIAL_LIFE: TimeDelta = TimeDelta::days(7);

/// At most so many signatures of a credential are looked at.
const MOST_SIGNATURES: usize = 16;

/// What a reply is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The repository, by the SHA-256 of its first root in hex.
    pub repository: String,
    /// The worker's role.
    pub role: WorkerRole,
    /// The request's id.
    pub request: String,
    /// SHA-256 of the bytes that the request's sender signed, in hex.
    pub asked: String,
}

impl Subject {
    /// A reply by the worker of this role to this request.
    pub fn new(repository: &str, role: WorkerRole, request: &str, sealed: &Sealed) -> Self {
        Self { repository: repository.into(), role, request: request.into(), asked: sealed.digest() }
    }
}

/// Certifies with the keys of a role that a key of a worker's own signs replies for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    identity: String,
    repository: String,
    role: WorkerRole,
    until: DateTime<Utc>,
    signatures: Vec<String>,
}

/// The keys that may certify a worker's identity, and how many of them must.
#[derive(Clone, Debug)]
pub struct Certifiers {
    /// The keys of the role.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u64,
}

impl Credential {
    /// A credential for an identity; `sign` signs with each key of the role that is at hand.
    pub fn new(
        repository: &str,
        role: WorkerRole,
        identity: &PublicKey,
        now: DateTime<Utc>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<Vec<u8>>>,
    ) -> Result<Self> {
        let public = identity.to_json()["keyval"]["public"].as_str().filter(|_| identity.kind() == KeyKind::Ed25519).map(str::to_owned);
        let identity = public.ok_or_else(|| {
            Error::invalid("the worker's identity is not an Ed25519 key").hint("`publish key new` makes one; `workers.identity` names it")
        })?;
        let mut credential = Self { identity, repository: repository.into(), role, until: now + CREDENTIAL_LIFE, signatures: Vec::new() };
        credential.signatures = sign(&credential.statement()?)?.into_iter().map(hex::encode).collect();
        Ok(credential)
    }

    /// Whether it should be made anew.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.until - now < CREDENTIAL_LIFE / 2 || self.until - now > CREDENTIAL_LIFE
    }

    fn statement(&self) -> Result<Vec<u8>> {
        let fields = json!({
            "identity": self.identity, "repository": self.repository, "role": self.role,
            "until": crate::metadata::format_expiry(self.until),
        });
        sealed_bytes(CREDENTIAL_DOMAIN, &fields)
    }

    /// The identity, if enough keys of one of `certifiers` have signed for it.
    fn check(&self, subject: &Subject, certifiers: &[Certifiers], now: DateTime<Utc>) -> Result<PublicKey> {
        if self.repository != subject.repository || self.role != subject.role {
            return Err(untrusted("its sender's credential is for another repository or role"));
        }
        if self.until < now || self.until - now > CREDENTIAL_LIFE + TimeDelta::hours(1) {
            return Err(untrusted("its sender's credential is not valid now"));
        }
        let statement = self.statement()?;
        let signatures: Vec<Vec<u8>> = self.signatures.iter().take(MOST_SIGNATURES).filter_map(|text| hex::decode(text).ok()).collect();
        let enough = |of: &Certifiers| {
            let signed = |key: &&PublicKey| signatures.iter().any(|signature| key.verifies(&statement, signature));
            let mut counted: Vec<&PublicKey> = Vec::new();
            for key in of.keys.iter().filter(signed) {
                if !counted.iter().any(|known| known.same_material(key)) {
                    counted.push(key);
                }
            }
            of.threshold > 0 && counted.len() as u64 >= of.threshold
        };
        if !certifiers.iter().any(enough) {
            return Err(untrusted(&format!("no key of the {} role certifies its sender", self.role)));
        }
        let identity = hex::decode(&self.identity).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        PublicKey::ed25519(&identity.ok_or_else(|| untrusted("its sender's identity is not an Ed25519 key"))?)
    }
}

/// What is added to a reply.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    request: String,
    asked: String,
    credential: Credential,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl Reply {
    /// The reply as a message, signed by a worker's identity; `sign` is its key.
    pub fn seal(&self, subject: &Subject, credential: &Credential, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let mut signed =
            Signed { request: subject.request.clone(), asked: subject.asked.clone(), credential: credential.clone(), signature: None };
        let mut message = value(self)?;
        message["signed"] = value(&signed)?;
        signed.signature = Some(hex::encode(sign(&sealed_bytes(REPLY_DOMAIN, &message)?)?));
        message["signed"] = value(&signed)?;
        serde_json::to_vec(&message).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
    }

    /// Whether a message is a reply by such a worker, but to another request with the same id.
    pub fn is_about_another(bytes: &[u8], subject: &Subject, certifiers: &[Certifiers], now: DateTime<Utc>) -> bool {
        let asked = serde_json::from_slice::<Value>(bytes).ok().and_then(|message| Some(message["signed"]["asked"].as_str()?.to_owned()));
        asked.is_some_and(|asked| Self::open(bytes, &Subject { asked, ..subject.clone() }, certifiers, now).is_ok())
    }

    /// Reads a message, if it is a reply about `subject` by a worker whom `certifiers` certify.
    pub fn open(bytes: &[u8], subject: &Subject, certifiers: &[Certifiers], now: DateTime<Utc>) -> Result<Self> {
        if bytes.len() > super::MESSAGE_LIMIT {
            return Err(untrusted("it is too long"));
        }
        let unreadable = |_| untrusted("it is not a signed reply");
        let mut message: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let fields = message.as_object_mut().ok_or_else(|| untrusted("it is not a signed reply"))?;
        let mut signed: Signed = serde_json::from_value(fields.remove("signed").unwrap_or_default()).map_err(unreadable)?;
        let reply = serde_json::from_value(message.clone()).map_err(unreadable)?;
        if signed.request != subject.request || signed.asked != subject.asked {
            return Err(untrusted("it is about another request"));
        }
        let signature = signed.signature.take().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
        let identity = signed.credential.check(subject, certifiers, now)?;
        message["signed"] = value(&signed)?;
        if !identity.verifies(&sealed_bytes(REPLY_DOMAIN, &message)?, &signature) {
            return Err(untrusted("its signature is wrong"));
        }
        Ok(reply)
    }
}

fn sealed_bytes(domain: &[u8], value: &Value) -> Result<Vec<u8>> {
    let mut bytes = domain.to_vec();
    canonical::write_canonical(&mut bytes, value)?;
    Ok(bytes)
}

fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
}

fn untrusted(why: &str) -> Error {
    Error::new(Kind::Untrusted, format!("a reply is not accepted: {why}"))
}
