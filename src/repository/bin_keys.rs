//! Which keys sign the bins. Delegated keys are in `targets.json` and `bins.json`, not in the root: a root that replaces the
//! targets key leaves them as they are. Where the targets key signs the bins too, they must follow, or nothing in them can be
//! changed once the old key is gone. The top-level targets key can do that at any time: it delegates.

use super::bins::{BINS, Bins};
use super::draft::{Keys, keys_of_bins};
use super::present::Present;
use crate::error::Result;
use crate::metadata::{Delegations, PublicKey, Role, Root};

/// The keys that the bins, and the role that lists them, shall have; the targets in them stay where they are.
#[derive(Clone, Debug)]
pub struct BinKeys {
    /// By key id.
    pub keys: Vec<(String, PublicKey)>,
    /// How many of them must sign.
    pub threshold: u64,
}

impl BinKeys {
    /// The targets keys of a root.
    pub fn of_targets(root: &Root) -> Self {
        let keys = root.keys_of(Role::Targets).map(|(id, key)| (id.to_owned(), key.clone())).collect();
        Self { keys, threshold: root.role(Role::Targets).threshold }
    }

    fn is(&self, (keys, threshold): &Keys) -> bool {
        let known = |key: &PublicKey| keys.iter().any(|(_, known)| known.same_material(key));
        *threshold == self.threshold && keys.len() == self.keys.len() && self.keys.iter().all(|(_, key)| known(key))
    }

    /// The delegations of `targets.json` with these keys for the role that lists the bins.
    pub(super) fn top_delegations(&self, present: &Present) -> Result<String> {
        Delegations::rekeyed(present.targets.field("delegations").unwrap_or("{}"), Some(BINS), &self.keys, self.threshold)
    }

    /// The delegations of `bins.json` with these keys for every bin.
    pub(super) fn bin_delegations(&self, bins: &Bins) -> Result<String> {
        Delegations::rekeyed(bins.role.field("delegations").unwrap_or("{}"), None, &self.keys, self.threshold)
    }
}

impl Present {
    /// The keys of the role that lists the bins and of each bin; empty without bins.
    pub fn keys_in_bins(&self) -> Result<Vec<Keys>> {
        let Some(bins) = &self.bins else { return Ok(Vec::new()) };
        let of_bin = |role| -> Keys {
            let role: &crate::metadata::DelegatedRole = role;
            (bins.delegations.keys_of(role).map(|(id, key)| (id.to_owned(), key.clone())).collect(), role.keys.threshold)
        };
        let mut all = vec![keys_of_bins(self)?];
        all.extend(bins.delegations.roles.iter().map(of_bin));
        Ok(all)
    }

    /// Whether these keys are the ones of the bins and of the role that lists them.
    pub fn bins_have(&self, wanted: &BinKeys) -> Result<bool> {
        Ok(self.keys_in_bins()?.iter().all(|keys| wanted.is(keys)))
    }

    /// The same under the same key ids: nothing is left to do.
    pub(super) fn bins_are_keyed(&self, wanted: &BinKeys) -> Result<bool> {
        let same_ids = |(keys, _): &Keys| keys.iter().all(|(id, _)| wanted.keys.iter().any(|(wanted, _)| wanted == id));
        Ok(self.bins_have(wanted)? && self.keys_in_bins()?.iter().all(same_ids))
    }

    /// Whether the bins are signed by targets keys, present or former ones, and by nothing else. Keys that were never targets
    /// keys are keys of the bins' own; they change only on request.
    pub fn bins_follow_targets(&self) -> Result<bool> {
        let all = self.keys_in_bins()?;
        let were_targets = |(keys, _): &Keys| !keys.is_empty() && keys.iter().all(|(_, key)| self.trust.was_targets_key(key));
        Ok(!all.is_empty() && all.iter().all(were_targets))
    }

    /// The present targets keys, where targets keys sign the bins and they are others by now.
    pub fn bins_behind(&self) -> Result<Option<BinKeys>> {
        if !self.bins_follow_targets()? {
            return Ok(None);
        }
        let wanted = BinKeys::of_targets(self.trust.root());
        Ok(if self.bins_have(&wanted)? { None } else { Some(wanted) })
    }

    /// A role among the bins, or the one that lists them, that too few of its keys could sign if only those that `usable`
    /// accepts were left; with the ids of its other keys.
    pub fn bin_without(&self, usable: impl Fn(&PublicKey) -> bool) -> Result<Option<(String, Vec<String>)>> {
        let names = [BINS.to_owned()].into_iter().chain(self.bins.iter().flat_map(Bins::names));
        for (name, (keys, threshold)) in names.zip(self.keys_in_bins()?) {
            let (left, gone): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, key)| usable(key));
            if (left.len() as u64) < threshold {
                return Ok(Some((name, gone.into_iter().map(|(id, _)| id).collect())));
            }
        }
        Ok(None)
    }
}
