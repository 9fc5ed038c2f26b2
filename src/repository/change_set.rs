//! An edit as a file: what a caller requests from the targets worker. It states for each target what it replaces and what it becomes,
//! so that the process that carries it out can check whether it still applies.

use super::edit::{Change, Condition, Edit, Rebin, Renewal};
use crate::error::{Error, Kind, Result};
use crate::metadata::{PublicKey, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSet {
    schema: u32,
    changes: Vec<NamedChange>,
    conditions: Vec<Condition>,
    renewals: Vec<Renewal>,
    rebin: Option<NamedBins>,
    /// Left out where it is not requested: workers of earlier versions do not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_lose_platforms: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedChange {
    name: String,
    replaces: Option<Value>,
    becomes: Option<Value>,
    #[serde(default)]
    keep_existing: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedBins {
    count: usize,
    keys: Vec<(String, Value)>,
    threshold: u64,
}

const SCHEMA: u32 = 1;

impl Edit {
    /// Writes the edit as a file.
    pub fn to_change_set(&self) -> Result<Vec<u8>> {
        let change = |change: &Change| NamedChange {
            name: change.name.clone(),
            replaces: change.expected.as_ref().map(Target::to_value),
            becomes: change.wanted.as_ref().map(Target::to_value),
            keep_existing: change.keep_existing,
        };
        let bins = |rebin: &Rebin| NamedBins {
            count: rebin.count,
            keys: rebin.keys.iter().map(|(id, key)| (id.clone(), key.to_json())).collect(),
            threshold: rebin.threshold,
        };
        let set = ChangeSet {
            schema: SCHEMA,
            changes: self.changes.iter().map(change).collect(),
            conditions: self.conditions.clone(),
            renewals: self.renewals.clone(),
            rebin: self.rebin.as_ref().map(bins),
            may_lose_platforms: self.may_lose_platforms,
        };
        serde_json::to_vec(&set).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
    }

    /// Reads such a file; it may come from any source.
    pub fn from_change_set(bytes: &[u8]) -> Result<Self> {
        let set: ChangeSet =
            serde_json::from_slice(bytes).map_err(|error| Error::invalid(format!("a change set that cannot be read: {error}")))?;
        if set.schema != SCHEMA {
            return Err(Error::invalid(format!("a change set of schema {}, not {SCHEMA}", set.schema)));
        }
        let (conditions, renewals, may_lose_platforms) = (set.conditions, set.renewals, set.may_lose_platforms);
        let mut edit = Self { conditions, renewals, may_lose_platforms, ..Self::default() };
        let mut named = BTreeSet::new();
        for change in set.changes {
            if !named.insert(change.name.clone()) {
                return Err(Error::invalid(format!("a change set that names target {} twice", change.name.escape_debug())));
            }
            let entry = |json: Option<Value>| json.map(|json| Target::parse(&json.to_string(), &change.name)).transpose();
            let (expected, wanted) = (entry(change.replaces)?, entry(change.becomes)?);
            edit.changes.push(Change { name: change.name.clone(), expected, wanted, keep_existing: change.keep_existing, content: None });
        }
        if let Some(bins) = set.rebin {
            let keys = bins.keys.into_iter().map(|(id, key)| Ok((id, PublicKey::from_json(key)?))).collect::<Result<_>>()?;
            edit.rebin = Some(Rebin { count: bins.count, keys, threshold: bins.threshold });
        }
        Ok(edit)
    }
}
