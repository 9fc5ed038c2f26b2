//! Detached signatures: they mirror the artifacts. Whether a signature is good depends on the content and is checked where
//! that is read.

use super::{Change, State, Step};
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::{ReleaseVersion, detached_name, is_reserved, signed_name};

const SIGNATURES: &str = "signatures/";

/// Refuses a signature without an artifact, an artifact without the signature that it has or needs, and a signature that stays
/// beside other content.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    for name in &step.names {
        let Some(change) = step.change(name)? else { continue };
        match name.strip_prefix(SIGNATURES) {
            Some(_) => check_signature(step, name, &change)?,
            None if !is_reserved(name) || name.starts_with("releases/") => check_artifact(step, name, &change)?,
            None => {}
        }
    }
    Ok(())
}

/// Where the signature of an artifact is.
pub fn name_of(artifact: &str) -> String {
    detached_name(artifact.strip_prefix("releases/").unwrap_or(artifact))
}

/// The artifact that a signature is for, in a state; `None` for a name that does not end in `.sig`.
pub fn artifact_of(signature: &str, state: &dyn State) -> Option<String> {
    signed_name(signature, |artifact| state.target(artifact).is_ok_and(|target| target.is_some()))
}

/// Whether this is where the signature of this artifact belongs. Channels, certificates, records of yanks and signatures have
/// none: no command would replace it together with them. An artifact of a release has one place, not a second one below
/// `signatures/releases/`.
pub fn mirrors(signature: &str, artifact: &str) -> bool {
    (artifact.starts_with("releases/") || !is_reserved(artifact)) && name_of(artifact) == signature
}

/// Whether a signature is of a target that has none of this name.
pub fn is_misplaced(signature: &str, state: &dyn State) -> Result<bool> {
    match artifact_of(signature, state) {
        Some(artifact) => Ok(state.target(&artifact)?.is_some() && !mirrors(signature, &artifact)),
        None => Ok(false),
    }
}

/// Whether no artifact of a state needs this signature, so that it may be removed by itself.
pub fn is_stray(signature: &str, state: &dyn State) -> Result<bool> {
    Ok(match artifact_of(signature, state) {
        _ if !signature.starts_with(SIGNATURES) => false,
        Some(artifact) => !mirrors(signature, &artifact) || state.target(&artifact)?.is_none(),
        None => true,
    })
}

/// The name and the target of an artifact's signature in a state. A target whose name begins with a version would share the
/// name with the signature of a release's artifact, which is not its own.
pub fn signature_of(artifact: &str, state: &dyn State) -> Result<Option<(String, Target)>> {
    let name = name_of(artifact);
    let Some(target) = state.target(&name)? else { return Ok(None) };
    let own = mirrors(&name, artifact) && artifact_of(&name, state).is_none_or(|signed| signed == artifact);
    Ok(own.then_some((name, target)))
}

fn check_signature(step: &Step<'_>, name: &str, change: &Change) -> Result<()> {
    let Some(artifact) = artifact_of(name, step.after) else {
        return match change {
            Change::Removed(_) => Ok(()),
            _ => Err(Error::invalid(format!("{name} is below {SIGNATURES} and does not end in .sig"))),
        };
    };
    let there = step.after.target(&artifact)?.is_some();
    match change {
        Change::Removed(_) if is_stray(name, step.after)? => Ok(()),
        Change::Removed(_) => Err(Error::new(Kind::Conflict, format!("{artifact} would lose its signature"))
            .hint("a signature is replaced with --resign, and removed only together with what it signs")),
        Change::Added(_) if there && !mirrors(name, &artifact) => {
            Err(Error::invalid(format!("{name} would sign {artifact}, which has no detached signature of this name")))
        }
        Change::Added(_) if there && shares_a_release(&artifact) => {
            Err(Error::invalid(format!("{artifact} begins with a version, so its signature would have the name of a release's signature")))
        }
        _ if there => Ok(()),
        _ => Err(Error::new(Kind::Conflict, format!("{name} signs {artifact}, which is not a target"))),
    }
}

/// Whether the signature of a target that is no release has the name of a release's signature.
fn shares_a_release(artifact: &str) -> bool {
    artifact.split('/').next().is_some_and(|first| ReleaseVersion::parse(first).is_ok())
}

fn check_artifact(step: &Step<'_>, name: &str, change: &Change) -> Result<()> {
    let signature = name_of(name);
    let signed = signature_of(name, step.after)?.is_some();
    match change {
        Change::Added(_) if name.starts_with("releases/") && !signed => {
            Err(Error::new(Kind::Conflict, format!("{name} has no signature: {signature} is not published with it")))
        }
        Change::Removed(_) if step.after.target(&signature)?.is_some() && !signs_another(step, &signature, name)? => {
            Err(Error::new(Kind::Conflict, format!("{name} would be removed, and its signature {signature} would stay")))
        }
        Change::Replaced(..) if signed && step.change(&signature)?.is_none() => {
            Err(Error::new(Kind::Conflict, format!("{name} would be replaced, and its signature {signature} would stay"))
                .hint("sign it again: publish add-targets --sign"))
        }
        _ => Ok(()),
    }
}

/// A target whose name begins with a version shares the name of its signature with a release's artifact.
fn signs_another(step: &Step<'_>, signature: &str, name: &str) -> Result<bool> {
    match artifact_of(signature, step.after) {
        Some(artifact) if artifact != name => Ok(step.after.target(&artifact)?.is_some()),
        _ => Ok(false),
    }
}

/// What is not in pairs in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpaired {
    /// A release's artifact without a signature.
    Artifact(String),
    /// A signature without an artifact.
    Signature(String),
    /// A signature of a target that has none of this name.
    Misplaced(String, String),
}

/// The artifacts of releases without signatures, and the signatures without artifacts, among these names of a state.
pub fn unpaired<'n>(names: impl Iterator<Item = &'n str>, state: &dyn State) -> Result<Vec<Unpaired>> {
    let mut found = Vec::new();
    for name in names {
        if name.starts_with("releases/") {
            if state.target(&name_of(name))?.is_none() {
                found.push(Unpaired::Artifact(name.to_owned()));
            }
        } else if name.starts_with(SIGNATURES)
            && let Some(artifact) = artifact_of(name, state)
        {
            if state.target(&artifact)?.is_none() {
                found.push(Unpaired::Signature(name.to_owned()));
            } else if !mirrors(name, &artifact) {
                found.push(Unpaired::Misplaced(name.to_owned(), artifact));
            }
        }
    }
    Ok(found)
}
