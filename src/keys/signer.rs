use crate::error::Result;
use crate::metadata::{PublicKey, Role};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A secret key that signs TUF roles, wherever it is stored.
pub trait RoleSigner: Send + Sync {
    /// The public half; its id is how the root names the key.
    fn public(&self) -> &PublicKey;

    /// Signs a role's canonical bytes.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;

    /// Where the key is stored, for errors.
    fn origin(&self) -> &str;
}

/// The signers at hand for each role.
pub type Signers = BTreeMap<Role, Vec<Arc<dyn RoleSigner>>>;

impl std::fmt::Debug for dyn RoleSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoleSigner({})", self.origin())
    }
}
