//! A publisher in this process, on a directory, with a clock and faults of the test's choosing.

use chrono::{DateTime, TimeDelta, Utc};
use publish::error::Result;
use publish::keys::{KeyUri, Passphrases, Secret, Use};
use publish::metadata::Role;
use publish::names::ReleaseVersion;
use publish::operation::change::add_targets::{self, AddTargetsRequest};
use publish::operation::change::bins::{self, BinsRequest};
use publish::operation::change::carry_out;
use publish::operation::change::channels;
use publish::operation::change::channels::ChannelsRequest;
use publish::operation::change::release::{self, ReleaseRequest};
use publish::operation::init::{self, InitRequest};
use publish::operation::verify::{Anchor, VerifyRequest, verify};
use publish::operation::workers::Shared;
use publish::operation::{Keyring, Outcome, Publisher, Recall, StateDocument, VersionMemory};
use publish::repository::{Quiet, load};
use publish::storage::{LocalDirectory, Observed, Storage};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Trial {
    pub dir: TempDir,
    now: DateTime<Utc>,
}

struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn get(&self, _: Use, what: &str) -> publish::error::Result<Secret> {
        panic!("{what} is not encrypted")
    }
    fn choose(&self, _: Use) -> publish::error::Result<Secret> {
        panic!("keys are not encrypted")
    }
}

/// Memory is kinder than a disk to tests that flush a thousand times; the calls are the same.
pub fn fast_directory() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { TempDir::new_in(shm).unwrap() } else { TempDir::new().unwrap() }
}

impl Trial {
    pub fn new() -> Self {
        Self::with(true)
    }

    pub fn with(consistent_snapshot: bool) -> Self {
        let trial = Self { dir: fast_directory(), now: Utc::now() };
        trial.build("linux-amd64/bin/acme", b"one");
        trial.build("any-any/bin/acme", b"two");
        let request = InitRequest {
            config: trial.path("publish.yaml"),
            config_text: "# test\n".into(),
            add_store: publish::config::Config::with_store,
            consistent_snapshot,
            key_ids: publish::metadata::KeyIdStyle::Specification,
            encrypt: false,
            algorithm: publish::openpgp::Algorithm::Ed25519,
            user_id: "test".into(),
        };
        let publisher = trial.publisher();
        init::carry_out(&publisher, init::prepare(&publisher, request).unwrap()).unwrap();
        trial
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn build(&self, file: &str, content: &[u8]) {
        let path = self.path("dist").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The publisher's clock; those of clients may differ.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub fn wait(&mut self, span: TimeDelta) {
        self.now += span;
    }

    pub fn publisher(&self) -> Publisher {
        self.publisher_on(Box::new(LocalDirectory::new(self.path("repo"))))
    }

    pub fn publisher_on(&self, storage: Box<dyn Storage>) -> Publisher {
        let now = self.now;
        // The store's clock is this one too: files are dated by the machine's.
        let storage = Box::new(Observed::new(storage, |_| Ok(())).with_clock(move || now.into()));
        let keyring = Keyring {
            roles: Role::ALL.into_iter().map(|role| (role, vec![KeyUri::File(self.path(&format!("keys/{role}.pem")))])).collect(),
            bins: Vec::new(),
            openpgp: KeyUri::File(self.path("keys/openpgp.asc")),
            openpgp_certificate: self.path("keys/openpgp.cert.asc"),
            names: self.path("names.json"),
            passphrases: Box::new(NoPassphrase),
        };
        let memory = VersionMemory::new(StateDocument::file(self.path("state.json")), "test".into(), Recall::default());
        let shared = Shared::new(Box::new(publish::storage::Memory::default()), 1 << 20);
        Publisher::new(storage, self.path("keys/1.root.json"), keyring, memory, shared).with_clock(Box::new(move || now))
    }

    pub fn release_request(&self, version: &str) -> ReleaseRequest {
        ReleaseRequest {
            version: ReleaseVersion::parse(version).unwrap(),
            from: self.path("dist"),
            platforms: Default::default(),
            resign: false,
            allow_desktop_files: false,
            channels: None,
        }
    }

    pub fn release(&self, version: &str) -> Result<Outcome> {
        self.release_on(&self.publisher(), version)
    }

    pub fn release_on(&self, publisher: &Publisher, version: &str) -> Result<Outcome> {
        carry_out(publisher, release::prepare(publisher, &self.release_request(version))?)
    }

    pub fn channels_on(&self, publisher: &Publisher, version: &str) -> Result<Outcome> {
        let file = self.path("channels.yaml");
        fs::write(
            &file,
            format!(
                "groups:\n- name: \"1\"\n  channels:\n  - {{name: stable, version: {version}}}\n  - {{name: beta, version: {version}}}\n"
            ),
        )
        .unwrap();
        carry_out(
            publisher,
            channels::prepare(publisher, &ChannelsRequest { file, allow_downgrade: true, allow_missing_platforms: true, prune: false })?,
        )
    }

    /// The result of a new client that reads everything.
    pub fn client(&self) -> Verdict {
        let storage = LocalDirectory::new(self.path("repo"));
        let anchor = Anchor::File(fs::read(self.path("keys/1.root.json")).unwrap());
        let report = verify(&VerifyRequest {
            lifetimes: Default::default(),
            source: &storage,
            anchor,
            certificates: Vec::new(),
            now: self.now,
            progress: &Quiet,
            metadata_only: false,
        })
        .unwrap();
        let errors: Vec<String> = report
            .findings
            .iter()
            .filter(|finding| finding.severity == publish::operation::verify::Severity::Error)
            .map(|finding| format!("{}: {}", finding.subject, finding.message))
            .collect();
        Verdict(if errors.is_empty() { Ok(report.versions.timestamp) } else { Err(errors) })
    }

    /// Signs a change of the top-level role as another tool would: nothing of ours checks it.
    pub fn sign_unchecked(&self, edits: &publish::metadata::TargetEdits) {
        use publish::names::ObjectName;
        use publish::policy::clocks::Moment;
        use publish::repository::{NewRole, sign_snapshot, sign_targets, sign_timestamp};
        let publisher = self.publisher();
        let present = publisher.load().unwrap();
        let (root, storage) = (present.trust.root(), publisher.storage());
        let signers = publisher.signers(root, &Role::ONLINE).unwrap();
        let (versions, moment) = (present.versions(), Moment::first(self.now, Default::default()));
        let consistent = root.consistent_snapshot();
        let put = |role: &str, version: u64, bytes: &[u8]| {
            storage.put(&ObjectName::versioned(role, version), bytes).unwrap();
            if !consistent {
                storage.put(&ObjectName::plain_role(role), bytes).unwrap();
            }
        };
        let targets = sign_targets(root, &signers, &present.targets, edits, versions.targets + 1, moment).unwrap();
        put("targets", versions.targets + 1, &targets.bytes);
        let (timestamp, snapshot) = present.trust.listings().unwrap();
        let new = [NewRole { role: publish::names::Role::Targets.into(), signed: targets }];
        let snapshot = sign_snapshot(root, &signers, snapshot, &new, versions.snapshot + 1, moment).unwrap();
        put("snapshot", versions.snapshot + 1, &snapshot.bytes);
        let timestamp = sign_timestamp(root, &signers, timestamp, Some(&snapshot), versions.timestamp + 1, moment).unwrap();
        storage.put(&ObjectName::timestamp(), &timestamp.bytes).unwrap();
    }

    /// The trust of a client that reads the present state.
    pub fn trust(&self) -> publish::metadata::trust::TrustedMetadata {
        load(&LocalDirectory::new(self.path("repo")), &fs::read(self.path("keys/1.root.json")).unwrap(), self.now).unwrap().trust
    }

    /// A client that holds an older state updates to the present one, refusing what is expired.
    pub fn updates(&self, old: &publish::metadata::trust::TrustedMetadata) -> publish::error::Result<()> {
        use publish::names::ObjectName;
        use publish::storage::Source;
        let storage = LocalDirectory::new(self.path("repo"));
        let get = |name: ObjectName| storage.get(&name, 1 << 30).unwrap().map(|object| object.bytes);
        let mut trust = old.as_client(self.now);
        while let Some(root) = get(ObjectName::versioned("root", trust.root().version() + 1)) {
            trust.next_root(&root)?;
        }
        trust.end_of_roots()?;
        let consistent = trust.root().consistent_snapshot();
        let file = |role: &str, version: u64| if consistent { ObjectName::versioned(role, version) } else { ObjectName::plain_role(role) };
        let version = trust.timestamp(&get(ObjectName::timestamp()).unwrap())?.get("snapshot.json").unwrap().version;
        trust.snapshot(&get(file("snapshot", version)).unwrap())?;
        let version = trust.listed("targets.json")?.version;
        let mut open = vec![trust.targets(get(file("targets", version)).unwrap())?];
        while let Some(parent) = open.pop() {
            let Some(block) = parent.field("delegations") else { continue };
            let block = publish::metadata::Delegations::parse(block, "")?;
            for role in &block.roles {
                let version = trust.listed(&format!("{}.json", role.name))?.version;
                open.push(trust.delegated(&block, role, get(file(&role.name, version)).unwrap())?);
            }
        }
        Ok(())
    }

    /// Publishes so many small packages and spreads them over bins.
    pub fn with_bins(packages: usize, bins: usize) -> Self {
        let trial = Self::new();
        for number in 0..packages {
            fs::create_dir_all(trial.path("pool")).unwrap();
            fs::write(trial.path(&format!("pool/p{number}.zip")), format!("package {number}")).unwrap();
        }
        trial.add_on(&trial.publisher(), "pool").unwrap();
        trial.bins_on(&trial.publisher(), bins).unwrap();
        trial
    }

    /// Adds what is below a directory.
    pub fn add_on(&self, publisher: &Publisher, directory: &str) -> Result<Outcome> {
        let base = self.path(directory);
        let request = AddTargetsRequest {
            files: vec![base.clone()],
            base,
            prefix: "packages".into(),
            sign: false,
            only_changed: false,
            metadata_only: false,
        };
        carry_out(publisher, add_targets::prepare(publisher, &request)?)
    }

    pub fn bins_on(&self, publisher: &Publisher, count: usize) -> Result<Outcome> {
        carry_out(publisher, bins::prepare(publisher, BinsRequest { count: Some(count), rekey: false, key_ids: None, not_for_trdl: true })?)
    }
}

/// A client's verdict: the timestamp version it ended at, or what it refused.
#[derive(Debug)]
pub struct Verdict(pub std::result::Result<u64, Vec<String>>);

impl Verdict {
    #[track_caller]
    pub fn unwrap(self) -> u64 {
        self.0.unwrap()
    }

    #[track_caller]
    pub fn expect(self, words: &str) -> u64 {
        self.0.expect(words)
    }

    #[track_caller]
    pub fn unwrap_err_if(self, expected: bool) -> Self {
        assert_eq!(self.0.is_err(), expected, "{self:?}");
        self
    }
}
