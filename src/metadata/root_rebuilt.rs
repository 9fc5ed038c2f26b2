//! What a draft may change. The next root is built anew from the present one and the edit that the draft holds; if that is
//! not the draft's root, the draft holds something that `publish root edit` cannot have made. Nothing is listed here that an
//! attacker might change, so nothing can be left out.

use super::key_names::escaped;
use super::{PublicKey, Role, Root, format_expiry, is_exact};
use serde_json::{Map, Value, json};

/// More differences than this are not listed.
const MAX_LINES: usize = 40;
/// A value is shown up to so many characters.
const MAX_SHOWN: usize = 200;

impl Root {
    /// What the next root has that no edit of this one makes, one line each: changed key material under a key id, ids that
    /// do not fit their keys, fields, roles and encodings that an edit does not write.
    pub fn not_by_edit(&self, next: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        check_new_keys(self, next, &mut lines);
        check_listed(self, next, &mut lines);
        compare(&Value::Object(rebuilt(self, next)), &Value::Object(next.json().clone()), "", &mut lines);
        if let Some(text) = next.field("expires").and_then(Value::as_str).filter(|text| !is_exact(text)) {
            lines.push(format!("expires {} is not of the form that every client reads, YYYY-MM-DDTHH:MM:SSZ", escaped(text)));
        }
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("and {more} more differences"));
        }
        lines
    }
}

/// This root with the edit that the next one holds.
fn rebuilt(present: &Root, next: &Root) -> Map<String, Value> {
    let mut json = present.json().clone();
    json.insert("version".into(), json!(next.version()));
    json.insert("expires".into(), json!(format_expiry(next.expires())));
    for role in Role::ALL {
        let of_next = next.role(role);
        let distinct: Vec<&String> =
            of_next.keyids.iter().enumerate().filter(|(at, id)| !of_next.keyids[..*at].contains(id)).map(|(_, id)| id).collect();
        if let Some(entry) = json.get_mut("roles").and_then(|roles| roles.get_mut(role.name())) {
            entry["keyids"] = json!(distinct);
            entry["threshold"] = json!(of_next.threshold);
        }
    }
    let used = |root: &Map<String, Value>| -> Vec<String> {
        let roles = root.get("roles").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let ids = roles.flat_map(|role| role.get("keyids").and_then(Value::as_array).into_iter().flatten());
        ids.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    let (before, after) = (used(present.json()), used(&json));
    let object = |root: &Root| root.field("keys").and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut keys, of_next) = (object(present), object(next));
    // A key that loses its last role is removed. One that had none may stay or be removed.
    keys.retain(|id, _| after.contains(id) || (!before.contains(id) && of_next.contains_key(id)));
    for id in after.iter().filter(|id| present.field("keys").is_none_or(|keys| keys.get(id).is_none())) {
        keys.extend(of_next.get(id).map(|key| (id.clone(), key.clone())));
    }
    json.insert("keys".into(), Value::Object(keys));
    json
}

/// Keys that the next root has and the present one has not, and keys that changed under their ids.
fn check_new_keys(present: &Root, next: &Root, lines: &mut Vec<String>) {
    let object = |root: &Root| root.field("keys").and_then(Value::as_object).cloned().unwrap_or_default();
    let (known, of_next) = (object(present), object(next));
    for (id, json) in &of_next {
        if let Some(before) = known.get(id) {
            let same = present.keys().get(id).zip(next.keys().get(id)).is_some_and(|(before, after)| before.same_material(after));
            if before != json && !same {
                lines.push(format!("key {} is another key than in root {}, under the same id", escaped(id), present.version()));
            }
            continue;
        }
        let Some(key) = next.keys().get(id) else {
            lines.push(format!("key {} cannot be read", escaped(id)));
            continue;
        };
        if !key.fits_id(id) {
            lines.push(format!("key {} has an id that is not computed from the key; it would be {}", escaped(id), key.id()));
        }
        match key.normal() {
            Ok(normal) => compare(&normal.to_json(), json, &format!("keys.{}", escaped(id)), lines),
            Err(failure) => lines.push(format!("key {}: {}", escaped(id), failure.message)),
        }
        let twin = |(other, known): &(&String, &PublicKey)| *other != id && known.same_material(key);
        if let Some((other, _)) = next.keys().iter().chain(present.keys()).find(twin) {
            lines.push(format!("key {} is the same key as {}", escaped(id), escaped(other)));
        }
    }
}

/// Keys that a role lists from now on must be there.
fn check_listed(present: &Root, next: &Root, lines: &mut Vec<String>) {
    for role in Role::ALL {
        let (before, after) = (&present.role(role).keyids, &next.role(role).keyids);
        let lacking = after.iter().filter(|id| !before.contains(id) && !next.keys().contains_key(*id));
        lines.extend(lacking.map(|id| format!("{role} lists key {}, which is not there or cannot be read", escaped(id))));
    }
}

/// Every difference with its place.
fn compare(expected: &Value, found: &Value, place: &str, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let within = |name: &String| if place.is_empty() { escaped(name) } else { format!("{place}.{}", escaped(name)) };
            for (name, value) in expected {
                match found.get(name) {
                    Some(other) => compare(value, other, &within(name), lines),
                    None => lines.push(format!("{} is missing", within(name))),
                }
            }
            for (name, value) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                lines.push(format!("{} is new: {}", within(name), shown(value)));
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => lines.push(format!("{place} is {} instead of {}", shown(found), shown(expected))),
    }
}

fn shown(value: &Value) -> String {
    let text = escaped(&value.to_string());
    if text.len() <= MAX_SHOWN { text } else { format!("{} … ({} characters)", &text[..MAX_SHOWN], text.len()) }
}
