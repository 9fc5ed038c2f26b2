//! Which other keys may sign for names in a repository: the delegations of its targets roles. The keys of `targets.json` certify
//! them, so they are listed where a repository is adopted and where its state is shown. `publish remove-delegation` ends one.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::metadata::{DelegatedRole, Delegations, PublicKey, ROLE_LIMIT, Role, Targets, UNSTATED_TARGETS_LIMIT};
use crate::names::ObjectName;
use crate::repository::{BINS, Present, read_role};
use crate::storage::Source;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// So many delegated roles are read to find what they delegate themselves; clients look into fewer.
const MOST_READ: usize = 256;

/// One delegation; or several by hash of the name to the same keys, as to hashed bins.
#[derive(Clone, Debug, Serialize)]
pub struct Delegation {
    /// The role that delegates.
    pub from: String,
    /// The names of the roles that it delegates to.
    pub to: Vec<String>,
    /// The keys that may sign them.
    pub keys: Vec<DelegatedKey>,
    /// How many of these must.
    pub threshold: u64,
    /// The patterns of target names that they are responsible for.
    pub paths: Vec<String>,
    /// How many hash prefixes of target names they are responsible for.
    pub hash_prefixes: usize,
    /// Whether clients look nowhere else for these names.
    pub terminating: bool,
    /// How many targets they list; absent where that was not read.
    pub targets: Option<usize>,
    /// Why they could not be read, if that was tried and failed.
    pub unread: Option<String>,
}

/// A key in a delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DelegatedKey {
    /// Its id.
    pub id: String,
    /// Its keytype; absent where it is none that clients verify with.
    pub keytype: Option<String>,
}

impl Delegation {
    pub(super) fn of(from: &str, role: &DelegatedRole, block: &Delegations) -> Self {
        let known = |id: &String| block.keys().find(|(known, _)| *known == id).map(|(_, key)| key.keytype().to_owned());
        Self {
            from: from.to_owned(),
            to: vec![role.name.clone()],
            keys: role.keys.keyids.iter().map(|id| DelegatedKey { id: id.clone(), keytype: known(id) }).collect(),
            threshold: role.keys.threshold,
            paths: role.patterns().to_vec(),
            hash_prefixes: role.hash_prefixes().len(),
            terminating: role.terminating,
            targets: None,
            unread: None,
        }
    }

    /// Whether another one differs in nothing but its share of hashes.
    fn is_alike(&self, other: &Self) -> bool {
        let of = |delegation: &Self| (delegation.from.clone(), delegation.keys.clone(), delegation.threshold, delegation.terminating);
        self.paths.is_empty() && other.paths.is_empty() && self.unread.is_none() && other.unread.is_none() && of(self) == of(other)
    }
}

/// The ids of the keys of a role that are not `held`, where these can reach its threshold without any key that is. A key that
/// clients here cannot read counts: other clients may read it.
pub(super) fn able_strangers<'a>(
    keyids: &'a [String],
    threshold: u64,
    key: impl Fn(&str) -> Option<&'a PublicKey>,
    held: impl Fn(&PublicKey) -> bool,
) -> Vec<String> {
    let strange: BTreeSet<&String> = keyids.iter().filter(|id| !key(id).is_some_and(&held)).collect();
    if (strange.len() as u64) < threshold { Vec::new() } else { strange.into_iter().cloned().collect() }
}

/// The delegations of the top-level role, and of the role that lists the bins, to keys that can sign without the publisher.
/// The roles that are delegated to are not read. Bins are the publisher's own where no keys but targets keys, and as many as
/// the config names for the bins, could sign them.
pub(super) fn of_others(publisher: &Publisher, present: &Present) -> Result<Vec<Delegation>> {
    let targets = of_role(Role::Targets.name(), &present.targets)?;
    let mut others: Vec<Delegation> = Vec::new();
    let is_ours = |role: &DelegatedRole, block: &Delegations| {
        let keys: BTreeMap<&str, &PublicKey> = block.keys_of(role).collect();
        let strange = able_strangers(&role.keys.keyids, 1, |id| keys.get(id).copied(), |key| present.trust.was_targets_key(key));
        ((strange.len() - publisher.keyring.bins.len().min(strange.len())) as u64) < role.keys.threshold
    };
    let block = delegations_of(&present.targets, "targets.json")?;
    let bins_are_ours = present.bins.is_some()
        && block.as_ref().is_some_and(|block| block.roles.iter().filter(|role| role.name == BINS).all(|role| is_ours(role, block)));
    others.extend(targets.into_iter().filter(|delegation| !bins_are_ours || delegation.to.iter().any(|name| name != BINS)));
    if let Some(bins) = &present.bins {
        let strange = bins.delegations.roles.iter().filter(|role| !is_ours(role, &bins.delegations));
        strange.for_each(|role| push(&mut others, Delegation::of(BINS, role, &bins.delegations)));
    }
    Ok(others)
}

/// The delegations of one role.
pub(super) fn of_role(from: &str, targets: &Targets) -> Result<Vec<Delegation>> {
    let mut all = Vec::new();
    if let Some(block) = delegations_of(targets, &format!("{}.json", from.escape_debug()))? {
        block.roles.iter().for_each(|role| push(&mut all, Delegation::of(from, role, &block)));
    }
    Ok(all)
}

/// How many different keys these are: one key under two ids counts once, as for signatures.
fn distinct<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> u64 {
    let mut distinct: Vec<&PublicKey> = Vec::new();
    keys.for_each(|key| {
        if !distinct.iter().any(|known| known.same_material(key)) {
            distinct.push(key);
        }
    });
    distinct.len() as u64
}

/// Every delegation that can be reached, and whether it is the holder's own: `held` keys suffice to sign it, and the others
/// do not.
pub(super) fn reachable(source: &dyn Source, present: &Present, held: impl Fn(&PublicKey) -> bool) -> Result<Vec<(Delegation, bool)>> {
    let mut found: Vec<(Delegation, bool)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut read = 0;
    let top = delegations_of(&present.targets, "targets.json")?.map(|block| (Role::Targets.name().to_owned(), block));
    let mut open: Vec<(String, Delegations)> = top.into_iter().collect();
    while let Some((from, block)) = open.pop() {
        for role in &block.roles {
            let mut delegation = Delegation::of(&from, role, &block);
            let keys: BTreeMap<&str, &PublicKey> = block.keys_of(role).collect();
            let strangers = able_strangers(&role.keys.keyids, role.keys.threshold, |id| keys.get(id).copied(), &held);
            let ours = strangers.is_empty() && distinct(keys.values().copied().filter(|key| held(key))) >= role.keys.threshold;
            if seen.insert(role.name.clone()) {
                match read_delegated(source, present, &block, role, &mut read) {
                    Ok(targets) => {
                        delegation.targets = Some(targets.len());
                        let below = delegations_of(&targets, &format!("{}.json", role.name.escape_debug()));
                        match below {
                            Ok(below) => open.extend(below.map(|below| (role.name.clone(), below))),
                            Err(failure) => delegation.unread = Some(failure.message),
                        }
                    }
                    Err(failure) if failure.kind == Kind::Storage => return Err(failure),
                    Err(failure) => delegation.unread = Some(failure.message),
                }
            }
            match found.last_mut().filter(|(last, held)| *held == ours && last.is_alike(&delegation)) {
                Some((last, _)) => merge(last, delegation),
                None => found.push((delegation, ours)),
            }
        }
    }
    Ok(found)
}

fn read_delegated(source: &dyn Source, present: &Present, block: &Delegations, role: &DelegatedRole, read: &mut usize) -> Result<Targets> {
    if let Some(bins) = present.bins.as_ref()
        && let Some((_, targets)) = bins.known().find(|(at, _)| bins.name(*at) == role.name)
    {
        return Ok(targets.clone());
    }
    let listed = present.trust.listed(&format!("{}.json", role.name)).map_err(|_| Error::invalid("the snapshot does not list it"))?;
    ObjectName::versioned(&role.name, listed.version).check()?;
    *read += 1;
    if *read > MOST_READ {
        return Err(Error::invalid(format!("more than {MOST_READ} roles are delegated to")));
    }
    let limit = listed.length.unwrap_or(UNSTATED_TARGETS_LIMIT).min(ROLE_LIMIT);
    present.trust.delegated_at_any_age(block, role, read_role(source, &present.trust, &role.name, listed.version, limit)?)
}

pub(super) fn delegations_of(targets: &Targets, what: &str) -> Result<Option<Delegations>> {
    targets.field("delegations").map(|json| Delegations::parse(json, what)).transpose()
}

fn push(all: &mut Vec<Delegation>, delegation: Delegation) {
    match all.last_mut().filter(|last| last.is_alike(&delegation)) {
        Some(last) => merge(last, delegation),
        None => all.push(delegation),
    }
}

fn merge(into: &mut Delegation, more: Delegation) {
    into.to.extend(more.to);
    into.hash_prefixes += more.hash_prefixes;
    into.targets = into.targets.zip(more.targets).map(|(a, b)| a + b);
}
