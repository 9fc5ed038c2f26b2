//! `publish add-targets`.

use crate::cli::arguments::Global;
use crate::cli::change::{Change, Next, Screen};
use crate::cli::output::{Output, Report};
use crate::cli::plan::MAX_LISTED;
use crate::cli::publisher::open;
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::error::Error;
use crate::operation::change::add_targets::{self, AddTargetsPlan, AddTargetsRequest, TargetChange};
use crate::operation::change::carry_out;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Publish any files as targets, in one commit
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The name of a target is the file's path below --base, with --prefix before it. A directory includes everything below it. releases/, signatures/, channels/, openpgp/ and yanked/ are reserved for their own commands.\n\nExamples:\n  publish add-targets dist --dry-run\n  publish add-targets dist --base dist --prefix packages --sign\n  publish add-targets --changed dist --base dist --prefix packages"
)]
pub(in crate::cli) struct AddTargets {
    /// Files and directories; - reads a list from standard input, one path a line
    #[arg(value_name = "FILE", required_unless_present = "changed")]
    pub files: Vec<PathBuf>,
    /// Names are paths below this directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub base: PathBuf,
    /// Put this before every name
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,
    /// Sign each target with the OpenPGP key, as signatures/NAME.sig
    #[arg(long)]
    pub sign: bool,
    /// Publish only lengths and digests: another server serves the files
    #[arg(long, conflicts_with = "sign")]
    pub metadata_only: bool,
    /// Publish the files below DIR that differ from their targets, and list files that are not targets
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub changed: Option<PathBuf>,
}

/// A list longer than this is something else.
const LONGEST_LIST: u64 = 64 << 20;

/// `publish add-targets`.
pub(in crate::cli) fn run(global: &Global, arguments: &AddTargets, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let request = AddTargetsRequest {
        files: match &arguments.changed {
            Some(directory) => vec![directory.clone()],
            None => listed(&arguments.files)?,
        },
        base: arguments.base.clone(),
        prefix: arguments.prefix.trim_matches('/').to_owned(),
        sign: arguments.sign,
        only_changed: arguments.changed.is_some(),
        metadata_only: arguments.metadata_only,
    };
    let prepared = add_targets::prepare(&publisher, &request)?;
    let plan = &prepared.plan;
    let unchanged = format!("{} published as they are; nothing to do", count(plan.unchanged, "target"));
    let change = Change {
        command: "add-targets",
        document: json!(plan),
        screen: Screen::after(describe(plan, output.verbose), plan.empty, &plan.roles),
        warnings: plan.warnings.clone(),
        confirmation: None,
        done: format!("{} published", count(plan.targets.len(), "target")),
        nothing: if plan.empty { unchanged } else { String::new() },
        next: Next::Nothing,
    };
    change.run(global, output, || carry_out(&publisher, prepared))
}

/// The paths given, with `-` replaced by the list on standard input.
fn listed(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if path != Path::new("-") {
            files.push(path.clone());
            continue;
        }
        let mut list = String::new();
        let read = std::io::stdin().take(LONGEST_LIST + 1).read_to_string(&mut list);
        read.map_err(|error| Error::io("read the list on", "standard input", error))?;
        if list.len() as u64 > LONGEST_LIST {
            return Err(Error::invalid("the list on standard input is longer than 64 MiB").into());
        }
        files.extend(list.lines().filter(|line| !line.is_empty()).map(PathBuf::from));
    }
    if files.is_empty() {
        return Err(Error::invalid("the list on standard input is empty").hint("give one path a line").into());
    }
    Ok(files)
}

fn describe(plan: &AddTargetsPlan, verbose: bool) -> String {
    let mut text = String::new();
    let shown = if verbose { plan.targets.len() } else { MAX_LISTED };
    for target in plan.targets.iter().take(shown) {
        let (sign, more) = match (target.change, &target.replaces) {
            (TargetChange::Add, _) => ("+", String::new()),
            (TargetChange::Sign, _) => ("~", " (gets a signature)".into()),
            (TargetChange::Replace, old) => ("~", format!(" (replaces {})", old.as_deref().unwrap_or("other bytes"))),
        };
        let _ = writeln!(text, "  {sign} {} {}{more}", target.name, size(target.length));
    }
    if plan.targets.len() > shown {
        let _ = writeln!(text, "    and {} more (--verbose lists them)", plan.targets.len() - shown);
    }
    if plan.unchanged > 0 {
        let _ = writeln!(text, "  = {} unchanged", count(plan.unchanged, "target"));
    }
    for file in &plan.unknown {
        let _ = writeln!(text, "  ! {file} is not a target and is not added (add it without --changed)");
    }
    text
}
