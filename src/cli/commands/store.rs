//! `publish store`.

use crate::cli::arguments::Global;
use crate::cli::exit;
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::config::Config;
use crate::error::Kind;
use crate::operation::store_check::{self, Verdict};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use std::fmt::Write;

/// Check how the store of the repository behaves
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "Example:\n  publish store check")]
pub(in crate::cli) enum Store {
    /// Test conditional writes, races, copies, headers, the clock and what clients get
    #[command(
        after_help = "The command writes and removes its own objects below probe/. Google Cloud Storage is a preview: check yours with this command.\n\nExample:\n  publish store check"
    )]
    Check,
}

/// `publish store check`.
pub(in crate::cli) fn check(global: &Global, output: &Output) -> Result<Report> {
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
