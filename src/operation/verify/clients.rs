//! What real clients are known to stumble over, beyond the rules of the specification.

use super::Chain;
use super::finding::{Findings, Severity};
use crate::error::{Id, Result};
use crate::metadata::{Delegations, ROOT_LIMIT, Role, Target, UNSTATED_TARGETS_LIMIT};
use crate::names::{ObjectName, TargetPath};
use crate::operation::change::bins::GO_TUF_AND_BINS;
use crate::operation::delegations::of_role;
use crate::policy::client_roots::{self, Client};
use crate::policy::names::{case_collisions, files_and_directories, way_out};
use crate::repository::BINS;
use crate::storage::Source;
use std::collections::{BTreeMap, BTreeSet};

/// Where php-tuf stops reading a targets role whose length the snapshot does not state, in bytes.
const PHP_TUF_LIMIT: u64 = 100_000;

pub(super) fn check(source: &dyn Source, chain: &Chain, targets: &BTreeMap<String, Target>, findings: &mut Findings) -> Result<()> {
    check_root(source, chain, findings)?;
    check_lengths(chain, findings);
    check_php_tuf(chain, findings);
    check_names(targets, findings);
    if !chain.delegated.is_empty() {
        findings.add(
            Id::DelegationsNotReadByTrdl,
            Severity::Note,
            "targets.json",
            "delegates to other roles; the trdl client reads the top-level role only",
            "nothing, unless trdl users should see those targets",
        );
    }
    check_delegations(chain, findings)?;
    if chain.delegated.iter().any(|(role, _)| !role.hash_prefixes().is_empty()) {
        let advice = "nothing, unless go-tuf users need these targets: then wait for its next release, or do not use hashed bins for them";
        findings.add(Id::BinsNotReadByGoTuf, Severity::Note, "hashed bins", GO_TUF_AND_BINS, advice);
    }
    if chain.trust.root().consistent_snapshot() && targets.keys().any(|name| name.contains('/')) {
        findings.add(
            Id::ConsistentSnapshotAndTough,
            Severity::Note,
            "consistent snapshots",
            "tough 0.24 (tuftool) looks for hash-prefixed names below directories in the wrong place and cannot fetch them",
            "nothing; the trdl client, python-tuf, go-tuf and tuf-js follow the specification",
        );
    }
    for (name, target) in targets {
        if !target.hashes.unknown.is_empty() {
            findings.add(
                Id::UnknownDigest,
                Severity::Warning,
                name,
                format!("has digests of kind {}, for which the trdl client refuses the whole file", target.hashes.unknown.join(", ")),
                "list sha256 and sha512 only",
            );
        }
    }
    let field = chain.top.field("spec_version").and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    match field.as_ref().and_then(serde_json::Value::as_str) {
        None => findings.add(
            Id::SpecVersionMissing,
            Severity::Warning,
            Role::Targets.name(),
            "has no spec_version; python-tuf refuses it",
            "sign the role again with a current tool",
        ),
        Some(version) if !version.starts_with("1.") && version != "1" => findings.add(
            Id::SpecVersionUnknown,
            Severity::Warning,
            Role::Targets.name(),
            format!("has spec_version {}", version.escape_debug()),
            "sign the role again with spec_version 1.0.0",
        ),
        Some(_) => {}
    }
    Ok(())
}

fn check_root(source: &dyn Source, chain: &Chain, findings: &mut Findings) -> Result<()> {
    let root = chain.trust.root();
    let lockouts = match &chain.newest_root {
        Some(file) => client_roots::lockouts_of_file(file, "the newest root")?,
        None => client_roots::lockouts(root, &[]),
    };
    for lockout in lockouts {
        let severity = match Client::PROMISED.iter().filter(|client| lockout.clients.contains(client)).count() {
            0 => Severity::Note,
            some if some < Client::PROMISED.len() => Severity::Warning,
            _ => Severity::Error,
        };
        let remedy = match severity {
            Severity::Note => "nothing, unless users of these clients must read this repository: docs/from-rugged.md for php-tuf",
            _ => "publish a root without it: users of these clients cannot update any more",
        };
        findings.add(Id::ClientLockedOut, severity, "root", lockout.to_string(), remedy);
    }
    for (id, key) in root.keys() {
        if *id == key.old_id() {
            findings.add(
                Id::KeyIdOverHashAlgorithms, Severity::Note,
                format!("key {id}"),
                "has an id computed over the field keyid_hash_algorithms, as go-tuf, trdl's server and Rugged do; tough and the tuf crate refuse it",
                "nothing, unless their users should read the repository; python-tuf and go-tuf do, and php-tuf where the keys do not list the field",
            );
        } else if *id != key.id() {
            findings.add(
                Id::KeyIdOwn,
                Severity::Note,
                format!("key {id}"),
                "has an id of its own, not the one computed from the key; tough, php-tuf and the tuf crate refuse it",
                "nothing, unless their users should read the repository",
            );
        }
    }
    match source.get(&ObjectName::plain_role(Role::Root), ROOT_LIMIT)? {
        None => findings.add(
            Id::RootJsonMissing,
            Severity::Warning,
            "root.json",
            "is missing; `trdl add` without a version asks for it",
            "any publishing command writes it",
        ),
        Some(plain) => {
            if let Some(newest) = &chain.newest_root
                && plain.bytes != *newest
            {
                findings.add(
                    Id::RootJsonStale,
                    Severity::Warning,
                    "root.json",
                    format!("is not {}.root.json", root.version()),
                    "any publishing command updates it",
                );
            }
        }
    }
    Ok(())
}

/// Who may sign for which names besides the top-level keys; hashed bins are the publisher's own, as a rule.
fn check_delegations(chain: &Chain, findings: &mut Findings) -> Result<()> {
    let top = (Role::Targets.name(), &chain.top);
    for (from, targets) in [top].into_iter().chain(chain.delegated.iter().map(|(role, targets)| (role.name.as_str(), targets))) {
        if from == BINS {
            continue;
        }
        for delegation in of_role(from, targets)?.into_iter().filter(|delegation| delegation.to != [BINS]) {
            let escaped = |texts: &[String]| texts.iter().map(|text| text.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
            let ids: Vec<String> = delegation.keys.iter().map(|key| key.id.clone()).collect();
            let names = if delegation.paths.is_empty() { "names by their hash".into() } else { escaped(&delegation.paths) };
            findings.add(
                Id::DelegationOfOthers,
                Severity::Note,
                format!("delegation to {}", escaped(&delegation.to)),
                format!(
                    "{} certifies what {} of these keys publish: {}; for: {names}",
                    from.escape_debug(),
                    delegation.threshold,
                    escaped(&ids)
                ),
                "nothing, if you know their holders; `publish remove-delegation NAME` removes a delegation from targets.json",
            );
        }
    }
    Ok(())
}

fn check_lengths(chain: &Chain, findings: &mut Findings) {
    if let Ok(listed) = chain.trust.listed("targets.json") {
        if listed.length.is_none() && chain.top.file().len() as u64 > UNSTATED_TARGETS_LIMIT / 2 {
            findings.add(
                Id::RoleLengthNotStated,
                Severity::Warning,
                "targets.json",
                format!(
                    "has {} bytes and the snapshot does not state its length; python-tuf and others stop at {UNSTATED_TARGETS_LIMIT}",
                    chain.top.file().len()
                ),
                "state lengths in the snapshot",
            );
        }
        if listed.hashes.is_none() {
            findings.add(
                Id::RoleDigestNotStated,
                Severity::Note,
                "snapshot.json",
                "does not state the digest of targets.json",
                "nothing; versions alone are legal, digests are stronger",
            );
        }
    }
}

/// The rules of php-tuf that differ from those of other clients, read from its sources: it cannot be run where this project is
/// developed. Where the root locks it out anyway, only the limit is reported, which other PHP clients have too.
fn check_php_tuf(chain: &Chain, findings: &mut Findings) {
    let served = !client_roots::lockouts(chain.trust.root(), &[]).iter().any(|lockout| lockout.clients.contains(&Client::PhpTuf));
    let all = chain.delegated.iter().map(|(role, targets)| (role.name.as_str(), targets)).chain([(Role::Targets.name(), &chain.top)]);
    for (role, targets) in all {
        let file = format!("{role}.json");
        if chain.trust.listed(&file).is_ok_and(|listed| listed.length.is_none()) && targets.file().len() as u64 > PHP_TUF_LIMIT {
            findings.add(
                Id::PhpTufLimit, Severity::Warning,
                file.clone(),
                format!(
                    "has {} bytes and the snapshot does not state its length; php-tuf stops at {PHP_TUF_LIMIT} unless it is configured otherwise",
                    targets.file().len()
                ),
                "any change of the role states its length; more bins make it smaller",
            );
        }
        let delegations = targets.field("delegations").filter(|_| served).and_then(|json| Delegations::parse(json, &file).ok());
        for (id, _) in delegations.iter().flat_map(Delegations::keys).filter(|(id, key)| **id != key.old_id()) {
            findings.add(
                Id::PhpTufKeyId,
                Severity::Warning,
                file.clone(),
                format!("php-tuf computes another id for key {id}, to which it delegates, and refuses the targets below it"),
                "delegate to keys with ids as those of the root; for hashed bins: publish bins --rekey",
            );
        }
    }
}

fn check_names(targets: &BTreeMap<String, Target>, findings: &mut Findings) {
    for name in targets.keys() {
        if name.split('/').any(|part| part == "..") || name.starts_with('/') {
            findings.add(
                Id::TargetNameLeadsOut,
                Severity::Error,
                name,
                "is outside the download directory; some clients write there",
                "remove the target and find out how it got there",
            );
        } else if let Err(failure) = TargetPath::parse(name.as_str()) {
            findings.add(Id::TargetNameUnfit, Severity::Warning, name, failure.message, "publish the file under another name");
        }
    }
    for (a, b) in case_collisions(targets.keys().map(String::as_str)) {
        findings.add(
            Id::NamesDifferInCase,
            Severity::Warning,
            b,
            format!("differs from {a} only in case or Unicode form; on many file systems one replaces the other"),
            "publish one of them under another name",
        );
    }
    let all: BTreeSet<&str> = targets.keys().map(String::as_str).collect();
    for (file, below) in files_and_directories(&all) {
        findings.add(
            Id::NameIsFileAndDirectory,
            Severity::Warning,
            file,
            format!("is also a directory of {below}: no file system can hold both, and clients that download one fail at the other"),
            &way_out(file, below),
        );
    }
}
