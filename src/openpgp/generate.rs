use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::Packet;
use openpgp::armor;
use openpgp::cert::prelude::{CertBuilder, CipherSuite};
use openpgp::crypto::Password;
use openpgp::serialize::{Serialize, SerializeInto};
use openpgp::types::KeyFlags;
use sequoia_openpgp as openpgp;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// What kind of OpenPGP key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Small and fast signatures; every gpg since 2.1 reads them.
    Ed25519,
    /// For users with very old tools.
    Rsa4096,
}

/// A new key.
pub struct Generated {
    /// The fingerprint of its certificate, upper-case hex.
    pub fingerprint: String,
    /// The secret key, armored; encrypted when a passphrase was given.
    pub secret: Zeroizing<Vec<u8>>,
    /// A revocation certificate, armored: once it is published, users' tools no longer trust the key.
    pub revocation: Vec<u8>,
}

/// Makes a key whose primary both certifies and signs, without expiry, as trdl's server does.
pub fn generate(algorithm: Algorithm, user_id: &str, passphrase: Option<&[u8]>, now: DateTime<Utc>) -> Result<Generated> {
    let failed = |error: anyhow::Error| Error::new(Kind::Unexpected, "cannot make an OpenPGP key").source(error);
    let suite = match algorithm {
        Algorithm::Ed25519 => CipherSuite::Cv25519,
        Algorithm::Rsa4096 => CipherSuite::RSA4k,
    };
    let (cert, revocation) = CertBuilder::new()
        .set_creation_time(SystemTime::from(now))
        .set_cipher_suite(suite)
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
        .add_userid(user_id)
        .set_password(passphrase.map(Password::from))
        .generate()
        .map_err(failed)?;
    let fingerprint = cert.fingerprint().to_hex();
    let secret = Zeroizing::new(cert.as_tsk().armored().to_vec().map_err(failed)?);
    let mut writer = armor::Writer::new(Vec::new(), armor::Kind::PublicKey).map_err(|error| failed(error.into()))?;
    Packet::from(revocation).serialize(&mut writer).map_err(failed)?;
    let revocation = writer.finalize().map_err(|error| failed(error.into()))?;
    Ok(Generated { fingerprint, secret, revocation })
}
