//! The commands about the store itself.

use super::arguments::{Global, Prune};
use super::exit;
use super::output::{Output, Report};
use super::plan::MAX_LISTED;
use super::publisher::open;
use super::text::{confirm_loss, count, size};
use crate::config::Config;
use crate::error::{Error, Id, Kind, Message};
use crate::operation::prune as prune_operation;
use crate::operation::store_check::{self, Verdict};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;

/// `publish store check`.
pub(super) fn check(global: &Global, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let report = store_check::check(&publisher, config.public_url.as_deref())?;
    let mut text = format!("{}\n\n", report.location);
    for check in &report.checks {
        let word = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        let _ = writeln!(text, "{word:<8} {}: {}", check.name, check.meaning);
    }
    if report.location.contains("://") {
        let _ = write!(text, "\nAdd what was found to publish.yaml; later commands then do not have to test the store again:\n  store:\n");
        report.settings.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text.push_str(if report.good {
        "\nthe store is suitable for a repository\n"
    } else {
        "\nthe store is not suitable for a repository as it is\n"
    });
    let code = if report.good { 0 } else { exit::code_of(Kind::Invalid) };
    Ok(Report::new("store check", text, json!({"good": report.good, "report": report})).exit(code))
}

/// `publish prune`.
pub(super) fn prune(global: &Global, arguments: &Prune, output: &Output) -> Result<Report> {
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
