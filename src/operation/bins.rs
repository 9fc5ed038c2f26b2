//! `publish bins`: spreads targets over hashed bins, or over another number of them, in one commit.

use super::{Outcome, RoleStep, Workspace, steps};
use crate::failure::{Failure, Kind};
use crate::keys;
use crate::layout::lives_at_top;
use crate::metadata::Role;
use crate::repository::{Bins, Edit, Present, Rebin};
use anyhow::Result;
use serde::Serialize;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct BinsRequest {
    /// How many bins there shall be.
    pub count: usize,
    /// The operator knows that the trdl client reads top-level targets only.
    pub not_for_trdl: bool,
}

/// What spreading will do.
#[derive(Debug, Serialize)]
pub struct BinsPlan {
    /// How many bins there are; 0 for none.
    pub from: usize,
    /// How many there will be.
    pub to: usize,
    /// How many targets are in bins then.
    pub spread: usize,
    /// How many stay in the top-level role.
    pub at_top: usize,
    /// Bins that nothing is delegated to any more and that stay in the snapshot for ever.
    pub left_over: usize,
    /// Roles that will be signed besides the bins.
    pub roles: Vec<RoleStep>,
    /// Whether there is nothing to do.
    pub empty: bool,
    #[serde(skip)]
    present: Option<Box<Present>>,
}

/// Decides what spreading will do; nothing is written and no key is opened.
pub fn plan(workspace: &Workspace, request: BinsRequest) -> Result<BinsPlan> {
    let mut present = workspace.load()?;
    workspace.check_root(&present)?;
    if !request.not_for_trdl {
        return Err(Failure::invalid("the trdl client reads top-level targets only: it does not find what is in bins")
            .hint("releases and channels stay at the top level, but no trdl user will see any other target")
            .hint("if no trdl client needs to, say so with --not-for-trdl")
            .into());
    }
    if !request.count.is_power_of_two() || !(2..=1 << 16).contains(&request.count) {
        return Err(Failure::invalid(format!("{} bins: their number must be a power of two from 2 to 65536", request.count)).into());
    }
    if !present.trust.root().consistent_snapshot() {
        return Err(Failure::invalid("without consistent snapshots, clients would meet bins of the old and the new kind at once")
            .hint("switch them on first: `consistent_snapshot: true` in the config, then `publish refresh`")
            .into());
    }
    present.read_all_bins(workspace.storage.as_ref())?;
    let at_top = present.targets.names().filter(|name| lives_at_top(name)).count();
    let spread = present.entries().count() - at_top;
    let from = present.bins.as_ref().map_or(0, Bins::count);
    let empty = from == request.count && present.targets.len() == at_top;
    let mut roles = Vec::new();
    if !empty {
        let top = from == 0 || present.targets.len() != at_top;
        roles = steps(&present.versions(), if top { &Role::ONLINE } else { &[Role::Snapshot, Role::Timestamp] })?;
    }
    let left_over = from.saturating_sub(request.count);
    Ok(BinsPlan { from, to: request.count, spread, at_top, left_over, roles, empty, present: Some(Box::new(present)) })
}

/// Carries out a plan. An empty one only completes what a killed run may have left.
pub fn apply(workspace: &Workspace, plan: BinsPlan) -> Result<Outcome> {
    let present = *plan.present.ok_or_else(|| Failure::new(Kind::Unexpected, "a plan without a state"))?;
    workspace.begin_changes()?;
    if plan.empty {
        return Ok(workspace.commit(present, &Edit::default(), &Default::default())?.into());
    }
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| plan.roles.iter().any(|step| step.role == role.name())).collect();
    let mut signers = workspace.signers(present.trust.root(), &roles)?;
    let (keys, threshold) = match &present.bins {
        Some(bins) => {
            workspace.add_bin_signers(&present, &mut signers)?;
            bins.keys()
        }
        None if workspace.bin_keys.is_empty() => {
            let root = present.trust.root();
            let keys = root.keys_of(Role::Targets).map(|(id, key)| (id.to_owned(), key.clone())).collect();
            (keys, root.role(Role::Targets).threshold)
        }
        None => {
            let mut keys = Vec::new();
            for uri in &workspace.bin_keys {
                let signer = keys::load(uri, workspace.passphrases.as_ref())?;
                keys.push((signer.public().id(), signer.public().clone()));
                signers.entry(Role::Targets).or_default().push(signer);
            }
            (keys, 1)
        }
    };
    workspace.progress.phase("committing");
    let rebin = Rebin { count: plan.to, keys, threshold };
    let edit = Edit { rebin: Some(rebin), ..Edit::default() };
    Ok(workspace.commit(present, &edit, &signers)?.into())
}
