//! What a targets worker agrees to sign. Everything is judged by the content of the store; the request only states what is
//! wanted. The promises to clients are checked besides, by [`crate::policy`], on what the request would leave.

use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::metadata::{PublicKey, Target, TargetEdits, format_expiry};
use crate::names::{TargetName, TargetPath};
use crate::openpgp::{Certificates, DetachedSignature};
use crate::policy::clocks::TOLERANCE;
use crate::repository::{Change, Edit, Present, View, digest_for_signature, each, holds_target};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Signatures, certificates, channels: longer ones are refused.
const SMALL: u64 = 64 * 1024;

/// A process whose requests are accepted.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Verifies their requests.
    pub key: PublicKey,
    /// What names of targets they may change start with.
    pub prefixes: Vec<String>,
    /// What they may ask for.
    pub may: Vec<Right>,
}

/// What a sender may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// New targets, and other content of targets that are there.
    Publish,
    /// Targets taken away.
    Remove,
    /// Roles signed again before they expire.
    Refresh,
    /// Machines that find another directory than before, or none: channels removed or moved to releases without platforms
    /// that their users have, and platforms added to a release for machines that another directory serves.
    #[serde(rename = "missing-platforms")]
    MissingPlatforms,
    /// Another number of bins.
    Bins,
    /// Targets whose content another server serves: the worker cannot check length and digest.
    Elsewhere,
}

/// What a targets worker signs for any sender.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most targets that one request may change.
    pub targets_per_request: usize,
    /// A target's new content is at most so many times as long as its old one, or this worker refuses it.
    pub growth: u64,
    /// The longest target.
    pub target_bytes: u64,
    /// Another server serves all content: there is none to check.
    pub elsewhere: bool,
    /// The OpenPGP certificates that signatures must be from.
    pub certificates: Vec<(String, Vec<u8>)>,
}

/// A target that has grown from next to nothing is no suspicion.
const FREE_GROWTH: u64 = 1 << 20;

/// Refuses what this sender may not ask for. The snapshot worker asks the same of every request that it is shown as the
/// reason for a change: a stolen targets key alone publishes nothing.
pub(super) fn check_rights(sender: &Sender, elsewhere: bool, edit: &Edit) -> Result<()> {
    let needs = [
        (edit.changes.iter().any(|change| change.wanted.is_some()), Right::Publish, "publish"),
        (edit.changes.iter().any(|change| change.wanted.is_none()), Right::Remove, "remove"),
        (!edit.renewals.is_empty(), Right::Refresh, "refresh"),
        (edit.rebin.is_some(), Right::Bins, "bins"),
        // A channel that is removed serves no machine any more, and could be added again at any release.
        (edit.may_lose_platforms || edit.changes.iter().any(removes_channel), Right::MissingPlatforms, "missing-platforms"),
        (
            edit.changes.iter().filter_map(|change| change.wanted.as_ref()).any(|target| target.elsewhere || elsewhere),
            Right::Elsewhere,
            "elsewhere",
        ),
    ];
    if let Some((.., word)) = needs.iter().find(|(needed, right, _)| *needed && !sender.may.contains(right)) {
        return Err(Error::new(Kind::Permission, format!("this sender has no right to request `{word}`"))
            .hint("`workers.senders` in the worker's config lists the rights of each sender"));
    }
    let strange = edit.names().find(|name| !sender.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
    match strange {
        None => Ok(()),
        Some(name) => Err(refused(format!("this sender has no right to change target {name}"))
            .detail(format!("allowed prefixes: {}", sender.prefixes.join(", ")))),
    }
}

fn removes_channel(change: &Change) -> bool {
    change.wanted.is_none() && matches!(TargetName::of(&change.name), TargetName::Channel(..))
}

/// Refuses what this sender may not ask for, and what no sender may.
pub(super) fn check_request(sender: &Sender, limits: &Limits, edit: &Edit) -> Result<()> {
    if edit.changes.len() > limits.targets_per_request {
        let (count, most) = (edit.changes.len(), limits.targets_per_request);
        return Err(Error::invalid(format!("{count} targets in one request; this worker signs {most} at most"))
            .hint("publish fewer targets in one command, or raise `workers.targets_per_request`"));
    }
    check_rights(sender, limits.elsewhere, edit)?;
    for change in &edit.changes {
        let name = &change.name;
        let Some(wanted) = &change.wanted else { continue };
        if change.expected.is_none() {
            TargetPath::parse(name.as_str())?;
        }
        if wanted.hashes.sha256.is_none() || !wanted.hashes.unknown.is_empty() {
            return Err(refused(format!("target {name} is not named by its SHA-256")));
        }
        let grown = change.expected.as_ref().map_or(u64::MAX, |expected| expected.length.saturating_mul(limits.growth).max(FREE_GROWTH));
        if wanted.length > limits.target_bytes.min(grown) {
            let most = limits.target_bytes.min(grown);
            return Err(refused(format!("target {name} has {} bytes; this worker signs {most} at most", wanted.length)));
        }
    }
    Ok(())
}

/// Refuses content that is not what the request states, certificates that are not pinned, and signatures that are not good.
/// `more` is what the request changes in the state that `view` is.
pub(super) fn check_content(
    storage: &dyn Storage,
    limits: &Limits,
    (present, view): (&Present, &View<'_>),
    more: &TargetEdits,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut certificates = Certificates::default();
    for (name, bytes) in &limits.certificates {
        certificates.add(bytes, name)?;
    }
    let content = Content { storage, limits, present, view, more, certificates, now };
    let added: Vec<(&String, &Target)> = more.iter().filter_map(|(name, target)| Some((name, target.as_ref()?))).collect();
    each(&added, storage.properties().parallelism, || Ok(()), |(name, target), ()| content.check(name, target))?;
    let signatures: Vec<String> = content.signatures()?.into_iter().collect();
    each(&signatures, storage.properties().parallelism, || Ok(()), |name, ()| content.check_signature(name)).map(drop)
}

/// The content of one request's targets.
struct Content<'a> {
    storage: &'a dyn Storage,
    limits: &'a Limits,
    present: &'a Present,
    view: &'a View<'a>,
    more: &'a TargetEdits,
    certificates: Certificates,
    now: DateTime<Utc>,
}

impl Content<'_> {
    fn check(&self, name: &str, target: &Target) -> Result<()> {
        if !self.is_elsewhere(target) && !holds_target(self.storage, &self.present.place_of(self.storage, name, target)?, target)? {
            return Err(refused(format!("the content of target {name} is missing or differs from the request")));
        }
        if let TargetName::Certificate(..) = TargetName::of(name) {
            let mut theirs = Certificates::default();
            let fingerprint = theirs.add(&self.small(name, target)?, name)?;
            if !self.certificates.standings(self.now).any(|(known, _)| known == fingerprint) {
                return Err(refused(format!("{name} is not a certificate that this worker has pinned"))
                    .hint("add its file to `workers.certificates`"));
            }
        }
        Ok(())
    }

    /// The signatures that are new, and those of artifacts that are.
    fn signatures(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for name in self.more.iter().filter(|(_, target)| target.is_some()).map(|(name, _)| name) {
            match TargetName::of(name) {
                TargetName::Signature(_) => drop(names.insert(name.clone())),
                signed if signed.is_signed() && self.after(&signed.signature())?.is_some() => drop(names.insert(signed.signature())),
                _ => {}
            }
        }
        Ok(names)
    }

    fn check_signature(&self, name: &str) -> Result<()> {
        let exists = |name: &str| self.after(name).is_ok_and(|target| target.is_some());
        let TargetName::Signature(signature) = TargetName::of(name) else { return Ok(()) };
        let Some(artifact) = signature.signed(exists) else { return Ok(()) };
        let (Some(signature), Some(signed)) = (self.after(name)?, self.after(&artifact)?) else {
            return Err(refused(format!("{name} signs {artifact}, which is not a target")));
        };
        if self.is_elsewhere(&signed) {
            return Err(refused(format!("{artifact} is served elsewhere: its signature {name} cannot be verified")));
        }
        let signature = DetachedSignature::parse(&self.small(name, &signature)?, name)?;
        if let Some(made) = signature.made().filter(|made| *made > self.now + TOLERANCE) {
            return Err(refused(format!(
                "{name} was made on {}, after this worker's time {}",
                format_expiry(made),
                format_expiry(self.now)
            ))
            .hint("correct the clock that is wrong: the worker's, or that of the machine that signed"));
        }
        let place = self.present.place_of(self.storage, &artifact, &signed)?;
        let state = digest_for_signature(self.storage, &place, &signed, signature.hash())?;
        let state = state.ok_or_else(|| refused(format!("the content of {artifact} is missing or differs from its entry")))?;
        self.certificates.verify(&signature, &state, self.now, &artifact).map(drop)
    }

    fn is_elsewhere(&self, target: &Target) -> bool {
        target.elsewhere || self.limits.elsewhere
    }

    /// A target as it will be.
    fn after(&self, name: &str) -> Result<Option<Target>> {
        match self.more.get(name) {
            Some(made) => Ok(made.clone()),
            None => self.view.get(name),
        }
    }

    fn small(&self, name: &str, target: &Target) -> Result<Vec<u8>> {
        let found = self.storage.get(&self.present.place_of(self.storage, name, target)?, SMALL)?;
        // Read again after it was checked: an object that changes between is not looked at.
        let same = found.map(|object| object.bytes).filter(|bytes| target.matches(&Digests::both_of(bytes)));
        Ok(same.unwrap_or_default())
    }
}

fn refused(why: String) -> Error {
    Error::invalid(why)
}
