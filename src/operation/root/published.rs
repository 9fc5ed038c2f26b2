//! What is published, and whether a draft starts from it.

use crate::error::{Error, Kind, Result};
use crate::metadata::trust::{AtExpiry, TrustedMetadata, is_signed_for};
use crate::metadata::{ROOT_LIMIT, RepositoryLabel, Role, Root, RootDraft};
use crate::names::ObjectName;
use crate::operation::Publisher;
use crate::repository::{Present, load_before_root};

/// Which repository this is.
pub(super) fn label(publisher: &Publisher) -> Result<RepositoryLabel> {
    let pinned = publisher.pinned()?;
    let first = match TrustedMetadata::pin(&pinned, AtExpiry::Report(publisher.now()))?.root().version() {
        1 => Some(pinned),
        _ => None,
    };
    let first_root_sha512 = first.map(|file| hex::encode(openssl::sha::sha512(&file)));
    let plain = |text: &Option<String>| text.clone().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
    Ok(RepositoryLabel { first_root_sha512, name: plain(&publisher.label.name), url: plain(&publisher.label.url) })
}

/// The online roles that are not signed for the next root.
pub(in crate::operation) fn affected(publisher: &Publisher, present: &Present, next: &Root) -> Result<Vec<Role>> {
    let snapshot = present.snapshot_file(publisher.storage.as_ref())?;
    let files = [(Role::Targets, present.targets.file()), (Role::Snapshot, &snapshot), (Role::Timestamp, &present.timestamp_file)];
    Ok(files.into_iter().filter(|(role, file)| !is_signed_for(next, *role, file)).map(|(role, _)| role).collect())
}

/// The published state: below the present root, whether or not a killed commit has put the next one there.
pub(in crate::operation) fn present_for(publisher: &Publisher, draft: &RootDraft) -> crate::error::Result<Present> {
    let Some(base) = draft.base() else { return publisher.load().map_err(|failure| half_done(publisher, draft, failure)) };
    match load_before_root(publisher.storage.as_ref(), &publisher.pinned()?, draft.next().version(), publisher.now()) {
        Ok(present) if present.digest() == base => Ok(present),
        // It was done, or another process has gone on: then the new root's keys have signed what is there, or it is nothing to
        // build on.
        _ => publisher.load().map_err(|failure| half_done(publisher, draft, failure)),
    }
}

/// The roles may wait for a second run to be signed for a root that is there.
fn half_done(publisher: &Publisher, draft: &RootDraft, failure: Error) -> Error {
    let name = ObjectName::root(draft.next().version());
    match publisher.storage.get(&name, ROOT_LIMIT) {
        Ok(Some(_)) => failure
            .hint(format!("{name} is published, but the roles are not signed for it yet: run the same `publish root commit` again, with all its options"))
            .hint("if an attacker has published with the replaced keys: publish root commit --replace-now --back-to SNAPSHOT, where SNAPSHOT is the last version that you published"),
        _ => failure,
    }
}

/// The newest root's file.
pub(super) fn newest_root(publisher: &Publisher) -> Result<Vec<u8>> {
    let trust = crate::repository::load_roots(publisher.storage.as_ref(), &publisher.pinned()?, AtExpiry::Report(publisher.now()))?;
    root_file(publisher, trust.root().version())
}

pub(in crate::operation) fn root_file(publisher: &Publisher, version: u64) -> Result<Vec<u8>> {
    let name = ObjectName::root(version);
    let pinned = publisher.pinned()?;
    let there = publisher.storage.get(&name, ROOT_LIMIT)?;
    let missing = || Error::new(Kind::Untrusted, format!("{name} is missing from {}", publisher.storage.location()));
    match there {
        Some(object) => Ok(object.bytes),
        // A repository may have been given to us with later roots only: the pinned one is one of them.
        None if TrustedMetadata::pin(&pinned, AtExpiry::Report(publisher.now()))?.root().version() == version => Ok(pinned),
        None => Err(missing()),
    }
}

/// Why a draft does not start from what is published, if it does not.
pub(super) fn staleness(publisher: &Publisher, draft: &RootDraft) -> Result<Option<String>> {
    let newest = newest_root(publisher)?;
    let newest_version = TrustedMetadata::pin(&newest, AtExpiry::Report(publisher.now()))?.root().version();
    let (from, to) = (draft.present().version(), draft.next().version());
    if newest == draft.present_file() || (newest_version == to && newest == draft.root_file()?) {
        return Ok(None);
    }
    let same_chain = newest_version > from && root_file(publisher, from).is_ok_and(|file| file == draft.present_file());
    Ok(Some(if same_chain {
        format!("the draft is stale: it follows root {from}, and root {newest_version} is published")
    } else {
        format!("the draft belongs to another repository: its root {from} is not the one that is published")
    }))
}
