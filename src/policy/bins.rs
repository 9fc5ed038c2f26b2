//! Which keys may sign hashed bins: known ones, never one that a request brings along.

use crate::error::{Error, Kind, Result};
use crate::metadata::{PublicKey, Role, Root};

/// Refuses bins with keys that are neither the root's targets keys, nor the bins' present ones, nor the signer's own; or with
/// a lower threshold than those keys have. `present` and `own` are those keys.
pub fn check_bin_keys(
    root: &Root,
    present: &[(String, PublicKey)],
    own: &[PublicKey],
    wanted: &[(String, PublicKey)],
    threshold: u64,
) -> Result<()> {
    let of_root = |key: &PublicKey| root.keys_of(Role::Targets).any(|(_, known)| known.same_material(key));
    let known = |key: &PublicKey| {
        of_root(key) || present.iter().any(|(_, known)| known.same_material(key)) || own.iter().any(|known| known.same_material(key))
    };
    if let Some((id, _)) = wanted.iter().find(|(_, key)| !known(key)) {
        return Err(Error::new(Kind::Permission, format!("the bins would be signed by key {id}, which is not one of their keys"))
            .hint("bins are signed by the root's targets keys, or by keys that the targets worker has in `keys: bins:`"));
    }
    let least = root.role(Role::Targets).threshold;
    if threshold == 0 || (wanted.iter().all(|(_, key)| of_root(key)) && threshold < least) {
        return Err(Error::new(
            Kind::Permission,
            format!("the bins would need {threshold} signatures, and the targets role needs {least}"),
        ));
    }
    Ok(())
}
