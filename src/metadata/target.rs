use super::canonical::write_canonical;
use crate::digest::{Digests, Hashes};
use crate::error::{Error, Kind, Result};
use serde_json::{Value, json};

const ELSEWHERE: &str = "elsewhere";

/// The entry of one target in a targets role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Length in bytes.
    pub length: u64,
    /// At least one digest.
    pub hashes: Hashes,
    /// Another server serves the content: it is not beside the metadata. Written as `custom`, which clients ignore.
    pub elsewhere: bool,
}

impl Target {
    /// The entry for content with these digests.
    pub fn of(digests: &Digests) -> Self {
        Self { length: digests.length, hashes: Hashes::of(digests), elsewhere: false }
    }

    /// Reads an entry; `name` is for errors.
    pub fn parse(json: &str, name: &str) -> Result<Self> {
        let broken = |why: &str| Error::new(Kind::Untrusted, format!("target {name}: {why}"));
        let value: Value = serde_json::from_str(json).map_err(|error| broken(&error.to_string()))?;
        let length = value.get("length").and_then(Value::as_u64).ok_or_else(|| broken("no length"))?;
        let hashes = value.get("hashes").ok_or_else(|| broken("no hashes"))?;
        let hashes = Hashes::from_json(hashes).map_err(|why| broken(&why))?;
        let elsewhere = value.get("custom").and_then(|custom| custom.get("content")).is_some_and(|content| content == ELSEWHERE);
        Ok(Self { length, hashes, elsewhere })
    }

    /// The entry as JSON.
    pub fn to_value(&self) -> Value {
        let mut entry = json!({"hashes": self.hashes.to_json(), "length": self.length});
        if self.elsewhere {
            entry["custom"] = json!({"content": ELSEWHERE});
        }
        entry
    }

    /// The entry in canonical JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut out = Vec::with_capacity(120);
        write_canonical(&mut out, &self.to_value())?;
        String::from_utf8(out).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
    }

    /// Whether two entries name the same content in the same place: by SHA-256 where both have it, else by SHA-512.
    pub fn has_content_of(&self, other: &Self) -> bool {
        let by_sha256 = self.hashes.sha256.zip(other.hashes.sha256).map(|(a, b)| a == b);
        let by_sha512 = self.hashes.sha512.zip(other.hashes.sha512).map(|(a, b)| a == b);
        self.length == other.length && self.elsewhere == other.elsewhere && by_sha256.or(by_sha512).unwrap_or(false)
    }

    /// Whether content with these digests is this target.
    pub fn matches(&self, digests: &Digests) -> bool {
        self.length == digests.length && self.hashes.matches(digests)
    }
}
