//! Encrypted key files as securesystemslib wrote them before 1.0, and with it Rugged and the python-tuf of its time:
//! five parts in hex, PBKDF2 and HMAC with SHA-256, AES-256 in counter mode, around a TUF key object in JSON.

use super::Secret;
use super::form::{key_object, unreadable, wrong_passphrase};
use super::software::Material;
use crate::error::Result;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt as decipher};
use zeroize::Zeroizing;

/// Stands between the parts.
pub(super) const DELIMITER: &str = "@@@@";

/// No tool writes more rounds; more would only take time.
const MOST_ROUNDS: usize = 10_000_000;

pub(super) fn decrypt(text: &str, what: &str, passphrase: &Secret) -> Result<Material> {
    let parts: Vec<&str> = text.split(DELIMITER).collect();
    let [salt, rounds, mac, iv, ciphertext] = parts.as_slice() else { return Err(unreadable(what)) };
    let bytes = |part: &str| hex::decode(part).map_err(|_| unreadable(what));
    let (salt, mac, iv, ciphertext) = (bytes(salt)?, bytes(mac)?, bytes(iv)?, bytes(ciphertext)?);
    let rounds = rounds.parse().ok().filter(|rounds| (1..=MOST_ROUNDS).contains(rounds)).ok_or_else(|| unreadable(what))?;
    let open = || -> std::result::Result<Option<Zeroizing<Vec<u8>>>, openssl::error::ErrorStack> {
        let mut key = Zeroizing::new([0_u8; 32]);
        openssl::pkcs5::pbkdf2_hmac(passphrase.expose(), &salt, rounds, MessageDigest::sha256(), key.as_mut())?;
        let hmac = PKey::hmac(key.as_ref())?;
        let found = Signer::new(MessageDigest::sha256(), &hmac)?.sign_oneshot_to_vec(&ciphertext)?;
        if found.len() != mac.len() || !openssl::memcmp::eq(&found, &mac) {
            return Ok(None);
        }
        decipher(Cipher::aes_256_ctr(), key.as_ref(), Some(&iv), &ciphertext).map(|plain| Some(Zeroizing::new(plain)))
    };
    let plain = open().map_err(|_| unreadable(what))?.ok_or_else(|| wrong_passphrase(what))?;
    key_object(&serde_json::from_slice(&plain).map_err(|_| unreadable(what))?, what)
}
