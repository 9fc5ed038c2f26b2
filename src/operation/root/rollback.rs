//! The state of an earlier snapshot, taken up again after an attacker with stolen keys has published.

use crate::error::{Error, Kind, Result};
use crate::metadata::{Role, RootDraft};
use crate::operation::Publisher;
use crate::repository::{Change, Present, Versions, digest_object, load_before_root, load_restored};
use crate::storage::Storage;
use serde::Serialize;
use std::collections::BTreeMap;

/// Which state, and which versions follow it.
#[derive(Clone, Copy, Debug)]
pub struct BackTo {
    /// The version of the last snapshot that is known to be good.
    pub snapshot: u64,
    /// The highest version of any role that was published in good faith: versions go on above this one instead of above the
    /// attacker's.
    pub reset_versions: Option<u64>,
}

/// What the restoration means for clients.
#[derive(Clone, Debug, Serialize)]
pub struct Rollback {
    /// The snapshot whose state is taken up again.
    pub snapshot: u64,
    /// New versions are higher than these.
    pub above: Versions,
    /// Whether these are lower than what is published, which clients must forget.
    pub resets: bool,
    /// Targets that are published now and will not be any more.
    pub removed: Vec<String>,
    /// Targets that come back.
    pub restored: Vec<String>,
    /// Targets that become what they were.
    pub changed: Vec<String>,
    /// Those of these whose content was overwritten or deleted: they are left out, and can be published anew.
    pub lost: Vec<String>,
    /// Why it is not known what changes: the published state is one that no client accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

impl BackTo {
    /// Reads both states and compares them; refuses what clients would not accept.
    pub(super) fn plan(&self, publisher: &Publisher, draft: &RootDraft) -> Result<(Rollback, Present)> {
        let storage = publisher.storage.as_ref();
        let to = draft.next().version();
        let published = load_before_root(storage, &publisher.pinned()?, to, publisher.now())
            .and_then(|mut present| present.read_all_bins(storage).map(|()| present));
        let kept = draft.present().online_keys_kept_by(draft.next());
        let above = match (self.reset_versions, &published) {
            (Some(_), _) if !kept.is_empty() => {
                return Err(Error::new(
                    Kind::Conflict,
                    format!("only a root that replaces every key of targets, snapshot and timestamp can lower versions; root {to} does not replace all of them"),
                )
                .details(kept.iter().map(|(role, id)| format!("stays: {role} key {}", draft.describe(id))))
                .hint("publish root edit --add-key ROLE=NEW --remove-key ROLE=OLD for each of them, then collect the signatures again"));
            }
            (Some(above), _) => Versions::all(above),
            (None, Ok(present)) => present.versions(),
            (None, Err(failure)) => {
                return Err(Error::new(failure.kind, format!("the versions that clients have seen are not known: {}", failure.message))
                    .hint("add --reset-versions with the highest version of any role that you ever published"));
            }
        };
        let mut rollback = Rollback {
            snapshot: self.snapshot,
            above,
            resets: self.reset_versions.is_some(),
            removed: Vec::new(),
            restored: Vec::new(),
            changed: Vec::new(),
            lost: Vec::new(),
            unread: None,
        };
        let mut restored = rollback.load(publisher, to)?;
        restored.read_all_bins(storage)?;
        let good = restored.versions();
        if let Some(role) = Role::ONLINE.into_iter().find(|role| self.reset_versions.is_some() && good.of(*role) > above.of(*role)) {
            return Err(Error::invalid(format!(
                "versions cannot continue above {}: snapshot {} lists version {} of {role}",
                above.of(role),
                self.snapshot,
                good.of(role)
            ))
            .hint("--reset-versions takes the highest version of any role that you ever published"));
        }
        match &published {
            Ok(published) => {
                if !kept.is_empty() {
                    check_covers(published, &restored)?;
                }
                rollback.compare(published, &restored);
                rollback.lost = lost(storage, &restored, rollback.restored.iter().chain(&rollback.changed))?;
                // Bins are written whole, with all that they list.
                if restored.bins.is_some() && !rollback.lost.is_empty() {
                    return Err(Error::new(Kind::Untrusted, format!("some content of the targets of snapshot {} is missing", self.snapshot))
                        .details(rollback.lost.iter().map(|name| format!("gone: {name}")))
                        .hint("restore these files from a backup or a mirror, below targets/ and with their hash as the first part of the name; then run the same command again"));
                }
            }
            Err(failure) => rollback.unread = Some(failure.message.clone()),
        }
        Ok((rollback, restored))
    }
}

impl Rollback {
    /// Reads the state to go back to, trusted under the root before this one.
    pub(super) fn load(&self, publisher: &Publisher, root: u64) -> Result<Present> {
        let (storage, pinned) = (publisher.storage.as_ref(), publisher.pinned()?);
        load_restored(storage, &pinned, root, self.snapshot, self.above.timestamp, publisher.now()).map_err(|mut failure| {
            failure.message = format!("the state of snapshot {} cannot be restored: {}", self.snapshot, failure.message);
            failure
        })
    }

    /// Takes out what is lost.
    pub(super) fn removals(&self, restored: &Present) -> Result<Vec<Change>> {
        let removal = |name: &String| {
            Ok(Change { name: name.clone(), expected: restored.target(name)?, wanted: None, keep_existing: false, content: None })
        };
        self.lost.iter().map(removal).collect()
    }

    fn compare(&mut self, published: &Present, restored: &Present) {
        let before: BTreeMap<&str, &str> = published.entries().collect();
        let after: BTreeMap<&str, &str> = restored.entries().collect();
        for (name, entry) in &before {
            match after.get(name) {
                None => self.removed.push((*name).to_owned()),
                Some(other) if other != entry => self.changed.push((*name).to_owned()),
                Some(_) => {}
            }
        }
        self.restored = after.keys().filter(|name| !before.contains_key(*name)).map(|name| (*name).to_owned()).collect();
    }
}

/// The targets whose content is not what they state.
fn lost<'n>(storage: &dyn Storage, restored: &Present, names: impl Iterator<Item = &'n String>) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    for name in names {
        let Some(target) = restored.target(name)?.filter(|target| !target.elsewhere) else { continue };
        let there = digest_object(storage, &restored.place_of(storage, name, &target)?)?;
        if !there.is_some_and(|digests| target.matches(&digests)) {
            lost.push(name.clone());
        }
    }
    Ok(lost)
}

/// Readers keep a snapshot whose keys stay, and then none of its entries may disappear or fall.
fn check_covers(published: &Present, restored: &Present) -> Result<()> {
    let files = published.trust.listings().into_iter().flat_map(|(_, snapshot)| snapshot.files());
    for (file, listed) in files {
        let good = restored.trust.listed(file).map_or(0, |listed| listed.version);
        if good < listed.version {
            return Err(Error::new(
                Kind::Conflict,
                format!("clients have seen version {} of {file}, and the snapshot to restore lists version {good}", listed.version),
            )
            .hint(
                "an attacker who could publish that has the snapshot key too: replace every key of targets, snapshot and timestamp in this root",
            ));
        }
    }
    Ok(())
}
