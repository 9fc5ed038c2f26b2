//! What is about to be published, as a client reads it.

use crate::error::{Error, Kind, Result};
use crate::metadata::{Delegations, Role, Targets, format_expiry};
use crate::names::RoleName;
use crate::repository::bins::{BINS, Bins};
use crate::repository::present::Present;
use crate::repository::steps::{NewRole, SignedRole};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What is about to be published, read as a client who holds the present state and refuses what has expired.
pub(super) fn as_client(
    present: &Present,
    now: DateTime<Utc>,
    timestamp: &SignedRole,
    snapshot: Option<SignedRole>,
    new: Vec<NewRole>,
) -> Result<Present> {
    let mut trust = present.trust.as_client(now);
    trust.end_of_roots().map_err(|failure| failure.hint("run `publish refresh` to sign the root again, then run this command again"))?;
    trust.timestamp(&timestamp.bytes)?;
    match snapshot {
        Some(snapshot) => drop(trust.snapshot(&snapshot.bytes)?),
        // Carried over: it must not have expired meanwhile.
        None => check_carried(present, Role::Snapshot, now)?,
    }
    let mut new: BTreeMap<RoleName, Vec<u8>> = new.into_iter().map(|new| (new.role, new.signed.bytes)).collect();
    let targets = match new.remove(&Role::Targets.into()) {
        Some(file) => trust.targets(file)?,
        None => {
            check_carried(present, Role::Targets, now)?;
            present.targets.clone()
        }
    };
    let bins = bins_as_client(present, &targets, &mut trust, new, now)?;
    Ok(Present { trust, token: present.token.clone(), timestamp_file: timestamp.bytes.clone(), targets, bins })
}

pub(super) fn bins_as_client(
    present: &Present,
    top: &Targets,
    trust: &mut crate::metadata::trust::TrustedMetadata,
    mut new: BTreeMap<RoleName, Vec<u8>>,
    now: DateTime<Utc>,
) -> Result<Option<Bins>> {
    let mut bins = match (new.remove(&RoleName::Bins), &present.bins) {
        (Some(file), _) => {
            let parent = Delegations::parse(top.field("delegations").unwrap_or("{}"), "targets.json")?;
            let role = parent.roles.iter().find(|role| role.name == BINS);
            let role = role.ok_or_else(|| Error::new(Kind::Unexpected, "targets.json does not delegate to the bins"))?;
            Bins::of(trust.delegated(&parent, role, file)?, role)?
        }
        (None, Some(bins)) if bins.role.expires() <= now => {
            return Err(Error::new(
                Kind::Untrusted,
                format!("the bins expired on {} and were not signed again", format_expiry(bins.role.expires())),
            )
            .hint("run `publish refresh` to sign them again, then run this command again"));
        }
        (None, bins) => bins.clone(),
    };
    if let Some(bins) = &mut bins {
        let mut written = BTreeMap::new();
        for (at, role) in bins.delegations.roles.iter().enumerate() {
            if let Some(file) = new.remove(&RoleName::of(&role.name)) {
                written.insert(at, trust.delegated(&bins.delegations, role, file)?);
            }
        }
        let kept = present.bins.as_ref().filter(|before| before.count() == bins.count());
        bins.carry(kept, written);
    }
    match new.into_keys().next() {
        None => Ok(bins),
        Some(stray) => Err(Error::new(Kind::Unexpected, format!("no role delegates to the new role {stray}"))),
    }
}

pub(super) fn check_carried(present: &Present, role: Role, now: DateTime<Utc>) -> Result<()> {
    let expired = present.trust.expired().iter().find(|(expired, expires)| *expired == role && *expires <= now);
    match expired {
        None => Ok(()),
        Some((_, expires)) => {
            Err(Error::new(Kind::Untrusted, format!("{role} expired on {} and was not signed again", format_expiry(*expires))))
        }
    }
}
