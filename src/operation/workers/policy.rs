//! What a targets worker agrees to sign. Everything is judged from what lies in the store; the request only says what is
//! wanted.

use crate::failure::{Failure, Kind, Result};
use crate::layout::{ReleaseVersion, TargetPath, channel_content, detached_name, signed_name, yanked_name};
use crate::metadata::{PublicKey, Target};
use crate::openpgp::{Certificates, DetachedSignature};
use crate::repository::{Change, Edit, Present, digest_for_signature, digest_object, each};
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Signatures, certificates, channels: longer ones are refused.
const SMALL: u64 = 64 * 1024;

/// Somebody who may ask.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// New targets, and other content of targets that are there.
    Publish,
    /// Targets taken away.
    Remove,
    /// Roles signed again before they expire.
    Refresh,
    /// Another number of bins.
    Bins,
    /// Targets whose content another server serves: the worker has to believe length and digest.
    Elsewhere,
}

/// What a targets worker signs for anybody.
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
        (
            edit.changes.iter().filter_map(|change| change.wanted.as_ref()).any(|target| target.elsewhere || elsewhere),
            Right::Elsewhere,
            "elsewhere",
        ),
    ];
    if let Some((.., word)) = needs.iter().find(|(needed, right, _)| *needed && !sender.may.contains(right)) {
        return Err(Failure::new(Kind::Permission, format!("this sender may not ask for `{word}`"))
            .hint("`workers.senders` in the worker's config says what each sender may"));
    }
    let strange = edit.names().find(|name| !sender.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
    match strange {
        None => Ok(()),
        Some(name) => Err(refused(format!("this sender may not change target {name}"))
            .detail(format!("allowed prefixes: {}", sender.prefixes.join(", ")))),
    }
}

/// Refuses what this sender may not ask for, and what nobody may.
pub(super) fn check_request(sender: &Sender, limits: &Limits, edit: &Edit) -> Result<()> {
    if edit.changes.len() > limits.targets_per_request {
        let (count, most) = (edit.changes.len(), limits.targets_per_request);
        return Err(Failure::invalid(format!("{count} targets in one request; this worker signs {most} at most"))
            .hint("publish fewer at once, or raise `workers.targets_per_request`"));
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

/// Refuses content that is not what the request says, and whatever would break a promise to readers.
pub(super) fn check_content(storage: &dyn Storage, limits: &Limits, present: &Present, edit: &Edit, now: DateTime<Utc>) -> Result<()> {
    let wanted: BTreeMap<&str, &Target> =
        edit.changes.iter().filter_map(|change| Some((change.name.as_str(), change.wanted.as_ref()?))).collect();
    let mut certificates = Certificates::default();
    for (name, bytes) in &limits.certificates {
        certificates.add(bytes, name)?;
    }
    for change in &edit.changes {
        check_promises(present, change, &wanted)?;
    }
    let check = |change: &Change, (): &mut ()| {
        let Some(target) = &change.wanted else { return Ok(()) };
        // What stands there already was checked when it came.
        if present.target(&change.name)?.is_some_and(|now| now == *target) && !wanted.contains_key(detached_of(&change.name).as_str()) {
            return Ok(());
        }
        if target.elsewhere || limits.elsewhere {
            return Ok(());
        }
        let object = present.place_of(storage, &change.name, target)?;
        let found = digest_object(storage, &object)?;
        if !found.is_some_and(|digests| target.matches(&digests)) {
            return Err(refused(format!("the content of target {} is missing or is not what the request says", change.name)));
        }
        check_meaning(storage, &certificates, present, change, target, &wanted, now)
    };
    each(&edit.changes, storage.parallelism(), || Ok(()), check).map(drop)
}

/// What readers rely on, whoever asks and whatever the request leaves out.
fn check_promises(present: &Present, change: &Change, wanted: &BTreeMap<&str, &Target>) -> Result<()> {
    let name = &change.name;
    let Some(version) = name.strip_prefix("releases/").and_then(|rest| rest.split('/').next()) else { return Ok(()) };
    let version = ReleaseVersion::parse(version)?;
    let yanked = yanked_name(&version);
    match (&change.wanted, present.targets.get(name)?) {
        (Some(wanted), Some(now)) if *wanted != now => {
            Err(Failure::new(Kind::Conflict, format!("{name} is published with other content; a published platform never changes")))
        }
        (Some(_), _) if present.targets.contains(&yanked) => {
            Err(Failure::new(Kind::Conflict, format!("version {version} was yanked; it is never published again")))
        }
        (None, Some(_)) if !present.targets.contains(&yanked) && !wanted.contains_key(yanked.as_str()) => {
            Err(refused(format!("{name} would be removed without a yank of its version")))
        }
        _ => Ok(()),
    }
}

/// Channels point at releases, certificates are the pinned ones, signatures are good.
fn check_meaning(
    storage: &dyn Storage,
    certificates: &Certificates,
    present: &Present,
    change: &Change,
    target: &Target,
    wanted: &BTreeMap<&str, &Target>,
    now: DateTime<Utc>,
) -> Result<()> {
    let name = change.name.as_str();
    let small = || -> Result<Vec<u8>> {
        let found = storage.get(&present.place_of(storage, name, target)?, SMALL)?;
        Ok(found.map(|object| object.bytes).unwrap_or_default())
    };
    if name.starts_with("channels/") {
        let content = small()?;
        let version = String::from_utf8_lossy(&content).trim().to_owned();
        let prefix = format!("releases/{version}/");
        let released = present.targets.below(&prefix).next().is_some() || wanted.keys().any(|name| name.starts_with(&prefix));
        if !released || content != channel_content(&version) {
            return Err(refused(format!("{name} would point at `{}`, which is not released", version.escape_debug())));
        }
    }
    if name.starts_with("openpgp/") {
        let mut theirs = Certificates::default();
        let fingerprint = theirs.add(&small()?, name)?;
        if !certificates.standings(now).any(|(known, _)| *known == fingerprint) {
            return Err(
                refused(format!("{name} is not a certificate that this worker has pinned")).hint("name it in `workers.certificates`")
            );
        }
    }
    let exists = |name: &str| wanted.contains_key(name) || present.target(name).is_ok_and(|target| target.is_some());
    if name.starts_with("signatures/")
        && let Some(artifact) = signed_name(name, exists)
    {
        let signed = match wanted.get(artifact.as_str()) {
            Some(target) => Some((*target).clone()),
            None => present.target(&artifact)?,
        };
        let signed = signed.ok_or_else(|| refused(format!("{name} signs {artifact}, which is no target")))?;
        let signature = DetachedSignature::parse(&small()?, name)?;
        let state = digest_for_signature(storage, &present.place_of(storage, &artifact, &signed)?, signature.hash())?;
        let state = state.ok_or_else(|| refused(format!("the content of {artifact} is missing")))?;
        certificates.verify(&signature, &state, now, &artifact)?;
    }
    Ok(())
}

fn detached_of(name: &str) -> String {
    detached_name(name.strip_prefix("releases/").unwrap_or(name))
}

fn refused(why: String) -> Failure {
    Failure::invalid(why)
}
