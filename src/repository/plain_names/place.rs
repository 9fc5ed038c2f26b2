//! One plain name: what it should be, whether it is, and how it gets there.

use super::Trouble;
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::{ObjectName, TargetName, directories_above};
use crate::policy::State;
use crate::policy::names::way_out;
use crate::repository::edit::View;
use crate::repository::names::clear_directory;
use crate::repository::present::Present;
use crate::repository::stage::digest_object;
use crate::storage::{Obstacle, Storage};

/// Content up to this length is read to compare it.
const SMALL: u64 = 64 << 10;
/// Content up to this length is read where the store cannot distinguish a copy from another object.
const COMPARABLE: u64 = 64 << 20;

/// Makes one plain name what the target states. Without consistent snapshots this happens before the commit, and the
/// hashed name goes afterwards: plain names are all that such a repository has.
pub(in crate::repository) fn apply(
    storage: &dyn Storage,
    name: &str,
    target: Option<&Target>,
    consistent: bool,
    content: Option<&[u8]>,
) -> Result<()> {
    let plain = ObjectName::plain_target(name);
    if let Some(target) = target.filter(|target| target.elsewhere)
        && holds(storage, &plain, target)?
    {
        return Ok(());
    }
    let Some(target) = target.filter(|target| !target.elsewhere) else {
        // A target of another name may be served under this one.
        return if plain.is_hashed_target() { Ok(()) } else { storage.delete(&plain) };
    };
    for hash in target.hashes.prefixes() {
        let hashed = ObjectName::hashed_target(name, &hash);
        match storage.copy(&hashed, &plain, content) {
            Ok(()) if consistent => return Ok(()),
            Ok(()) => return storage.delete(&hashed),
            Err(failure) if failure.kind == Kind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    if !consistent && storage.stat(&plain)?.is_some_and(|stored| stored.length == target.length) {
        return Ok(());
    }
    Err(missing(storage, name, target))
}

/// That no object has the content of a target.
pub(super) fn missing(storage: &dyn Storage, name: &str, target: &Target) -> Error {
    Error::new(Kind::Untrusted, format!("the content of target {name} is missing from {}", storage.location()))
        .detail(format!("{}", target.hashes))
        .hint("restore the file from a backup or a mirror; `publish verify` lists everything that is missing")
}

/// Whether a plain name is what the target states, as far as can be found out at bounded cost. Files of a release are compared by
/// length only: a version never gets other content.
pub(super) fn is_right(storage: &dyn Storage, name: &str, target: Option<&Target>) -> Result<bool> {
    let plain = ObjectName::plain_target(name);
    let Some(target) = target.filter(|target| !target.elsewhere) else {
        let is_theirs = || target.map_or(Ok(false), |target| holds(storage, &plain, target));
        return Ok(plain.is_hashed_target() || storage.stat(&plain)?.is_none() || is_theirs()?);
    };
    let sealed = matches!(TargetName::of(name), TargetName::Artifact(_));
    if target.length > SMALL || sealed {
        if storage.stat(&plain)?.is_none_or(|there| there.length != target.length) {
            return Ok(false);
        }
        for hash in target.hashes.prefixes() {
            if sealed || storage.is_copy(&ObjectName::hashed_target(name, &hash), &plain)? {
                return Ok(true);
            }
        }
        if target.length > COMPARABLE {
            return Ok(true);
        }
    }
    Ok(digest_object(storage, &plain)?.is_some_and(|digests| target.matches(&digests)))
}

/// Whether a plain name holds the content of its target, read in full where the store cannot certify that it is a copy.
pub(super) fn is_exact(storage: &dyn Storage, name: &str, target: &Target) -> Result<bool> {
    let plain = ObjectName::plain_target(name);
    for hash in target.hashes.prefixes() {
        if storage.is_copy(&ObjectName::hashed_target(name, &hash), &plain)? {
            return Ok(true);
        }
    }
    holds(storage, &plain, target)
}

/// Whether an object has the content of a target. For one whose content another server has: that one may read the same
/// directory, and has put it there.
pub(super) fn holds(storage: &dyn Storage, name: &ObjectName, target: &Target) -> Result<bool> {
    let there = storage.stat(name)?.is_some_and(|there| there.length == target.length);
    Ok(there && digest_object(storage, name)?.is_some_and(|digests| target.matches(&digests)))
}

/// Why a plain name could not be written, and what helps.
pub(super) fn trouble(storage: &dyn Storage, present: &Present, name: &str, failure: &Error) -> Trouble {
    let view = View::new(present);
    let below = view.first_below(&format!("{name}/"));
    let above = directories_above(name).find(|directory| present.target(directory).is_ok_and(|target| target.is_some()));
    let pair = below.as_deref().map(|below| (name, below)).or(above.map(|above| (above, name)));
    let obstacle = storage.obstacle(&ObjectName::plain_target(name)).ok().flatten();
    let (why, remedy) = match (pair, obstacle) {
        (Some((file, below)), _) => (format!("`{file}` is also a directory of the target `{below}`"), way_out(file, below)),
        (None, Some(Obstacle::Directory(within))) => (
            format!("its name is a directory that holds {within}"),
            if TargetName::of(name).is_reserved() || !within.is_hashed_target() {
                format!("{}, then: publish refresh", clear_directory(&within))
            } else {
                format!("{}; until then: publish remove-targets {name}", clear_directory(&within))
            },
        ),
        (None, Some(Obstacle::File(file))) => {
            let remedy =
                "`publish refresh --all` removes plain names that belong to no target; move any other file away, then: publish refresh";
            (format!("{file} is a file"), remedy.to_owned())
        }
        (None, None) => {
            let why = [failure.message.as_str()].into_iter().chain(failure.details.iter().map(String::as_str));
            let hint = failure.hints.first().cloned();
            (
                why.collect::<Vec<_>>().join("; "),
                hint.unwrap_or_else(|| "the next command that publishes tries again; so does `publish refresh`".into()),
            )
        }
    };
    Trouble { subject: name.to_owned(), why, remedy }
}
