//! Keys that never leave their place: in HSMs, agents and key services. Each does the few operations here; signing of
//! roles and of OpenPGP digests is made of them, and what comes back is verified before it is used.

use super::RoleSigner;
use crate::error::{Error, Kind, Result};
use crate::metadata::{KeyKind, PublicKey};
use crate::openpgp::{DigestSignature, DigestSigner, KeyMaterial};
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use sequoia_openpgp::types::HashAlgorithm;

/// What a device is asked to do. gpg-agent, which every build has, reads none of the message of `Pss`.
#[cfg_attr(not(any(feature = "pkcs11", feature = "vault", feature = "awskms")), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    /// RFC 8032 over the message.
    Ed25519(&'a [u8]),
    /// ECDSA over a digest of 32 bytes; the answer in DER.
    Ecdsa(&'a [u8]),
    /// RSA-PSS with SHA-256 and a salt of 32 bytes, over the message.
    Pss(&'a [u8]),
    /// RSA PKCS#1 v1.5 over a digest.
    Pkcs1(HashAlgorithm, &'a [u8]),
}

/// Something that holds a key.
pub(super) trait Device: Send + Sync {
    /// The public key.
    fn public(&self) -> &PublicKey;

    /// Does one operation.
    fn perform(&self, operation: Operation<'_>) -> Result<Vec<u8>>;

    /// Where the key is stored, for errors.
    fn origin(&self) -> &str;
}

/// Signs roles and OpenPGP digests.
pub(super) trait DeviceKey: RoleSigner + DigestSigner {}

impl<D: Device> DeviceKey for DeviceSigner<D> {}

/// A device as a signer.
pub(super) struct DeviceSigner<D>(pub(super) D);

impl<D: Device> RoleSigner for DeviceSigner<D> {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = match self.public().kind() {
            KeyKind::Ed25519 => self.0.perform(Operation::Ed25519(message)),
            KeyKind::EcdsaP256 => self.0.perform(Operation::Ecdsa(&openssl::sha::sha256(message))),
            KeyKind::RsaPss => self.0.perform(Operation::Pss(message)),
        }?;
        if self.public().verifies(message, &signature) {
            return Ok(signature);
        }
        Err(Error::new(Kind::Untrusted, format!("the key in {} made a signature that does not verify", self.0.origin()))
            .hint("check whether the key was replaced there; `publish key show URI` reads its public key again"))
    }

    fn origin(&self) -> &str {
        self.0.origin()
    }
}

impl<D: Device> DigestSigner for DeviceSigner<D> {
    fn material(&self) -> Result<KeyMaterial> {
        let unusable = || Error::invalid(format!("the key in {} cannot be used for OpenPGP", self.0.origin()));
        let json = self.0.public().to_json();
        let public = json["keyval"]["public"].as_str().unwrap_or_default();
        if self.0.public().kind() == KeyKind::Ed25519 {
            let bytes = hex::decode(public).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(unusable)?;
            return Ok(KeyMaterial::Ed25519(bytes));
        }
        material(public).map_err(|error| unusable().source(error))
    }

    fn sign_digest(&self, hash: HashAlgorithm, digest: &[u8]) -> Result<DigestSignature> {
        match self.0.public().kind() {
            KeyKind::Ed25519 => self.0.perform(Operation::Ed25519(digest)).map(DigestSignature::Ed25519),
            KeyKind::RsaPss => self.0.perform(Operation::Pkcs1(hash, digest)).map(DigestSignature::Rsa),
            KeyKind::EcdsaP256 => {
                let der = self.0.perform(Operation::Ecdsa(digest))?;
                let broken =
                    |error| Error::new(Kind::Untrusted, format!("the key in {} made no ECDSA signature", self.0.origin())).source(error);
                let signature = EcdsaSig::from_der(&der).map_err(broken)?;
                Ok(DigestSignature::Ecdsa { r: signature.r().to_vec(), s: signature.s().to_vec() })
            }
        }
    }

    fn origin(&self) -> &str {
        self.0.origin()
    }
}

fn material(pem: &str) -> std::result::Result<KeyMaterial, openssl::error::ErrorStack> {
    let key: PKey<Public> = PKey::public_key_from_pem(pem.as_bytes())?;
    if let Ok(rsa) = key.rsa() {
        return Ok(KeyMaterial::Rsa { n: rsa.n().to_vec(), e: rsa.e().to_vec() });
    }
    let key = key.ec_key()?;
    let mut context = BigNumContext::new()?;
    key.public_key().to_bytes(key.group(), PointConversionForm::UNCOMPRESSED, &mut context).map(KeyMaterial::P256)
}

/// A P-256 key in PEM from its uncompressed point.
pub(super) fn p256_pem(point: &[u8]) -> std::result::Result<Vec<u8>, openssl::error::ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
    PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)?.public_key_to_pem()
}
