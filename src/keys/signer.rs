use crate::failure::{Failure, Kind, Result};
use crate::metadata::{PublicKey, Role, Signature};
use openssl::pkey::{Id, PKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use tuf::crypto::{Ed25519PrivateKey, PrivateKey};
use zeroize::Zeroizing;

/// A secret key that signs TUF roles, wherever it lives.
pub trait RoleSigner: Send + Sync {
    /// The public half; its id is how the root names the key.
    fn public(&self) -> &PublicKey;

    /// Signs a role's canonical bytes.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;

    /// Where the key lives, for errors.
    fn origin(&self) -> &str;
}

/// The signers at hand for each role.
pub type Signers = BTreeMap<Role, Vec<Arc<dyn RoleSigner>>>;

/// An Ed25519 key held in memory.
pub(super) struct Ed25519Signer {
    private: Ed25519PrivateKey,
    public: PublicKey,
    origin: String,
}

impl Ed25519Signer {
    pub(super) fn from_seed(seed: &[u8; 32], origin: &str) -> Result<Self> {
        let unusable = || Failure::new(Kind::Invalid, format!("the key in {origin} cannot be used"));
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
            self.private.sign(message).map_err(|_| Failure::new(Kind::Unexpected, format!("the key in {} failed to sign", self.origin)))?;
        Ok(signature.value().as_bytes().to_vec())
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// Signs `message` with every signer whose key is among `keys` (key id and key), and says the ids.
pub fn sign_all<'k>(
    message: &[u8],
    signers: &[Arc<dyn RoleSigner>],
    keys: impl Iterator<Item = (&'k str, &'k PublicKey)>,
) -> Result<Vec<Signature>> {
    let mut signatures = Vec::new();
    for (id, key) in keys {
        if let Some(signer) = signers.iter().find(|signer| signer.public().same_material(key)) {
            signatures.push(Signature { keyid: id.into(), sig: hex::encode(signer.sign(message)?) });
        }
    }
    Ok(signatures)
}
