use super::canonical::{canonical, write_string};
use super::{PublicKey, Role};
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A signature in an envelope. `sig` stays text: foreign files hold empty placeholders.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Signature {
    /// The id that the role names its key by.
    pub keyid: String,
    /// The signature bytes in hex.
    pub sig: String,
}

/// `{"signatures": […], "signed": {…}}`, parsed no further than that.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// All signatures as they are.
    pub signatures: Vec<Signature>,
    #[serde(borrow)]
    signed: &'a RawValue,
}

impl<'a> Envelope<'a> {
    /// Splits a role file; `what` names it in errors.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(bytes: &'a T, what: &str) -> Result<Self> {
        let bytes = bytes.as_ref();
        serde_json::from_slice(bytes).map_err(|error| {
            let failure = Error::new(Kind::Untrusted, format!("{what} is not a signed TUF role: {error}"));
            if bytes.trim_ascii_start().first() != Some(&b'<') {
                return failure;
            }
            failure
                .detail("it is a web page or XML")
                .hint("the network requires a login (a captive portal), a proxy answers, or the server answers every request with a page: open the URL in a browser; a repository returns 404 for missing files")
        })
    }

    /// The `signed` part as it is stored.
    pub fn signed(&self) -> &'a str {
        self.signed.get()
    }

    /// The bytes that the signatures are over.
    pub fn canonical(&self) -> Result<Cow<'a, [u8]>> {
        canonical(self.signed.get().as_bytes())
    }

    /// The distinct keys among `keys` with a valid signature over `message`. A key counts once, whatever the number of
    /// its signatures or of the ids it goes by.
    pub fn valid_signers<'k>(&self, message: &[u8], keys: impl Iterator<Item = (&'k str, &'k PublicKey)>) -> Vec<&'k PublicKey> {
        let mut valid: Vec<&PublicKey> = Vec::new();
        for (id, key) in keys {
            if valid.iter().any(|counted| counted.same_material(key)) {
                continue;
            }
            // Only the first signature of an id is looked at: a second one must not rescue a bad first.
            let signature = self.signatures.iter().find(|signature| signature.keyid == id);
            if let Some(bytes) = signature.and_then(|signature| hex::decode(&signature.sig).ok())
                && key.verifies(message, &bytes)
            {
                valid.push(key);
            }
        }
        valid
    }
}

/// Writes a role file: `signed` is JSON whose canonical form was signed.
pub fn seal(signed: &[u8], signatures: &[Signature]) -> Vec<u8> {
    let mut out = Vec::with_capacity(signed.len() + 64 + signatures.len() * 240);
    out.extend_from_slice(b"{\"signatures\":[");
    for (i, signature) in signatures.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"keyid\":");
        write_string(&mut out, &signature.keyid);
        out.extend_from_slice(b",\"sig\":");
        write_string(&mut out, &signature.sig);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"signed\":");
    out.extend_from_slice(signed);
    out.push(b'}');
    out
}

/// The fields every role has; read first, so that a wrong file is named as such.
#[derive(Deserialize)]
pub(super) struct Common<'a> {
    #[serde(rename = "_type", borrow)]
    kind: Cow<'a, str>,
    pub(super) version: u64,
    #[serde(borrow)]
    pub(super) expires: Cow<'a, str>,
}

impl<'a> Common<'a> {
    pub(super) fn parse(signed: &'a str, role: Role, what: &str) -> Result<Self> {
        let common: Self = serde_json::from_str(signed)
            .map_err(|error| Error::new(Kind::Untrusted, format!("{what} lacks a field of every role: {error}")))?;
        common.check_type(role, what)?;
        Ok(common)
    }

    fn check_type(&self, role: Role, what: &str) -> Result<()> {
        if !self.kind.eq_ignore_ascii_case(role.name()) {
            return Err(Error::new(Kind::Untrusted, format!("{what} holds a `{}` role, not {role}", self.kind.escape_debug())));
        }
        if self.version == 0 {
            return Err(Error::new(Kind::Untrusted, format!("{what} has version 0; versions start at 1")));
        }
        check_version(self.version).map_err(|why| Error::new(Kind::Untrusted, format!("{what} has {why}")))
    }
}

/// Versions that clients could not hold are no versions; there is always one more after those that are.
pub(super) fn check_version(version: u64) -> std::result::Result<(), String> {
    match i64::try_from(version) {
        Ok(i64::MAX) | Err(_) => Err(format!("version {version}, after which none can follow")),
        Ok(_) => Ok(()),
    }
}
