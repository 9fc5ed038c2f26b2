use crate::error::{Error, Kind, Result};
use crate::metadata::PublicKey;
use crate::names::RoleName;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The longest message that is sent or read, in bytes.
pub const MESSAGE_LIMIT: usize = 1 << 20;

/// No request is valid for longer than this: a recorded one cannot be used again after it.
pub const LONGEST_LIFE: TimeDelta = TimeDelta::hours(24);

const SCHEMA: u32 = 1;

/// Stands before what a sender signs, so that no signature over anything else can be taken for it.
const DOMAIN: &[u8] = b"publish signing request, version 1\n";

/// A request under its sender's signature: the exact bytes that were signed, and the signature in hex.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    payload: String,
    signature: String,
}

/// What one process asks a worker for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    schema: u32,
    /// Random; the same id again gets the same answer.
    pub id: String,
    /// SHA-256 of the first root, in hex: which repository this is about.
    pub repository: String,
    /// Who asks, by the name that the worker's config has for the key.
    pub sender: String,
    /// When it stops being valid.
    pub not_after: DateTime<Utc>,
    /// What for.
    pub ask: Ask,
}

/// The requests that each role accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// Make the changes of a change set.
    Targets {
        /// The change set that lies in the state store.
        changes: Changes,
    },
    /// List new targets roles.
    Snapshot {
        /// The timestamp that they were made from.
        base: FileReference,
        /// The roles; none to sign the snapshot again.
        roles: Vec<RoleReference>,
        /// The requests to the targets worker that they fulfil, by id.
        fulfils: Vec<String>,
    },
    /// Make a snapshot visible.
    Timestamp {
        /// The timestamp to replace.
        base: FileReference,
        /// The snapshot; none to sign the timestamp again.
        snapshot: Option<FileReference>,
    },
}

/// A change set in the state store, below the request's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// Of its bytes, in hex.
    pub sha256: String,
    /// In bytes.
    pub length: u64,
}

/// A role file in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileReference {
    /// Its version.
    pub version: u64,
    /// Of its bytes, in hex.
    pub sha256: String,
}

/// A targets role's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleReference {
    /// Its name.
    pub role: RoleName,
    /// The file.
    pub file: FileReference,
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
pub enum Reply {
    /// A step is done; there is more to come.
    Status {
        /// For people.
        line: String,
    },
    /// The role is signed and written.
    Signed {
        /// The file.
        file: FileReference,
    },
    /// Another publisher was faster: start again from what is published now.
    Again,
    /// It is published.
    Done {
        /// Whether this request changed anything.
        changed: bool,
        /// The snapshot that was published then: it or a later one contains what was requested.
        snapshot: u64,
    },
    /// It will not be done.
    Refused {
        /// Kind, as in exit codes.
        kind: String,
        /// Why.
        message: String,
        /// Further lines.
        details: Vec<String>,
        /// What to do.
        hints: Vec<String>,
    },
}

impl Request {
    /// A new request that is valid from `now` for this long.
    pub fn new(id: String, repository: &str, sender: &str, now: DateTime<Utc>, life: TimeDelta, ask: Ask) -> Self {
        Self { schema: SCHEMA, id, repository: repository.into(), sender: sender.into(), not_after: now + life, ask }
    }

    /// Seals it; `sign` is the sender's key.
    pub fn seal(&self, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<Sealed> {
        let payload = serde_json::to_string(self).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
        let signature = hex::encode(sign(&[DOMAIN, payload.as_bytes()].concat())?);
        Ok(Sealed { payload, signature })
    }

    /// Refuses what is about another repository, outdated, or valid for longer than anything may be.
    pub fn check(&self, repository: &str, now: DateTime<Utc>) -> Result<()> {
        let refuse = |why: String| Err(Error::new(Kind::Permission, format!("request {} {why}", self.id)));
        if self.repository != repository {
            return refuse("is about another repository".into());
        }
        if self.not_after < now {
            return refuse(format!("was valid until {}", crate::metadata::format_expiry(self.not_after)));
        }
        if self.not_after - now > LONGEST_LIFE + TimeDelta::minutes(5) {
            return refuse("would be valid for more than 24 hours".into());
        }
        Ok(())
    }
}

impl Sealed {
    /// Reads a message; nothing in it is trusted yet.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MESSAGE_LIMIT {
            return Err(Error::invalid(format!("a message of {} bytes; no more than {MESSAGE_LIMIT} are read", bytes.len())));
        }
        serde_json::from_slice(bytes).map_err(|error| unreadable("a message that is not a signed request", &error))
    }

    /// SHA-256 of what the sender signed, in hex.
    pub fn digest(&self) -> String {
        hex::encode(openssl::sha::sha256(self.payload.as_bytes()))
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
        if bytes.len() > MESSAGE_LIMIT {
            return Err(Error::invalid(format!("a request of {} bytes; no more than {MESSAGE_LIMIT} can be sent", bytes.len())));
        }
        Ok(bytes)
    }

    /// The request, if its signature is that of the sender it names; `key_of` returns the key of a known sender.
    pub fn open<'k>(&self, key_of: impl FnOnce(&str) -> Option<&'k PublicKey>) -> Result<Request> {
        let request: Request = serde_json::from_str(&self.payload).map_err(|error| unreadable("a request that cannot be read", &error))?;
        if request.schema != SCHEMA {
            return Err(Error::invalid(format!("a request of schema {}; this worker reads {SCHEMA}", request.schema)));
        }
        let sender = safe_id(&request.sender);
        let key = key_of(&request.sender).ok_or_else(|| {
            Error::new(Kind::Permission, format!("request {} is from `{sender}`, which is not a known sender", safe_id(&request.id)))
        })?;
        let signature = hex::decode(&self.signature).unwrap_or_default();
        if !key.verifies(&[DOMAIN, self.payload.as_bytes()].concat(), &signature) {
            return Err(Error::new(
                Kind::Permission,
                format!("request {} names `{sender}`, but is not signed by it", safe_id(&request.id)),
            ));
        }
        // Ids become names of objects.
        if request.id.len() != 32 || !request.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::invalid(format!("`{}` is not a request id", safe_id(&request.id))));
        }
        Ok(request)
    }
}

/// What the parser reports can quote the message: control characters are escaped, and it is cut.
fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    let why: String = error.to_string().chars().take(200).flat_map(char::escape_debug).collect();
    Error::invalid(format!("{what}: {why}"))
}

fn safe_id(id: &str) -> String {
    id.chars().take(40).flat_map(char::escape_debug).take(50).collect()
}

/// A new request id.
pub fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    openssl::rand::rand_bytes(&mut bytes)
        .map_err(|error| Error::new(Kind::Unexpected, "the system gave no random bytes for a request id").source(error))?;
    Ok(hex::encode(bytes))
}
