//! Keys held in this process's memory, and their signers.

use super::RoleSigner;
use crate::error::{Error, Kind, Result};
use crate::metadata::{KeyKind, PublicKey};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
use std::sync::Arc;
use tuf::crypto::{Ed25519PrivateKey, PrivateKey};
use zeroize::Zeroizing;

/// A secret key as it came out of a file.
#[derive(Clone)]
pub(super) enum Material {
    /// The 32 bytes of an Ed25519 key.
    Ed25519(Zeroizing<[u8; 32]>),
    /// A P-256 or an RSA key.
    Openssl(PKey<Private>),
}

impl Material {
    /// A key that OpenSSL has read; `None` if it is of a kind that no TUF client verifies.
    pub(super) fn of(key: PKey<Private>) -> Option<Self> {
        match key.id() {
            Id::ED25519 => Some(Self::Ed25519(Zeroizing::new(Zeroizing::new(key.raw_private_key().ok()?).as_slice().try_into().ok()?))),
            Id::EC | Id::RSA => Some(Self::Openssl(key)),
            _ => None,
        }
    }

    /// A new key; RSA of 3072 bits.
    pub(super) fn generate(kind: KeyKind) -> Result<Self> {
        let make = || -> std::result::Result<PKey<Private>, openssl::error::ErrorStack> {
            match kind {
                KeyKind::Ed25519 => PKey::generate_ed25519(),
                KeyKind::EcdsaP256 => {
                    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
                    PKey::from_ec_key(EcKey::generate(&group)?)
                }
                KeyKind::RsaPss => PKey::from_rsa(Rsa::generate(3072)?),
            }
        };
        let key = make().map_err(|error| Error::new(Kind::Unexpected, "cannot make a key").source(error))?;
        Self::of(key).ok_or_else(|| Error::new(Kind::Unexpected, "cannot make a key"))
    }

    /// The signer; `origin` is where the key is stored.
    pub(super) fn into_signer(self, origin: &str) -> Result<Arc<dyn RoleSigner>> {
        Ok(match self {
            Self::Ed25519(seed) => Arc::new(Ed25519Signer::from_seed(&seed, origin)?),
            Self::Openssl(key) => Arc::new(OpensslSigner::new(key, origin)?),
        })
    }
}

/// An Ed25519 key held in memory.
struct Ed25519Signer {
    private: Ed25519PrivateKey,
    public: PublicKey,
    origin: String,
}

impl Ed25519Signer {
    fn from_seed(seed: &[u8; 32], origin: &str) -> Result<Self> {
        let unusable = || Error::new(Kind::Invalid, format!("the key in {origin} cannot be used"));
        let public = PKey::private_key_from_raw_bytes(seed, Id::ED25519).and_then(|key| key.raw_public_key());
        let public: [u8; 32] = public.map_err(|error| unusable().source(error))?.try_into().map_err(|_| unusable())?;
        let pair = Zeroizing::new([seed.as_slice(), &public].concat());
        let private = Ed25519PrivateKey::from_ed25519(&pair).map_err(|_| unusable())?;
        Ok(Self { private, public: PublicKey::ed25519(&public)?, origin: origin.into() })
    }
}

impl RoleSigner for Ed25519Signer {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature =
            self.private.sign(message).map_err(|_| Error::new(Kind::Unexpected, format!("the key in {} failed to sign", self.origin)))?;
        Ok(signature.value().as_bytes().to_vec())
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// A P-256 or RSA key held in memory.
struct OpensslSigner {
    private: PKey<Private>,
    public: PublicKey,
    origin: String,
}

impl OpensslSigner {
    fn new(private: PKey<Private>, origin: &str) -> Result<Self> {
        let unusable = |error| Error::new(Kind::Invalid, format!("the key in {origin} cannot be used")).source(error);
        let pem = private.public_key_to_pem().map_err(unusable)?;
        let pem = String::from_utf8_lossy(&pem);
        let public = match private.id() {
            Id::RSA => PublicKey::rsa(&pem),
            _ => PublicKey::p256(&pem),
        };
        let public = public.map_err(|failure| {
            Error::invalid(format!("the key in {origin} is of a kind that TUF clients do not verify"))
                .source(failure)
                .hint("Ed25519, P-256 and RSA from 2048 bits can sign roles")
        })?;
        Ok(Self { private, public, origin: origin.into() })
    }
}

impl RoleSigner for OpensslSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let sign = || -> std::result::Result<Vec<u8>, openssl::error::ErrorStack> {
            let mut signer = Signer::new(MessageDigest::sha256(), &self.private)?;
            if self.public.kind() == KeyKind::RsaPss {
                signer.set_rsa_padding(Padding::PKCS1_PSS)?;
                signer.set_rsa_mgf1_md(MessageDigest::sha256())?;
                signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            signer.sign_oneshot_to_vec(message)
        };
        sign().map_err(|error| Error::new(Kind::Unexpected, format!("the key in {} failed to sign", self.origin)).source(error))
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}
