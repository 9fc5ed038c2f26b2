//! `publish remove-targets`: takes targets out of the metadata. Their plain names go at once, their hashed objects with a
//! later prune.

use super::work::removal;
use super::{Prepared, Work};
use crate::error::{Error, Kind, Result};
use crate::names::{TargetName, fits_tree_pattern};
use crate::operation::{Publisher, RoleStep, target_steps};
use crate::policy::signatures::{is_stray, signature_of};
use crate::repository::{Edit, View};
use serde::Serialize;
use std::collections::BTreeSet;

/// What removing will do.
#[derive(Debug, Serialize)]
pub struct RemoveTargetsPlan {
    /// The targets that go, sorted, without their signatures.
    pub targets: Vec<String>,
    /// The signatures that go with them.
    pub signatures: Vec<String>,
    /// Stands for exactly these targets and signatures.
    pub digest: String,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
}

/// Decides what is removed. A pattern is a name, or has `*` for any part of one directory's names, `**` for any number of
/// directories, `?` for one character.
pub fn prepare(publisher: &Publisher, patterns: &[String]) -> Result<Prepared<RemoveTargetsPlan>> {
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    present.read_all_bins(publisher.storage.as_ref())?;
    let view = View::new(&present);
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for pattern in patterns {
        let found: Vec<&str> = present.entries().map(|(name, _)| name).filter(|name| fits_tree_pattern(pattern, name)).collect();
        if found.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("no target matches `{}`", pattern.escape_debug()))
                .hint("quote patterns, or the shell may expand them; `publish status --verbose` lists what is published"));
        }
        let is_stray = |name| matches!(name, TargetName::Signature(signature) if is_stray(signature, &view).unwrap_or(false));
        let mut kept = found.iter().filter(|name| TargetName::of(name).is_reserved() && !is_stray(TargetName::of(name)));
        if let Some(reserved) = kept.next() {
            return Err(Error::invalid(format!("`{}` matches {reserved}, which other commands manage", pattern.escape_debug()))
                .hint("releases are withdrawn with `publish yank`, channels with `publish channels --prune`"));
        }
        chosen.extend(found);
    }
    let mut edit = Edit::default();
    let mut signatures = Vec::new();
    for name in &chosen {
        edit.changes.push(removal(name, present.target(name)?));
        if let Some((signature, target)) = signature_of(TargetName::of(name), &view)? {
            edit.changes.push(removal(&signature, Some(target)));
            signatures.push(signature);
        }
    }
    let targets: Vec<String> = chosen.into_iter().map(str::to_owned).collect();
    let roles = target_steps(publisher, &present, edit.names())?;
    let digest = digest_of(&targets, &signatures);
    Ok(Prepared { plan: RemoveTargetsPlan { targets, signatures, digest, roles }, work: Work { edit, ..Work::on(present) } })
}

/// A short digest of names: no name holds a line break.
fn digest_of(targets: &[String], signatures: &[String]) -> String {
    let names: String = targets.iter().chain(signatures).flat_map(|name| [name.as_str(), "\n"]).collect();
    hex::encode(&openssl::sha::sha256(names.as_bytes())[..6])
}
