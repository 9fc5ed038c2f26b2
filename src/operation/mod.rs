//! The user's operations. Every changing operation is a plan (reads, decides, refuses) and an apply (acts); dry runs,
//! JSON, reports and tests read the same plan.

pub mod adopt;
mod bounded;
pub mod change;
pub mod ci;
pub mod delegations;
pub mod difference;
pub mod doctor;
#[cfg(feature = "monitor")]
pub mod drop_box;
pub mod init;
pub mod install;
pub mod keys;
#[cfg(feature = "monitor")]
pub mod monitor;
pub(crate) mod own_file;
pub mod prune;
mod publisher;
pub mod queue;
pub mod refresh;
pub mod root;
pub mod status;
pub mod store_check;
pub mod verify;
pub mod workers;

pub(crate) use publisher::read_pinned_root;
pub use publisher::{Keyring, Learned, Publisher, Recall, StateDocument, StoreFacts, VersionMemory};

use crate::error::{Error, Message, Result};
use crate::metadata::{Role, format_expiry};
use crate::policy::clocks::Moment;
use crate::repository::{Change, Committed, Edit, Home, PlainNames, Present, Versions, version_after};
use serde::Serialize;

/// A role's step from one version to the next, as plans show it. A rival publisher may make the number larger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleStep {
    /// The role.
    pub role: Role,
    /// Version now.
    pub from: u64,
    /// Version after.
    pub to: u64,
    /// When the new version expires.
    pub expires: String,
}

/// The steps for signing these roles again; refuses, before anything is written, versions that no client would read. After
/// an accepted rollback a commit signs every online role, see [`Publisher::commit`].
fn steps(publisher: &Publisher, present: &Present, roles: &[Role]) -> Result<Vec<RoleStep>> {
    let (versions, above) = (present.versions(), publisher.floor());
    let signed = |role: &Role| roles.contains(role) || (Role::ONLINE.contains(role) && publisher.signs_above(present));
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let replaced = refresh::expiries(present)?;
    let timestamp = replaced.iter().find_map(|(role, expires)| (*role == Role::Timestamp).then_some(*expires));
    let moment = timestamp.map_or_else(
        || Moment::first(publisher.now(), publisher.lifetimes),
        |timestamp| Moment::after(publisher.now(), publisher.lifetimes, timestamp),
    );
    let step = |role: &Role| {
        let from = versions.of(*role);
        // The version of a root follows its predecessor's, and no other.
        let base = if *role == Role::Root { from } else { from.max(above.of(*role)) };
        let replaced = replaced.iter().find_map(|(known, expires)| (known == role).then_some(*expires));
        let expires = format_expiry(moment.expiry(*role, replaced));
        Ok(RoleStep { role: *role, from, to: version_after(role, base)?, expires })
    };
    Role::ALL.iter().filter(|role| signed(role)).map(step).collect()
}

/// The steps for a change of these targets. Bins have versions of their own, which are not shown.
fn target_steps<'n>(publisher: &Publisher, present: &Present, mut names: impl Iterator<Item = &'n str>) -> Result<Vec<RoleStep>> {
    let at_top = names.try_fold(false, |at_top, name| Ok::<_, Error>(at_top || present.home(name)? == Home::Top))?;
    let roles: &[Role] = if at_top { &Role::ONLINE } else { &[Role::Snapshot, Role::Timestamp] };
    steps(publisher, present, roles)
}

/// What applying a plan did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether anything was published by this run.
    pub changed: bool,
    /// The versions published now.
    pub versions: Versions,
    /// How often other publishers made it start over.
    pub rebases: u32,
    /// The targets that this run published, with what is needed to fetch and check each; empty if nothing changed.
    pub published: Vec<PublishedTarget>,
    /// What did not follow the commit, with what puts it right; the new state is visible all the same.
    pub warnings: Vec<Message>,
}

impl From<Committed> for Outcome {
    fn from(committed: Committed) -> Self {
        let Committed { versions, changed, rebases, warnings } = committed;
        Self { changed, versions, rebases, published: Vec::new(), warnings }
    }
}

/// A target as a script needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishedTarget {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its SHA-512, in hex, where the repository lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
    /// Where it is served, if the config has a `public_url` and the repository keeps plain names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Outcome {
    /// Nothing was published: these versions were there.
    pub(in crate::operation) fn unchanged(versions: Versions) -> Self {
        Self { changed: false, versions, rebases: 0, published: Vec::new(), warnings: Vec::new() }
    }

    /// With the targets that an edit writes, if it was published.
    fn publishing(mut self, publisher: &Publisher, edit: &Edit) -> Self {
        let base = publisher.label.url.as_ref().filter(|_| publisher.plain_names == PlainNames::All);
        let target = |change: &Change| {
            let target = change.wanted.as_ref().filter(|wanted| change.expected.as_ref() != Some(*wanted))?;
            Some(PublishedTarget {
                name: change.name.clone(),
                length: target.length,
                sha256: target.hashes.sha256.map(hex::encode),
                sha512: target.hashes.sha512.map(hex::encode),
                url: base.map(|base| format!("{}/targets/{}", base.trim_end_matches('/'), crate::storage::escape(&change.name))),
            })
        };
        if self.changed {
            self.published = edit.changes.iter().filter_map(target).collect();
        }
        self
    }
}
