use super::envelope::{Common, check_version};
use super::{Envelope, Expiry, Role, SPEC_VERSION, format_expiry, parse_expiry};
use crate::digest::{Digests, Hashes};
use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A snapshot or timestamp role: a list of files with their versions. Kept as JSON beneath, as [`super::Root`] is.
#[derive(Clone, Debug)]
pub struct Listing {
    json: Map<String, Value>,
    files: BTreeMap<String, MetaFile>,
    version: u64,
    expires: Expiry,
}

/// The entry of one file in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// The file's version.
    pub version: u64,
    /// Its length in bytes, when stated.
    pub length: Option<u64>,
    /// Its digests, when stated.
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    /// The entry for a role file that has these digests.
    pub fn of(version: u64, digests: &Digests) -> Self {
        Self { version, length: Some(digests.length), hashes: Some(Hashes::of(digests)) }
    }

    fn from_json(value: &Value) -> std::result::Result<Self, String> {
        let version = value.get("version").and_then(Value::as_u64).filter(|version| *version > 0).ok_or("no version of at least 1")?;
        check_version(version)?;
        let length = value.get("length").map(|length| length.as_u64().ok_or("length is not a whole number")).transpose()?;
        let hashes = value.get("hashes").map(Hashes::from_json).transpose()?;
        Ok(Self { version, length, hashes })
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        if let Some(hashes) = &self.hashes {
            json.insert("hashes".into(), hashes.to_json());
        }
        if let Some(length) = self.length {
            json.insert("length".into(), json!(length));
        }
        json.insert("version".into(), json!(self.version));
        Value::Object(json)
    }
}

impl Listing {
    /// An empty listing for `role`, to be given its first entry, version and expiry by [`Listing::next`].
    pub fn empty(role: Role) -> Self {
        let json = json!({"_type": role.name(), "meta": {}, "spec_version": SPEC_VERSION});
        let json = json.as_object().cloned().unwrap_or_default();
        Self { json, files: BTreeMap::new(), version: 0, expires: Expiry::UNIX_EPOCH }
    }

    /// Reads the listing in a role file, without checking any signature.
    pub fn parse(envelope: &Envelope<'_>, role: Role, what: &str) -> Result<Self> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("{what} is not a {role} role: {why}"));
        let common = Common::parse(envelope.signed(), role, what)?;
        let json: Map<String, Value> = serde_json::from_str(envelope.signed()).map_err(|error| broken(error.to_string()))?;
        let mut files = BTreeMap::new();
        for (name, entry) in json.get("meta").and_then(Value::as_object).ok_or_else(|| broken("no meta".into()))? {
            files.insert(name.clone(), MetaFile::from_json(entry).map_err(|why| broken(format!("entry {name}: {why}")))?);
        }
        let expires = parse_expiry(&common.expires).map_err(|failure| broken(failure.message))?;
        Ok(Self { json, files, version: common.version, expires })
    }

    /// The listing that follows: these entries set, everything else as it was.
    #[must_use]
    pub fn next(&self, version: u64, expires: Expiry, entries: impl IntoIterator<Item = (String, MetaFile)>) -> Self {
        let mut next = self.clone();
        next.json.insert("version".into(), json!(version));
        next.json.insert("expires".into(), json!(format_expiry(expires)));
        for (file, listed) in entries {
            if let Some(meta) = next.json.get_mut("meta").and_then(Value::as_object_mut) {
                meta.insert(file.clone(), listed.to_json());
            }
            next.files.insert(file, listed);
        }
        next.version = version;
        next.expires = expires;
        next
    }

    /// JSON that parses to this listing.
    pub fn to_signed_json(&self) -> Vec<u8> {
        Value::Object(self.json.clone()).to_string().into_bytes()
    }

    /// Version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it stops being valid.
    pub fn expires(&self) -> Expiry {
        self.expires
    }

    /// The entry for `file`, for example `targets.json`.
    pub fn get(&self, file: &str) -> Option<&MetaFile> {
        self.files.get(file)
    }

    /// All entries by file name.
    pub fn files(&self) -> &BTreeMap<String, MetaFile> {
        &self.files
    }

    /// A field of the role, for checks of foreign files.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.json.get(name)
    }
}
