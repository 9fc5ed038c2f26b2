//! `publish adopt`: takes over a repository that another tool made. It is verified as a client would, its online keys are
//! found among the files given and kept in files of ours, and a config is written. Nothing in the repository changes:
//! names, key ids and entries stay as they are, and so does what clients see until the next publish.

use super::delegations::{Delegation, able_strangers, reachable};
use super::refresh::expiries;
use super::{Publisher, own_file};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::files::read_given;
use crate::keys::{self, FoundKey, Secret, Use};
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::metadata::{PublicKey, ROOT_LIMIT, Role, Target, format_expiry};
use crate::names::ObjectName;
use crate::policy::client_roots;
use crate::repository::{PlainNames, Versions, load};
use crate::tree::{Rules, Tree, TreeFile};
use rustix::fs::FileType;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory with more is not one of keys.
const MOST_KEY_FILES: usize = 10_000;

/// What the user requests.
#[derive(Clone, Debug)]
pub struct AdoptRequest {
    /// Files with keys, and directories of such.
    pub keys: Vec<PathBuf>,
    /// The root to start from; the repository's first one without it.
    pub root: Option<PathBuf>,
    /// Where keys go, named after their roles.
    pub directory: PathBuf,
    /// Encrypt the key files.
    pub encrypt: bool,
}

/// What adopting will do.
#[derive(Debug, Serialize)]
pub struct AdoptPlan {
    /// Where the repository is.
    pub location: String,
    /// SHA-512 of the root that will be pinned, in hex; people compare it with what they know.
    pub root_sha512: String,
    /// Its version.
    pub pinned: u64,
    /// The versions as they are.
    pub versions: Versions,
    /// How many targets there are.
    pub targets: usize,
    /// How many of them are named by SHA-512 alone.
    pub sha512_only: usize,
    /// Whether clients fetch versioned names.
    pub consistent_snapshot: bool,
    /// Whether another server serves the content.
    pub elsewhere: bool,
    /// The keys of each role.
    pub roles: Vec<AdoptedRole>,
    /// Every delegation that can be reached, with whether keys were found that can sign it.
    pub delegations: Vec<AdoptedDelegation>,
    /// Things worth a second look.
    pub notes: Vec<Message>,
    #[serde(skip)]
    work: Work,
}

/// A delegation of the repository.
#[derive(Debug, Serialize)]
pub struct AdoptedDelegation {
    /// What is delegated, and to whom.
    #[serde(flatten)]
    pub delegation: Delegation,
    /// Whether it is the adopter's own: keys were found that can sign it, and the other keys cannot.
    pub held: bool,
}

/// A role and the keys found for it.
#[derive(Debug, Serialize)]
pub struct AdoptedRole {
    /// Its name.
    pub role: &'static str,
    /// How many keys must sign.
    pub threshold: u64,
    /// Ids of keys that were found, with the file in the key directory that each will be kept in.
    pub found: BTreeMap<String, String>,
    /// Ids of keys that were not.
    pub missing: Vec<String>,
    /// Those among them and the keys that cannot be read, if they can sign the role without any key that was found.
    pub strangers: Vec<String>,
}

#[derive(Default)]
struct Work {
    pinned: Vec<u8>,
    keys: Vec<(PathBuf, FoundKey)>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

impl AdoptPlan {
    /// The files of a role's keys that were found, in the key directory; none for roles whose keys are elsewhere.
    pub fn key_files(&self, role: Role) -> Vec<String> {
        let role = self.roles.iter().find(|adopted| adopted.role == role.name());
        role.map(|adopted| adopted.found.values().cloned().collect()).unwrap_or_default()
    }
}

/// Verifies the repository and finds its keys; nothing is written.
pub fn plan(publisher: &Publisher, request: &AdoptRequest) -> Result<AdoptPlan> {
    let storage = publisher.storage.as_ref();
    let now = publisher.now();
    let pinned = first_root(publisher, request)?;
    let trust = TrustedMetadata::pin(&pinned, AtExpiry::Report(now))?;
    let mut present = load(storage, &pinned, now)?;
    present.read_all_bins(storage)?;
    let root = present.trust.root();
    let mut notes = Vec::new();
    for (role, expires) in expiries(&present)? {
        if expires <= now {
            notes.push(Message::new(
                Id::RoleExpired,
                format!("{role} expired on {}: clients refuse the repository until the role is signed again", format_expiry(expires)),
            ));
        }
    }
    let own = root.keys().iter().filter(|(id, key)| **id != key.id()).count();
    if own > 0 {
        notes.push(Message::new(
            Id::KeyIdsKept,
            format!("{own} of {} keys keep ids that the current specification computes in another way", root.keys().len()),
        ));
    }
    notes.extend(client_roots::lockouts(root, &[]).iter().map(|lockout| Message::new(Id::ClientLockedOut, lockout.to_string())));
    let (mut targets, mut sha512_only, mut some) = (0, 0, None);
    for (name, entry) in present.entries() {
        let target = Target::parse(entry, name)?;
        targets += 1;
        sha512_only += usize::from(target.hashes.sha256.is_none());
        some = some.or(Some((name.to_owned(), target)));
    }
    let elsewhere = match some {
        Some((name, target)) => {
            let hashed = target.hashes.prefixes().map(|hash| ObjectName::hashed_target(&name, &hash));
            let places = hashed.chain([ObjectName::plain_target(&name)]);
            let mut there = false;
            for place in places {
                there |= storage.stat(&place)?.is_some();
            }
            !there
        }
        None => publisher.plain_names == PlainNames::Elsewhere,
    };
    if elsewhere {
        let text = "there is no content below targets/: another server serves it (`plain_names: elsewhere`)";
        notes.push(Message::new(Id::ContentElsewhere, text));
    }
    if sha512_only > 0 {
        let text = format!("{sha512_only} targets are named by SHA-512 alone and stay so; new ones get SHA-256");
        notes.push(Message::new(Id::Sha512Only, text));
    }
    let (found, passed_over) = find_keys(publisher, request)?;
    let mut held = Vec::new();
    for candidate in &found {
        held.push(candidate.signer()?.public().clone());
    }
    let is_held = |key: &PublicKey| held.iter().any(|held| held.same_material(key));
    let mut work = Work { pinned: pinned.clone(), keys: Vec::new() };
    let mut roles = Vec::new();
    for role in Role::ALL {
        let (keyids, threshold) = (&root.role(role).keyids, root.role(role).threshold);
        let strangers = able_strangers(keyids, threshold, |id| root.keys().get(id), is_held);
        let mut adopted = AdoptedRole { role: role.name(), threshold, found: BTreeMap::new(), missing: Vec::new(), strangers };
        for (id, key) in root.keys_of(role) {
            let mut fitting = None;
            for candidate in &found {
                if candidate.signer()?.public().same_material(key) {
                    fitting = Some(candidate);
                }
            }
            let Some(fitting) = fitting else {
                adopted.missing.push(id.to_owned());
                continue;
            };
            let number = adopted.found.len();
            let file = if number == 0 { format!("{role}.pem") } else { format!("{role}-{}.pem", number + 1) };
            work.keys.push((request.directory.join(&file), fitting.clone()));
            adopted.found.insert(id.to_owned(), file);
        }
        let lacking = (adopted.found.len() as u64) < adopted.threshold;
        if lacking && role != Role::Root {
            notes.push(Message::new(
                Id::RoleKeysMissing,
                format!("{role} needs {} of its keys and {} were found: it cannot be signed here", adopted.threshold, adopted.found.len()),
            ));
        } else if lacking {
            notes.push(Message::new(
                Id::RoleKeysMissing,
                "not all root keys were found: sign roots with `publish root` on the machines that have them",
            ));
        }
        roles.push(adopted);
    }
    if roles.iter().any(|role| !role.missing.is_empty()) {
        notes.extend(
            passed_over
                .iter()
                .map(|path| Message::new(Id::FileWithoutKey, format!("{} contains no secret key in a supported form", path.display()))),
        );
    }
    let delegations = reachable(storage, &present, is_held)?;
    Ok(AdoptPlan {
        delegations: delegations.into_iter().map(|(delegation, held)| AdoptedDelegation { delegation, held }).collect(),
        location: storage.location(),
        root_sha512: hex::encode(openssl::sha::sha512(&pinned)),
        pinned: trust.root().version(),
        versions: present.versions(),
        targets,
        sha512_only,
        consistent_snapshot: root.consistent_snapshot(),
        elsewhere,
        roles,
        notes,
        work,
    })
}

/// Keeps the keys and the pinned root. The config is written by the caller, last: it makes the publisher.
pub fn apply(publisher: &Publisher, request: &AdoptRequest, plan: &AdoptPlan) -> Result<()> {
    keys::create_private_directory(&request.directory)?;
    let passphrase: Option<Secret> =
        if request.encrypt && !plan.work.keys.is_empty() { Some(publisher.keyring.passphrases.choose(Use::Roles)?) } else { None };
    for (path, key) in &plan.work.keys {
        match key.save(path, passphrase.as_ref()) {
            // A killed run's.
            Err(failure) if failure.kind == Kind::Conflict && is_kept(publisher, path, key) => {}
            other => other?,
        }
    }
    own_file::replace(&publisher.pinned_root, &plan.work.pinned)?;
    publisher.remember(&plan.versions)
}

fn is_kept(publisher: &Publisher, path: &Path, key: &FoundKey) -> bool {
    let kept = publisher.keyring.load(&keys::KeyUri::File(path.to_owned()));
    kept.ok().zip(key.signer().ok()).is_some_and(|(kept, key)| kept.public().same_material(key.public()))
}

/// The root that is given, or the repository's oldest.
fn first_root(publisher: &Publisher, request: &AdoptRequest) -> Result<Vec<u8>> {
    if let Some(path) = &request.root {
        return read_given(path, ROOT_LIMIT).map_err(|error| Error::io("read the root", path.display(), error));
    }
    for name in [ObjectName::root(1), ObjectName::plain_role(Role::Root)] {
        if let Some(object) = publisher.storage.get(&name, ROOT_LIMIT)? {
            return Ok(object.bytes);
        }
    }
    Err(Error::new(Kind::NoRepository, format!("there is neither 1.root.json nor root.json at {}", publisher.storage.location()))
        .hint("name the directory or bucket that holds the metadata, and a root with --root"))
}

/// Every key in the files given. In a directory, files that hold none are passed over, and named.
fn find_keys(publisher: &Publisher, request: &AdoptRequest) -> Result<(Vec<FoundKey>, Vec<PathBuf>)> {
    let mut found = Vec::new();
    let mut passed_over = Vec::new();
    for given in &request.keys {
        if given.is_file() {
            let more = keys::found_in(given, publisher.keyring.passphrases.as_ref())?;
            if more.is_empty() {
                return Err(Error::invalid(format!("{} contains no secret key", given.display())));
            }
            found.extend(more);
            continue;
        }
        let tree = Tree::open(given)?;
        for path in regular_files(&tree)? {
            let shown = given.join(&path);
            match keys_in(publisher, &tree, &path, &shown)? {
                more if more.is_empty() => passed_over.push(shown),
                more => found.extend(more),
            }
        }
    }
    Ok((found, passed_over))
}

/// The keys in one file of a directory; none in a file that holds none or cannot be read.
fn keys_in(publisher: &Publisher, tree: &Arc<Tree>, path: &Path, shown: &Path) -> Result<Vec<FoundKey>> {
    let Ok((open, file)) = tree.file(path, Rules::default()).and_then(|file| Ok((file.open()?, file))) else { return Ok(Vec::new()) };
    match keys::found_in_open(&open, shown, publisher.keyring.passphrases.as_ref()) {
        // What others may read and is no secret, such as a root beside the keys, is passed over.
        Err(failure) if failure.kind == Kind::Permission && may_be_secret(&file) => Err(failure),
        Err(failure) if matches!(failure.kind, Kind::Invalid | Kind::Permission) => Ok(Vec::new()),
        found => Ok(found?),
    }
}

/// The regular files of a directory and of those in it, sorted.
fn regular_files(tree: &Arc<Tree>) -> Result<Vec<PathBuf>> {
    let list = |directory: &Path| {
        let failed = |error| Error::io("read the directory", tree.shown(directory), error);
        tree.list(directory, Rules::default(), MOST_KEY_FILES).map_err(failed)
    };
    let mut files = Vec::new();
    for (name, kind) in list(Path::new(""))? {
        let path = PathBuf::from(name);
        match kind {
            FileType::RegularFile => files.push(path),
            FileType::Directory => {
                let below = list(&path)?.into_iter().filter(|(_, kind)| *kind == FileType::RegularFile);
                files.extend(below.map(|(name, _)| path.join(name)));
            }
            _ => {}
        }
    }
    Ok(files)
}

/// No marks of a secret are looked for beyond the longest key file.
fn may_be_secret(file: &TreeFile) -> bool {
    let mut bytes = Vec::new();
    let read = file.open().map(|open| open.take(1 << 20).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    !matches!(read, Ok(Ok(_))) || ["PRIVATE KEY", "\"private\"", "\"encrypted\"", "@@@@"].iter().any(|mark| text.contains(mark))
}
