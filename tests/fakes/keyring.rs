//! Keys of the fakes of key services: they really sign.

use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};

#[derive(Clone)]
pub enum Key {
    Ed25519(PKey<Private>),
    P256(PKey<Private>),
    Rsa(PKey<Private>),
}

impl Key {
    pub fn new(kind: &str) -> Self {
        match kind {
            "ed25519" => Self::Ed25519(PKey::generate_ed25519().unwrap()),
            "p256" => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
                Self::P256(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
            }
            _ => Self::Rsa(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()),
        }
    }

    pub fn pkey(&self) -> &PKey<Private> {
        let (Self::Ed25519(key) | Self::P256(key) | Self::Rsa(key)) = self;
        key
    }

    pub fn message(&self, message: &[u8]) -> Vec<u8> {
        Signer::new_without_digest(self.pkey()).unwrap().sign_oneshot_to_vec(message).unwrap()
    }

    /// ECDSA in DER.
    pub fn digest(&self, digest: &[u8]) -> Vec<u8> {
        assert_eq!(digest.len(), 32, "a SHA-256 digest, not a message");
        EcdsaSig::sign(digest, &self.pkey().ec_key().unwrap()).unwrap().to_der().unwrap()
    }

    pub fn rsa(&self, digest: &[u8], pss: bool, hash: &openssl::md::MdRef) -> Vec<u8> {
        let mut context = PkeyCtx::new(self.pkey()).unwrap();
        context.sign_init().unwrap();
        context.set_rsa_padding(if pss { Padding::PKCS1_PSS } else { Padding::PKCS1 }).unwrap();
        context.set_signature_md(hash).unwrap();
        if pss {
            context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
        }
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature).unwrap();
        signature
    }
}

pub fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(message).unwrap()
}
