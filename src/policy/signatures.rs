//! Detached signatures: they mirror the artifacts. Whether a signature is good depends on the content and is checked where
//! that is read.

use super::{Change, State, Step};
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::{ReleaseVersion, SIGNATURES, SignatureName, TargetName};

/// Refuses a signature without an artifact, an artifact without the signature that it has or needs, and a signature that stays
/// beside other content.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    for (name, change) in &step.changes {
        match name {
            TargetName::Signature(signature) => check_signature(step, *signature, change)?,
            name if name.is_signed() => check_artifact(step, *name, change)?,
            _ => {}
        }
    }
    Ok(())
}

/// The artifact that a signature is for, in a state; `None` for a name that does not end in `.sig`.
pub fn artifact_of(signature: SignatureName<'_>, state: &dyn State) -> Option<String> {
    signature.signed(|artifact| state.target(artifact).is_ok_and(|target| target.is_some()))
}

/// Whether this is where the signature of this artifact belongs. Channels, certificates, records of yanks and signatures have
/// none: no command would replace it together with them. An artifact of a release has one place, not a second one below
/// `signatures/releases/`.
pub fn mirrors(signature: &str, artifact: TargetName<'_>) -> bool {
    artifact.is_signed() && artifact.signature() == signature
}

/// Whether a signature is of a target that has none of this name.
pub fn is_misplaced(signature: SignatureName<'_>, state: &dyn State) -> Result<bool> {
    match artifact_of(signature, state) {
        Some(artifact) => Ok(state.target(&artifact)?.is_some() && !mirrors(signature.as_str(), TargetName::of(&artifact))),
        None => Ok(false),
    }
}

/// Whether no artifact of a state needs this signature, so that it may be removed by itself.
pub fn is_stray(signature: SignatureName<'_>, state: &dyn State) -> Result<bool> {
    Ok(match artifact_of(signature, state) {
        Some(artifact) => !mirrors(signature.as_str(), TargetName::of(&artifact)) || state.target(&artifact)?.is_none(),
        None => true,
    })
}

/// The name and the target of an artifact's signature in a state. A target whose name begins with a version would share the
/// name with the signature of a release's artifact, which is not its own.
pub fn signature_of(artifact: TargetName<'_>, state: &dyn State) -> Result<Option<(String, Target)>> {
    let name = artifact.signature();
    let Some(target) = state.target(&name)? else { return Ok(None) };
    let own = artifact.is_signed() && signed_by(&name, state).is_none_or(|signed| signed == artifact.as_str());
    Ok(own.then_some((name, target)))
}

/// The target that the signature of this name signs.
fn signed_by(signature: &str, state: &dyn State) -> Option<String> {
    let TargetName::Signature(signature) = TargetName::of(signature) else { return None };
    artifact_of(signature, state)
}

fn check_signature(step: &Step<'_>, signature: SignatureName<'_>, change: &Change) -> Result<()> {
    let name = signature.as_str();
    let Some(artifact) = artifact_of(signature, step.after) else {
        return match change {
            Change::Removed(_) => Ok(()),
            _ => Err(Error::invalid(format!("{name} is below {SIGNATURES} and does not end in .sig"))),
        };
    };
    let there = step.after.target(&artifact)?.is_some();
    match change {
        Change::Removed(_) if is_stray(signature, step.after)? => Ok(()),
        Change::Removed(_) => Err(Error::new(Kind::Conflict, format!("{artifact} would lose its signature"))
            .hint("a signature is replaced with --resign, and removed only together with what it signs")),
        Change::Added(_) if there && !mirrors(name, TargetName::of(&artifact)) => {
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

fn check_artifact(step: &Step<'_>, name: TargetName<'_>, change: &Change) -> Result<()> {
    let signature = name.signature();
    let signed = signature_of(name, step.after)?.is_some();
    match change {
        Change::Added(_) if matches!(name, TargetName::Artifact(_)) && !signed => {
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
fn signs_another(step: &Step<'_>, signature: &str, name: TargetName<'_>) -> Result<bool> {
    match signed_by(signature, step.after) {
        Some(artifact) if artifact != name.as_str() => Ok(step.after.target(&artifact)?.is_some()),
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
        match TargetName::of(name) {
            artifact @ TargetName::Artifact(_) if state.target(&artifact.signature())?.is_none() => {
                found.push(Unpaired::Artifact(name.to_owned()));
            }
            TargetName::Signature(signature) => {
                let Some(artifact) = artifact_of(signature, state) else { continue };
                if state.target(&artifact)?.is_none() {
                    found.push(Unpaired::Signature(name.to_owned()));
                } else if !mirrors(name, TargetName::of(&artifact)) {
                    found.push(Unpaired::Misplaced(name.to_owned(), artifact));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}
