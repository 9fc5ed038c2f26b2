//! A publisher whose storage does one thing wrong: `faulty FAULT HOURS CONFIG COMMAND…`.
//!
//! FAULT is `none`, or KIND:N for the Nth storage call: `fail` (not carried out, an error), `lie` (carried out, an error),
//! `kill` and `killed` (SIGKILL before and after it), `hang` (reports it and waits without end). HOURS shifts the clock. COMMAND
//! is `release VERSION DIR`, `channels`, `refresh`, `yank VERSION` or `prune`; the last line printed is the number of calls
//! it took, and for `prune` the line before it what it found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use anyhow::{Result, bail};
use chrono::{TimeDelta, Utc};
use publish::config::Config;
use publish::error::{Error, Kind};
use publish::keys::{Passphrases, Secret, Use};
use publish::names::ReleaseVersion;
use publish::operation::change::carry_out;
use publish::operation::change::channels::{self, ChannelsRequest};
use publish::operation::change::release::{self, ReleaseRequest};
use publish::operation::change::yank::{self, YankRequest};
use publish::operation::workers::Shared;
use publish::operation::{Keyring, Publisher, Recall, StateDocument, StoreFacts, VersionMemory, prune, refresh};
use publish::storage::{self, Call, Observed, Storage};
use rustix::process::{Signal, getpid, kill_process};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn get(&self, _: Use, what: &str) -> publish::error::Result<Secret> {
        panic!("{what} is encrypted")
    }
    fn choose(&self, _: Use) -> publish::error::Result<Secret> {
        panic!("nothing is made here")
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fault, hours, config, command @ ..] = arguments.as_slice() else { bail!("faulty FAULT HOURS CONFIG COMMAND…") };
    let calls = Arc::new(AtomicUsize::new(0));
    let publisher = publisher(fault, hours.parse()?, Path::new(config), &calls)?;
    let done = run(&publisher, Path::new(config), &command.iter().map(String::as_str).collect::<Vec<_>>());
    println!("{}", calls.load(Ordering::SeqCst));
    done
}

fn publisher(fault: &str, hours: i64, path: &Path, calls: &Arc<AtomicUsize>) -> Result<Publisher> {
    let config = Config::read(path)?;
    let store = config.store();
    let location = config.location()?;
    let keyring = Keyring {
        roles: config.key_uris()?,
        bins: Vec::new(),
        openpgp: config.openpgp()?,
        openpgp_certificate: config.openpgp_certificate(),
        names: config.key_names(),
        passphrases: Box::new(NoPassphrase),
    };
    let state = StateDocument::open(&config.state()?, &location, &store)?;
    let memory = VersionMemory::new(state, location.identity(&config.state_directory()), Recall::default());
    let shared = Shared::new(Box::new(publish::storage::Memory::default()), 1 << 20);
    let facts = StoreFacts { single_publisher: store.single_publisher, ..StoreFacts::default() };
    Ok(Publisher::new(faulty(storage::open(&location, &store)?, fault, calls, hours)?, config.root(), keyring, memory, shared)
        .with_store_facts(facts)
        .with_lifetimes(config.lifetimes())
        .with_plain_names(config.plain_names)
        .with_clock(Box::new(move || Utc::now() + TimeDelta::hours(hours))))
}

fn run(publisher: &Publisher, config: &Path, command: &[&str]) -> Result<()> {
    match command {
        ["release", version, from] => {
            let request = ReleaseRequest {
                version: ReleaseVersion::parse(version)?,
                from: from.into(),
                platforms: Default::default(),
                resign: false,
                allow_desktop_files: false,
                channels: None,
            };
            carry_out(publisher, release::prepare(publisher, &request)?)?;
        }
        ["channels"] => {
            let file = config.with_file_name("trdl_channels.yaml");
            let request = ChannelsRequest { file, allow_downgrade: true, allow_missing_platforms: true, prune: false };
            carry_out(publisher, channels::prepare(publisher, &request)?)?;
        }
        ["refresh"] => drop(refresh::carry_out(publisher, refresh::prepare(publisher, Default::default())?)?),
        ["yank", version] => {
            let request = YankRequest { version: (*version).to_owned(), reason: None, ..YankRequest::default() };
            carry_out(publisher, yank::prepare(publisher, &request)?)?;
        }
        ["prune"] => {
            let plan = prune::plan(publisher, Duration::from_secs(30 * 24 * 3600))?;
            println!("{}", serde_json::to_string(&plan)?);
            prune::apply(publisher, &plan)?;
        }
        other => bail!("no command {other:?}"),
    }
    Ok(())
}

fn faulty(storage: Box<dyn Storage>, fault: &str, calls: &Arc<AtomicUsize>, hours: i64) -> Result<Box<dyn Storage>> {
    let (kind, at) = fault.split_once(':').unwrap_or((fault, "0"));
    let (kind, at) = (kind.to_owned(), at.parse::<usize>()?);
    let calls = Arc::clone(calls);
    // Calls are counted when they begin; the one in question is known to its own thread.
    let chosen: Arc<OnceLock<std::thread::ThreadId>> = Arc::default();
    let over = AtomicBool::new(false);
    let watch = move |call: Call| {
        let me = std::thread::current().id();
        let is_it = if call.done {
            chosen.get() == Some(&me) && !over.swap(true, Ordering::SeqCst)
        } else {
            calls.fetch_add(1, Ordering::SeqCst) + 1 == at && chosen.set(me).is_ok()
        };
        if !is_it {
            return Ok(());
        }
        match (kind.as_str(), call.done) {
            ("fail", false) | ("lie", true) => {
                return Err(Error::new(Kind::Storage, format!("the test made {} {} fail", call.method, call.name)));
            }
            ("kill", false) | ("killed", true) => kill_process(getpid(), Signal::KILL).unwrap(),
            ("hang", false) => {
                println!("hanging at {} {}", call.method, call.name);
                std::io::stdout().flush().unwrap();
                loop {
                    std::thread::park();
                }
            }
            _ => {}
        }
        Ok(())
    };
    // The store's clock goes with the publisher's.
    Ok(Box::new(Observed::new(storage, watch).with_clock(move || (Utc::now() + TimeDelta::hours(hours)).into())))
}
