//! `publish remove-delegation`: the top-level role no longer delegates to a role. The snapshot keeps its entry for that role,
//! which clients demand.

use super::{Keys, Prepared, Work};
use crate::error::{Error, Kind, Result};
use crate::metadata::Role;
use crate::operation::delegations::{Delegation, delegations_of};
use crate::operation::{Publisher, RoleStep, steps};
use crate::repository::{BINS, Edit};
use serde::Serialize;

/// What ending a delegation will do.
#[derive(Debug, Serialize)]
pub struct RemoveDelegationPlan {
    /// The delegation.
    pub delegation: Delegation,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
}

/// Decides what ending the top-level role's delegation to this role does.
pub fn prepare(publisher: &Publisher, name: &str) -> Result<Prepared<RemoveDelegationPlan>> {
    let present = publisher.load()?;
    publisher.check_root(&present)?;
    if publisher.workers.is_some() {
        return Err(Error::invalid("workers do not accept requests to remove a delegation")
            .hint("stop the workers, and use a config without `broker` that has the keys of targets, snapshot and timestamp"));
    }
    let block = delegations_of(&present.targets, "targets.json")?;
    let found = block.as_ref().and_then(|block| Some((block, block.roles.iter().find(|role| role.name == name)?)));
    let Some((block, role)) = found else {
        let names = block.iter().flat_map(|block| &block.roles).map(|role| format!("delegated to: {}", role.name.escape_debug()));
        return Err(Error::new(Kind::NotFound, format!("targets.json does not delegate to `{}`", name.escape_debug())).details(names));
    };
    if name == BINS && present.bins.is_some() {
        return Err(
            Error::invalid("the targets in the bins would be lost with them").hint("to change the keys of the bins: publish bins --rekey")
        );
    }
    let delegation = Delegation::of(Role::Targets.name(), role, block);
    let roles = steps(publisher, &present, &Role::ONLINE)?;
    let edit = Edit { undelegate: delegation.to.clone(), ..Edit::default() };
    let work = Work { edit, keys: Keys::Of(Role::ONLINE.to_vec()), ..Work::on(present) };
    Ok(Prepared { plan: RemoveDelegationPlan { delegation, roles }, work })
}
