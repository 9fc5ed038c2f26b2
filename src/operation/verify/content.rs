//! Reads every target once under each of its names, files in parallel.

use super::VerifyRequest;
use super::finding::Findings;
use super::plain::Promise;
use crate::digest::{Digester, Digests, Wanted};
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Target;
use crate::names::{ObjectName, TargetName};
use crate::repository::each as each_in_parallel;
use sequoia_openpgp::crypto::hash::Context;
use sequoia_openpgp::types::HashAlgorithm;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Longest target that is kept in memory: channels, signatures and certificates are looked into.
pub(super) const SMALL: u64 = 64 * 1024;
const BUFFER: usize = 256 * 1024;

/// What reading one target gave.
pub(super) struct Read {
    /// Its content, if it is what its entry states and was to be kept.
    pub(super) kept: Option<Vec<u8>>,
    /// The hash state after its content, if it is what its entry states and was requested.
    pub(super) state: Option<Context>,
    /// Bytes read.
    pub(super) bytes: u64,
    /// How its plain name compares with the hashed one.
    plain: Plain,
    fault: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plain {
    Same,
    Missing,
    Different,
}

/// What a pass is to give besides the check.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// The content itself.
    Content,
    /// The hash state for a signature with this digest.
    State(HashAlgorithm),
    /// Nothing more.
    Nothing,
}

/// Reads targets and reports those that are not what they should be; the rest are handed to `each`, on the reading
/// thread.
pub(super) fn read_all<T: Send>(
    request: &VerifyRequest<'_>,
    consistent: bool,
    promise: &Promise,
    targets: &[Named<'_>],
    want: impl Fn(&str) -> Want + Sync,
    each: impl Fn(&str, Read) -> T + Sync,
    findings: &mut Findings,
) -> Result<Vec<T>> {
    let found = Mutex::new(std::mem::take(findings));
    let check = |(name, target): &Named<'_>, (): &mut ()| {
        let read = read_one(request, consistent, name, target, want(name))?;
        read.report(name, promise, &mut found.lock().unwrap_or_else(PoisonError::into_inner));
        request.progress.file();
        Ok(each(name, read))
    };
    // Over the network, waiting is what takes the time.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(8);
    let results = each_in_parallel(targets, threads, || Ok(()), check)?;
    *findings = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results)
}

fn read_one(request: &VerifyRequest<'_>, consistent: bool, name: &str, target: &Target, want: Want) -> Result<Read> {
    let mut read = Read { kept: None, state: None, bytes: 0, plain: Plain::Same, fault: None };
    let plain = ObjectName::plain_target(name);
    let main = if consistent {
        target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash)).next().unwrap_or(plain.clone())
    } else {
        plain.clone()
    };
    match pass(request, &main, target, want, &mut read) {
        Ok(Some(())) => {}
        Ok(None) => read.fault = Some(Error::new(Kind::Untrusted, format!("{main} is missing"))),
        Err(failure) if failure.kind == Kind::Untrusted => read.fault = Some(failure),
        Err(failure) => return Err(failure),
    }
    if consistent {
        let mut beside = Read { kept: None, state: None, bytes: 0, plain: Plain::Same, fault: None };
        read.plain = match pass(request, &plain, target, Want::Nothing, &mut beside) {
            Ok(Some(())) => Plain::Same,
            Ok(None) => Plain::Missing,
            Err(failure) if failure.kind == Kind::Untrusted => Plain::Different,
            Err(failure) => return Err(failure),
        };
    }
    Ok(read)
}

/// Reads an object against a target's entry. `None`: there is no such object.
fn pass(request: &VerifyRequest<'_>, object: &ObjectName, target: &Target, want: Want, read: &mut Read) -> Result<Option<()>> {
    let Some(mut reader) = request.source.open(object)? else { return Ok(None) };
    let openpgp = if let Want::State(algorithm) = want { Some(algorithm) } else { None };
    let mut digester = Digester::new(Wanted { sha512: target.hashes.sha512.is_some(), openpgp })?;
    let mut kept = Vec::new();
    let mut buffer = vec![0_u8; BUFFER.min(usize::try_from(target.length).unwrap_or(BUFFER) + 1)];
    let mut length = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(|error| Error::io("read", object, error))?;
        if count == 0 {
            break;
        }
        length += count as u64;
        read.bytes += count as u64;
        request.progress.bytes(count as u64);
        if length > target.length {
            return Err(Error::new(Kind::Untrusted, format!("{object} is longer than the {} bytes its entry states", target.length)));
        }
        digester.update(&buffer[..count]);
        if matches!(want, Want::Content) {
            kept.extend_from_slice(&buffer[..count]);
        }
    }
    let (digests, state) = digester.finish()?;
    if !target.matches(&digests) {
        return Err(different(object, target, &digests));
    }
    read.state = state;
    read.kept = matches!(want, Want::Content).then_some(kept);
    Ok(Some(()))
}

fn different(object: &ObjectName, target: &Target, digests: &Digests) -> Error {
    Error::new(Kind::Untrusted, format!("{object} differs from its entry"))
        .detail(format!("stated: {} ({} bytes)", target.hashes, target.length))
        .detail(format!("found: sha256 {} ({} bytes)", digests.hex(), digests.length))
}

impl Read {
    fn report(&self, name: &str, promise: &Promise, findings: &mut Findings) {
        if let Some(fault) = &self.fault {
            findings.error(
                Id::TargetContentWrong,
                name,
                fault,
                "clients refuse the file: restore it from a backup or a mirror, or from the build",
            );
        }
        match self.plain {
            Plain::Same => {}
            Plain::Different => promise.different(name, findings),
            Plain::Missing => promise.missing(name, findings),
        }
    }
}

/// A target with its name.
pub(super) type Named<'t> = (&'t String, &'t Target);

/// Groups targets into those that are looked into (channels, signatures, certificates) and the others.
pub(super) fn split(targets: &BTreeMap<String, Target>) -> (Vec<Named<'_>>, Vec<Named<'_>>) {
    let is_read = |name: &str| !matches!(TargetName::of(name), TargetName::Artifact(_) | TargetName::Package(_));
    targets.iter().partition(|(name, target)| is_read(name) && target.length <= SMALL)
}
