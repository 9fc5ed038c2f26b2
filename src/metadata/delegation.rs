use super::canonical::write_canonical;
use super::root::keys_of;
use super::{PublicKey, RoleKeys};
use crate::error::{Error, Kind, Result};
use crate::names::fits_pattern;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The delegations block of a targets role, as needed to follow it.
#[derive(Clone, Debug)]
pub struct Delegations {
    keys: BTreeMap<String, PublicKey>,
    /// In order of priority. Hashed bins given as `succinct_roles` are written out.
    pub roles: Vec<DelegatedRole>,
}

/// One delegated role.
#[derive(Clone, Debug)]
pub struct DelegatedRole {
    /// Its name; its file is `<name>.json`.
    pub name: String,
    /// Who may sign it.
    pub keys: RoleKeys,
    /// Whether clients look no further for the names that it is responsible for.
    pub terminating: bool,
    /// Which target names it is responsible for.
    scope: Scope,
}

#[derive(Clone, Debug)]
enum Scope {
    Patterns(Vec<String>),
    HashPrefixes(Vec<String>),
}

/// More bins than this are refused rather than written out.
const MAX_BIN_BITS: u32 = 16;

/// Finds the hashed bin that is responsible for a name, without a search through all bins.
#[derive(Clone, Debug)]
pub struct BinIndex {
    by_prefix: HashMap<String, usize>,
    /// The lengths that prefixes have, shortest first.
    lengths: Vec<usize>,
}

impl Delegations {
    /// Reads the block; `what` names the role it is in.
    pub fn parse(json: &str, what: &str) -> Result<Self> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("{what} has delegations that cannot be read: {why}"));
        let value: Value = serde_json::from_str(json).map_err(|error| broken(error.to_string()))?;
        let mut keys = BTreeMap::new();
        for (id, key) in value.get("keys").and_then(Value::as_object).into_iter().flatten() {
            // A key we cannot read simply never counts towards a threshold.
            if let Ok(key) = PublicKey::from_json(key.clone()) {
                keys.insert(id.clone(), key);
            }
        }
        let mut roles = Vec::new();
        for role in value.get("roles").and_then(Value::as_array).into_iter().flatten() {
            roles.push(DelegatedRole::parse(role).map_err(&broken)?);
        }
        if let Some(succinct) = value.get("succinct_roles") {
            roles.extend(bins(succinct).map_err(&broken)?);
        }
        Ok(Self { keys, roles })
    }

    /// An index of the roles, if all of them are chosen by hash prefixes.
    pub fn bins(&self) -> Option<BinIndex> {
        let mut by_prefix = HashMap::new();
        for (at, role) in self.roles.iter().enumerate() {
            let Scope::HashPrefixes(prefixes) = &role.scope else { return None };
            for prefix in prefixes {
                // The first role that is responsible for a name is the one that clients ask first.
                by_prefix.entry(prefix.clone()).or_insert(at);
            }
        }
        let mut lengths: Vec<usize> = by_prefix.keys().map(String::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        (!by_prefix.is_empty()).then_some(BinIndex { by_prefix, lengths })
    }

    /// Writes a block that shares out all names over `bins` by the hash of the name: a power of two, each with an equal
    /// share, all with the same keys (specification 4.5, PEP 458).
    pub fn write_bins(bins: &[String], keys: &[(String, PublicKey)], threshold: u64) -> Result<Vec<u8>> {
        let bits = bins.len().trailing_zeros();
        if bins.len() != 1 << bits || bits > MAX_BIN_BITS {
            return Err(Error::invalid(format!("{} bins: their number must be a power of two up to {}", bins.len(), 1 << MAX_BIN_BITS)));
        }
        let prefixes = hash_shares(bits);
        let keyids: Vec<&String> = keys.iter().map(|(id, _)| id).collect();
        let role = |(name, prefixes): (&String, Vec<String>)| json!({"keyids": keyids, "name": name, "path_hash_prefixes": prefixes, "terminating": true, "threshold": threshold});
        let roles: Vec<Value> = bins.iter().zip(prefixes).map(role).collect();
        let keys: serde_json::Map<String, Value> = keys.iter().map(|(id, key)| (id.clone(), key.to_json())).collect();
        let mut out = Vec::new();
        write_canonical(&mut out, &json!({"keys": keys, "roles": roles}))?;
        Ok(out)
    }

    /// The block with other keys for one of its roles, or for all of them; everything else stays as it is. Keys that no role
    /// names any more are left out.
    pub fn rekeyed(json: &str, role: Option<&str>, keys: &[(String, PublicKey)], threshold: u64) -> Result<String> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("delegations that cannot be read: {why}"));
        let mut block: Value = serde_json::from_str(json).map_err(|error| broken(error.to_string()))?;
        let keyids: Vec<&String> = keys.iter().map(|(id, _)| id).collect();
        let mut set = |role: &mut Value| {
            role["keyids"] = json!(keyids);
            role["threshold"] = json!(threshold);
        };
        let wanted = |value: &Value| role.is_none_or(|role| value["name"] == role);
        block["roles"].as_array_mut().into_iter().flatten().filter(|value| wanted(value)).for_each(&mut set);
        if role.is_none()
            && let Some(succinct) = block.get_mut("succinct_roles")
        {
            set(succinct);
        }
        let known = block["keys"].as_object_mut().ok_or_else(|| broken("no keys".into()))?;
        known.extend(keys.iter().map(|(id, key)| (id.clone(), key.to_json())));
        prune_keys(&mut block);
        Ok(block.to_string())
    }

    /// The block without these roles, and without keys that no other role names.
    pub fn without(json: &str, roles: &[String]) -> Result<String> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("delegations that cannot be read: {why}"));
        let mut block: Value = serde_json::from_str(json).map_err(|error| broken(error.to_string()))?;
        let list = block["roles"].as_array_mut().ok_or_else(|| broken("no roles".into()))?;
        list.retain(|role| !role["name"].as_str().is_some_and(|name| roles.iter().any(|gone| gone == name)));
        prune_keys(&mut block);
        Ok(block.to_string())
    }

    /// All keys of the block with their ids.
    pub fn keys(&self) -> impl Iterator<Item = (&String, &PublicKey)> {
        self.keys.iter()
    }

    /// The present keys of a role with their ids.
    pub fn keys_of<'a>(&'a self, role: &'a DelegatedRole) -> impl Iterator<Item = (&'a str, &'a PublicKey)> {
        keys_of(&role.keys, &self.keys)
    }
}

impl BinIndex {
    /// The place of the role that is responsible for this name.
    pub fn find(&self, target: &str) -> Option<usize> {
        let hash = hex::encode(openssl::sha::sha256(target.as_bytes()));
        self.lengths.iter().find_map(|length| self.by_prefix.get(hash.get(..*length)?)).copied()
    }
}

impl DelegatedRole {
    fn parse(value: &Value) -> std::result::Result<Self, String> {
        let name = value.get("name").and_then(Value::as_str).ok_or("a role has no name")?.to_owned();
        let keys = RoleKeys::from_json(value).ok_or_else(|| format!("role {name} has no keyids and threshold of at least 1"))?;
        let texts = |field: &str| -> Option<Vec<String>> {
            Some(value.get(field)?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let scope = match (texts("paths"), texts("path_hash_prefixes")) {
            (Some(paths), None) => Scope::Patterns(paths),
            (None, Some(prefixes)) => Scope::HashPrefixes(prefixes),
            _ => return Err(format!("role {name} must have either paths or path_hash_prefixes")),
        };
        let terminating = value.get("terminating").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { name, keys, terminating, scope })
    }

    /// The patterns of target names that it is responsible for; none if hashes decide.
    pub fn patterns(&self) -> &[String] {
        if let Scope::Patterns(patterns) = &self.scope { patterns } else { &[] }
    }

    /// The beginnings of hashes of target names that it is responsible for; none if patterns decide.
    pub fn hash_prefixes(&self) -> &[String] {
        if let Scope::HashPrefixes(prefixes) = &self.scope { prefixes } else { &[] }
    }

    /// Whether the role is responsible for this target name (specification 4.5; `*` and `?` do not cross a slash).
    pub fn covers(&self, target: &str) -> bool {
        match &self.scope {
            Scope::Patterns(patterns) => patterns.iter().any(|pattern| fits_pattern(pattern, target)),
            Scope::HashPrefixes(prefixes) => {
                let hash = hex::encode(openssl::sha::sha256(target.as_bytes()));
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}
/// TAP 15: `bit_length` bits of the name's hash choose one of equally named, equally keyed bins.
fn bins(value: &Value) -> std::result::Result<Vec<DelegatedRole>, String> {
    let keys = RoleKeys::from_json(value).ok_or("succinct_roles has no keyids and threshold of at least 1")?;
    let bits = value.get("bit_length").and_then(Value::as_u64).and_then(|bits| u32::try_from(bits).ok());
    let bits = bits.filter(|bits| (1..=MAX_BIN_BITS).contains(bits)).ok_or("succinct_roles has no bit_length from 1 to 16")?;
    let prefix = value.get("name_prefix").and_then(Value::as_str).ok_or("succinct_roles has no name_prefix")?;
    let name_digits = ((1_u64 << bits) - 1).to_string().len().min(format!("{:x}", (1_u64 << bits) - 1).len());
    let role = |(bin, prefixes)| DelegatedRole {
        name: format!("{prefix}-{bin:0name_digits$x}"),
        keys: keys.clone(),
        terminating: true,
        scope: Scope::HashPrefixes(prefixes),
    };
    Ok(hash_shares(bits).into_iter().enumerate().map(role).collect())
}

/// The hash prefixes of each of `1 << bits` equal shares, in order.
fn hash_shares(bits: u32) -> Vec<Vec<String>> {
    let digits = bits.div_ceil(4).max(1);
    let share = 1_u64 << (digits * 4 - bits);
    let prefixes = |bin: u64| (bin * share..(bin + 1) * share).map(|value| format!("{value:0width$x}", width = digits as usize)).collect();
    (0..1_u64 << bits).map(prefixes).collect()
}

/// Takes out keys that no role of the block names.
fn prune_keys(block: &mut Value) {
    let named = |value: &Value| value["keyids"].as_array().cloned().unwrap_or_default();
    let used: Vec<Value> = block["roles"].as_array().into_iter().flatten().chain(block.get("succinct_roles")).flat_map(named).collect();
    if let Some(known) = block["keys"].as_object_mut() {
        known.retain(|id, _| used.iter().any(|used| used == id));
    }
}
