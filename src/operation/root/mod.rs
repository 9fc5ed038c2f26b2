//! `publish root`: the next root as a draft that people sign on their own machines.

mod basis;
pub mod commit;
pub(super) mod draft_file;
mod names;
mod published;
mod report;
mod review;
pub mod rollback;
pub mod rotate;
pub mod rotation;
mod signed_roots;

pub use basis::{TrustedRoots, VouchedBy};
pub use report::{RootReport, describe_label, waiting_line};
pub use review::{Review, merge, show, sign};
pub use signed_roots::SignedRoots;

pub(super) use names::read_names;
pub(super) use published::{affected, present_for, root_file};

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Expiry, PublicKey, Role, RootDraft, RootEdit, format_expiry};
use crate::policy::clocks::Moment;
use draft_file::DraftFile;
use names::{known_names, write_names};
use published::{label, newest_root, staleness};
use std::collections::BTreeMap;
use std::path::Path;

/// What the next root shall change; names identify keys.
#[derive(Clone, Debug, Default)]
pub struct RootRequest {
    /// Keys that shall sign a role, with the name of the person who holds each.
    pub add: Vec<(Role, PublicKey, Option<String>)>,
    /// Keys that shall not any more: a name, or the beginning of a key id.
    pub remove: Vec<(Role, String)>,
    /// How many keys shall sign.
    pub thresholds: Vec<(Role, u64)>,
    /// Until when; a year from now without one.
    pub expires: Option<Expiry>,
    /// Who holds which key: a present name, or the beginning of a key id, and the new name.
    pub names: Vec<(String, String)>,
}

/// Reads a draft.
pub fn read_draft(path: &Path) -> Result<RootDraft> {
    Ok(DraftFile::read(path)?.draft)
}

/// Starts a draft, or changes the one that is there; nothing is published. Names are kept at once: they are for people
/// here, and no draft brings any.
pub fn edit(publisher: &Publisher, path: &Path, names: &Path, request: &RootRequest, dry_run: bool) -> Result<RootReport> {
    let (mut file, voided) = edited(publisher, path, names, request)?;
    if !dry_run {
        write_names(names, &requested_names(&file.draft, request)?)?;
        file.write()?;
    }
    Ok(RootReport { voided, ..Review::of(Some(publisher), &TrustedRoots::default(), file)?.report })
}

/// The draft with a request, not written yet; and how many signatures that voids.
pub(super) fn edited(publisher: &Publisher, path: &Path, names: &Path, request: &RootRequest) -> Result<(DraftFile, usize)> {
    let now = publisher.now();
    if let Some(over) = request.expires.filter(|expires| *expires <= now) {
        return Err(Error::invalid(format!("the next root would expire on {}, which is in the past", format_expiry(over)))
            .hint("give a time in the future, for example 365d"));
    }
    let known = known_names(names)?;
    let mut file = match DraftFile::read_if_there(path)? {
        Some(file) => file,
        None => {
            // Only people shorten the life of a root: they ask for it, and every signer is shown it as a change.
            let usual = |present| Moment::after(now, publisher.lifetimes, present).expiry(Role::Root, Some(present));
            let expires = |present| request.expires.unwrap_or_else(|| usual(present));
            let mut draft = RootDraft::start(&newest_root(publisher)?, expires, known.clone())?;
            draft.set_repository(label(publisher)?)?;
            DraftFile::new(path, draft)
        }
    };
    let draft = &mut file.draft;
    check_fresh(publisher, draft)?;
    draft.take_names(&known)?;
    let mut edit = RootEdit { thresholds: request.thresholds.clone(), expires: request.expires, ..RootEdit::default() };
    for (role, key, _) in &request.add {
        edit.add.push((*role, key.clone()));
    }
    for (role, text) in &request.remove {
        edit.remove.push((*role, resolve(draft, Some(*role), text)?));
    }
    let voided = draft.edit(&edit)?;
    for (id, name) in requested_names(draft, request)? {
        draft.name(&id, &name)?;
    }
    Ok((file, voided))
}

/// The names that a request gives, by key id.
fn requested_names(draft: &RootDraft, request: &RootRequest) -> Result<BTreeMap<String, String>> {
    let mut named = BTreeMap::new();
    for (role, key, name) in &request.add {
        if let Some(name) = name {
            named.insert(draft.next().id_of(*role, key)?, name.clone());
        }
    }
    for (text, name) in &request.names {
        named.insert(resolve(draft, None, text)?, name.clone());
    }
    Ok(named)
}

/// Refuses a draft that does not start from what is published.
fn check_fresh(publisher: &Publisher, draft: &RootDraft) -> Result<()> {
    match staleness(publisher, draft)? {
        None => Ok(()),
        Some(why) => Err(Error::new(Kind::Conflict, why).hint("move the draft's file away and start again with `publish root edit`")),
    }
}

/// The id of the key that a name or the beginning of an id identifies.
fn resolve(draft: &RootDraft, role: Option<Role>, text: &str) -> Result<String> {
    let ids: Vec<&String> = match role {
        Some(role) => draft.next().role(role).keyids.iter().collect(),
        None => draft.next().keys().keys().collect(),
    };
    let found: Vec<&&String> = ids
        .iter()
        .filter(|id| (text.len() >= 4 && id.starts_with(text)) || draft.names().get(**id).is_some_and(|name| name == text))
        .collect();
    match found.as_slice() {
        [id] => Ok((**id).clone()),
        other => {
            let how = if other.is_empty() { "is not a key of" } else { "matches several keys of" };
            let whose = role.map_or_else(|| "the root".to_owned(), |role| role.to_string());
            Err(Error::invalid(format!("`{}` {how} {whose}", text.escape_debug()))
                .details(ids.iter().map(|id| draft.describe(id)))
                .hint("give a name, or at least four digits of the key id"))
        }
    }
}
