//! How the present root of a draft is verified, and against which root its changes are shown.
//!
//! A draft brings its own present root, and any root that signed itself would do. With the repository at hand the present
//! root must be the one that is published. Without it, it must follow a root that the signer trusts: one given with `--root`,
//! or the one that they signed last. Where there is neither, it cannot be verified, and all of the next root is shown.

use super::signed_roots::{SignedRoot, SignedRoots, digest_of};
use crate::error::{Error, Kind, Result};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{Envelope, Expiry, Root, RootDraft};
use std::path::PathBuf;

/// The roots that a signer trusts.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    /// Files given with `--root`, with their names. The oldest is trusted; each of the others must follow.
    pub given: Vec<(String, Vec<u8>)>,
    /// What was signed on this machine.
    pub signed: Option<SignedRoots>,
}

/// How a present root was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VouchedBy {
    /// It is published, and follows from the pinned root.
    Repository,
    /// It follows from a root given with `--root`.
    GivenRoot,
    /// It follows from what was signed on this machine.
    SignedBefore,
    /// Nothing does.
    Nothing,
}

/// What the changes of a draft are shown against.
#[derive(Debug)]
pub(super) struct Basis {
    pub(super) by: VouchedBy,
    /// The root to compare with; without one, everything is new.
    pub(super) root: Option<Root>,
    /// How it is described.
    pub(super) line: String,
    /// The file in which the last signature for this repository is kept.
    pub(super) continues: Option<PathBuf>,
}

/// Where a walk from a trusted root to the present one ends.
enum Walk {
    Arrives,
    /// These versions are not at hand.
    Lacks(u64, u64),
    /// It leads elsewhere.
    Contradicts(String),
}

impl Basis {
    /// The published root; `agrees` is false for a draft that does not start from it.
    pub(super) fn of_repository(draft: &RootDraft, agrees: bool) -> Self {
        if !agrees {
            return Self { line: "it is not the published one".into(), ..Self::nothing() };
        }
        Self { by: VouchedBy::Repository, root: Some(draft.present().clone()), line: "as published".into(), continues: None }
    }

    fn nothing() -> Self {
        let line = "it cannot be verified: the whole next root is shown".into();
        Self { by: VouchedBy::Nothing, root: None, line, continues: None }
    }

    /// Without the repository.
    pub(super) fn without_repository(draft: &RootDraft, trusted: &TrustedRoots, now: Expiry) -> Result<Self> {
        let related = trusted.signed.as_ref().map_or(Ok(Vec::new()), |signed| signed.related_to(draft))?;
        let given = sorted(&trusted.given)?;
        let mut contradiction = None;
        let mut lacking = None;
        let mut remembered = None;
        for signed in &related {
            match walk_from(signed, draft, &given, now)? {
                (Walk::Arrives, basis) => remembered = remembered.or(Some(basis)),
                (Walk::Lacks(from, to), _) => lacking = lacking.or(Some((signed, from, to))),
                (Walk::Contradicts(why), _) => contradiction = contradiction.or(Some((signed, why))),
            }
        }
        if let (None, Some((signed, why))) = (&remembered, contradiction) {
            return Err(Error::new(Kind::Untrusted, format!("do not sign this: {why}"))
                .detail(format!("you signed root {} on {}: {}", signed.version, signed.signed, signed.file.display()))
                .hint("the draft may be forged; ask the other key holders through another channel")
                .hint("if this is another repository with the same keys, move that file away and give its root with --root"));
        }
        if let Some((name, file)) = given.first() {
            let basis = match walk(TrustedMetadata::pin(file, AtExpiry::Report(now))?, draft, &given)? {
                (Walk::Arrives, root) => Self {
                    by: VouchedBy::GivenRoot,
                    line: format!("it follows root {} in {name}", root.version()),
                    root: Some(root),
                    continues: remembered.and_then(|basis| basis.continues),
                },
                (Walk::Lacks(from, to), _) => return Err(lacks(from, to)),
                (Walk::Contradicts(why), _) => {
                    return Err(Error::new(Kind::Untrusted, format!("do not sign this: {why}"))
                        .hint("the draft may be forged, or --root names a root of another repository"));
                }
            };
            return Ok(basis);
        }
        match (remembered, lacking) {
            (Some(basis), _) => Ok(basis),
            (None, Some((signed, from, to))) => {
                Err(lacks(from, to).detail(format!("you signed root {} on {}: {}", signed.version, signed.signed, signed.file.display())))
            }
            (None, None) => Ok(Self::nothing()),
        }
    }
}

/// With the repository and `--root`, both must agree; roots in between come from the repository.
pub(super) fn check_given(
    draft: &RootDraft,
    trusted: &TrustedRoots,
    now: Expiry,
    published: impl Fn(u64) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut given = sorted(&trusted.given)?;
    let Some((name, file)) = given.first() else { return Ok(()) };
    let trust = TrustedMetadata::pin(file, AtExpiry::Report(now))?;
    for version in version_of(file, name)? + 1..draft.present().version() {
        given.push((format!("{version}.root.json"), published(version)?));
    }
    match walk(trust, draft, &sorted(&given)?)? {
        (Walk::Arrives, _) => Ok(()),
        (Walk::Lacks(from, to), _) => Err(lacks(from, to)),
        (Walk::Contradicts(why), _) => Err(Error::new(Kind::Untrusted, format!("do not sign this: {why}"))),
    }
}

fn lacks(from: u64, to: u64) -> Error {
    let roots = if from == to { format!("root {from} is") } else { format!("roots {from} to {to} are") };
    Error::new(
        Kind::Untrusted,
        format!("the draft's present root cannot be checked: {roots} missing between it and the root that you trust"),
    )
    .hint(format!("get {from}.root.json and those after it from the repository, and give each with --root"))
}

/// The given roots, oldest first.
fn sorted(given: &[(String, Vec<u8>)]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for (name, file) in given {
        all.push((version_of(file, name)?, name.clone(), file.clone()));
    }
    all.sort_by_key(|(version, ..)| *version);
    Ok(all.into_iter().map(|(_, name, file)| (name, file)).collect())
}

fn version_of(file: &[u8], name: &str) -> Result<u64> {
    Ok(Root::parse(&Envelope::parse(file, name)?, name)?.version())
}

/// From what was signed before.
fn walk_from(signed: &SignedRoot, draft: &RootDraft, given: &[(String, Vec<u8>)], now: Expiry) -> Result<(Walk, Basis)> {
    let present = digest_of(draft.present_file())?;
    let (version, was_signed) = (draft.present().version(), present == signed.sha256);
    let basis = |root: Option<Root>, line: String| Basis {
        by: if root.is_some() { VouchedBy::SignedBefore } else { VouchedBy::Nothing },
        root,
        line,
        continues: Some(signed.file.clone()),
    };
    let seen = || basis(Some(draft.present().clone()), format!("you signed it on {}", signed.signed));
    let Some(trust) = signed.trust(now)? else {
        // The earlier state could not be verified; what was signed then was shown in full.
        return Ok(if was_signed {
            (Walk::Arrives, seen())
        } else if present == signed.present_sha256 {
            (Walk::Arrives, basis(None, Basis::nothing().line))
        } else if version > signed.version && given.is_empty() {
            (Walk::Lacks(signed.version, version - 1), Basis::nothing())
        } else if given.is_empty() {
            (Walk::Contradicts(format!("its root {version} is not the one that you signed or saw")), Basis::nothing())
        } else {
            (Walk::Lacks(signed.version, version), Basis::nothing())
        });
    };
    let (end, root) = walk(trust, draft, given)?;
    let basis = if was_signed {
        seen()
    } else {
        let line = format!("it follows root {}, which you trusted on {}", root.version(), signed.signed);
        basis(Some(root), line)
    };
    Ok((end, basis))
}

/// From a trusted root over the given ones to the draft's present root.
fn walk(mut trust: TrustedMetadata, draft: &RootDraft, given: &[(String, Vec<u8>)]) -> Result<(Walk, Root)> {
    let start = trust.root().clone();
    let mut file_of_trust: Option<&[u8]> = None;
    let present = ("the draft's present root".to_owned(), draft.present_file().to_vec());
    let mut end = Walk::Arrives;
    for (name, file) in given.iter().chain([&present]) {
        let (version, at) = (version_of(file, name)?, trust.root().version());
        if version == at {
            let known = match file_of_trust {
                Some(known) => digest_of(known)?,
                None => hex::encode(openssl::sha::sha256(&crate::metadata::canonical::canonical(&trust.root().to_signed_json())?)),
            };
            if known != digest_of(file)? {
                end = Walk::Contradicts(format!("{name} differs from the root {version} that you trust"));
                break;
            }
        } else if version == at + 1 {
            if let Err(failure) = trust.next_root(file) {
                end = Walk::Contradicts(format!("{name} does not follow root {at}, which you trust: {}", failure.message));
                break;
            }
            file_of_trust = Some(file);
        } else if version > at {
            end = Walk::Lacks(at + 1, version - 1);
            break;
        } else if file == draft.present_file() {
            end = Walk::Contradicts(format!("it starts from root {version}, and you trust the newer root {at}"));
            break;
        }
    }
    Ok((end, start))
}
