//! `publish yank`: withdraws a release. Its targets go from the metadata in one commit, its plain names with it, its
//! hashed objects with a later prune; a target `yanked/<version>` keeps the version from ever being published again.

use super::{Outcome, RoleStep, Workspace, steps};
use crate::failure::{Failure, Kind};
use crate::keys::Signers;
use crate::layout::{ReleaseVersion, channel_content, released_versions, yanked_name};
use crate::metadata::Role;
use crate::policy::yanks::check_no_channel;
use crate::repository::{Change, Condition, Edit, Present, stage_bytes};
use anyhow::Result;
use serde::Serialize;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct YankRequest {
    /// The version to withdraw.
    pub version: ReleaseVersion,
    /// Why, for readers of `yanked/<version>`.
    pub reason: Option<String>,
}

/// What a yank will do.
#[derive(Debug, Serialize)]
pub struct YankPlan {
    /// The version.
    pub version: String,
    /// The targets that go: artifacts and their signatures.
    pub removed: Vec<String>,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
    /// Whether it was yanked before.
    pub empty: bool,
    #[serde(skip)]
    work: Option<Box<(Present, Edit, Vec<u8>)>>,
}

/// Decides what goes; nothing is written and no key is opened.
pub fn plan(workspace: &Workspace, request: &YankRequest) -> Result<YankPlan> {
    let present = workspace.load()?;
    workspace.check_root(&present)?;
    let (version, targets) = (request.version.to_string(), &present.targets);
    let prefixes = [format!("releases/{version}/"), format!("signatures/{version}/")];
    let removed: Vec<String> = prefixes.iter().flat_map(|prefix| targets.below(prefix)).map(str::to_owned).collect();
    let yanked = targets.get(&yanked_name(&request.version))?;
    if removed.is_empty() && yanked.is_none() {
        let released = released_versions(targets.below("releases/")).join(", ");
        return Err(Failure::new(Kind::NotFound, format!("there is no release {version}"))
            .hint(if released.is_empty() { "nothing is released".into() } else { format!("released: {released}") })
            .into());
    }
    if !removed.is_empty() {
        check_no_channel(&version, targets, &|name, target| workspace.read_small(name, target))?;
    }
    let mut edit = Edit::default();
    for name in &removed {
        edit.changes.push(Change { name: name.clone(), expected: targets.get(name)?, wanted: None, keep_existing: false, content: None });
    }
    let artifacts = targets.below(&prefixes[0]).map(str::to_owned).collect();
    edit.conditions.push(Condition::Sealed { prefix: prefixes[0].clone(), names: artifacts });
    let digest = openssl::sha::sha256(&channel_content(&version));
    edit.conditions.push(Condition::NoneHas { prefix: "channels/".into(), sha256: digest });
    let empty = removed.is_empty();
    let roles = if empty { Vec::new() } else { steps(&present.versions(), &Role::ONLINE)? };
    let mut record = format!("{version}\n");
    record.extend(request.reason.iter().map(|reason| format!("{}\n", reason.trim())));
    Ok(YankPlan { version, removed, roles, empty, work: Some(Box::new((present, edit, record.into_bytes()))) })
}

/// Carries out a plan. An empty one only completes what a killed run may have left.
pub fn apply(workspace: &Workspace, plan: YankPlan) -> Result<Outcome> {
    let (present, mut edit, record) = *plan.work.ok_or_else(|| Failure::new(Kind::Unexpected, "a plan without a state"))?;
    workspace.begin_changes()?;
    if plan.empty {
        return Ok(workspace.commit(present, &Edit::default(), &Signers::new())?.into());
    }
    let signers = workspace.signers(present.trust.root(), &Role::ONLINE)?;
    workspace.progress.phase("committing");
    let name = yanked_name(&ReleaseVersion::parse(&plan.version)?);
    let wanted = stage_bytes(workspace.storage.as_ref(), &name, &record, workspace.sha512)?;
    edit.changes.push(Change { name, expected: None, wanted: Some(wanted), keep_existing: true, content: Some(record) });
    Ok(workspace.commit(present, &edit, &signers)?.into())
}
