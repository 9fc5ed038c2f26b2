//! `publish worker`.

use crate::broker::WorkerRole;
use crate::cli::arguments::{Global, a_version};
use crate::cli::interrupt;
use crate::cli::log::{log_event, why};
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open_service;
use crate::config::Config;
use crate::operation::workers::{self as workers_operation, Event};
use crate::repository::Versions;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

/// Sign one role for requests that arrive through RabbitMQ
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A worker has only the key of its role. On SIGTERM or ctrl-C it finishes the running request and exits. Run a second one on another host as a standby. With --json, events are printed as JSON lines. docs/workers.md describes the set-up.\n\nExample:\n  publish worker targets --config targets/publish.yaml"
)]
pub(in crate::cli) struct Worker {
    /// The role
    #[arg(value_enum)]
    pub role: WorkerName,
    /// Use versions above this while it runs: the repository is an old copy, and clients have seen versions up to it
    #[arg(long, value_name = "VERSION", value_parser = a_version())]
    pub versions_above: Option<u64>,
}

/// A role that a worker can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum WorkerName {
    /// The targets role and its bins
    Targets,
    /// The snapshot
    Snapshot,
    /// The timestamp
    Timestamp,
}

/// `publish worker`.
pub(in crate::cli) fn run(global: &Global, arguments: &Worker, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let above = arguments.versions_above.map(Versions::all).unwrap_or_default();
    let publisher = open_service(global, &config, output)?.signing_above(above);
    let stop = interrupt::drain()?;
    let role = match arguments.role {
        WorkerName::Targets => WorkerRole::Targets,
        WorkerName::Snapshot => WorkerRole::Snapshot,
        WorkerName::Timestamp => WorkerRole::Timestamp,
    };
    let log = |event: Event<'_>| match event {
        Event::Ready => log_event(output, "info", "ready", json!({"role": role})),
        Event::Paused(paused) => log_event(output, "info", if paused { "paused" } else { "resumed" }, json!({"role": role})),
        Event::Done { id, sender, what } => {
            log_event(output, "info", "done", json!({"role": role, "request": id, "sender": sender, "what": what}))
        }
        Event::Refused { id, failure } => {
            log_event(output, "warning", "refused", json!({"role": role, "request": id, "why": why(failure)}))
        }
        Event::Trouble(failure) => log_event(output, "error", "trouble", json!({"role": role, "why": why(failure)})),
    };
    workers_operation::serve(&publisher, role, &stop, &log)?;
    log_event(output, "info", "stopped", json!({"role": role}));
    Ok(Report::silent("worker"))
}
