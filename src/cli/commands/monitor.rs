//! `publish monitor`.

use crate::cli::arguments::Global;
use crate::cli::interrupt;
use crate::cli::log::log_event;
use crate::cli::log::why;
use crate::cli::metrics::{self, Metrics};
use crate::cli::output::{Output, Report, one_line};
use crate::cli::publisher::open_service;
use crate::config::Config;
use crate::operation::monitor::{self as operation, End, Event, MonitorRequest};
use anyhow::{Context, Result};
use serde_json::json;
use std::sync::PoisonError;
use std::time::Duration;

/// A monitor that finds nothing wrong is heard of at least this often.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);

/// What a run of the monitor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Scope {
    /// The drop box and the roles, until a signal stops it.
    Everything,
    /// One round of both.
    OneRound,
    /// The roles alone, until a signal stops it: `publish refresh --watch`.
    RolesOnly,
}

/// `publish monitor`.
pub(in crate::cli) fn run(global: &Global, scope: Scope, output: &Output) -> Result<Report> {
    let once = scope == Scope::OneRound;
    let config = Config::read(&global.config)?;
    let wanted = |config: &Config| -> crate::error::Result<MonitorRequest> {
        let mut request = config.monitor()?;
        if scope == Scope::RolesOnly {
            request.drop_box = None;
        }
        Ok(request)
    };
    let (stop, reload) = (interrupt::drain()?, interrupt::reload()?);
    let patience = (config.monitor()?.scan * 3).max(LEAST_PATIENCE);
    let metrics = Metrics::new(patience);
    if let Some(address) = config.monitor_listen().filter(|_| !once) {
        let bound = metrics::serve(address, metrics.clone()).with_context(|| format!("cannot listen on {address} (`monitor.listen`)"))?;
        log_event(output, "info", "listening", json!({"address": bound.to_string()}));
    }
    let log = |event: Event<'_>| {
        let mut metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut metrics, &event);
        say(output, &event);
    };
    if once {
        let publisher = open_service(global, &config, output)?;
        operation::once(&publisher, &wanted(&config)?, &log);
        let failed = metrics.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone();
        return failed.map_or_else(
            || Ok(Report::silent("monitor")),
            |trouble| Err(crate::error::Error::new(crate::error::Kind::Storage, one_line(&trouble)).into()),
        );
    }
    let mut at_work = (open_service(global, &config, output)?, wanted(&config)?);
    while operation::run(&at_work.0, &at_work.1, &stop, &reload, &log) == End::Reload {
        let read = || {
            let config = Config::read(&global.config)?;
            Ok((open_service(global, &config, output)?, wanted(&config)?))
        };
        match read() {
            Ok(new) => {
                at_work = new;
                log_event(output, "info", "reloaded", json!({}));
            }
            // A config that cannot be read must not end a service that works.
            Err(failure) => log_event(output, "error", "not reloaded", json!({"why": why(&failure)})),
        }
    }
    log_event(output, "info", "stopped", json!({}));
    Ok(Report::silent("monitor"))
}

fn count(metrics: &mut Metrics, event: &Event<'_>) {
    let upload = |end: &str| [("outcome", end.to_owned())];
    match event {
        Event::Alive => metrics.alive(),
        Event::Expiries(expiries) => {
            metrics.expire(expiries);
            metrics.succeeded("refresh");
        }
        Event::Queues(queues) => queues.iter().for_each(|queue| metrics.queue(&queue.name, queue.waiting, queue.workers)),
        Event::Paused(paused) => drop(metrics.paused.set(i64::from(*paused))),
        Event::Published { uploads, targets, outcome } => {
            metrics.uploads.get_or_create(&upload("published")).inc_by(uploads.len() as u64);
            metrics.targets.inc_by(*targets as u64);
            metrics.conflicts.inc_by(u64::from(outcome.rebases));
            metrics.succeeded("drop box");
        }
        Event::SetAside { .. } | Event::LeftAlone { .. } => drop(metrics.uploads.get_or_create(&upload("failed")).inc()),
        Event::Trouble { job, failure, .. } => {
            metrics.failures.get_or_create(&[("job", (*job).to_owned())]).inc();
            metrics.trouble = Some(format!("{job}: {}", why(failure)));
        }
        Event::Ready | Event::Unguarded | Event::Standby | Event::Overtaken { .. } | Event::Kept { .. } | Event::Refreshed { .. } => {}
    }
}

fn say(output: &Output, event: &Event<'_>) {
    match event {
        Event::Alive | Event::Expiries(_) | Event::Queues(_) => {}
        Event::Ready => log_event(output, "info", "ready", json!({})),
        Event::Unguarded => {
            let why = "another user owns the lock file in the drop box: it cannot exclude monitors with other state directories";
            log_event(output, "warning", "unguarded", json!({"why": why}));
        }
        Event::Standby => log_event(output, "info", "standby", json!({"why": "another monitor works on the drop box"})),
        Event::Paused(paused) => log_event(output, "info", if *paused { "paused" } else { "resumed" }, json!({})),
        Event::Published { uploads, targets, outcome } => {
            let fields = json!({"uploads": uploads, "targets": targets, "timestamp": outcome.versions.timestamp});
            log_event(output, "info", "published", fields);
            outcome.warnings.iter().for_each(|warning| log_event(output, "warning", "not all done", json!({"why": warning})));
        }
        Event::Overtaken { target, by } => log_event(output, "warning", "overtaken", json!({"target": target, "by": by})),
        Event::SetAside { upload, to, failure } => {
            log_event(output, "warning", "set aside", json!({"upload": upload, "to": to.display().to_string(), "why": why(failure)}));
        }
        Event::LeftAlone { upload, failure } => {
            log_event(output, "warning", "left alone", json!({"upload": upload, "why": why(failure)}));
        }
        Event::Kept { upload, failure } => {
            let fields = json!({"upload": upload, "why": why(failure), "hint": "its files are published; its owner can remove it"});
            log_event(output, "warning", "kept", fields);
        }
        Event::Refreshed { roles } => log_event(output, "info", "refreshed", json!({"roles": roles})),
        Event::Trouble { again: true, .. } => {}
        Event::Trouble { job, failure, .. } => log_event(output, "error", "trouble", json!({"job": job, "why": why(failure)})),
    }
}
