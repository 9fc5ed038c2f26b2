//! `publish queue`.

use crate::broker::{DeadLetter, QueueState};
use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report, one_line};
use crate::cli::publisher::open;
use crate::cli::table::table;
use crate::cli::text::{confirm_loss, count};
use crate::config::Config;
use crate::operation::queue::{self as queue_operation, Selection};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fmt::Write;

/// Show the workers' queues and dead letters
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Dead letters are requests that no worker could process.\n\nExamples:\n  publish queue\n  publish queue requeue --all"
)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Queue {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum QueueCommand {
    /// Send dead letters to the queue they came from
    #[command(after_help = "Example:\n  publish queue requeue --all")]
    Requeue(Letters),
    /// Remove dead letters
    #[command(after_help = "Example:\n  publish queue drop --all --confirm 2")]
    Drop {
        #[command(flatten)]
        letters: Letters,
        /// Confirm: the number of dead letters
        #[arg(long, value_name = "NUMBER")]
        confirm: Option<String>,
    },
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Letters {
    /// The ids of the dead letters
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All dead letters
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

/// `publish queue`.
pub(in crate::cli) fn run(global: &Global, arguments: &Queue, output: &Output) -> Result<Report> {
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
    let mut text = String::new();
    let row = |queue: &QueueState| [queue.name.clone(), queue.waiting.to_string(), queue.workers.to_string()];
    table(&mut text, ["QUEUE", "WAITING", "WORKERS"], report.queues.iter().map(row).collect());
    let mut text = text.trim_start().to_owned();
    for letter in &report.dead {
        let end = if letter.taken { format!(" ({verb})") } else { String::new() };
        let _ = writeln!(text, "dead: {} from {}: {}{end}", letter.letter.id, letter.letter.queue, letter.letter.reason);
    }
    if letters.is_some() {
        let _ = writeln!(text, "{} {verb}", count(report.dead.iter().filter(|letter| letter.taken).count(), "dead letter"));
    }
    Ok(Report::new("queue", text, json!({"queue": report})))
}
