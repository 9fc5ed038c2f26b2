//! Key files of the go-tuf CLI, which trdl's world uses too: JSON, plain or encrypted with scrypt and NaCl's secretbox.

use super::form::{unreadable, wrong_passphrase};
use super::{Passphrases, Use, unlocked};
use crate::error::Result;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead, KeyInit};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

/// The encryption as stated in the file; byte strings are base64.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// go-tuf's own cost takes 32 MiB; a file that asks for more than this is not its.
const MOST_MEMORY: u64 = 256 << 20;

/// The JSON inside: what was encrypted, or what never was.
pub(super) fn open(file: &Value, what: &str, passphrases: &dyn Passphrases) -> Result<Zeroizing<Vec<u8>>> {
    let data = file.get("data").ok_or_else(|| unreadable(what))?;
    if file.get("encrypted").and_then(Value::as_bool) == Some(false) {
        return Ok(Zeroizing::new(data.to_string().into_bytes()));
    }
    let sealed = Encrypted::deserialize(data).map_err(|_| unreadable(what))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(unreadable(what));
    }
    let bytes = |text: &str| openssl::base64::decode_block(text).map_err(|_| unreadable(what));
    let (salt, nonce, ciphertext) = (bytes(&sealed.kdf.salt)?, bytes(&sealed.cipher.nonce)?, bytes(&sealed.ciphertext)?);
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| unreadable(what))?;
    let Cost { n, r, p } = sealed.kdf.params;
    unlocked(passphrases, Use::Roles, |unlock| {
        let passphrase = unlock(what)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        openssl::pkcs5::scrypt(passphrase.expose(), &salt, n, r, p, MOST_MEMORY, key.as_mut()).map_err(|_| unreadable(what))?;
        let opened = XSalsa20Poly1305::new(key.as_ref().into()).decrypt(&nonce.into(), ciphertext.as_slice());
        opened.map(Zeroizing::new).map_err(|_| wrong_passphrase(what))
    })
}
