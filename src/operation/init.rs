//! `publish init`: keys, root metadata, config, first signed roles. Killed anywhere, it is finished by running it again:
//! every file is created once and used as it is from then on.

use super::{Outcome, Workspace, own_file};
use crate::failure::{Failure, Kind};
use crate::keys::{self, KeyUri, Secret, Signers, Use, write_private};
use crate::layout::{ObjectName, certificate_name};
use crate::metadata::trust::{AtExpiry, Trust};
use crate::metadata::{KeyKind, PublicKey, ROOT_LIMIT, Role, Root};
use crate::openpgp::{Algorithm, Certificates, generate};
use crate::policy::client_roots;
use crate::repository::sign_root;
use crate::storage::{Conditions, EtagQuotes};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct InitRequest {
    /// Where the config goes.
    pub config: PathBuf,
    /// Its text, written if there is none yet.
    pub config_text: String,
    /// Switch consistent snapshots on.
    pub consistent_snapshot: bool,
    /// Encrypt new keys.
    pub encrypt: bool,
    /// The kind of OpenPGP key to make, if there is none yet.
    pub algorithm: Algorithm,
    /// The user id of a new OpenPGP key.
    pub user_id: String,
}

/// What `init` will make, and what is there already.
#[derive(Debug, Serialize)]
pub struct InitPlan {
    /// Files to make.
    pub make: Vec<String>,
    /// Files that are used as they are.
    pub keep: Vec<String>,
    /// Where the repository goes.
    pub location: String,
    /// Whether everything is there already.
    pub empty: bool,
}

/// What readers need to know.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// What was done.
    pub outcome: Outcome,
    /// SHA-512 of `1.root.json` in lower-case hex: what `trdl add` pins.
    pub root_sha512: String,
    /// The fingerprint of the OpenPGP certificate.
    pub fingerprint: String,
    /// The target name of the certificate; its plain name once the first release is published.
    pub certificate: String,
    /// The revocation certificate of a newly made key.
    pub revocation: Option<String>,
}

/// Decides what there is to make.
pub fn plan(workspace: &Workspace, request: &InitRequest) -> Result<InitPlan> {
    let mut files = vec![request.config.clone()];
    files.extend(workspace.keys.values().flatten().chain([&workspace.openpgp]).filter_map(|uri| uri.path().map(Path::to_owned)));
    files.push(workspace.pinned_root.clone());
    let (keep, make): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|path| path.exists());
    let show = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let root = workspace.storage.get(&ObjectName::versioned("root", 1), ROOT_LIMIT)?;
    if let Some(root) = &root
        && let Ok(pinned) = std::fs::read(&workspace.pinned_root)
        && pinned != root.bytes
    {
        return Err(foreign(workspace).into());
    }
    if root.is_some() && !keep.contains(&workspace.pinned_root) && !keep.contains(&request.config) {
        return Err(foreign(workspace).into());
    }
    let published = workspace.storage.get(&ObjectName::timestamp(), crate::metadata::TIMESTAMP_LIMIT)?.is_some();
    if published && root.is_none() {
        return Err(foreign(workspace).into());
    }
    Ok(InitPlan { empty: make.is_empty() && published, make: show(make), keep: show(keep), location: workspace.storage.location() })
}

/// Makes what is missing.
pub fn apply(workspace: &Workspace, request: &InitRequest) -> Result<InitReport> {
    workspace.begin_changes()?;
    create_file(&request.config, config_text(workspace, request).as_bytes())?;
    let revocation = make_keys(workspace, request)?;
    let mut signers = Signers::new();
    let mut public: BTreeMap<Role, PublicKey> = BTreeMap::new();
    for role in Role::ALL {
        for uri in workspace.keys.get(&role).map_or(&[][..], Vec::as_slice) {
            let signer = keys::load(uri, workspace.passphrases.as_ref())?;
            public.insert(role, signer.public().clone());
            signers.entry(role).or_default().push(signer);
        }
    }
    let first = make_root(workspace, request, &public, &signers)?;
    let mut certificates = Certificates::default();
    let fingerprint = certificates.add(&workspace.openpgp_certificate()?, "the OpenPGP key")?;
    workspace.progress.phase("publishing the first roles");
    let published = workspace.storage.get(&ObjectName::timestamp(), crate::metadata::TIMESTAMP_LIMIT)?.is_some();
    let committed = if published {
        workspace.commit(workspace.load()?, &Default::default(), &signers)?
    } else {
        workspace.committer(&first, &signers).commit_first()?
    };
    workspace.remember(&committed.versions)?;
    Ok(InitReport {
        outcome: committed.into(),
        root_sha512: hex::encode(openssl::sha::sha512(&first)),
        certificate: certificate_name(&fingerprint),
        fingerprint,
        revocation,
    })
}

/// The text of the config with what was just found out about the store: no other machine need try it out again.
fn config_text(workspace: &Workspace, request: &InitRequest) -> String {
    let mut text = request.config_text.clone();
    let Some(found) = workspace.found.get().filter(|_| !workspace.single_publisher) else { return text };
    if !text.contains("\nstore:\n") {
        text.push_str("store:\n");
    }
    text.push_str("  # As `publish init` found; after a change of the store, ask `publish store check`.\n");
    if found.conditions == Conditions::Enforced {
        text.push_str("  conditions: enforced\n");
    }
    if workspace.storage.etag_quotes() == Some(EtagQuotes::Strip) {
        text.push_str("  etag_quotes: strip\n");
    }
    text
}

fn foreign(workspace: &Workspace) -> Failure {
    Failure::new(
        Kind::Conflict,
        format!("there is a repository at {} already, and it is not the one of this config", workspace.storage.location()),
    )
    .hint("choose an empty place with --repo, or run in the directory that holds that repository's publish.yaml")
}

/// Makes the missing key files; says where the revocation certificate of a new OpenPGP key is.
fn make_keys(workspace: &Workspace, request: &InitRequest) -> Result<Option<String>> {
    // One passphrase per use, asked for when the first key of that use is made.
    let choose =
        |purpose: Use| -> Result<Option<Secret>> { Ok(if request.encrypt { Some(workspace.passphrases.choose(purpose)?) } else { None }) };
    let missing: Vec<&Path> = workspace.keys.values().flatten().filter_map(KeyUri::path).filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        let passphrase = choose(Use::Roles)?;
        for path in missing {
            create_private_directory(path)?;
            tolerate_existing(keys::create(path, KeyKind::Ed25519, passphrase.as_ref()))?;
        }
    }
    let Some(path) = workspace.openpgp.path().filter(|path| !path.exists()) else { return Ok(None) };
    create_private_directory(path)?;
    let passphrase = choose(Use::OpenPgp)?;
    workspace.progress.phase("making the OpenPGP key");
    let generated = generate(request.algorithm, &request.user_id, passphrase.as_ref().map(Secret::expose), workspace.now())?;
    let revocation = path.with_extension("revocation.asc");
    // First the revocation certificate: a key without one must not come into use.
    let _ = std::fs::remove_file(&revocation);
    write_private(&revocation, &generated.revocation)?;
    tolerate_existing(write_private(path, &generated.secret))?;
    Ok(Some(revocation.display().to_string()))
}

/// The first root: the pinned one, else the published one if it is ours, else a new one that is pinned before it is
/// published.
fn make_root(workspace: &Workspace, request: &InitRequest, public: &BTreeMap<Role, PublicKey>, signers: &Signers) -> Result<Vec<u8>> {
    if !workspace.pinned_root.exists() {
        let file = match workspace.storage.get(&ObjectName::versioned("root", 1), ROOT_LIMIT)? {
            Some(published) if is_ours(&published.bytes, public) => published.bytes,
            Some(_) => return Err(foreign(workspace).into()),
            None => {
                let root = Root::first(public, Role::Root.expiry_from(workspace.now()), request.consistent_snapshot)?;
                let file = sign_root(&root, None, signers.get(&Role::Root).map_or(&[], Vec::as_slice))?;
                client_roots::check(None, &file, "1.root.json")?;
                file
            }
        };
        create_file(&workspace.pinned_root, &file)?;
    }
    let first = workspace.pinned()?;
    let name = ObjectName::versioned("root", 1);
    if !workspace.storage.create(&name, &first)? && workspace.storage.get(&name, ROOT_LIMIT)?.is_none_or(|there| there.bytes != first) {
        return Err(foreign(workspace).into());
    }
    Ok(first)
}

/// Whether a root names exactly our keys.
fn is_ours(file: &[u8], public: &BTreeMap<Role, PublicKey>) -> bool {
    let Ok(trust) = Trust::pin(file, AtExpiry::Report(chrono::DateTime::UNIX_EPOCH)) else { return false };
    public.iter().all(|(role, key)| trust.root().keys_of(*role).all(|(_, named)| named.same_material(key)))
}

fn tolerate_existing(made: crate::failure::Result<()>) -> Result<()> {
    match made {
        Err(failure) if failure.kind == Kind::Conflict => Ok(()),
        other => Ok(other?),
    }
}

fn create_private_directory(file: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|error| Failure::io("make the key directory", parent.display(), error).into())
}

/// Writes a file whole or not at all; one that exists stays.
fn create_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("make the directory", parent.display(), error))?;
    }
    Ok(own_file::replace(path, bytes)?)
}
