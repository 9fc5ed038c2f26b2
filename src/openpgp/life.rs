//! What happens to a key after it was made: its expiry moves, and it certifies its successor.

use super::signing_key::{SigningKey, Unlock, is_stub, parse_one};
use crate::error::{Error, Id, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::crypto::{Password, Signer};
use openpgp::packet::key::{PublicParts, SecretKeyMaterial, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, Signature};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::types::SignatureType;
use openpgp::{Cert, Packet};
use sequoia_openpgp as openpgp;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// From when [`extend`] takes effect. Of two signatures about a key, readers use the newer one, and signatures are dated in whole
/// seconds: one made in the same second as the signature that it replaces might never apply.
pub fn extendable_from(bytes: &[u8], what: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let cert = parse_one(bytes, what)?;
    let policy = StandardPolicy::new();
    // A certificate that is not valid is refused when it is extended.
    let Ok(valid) = cert.with_policy(&policy, SystemTime::from(now)) else { return Ok(now) };
    let certifications = valid.userids().map(|id| id.binding_signature().clone());
    let bindings = valid.keys().map(|key| key.binding_signature().clone());
    let direct = valid.direct_key_signature().ok().cloned();
    let newest = certifications.chain(bindings).chain(direct).filter_map(|signature| signature.signature_creation_time()).max();
    Ok(newest.map_or(now, |newest| (newest + Duration::from_secs(1)).into()))
}

/// The same secret key, armored, valid until another moment; `None` is for ever. Its primary key must be in the file.
pub fn extend(
    bytes: &[u8],
    what: &str,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    unlock: Unlock<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let cert = parse_one(bytes, what)?;
    let id = cert.fingerprint().to_hex();
    let failed =
        |error: anyhow::Error| Error::invalid(format!("the expiry of the OpenPGP key {id} in {what} cannot be changed")).source(error);
    let mut passphrase = None;
    let mut signer = |key: &Key<PublicParts, UnspecifiedRole>| -> Result<Box<dyn Signer>> {
        let lacking = || {
            Error::invalid(format!("{what} lacks the secret of key {}", key.fingerprint()))
                .hint(format!("extend it where the primary key is: gpg --quick-set-expire {id} 2y, then export it again"))
        };
        let secret = key.clone().parts_into_secret().map_err(|_| lacking())?;
        if matches!(secret.secret(), SecretKeyMaterial::Encrypted(secret) if is_stub(secret.s2k())) {
            return Err(lacking());
        }
        let secret = if secret.secret().is_encrypted() {
            if passphrase.is_none() {
                passphrase = Some(Password::from(unlock(what)?.as_slice()));
            }
            let known = passphrase.clone().unwrap_or_else(|| Password::from(""));
            secret.decrypt_secret(&known).map_err(|_| {
                Error::new(Kind::Passphrase, format!("wrong passphrase for the OpenPGP key in {what}")).id(Id::PassphraseWrong)
            })?
        } else {
            secret
        };
        Ok(Box::new(secret.into_keypair().map_err(failed)?))
    };
    let policy = StandardPolicy::new();
    let valid = cert.with_policy(&policy, SystemTime::from(now)).map_err(failed)?;
    let mut primary = signer(valid.primary_key().key().role_as_unspecified())?;
    let until = until.map(SystemTime::from);
    let mut signatures: Vec<Signature> = valid.primary_key().set_expiration_time(primary.as_mut(), until).map_err(failed)?;
    for subkey in valid.keys().subkeys().revoked(false).for_signing() {
        let mut own = signer(subkey.key().role_as_unspecified())?;
        signatures.extend(subkey.set_expiration_time(primary.as_mut(), Some(own.as_mut()), until).map_err(failed)?);
    }
    let (cert, _) = cert.clone().insert_packets(signatures).map_err(failed)?;
    cert.as_tsk().armored().to_vec().map(Zeroizing::new).map_err(failed)
}

/// The new key's file, secret or public, certified by the old key. `None` if the old
/// key may not certify others.
pub fn vouch(old: &SigningKey, new: &[u8], what: &str, now: DateTime<Utc>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let cert = parse_one(new, what)?;
    let failed = |error: anyhow::Error| match error.downcast::<Error>() {
        Ok(failure) => failure,
        Err(error) => {
            Error::new(Kind::Unexpected, format!("the old OpenPGP key {} cannot certify the new one", old.fingerprint())).source(error)
        }
    };
    if !old.certifies(now) {
        return Ok(None);
    }
    let mut signer = old.signer()?;
    let mut packets: Vec<Packet> = Vec::new();
    for user_id in cert.userids() {
        let builder = SignatureBuilder::new(SignatureType::GenericCertification)
            .set_signature_creation_time(SystemTime::from(now))
            .and_then(|builder| {
                builder.set_hash_algo(old.hash()).sign_userid_binding(signer.as_mut(), cert.primary_key().key(), user_id.userid())
            });
        packets.push(builder.map_err(failed)?.into());
    }
    let (cert, _): (Cert, _) = cert.insert_packets(packets).map_err(failed)?;
    let written = if cert.is_tsk() { cert.as_tsk().armored().to_vec() } else { cert.armored().to_vec() };
    written.map(|bytes| Some(Zeroizing::new(bytes))).map_err(failed)
}
