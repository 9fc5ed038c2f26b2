//! `publish init`: keys, root metadata, config, first signed roles. Killed anywhere, it is finished by running it again:
//! every file is created once and used as it is from then on. A repository that was published before is never begun again:
//! its clients would see a rollback.

mod existing;

use self::existing::Existing;
use super::change::openpgp::keep_openpgp;
use super::{Outcome, Publisher, own_file};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::{self, KEY_FILES_MISSING, KeyUri, Secret, Signers, Use};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{KeyIdStyle, KeyKind, PublicKey, ROOT_LIMIT, Role, Root};
use crate::names::{ObjectName, certificate_name};
use crate::openpgp::{Algorithm, Certificates, check_certificate, generate};
use crate::policy::client_roots;
use crate::policy::clocks::Moment;
use crate::repository::sign_root;
use crate::storage::{Conditions, EtagQuotes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the user requests.
#[derive(Clone, Debug)]
pub struct InitRequest {
    /// The path of the config.
    pub config: PathBuf,
    /// Its text, written if there is none yet.
    pub config_text: String,
    /// Adds to that text what was found out about the store.
    pub add_store: fn(&str, FoundStore) -> String,
    /// Switch consistent snapshots on.
    pub consistent_snapshot: bool,
    /// How the ids of the keys are computed.
    pub key_ids: KeyIdStyle,
    /// Encrypt new keys.
    pub encrypt: bool,
    /// The kind of OpenPGP key to make, if there is none yet.
    pub algorithm: Algorithm,
    /// The user id of a new OpenPGP key.
    pub user_id: String,
}

/// What is written into a new config about the store: no other machine need try it out again.
#[derive(Clone, Copy, Debug)]
pub struct FoundStore {
    /// It enforces conditional writes.
    pub enforces_conditions: bool,
    /// ETags are sent back to it without quotes.
    pub strips_etag_quotes: bool,
}

/// What `init` will make, and what is there already.
#[derive(Debug, Serialize)]
pub struct InitPlan {
    /// Files to make.
    pub make: Vec<String>,
    /// Files that are used as they are.
    pub keep: Vec<String>,
    /// The place of the repository.
    pub location: String,
    /// Keys of a new repository that were not made for it.
    pub warnings: Vec<Message>,
    /// Whether everything is there already.
    pub empty: bool,
}

/// What users need to know.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// What was done.
    pub outcome: Outcome,
    /// The version of the pinned root: 1, but for repositories adopted from a later one.
    pub root_version: u64,
    /// SHA-512 of the pinned root in lower-case hex: what `trdl add` pins.
    pub root_sha512: String,
    /// The fingerprint of the OpenPGP certificate.
    pub fingerprint: String,
    /// The target name of the certificate; its plain name once the first release is published.
    pub certificate: String,
    /// The revocation certificate of a newly made key.
    pub revocation: Option<String>,
}

/// An `init` that was decided and is not carried out yet.
#[derive(Debug)]
pub struct PreparedInit {
    /// What people are shown, and what is in the JSON.
    pub plan: InitPlan,
    request: InitRequest,
}

/// Decides what there is to make. At a place that holds a repository already, nothing may be missing but what a killed run
/// makes after its keys: a key made now would be one that no root knows.
pub fn prepare(publisher: &Publisher, request: InitRequest) -> Result<PreparedInit> {
    let mut key_files: Vec<PathBuf> = publisher.keyring.roles.values().flatten().filter_map(|uri| uri.path().map(Path::to_owned)).collect();
    key_files.extend(publisher.keyring.openpgp.path().map(Path::to_owned));
    let missing: Vec<&PathBuf> = key_files.iter().filter(|path| !path.exists()).collect();
    let pinned = publisher.pinned_root.exists().then(|| publisher.pinned()).transpose()?;
    let existing = Existing::look(publisher, pinned.as_deref())?;
    existing.check(publisher, &request, pinned.as_deref())?;
    if (existing.any || pinned.is_some()) && !missing.is_empty() {
        return Err(keys_missing(publisher, existing.any, &missing));
    }
    if existing.published && existing.first.is_none() && existing.same_version.is_none() {
        return Err(Error::new(Kind::Untrusted, format!("1.root.json is missing from {}", publisher.storage.location()))
            .hint(format!("clients need it: restore it from a backup or a mirror; {} may be a copy", publisher.pinned_root.display())));
    }
    existing.check_unpublished(publisher, &request, pinned.as_deref())?;
    if !existing.published && publisher.keyring.openpgp.path().is_none_or(Path::exists) {
        // Before anything is made: a key that could not sign. No passphrase is needed to find that out.
        check_certificate(&publisher.keyring.certificate()?, &publisher.keyring.openpgp.origin(), publisher.now())?;
    }
    let mut files = vec![request.config.clone()];
    files.extend(key_files.iter().cloned());
    files.push(publisher.pinned_root.clone());
    let (keep, make): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|path| path.exists());
    let show = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let new = pinned.is_none() && !existing.any;
    let plan = InitPlan {
        warnings: if new { taken_keys(publisher) } else { pinned_anew(publisher, pinned.as_deref(), existing.first.as_deref()) },
        empty: make.is_empty() && existing.published,
        make: show(make),
        keep: show(keep),
        location: publisher.storage.location(),
    };
    Ok(PreparedInit { plan, request })
}

fn pin(file: &[u8]) -> crate::error::Result<TrustedMetadata> {
    TrustedMetadata::pin(file, AtExpiry::Report(chrono::DateTime::UNIX_EPOCH))
}

fn keys_missing(publisher: &Publisher, existing: bool, missing: &[&PathBuf]) -> Error {
    let what = if existing {
        format!("there is already a repository at {}", publisher.storage.location())
    } else {
        format!("{} names the keys of a repository", publisher.pinned_root.display())
    };
    Error::new(Kind::NotFound, format!("{what}, and keys of this config are missing; nothing was made"))
        .details(missing.iter().map(|path| format!("missing: {}", path.display())))
        .hint("`publish init` makes keys only for a new repository: no published root would contain a new key")
        .hint(KEY_FILES_MISSING)
        .hint("if you moved a key, write its new place into the config")
}

/// Role keys that exist already: two repositories that share keys accept each other's metadata.
fn taken_keys(publisher: &Publisher) -> Vec<Message> {
    let taken = |uri: &&KeyUri| uri.path().is_none_or(Path::exists);
    let mut keys: Vec<String> = publisher.keyring.roles.values().flatten().filter(taken).map(ToString::to_string).collect();
    keys.dedup();
    let warning = |key: String| {
        format!(
            "{key} exists already and becomes a key of this repository: if another repository has the same key, the clients of each accept metadata of the other"
        )
    };
    keys.into_iter().map(warning).map(|text| Message::new(Id::KeyTakenOver, text)).collect()
}

/// The pinned root is lost: the repository's own takes its place where all of its root keys are keys of this config.
fn pinned_anew(publisher: &Publisher, pinned: Option<&[u8]>, first: Option<&[u8]>) -> Vec<Message> {
    let Some(first) = first.filter(|_| pinned.is_none()) else { return Vec::new() };
    let (path, digest) = (publisher.pinned_root.display(), hex::encode(openssl::sha::sha512(first)));
    let text = format!(
        "{path} is missing: 1.root.json of the repository takes its place if all of its root keys are keys of this config. Compare its SHA-512 {digest} with the `trdl add` line that you gave your users"
    );
    vec![Message::new(Id::PinnedRootTakenOver, text)]
}

/// Makes what is missing.
pub fn carry_out(publisher: &Publisher, prepared: PreparedInit) -> Result<InitReport> {
    let request = &prepared.request;
    publisher.begin_changes()?;
    // Prompts come before any file: a run that was cancelled there leaves nothing that the next one would have to match.
    let passphrases = NewPassphrases::choose(publisher, request)?;
    let made = create_file(&request.config, config_text(publisher, request).as_bytes())?;
    let revocation = make_keys(publisher, request, &passphrases).inspect_err(|_| {
        if made && no_key_exists(publisher) {
            let _ = std::fs::remove_file(&request.config);
        }
    })?;
    let mut signers = Signers::new();
    let mut public: BTreeMap<Role, PublicKey> = BTreeMap::new();
    for role in Role::ALL {
        for uri in publisher.keyring.of(role) {
            let signer = publisher.keyring.load(uri)?;
            public.insert(role, signer.public().clone());
            signers.entry(role).or_default().push(signer);
        }
    }
    let first = make_root(publisher, request, &public, &signers)?;
    let mut certificates = Certificates::default();
    let fingerprint = certificates.add(&publisher.keyring.certificate()?, "the OpenPGP key")?;
    publisher.progress.phase("publishing the first roles");
    let published = publisher.storage.get(&ObjectName::timestamp(), crate::metadata::TIMESTAMP_LIMIT)?.is_some();
    let committed = if published {
        publisher.commit(publisher.load()?, &Default::default(), &signers)?
    } else {
        publisher.compare_clocks();
        publisher.committer(&first, &signers).commit_first()?
    };
    publisher.remember(&committed.versions)?;
    Ok(InitReport {
        outcome: committed.into(),
        root_version: pin(&first)?.root().version(),
        root_sha512: hex::encode(openssl::sha::sha512(&first)),
        certificate: certificate_name(&fingerprint),
        fingerprint,
        revocation,
    })
}

/// The text of the config with what was just found out about the store.
fn config_text(publisher: &Publisher, request: &InitRequest) -> String {
    match publisher.conditions.found.get().filter(|_| !publisher.conditions.single_publisher) {
        None => request.config_text.clone(),
        Some(found) => (request.add_store)(
            &request.config_text,
            FoundStore {
                enforces_conditions: found.conditions == Conditions::Enforced,
                strips_etag_quotes: publisher.storage.properties().etag_quotes == Some(EtagQuotes::Strip),
            },
        ),
    }
}

fn foreign(publisher: &Publisher) -> Error {
    Error::new(
        Kind::Conflict,
        format!("there is already a repository at {}, and it is not the one of this config", publisher.storage.location()),
    )
    .hint("choose an empty place with --repo, or run in the directory that holds that repository's publish.yaml")
}

/// The passphrases of the keys to make: one for each use.
struct NewPassphrases {
    roles: Option<Secret>,
    openpgp: Option<Secret>,
}

impl NewPassphrases {
    fn choose(publisher: &Publisher, request: &InitRequest) -> Result<Self> {
        let choose =
            |purpose: Use, needed: bool| (request.encrypt && needed).then(|| publisher.keyring.passphrases.choose(purpose)).transpose();
        Ok(Self {
            roles: choose(Use::Roles, missing_keys(publisher).next().is_some())?,
            openpgp: choose(Use::OpenPgp, missing_openpgp(publisher).is_some())?,
        })
    }
}

fn missing_keys(publisher: &Publisher) -> impl Iterator<Item = &Path> {
    publisher.keyring.roles.values().flatten().filter_map(KeyUri::path).filter(|path| !path.exists())
}

fn missing_openpgp(publisher: &Publisher) -> Option<&Path> {
    publisher.keyring.openpgp.path().filter(|path| !path.exists())
}

fn no_key_exists(publisher: &Publisher) -> bool {
    !publisher.keyring.roles.values().flatten().chain([&publisher.keyring.openpgp]).filter_map(KeyUri::path).any(Path::exists)
}

/// Makes the missing key files; returns where the revocation certificate of a new OpenPGP key is.
fn make_keys(publisher: &Publisher, request: &InitRequest, passphrases: &NewPassphrases) -> Result<Option<String>> {
    for path in missing_keys(publisher) {
        path.parent().map_or(Ok(()), keys::create_private_directory)?;
        tolerate_existing(keys::create(path, KeyKind::Ed25519, passphrases.roles.as_ref()))?;
    }
    let Some(path) = missing_openpgp(publisher) else { return Ok(None) };
    path.parent().map_or(Ok(()), keys::create_private_directory)?;
    publisher.progress.phase("making the OpenPGP key");
    let passphrase = passphrases.openpgp.as_ref();
    let generated = generate(request.algorithm, &request.user_id, passphrase.map(Secret::expose), publisher.now())?;
    Ok(Some(keep_openpgp(path, &generated)?.display().to_string()))
}

/// The first root: the pinned one, else the published one if it is ours, else a new one that is pinned before it is
/// published.
fn make_root(publisher: &Publisher, request: &InitRequest, public: &BTreeMap<Role, PublicKey>, signers: &Signers) -> Result<Vec<u8>> {
    if !publisher.pinned_root.exists() {
        let file = match publisher.storage.get(&ObjectName::root(1), ROOT_LIMIT)? {
            Some(published) if is_ours(&published.bytes, signers) => published.bytes,
            Some(_) => return Err(foreign(publisher)),
            None => {
                let root = Root::first(
                    public,
                    request.key_ids,
                    Moment::first(publisher.now(), publisher.lifetimes).expiry(Role::Root, None),
                    request.consistent_snapshot,
                )?;
                let file = sign_root(&root, None, signers.get(&Role::Root).map_or(&[], Vec::as_slice))?;
                client_roots::check(None, &file, "1.root.json")?;
                // Only what is noted as begun is completed by a later run.
                publisher.remember_beginning(&file);
                file
            }
        };
        create_file(&publisher.pinned_root, &file)?;
    }
    let first = publisher.pinned()?;
    if pin(&first)?.root().version() > 1 {
        // Of an adopted repository; the plan has found it published.
        return Ok(first);
    }
    let name = ObjectName::root(1);
    if !publisher.storage.create(&name, &first)? && publisher.storage.get(&name, ROOT_LIMIT)?.is_none_or(|there| there.bytes != first) {
        return Err(foreign(publisher));
    }
    Ok(first)
}

/// Whether a root can only be ours: every key that may sign roots is at hand here. The online keys may have been replaced since.
fn is_ours(file: &[u8], public: &Signers) -> bool {
    let Ok(trust) = pin(file) else { return false };
    let ours = public.get(&Role::Root).map_or(&[][..], Vec::as_slice);
    let at_hand = |key: &PublicKey| ours.iter().any(|signer| signer.public().same_material(key));
    let mut keys = trust.root().keys_of(Role::Root).peekable();
    keys.peek().is_some() && keys.all(|(_, key)| at_hand(key))
}

fn tolerate_existing(made: crate::error::Result<()>) -> Result<()> {
    match made {
        Err(failure) if failure.kind == Kind::Conflict => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a file whole or not at all, and returns whether it did; one that exists stays.
fn create_file(path: &Path, bytes: &[u8]) -> Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Error::io("make the directory", parent.display(), error))?;
    }
    own_file::replace(path, bytes)?;
    Ok(true)
}
