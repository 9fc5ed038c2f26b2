use crate::error::{Error, Result};
use crate::metadata::PublicKey;
use openssl::pkey::{Id, PKey};
use serde_json::Value;

/// A public key from a file that holds nothing else: PEM, or a TUF key object; `None` if the file is something else, such as
/// a secret key. `what` names it.
pub fn read_public(file: &[u8], what: &str) -> Result<Option<PublicKey>> {
    let unreadable = || Error::invalid(format!("{what} holds no public key that TUF clients verify with"));
    let text = String::from_utf8_lossy(file);
    let text = text.trim();
    if text.starts_with("-----BEGIN PUBLIC KEY-----") {
        let key = PKey::public_key_from_pem(text.as_bytes()).map_err(|error| unreadable().source(error))?;
        let pem = key.public_key_to_pem().map_err(|error| unreadable().source(error))?;
        let pem = String::from_utf8_lossy(&pem);
        return match key.id() {
            Id::ED25519 => {
                let raw = key.raw_public_key().ok().and_then(|raw| <[u8; 32]>::try_from(raw).ok()).ok_or_else(unreadable)?;
                PublicKey::ed25519(&raw).map(Some)
            }
            Id::EC => PublicKey::p256(&pem).map(Some),
            Id::RSA => PublicKey::rsa(&pem).map(Some),
            _ => Err(unreadable()),
        };
    }
    match serde_json::from_str::<Value>(text) {
        Ok(json) if json.pointer("/keyval/public").is_some() && json.pointer("/keyval/private").is_none() => {
            // Fields beyond these three would be in the root permanently, and some clients count them into the key id.
            let plain =
                serde_json::json!({"keytype": json["keytype"], "scheme": json["scheme"], "keyval": {"public": json["keyval"]["public"]}});
            PublicKey::from_json(plain).map(Some)
        }
        _ => Ok(None),
    }
}

/// The public key as PEM, which openssl and every TUF tool read.
pub fn to_pem(key: &PublicKey) -> Result<String> {
    let json = key.to_json();
    let public = json["keyval"]["public"].as_str().unwrap_or_default();
    if public.starts_with("-----BEGIN") {
        return Ok(format!("{}\n", public.trim_end()));
    }
    let unusable = || Error::invalid(format!("key {} cannot be written as PEM", key.id()));
    let raw = hex::decode(public).map_err(|_| unusable())?;
    let key = PKey::public_key_from_raw_bytes(&raw, Id::ED25519)
        .and_then(|key| key.public_key_to_pem())
        .map_err(|error| unusable().source(error))?;
    Ok(String::from_utf8_lossy(&key).into_owned())
}
