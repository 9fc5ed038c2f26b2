use super::arguments::Global;
use super::output::Output;
use super::passphrases::Sources;
use super::progress::{Logged, Shown};
use crate::config::Config;
use crate::error::Result;
use crate::metadata::RepositoryLabel;
use crate::operation::workers::{Shared, Workers};
use crate::operation::{Keyring, Publisher, Recall, StateDocument, StoreFacts, VersionMemory};
use crate::storage::{self, Location, Reports, Storage, StoreOptions};
use std::path::Path;
use zeroize::Zeroizing;

/// What the flags, variables and config come to.
pub(super) fn open(global: &Global, config: &Config, output: &Output) -> Result<Publisher> {
    let location = location(global, config)?;
    let storage = storage::open(&location, &store(config, output))?;
    let password = std::env::var("PUBLISH_BROKER_PASSWORD").ok().map(Zeroizing::new);
    let shared = Shared::open(&config.shared()?, &config.store(), config.request_bytes())?;
    let workers = config.workers(password.as_ref().map(|password| password.as_bytes()))?;
    assemble(global, config, output, Parts { location, storage, shared, workers })
}

/// What may be out of reach while the rest of a publisher can be used.
pub(super) struct Parts {
    pub location: Location,
    pub storage: Box<dyn Storage>,
    pub shared: Shared,
    pub workers: Option<Workers>,
}

/// What the config says about the store.
pub(super) fn store(config: &Config, output: &Output) -> StoreOptions {
    let shown = output.clone();
    StoreOptions { reports: Reports::to(move |line| shown.status(line)), ..config.store() }
}

/// A publisher of these parts.
pub(super) fn assemble(global: &Global, config: &Config, output: &Output, parts: Parts) -> Result<Publisher> {
    let Parts { location, storage, shared, workers } = parts;
    let store = config.store();
    let identity = |location: &Location| match location {
        Location::Directory(_) => location.identity(&config.state_directory()),
        Location::Bucket { .. } => format!("{location} {}", store.endpoint_for(location).unwrap_or_default()),
    };
    let store_identity = identity(&location);
    let configured = config.location().is_ok_and(|configured| identity(&configured) == store_identity);
    let keyring = Keyring {
        roles: config.key_uris()?,
        bins: config.bin_keys()?,
        openpgp: config.openpgp()?,
        openpgp_certificate: config.openpgp_certificate(),
        names: config.key_names(),
        passphrases: Box::new(Sources::new(global, config)),
    };
    let recall = Recall { configured, public_url: config.public_url.clone().filter(|_| configured), ..Recall::default() };
    let state = StateDocument::open(&config.state()?, &location, &store)?;
    let memory = VersionMemory::new(state, store_identity, recall);
    let facts = StoreFacts { raw_plus: store.raw_plus, single_publisher: store.single_publisher, ..StoreFacts::default() };
    Ok(Publisher::new(storage, config.root(), keyring, memory, shared)
        .with_store_facts(facts)
        .with_label(RepositoryLabel { name: config.name.clone(), url: config.public_url.clone(), first_root_sha512: None })
        .with_lifetimes(config.lifetimes())
        .with_plain_names(config.plain_names)
        .with_sha512(config.sha512)
        .accepting_rollback(global.accept_rollback)
        .with_progress(Box::new(Shown::new(global, output)))
        .with_workers(workers))
}

/// The same for a service, which writes its events to its log.
pub(super) fn open_service(global: &Global, config: &Config, output: &Output) -> Result<Publisher> {
    Ok(open(global, config, output)?.with_progress(Box::new(Logged(output.clone()))))
}

/// The repository's place, from the flag or the config.
pub(super) fn location(global: &Global, config: &Config) -> Result<Location> {
    match &global.repo {
        Some(text) => Location::parse(text, Path::new("")),
        None => config.location(),
    }
}

/// ` of acme`, if the repository has a name.
pub(super) fn of_repository(publisher: &Publisher) -> String {
    publisher.label().name.as_ref().map(|name| format!(" of {name}")).unwrap_or_default()
}
