//! A load process for the benchmarks, on the config in the current directory:
//!
//! `load callers COUNT AT_ONCE PREFIX`: so many callers, each adding one package of 50 KB through the workers, so many of
//! them at once; says the seconds.
//! `load fill COUNT`: enters so many targets that another server serves, in one commit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use publish::config::Config;
use publish::digest::Digests;
use publish::keys::{Passphrases, Secret, Use};
use publish::metadata::{Role, Target};
use publish::operation::change::add_targets::{self, AddTargetsRequest};
use publish::operation::change::carry_out;
use publish::operation::workers::Shared;
use publish::operation::{Keyring, Publisher, Recall, StateDocument, StoreFacts, VersionMemory};
use publish::repository::{Change, Edit};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn get(&self, _: Use, what: &str) -> publish::error::Result<Secret> {
        panic!("{what} is encrypted")
    }
    fn choose(&self, _: Use) -> publish::error::Result<Secret> {
        panic!("no key is made here")
    }
}

fn publisher() -> Publisher {
    let config = Config::read(Path::new("publish.yaml")).unwrap();
    let location = config.location().unwrap();
    let store = config.store();
    let keyring = Keyring {
        roles: config.key_uris().unwrap(),
        bins: config.bin_keys().unwrap(),
        openpgp: config.openpgp().unwrap(),
        openpgp_certificate: config.openpgp_certificate(),
        names: config.key_names(),
        passphrases: Box::new(NoPassphrase),
    };
    let state = StateDocument::open(&config.state().unwrap(), &location, &store).unwrap();
    let identity = format!("{location} {}", store.endpoint_for(&location).unwrap_or_default());
    let memory = VersionMemory::new(state, identity, Recall::default());
    let shared = Shared::open(&config.shared().unwrap(), &store, config.request_bytes()).unwrap();
    let facts = StoreFacts { raw_plus: store.raw_plus, single_publisher: store.single_publisher, ..StoreFacts::default() };
    Publisher::new(publish::storage::open(&location, &store).unwrap(), config.root(), keyring, memory, shared)
        .with_store_facts(facts)
        .with_lifetimes(config.lifetimes())
        .with_plain_names(config.plain_names)
        .with_sha512(config.sha512)
        .with_workers(config.workers(None).unwrap())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["callers", count, at_once, prefix] => callers(count.parse().unwrap(), at_once.parse().unwrap(), prefix),
        ["fill", count] => fill(count.parse().unwrap()),
        _ => panic!("load callers COUNT AT_ONCE PREFIX | load fill COUNT"),
    }
}

fn callers(count: usize, at_once: usize, prefix: &str) {
    let packages = PathBuf::from(format!("pool-{prefix}"));
    std::fs::create_dir(&packages).unwrap();
    for number in 0..count {
        let mut content = vec![0_u8; 50_000];
        openssl::rand::rand_bytes(&mut content).unwrap();
        std::fs::write(packages.join(format!("{prefix}-{number}.zip")), content).unwrap();
    }
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < count
                {
                    let request = AddTargetsRequest {
                        files: vec![packages.join(format!("{prefix}-{number}.zip"))],
                        base: packages.clone(),
                        prefix: "packages".into(),
                        sign: false,
                        only_changed: false,
                        metadata_only: false,
                    };
                    let publisher = publisher();
                    let outcome = carry_out(&publisher, add_targets::prepare(&publisher, &request).unwrap()).unwrap();
                    assert!(outcome.changed);
                }
            });
        }
    });
    println!("{}", start.elapsed().as_secs_f64());
}

fn fill(count: usize) {
    let publisher = publisher();
    let present = publisher.load().unwrap();
    let change = |number: usize| {
        let name = format!("packages/p{number:07}.zip");
        let wanted = Target::of(&Digests::of(name.as_bytes()));
        Change { name, expected: None, wanted: Some(wanted), keep_existing: false, content: None }
    };
    let edit = Edit { changes: (0..count).map(change).collect(), ..Edit::default() };
    let signers = publisher.signers(present.trust.root(), &[Role::Targets, Role::Snapshot, Role::Timestamp]).unwrap();
    publisher.commit(present, &edit, &signers).unwrap();
}
