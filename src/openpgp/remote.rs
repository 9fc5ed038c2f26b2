//! OpenPGP keys that are stored elsewhere: their holders sign digests, and need to do nothing else.

use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::crypto::{Signer, mpi};
use openpgp::packet::key::{Key4, PublicParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, PublicKeyAlgorithm, SignatureType};
use openpgp::{Cert, Packet};
use sequoia_openpgp as openpgp;
use std::sync::Arc;
use std::time::SystemTime;

/// The numbers of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// 32 bytes.
    Ed25519([u8; 32]),
    /// The uncompressed point of a P-256 key, 65 bytes.
    P256(Vec<u8>),
    /// Big-endian.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// A signature over a digest.
#[derive(Clone, Debug)]
pub enum DigestSignature {
    /// 64 bytes, over the digest as the message.
    Ed25519(Vec<u8>),
    /// Big-endian.
    Ecdsa {
        /// The first number.
        r: Vec<u8>,
        /// The second.
        s: Vec<u8>,
    },
    /// PKCS#1 v1.5.
    Rsa(Vec<u8>),
}

/// Signs digests with a key that it does not give away.
pub trait DigestSigner: Send + Sync {
    /// The public key.
    fn material(&self) -> Result<KeyMaterial>;

    /// Signs a digest of this kind.
    fn sign_digest(&self, hash: HashAlgorithm, digest: &[u8]) -> Result<DigestSignature>;

    /// Where the key is stored, for errors.
    fn origin(&self) -> &str;
}

impl std::fmt::Debug for dyn DigestSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DigestSigner({})", self.origin())
    }
}

/// Such a key as sequoia sees it. What it signs is verified before it leaves.
pub(super) struct RemoteSigner {
    pub(super) public: Key<PublicParts, UnspecifiedRole>,
    pub(super) signer: Arc<dyn DigestSigner>,
}

impl Signer for RemoteSigner {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        let signature = match self.signer.sign_digest(hash, digest)? {
            DigestSignature::Ed25519(bytes) if bytes.len() == 64 => {
                let (r, s) = bytes.split_at(32);
                mpi::Signature::EdDSA { r: mpi::MPI::new(r), s: mpi::MPI::new(s) }
            }
            DigestSignature::Ecdsa { r, s } => mpi::Signature::ECDSA { r: mpi::MPI::new(&r), s: mpi::MPI::new(&s) },
            DigestSignature::Rsa(bytes) => mpi::Signature::RSA { s: mpi::MPI::new(&bytes) },
            DigestSignature::Ed25519(_) => return Err(openpgp::Error::InvalidOperation("a signature of the wrong length".into()).into()),
        };
        self.public.verify(&signature, hash, digest)?;
        Ok(signature)
    }
}

/// The OpenPGP key with these numbers, made at this moment: both are in its fingerprint.
fn key_of(material: &KeyMaterial, made: SystemTime) -> openpgp::Result<Key<PublicParts, UnspecifiedRole>> {
    Ok(match material {
        KeyMaterial::Ed25519(public) => {
            let mut q = vec![0x40];
            q.extend_from_slice(public);
            let mpis = mpi::PublicKey::EdDSA { curve: Curve::Ed25519, q: mpi::MPI::new(&q) };
            Key::from(Key4::<PublicParts, UnspecifiedRole>::new(made, PublicKeyAlgorithm::EdDSA, mpis)?)
        }
        KeyMaterial::P256(point) => {
            let mpis = mpi::PublicKey::ECDSA { curve: Curve::NistP256, q: mpi::MPI::new(point) };
            Key::from(Key4::<PublicParts, UnspecifiedRole>::new(made, PublicKeyAlgorithm::ECDSA, mpis)?)
        }
        KeyMaterial::Rsa { n, e } => Key::from(Key4::<PublicParts, UnspecifiedRole>::import_public_rsa(e, n, made)?),
    })
}

/// Whether an OpenPGP key has these numbers.
pub(super) fn has_material(key: &Key<PublicParts, UnspecifiedRole>, material: &KeyMaterial) -> bool {
    key_of(material, key.creation_time()).is_ok_and(|ours| ours.mpis() == key.mpis())
}

/// The numbers of a key of a certificate, by the key's fingerprint. `what` names the certificate.
pub fn material_of(certificate: &[u8], fingerprint: &str, what: &str) -> Result<KeyMaterial> {
    let cert = super::signing_key::parse_one(certificate, what)?;
    let unusable =
        || Error::invalid(format!("{what}: key {fingerprint} is of a kind that is not supported")).hint("Ed25519, P-256 and RSA keys are");
    let key = cert.keys().find(|key| key.key().fingerprint().to_hex() == fingerprint).ok_or_else(unusable)?;
    match key.key().mpis() {
        mpi::PublicKey::EdDSA { curve: Curve::Ed25519, q } => {
            q.value().strip_prefix(&[0x40]).and_then(|bytes| bytes.try_into().ok()).map(KeyMaterial::Ed25519).ok_or_else(unusable)
        }
        mpi::PublicKey::Ed25519 { a } => Ok(KeyMaterial::Ed25519(*a)),
        mpi::PublicKey::ECDSA { curve: Curve::NistP256, q } => Ok(KeyMaterial::P256(q.value().to_vec())),
        mpi::PublicKey::RSA { e, n } => Ok(KeyMaterial::Rsa { n: n.value().to_vec(), e: e.value().to_vec() }),
        _ => Err(unusable()),
    }
}

/// Has such a key sign, and verifies what comes back.
pub fn check(signer: Arc<dyn DigestSigner>, now: DateTime<Utc>) -> Result<()> {
    let origin = signer.origin().to_owned();
    let certificate = certify(signer, "a trial", now)?;
    let cert = super::signing_key::parse_one(&certificate, &origin)?;
    // A certificate is valid by its own signature over a user id, if that is good.
    let valid = cert.with_policy(&StandardPolicy::new(), SystemTime::from(now)).is_ok_and(|cert| cert.userids().next().is_some());
    if valid {
        return Ok(());
    }
    Err(Error::new(Kind::Untrusted, format!("the key in {origin} made an OpenPGP signature that does not verify")))
}

/// Makes the certificate of such a key, certifying itself; armored.
pub fn certify(signer: Arc<dyn DigestSigner>, user_id: &str, now: DateTime<Utc>) -> Result<Vec<u8>> {
    let origin = signer.origin().to_owned();
    let failed = |error: anyhow::Error| match error.downcast::<Error>() {
        Ok(failure) => failure,
        Err(error) => Error::new(Kind::Unexpected, format!("cannot make an OpenPGP certificate for the key in {origin}")).source(error),
    };
    let material = signer.material()?;
    let make = || -> openpgp::Result<Vec<u8>> {
        // Whole seconds, as the format has them.
        let public = key_of(&material, SystemTime::from(now))?;
        let primary = public.clone().role_into_primary();
        let mut signer = RemoteSigner { public, signer: signer.clone() };
        let user_id = UserID::from(user_id);
        let cert = Cert::try_from(vec![Packet::from(primary)])?;
        let builder = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(SystemTime::from(now))?
            .set_hash_algo(HashAlgorithm::SHA256)
            .set_key_flags(KeyFlags::empty().set_certification().set_signing())?
            .set_preferred_hash_algorithms(vec![HashAlgorithm::SHA256, HashAlgorithm::SHA512])?;
        let binding = user_id.bind(&mut signer, &cert, builder)?;
        let (cert, _) = cert.insert_packets(vec![Packet::from(user_id), binding.into()])?;
        cert.armored().to_vec()
    };
    make().map_err(failed)
}
