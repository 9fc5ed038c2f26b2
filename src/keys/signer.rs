use crate::failure::Result;
use crate::metadata::{PublicKey, Role, Signature};
use std::collections::BTreeMap;
use std::sync::Arc;

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
