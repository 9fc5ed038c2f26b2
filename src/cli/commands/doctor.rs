//! `publish doctor`.

use crate::cli::arguments::Global;
use crate::cli::exit;
use crate::cli::output::{Output, Report, one_line};
use crate::cli::passphrases::Sources;
use crate::cli::publisher::{Parts, assemble, location, store};
use crate::cli::text::count;
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::operation::doctor::{Check, Checklist, DoctorRequest, Section, Verdict, examine};
use crate::operation::workers::Shared;
use crate::storage::{self, Location, Memory, Storage};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Check the setup, keys, repository and web server
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "One line for each item: ok, warning, FAILED, or not checked with the reason; below it the remedy. It writes nothing: `publish store check` tries out writing. It exits with code 6 if an item failed. It opens the keys that are here, and asks for a passphrase on a terminal only. Without a passphrase, an encrypted key is not checked.\n\nExamples:\n  publish doctor\n  publish doctor --quiet --fail-on-warning"
)]
pub(in crate::cli) struct Doctor {
    /// Exit with code 6 for a warning, too
    #[arg(long)]
    pub fail_on_warning: bool,
}

/// `publish doctor`.
pub(in crate::cli) fn run(global: &Global, arguments: &Doctor, output: &Output) -> Result<Report> {
    let list = match Config::read(&global.config) {
        Ok(config) => look(global, &config, output)?,
        // Without a config there is nothing to look at, as for every other command.
        Err(failure) if failure.kind == Kind::NotFound => return Err(failure.into()),
        Err(failure) => Checklist::without_config(&failure),
    };
    let (failed, warnings) = (list.count(Verdict::Failed), list.count(Verdict::Warning));
    let good = failed == 0 && (warnings == 0 || !arguments.fail_on_warning);
    let code = if good { 0 } else { exit::code_of(Kind::Invalid) };
    let document = json!({"good": good, "failed": failed, "warnings": warnings, "checks": list.checks});
    Ok(Report::new("doctor", describe(&list, output.is_silent()), document).exit(code))
}

fn look(global: &Global, config: &Config, output: &Output) -> Result<Checklist> {
    let location = location(global, config)?;
    let mut store_failure = None;
    // What cannot be opened is one line of the checklist; everything else is looked at nevertheless.
    let storage = storage::open(&location, &store(config, output)).unwrap_or_else(|failure| {
        store_failure = Some(failure);
        Box::new(Memory::default()) as Box<dyn Storage>
    });
    let password = std::env::var("PUBLISH_BROKER_PASSWORD").ok().map(Zeroizing::new);
    let mut workers_failure = None;
    let mut keep = |failure: Error| workers_failure = Some(failure);
    let shared =
        config.shared().and_then(|place| Shared::open(&place, &config.store(), config.request_bytes())).unwrap_or_else(|failure| {
            keep(failure);
            Shared::new(Box::new(Memory::default()), 0)
        });
    let workers = config.workers(password.as_ref().map(|password| password.as_bytes())).unwrap_or_else(|failure| {
        keep(failure);
        None
    });
    let directory = match &location {
        Location::Directory(path) => Some(path.clone()),
        Location::Bucket { .. } => None,
    };
    let publisher = assemble(global, config, output, Parts { location, storage, shared, workers })?;
    let request = DoctorRequest {
        config: global.config.clone(),
        channels: config.channels(),
        channels_here: PathBuf::from(Config::CHANNELS),
        passphrase_files: Sources::new(global, config).files(),
        root_draft: config.root_draft(),
        directory,
        public_url: publisher.memory().recall.public_url.clone(),
        store_failure,
        workers_failure,
    };
    Ok(examine(publisher, request))
}

/// One line for each item, and the remedies below it. Quiet, only what is not as it should be is listed.
fn describe(list: &Checklist, quiet: bool) -> String {
    let mut text = String::new();
    let mut section = None;
    let unreadable = list.checks.iter().any(|check| check.id == "config" && check.verdict == Verdict::Failed);
    let shown = |check: &&Check| match check.verdict {
        Verdict::Ok => !quiet,
        Verdict::NotChecked => !quiet && !unreadable,
        Verdict::Warning | Verdict::Failed => true,
    };
    for check in list.checks.iter().filter(shown) {
        if !quiet && section.replace(check.section) != Some(check.section) {
            let _ = writeln!(text, "{}{}:", if text.is_empty() { "" } else { "\n" }, heading(check.section));
        }
        let _ = writeln!(text, "  {:<11}  {}: {}", word(check.verdict), check.name, one_line(&check.meaning));
        for remedy in &check.remedies {
            let _ = writeln!(text, "  {:<11}    -> {}", "", one_line(remedy));
        }
    }
    if quiet {
        return text;
    }
    if unreadable {
        text.push_str("\nNothing else was checked, because the config cannot be read.\n");
        return text;
    }
    let number = |verdict| list.count(verdict);
    let _ = writeln!(
        text,
        "\n{} failed, {}, {} ok, {} not checked",
        number(Verdict::Failed),
        count(number(Verdict::Warning), "warning"),
        number(Verdict::Ok),
        number(Verdict::NotChecked)
    );
    text
}

fn heading(section: Section) -> &'static str {
    match section {
        Section::Setup => "Setup",
        Section::Keys => "Keys",
        Section::Repository => "Repository",
        Section::Clients => "Clients",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
        Verdict::NotChecked => "not checked",
    }
}
