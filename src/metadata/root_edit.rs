use super::{Expiry, PublicKey, ROOT_LIMIT, Role, Root, format_expiry, is_exact};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What the next root changes.
#[derive(Clone, Debug, Default)]
pub struct RootEdit {
    /// Keys that may sign a role from then on.
    pub add: Vec<(Role, PublicKey)>,
    /// Key ids that may not any more.
    pub remove: Vec<(Role, String)>,
    /// How many keys must sign.
    pub thresholds: Vec<(Role, u64)>,
    /// Until when the root is valid.
    pub expires: Option<Expiry>,
}

/// A difference between two roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootChange {
    /// A key may sign a role.
    Added(Role, String),
    /// A key may not any more.
    Removed(Role, String),
    /// A key has another id.
    Renamed(Role, String, String),
    /// Another number of keys must sign.
    Threshold(Role, u64, u64),
    /// It is valid until another moment.
    Expires(Expiry, Expiry),
    /// Consistent snapshots are switched.
    ConsistentSnapshot(bool),
}

impl Root {
    /// This root with an edit, at the same version. Keys that no role needs any more go.
    ///
    /// # Errors
    /// Names a key that is not there, a key that is there already, or a role that no key could sign.
    pub fn edited(&self, edit: &RootEdit) -> Result<Self> {
        let mut json: Value = serde_json::from_slice(&self.to_signed_json()).map_err(|error| Error::invalid(error.to_string()))?;
        for (role, key) in &edit.add {
            let key = &key.normal()?;
            if self.keys_of(*role).any(|(id, known)| known.same_material(key) && !edit.remove.contains(&(*role, id.to_owned()))) {
                return Err(Error::invalid(format!("key {} may sign {role} already", key.id())));
            }
            // A key keeps the id by which the root knows it; a new one gets an id as the others have.
            let (id, key) = match self.keys().iter().find(|(_, known)| known.same_material(key)) {
                Some((id, known)) => (id.clone(), known.clone()),
                None => self.style_for(*role).keyed(key)?,
            };
            json["keys"][&id] = key.to_json();
            if let Some(ids) = json["roles"][role.name()]["keyids"].as_array_mut() {
                ids.push(json!(id));
            }
        }
        for (role, id) in &edit.remove {
            let ids = json["roles"][role.name()]["keyids"].as_array_mut();
            let place = ids.as_ref().and_then(|ids| ids.iter().position(|known| known == id));
            let (Some(ids), Some(place)) = (ids, place) else {
                return Err(Error::invalid(format!("key {id} is not a key of {role}")).details(listed(self, *role)));
            };
            ids.remove(place);
        }
        for (role, threshold) in &edit.thresholds {
            json["roles"][role.name()]["threshold"] = json!(threshold);
        }
        if let Some(expires) = edit.expires {
            json["expires"] = json!(format_expiry(expires));
        }
        let used: BTreeSet<String> = json["roles"]
            .as_object()
            .into_iter()
            .flat_map(|roles| roles.values())
            .flat_map(|role| role["keyids"].as_array().cloned().unwrap_or_default())
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        if let Some(keys) = json["keys"].as_object_mut() {
            keys.retain(|id, _| used.contains(id));
        }
        if let Some(text) = json["expires"].as_str().filter(|text| !is_exact(text)) {
            return Err(Error::invalid(format!(
                "the next root's expiry `{}` is not of the form that every client reads",
                text.escape_debug()
            ))
            .hint("it is YYYY-MM-DDTHH:MM:SSZ with seconds from 00 to 59: publish root edit --expires 2030-12-31T23:59:59Z"));
        }
        let next = Self::from_json(&json.to_string(), "the next root")?;
        for role in Role::ALL {
            let (keys, threshold) = (next.distinct_keys_of(role), next.role(role).threshold);
            if keys == 0 {
                return Err(Error::invalid(format!("{role} would have no key left and could not be signed any more"))
                    .hint("add the new key in the same root, or before"));
            }
            if threshold > keys {
                return Err(Error::invalid(format!("{role} would need {threshold} signatures and has {keys} key{}", plural(keys)))
                    .details(listed(&next, role))
                    .hint(format!("lower the threshold, for example --threshold {role}={keys}, or add keys")));
            }
        }
        // Two thirds for the signatures and white space to come would be far too much; a tenth is plenty.
        let length = next.to_signed_json().len() as u64;
        if length > ROOT_LIMIT - ROOT_LIMIT / 10 {
            return Err(Error::invalid(format!("the next root would have {length} bytes; clients stop at {ROOT_LIMIT}"))
                .hint("fewer or shorter keys: an RSA key is ten times as large as an Ed25519 key"));
        }
        Ok(next)
    }

    /// What the other root changes. Keys are compared themselves, not their ids.
    pub fn changes_to(&self, next: &Self) -> Vec<RootChange> {
        let mut changes = Vec::new();
        for role in Role::ALL {
            let same = |one: &Self, id: &String, other: &Self, of_other: &String| match (one.keys().get(id), other.keys().get(of_other)) {
                (Some(key), Some(of_other)) => key.same_material(of_other),
                // A key that cannot be read is known by its id alone.
                (None, None) => id == of_other,
                _ => false,
            };
            let (before, after) = (&self.role(role).keyids, &next.role(role).keyids);
            for id in after {
                if before.contains(id) && same(next, id, self, id) {
                    continue;
                }
                changes.push(match before.iter().find(|known| same(next, id, self, known)) {
                    Some(known) => RootChange::Renamed(role, known.clone(), id.clone()),
                    None => RootChange::Added(role, id.clone()),
                });
            }
            let gone = before.iter().filter(|id| !after.iter().any(|known| same(self, id, next, known)));
            changes.extend(gone.map(|id| RootChange::Removed(role, id.clone())));
            if self.role(role).threshold != next.role(role).threshold {
                changes.push(RootChange::Threshold(role, self.role(role).threshold, next.role(role).threshold));
            }
        }
        if self.expires() != next.expires() {
            changes.push(RootChange::Expires(self.expires(), next.expires()));
        }
        if self.consistent_snapshot() != next.consistent_snapshot() {
            changes.push(RootChange::ConsistentSnapshot(next.consistent_snapshot()));
        }
        changes
    }
}

fn listed(root: &Root, role: Role) -> Vec<String> {
    root.role(role).keyids.iter().map(|id| format!("{role}: {id}")).collect()
}

fn plural(number: u64) -> &'static str {
    if number == 1 { "" } else { "s" }
}
