//! Role files under the names that clients ask for: `bins.json` without consistent snapshots, `4.bins.json` with them. A root
//! that changes which of the two it is may only go out once everything that the snapshot lists has the other name too; some
//! clients find no role otherwise, and no later command of theirs gets past it.

use super::parallel::each;
use super::present::Present;
use crate::error::{Error, Kind, Result};
use crate::metadata::trust::TrustedMetadata;
use crate::metadata::{Delegations, ROLE_LIMIT, Role, TIMESTAMP_LIMIT, Targets, UNSTATED_SNAPSHOT_LIMIT, UNSTATED_TARGETS_LIMIT};
use crate::names::ObjectName;
use crate::storage::{Source, Storage};
use std::collections::BTreeSet;

/// Gives every role file of the published state the names that clients of a root with or without consistent snapshots ask
/// for; returns how many were missing or different.
pub fn place_roles(storage: &dyn Storage, present: &Present, consistent: bool) -> Result<usize> {
    let snapshot = present.trust.listings().map(|(_, snapshot)| snapshot);
    let listed = snapshot.into_iter().flat_map(|snapshot| snapshot.files());
    let mut roles: Vec<(&str, u64)> = listed.filter_map(|(file, listed)| Some((file.strip_suffix(".json")?, listed.version))).collect();
    roles.push((Role::Snapshot.name(), present.versions().snapshot));
    let place = |(role, version): &(&str, u64), (): &mut ()| {
        let (numbered, plain) = (ObjectName::versioned(role, *version), ObjectName::plain_role(role));
        let read = |name: &ObjectName| Ok::<_, Error>(storage.get(name, ROLE_LIMIT)?.map(|object| object.bytes));
        match (read(&numbered)?, read(&plain)?) {
            (Some(file), there) if !consistent && there.as_ref() != Some(&file) => storage.put(&plain, &file).map(|()| true),
            // A number is created only: what has it already is checked with the chain.
            (None, Some(file)) if consistent => storage.create(&numbered, &file),
            _ => Ok(false),
        }
    };
    let placed = each(&roles, storage.properties().parallelism, || Ok(()), place)?.into_iter().filter(|placed| *placed).count();
    storage.sync()?;
    Ok(placed)
}

/// Reads the metadata as a client of `trust`'s root does, by the names that this root asks for, every delegated role included.
/// Expiry does not matter here.
pub fn check_as_client(source: &dyn Source, mut trust: TrustedMetadata) -> Result<()> {
    let consistent = trust.root().consistent_snapshot();
    let missing = |name: &ObjectName| {
        Error::new(Kind::Untrusted, format!("{name} is missing from {}", source.location()))
            .hint("`publish refresh --all` writes the role files that clients ask for; `publish verify` lists what is missing")
    };
    let read = |role: &str, version: u64, limit: u64| -> Result<Vec<u8>> {
        let name = if consistent { ObjectName::versioned(role, version) } else { ObjectName::plain_role(role) };
        source.get(&name, limit.min(ROLE_LIMIT))?.map(|object| object.bytes).ok_or_else(|| missing(&name))
    };
    let name = ObjectName::timestamp();
    let timestamp = source.get(&name, TIMESTAMP_LIMIT)?.ok_or_else(|| missing(&name))?;
    let listed = trust.timestamp(&timestamp.bytes)?.get("snapshot.json").cloned();
    let (version, length) = listed.map_or((0, None), |listed| (listed.version, listed.length));
    trust.snapshot(&read(Role::Snapshot.name(), version, length.unwrap_or(UNSTATED_SNAPSHOT_LIMIT))?)?;
    let listed = |trust: &TrustedMetadata, role: &str| {
        let listed = trust.listed(&format!("{role}.json"))?;
        Ok::<_, Error>((listed.version, listed.length.unwrap_or(UNSTATED_TARGETS_LIMIT)))
    };
    let (version, limit) = listed(&trust, Role::Targets.name())?;
    let mut open = vec![trust.targets(read(Role::Targets.name(), version, limit)?)?];
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some(parent) = open.pop() {
        let Some(delegations) = delegations(&parent)? else { continue };
        for role in &delegations.roles {
            // A delegation whose role is not signed yet is legal.
            let Ok((version, limit)) = listed(&trust, &role.name) else { continue };
            if seen.insert(role.name.clone()) {
                open.push(trust.delegated_at_any_age(&delegations, role, read(&role.name, version, limit)?)?);
            }
        }
    }
    Ok(())
}

fn delegations(targets: &Targets) -> Result<Option<Delegations>> {
    targets.field("delegations").map(|json| Delegations::parse(json, "targets")).transpose()
}
