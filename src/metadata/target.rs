use super::canonical::write_canonical;
use crate::digest::{Digests, Hashes};
use crate::failure::{Failure, Kind, Result};
use serde_json::{Value, json};

/// What a targets role says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Length in bytes.
    pub length: u64,
    /// At least one digest.
    pub hashes: Hashes,
}

impl Target {
    /// The entry for content with these digests.
    pub fn of(digests: &Digests) -> Self {
        Self { length: digests.length, hashes: Hashes::of(digests) }
    }

    /// Reads an entry; `name` is for errors.
    pub fn parse(json: &str, name: &str) -> Result<Self> {
        let broken = |why: &str| Failure::new(Kind::Untrusted, format!("target {name}: {why}"));
        let value: Value = serde_json::from_str(json).map_err(|error| broken(&error.to_string()))?;
        let length = value.get("length").and_then(Value::as_u64).ok_or_else(|| broken("no length"))?;
        let hashes = value.get("hashes").ok_or_else(|| broken("no hashes"))?;
        let hashes = Hashes::from_json(hashes).map_err(|why| broken(&why))?;
        Ok(Self { length, hashes })
    }

    /// The entry as JSON.
    pub fn to_value(&self) -> Value {
        json!({"hashes": self.hashes.to_json(), "length": self.length})
    }

    /// The entry in canonical JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut out = Vec::with_capacity(120);
        write_canonical(&mut out, &self.to_value())?;
        String::from_utf8(out).map_err(|error| Failure::new(Kind::Unexpected, error.to_string()))
    }

    /// Whether content with these digests is this target.
    pub fn matches(&self, digests: &Digests) -> bool {
        self.length == digests.length && self.hashes.matches(digests)
    }
}
