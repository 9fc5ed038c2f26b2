//! Staging: each artifact is read once. The pass feeds its SHA-256 and the OpenPGP signature from one hash state while
//! the bytes are copied to the store; memory is bounded, whatever the sizes. Only stores that need an object's name before
//! its first byte read large files a second time.

use super::parallel::each;
use super::{LEAST_GRACE, Progress, Quiet};
use crate::digest::{Digester, Digests, Wanted};
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::{ObjectName, TargetPath};
use crate::openpgp::{SigningKey, sign};
use crate::storage::{Source, Storage};
use crate::tree::TreeFile;
use chrono::{DateTime, Utc};
use sequoia_openpgp::crypto::hash::Context;
use sequoia_openpgp::types::HashAlgorithm;
use std::borrow::Borrow;
use std::io::Read;
use std::time::Duration;

/// Big enough that system calls do not count, small enough to stay in the processor's cache.
const BUFFER: usize = 256 * 1024;

/// A staged object this young is taken as it is; an older one is sent again, which renews its date.
const RESUMABLE: Duration = Duration::from_secs(LEAST_GRACE.as_secs() / 2);

/// A file of a build with the names it is published under.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The file as the plan saw it.
    pub file: TreeFile,
    /// Its target name.
    pub target: TargetPath,
    /// The target name of its signature, if it gets one.
    pub signature: Option<TargetPath>,
}

/// What staging an artifact gave.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The artifact's entry.
    pub target: Target,
    /// The signature's entry and the signature itself, if one was requested.
    pub signature: Option<(Target, Vec<u8>)>,
}

/// Copies artifacts, and new signatures of those that get one, to the store under hashed names, files in parallel. The
/// answers are in the order of `artifacts`.
pub fn stage<A: Borrow<Artifact> + Sync>(
    storage: &dyn Storage,
    artifacts: &[A],
    key: Option<&SigningKey>,
    sha512: bool,
    now: DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<Vec<Staged>> {
    progress.expect(artifacts.len() as u64, artifacts.iter().map(|artifact| artifact.borrow().file.length()).sum());
    let wanted = Wanted { sha512, openpgp: key.map(SigningKey::hash) };
    each(
        artifacts,
        storage.properties().parallelism,
        || key.map(SigningKey::signer).transpose(),
        |artifact, signer| {
            let artifact = artifact.borrow();
            let (digests, state) = send(storage, artifact, wanted, progress).map_err(|failure| at_fault(artifact, failure))?;
            let mut signature = None;
            if let Some(name) = &artifact.signature {
                let (Some(state), Some(signer)) = (state, signer) else {
                    return Err(Error::new(Kind::Unexpected, format!("no key to sign {} with", artifact.target)));
                };
                let file = sign(signer.as_mut(), state, now)?;
                signature = Some((stage_bytes(storage, name.as_str(), &file, sha512)?, file));
            }
            progress.file();
            Ok(Staged { target: Target::of(&digests), signature })
        },
    )
}

/// A store can refuse one artifact, for its name or its size, and take the others. A store that refuses every write is at fault
/// itself.
fn at_fault(artifact: &Artifact, failure: Error) -> Error {
    let may_be = matches!(failure.kind, Kind::Invalid | Kind::Storage) && failure.input.is_none();
    if may_be { failure.of_input(artifact.file.path()) } else { failure }
}

/// Puts an artifact to the store under its hashed name. Where that name is needed before the first byte, the file is
/// read twice: to hash it, and, unless it is there already, to send it.
fn send(storage: &dyn Storage, artifact: &Artifact, wanted: Wanted, progress: &dyn Progress) -> Result<(Digests, Option<Context>)> {
    let file = &artifact.file;
    if file.length() <= storage.properties().longest_unnamed {
        let mut upload = storage.begin(None)?;
        let (digests, state) = read(file, wanted, progress, |bytes| upload.write(bytes))?;
        upload.finish(&ObjectName::hashed_target(artifact.target.as_str(), &digests.hex()))?;
        return Ok((digests, state));
    }
    let (digests, state) = read(file, wanted, &Quiet, |_| Ok(()))?;
    let name = ObjectName::hashed_target(artifact.target.as_str(), &digests.hex());
    if is_staged(storage, &name, digests.length)? {
        progress.bytes(digests.length);
        return Ok((digests, state));
    }
    let mut upload = storage.begin(Some((&name, digests.length)))?;
    let again = Wanted { sha512: false, openpgp: None };
    let (sent, _) = read(file, again, progress, |bytes| upload.write(bytes))?;
    if sent.sha256 != digests.sha256 {
        return Err(file.changed());
    }
    upload.finish(&name)?;
    Ok((digests, state))
}

/// Whether a run before this one has staged the object, and so lately that no prune can be about to remove it.
fn is_staged(storage: &dyn Storage, name: &ObjectName, length: u64) -> Result<bool> {
    let there = storage.stat(name)?.filter(|there| there.length == length);
    // By the store's clock, which dated it; where that is unknown it is sent again.
    let now = storage.clock()?;
    Ok(there.zip(now).is_some_and(|(there, now)| now.duration_since(there.modified).unwrap_or_default() < RESUMABLE))
}

/// Puts small content to the store under its hashed name.
pub fn stage_bytes(storage: &dyn Storage, name: &str, bytes: &[u8], sha512: bool) -> Result<Target> {
    let digests = if sha512 { Digests::both_of(bytes) } else { Digests::of(bytes) };
    let mut upload = storage.begin(None)?;
    upload.write(bytes)?;
    upload.finish(&ObjectName::hashed_target(name, &digests.hex()))?;
    Ok(Target::of(&digests))
}

/// The digests of a file of a build, read once.
pub fn digest_file(file: &TreeFile, progress: &dyn Progress) -> Result<Digests> {
    // Both digests: an adopted repository may state SHA-512 alone.
    read(file, Wanted { sha512: true, openpgp: None }, progress, |_| Ok(())).map(|(digests, _)| digests)
}

/// One pass over a file; refuses one that has changed since the plan saw it, or changes while it is read.
fn read(
    file: &TreeFile,
    wanted: Wanted,
    progress: &dyn Progress,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<(Digests, Option<Context>)> {
    let mut open = file.open()?;
    let mut digester = Digester::new(wanted)?;
    let mut buffer = vec![0_u8; BUFFER.min(usize::try_from(file.length()).unwrap_or(BUFFER) + 1)];
    let mut count = 0_u64;
    loop {
        let read = open.read(&mut buffer).map_err(|error| file.failed(error))?;
        count += read as u64;
        // A file that grows faster than it is read would never end.
        if count > file.length() {
            return Err(file.changed());
        }
        if read == 0 {
            break;
        }
        digester.update(&buffer[..read]);
        each(&buffer[..read])?;
        progress.bytes(read as u64);
    }
    file.check_unchanged(&open)?;
    if count != file.length() {
        return Err(file.changed());
    }
    digester.finish()
}

/// The digests of a stored object, `None` if there is none.
pub fn digest_object(source: &dyn Source, name: &ObjectName) -> Result<Option<Digests>> {
    Ok(pass(source, name, Wanted { sha512: true, openpgp: None }, u64::MAX)?.map(|(digests, _)| digests))
}

/// Whether a stored object is this target's content. No more is read than the target is long.
pub fn holds_target(source: &dyn Source, name: &ObjectName, target: &Target) -> Result<bool> {
    let wanted = Wanted { sha512: target.hashes.sha512.is_some(), openpgp: None };
    Ok(pass(source, name, wanted, target.length)?.is_some_and(|(digests, _)| target.matches(&digests)))
}

/// The hash state after a target's content that a signature with this digest is verified with; `None` if the object is not
/// that content. Both are found in one pass: an object that changes between two would be signed for unread.
pub fn digest_for_signature(source: &dyn Source, name: &ObjectName, target: &Target, algorithm: HashAlgorithm) -> Result<Option<Context>> {
    let wanted = Wanted { sha512: target.hashes.sha512.is_some(), openpgp: Some(algorithm) };
    let read = pass(source, name, wanted, target.length)?.filter(|(digests, _)| target.matches(digests));
    Ok(read.and_then(|(_, state)| state))
}

/// Reads an object; one that is longer than `longest` only so far that this shows.
fn pass(source: &dyn Source, name: &ObjectName, wanted: Wanted, longest: u64) -> Result<Option<(Digests, Option<Context>)>> {
    let Some(mut reader) = source.open(name)? else { return Ok(None) };
    let mut digester = Digester::new(wanted)?;
    let mut buffer = vec![0_u8; BUFFER];
    let mut length = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(|error| Error::io("read", name, error))?;
        length += count as u64;
        digester.update(&buffer[..count]);
        if count == 0 || length > longest {
            return digester.finish().map(Some);
        }
    }
}
