//! How the ids of keys are computed. A client that computes them too refuses a root with one that it computes otherwise, so
//! the keys of one root have ids of one style.

use super::canonical::write_canonical;
use super::{PublicKey, Role, Root};
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// What old tools state in every key, and compute its id over.
const FIELD: &str = "keyid_hash_algorithms";

/// What the id of a key is the SHA-256 of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyIdStyle {
    /// `keytype`, `scheme` and `keyval`, as the specification and python-tuf have it.
    Specification,
    /// Also `keyid_hash_algorithms`, which the key does not have: repositories that Rugged made, and all that php-tuf reads.
    HashAlgorithms,
    /// Also `keyid_hash_algorithms`, which the key has: go-tuf before 2.0, trdl's server, older securesystemslib.
    ListedHashAlgorithms,
}

impl KeyIdStyle {
    /// The style of a key's id; `None` if it is computed in none of these ways.
    pub fn of(id: &str, key: &PublicKey) -> Option<Self> {
        let all = [Self::Specification, Self::HashAlgorithms, Self::ListedHashAlgorithms];
        let listed = key.to_json().get(FIELD).is_some();
        let fits = |style: &Self| match style {
            Self::Specification => id == key.id(),
            Self::HashAlgorithms => !listed && id == key.old_id(),
            Self::ListedHashAlgorithms => listed && id == id_with(key, &key.to_json()[FIELD]),
        };
        all.into_iter().find(fits)
    }

    /// The key as it is in a root of this style, with its id.
    pub fn keyed(self, key: &PublicKey) -> Result<(String, PublicKey)> {
        let mut json = key.to_json();
        let fields = json.as_object_mut().ok_or_else(|| Error::invalid("a key is not a JSON object"))?;
        fields.remove(FIELD);
        if self == Self::ListedHashAlgorithms {
            fields.insert(FIELD.into(), algorithms());
        }
        let key = PublicKey::from_json(json)?;
        let id = if self == Self::Specification { key.id() } else { key.old_id() };
        Ok((id, key))
    }
}

impl Root {
    /// The one style of the ids of all keys; `None` if they are of several, or of none that is known.
    pub fn key_id_style(&self) -> Option<KeyIdStyle> {
        one_style(self.keys().iter().map(|(id, key)| (id.as_str(), key)))
    }

    /// The style for a new key of a role: that of all keys, else that of the role's, else that of the root role's keys.
    pub fn style_for(&self, role: Role) -> KeyIdStyle {
        let of_role = |role| one_style(self.keys_of(role));
        self.key_id_style().or_else(|| of_role(role)).or_else(|| of_role(Role::Root)).unwrap_or(KeyIdStyle::Specification)
    }

    /// The id that a key has in this root, or would have as a new key of a role.
    pub fn id_of(&self, role: Role, key: &PublicKey) -> Result<String> {
        match self.keys().iter().find(|(_, known)| known.same_material(key)) {
            Some((id, _)) => Ok(id.clone()),
            None => Ok(self.style_for(role).keyed(key)?.0),
        }
    }
}

fn one_style<'k>(mut keys: impl Iterator<Item = (&'k str, &'k PublicKey)>) -> Option<KeyIdStyle> {
    let (id, key) = keys.next()?;
    let first = KeyIdStyle::of(id, key)?;
    keys.all(|(id, key)| KeyIdStyle::of(id, key) == Some(first)).then_some(first)
}

fn algorithms() -> Value {
    json!(["sha256", "sha512"])
}

fn id_with(key: &PublicKey, listed: &Value) -> String {
    let json = key.to_json();
    let object = json!({
        "keytype": json["keytype"], "scheme": json["scheme"], "keyval": {"public": json["keyval"]["public"]}, FIELD: listed,
    });
    let mut bytes = Vec::new();
    // Numbers, which canonical JSON may not hold, make an id that fits nothing.
    match write_canonical(&mut bytes, &object) {
        Ok(()) => hex::encode(openssl::sha::sha256(&bytes)),
        Err(_) => String::new(),
    }
}
