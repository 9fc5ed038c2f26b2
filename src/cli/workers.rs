//! The commands around signing by workers.

use super::arguments::{Global, Queue, QueueCommand, WorkerName};
use super::interrupt;
use super::log::tell;
use super::output::{Output, Report, one_line};
use super::publisher::{open, open_service};
use super::text::{confirm_loss, count};
use crate::broker::{DeadLetter, WorkerRole};
use crate::config::Config;
use crate::error::Error;
use crate::operation::queue::{self as queue_operation, Selection};
use crate::operation::workers::{self as workers_operation, Event, Pause};
use crate::repository::Versions;
use anyhow::Result;
use chrono::Utc;
use serde_json::json;
use std::fmt::Write;

/// `publish worker`.
pub(super) fn serve(global: &Global, role: WorkerName, versions_above: Option<u64>, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let above = versions_above.map(Versions::all).unwrap_or_default();
    let publisher = open_service(global, &config, output)?.signing_above(above);
    let stop = interrupt::drain()?;
    let role = match role {
        WorkerName::Targets => WorkerRole::Targets,
        WorkerName::Snapshot => WorkerRole::Snapshot,
        WorkerName::Timestamp => WorkerRole::Timestamp,
    };
    let log = |event: Event<'_>| match event {
        Event::Ready => tell(output, "info", "ready", json!({"role": role})),
        Event::Paused(paused) => tell(output, "info", if paused { "paused" } else { "resumed" }, json!({"role": role})),
        Event::Done { id, sender, what } => {
            tell(output, "info", "done", json!({"role": role, "request": id, "sender": sender, "what": what}))
        }
        Event::Refused { id, failure } => tell(output, "warning", "refused", json!({"role": role, "request": id, "why": why(failure)})),
        Event::Trouble(failure) => tell(output, "error", "trouble", json!({"role": role, "why": why(failure)})),
    };
    workers_operation::serve(&publisher, role, &stop, &log)?;
    tell(output, "info", "stopped", json!({"role": role}));
    Ok(Report::silent("worker"))
}

/// A failure with its details and causes, in one line.
pub(super) fn why(failure: &Error) -> String {
    let mut text = failure.message.clone();
    failure.details.iter().for_each(|detail| text.push_str(&format!("; {detail}")));
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// `publish queue`.
pub(super) fn queue(global: &Global, arguments: &Queue, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let (letters, verb) = match &arguments.command {
        None => (None, ""),
        Some(QueueCommand::Requeue(letters)) => (Some(letters), "requeued"),
        Some(QueueCommand::Drop { letters, .. }) => (Some(letters), "removed"),
    };
    let mut report = queue_operation::queue(&publisher, &Selection::None)?;
    // Exactly those that are shown: others may arrive meanwhile.
    let is_chosen = |id: &String| letters.is_some_and(|letters| letters.all || letters.ids.contains(id));
    let dead: Vec<_> = report.dead.iter().map(|dead| &dead.letter).filter(|letter| is_chosen(&letter.id)).collect();
    let chosen: Vec<String> = dead.iter().map(|letter| letter.id.clone()).collect();
    if let (Some(QueueCommand::Drop { confirm, .. }), false) = (&arguments.command, chosen.is_empty()) {
        let line = |letter: &&DeadLetter| format!("  - {}\n", one_line(&format!("{} from {}: {}", letter.id, letter.queue, letter.reason)));
        output.plan(Some(dead.iter().map(line).collect()), &[]);
        let what = format!("remove {}", count(chosen.len(), "dead letter"));
        confirm_loss(&chosen.len().to_string(), confirm.as_deref(), &what, output)?;
    }
    if !chosen.is_empty() {
        let selection = if verb == "requeued" { Selection::Requeue(chosen) } else { Selection::Drop(chosen) };
        report = queue_operation::queue(&publisher, &selection)?;
    }
    let mut text = format!("{:<40} {:>7} {:>7}\n", "QUEUE", "WAITING", "WORKERS");
    for queue in &report.queues {
        let _ = writeln!(text, "{:<40} {:>7} {:>7}", queue.name, queue.waiting, queue.workers);
    }
    for letter in &report.dead {
        let end = if letter.taken { format!(" ({verb})") } else { String::new() };
        let _ = writeln!(text, "dead: {} from {}: {}{end}", letter.letter.id, letter.letter.queue, letter.letter.reason);
    }
    if letters.is_some() {
        let _ = writeln!(text, "{} {verb}", count(report.dead.iter().filter(|letter| letter.taken).count(), "dead letter"));
    }
    Ok(Report::new("queue", text, json!({"queue": report})))
}

/// `publish pause`.
pub(super) fn pause(global: &Global, reason: Option<&str>, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    if let Some(pause) = publisher.shared().pause()?.filter(|pause| !pause.unreadable) {
        let text = format!("paused already, since {}\n", crate::metadata::format_expiry(pause.since));
        return Ok(Report::new("pause", text, json!({"paused": pause})));
    }
    if global.dry_run {
        return Ok(Report::dry_run("pause", "pause publishing"));
    }
    let pause = Pause { since: Utc::now(), reason: reason.map(str::to_owned), unreadable: false };
    publisher.shared().set_pause(Some(&pause))?;
    let text = "paused: running work is finished, and no new work starts; roles are not refreshed during the pause\n";
    Ok(Report::new("pause", text.into(), json!({"paused": pause})))
}

/// `publish resume`.
pub(super) fn resume(global: &Global, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let paused = publisher.shared().pause()?;
    if global.dry_run {
        return Ok(Report::dry_run("resume", "resume publishing"));
    }
    publisher.shared().set_pause(None)?;
    let text = if paused.is_some() { "publishing is resumed\n" } else { "publishing was not paused\n" };
    Ok(Report::new("resume", text.into(), json!({"was_paused": paused})))
}
