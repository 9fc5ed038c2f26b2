//! The forms of key files that are read: PKCS#8 PEM (v1, v2, encrypted with PBES2) and what OpenSSL wrote before it; the
//! JSON of securesystemslib and of go-tuf, encrypted or not.

use super::software::Material;
use super::{Passphrases, Use, encoding, go_tuf, securesystemslib, unlocked, wrapped};
use crate::error::{Error, Id, Kind, Result};
use openssl::pkey::PKey;
use pkcs8::der::Decode;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use serde_json::Value;
use zeroize::Zeroizing;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Reads the one key of a file in whichever form it is. Parse errors are never shown: they could quote the key.
pub(super) fn read(file: &[u8], what: &str, passphrases: &dyn Passphrases) -> Result<Material> {
    let mut keys = read_all(file, what, passphrases)?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (None, _) => Err(unreadable(what)),
        (_, others) => Err(Error::invalid(format!("{what} contains {} keys; one is needed", others + 1))
            .hint("keep each key in a file of its own; `publish adopt` writes them so")),
    }
}

/// Reads all keys of a file: go-tuf keeps those of a role together, trdl's server those of all roles.
pub(super) fn read_all(file: &[u8], what: &str, passphrases: &dyn Passphrases) -> Result<Vec<Material>> {
    let file = encoding::plain(file, what)?;
    let text = std::str::from_utf8(&file).map_err(|_| unreadable(what))?.trim();
    if text.starts_with(['{', '[']) {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|_| unreadable(what));
        let mut json = parse(text.as_bytes())?;
        if json.get("encrypted").is_some() {
            json = parse(&go_tuf::open(&json, what, passphrases)?)?;
        }
        let mut keys = Vec::new();
        key_objects(&json, what, wrapped::MOST_LAYERS, &mut keys)?;
        return Ok(keys);
    }
    if text.contains(securesystemslib::DELIMITER) {
        return unlocked(passphrases, Use::Roles, |unlock| Ok(vec![securesystemslib::decrypt(text, what, &unlock(what)?)?]));
    }
    Ok(vec![pem(text, what, passphrases)?])
}

/// All key objects with a secret half, however deep they lie, also in documents that are strings of this one.
fn key_objects(json: &Value, what: &str, layers: u8, keys: &mut Vec<Material>) -> Result<()> {
    match json {
        Value::Object(fields) if fields.contains_key("keytype") && json.pointer("/keyval/private").is_some() => {
            keys.push(key_object(json, what)?)
        }
        Value::Object(fields) => fields.values().try_for_each(|value| key_objects(value, what, layers, keys))?,
        Value::Array(items) => items.iter().try_for_each(|value| key_objects(value, what, layers, keys))?,
        Value::String(text) if layers > 0 => {
            if let Some(json) = wrapped::json_in(text) {
                key_objects(&json, what, layers - 1, keys)?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn unreadable(what: &str) -> Error {
    Error::invalid(format!("{what} is not a private key in a supported form"))
        .hint("PKCS#8 PEM starts with -----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----")
        .hint("key files of securesystemslib and of the go-tuf CLI are read too")
}

pub(super) fn wrong_passphrase(what: &str) -> Error {
    Error::new(Kind::Passphrase, format!("wrong passphrase for the key file {what}"))
        .id(Id::PassphraseWrong)
        .hint("give the right one with --passphrase-file, --passphrase-command or PUBLISH_PASSPHRASE")
}

/// A TUF key object with its secret half in `keyval.private`, as securesystemslib and go-tuf write it.
pub(super) fn key_object(json: &Value, what: &str) -> Result<Material> {
    let private = json.pointer("/keyval/private").and_then(Value::as_str).ok_or_else(|| unreadable(what))?;
    match json.get("keytype").and_then(Value::as_str) {
        Some("ed25519") => {
            let bytes = Zeroizing::new(hex::decode(private).map_err(|_| unreadable(what))?);
            // go-tuf appends the public half.
            let seed = bytes.get(..32).filter(|_| matches!(bytes.len(), 32 | 64)).ok_or_else(|| unreadable(what))?;
            seed.try_into().map(|seed| Material::Ed25519(Zeroizing::new(seed))).map_err(|_| unreadable(what))
        }
        Some("ecdsa" | "ecdsa-sha2-nistp256" | "rsa") => unencrypted_pem(private, what),
        _ => Err(unreadable(what)),
    }
}

fn pem(text: &str, what: &str, passphrases: &dyn Passphrases) -> Result<Material> {
    let (label, document) = SecretDocument::from_pem(text).map_err(|_| unreadable(what))?;
    let document = match label {
        "PRIVATE KEY" => document,
        "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return unencrypted_pem(text, what),
        "ENCRYPTED PRIVATE KEY" => {
            let encrypted = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| {
                Error::invalid(format!("{what} is encrypted in a way that is not supported"))
                    .hint("re-encrypt it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW")
            })?;
            unlocked(passphrases, Use::Roles, |unlock| encrypted.decrypt(unlock(what)?.expose()).map_err(|_| wrong_passphrase(what)))?
        }
        _ => return Err(unreadable(what)),
    };
    let info = PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| unreadable(what))?;
    if info.algorithm.oid != ED25519 {
        return PKey::private_key_from_der(document.as_bytes()).ok().and_then(Material::of).ok_or_else(|| not_for_tuf(what));
    }
    // The key is an OCTET STRING inside the OCTET STRING.
    match info.private_key.as_bytes() {
        [4, 32, seed @ ..] => seed.try_into().map(|seed| Material::Ed25519(Zeroizing::new(seed))).map_err(|_| unreadable(what)),
        _ => Err(unreadable(what)),
    }
}

fn unencrypted_pem(text: &str, what: &str) -> Result<Material> {
    // With a passphrase of its own OpenSSL never asks on the terminal.
    let key = PKey::private_key_from_pem_passphrase(text.as_bytes(), b"").map_err(|_| unreadable(what))?;
    Material::of(key).ok_or_else(|| not_for_tuf(what))
}

fn not_for_tuf(what: &str) -> Error {
    Error::invalid(format!("{what} is not a key of a kind that TUF clients verify"))
        .hint("Ed25519, P-256 and RSA from 2048 bits can sign roles; `publish key new FILE` makes an Ed25519 key")
}
