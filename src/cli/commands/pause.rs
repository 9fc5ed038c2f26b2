//! `publish pause` and `publish resume`.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::config::Config;
use crate::operation::workers::Pause as Flag;
use anyhow::Result;
use chrono::Utc;
use clap::Args;
use serde_json::json;

/// Prevent new work, for example during a backup
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Running work is finished. Roles are not refreshed during the pause: the timestamp expires after a day.\n\nExample:\n  publish pause --reason backup"
)]
pub(in crate::cli) struct Pause {
    /// The reason; `publish status` and waiting publishers show it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// End a pause
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  publish resume")]
pub(in crate::cli) struct Resume {}

/// `publish pause`.
pub(in crate::cli) fn pause(global: &Global, arguments: &Pause, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    if let Some(pause) = publisher.shared().pause()?.filter(|pause| !pause.unreadable) {
        let text = format!("paused already, since {}\n", crate::metadata::format_expiry(pause.since));
        return Ok(Report::new("pause", text, json!({"paused": pause})));
    }
    if global.dry_run {
        return Ok(Report::dry_run("pause", "pause publishing"));
    }
    let pause = Flag { since: Utc::now(), reason: arguments.reason.clone(), unreadable: false };
    publisher.shared().set_pause(Some(&pause))?;
    let text = "paused: running work is finished, and no new work starts; roles are not refreshed during the pause\n";
    Ok(Report::new("pause", text.into(), json!({"paused": pause})))
}

/// `publish resume`.
pub(in crate::cli) fn resume(global: &Global, output: &Output) -> Result<Report> {
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
