//! One streaming pass over content: its length, SHA-256, on request SHA-512, and the hash state an OpenPGP signature is
//! made from. Version 4 signatures hash the content first, so the state after the content serves both purposes.

use crate::error::{Error, Kind, Result};
use sequoia_openpgp::crypto::hash::Context;
use sequoia_openpgp::types::HashAlgorithm;
use serde_json::{Map, Value};

/// Length and digests of some content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256, always.
    pub sha256: [u8; 32],
    /// SHA-512, on request.
    pub sha512: Option<[u8; 64]>,
}

impl Digests {
    /// The digests of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len() as u64, sha256: openssl::sha::sha256(bytes), sha512: None }
    }

    /// The digests of bytes in memory, SHA-512 as well.
    pub fn both_of(bytes: &[u8]) -> Self {
        Self { sha512: Some(openssl::sha::sha512(bytes)), ..Self::of(bytes) }
    }

    /// SHA-256 in lower-case hex: the prefix of hashed names.
    pub fn hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

/// The digests that metadata states for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256, when stated.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512, when stated.
    pub sha512: Option<[u8; 64]>,
    /// Names of stated algorithms that we do not compute; the trdl client refuses files that have any.
    pub unknown: Vec<String>,
}

impl Hashes {
    /// The metadata entry of content with these digests.
    pub fn of(digests: &Digests) -> Self {
        Self { sha256: Some(digests.sha256), sha512: digests.sha512, unknown: Vec::new() }
    }

    /// Reads a `hashes` object.
    pub fn from_json(value: &Value) -> std::result::Result<Self, String> {
        let mut hashes = Self::default();
        for (name, digest) in value.as_object().ok_or("hashes is not an object")? {
            let digest = digest.as_str().ok_or_else(|| format!("hash {name} is not a string"))?;
            let wrong = || format!("hash {name} is not hex of the right length");
            match name.as_str() {
                "sha256" => hashes.sha256 = Some(hex::decode(digest).ok().and_then(|d| d.try_into().ok()).ok_or_else(wrong)?),
                "sha512" => hashes.sha512 = Some(hex::decode(digest).ok().and_then(|d| d.try_into().ok()).ok_or_else(wrong)?),
                _ => hashes.unknown.push(name.clone()),
            }
        }
        if hashes.sha256.is_none() && hashes.sha512.is_none() {
            return Err("neither sha256 nor sha512 is stated".into());
        }
        Ok(hashes)
    }

    /// The `hashes` object.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if let Some(digest) = self.sha256 {
            map.insert("sha256".into(), hex::encode(digest).into());
        }
        if let Some(digest) = self.sha512 {
            map.insert("sha512".into(), hex::encode(digest).into());
        }
        Value::Object(map)
    }

    /// Whether all stated digests are those of the content. A stated SHA-512 needs one that was computed.
    pub fn matches(&self, digests: &Digests) -> bool {
        self.sha256.is_none_or(|stated| stated == digests.sha256) && self.sha512.is_none_or(|stated| Some(stated) == digests.sha512)
    }

    /// The digests that may prefix the file's name, in hex; the one that clients ask for first comes first.
    pub fn prefixes(&self) -> impl Iterator<Item = String> {
        self.sha256.map(hex::encode).into_iter().chain(self.sha512.map(hex::encode))
    }
}

impl std::fmt::Display for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.sha256, self.sha512) {
            (Some(digest), _) => write!(f, "sha256 {}", hex::encode(digest)),
            (None, Some(digest)) => write!(f, "sha512 {}", hex::encode(digest)),
            (None, None) => f.write_str("no digest"),
        }
    }
}

/// Which digests a pass computes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// SHA-512 beside SHA-256.
    pub sha512: bool,
    /// The digest of the OpenPGP signature; SHA-256 is shared, others cost a second state.
    pub openpgp: Option<HashAlgorithm>,
}

/// The running pass.
pub struct Digester {
    length: u64,
    sha256: Context,
    sha512: Option<Context>,
    openpgp: Option<Context>,
    share: bool,
}

impl Digester {
    /// Starts a pass.
    pub fn new(wanted: Wanted) -> Result<Self> {
        let state = |algorithm: HashAlgorithm| {
            let builder =
                algorithm.context().map_err(|error| Error::new(Kind::Unexpected, format!("cannot compute {algorithm}")).source(error))?;
            Ok(builder.for_signature(4))
        };
        let share = wanted.openpgp == Some(HashAlgorithm::SHA256);
        Ok(Self {
            length: 0,
            sha256: state(HashAlgorithm::SHA256)?,
            sha512: wanted.sha512.then(|| state(HashAlgorithm::SHA512)).transpose()?,
            openpgp: wanted.openpgp.filter(|_| !share).map(state).transpose()?,
            share,
        })
    }

    /// Feeds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.sha256.update(bytes);
        for state in [&mut self.sha512, &mut self.openpgp].into_iter().flatten() {
            state.update(bytes);
        }
    }

    /// Ends the pass: the digests, and the state to sign from when one was wanted.
    pub fn finish(self) -> Result<(Digests, Option<Context>)> {
        let openpgp = if self.share { Some(self.sha256.clone()) } else { self.openpgp };
        let wrong = || Error::new(Kind::Unexpected, "a digest has the wrong length");
        let digest = |state: Context| state.into_digest().map_err(|error| wrong().source(error));
        let sha256 = digest(self.sha256)?.try_into().map_err(|_| wrong())?;
        let sha512 = self.sha512.map(|state| digest(state)?.try_into().map_err(|_| wrong())).transpose()?;
        Ok((Digests { length: self.length, sha256, sha512 }, openpgp))
    }
}
