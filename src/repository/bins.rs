use super::Present;
use super::edit::Edit;
use super::parallel::each;
use crate::error::{Error, Kind, Result};
use crate::keys::RoleSigner;
use crate::metadata::trust::TrustedMetadata;
use crate::metadata::{BinIndex, DelegatedRole, Delegations, PublicKey, ROLE_LIMIT, Target, Targets, UNSTATED_TARGETS_LIMIT};
use crate::names::{TargetName, directories_above};
use crate::storage::{Source, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The role that shares out target names over bins, after PEP 458: `targets` delegates everything to it, and it
/// delegates to the bins by the hash of the name.
pub const BINS: &str = "bins";

/// The hashed bins of a repository. The role that lists them is always read, a bin when a name in it is requested:
/// a commit that touches ten of a thousand bins reads ten.
#[derive(Clone, Debug)]
pub struct Bins {
    /// The role [`BINS`].
    pub role: Targets,
    /// What it delegates.
    pub delegations: Delegations,
    index: BinIndex,
    /// What the top-level role delegates to them: everything, where we made them.
    scope: DelegatedRole,
    read: BTreeMap<usize, Targets>,
}

/// Where a target's entry is, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// In the top-level targets role.
    Top,
    /// In this bin.
    Bin(usize),
}

impl Bins {
    /// Reads the role that lists the bins, if the top-level role delegates to one.
    pub(super) fn load(source: &dyn Source, trust: &TrustedMetadata, top: &Targets) -> Result<Option<Self>> {
        let Some(json) = top.field("delegations") else { return Ok(None) };
        let parent = Delegations::parse(json, "targets.json")?;
        let Some(role) = parent.roles.iter().find(|role| role.name == BINS) else { return Ok(None) };
        Self::of(trust.delegated_at_any_age(&parent, role, read_listed(source, trust, BINS)?)?, role)
    }

    /// The bins that this role lists, to which the top-level role delegates as in `scope`; `None` if it delegates in
    /// some other way.
    pub(super) fn of(role: Targets, scope: &DelegatedRole) -> Result<Option<Self>> {
        let Some(json) = role.field("delegations") else { return Ok(None) };
        let delegations = Delegations::parse(json, "bins.json")?;
        let scope = scope.clone();
        Ok(delegations.bins().map(|index| Self { role, index, scope, delegations, read: BTreeMap::new() }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.delegations.roles.len()
    }

    /// The name of a bin's role.
    pub fn name(&self, bin: usize) -> &str {
        &self.delegations.roles[bin].name
    }

    /// The keys of the bins, and how many of them must sign.
    pub fn keys(&self) -> (Vec<(String, PublicKey)>, u64) {
        let threshold = self.delegations.roles.first().map_or(1, |role| role.keys.threshold);
        (self.delegations.keys().map(|(id, key)| (id.clone(), key.clone())).collect(), threshold)
    }

    /// The names of all bins, in order.
    pub fn names(&self) -> Vec<String> {
        self.delegations.roles.iter().map(|role| role.name.clone()).collect()
    }

    /// A bin that has been read.
    pub fn get(&self, bin: usize) -> Result<&Targets> {
        self.read.get(&bin).ok_or_else(|| Error::new(Kind::Unexpected, format!("{} was not read", self.name(bin))))
    }

    /// All bins that have been read.
    pub fn known(&self) -> impl Iterator<Item = (usize, &Targets)> {
        self.read.iter().map(|(bin, targets)| (*bin, targets))
    }

    /// Refuses to start work that could not be signed: for each bin, enough of the keys at hand must be keys of it.
    pub fn check_signers(&self, at_hand: &[Arc<dyn RoleSigner>]) -> Result<()> {
        for role in &self.delegations.roles {
            let fits = |key: &PublicKey| at_hand.iter().any(|signer| signer.public().same_material(key));
            let fitting = self.delegations.keys_of(role).filter(|(_, key)| fits(key)).count() as u64;
            if fitting < role.keys.threshold {
                let (name, threshold) = (&role.name, role.keys.threshold);
                return Err(Error::invalid(format!(
                    "{name} needs {threshold} signature{} and {fitting} of the configured keys can sign it",
                    if threshold == 1 { "" } else { "s" }
                ))
                .details(role.keys.keyids.iter().map(|id| format!("bins.json names: {id}")))
                .details(at_hand.iter().map(|signer| format!("configured:      {} in {}", signer.public().id(), signer.origin())))
                .hint("check `keys: bins:` in the config, or `keys: targets:` where the targets key signs the bins"));
            }
        }
        Ok(())
    }

    /// The same, each with the name of its role.
    pub fn known_by_name(&self) -> impl Iterator<Item = (&str, &Targets)> {
        self.known().map(|(bin, targets)| (self.name(bin), targets))
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.index.find(name).ok_or_else(|| Error::new(Kind::Untrusted, format!("no bin of {BINS}.json is responsible for target {name}")))
    }

    /// Takes over what is known of the same bins before a commit, and what the commit wrote.
    pub(super) fn carry(&mut self, before: Option<&Self>, written: BTreeMap<usize, Targets>) {
        let known = before.iter().flat_map(|before| before.known()).map(|(bin, targets)| (bin, targets.clone()));
        self.read = known.chain(written).collect();
    }
}

impl Present {
    /// Where the entry of this name is, or would be.
    pub fn home(&self, name: &str) -> Result<Home> {
        match &self.bins {
            Some(bins) if !TargetName::of(name).lives_at_top() && !self.targets.contains(name) && bins.scope.covers(name) => {
                bins.find(name).map(Home::Bin)
            }
            _ => Ok(Home::Top),
        }
    }

    /// The target of this name; its bin must have been read.
    pub fn target(&self, name: &str) -> Result<Option<Target>> {
        match (self.home(name)?, &self.bins) {
            (Home::Bin(bin), Some(bins)) => bins.get(bin)?.get(name),
            _ => self.targets.get(name),
        }
    }

    /// Reads the bins that these names are in.
    pub fn read_bins_of<'n>(&mut self, storage: &dyn Storage, names: impl Iterator<Item = &'n str>) -> Result<()> {
        if self.bins.is_none() {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        for name in names {
            if let Home::Bin(bin) = self.home(name)? {
                wanted.insert(bin);
            }
        }
        self.read_bins(storage, wanted)
    }

    /// Reads the bins that edits are about: those of the names, and where a name is new, those of the directories that it
    /// is in, for none of them may be a target.
    pub fn read_bins_for(&mut self, storage: &dyn Storage, edits: &[Edit]) -> Result<()> {
        self.read_bins_of(storage, edits.iter().flat_map(Edit::names))?;
        if self.bins.is_none() {
            return Ok(());
        }
        let mut above = BTreeSet::new();
        for change in edits.iter().flat_map(|edit| &edit.changes).filter(|change| change.wanted.is_some()) {
            if self.target(&change.name)?.is_none() {
                above.extend(directories_above(&change.name));
            }
        }
        self.read_bins_of(storage, above.into_iter())
    }

    /// Reads all bins.
    pub fn read_all_bins(&mut self, storage: &dyn Storage) -> Result<()> {
        self.read_bins(storage, (0..self.bins.as_ref().map_or(0, Bins::count)).collect())
    }

    /// Reads these bins.
    pub(super) fn read_bins(&mut self, storage: &dyn Storage, wanted: BTreeSet<usize>) -> Result<()> {
        let Some(bins) = &self.bins else { return Ok(()) };
        let missing: Vec<usize> = wanted.into_iter().filter(|bin| !bins.read.contains_key(bin)).collect();
        let trust = &self.trust;
        let read = |bin: &usize, (): &mut ()| {
            let role = &bins.delegations.roles[*bin];
            let targets = trust.delegated_at_any_age(&bins.delegations, role, read_listed(storage, trust, &role.name)?)?;
            Ok((*bin, targets))
        };
        let read = each(&missing, storage.properties().parallelism, || Ok(()), read)?;
        if let Some(bins) = &mut self.bins {
            bins.read.extend(read);
        }
        Ok(())
    }

    /// The names of all targets in what has been read, with their entries in JSON; the top-level role's first.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.targets.iter().chain(self.bins.iter().flat_map(|bins| bins.read.values().flat_map(Targets::iter)))
    }
}

/// The file of a delegated role as the snapshot lists it.
fn read_listed(source: &dyn Source, trust: &TrustedMetadata, role: &str) -> Result<Vec<u8>> {
    let listed = trust.listed(&format!("{role}.json"))?;
    let limit = listed.length.unwrap_or(UNSTATED_TARGETS_LIMIT).min(ROLE_LIMIT);
    super::present::read_role(source, trust, role, listed.version, limit)
}

/// Names for so many bins: those in use first, so that no more names than the largest number of bins ever end up in the
/// snapshot, where they stay for ever.
pub(super) fn bin_names(present: &[String], count: usize) -> Vec<String> {
    let mut names: Vec<String> = present.iter().take(count).cloned().collect();
    let mut next = 0;
    while names.len() < count {
        let name = format!("bin-{next:x}");
        if !present.contains(&name) {
            names.push(name);
        }
        next += 1;
    }
    names
}
