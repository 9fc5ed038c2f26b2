use super::envelope::Common;
use super::{Envelope, Expiry, KeyIdStyle, PublicKey, Role, SPEC_VERSION, format_expiry, parse_expiry};
use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A root role: the keys of everything. Kept as JSON beneath, so that fields we do not know survive an edit.
#[derive(Clone, Debug)]
pub struct Root {
    json: Map<String, Value>,
    keys: BTreeMap<String, PublicKey>,
    unreadable: Vec<(String, String)>,
    roles: BTreeMap<String, RoleKeys>,
    version: u64,
    expires: Expiry,
}

/// Which keys may sign a role, and how many must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// As listed; an id may be listed whose key is missing.
    pub keyids: Vec<String>,
    /// How many distinct keys must have signed.
    pub threshold: u64,
}

impl Root {
    /// A first root with one key per role and threshold 1.
    pub fn first(keys: &BTreeMap<Role, PublicKey>, style: KeyIdStyle, expires: Expiry, consistent_snapshot: bool) -> Result<Self> {
        let mut objects = Map::new();
        let mut roles = Map::new();
        for (role, key) in keys {
            let (id, key) = style.keyed(key)?;
            roles.insert(role.name().into(), json!({"keyids": [id], "threshold": 1}));
            objects.insert(id, key.to_json());
        }
        let root = json!({
            "_type": "root",
            "consistent_snapshot": consistent_snapshot,
            "expires": format_expiry(expires),
            "keys": objects,
            "roles": roles,
            "spec_version": SPEC_VERSION,
            "version": 1,
        });
        Self::from_json(&root.to_string(), "1.root.json")
    }

    /// Reads the root in a role file, without checking any signature.
    pub fn parse(envelope: &Envelope<'_>, what: &str) -> Result<Self> {
        Self::from_json(envelope.signed(), what)
    }

    pub(super) fn from_json(signed: &str, what: &str) -> Result<Self> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("{what} is not a root role: {why}"));
        let common = Common::parse(signed, Role::Root, what)?;
        let json: Map<String, Value> = serde_json::from_str(signed).map_err(|error| broken(error.to_string()))?;
        let mut keys = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (id, key) in json.get("keys").and_then(Value::as_object).ok_or_else(|| broken("no keys".into()))? {
            match PublicKey::from_json(key.clone()) {
                Ok(key) => drop(keys.insert(id.clone(), key)),
                Err(failure) => unreadable.push((id.clone(), failure.message)),
            }
        }
        let mut roles = BTreeMap::new();
        for (name, role) in json.get("roles").and_then(Value::as_object).ok_or_else(|| broken("no roles".into()))? {
            let role = RoleKeys::from_json(role).ok_or_else(|| broken(format!("role {name} has no keyids and threshold of at least 1")))?;
            roles.insert(name.clone(), role);
        }
        if let Some(missing) = Role::ALL.iter().find(|role| !roles.contains_key(role.name())) {
            return Err(broken(format!("it names no keys for {missing}")));
        }
        let expires = parse_expiry(&common.expires).map_err(|failure| broken(failure.message))?;
        let version = common.version;
        Ok(Self { json, keys, unreadable, roles, version, expires })
    }

    /// The next version of this root, otherwise unchanged.
    pub fn renewed(&self, expires: Expiry) -> Result<Self> {
        let mut json = self.json.clone();
        json.insert("version".into(), json!(self.version + 1));
        json.insert("expires".into(), json!(format_expiry(expires)));
        Self::from_json(&Value::Object(json).to_string(), "the next root")
    }

    /// The same root with consistent snapshots on or off.
    pub fn with_consistent_snapshot(&self, on: bool) -> Self {
        let mut root = self.clone();
        root.json.insert("consistent_snapshot".into(), json!(on));
        root
    }

    /// JSON that parses to this root; its canonical form is what is signed.
    pub fn to_signed_json(&self) -> Vec<u8> {
        Value::Object(self.json.clone()).to_string().into_bytes()
    }

    pub(super) fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// Version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it stops being valid.
    pub fn expires(&self) -> Expiry {
        self.expires
    }

    /// Whether clients fetch versioned metadata and hash-prefixed targets.
    pub fn consistent_snapshot(&self) -> bool {
        self.json.get("consistent_snapshot").and_then(Value::as_bool).unwrap_or(false)
    }

    /// A string field of the root, for checks of foreign files.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.json.get(name)
    }

    /// The keys that may sign a role, and the threshold.
    pub fn role(&self, role: Role) -> &RoleKeys {
        &self.roles[role.name()]
    }

    /// The present keys of a role with their ids.
    pub fn keys_of(&self, role: Role) -> impl Iterator<Item = (&str, &PublicKey)> {
        keys_of(self.role(role), &self.keys)
    }

    /// How many different keys a role has: one key under two ids counts once, as for signatures.
    pub fn distinct_keys_of(&self, role: Role) -> u64 {
        let mut distinct: Vec<&PublicKey> = Vec::new();
        for (_, key) in self.keys_of(role) {
            if !distinct.iter().any(|known| known.same_material(key)) {
                distinct.push(key);
            }
        }
        distinct.len() as u64
    }

    /// The keys of targets, snapshot and timestamp that are a key of any of the three in the next root too, with the role they
    /// have in this one.
    pub fn online_keys_kept_by(&self, next: &Self) -> Vec<(Role, &str)> {
        let of_next: Vec<&PublicKey> = Role::ONLINE.into_iter().flat_map(|role| next.keys_of(role)).map(|(_, key)| key).collect();
        let kept = |key: &PublicKey| of_next.iter().any(|other| other.same_material(key));
        let of_role = |role| self.keys_of(role).filter(|(_, key)| kept(key)).map(move |(id, _)| (role, id));
        Role::ONLINE.into_iter().flat_map(of_role).collect()
    }

    /// All keys by id.
    pub fn keys(&self) -> &BTreeMap<String, PublicKey> {
        &self.keys
    }

    /// Keys we cannot use: id and reason. Some clients refuse a whole root over one.
    pub fn unreadable_keys(&self) -> &[(String, String)] {
        &self.unreadable
    }
}

/// The keys among `keys` that `role` lists, each id once.
pub(super) fn keys_of<'a>(role: &'a RoleKeys, keys: &'a BTreeMap<String, PublicKey>) -> impl Iterator<Item = (&'a str, &'a PublicKey)> {
    role.keyids
        .iter()
        .enumerate()
        .filter(|(i, id)| !role.keyids[..*i].contains(id))
        .filter_map(|(_, id)| keys.get_key_value(id))
        .map(|(id, key)| (id.as_str(), key))
}

impl RoleKeys {
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let keyids = value.get("keyids")?.as_array()?;
        let keyids = keyids.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        let threshold = value.get("threshold")?.as_u64().filter(|threshold| *threshold > 0)?;
        Some(Self { keyids, threshold })
    }
}
