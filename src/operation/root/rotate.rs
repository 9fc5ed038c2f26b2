//! `publish rotate`: another key for an online role, in two roots. The first adds the new key beside the old one, and the
//! role is signed by both; the second drops the old key once every publisher has the new one. Clients of any age follow at
//! every instant, because each of them always finds a signature by a key that it knows.

use super::commit::{CommitRequest, carry_out, prepare_review};
use super::draft_file::DraftFile;
use super::{Review, RootReport, RootRequest, TrustedRoots};
use crate::error::{Error, Kind, Result};
use crate::keys::RoleSigner;
use crate::metadata::{Envelope, PublicKey, ROOT_LIMIT, Role, Root, RootChange, RootDraft};
use crate::names::ObjectName;
use crate::operation::{Outcome, Publisher};
use crate::repository::{BinKeys, Edit, Present};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Where the draft of the root and the names of keys are.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The draft.
    pub draft: &'a Path,
    /// The names.
    pub names: &'a Path,
}

/// How a step ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Step {
    /// The root needs signatures of other people; the draft lies there.
    Waiting {
        /// The draft.
        root: Box<RootReport>,
    },
    /// The root is published.
    Done {
        /// Its version.
        root: u64,
        /// As for every command.
        outcome: Outcome,
    },
}

/// What the root and this machine know of a role's keys.
pub struct Standing {
    /// The configured keys, in the order of the config.
    pub configured: Vec<Arc<dyn RoleSigner>>,
    /// Whether the root has each of them.
    pub known: Vec<bool>,
    /// Whether the root has no longer each of them, and one before it had: a rotation has dropped it.
    pub dropped: Vec<bool>,
    /// The root's keys of the role that are not configured here.
    pub elsewhere: Vec<String>,
    /// The present root's version.
    pub root: u64,
}

/// Opens the configured keys of a role and compares them with the root.
pub fn standing(publisher: &Publisher, role: Role) -> Result<Standing> {
    let present = publisher.load()?;
    let root = present.trust.root();
    let uris = publisher.keyring.of(role);
    let configured = uris.iter().map(|uri| publisher.keyring.load(uri)).collect::<Result<Vec<_>>>()?;
    let of_root = |signer: &Arc<dyn RoleSigner>| root.keys_of(role).any(|(_, key)| key.same_material(signer.public()));
    let known: Vec<bool> = configured.iter().map(of_root).collect();
    let mut dropped = vec![false; known.len()];
    if known.contains(&false) {
        let former = former_keys(publisher, role, root.version())?;
        for (at, signer) in configured.iter().enumerate().filter(|(at, _)| !known[*at]) {
            dropped[at] = former.iter().any(|key| key.same_material(signer.public()));
        }
    }
    let here = |key: &PublicKey| configured.iter().any(|signer| signer.public().same_material(key));
    let elsewhere = root.keys_of(role).filter(|(_, key)| !here(key)).map(|(id, _)| id.to_owned()).collect();
    Ok(Standing { configured, known, dropped, elsewhere, root: root.version() })
}

impl Standing {
    /// Whether a rotation is over but for the config, which still names keys that the root has dropped.
    pub fn only_config_is_behind(&self) -> bool {
        self.known.contains(&true)
            && self.dropped.contains(&true)
            && self.known.iter().zip(&self.dropped).all(|(known, dropped)| known | dropped)
    }
}

/// The keys that a role had in earlier roots.
fn former_keys(publisher: &Publisher, role: Role, newest: u64) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    // Repositories that were adopted may lack their first roots.
    for version in (1..newest).rev() {
        let Some(file) = publisher.storage.get(&ObjectName::root(version), ROOT_LIMIT)? else { break };
        let root = Root::parse(&Envelope::parse(&file.bytes, "an earlier root")?, "an earlier root")?;
        keys.extend(root.keys_of(role).map(|(_, key)| key.clone()));
    }
    Ok(keys)
}

/// The draft that is under way, if there is one. Refuses one that changes anything else than keys of this role.
pub fn draft_of<'w>(publisher: &'w Publisher, places: Places<'_>, role: Role) -> Result<Option<Review<'w>>> {
    let Some(file) = DraftFile::read_if_there(places.draft)? else { return Ok(None) };
    let of_role = |change: &RootChange| match change {
        RootChange::Added(other, _) | RootChange::Removed(other, _) => *other == role,
        RootChange::Expires(..) => true,
        RootChange::Renamed(..) | RootChange::Threshold(..) | RootChange::ConsistentSnapshot(_) => false,
    };
    if !file.draft.present().changes_to(file.draft.next()).iter().all(of_role) {
        return Err(under_way(places));
    }
    Review::of(Some(publisher), &TrustedRoots::default(), file).map(Some)
}

fn under_way(places: Places<'_>) -> Error {
    Error::new(Kind::Conflict, format!("there is already a draft of the next root: {}", places.draft.display()))
        .hint("finish it (publish root show, sign, commit), or move its file away")
}

/// Finishes a draft that has all its signatures: a killed rotation's, or one that others have signed by now. Says whether
/// there was one.
pub fn resume(publisher: &Publisher, draft: Option<Review<'_>>) -> Result<bool> {
    let Some(review) = draft.filter(|review| review.report.waiting.is_empty()) else { return Ok(false) };
    carry_out(publisher, prepare_review(publisher, review, CommitRequest::default())?)?;
    Ok(true)
}

/// What is published, as an outcome of work that an earlier run began.
pub fn published(publisher: &Publisher) -> Result<Outcome> {
    Ok(Outcome { changed: true, ..Outcome::unchanged(publisher.load()?.versions()) })
}

/// Adds the configured keys that the root does not have yet.
pub fn add(publisher: &Publisher, places: Places<'_>, role: Role) -> Result<Step> {
    let standing = standing(publisher, role)?;
    let fresh = standing.configured.iter().zip(&standing.known).filter(|(_, known)| !**known).map(|(signer, _)| signer);
    let request = RootRequest { add: fresh.map(|signer| (role, signer.public().clone(), None)).collect(), ..RootRequest::default() };
    if request.add.is_empty() {
        return Err(Error::new(Kind::Conflict, format!("the root has all keys of {role} that are configured here")));
    }
    step(publisher, places, &request)
}

/// Drops one key.
pub fn drop_key(publisher: &Publisher, places: Places<'_>, role: Role, key: &PublicKey) -> Result<Step> {
    let present = publisher.load()?;
    let id = present.trust.root().keys_of(role).find(|(_, known)| known.same_material(key)).map(|(id, _)| id.to_owned());
    let id = id.ok_or_else(|| Error::new(Kind::NotFound, format!("key {} is not a key of {role}", key.id())))?;
    step(publisher, places, &RootRequest { remove: vec![(role, id)], ..RootRequest::default() })
}

/// A root with this request: published if the keys at hand suffice, else left as a draft.
fn step(publisher: &Publisher, places: Places<'_>, request: &RootRequest) -> Result<Step> {
    let file = match DraftFile::read_if_there(places.draft)? {
        None => {
            let (mut file, _) = super::edited(publisher, places.draft, places.names, request)?;
            file.write()?;
            file
        }
        // A killed run's, if it changes just this.
        Some(file) if requests_only(&file.draft, request) => file,
        Some(_) => return Err(under_way(places)),
    };
    let (signers, _) = publisher.keyring.load_all(publisher.keyring.of(Role::Root));
    let fits = |signer: &&Arc<dyn RoleSigner>| file.draft.root_keys().any(|(_, key)| key.same_material(signer.public()));
    let signers: Vec<Arc<dyn RoleSigner>> = signers.iter().filter(fits).cloned().collect();
    let mut review = Review::of(Some(publisher), &TrustedRoots::default(), file)?;
    review.check()?;
    if !signers.is_empty() {
        review.add_signatures(&signers)?;
    }
    let report = review.again()?;
    if !report.waiting.is_empty() {
        return Ok(Step::Waiting { root: Box::new(report) });
    }
    review.report = report;
    let to = review.report.to;
    let committed = carry_out(publisher, prepare_review(publisher, review, CommitRequest::default())?)?;
    Ok(Step::Done { root: to, outcome: committed.outcome })
}

/// Whether a draft without other signatures changes exactly this.
fn requests_only(draft: &RootDraft, request: &RootRequest) -> bool {
    let is = |id: &String, key: &PublicKey| draft.next().keys().get(id).is_some_and(|known| known.same_material(key));
    let added = |role: &Role, id: &String| request.add.iter().any(|(wanted, key, _)| wanted == role && is(id, key));
    let fits = |change: &RootChange| match change {
        RootChange::Added(role, id) => added(role, id),
        RootChange::Removed(role, id) => request.remove.contains(&(*role, id.clone())),
        RootChange::Expires(..) => true,
        RootChange::Renamed(..) | RootChange::Threshold(..) | RootChange::ConsistentSnapshot(_) => false,
    };
    let changes = draft.present().changes_to(draft.next());
    let keys = changes.iter().filter(|change| matches!(change, RootChange::Added(..) | RootChange::Removed(..))).count();
    changes.iter().all(fits)
        && keys == request.add.len() + request.remove.len()
        && draft.quorums().is_ok_and(|quorums| quorums.iter().all(|quorum| quorum.signed.is_empty()))
}

/// Where the targets key signs hashed bins too, the delegations to them name it: they follow the root, in one commit.
pub(super) fn bins_follow(publisher: &Publisher) -> Result<Option<Outcome>> {
    let present = publisher.load()?;
    let Some(rekey) = bins_behind(publisher, &present)? else { return Ok(None) };
    let signers = publisher.local_signers(present.trust.root(), &Role::ONLINE)?;
    let edit = Edit { rekey: Some(rekey), ..Edit::default() };
    Ok(Some(publisher.commit_locally(present, &edit, &signers)?.into()))
}

/// The root's targets keys, where the bins are signed by targets keys and those are others by now.
pub(in crate::operation) fn bins_behind(publisher: &Publisher, present: &Present) -> Result<Option<BinKeys>> {
    // Keys of their own do not change with the root.
    if publisher.keyring.bins.is_empty() { present.bins_behind() } else { Ok(None) }
}
