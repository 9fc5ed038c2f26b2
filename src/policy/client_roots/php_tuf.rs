//! The rules of php-tuf, which Drupal and Joomla use, that no other client has. Read from its sources at commit 8190efc.

use super::{RootFile, entries};
use crate::metadata::{KeyIdStyle, Role};
use serde_json::{Map, Value};

/// It computes every key id over `keyid_hash_algorithms`, and refuses a root with any other id.
pub(super) fn key_ids(file: &RootFile<'_>) -> Vec<String> {
    let keys = file.root.keys();
    let others: Vec<&String> = keys.iter().filter(|(id, key)| **id != key.old_id()).map(|(id, _)| id).collect();
    match others.as_slice() {
        [] => Vec::new(),
        all if all.len() == keys.len() && file.root.key_id_style() == Some(KeyIdStyle::Specification) => {
            vec!["its key ids are computed as the specification says, and php-tuf computes them over keyid_hash_algorithms too".into()]
        }
        others => {
            let ids: Vec<String> = others.iter().map(|id| id.escape_debug().to_string()).collect();
            vec![format!("php-tuf computes other ids for {} of its {} keys: {}", others.len(), keys.len(), ids.join(", "))]
        }
    }
}

/// A key has three fields and no more; also not the one over which its id is computed.
pub(super) fn keys(file: &RootFile<'_>) -> Vec<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
    let fits = |key: &Map<String, Value>| {
        let keyval = key.get("keyval").and_then(Value::as_object);
        let public = keyval.is_some_and(|keyval| keyval.len() == 1 && text(keyval.get("public")));
        key.len() == 3 && public && text(key.get("keytype")) && text(key.get("scheme"))
    };
    let strange = entries(file, "keys").filter(|(_, key)| !key.as_object().is_some_and(fits));
    let ids: Vec<String> = strange.map(|(id, _)| id.escape_debug().to_string()).collect();
    match ids.len() {
        0 => Vec::new(),
        1 => vec![format!("key {} has other fields than keytype, scheme and keyval.public", ids[0])],
        some => vec![format!("{some} keys have other fields than keytype, scheme and keyval.public: {}", ids.join(", "))],
    }
}

/// Roles have their keys and a threshold, nothing else; beside the four there may be one named `mirror`.
pub(super) fn roles(file: &RootFile<'_>) -> Vec<String> {
    let known = |name: &str| name == "mirror" || Role::ALL.iter().any(|role| role.name() == name);
    let fits = |role: &Map<String, Value>| role.len() == 2 && role.contains_key("keyids") && role.contains_key("threshold");
    let mut found = Vec::new();
    for (name, role) in entries(file, "roles") {
        if !known(name) {
            found.push(format!("it has a role `{}`", name.escape_debug()));
        } else if !role.as_object().is_some_and(fits) {
            found.push(format!("role {} has other fields than keyids and threshold", name.escape_debug()));
        }
    }
    found
}

/// It writes what was signed from what it has parsed: an empty object becomes an empty list, and characters beyond ASCII are
/// escaped, so that signatures do not match. It also reads `consistent_snapshot` without asking whether it is there.
pub(super) fn other_fields(file: &RootFile<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if file.root.field("consistent_snapshot").is_none() {
        found.push("it has no consistent_snapshot".into());
    }
    let mut signed: Value = serde_json::from_slice(&file.root.to_signed_json()).unwrap_or_default();
    // Keys of other kinds, in PEM, are refused in any case.
    signed["keys"] = Value::Null;
    if !survives(&signed) {
        found.push("a field contains an empty object or characters that PHP writes in another way, so the signatures do not match".into());
    }
    found
}

/// Whether PHP writes this value as it is signed.
pub(crate) fn survives(value: &Value) -> bool {
    let text = |text: &str| text.bytes().all(|b| (0x20..0x80).contains(&b));
    match value {
        Value::Object(fields) => !fields.is_empty() && fields.iter().all(|(name, value)| text(name) && survives(value)),
        Value::Array(values) => values.iter().all(survives),
        Value::String(content) => text(content),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// No signature may be empty, such as the placeholders that other tools leave.
pub(super) fn signatures(file: &RootFile<'_>) -> Vec<String> {
    let empty = file.signatures.iter().filter(|signature| signature.sig.trim().is_empty() || signature.keyid.trim().is_empty());
    empty.map(|signature| format!("the signature of key {} is empty", signature.keyid.escape_debug())).collect()
}
