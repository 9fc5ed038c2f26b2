//! The commands for targets that are neither releases nor channels.

use super::arguments::{AddTargets, Bins, Global, KeyIds, RemoveTargets};
use super::output::{Output, Report};
use super::plan::MAX_LISTED;
use super::publisher::open;
use super::publishing::{finish, finish_plan};
use super::text::{confirm_loss, count, size, steps};
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::operation::add_targets::{self as add_operation, AddTargetsPlan, AddTargetsRequest, TargetChange};
use crate::operation::bins::{self as bins_operation, BinsRequest};
use crate::operation::remove_targets as remove_operation;
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A list longer than this is something else.
const LONGEST_LIST: u64 = 64 << 20;

/// What a bin costs in the snapshot, in bytes: its name, version, length and digest.
const SNAPSHOT_ENTRY: u64 = 130;

/// `publish add-targets`.
pub(super) fn add(global: &Global, arguments: &AddTargets, output: &Output) -> Result<Report> {
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
    let plan = add_operation::plan(&publisher, &request)?;
    let mut text = describe(&plan, output.verbose);
    let (document, warnings) = (json!(plan), plan.warnings.clone());
    let done = format!("{} published", count(plan.targets.len(), "target"));
    let empty = format!("{} published as they are; nothing to do", count(plan.unchanged, "target"));
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::planned("add-targets", text, &document).warnings(&warnings));
    }
    let nothing = plan.empty;
    let outcome = add_operation::apply(&publisher, plan)?;
    finish(&mut text, &outcome, &done, if nothing { &empty } else { "" });
    Ok(Report::done("add-targets", text, &document, &outcome).warnings(&warnings).warnings(&outcome.warnings))
}

/// `publish remove-targets`.
pub(super) fn remove(global: &Global, arguments: &RemoveTargets, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let plan = remove_operation::plan(&publisher, &arguments.patterns)?;
    let document = json!(plan);
    let number = plan.targets.len();
    let mut text = String::new();
    let shown = if output.verbose || arguments.confirm.is_none() { number } else { MAX_LISTED };
    plan.targets.iter().take(shown).for_each(|name| text.push_str(&format!("  - {name}\n")));
    if number > shown {
        let _ = writeln!(text, "    and {} more (--verbose lists them)", number - shown);
    }
    if !plan.signatures.is_empty() {
        let _ = writeln!(text, "  - {} of them", count(plan.signatures.len(), "signature"));
    }
    match &arguments.confirm {
        Some(confirmed) if confirmed.count != number => {
            return Err(Error::new(Kind::Conflict, format!("this would remove {}, not {}", count(number, "target"), confirmed.count))
                .hint("run the command without --confirm to see the list again")
                .into());
        }
        Some(confirmed) if confirmed.digest.as_ref().is_some_and(|digest| *digest != plan.digest) => {
            return Err(Error::new(Kind::Conflict, "this would remove other targets than those that the plan listed")
                .hint("run the command without --confirm to see the list again")
                .into());
        }
        _ => {}
    }
    let value = format!("{number}-{}", plan.digest);
    if global.dry_run {
        let _ = writeln!(text, "  ~ {}\nNothing was removed. To remove exactly these: --confirm {value}", steps(&plan.roles));
        return Ok(Report::planned("remove-targets", text, &document));
    }
    output.plan(Some(std::mem::take(&mut text)), &[]);
    if arguments.confirm.is_none() {
        confirm_loss(&value, None, &format!("remove {}", count(number, "target")), output)?;
    }
    let outcome = remove_operation::apply(&publisher, plan)?;
    finish(&mut text, &outcome, &format!("{} removed", count(number, "target")), "");
    Ok(Report::done("remove-targets", text, &document, &outcome).warnings(&outcome.warnings))
}

/// `publish bins`.
pub(super) fn bins(global: &Global, arguments: &Bins, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let request = BinsRequest {
        count: arguments.count,
        rekey: arguments.rekey,
        key_ids: arguments.key_ids.map(KeyIds::style),
        not_for_trdl: arguments.not_for_trdl,
    };
    let plan = bins_operation::plan(&publisher, request)?;
    let (document, warnings) = (json!(plan), plan.warnings.clone());
    let mut text = match plan.from {
        0 => format!("  + {}\n", count(plan.to, "bin")),
        from if from == plan.to => format!("  = {}\n", count(from, "bin")),
        from => format!("  ~ {from} -> {}\n", count(plan.to, "bin")),
    };
    let _ = writeln!(text, "  ~ {} in them, {} at the top level", count(plan.spread, "target"), plan.at_top);
    if plan.rekey {
        let whose = if publisher.keyring().bins.is_empty() { "the root's targets keys" } else { "the keys in `keys: bins:`" };
        let _ = writeln!(text, "  ~ delegated to {whose}, and all signed by them");
    }
    if plan.left_over > 0 {
        let _ = writeln!(
            text,
            "  ! {} without targets stay listed in the snapshot for ever, about {} of it: clients refuse one that loses an entry",
            count(plan.left_over, "bin"),
            size(plan.left_over as u64 * SNAPSHOT_ENTRY)
        );
    }
    let done = format!("{} spread over {}", count(plan.spread, "target"), count(plan.to, "bin"));
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::planned("bins", text, &document).warnings(&warnings));
    }
    let empty = if plan.empty { "the bins are already as requested; nothing to do" } else { "" };
    if !plan.empty {
        output.plan(Some(std::mem::take(&mut text)), &warnings);
    }
    if !plan.empty && plan.from != plan.to {
        confirm_loss(&plan.to.to_string(), arguments.confirm.as_deref(), &format!("distribute targets over {} bins", plan.to), output)?;
    }
    let outcome = bins_operation::apply(&publisher, plan)?;
    finish(&mut text, &outcome, &done, empty);
    Ok(Report::done("bins", text, &document, &outcome).warnings(&outcome.warnings))
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
