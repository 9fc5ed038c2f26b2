use crate::error::{Error, Kind, Result};
use crate::keys::{RoleSigner, sign_all};
use crate::metadata::canonical::canonical;
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{ROOT_LIMIT, Role, Root, seal};
use crate::names::ObjectName;
use crate::policy::client_roots;
use crate::storage::Storage;
use std::sync::Arc;

/// Signs a root with the keys at hand: those of the root before it and its own.
pub fn sign_root(root: &Root, before: Option<&Root>, signers: &[Arc<dyn RoleSigner>]) -> Result<Vec<u8>> {
    let signed = root.to_signed_json();
    let message = canonical(&signed)?;
    let mut signatures = sign_all(&message, signers, root.keys_of(Role::Root), root.role(Role::Root).threshold)?;
    if let Some(before) = before {
        for signature in sign_all(&message, signers, before.keys_of(Role::Root), before.role(Role::Root).threshold)? {
            if !signatures.iter().any(|known| known.keyid == signature.keyid) {
                signatures.push(signature);
            }
        }
    }
    Ok(seal(&signed, &signatures))
}

/// Publishes the root that follows `trust`'s, after checking it as every client would. The number is the commit: the process that
/// creates it first has it, and `false` means that another process did.
pub fn publish_root(storage: &dyn Storage, trust: &TrustedMetadata, file: &[u8]) -> Result<bool> {
    let mut next = trust.clone();
    next.next_root(file)?;
    next.end_of_roots()?;
    let name = ObjectName::root(next.root().version());
    client_roots::check(Some(trust.root()), file, &name.to_string())?;
    storage.sync()?;
    if storage.create(&name, file)? {
        storage.sync()?;
        return Ok(true);
    }
    Ok(storage.get(&name, ROOT_LIMIT)?.is_some_and(|object| object.bytes == file))
}

/// Makes `1.root.json` ours: created now, or there already with exactly these bytes.
pub(super) fn check_first(file: &[u8], at_expiry: AtExpiry) -> Result<TrustedMetadata> {
    let trust = TrustedMetadata::pin(file, at_expiry)?;
    client_roots::check(None, file, "1.root.json")?;
    if trust.root().version() == 1 { Ok(trust) } else { Err(Error::new(Kind::Invalid, "a repository starts with root version 1")) }
}
