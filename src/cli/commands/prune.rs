//! `publish prune`.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report};
use crate::cli::plan::MAX_LISTED;
use crate::cli::publisher::open;
use crate::cli::text::{confirm_loss, count, size};
use crate::config::Config;
use crate::error::{Error, Id, Message};
use crate::operation::prune as prune_operation;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// Delete files that no current or recent metadata refers to
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The command never deletes roots, or files that do not belong to the repository.\n\nExamples:\n  publish prune --dry-run\n  publish prune --confirm acme"
)]
pub(in crate::cli) struct Prune {
    /// Keep files to which metadata of this time span refers; at least 1d
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = crate::cli::text::parse_span)]
    pub grace: chrono::TimeDelta,
    /// Confirm: the repository's `name` in the config
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Confirms too; kept for scripts that were written for earlier versions
    #[arg(long, hide = true, conflicts_with = "confirm")]
    pub yes: bool,
}

/// `publish prune`.
pub(in crate::cli) fn run(global: &Global, arguments: &Prune, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let grace = arguments.grace.to_std().map_err(|_| Error::invalid("the grace is negative"))?;
    let plan = prune_operation::plan(&publisher, grace)?;
    let mut text = String::new();
    let shown = if output.verbose { plan.objects.len() } else { MAX_LISTED };
    plan.objects.iter().take(shown).for_each(|name| text.push_str(&format!("  - {name}\n")));
    if plan.objects.len() > shown {
        let _ = writeln!(text, "    and {} more (--verbose lists them)", plan.objects.len() - shown);
    }
    let strange = |name: &String| Message::new(Id::ForeignObject, format!("{name} does not belong to a repository; it stays"));
    let warnings: Vec<Message> = plan.strange.iter().map(strange).collect();
    let document = json!(plan);
    let what = format!("{} ({})", count(plan.objects.len(), "file"), size(plan.bytes));
    if plan.empty {
        let _ = writeln!(text, "nothing to delete; {} are needed", count(plan.kept, "file"));
    } else {
        let _ = writeln!(text, "Plan: {what} to delete, {} stay.", count(plan.kept, "file"));
    }
    if global.dry_run {
        return Ok(Report::planned("prune", text, &document).warnings(&warnings));
    }
    output.plan(Some(text), &warnings);
    let mut text = String::new();
    if !plan.empty {
        let name = config.name.as_deref().unwrap_or("repository");
        let given = arguments.confirm.as_deref().or(arguments.yes.then_some(name));
        confirm_loss(name, given, &format!("delete {what}"), output)?;
    }
    let pruned = prune_operation::apply(&publisher, &plan)?;
    match (pruned.deleted, pruned.swept) {
        (0, 0) => {}
        (deleted, swept) => {
            let what = if swept > 0 { format!(" and {swept} unfinished leftovers") } else { String::new() };
            let _ = writeln!(text, "deleted {}{what}; {} stay", count(deleted, "file"), plan.kept + pruned.skipped);
        }
    }
    Ok(Report::done("prune", text, &document, &pruned))
}
