use super::memory::Recall;
pub(super) use super::memory::identity;
use super::state_document::StateDocument;
use super::workers::{Shared, Workers};
use crate::digest::Digests;
use crate::failure::{Failure, Kind, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::{self, KEY_FILES_MISSING, KeyUri, Passphrases, Secret, Signers, Use};
use crate::layout::ObjectName;
use crate::metadata::{Expiry, Lifetimes, ROOT_LIMIT, RepositoryLabel, Role, Root, Target};
use crate::openpgp::SigningKey;
use crate::policy::clocks;
use crate::repository::{
    BINS, Committed, Committer, Edit, Home, KnownStore, PlainNames, Present, Progress, Renewal, Versions, Witness, check_signers, load,
};
use crate::storage::probe::Probe;
use crate::storage::{Conditions, RawPlus, Storage};
use crate::tree::TreeFile;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Everything an operation works with: the store, the pinned root, the keys by reference, the clock.
pub struct Workspace {
    /// Where the repository is stored.
    pub storage: Box<dyn Storage>,
    /// The root file that is trusted without question.
    pub pinned_root: PathBuf,
    /// What people call the repository.
    pub label: RepositoryLabel,
    /// The names of the people who hold keys.
    pub key_names: PathBuf,
    /// Key references by role.
    pub keys: BTreeMap<Role, Vec<KeyUri>>,
    /// Key references of the bins; empty where the targets key signs them.
    pub bin_keys: Vec<KeyUri>,
    /// Where the OpenPGP key is stored.
    pub openpgp: KeyUri,
    /// The certificate of an OpenPGP key that is not in a file.
    pub openpgp_certificate: PathBuf,
    /// Opens encrypted keys.
    pub passphrases: Box<dyn Passphrases>,
    /// How long what is signed is valid.
    pub lifetimes: Lifetimes,
    /// Remembers the highest versions seen.
    pub state: StateDocument,
    /// Which plain names to keep.
    pub plain_names: PlainNames,
    /// Tells this location from others in the state file: for a store with its endpoint.
    pub store_identity: String,
    /// Where versions are learned from that the state file does not have.
    pub recall: Recall,
    /// Whether clients get objects with `+` in their names, if the config states it.
    pub raw_plus: Option<RawPlus>,
    /// The operator's statement that there is no other publisher.
    pub single_publisher: bool,
    /// What this run found out about the store.
    pub found: OnceLock<KnownStore>,
    /// Set once a wrong clock was reported: once for each command.
    pub clock_reported: OnceLock<()>,
    /// SHA-512 beside SHA-256 for new targets.
    pub sha512: bool,
    /// Take an older state than the one seen before.
    pub accept_rollback: bool,
    /// The operator's statement which versions clients have seen.
    pub versions_above: Versions,
    /// The clock.
    pub clock: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// Told how far things are.
    pub progress: Box<dyn Progress>,
    /// What this process shares with others that work on the repository.
    pub shared: Shared,
    /// Who signs, if it is not this process.
    pub workers: Option<Workers>,
}

/// What follows from a wrong clock, and what to do.
const WRONG_CLOCK: &str = "correct the clock that is wrong; until then, roles expire too late or are not signed again in time";

/// More versions than a worker can have signed since it last saw what was published.
const LAG: u64 = 100;

impl Workspace {
    /// The clock's time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The pinned root file.
    pub fn pinned(&self) -> Result<Vec<u8>> {
        read_pinned_root(&self.pinned_root)
    }

    /// Loads and verifies the published state, and refuses one that is older than the state seen before.
    pub fn load(&self) -> Result<Present> {
        let pinned = self.pinned()?;
        // Before the repository: another publisher on this machine may remember a newer state while we read.
        let asking = self.ask_public(&pinned);
        let seen = self.seen(&pinned);
        let asked = asking.is_some();
        let present = load(self.storage.as_ref(), &pinned, self.now())?;
        match self.check_seen(&present, seen.clone(), asking) {
            Ok(()) => Ok(present),
            // Another publisher may have committed after this was read, and before users were served what it is compared with.
            Err(_) if asked => {
                let present = load(self.storage.as_ref(), &pinned, self.now())?;
                self.check_seen(&present, seen, None).map(|()| present)
            }
            Err(older) => Err(older),
        }
    }

    /// The versions that clients have seen, where the repository is older and that was accepted: a restored backup goes on
    /// above them, or clients would refuse it for ever.
    pub(super) fn floor(&self) -> Versions {
        let mut floor = if self.accept_rollback { self.seen_versions().unwrap_or_default() } else { Versions::default() };
        if self.workers.is_some() && floor != Versions::default() {
            // A worker remembers the state that it began with, and has not seen what became of its last signatures.
            floor = Versions { root: 0, targets: floor.targets + LAG, snapshot: floor.snapshot + LAG, timestamp: floor.timestamp + LAG };
        }
        floor.newest(&self.versions_above)
    }

    /// Whether new versions skip some, because the published state is older than the one that clients have seen. Every online
    /// role must follow then, and every bin: clients refuse each of them that is older than they know it.
    pub(super) fn signs_above(&self, present: &Present) -> bool {
        let (now, floor) = (present.versions(), self.floor());
        let rolled_back = self.accept_rollback && self.seen_versions().is_some_and(|seen| seen.root > now.root);
        rolled_back || Role::ONLINE.iter().any(|role| floor.of(*role) > now.of(*role))
    }

    /// Must be called before anything is written: refuses while work is paused.
    pub(super) fn begin_changes(&self) -> Result<()> {
        self.shared.check_pause()?;
        self.begin_changes_even_paused()
    }

    /// Refuses a store that does not refuse what it must, unless the operator
    /// states that there is no other publisher. What is not known yet is tested, and recorded.
    pub(super) fn begin_changes_even_paused(&self) -> Result<()> {
        let conditions = match self.known_conditions()? {
            Some(conditions) => conditions,
            None => {
                self.progress.phase("trying out the store");
                let conditions = Probe::new(self.storage.as_ref())?.conditions()?;
                let _ = self.found.set(KnownStore { identity: self.store_identity.clone(), conditions, raw_plus: None });
                conditions
            }
        };
        if conditions == Conditions::Enforced || self.single_publisher {
            return Ok(());
        }
        Err(Failure::new(Kind::Invalid, format!("{} ignores the conditions that keep publishers apart", self.storage.location()))
            .hint("use a store that enforces them; `publish store check` shows what was found")
            .hint("if there is no other publisher, put `single_publisher: true` into the config; nothing enforces it"))
    }

    /// Warns of a clock that is not the store's. A store that does not report its time is no reason to stop.
    pub(super) fn compare_clocks(&self) {
        let theirs = self.storage.clock().ok().flatten();
        let apart = theirs.and_then(|theirs| clocks::disagreement(self.now(), theirs.into()));
        self.report_clock(apart.map(|apart| format!("{apart}; {WRONG_CLOCK}")));
    }

    /// Refuses to make OpenPGP signatures that are dated in the future by the store's clock.
    pub(super) fn check_clock_of_signatures(&self) -> Result<()> {
        let theirs = self.storage.clock().ok().flatten();
        theirs.map_or(Ok(()), |theirs| clocks::check_signatures(self.now(), theirs.into()))
    }

    /// Refuses to publish the secret keys of this publisher: `add-targets keys` is one slip away.
    pub(super) fn check_no_secret<'f>(&self, files: impl Iterator<Item = &'f TreeFile>) -> Result<()> {
        let uris = self.keys.values().flatten().chain(&self.bin_keys).chain([&self.openpgp]);
        let paths = uris.filter_map(|uri| if let KeyUri::File(path) = uri { Some(path.clone()) } else { None });
        let paths = paths.flat_map(|path| [path.with_extension("revocation.asc"), path]);
        let secrets: HashSet<(u64, u64)> =
            paths.filter_map(|path| std::fs::metadata(path).ok()).map(|found| (found.dev(), found.ino())).collect();
        let found: Vec<String> = files.filter(|file| secrets.contains(&file.identity())).map(TreeFile::shown).collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid("secret keys of this publisher are among the files; nothing was published")
            .problems(found)
            .hint("name only the files that users need"))
    }

    /// What is wrong with this machine's clock, as far as that is known without a write.
    pub(super) fn clock_fault(&self, timestamp: Expiry) -> Option<String> {
        let theirs = self.storage.known_time();
        let apart = theirs.and_then(|theirs| clocks::disagreement(self.now(), theirs.into()));
        apart.map(|apart| format!("{apart}; {WRONG_CLOCK}")).or_else(|| clocks::beyond(self.now(), &self.lifetimes, timestamp))
    }

    fn report_clock(&self, warning: Option<String>) {
        if let Some(warning) = warning.filter(|_| self.clock_reported.set(()).is_ok()) {
            self.progress.warning(&warning);
        }
    }

    /// The store's time, by which ages are computed; refused if this machine's clock is not the same.
    pub(super) fn stores_time(&self) -> Result<DateTime<Utc>> {
        let theirs = match self.storage.clock()? {
            Some(theirs) => theirs,
            None => Probe::new(self.storage.as_ref())?.clock()?,
        };
        let theirs = DateTime::<Utc>::from(theirs);
        match clocks::disagreement(self.now(), theirs) {
            None => Ok(theirs),
            Some(apart) => Err(Failure::new(Kind::Conflict, apart)
                .detail("what is deleted depends on the age of each object, so nothing was deleted")
                .hint("correct the clock that is wrong, then run the same command again")),
        }
    }

    /// Whether the store is known to refuse what it must.
    pub(super) fn known_conditions(&self) -> Result<Option<Conditions>> {
        Ok(self.storage.conditions().or(self.remembered_store().map(|known| known.conditions)))
    }

    /// Whether clients are known not to get objects with `+` in their names.
    pub(super) fn plus_is_broken(&self) -> Result<bool> {
        let known = self.raw_plus.or(self.remembered_store().and_then(|known| known.raw_plus));
        Ok(known == Some(RawPlus::Broken))
    }

    /// Opens the keys of these roles and checks that the root accepts enough of them. A key that cannot be opened is
    /// missed only where it is needed.
    pub fn signers(&self, root: &Root, roles: &[Role]) -> Result<Signers> {
        let here: Vec<Role> = roles.iter().copied().filter(|role| self.signs(*role)).collect();
        self.local_signers(root, &here)
    }

    /// Opens the keys of these roles that are on this machine, whichever process signs otherwise.
    pub(super) fn local_signers(&self, root: &Root, roles: &[Role]) -> Result<Signers> {
        let mut signers = Signers::new();
        let mut failures = Vec::new();
        for role in roles {
            failures.extend(self.open_keys(&mut signers, *role));
        }
        self.check_enough(root, &signers, roles, failures)?;
        Ok(signers)
    }

    /// Opens the configured keys of a role; gives back why some could not be.
    fn open_keys(&self, signers: &mut Signers, role: Role) -> Vec<Failure> {
        let (opened, failures) = keys::load_all(self.keys.get(&role).map_or(&[][..], Vec::as_slice), self.passphrases.as_ref());
        signers.entry(role).or_default().extend(opened);
        failures
    }

    /// Refuses too few keys, with the reasons of those that could not be opened first.
    fn check_enough(&self, root: &Root, signers: &Signers, roles: &[Role], failures: Vec<Failure>) -> Result<()> {
        let missing = check_signers(root, signers, roles);
        let mut failures = failures.into_iter();
        match (missing, failures.next()) {
            (Err(_), Some(first)) => Err(failures.fold(first, Failure::and)),
            (Err(missing), None) => Err(missing),
            (Ok(()), first) => {
                for failure in first.into_iter().chain(failures) {
                    self.progress.status(&format!("going on without a key: {}", failure.message));
                }
                Ok(())
            }
        }
    }

    /// Whether this process signs a role itself: workers sign all but the root.
    pub(super) fn signs(&self, role: Role) -> bool {
        role == Role::Root || self.workers.is_none()
    }

    /// The keys of the one role that a worker signs.
    pub(super) fn worker_signers(&self, present: &Present, role: Role) -> Result<Signers> {
        let mut signers = Signers::new();
        // With bins that have keys of their own, the top-level key may be kept elsewhere.
        let elsewhere = role == Role::Targets && !self.bin_keys.is_empty() && present.bins.is_some() && !self.has_keys(role);
        if !elsewhere {
            let failures = self.open_keys(&mut signers, role);
            self.check_enough(present.trust.root(), &signers, &[role], failures)?;
        }
        if role == Role::Targets {
            let load = |uri: &KeyUri| keys::load(uri, self.passphrases.as_ref());
            signers.entry(role).or_default().extend(self.bin_keys.iter().map(load).collect::<Result<Vec<_>>>()?);
        }
        Ok(signers)
    }

    /// Opens the keys that sign the bins and adds them to those of the targets role; refuses too few.
    pub(super) fn add_bin_signers(&self, present: &Present, signers: &mut Signers) -> Result<()> {
        let Some(bins) = present.bins.as_ref().filter(|_| self.signs(Role::Targets)) else { return Ok(()) };
        let uris = if self.bin_keys.is_empty() { self.keys.get(&Role::Targets).map_or(&[][..], Vec::as_slice) } else { &self.bin_keys };
        let at_hand = signers.entry(Role::Targets).or_default();
        // One of several keys may be missing, where the bins do not need it.
        let (opened, failures) = keys::load_all(uris, self.passphrases.as_ref());
        for signer in opened {
            if !at_hand.iter().any(|known| known.public().same_material(signer.public())) {
                at_hand.push(signer);
            }
        }
        let Err(missing) = bins.check_signers(at_hand) else { return Ok(()) };
        Err(match failures.into_iter().reduce(Failure::and) {
            Some(failures) if failures.kind == Kind::Passphrase => failures,
            Some(failures) => bins_unsigned(present, failures),
            None => bins_unsigned(present, missing),
        })
    }

    /// The keys for a change of targets: those of the top-level role and of the bins, as far as the names need them.
    pub(super) fn target_signers<'n>(&self, present: &Present, names: impl Iterator<Item = &'n str>) -> Result<Signers> {
        let homes = names.map(|name| present.home(name)).collect::<Result<Vec<Home>>>()?;
        let mut roles = vec![Role::Snapshot, Role::Timestamp];
        if homes.contains(&Home::Top) {
            roles.push(Role::Targets);
        }
        let mut signers = self.signers(present.trust.root(), &roles)?;
        if homes.iter().any(|home| *home != Home::Top) {
            self.add_bin_signers(present, &mut signers)?;
        }
        Ok(signers)
    }

    /// Whether all keys configured for a role seem to be at hand.
    pub(super) fn has_keys(&self, role: Role) -> bool {
        self.keys.get(&role).is_some_and(|uris| uris.iter().all(KeyUri::is_at_hand))
    }

    /// Whether enough of the keys configured for a role seem to be at hand to sign it.
    pub(super) fn has_enough_keys(&self, root: &Root, role: Role) -> bool {
        let at_hand = self.keys.get(&role).map_or(0, |uris| uris.iter().filter(|uri| uri.is_at_hand()).count());
        at_hand as u64 >= root.role(role).threshold
    }

    /// The bytes of the OpenPGP key file.
    fn openpgp_file(&self) -> Result<Zeroizing<Vec<u8>>> {
        keys::read_secret(&self.openpgp)
    }

    /// Opens the OpenPGP key.
    pub fn openpgp_key(&self) -> Result<SigningKey> {
        if let Some(signer) = keys::load_for_openpgp(&self.openpgp, self.passphrases.as_ref())? {
            let key = SigningKey::remote(&self.openpgp_certificate()?, &self.openpgp.origin(), self.now(), signer)?;
            return key.try_out().map(|()| key);
        }
        let file = self.openpgp_file()?;
        keys::unlocked(self.passphrases.as_ref(), Use::OpenPgp, |unlock| {
            let unlock = |what: &str| unlock(what).map(|secret: Secret| Zeroizing::new(secret.expose().to_vec()));
            SigningKey::load(&file, &self.openpgp.origin(), self.now(), &unlock)
        })
    }

    /// The OpenPGP certificate: in the key's own file, or beside a key that is stored elsewhere.
    pub fn openpgp_certificate(&self) -> Result<Zeroizing<Vec<u8>>> {
        if matches!(self.openpgp, KeyUri::File(_) | KeyUri::Env(_)) {
            return self.openpgp_file();
        }
        if let Some(certificate) = keys::openpgp_certificate(&self.openpgp)? {
            return Ok(Zeroizing::new(certificate));
        }
        read_given(&self.openpgp_certificate, GIVEN_FILE_LIMIT).map(Zeroizing::new).map_err(|error| {
            Failure::io("read the OpenPGP certificate", self.openpgp_certificate.display(), error)
                .hint("a key that does not live in a file has its certificate in `openpgp_certificate`; make one with: publish key certify")
        })
    }

    /// Commits an edit planned on `present` and remembers what is published then.
    pub fn commit(&self, present: Present, edit: &Edit, signers: &Signers) -> Result<Committed> {
        self.commit_before(present, edit, signers, None)
    }

    /// The same, with a witness.
    pub(super) fn commit_before(
        &self,
        present: Present,
        edit: &Edit,
        signers: &Signers,
        witness: Option<&dyn Witness>,
    ) -> Result<Committed> {
        let Some(workers) = self.workers.as_ref().filter(|_| !edit.is_empty()) else {
            if edit.is_empty() || !self.signs_above(&present) {
                return self.commit_here(present, edit, signers, witness);
            }
            let edit = with_every_role(edit, &present);
            let mut signers = self.signers(present.trust.root(), &Role::ONLINE)?;
            self.add_bin_signers(&present, &mut signers)?;
            return self.commit_here(present, &edit, &signers, witness);
        };
        witness.map_or(Ok(()), |witness| witness.asks(&present))?;
        let committed = super::workers::commit(self, workers, present, edit)?;
        witness.inspect(|witness| witness.published());
        Ok(committed)
    }

    /// The same with the keys at hand, whichever process signs otherwise.
    pub(super) fn commit_locally(&self, present: Present, edit: &Edit, signers: &Signers) -> Result<Committed> {
        self.commit_here(present, edit, signers, None)
    }

    fn commit_here(&self, present: Present, edit: &Edit, signers: &Signers, witness: Option<&dyn Witness>) -> Result<Committed> {
        // A directory's clock is the date of a new file: a run that changes nothing writes none.
        if !edit.is_empty() {
            self.compare_clocks();
        }
        if let Some((timestamp, _)) = present.trust.listings() {
            self.report_clock(clocks::beyond(self.now(), &self.lifetimes, timestamp.expires()));
        }
        let pinned = self.pinned()?;
        let committer = Committer { witness, ..self.committer(&pinned, signers) };
        let mut committed = committer.commit(present, edit)?;
        if let Err(failure) = self.remember(&committed.versions) {
            // It is published: a failure here would report that it is not.
            committed.warnings.push(format!("the versions published now were not remembered: {}", failure.message));
        }
        Ok(committed)
    }

    /// The content of a small target such as a channel, from whichever of its names holds it.
    pub(super) fn read_small(&self, name: &str, target: &Target) -> Result<Option<Vec<u8>>> {
        let hashed = target.hashes.prefixes().map(|hash| ObjectName::hashed_target(name, &hash));
        for place in hashed.chain([ObjectName::plain_target(name)]) {
            if let Some(object) = self.storage.get(&place, 4096)?
                && target.matches(&Digests::both_of(&object.bytes))
            {
                return Ok(Some(object.bytes));
            }
        }
        Ok(None)
    }

    /// A committer on this workspace's store.
    pub(super) fn committer<'a>(&'a self, pinned: &'a [u8], signers: &'a Signers) -> Committer<'a> {
        Committer {
            storage: self.storage.as_ref(),
            pinned,
            signers,
            plain_names: self.plain_names,
            clock: &*self.clock,
            lifetimes: self.lifetimes,
            progress: self.progress.as_ref(),
            upper: None,
            replacement: None,
            floor: self.floor(),
            witness: None,
        }
    }

    /// Refuses to build on an expired root: clients refuse everything below it.
    pub(super) fn check_root(&self, present: &Present) -> Result<()> {
        let root = present.trust.root();
        if root.expires() > self.now() {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Untrusted,
            format!(
                "the root expired on {}; clients refuse everything until it is renewed",
                crate::metadata::format_expiry(root.expires())
            ),
        )
        .hint("renew it, then run this command again: publish refresh"))
    }
}

/// Reads the file of the pinned root.
pub(crate) fn read_pinned_root(path: &Path) -> Result<Vec<u8>> {
    read_given(path, ROOT_LIMIT).map_err(|error| {
        Failure::io("read the pinned root", path.display(), error)
            .hint(KEY_FILES_MISSING)
            .hint("where no repository was made yet, `publish init` makes it, with keys and repository")
    })
}

/// Bins that the keys at hand cannot sign, with the way out: the top-level targets key delegates to them.
pub(super) fn bins_unsigned(present: &Present, failure: Failure) -> Failure {
    let behind = present.bins_behind().is_ok_and(|behind| behind.is_some());
    failure.hint(if behind {
        "the targets keys were replaced and the bins were not signed by the new ones: `publish refresh` does that"
    } else {
        "if their keys are lost: `publish bins --rekey` delegates the bins to the configured keys and signs them again"
    })
}

/// The edit, which signs every online role and the bins too.
fn with_every_role(edit: &Edit, present: &Present) -> Edit {
    let (mut edit, versions) = (edit.clone(), present.versions());
    let online = Role::ONLINE.iter().map(|role| Renewal { role: role.name().into(), version: versions.of(*role) });
    let bins = present.bins.as_ref().map(|bins| Renewal { role: BINS.into(), version: bins.role.version() });
    for renewal in online.chain(bins) {
        if !edit.renewals.iter().any(|known| known.role == renewal.role) {
            edit.renewals.push(renewal);
        }
    }
    edit
}
