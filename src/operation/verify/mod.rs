//! `publish verify`: a repository as clients see it, of any publisher, in a directory or over http(s).
//!
//! The chain is walked with the client's rules; then every target is read once, and what the digests do not cover is
//! checked: signatures, channels, plain names, and what real clients are known to stumble over.

mod clients;
mod content;
mod finding;
mod plain;
mod releases;
mod second_opinion;

pub use finding::{Finding, Severity};
pub use second_opinion::SecondOpinion;

use crate::error::{Error, Id, Kind, Result};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{
    DelegatedRole, Delegations, Lifetimes, ROLE_LIMIT, ROOT_LIMIT, Role, TIMESTAMP_LIMIT, Target, Targets, UNSTATED_SNAPSHOT_LIMIT,
    UNSTATED_TARGETS_LIMIT, describe_span, format_expiry,
};
use crate::names::{ObjectName, SIGNATURES};
use crate::policy::clocks;
use crate::repository::{BINS, Progress, Versions};
use crate::storage::Source;
use chrono::{DateTime, Utc};
use finding::Findings;
use releases::Signatures;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the user requests.
pub struct VerifyRequest<'a> {
    /// The repository.
    pub source: &'a dyn Source,
    /// What is trusted to start with.
    pub anchor: Anchor,
    /// Further OpenPGP certificates, with the names of their files.
    pub certificates: Vec<(String, Vec<u8>)>,
    /// The time to judge expiry by.
    pub now: DateTime<Utc>,
    /// The lifetimes of roles that are signed now.
    pub lifetimes: Lifetimes,
    /// Told how far things are.
    pub progress: &'a dyn Progress,
    /// Look at metadata only: another server serves all content.
    pub metadata_only: bool,
}

/// The root that verification starts from.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// This file.
    File(Vec<u8>),
    /// The repository's `1.root.json`, if it has this SHA-512 (lower-case hex).
    Sha512(String),
    /// Whatever `1.root.json` is there, with a warning.
    FirstUse,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// Where it is.
    pub location: String,
    /// The versions, as far as they could be read.
    pub versions: Versions,
    /// How many targets were checked.
    pub targets: usize,
    /// How many of them another server serves; their content was not checked.
    pub elsewhere: usize,
    /// How many bytes of content were read.
    pub bytes: u64,
    /// How many OpenPGP signatures are good.
    pub signatures: usize,
    /// Everything worth saying, worst first.
    pub findings: Vec<Finding>,
    /// What the client of the `tuf` crate makes of it.
    pub second_opinion: SecondOpinion,
}

impl VerifyReport {
    /// Whether a client that follows the rules can use all of it.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Checks everything. What is wrong with the repository is in the report; an error means that it could not be looked at.
pub fn verify(request: &VerifyRequest<'_>) -> Result<VerifyReport> {
    let mut findings = Findings::default();
    let mut report = VerifyReport {
        location: request.source.location(),
        versions: Versions::default(),
        targets: 0,
        elsewhere: 0,
        bytes: 0,
        signatures: 0,
        findings: Vec::new(),
        second_opinion: SecondOpinion::NotAsked,
    };
    let anchor = anchor(request, &mut findings)?;
    request.progress.phase("verifying metadata");
    match read_chain(request, &anchor, &mut findings, &mut report.versions) {
        Err(failure) if failure.kind == Kind::Untrusted => {
            let advice = match request.source.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT) {
                Ok(None) => {
                    "clients refuse the repository; put timestamp.json back or restore the repository: docs/recovery.md#the-published-timestamp-is-missing"
                }
                _ => {
                    "clients refuse the repository; `publish refresh --all` writes role files that are missing, others come from a backup or a mirror"
                }
            };
            findings.error(Id::MetadataRefused, "metadata", &failure, advice)
        }
        Err(failure) => return Err(failure),
        Ok(chain) => {
            let targets = all_targets(&chain, &mut findings);
            report.targets = targets.len();
            clients::check(request.source, &chain, &targets, &mut findings)?;
            if request.metadata_only {
                findings.add(
                    Id::ContentNotChecked,
                    Severity::Note,
                    "targets",
                    "their content was not checked",
                    "nothing, if another server serves it",
                );
            } else {
                let (elsewhere, here): (BTreeMap<_, _>, BTreeMap<_, _>) = targets.into_iter().partition(|(_, target)| target.elsewhere);
                report.elsewhere = elsewhere.len();
                check_targets(request, &chain, &here, &mut findings, &mut report)?;
            }
            request.progress.phase("running the tuf crate's client");
            report.second_opinion = second_opinion::ask(request, &anchor, &chain, findings.any_errors());
            if let SecondOpinion::Disagrees { reason } = &report.second_opinion {
                findings.add(
                    Id::SecondOpinionDisagrees,
                    Severity::Error,
                    "second opinion",
                    format!("the client of the tuf crate refuses the repository: {reason}"),
                    "report this: either the repository or one of the two clients is wrong",
                );
            }
        }
    }
    report.findings = findings.sorted();
    Ok(report)
}

/// Reads all content and checks what it means.
fn check_targets(
    request: &VerifyRequest<'_>,
    chain: &Chain,
    targets: &BTreeMap<String, Target>,
    findings: &mut Findings,
    report: &mut VerifyReport,
) -> Result<()> {
    request.progress.phase("verifying targets");
    request.progress.expect(targets.len() as u64, targets.values().map(|target| target.length).sum());
    let consistent = chain.trust.root().consistent_snapshot();
    let has_bins = chain.delegated.iter().any(|(role, _)| role.name == BINS);
    let promise = plain::Promise::read(request.source, &report.versions, has_bins);
    let (small, large) = content::split(targets);
    let mut read = 0;
    let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let keep = |name: &str, read: content::Read| (name.to_owned(), read.bytes, read.kept);
    for (name, bytes, content) in content::read_all(request, consistent, &promise, &small, |_| content::Want::Content, keep, findings)? {
        read += bytes;
        kept.extend(content.map(|content| (name, content)));
    }
    let signatures = Signatures::find(request, &kept, targets, findings)?;
    let mut ahead: Vec<DateTime<Utc>> = Vec::new();
    let want = |name: &str| signatures.hash(name).map_or(content::Want::Nothing, content::Want::State);
    let check = |name: &str, read: content::Read| (name.to_owned(), read.bytes, signatures.verify(request, name, read.state.as_ref()));
    for (name, bytes, verdict) in content::read_all(request, consistent, &promise, &large, want, check, findings)? {
        read += bytes;
        match verdict {
            Some(Ok(_)) => {
                report.signatures += 1;
                ahead.extend(signatures.made(&name).filter(|made| *made > request.now + clocks::TOLERANCE));
                if let Some(why) = signatures.gnupg_rejects(&name) {
                    findings.add(
                        Id::SignatureRejectedByGnupg,
                        Severity::Warning,
                        name,
                        format!("GnuPG rejects its signature: {why}"),
                        releases::RESIGN,
                    );
                }
            }
            Some(Err(failure)) => findings.error(
                Id::SignatureBad,
                &name,
                &failure,
                "do not install it; sign the release again: publish release VERSION --from DIR --resign",
            ),
            None => {}
        }
    }
    if let Some(latest) = ahead.iter().max() {
        findings.add(
            Id::SignaturesFromTheFuture,
            Severity::Warning,
            SIGNATURES,
            format!(
                "{} OpenPGP signatures were made after this machine's time {}, the latest on {}",
                ahead.len(),
                format_expiry(request.now),
                format_expiry(*latest)
            ),
            "check this machine's clock; if it is right, the clock of the machine that signed was ahead",
        );
    }
    report.bytes = read;
    promise.check(request.source, targets, findings)?;
    signatures.check_pairs(targets, findings);
    releases::check_yanked(targets, findings);
    releases::check_channels(targets, &kept, findings);
    Ok(())
}

/// Verified metadata with the files it came from.
struct Chain {
    trust: TrustedMetadata,
    top: Targets,
    /// Delegated roles with what they are responsible for, parents before children.
    delegated: Vec<(DelegatedRole, Targets)>,
    /// Roots after the anchor, newest last.
    newest_root: Option<Vec<u8>>,
}

fn anchor(request: &VerifyRequest<'_>, findings: &mut Findings) -> Result<Vec<u8>> {
    let first = || -> Result<Vec<u8>> {
        let (numbered, plain) = (ObjectName::root(1), ObjectName::plain_role(Role::Root));
        if let Some(root) = request.source.get(&numbered, ROOT_LIMIT)? {
            return Ok(root.bytes);
        }
        let root = request.source.get(&plain, ROOT_LIMIT)?.ok_or_else(|| {
            Error::new(
                Kind::NoRepository,
                format!("there is no TUF repository at {}: neither 1.root.json nor root.json", request.source.location()),
            )
            .hint("give the directory or URL that holds timestamp.json")
        })?;
        Ok(root.bytes)
    };
    match &request.anchor {
        Anchor::File(bytes) => Ok(bytes.clone()),
        Anchor::FirstUse => {
            findings.add(
                Id::RootNotPinned,
                Severity::Warning,
                "1.root.json",
                "trusted without a check: an attacker who controls the repository controls this result too",
                "give the root you trust with --root FILE or --root-sha512 HEX",
            );
            first()
        }
        Anchor::Sha512(wanted) => {
            let root = first()?;
            let found = hex::encode(openssl::sha::sha512(&root));
            if found == wanted.to_ascii_lowercase() {
                return Ok(root);
            }
            Err(Error::new(Kind::Untrusted, "the first root is not the one with the given SHA-512")
                .detail(format!("given: {wanted}"))
                .detail(format!("found: {found}"))
                .hint("the repository was replaced, or the SHA-512 is that of another root"))
        }
    }
}

fn read_chain(request: &VerifyRequest<'_>, anchor: &[u8], findings: &mut Findings, versions: &mut Versions) -> crate::error::Result<Chain> {
    let source = request.source;
    let mut trust = TrustedMetadata::pin(anchor, AtExpiry::Report(request.now))?;
    let mut newest_root = None;
    versions.root = trust.root().version();
    while let Some(next) = source.get(&ObjectName::root(trust.root().version() + 1), ROOT_LIMIT)? {
        trust.next_root(&next.bytes)?;
        versions.root = trust.root().version();
        newest_root = Some(next.bytes);
    }
    trust.end_of_roots()?;
    let missing = |name: String| Error::new(Kind::Untrusted, format!("{name} is missing"));
    let timestamp = source.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?.ok_or_else(|| missing("timestamp.json".into()))?;
    let listed = trust.timestamp(&timestamp.bytes)?.get("snapshot.json").cloned();
    versions.timestamp = trust.listings().map_or_else(|| 0, |(timestamp, _)| timestamp.version());
    let consistent = trust.root().consistent_snapshot();
    let read = |role: &str, version: u64, length: Option<u64>, unstated: u64| {
        let name = if consistent { ObjectName::versioned(role, version) } else { ObjectName::plain_role(role) };
        source.get(&name, length.unwrap_or(unstated).min(ROLE_LIMIT))?.map(|object| object.bytes).ok_or_else(|| missing(name.to_string()))
    };
    let (version, length) = listed.map_or((0, None), |listed| (listed.version, listed.length));
    let snapshot = read("snapshot", version, length, UNSTATED_SNAPSHOT_LIMIT)?;
    versions.snapshot = trust.snapshot(&snapshot)?.version();
    versions.timestamp = trust.listings().map_or(0, |(timestamp, _)| timestamp.version());
    let listed = trust.listed("targets.json")?.clone();
    let top = trust.targets(read("targets", listed.version, listed.length, UNSTATED_TARGETS_LIMIT)?)?;
    versions.targets = top.version();
    let mut delegated: Vec<(DelegatedRole, Targets)> = Vec::new();
    let mut open: Vec<Delegations> = delegations(&top, "targets.json")?.into_iter().collect();
    while let Some(parent) = open.pop() {
        for role in parent.roles.clone() {
            if delegated.iter().any(|(known, _)| known.name == role.name) {
                continue;
            }
            let file = format!("{}.json", role.name);
            // A delegation whose role was not signed yet is valid; clients skip it only if the snapshot has no entry.
            let Ok(listed) = trust.listed(&file).cloned() else {
                findings.add(
                    Id::DelegatedRoleMissing,
                    Severity::Note,
                    &file,
                    "delegated to, but not in the snapshot",
                    "nothing, unless the role should have been signed",
                );
                continue;
            };
            let bytes = read(&role.name, listed.version, listed.length, UNSTATED_TARGETS_LIMIT)?;
            let targets = trust.delegated(&parent, &role, bytes)?;
            open.extend(delegations(&targets, &file)?);
            delegated.push((role, targets));
        }
    }
    let (timestamp, snapshot) = trust.listings().ok_or_else(|| missing("timestamp.json".into()))?;
    let long = [(Role::Targets, top.expires()), (Role::Snapshot, snapshot.expires()), (Role::Timestamp, timestamp.expires())];
    for (role, expires) in long.into_iter().filter(|(role, expires)| clocks::is_beyond(*role, request.now, &request.lifetimes, *expires)) {
        findings.add(
            Id::RoleLongLived, Severity::Note,
            role.name(),
            clocks::long_lived(role, &request.lifetimes, expires),
            "nothing, if another tool signed it or the long lifetime is intended; if this machine's clock is behind, correct it; if a clock was ahead, see docs/recovery.md",
        );
    }
    for (role, expires) in trust.expired() {
        let what = format!(
            "expired on {}, {} before this machine's time {}",
            format_expiry(*expires),
            describe_span(request.now - *expires),
            format_expiry(request.now)
        );
        let advice = "renew it with `publish refresh`; until then clients fail. If this machine's clock is wrong, correct it";
        findings.add(Id::RoleExpired, Severity::Error, role.name(), what, advice);
    }
    Ok(Chain { trust, top, delegated, newest_root })
}

fn delegations(targets: &Targets, what: &str) -> crate::error::Result<Option<Delegations>> {
    targets.field("delegations").map(|json| Delegations::parse(json, what)).transpose()
}

/// All targets of all roles; the first role that names a target wins, as for clients.
fn all_targets(chain: &Chain, findings: &mut Findings) -> BTreeMap<String, Target> {
    let mut all = BTreeMap::new();
    let mut take = |targets: &Targets, allowed: &dyn Fn(&str) -> bool, role: &str| {
        for (name, entry) in targets.iter() {
            if !allowed(name) {
                findings.add(
                    Id::TargetOfAnotherRole,
                    Severity::Warning,
                    name,
                    format!("listed by role {role}, which is not responsible for it; clients ignore the entry"),
                    "remove the entry, or extend the delegation",
                );
                continue;
            }
            match Target::parse(entry, name) {
                Ok(target) => drop(all.entry(name.to_owned()).or_insert(target)),
                Err(failure) => findings.error(Id::TargetEntryUnreadable, name, &failure, "publish the target again"),
            }
        }
    };
    take(&chain.top, &|_| true, Role::Targets.name());
    for (role, targets) in &chain.delegated {
        take(targets, &|target| role.covers(target), &role.name);
    }
    all
}
