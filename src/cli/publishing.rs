//! The commands that change a published repository: plan, show or apply, report.

use super::arguments::{Channels, Global, Refresh, Release, Yank};
use super::output::{Output, Report};
use super::text::{count, size, steps};
use super::workspace::open;
use crate::config::Config;
use crate::failure::Failure;
use crate::layout::ReleaseVersion;
use crate::operation::channels::{ChannelsPlan, ChannelsRequest};
use crate::operation::refresh::RefreshRequest;
use crate::operation::release::{PlatformState, ReleasePlan, ReleaseRequest};
use crate::operation::yank::{self as yank_operation, YankRequest};
use crate::operation::{Outcome, channels as channels_operation, refresh as refresh_operation, release as release_operation};
use crate::repository::{PlainNames, PlainSwitch, Versions};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;

/// Longer lists are cut unless `--verbose`.
pub(super) const MAX_LISTED: usize = 30;

/// `publish release`.
pub(super) fn release(global: &Global, arguments: &Release, output: &Output) -> Result<Report> {
    let version = ReleaseVersion::from_argument(&arguments.version)?;
    let config = Config::read(&global.config)?;
    let workspace = open(global, &config, output)?;
    let channels = arguments.channels.clone().map(|file| ChannelsRequest {
        file: file.unwrap_or_else(|| config.channels()),
        allow_downgrade: arguments.allow_downgrade,
        allow_missing_platforms: arguments.allow_missing_platforms,
        prune: false,
    });
    let request = ReleaseRequest {
        version,
        from: arguments.from.clone(),
        resign: arguments.resign,
        allow_desktop_files: arguments.allow_desktop_files,
        channels,
    };
    let plan = release_operation::plan(&workspace, &request)?;
    let mut text = describe_release(&plan, output.verbose);
    let document = json!(plan);
    let warnings = plan.warnings.clone();
    let version = plan.version.clone();
    let (done, empty) = match (plan.empty, plan.platforms.iter().any(|platform| platform.state == PlatformState::New)) {
        (true, _) => (String::new(), format!("release {version} is already published; nothing to do")),
        (false, true) => (format!("release {version} is published"), String::new()),
        (false, false) => {
            (format!("release {version} was published already; its signatures or channels are up to date now"), String::new())
        }
    };
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::new("release", text, json!({"dry_run": true, "plan": document})).warnings(&warnings));
    }
    let outcome = release_operation::apply(&workspace, plan)?;
    finish(&mut text, &outcome, &done, &empty);
    Ok(Report::new("release", text, json!({"dry_run": false, "plan": document, "result": outcome}))
        .warnings(&warnings)
        .warnings(&outcome.warnings))
}

/// `publish channels`.
pub(super) fn channels(global: &Global, arguments: &Channels, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let workspace = open(global, &config, output)?;
    let file = arguments.file.clone().unwrap_or_else(|| config.channels());
    let plan = channels_operation::plan(
        &workspace,
        &ChannelsRequest {
            file,
            allow_downgrade: arguments.allow_downgrade,
            allow_missing_platforms: arguments.allow_missing_platforms,
            prune: arguments.prune,
        },
    )?;
    let mut text = describe_channels(&plan);
    let (document, warnings) = (json!(plan), plan.warnings.clone());
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::new("channels", text, json!({"dry_run": true, "plan": document})).warnings(&warnings));
    }
    let outcome = channels_operation::apply(&workspace, plan)?;
    finish(&mut text, &outcome, "channels are published", "channels are published as they stand; nothing to do");
    Ok(Report::new("channels", text, json!({"dry_run": false, "plan": document, "result": outcome}))
        .warnings(&warnings)
        .warnings(&outcome.warnings))
}

/// `publish refresh`.
pub(super) fn refresh(global: &Global, arguments: &Refresh, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let mut workspace = open(global, &config, output)?;
    if let Some(version) = arguments.versions_above {
        if workspace.workers.is_some() {
            return Err(Failure::invalid("the workers give versions here, not this publisher")
                .hint(format!("start each of them with --versions-above {version}, then: publish refresh --all --accept-rollback"))
                .into());
        }
        workspace.versions_above = Versions::all(version);
    }
    let request = RefreshRequest { consistent_snapshot: config.consistent_snapshot, all: arguments.all, rehash: arguments.rehash };
    let plan = refresh_operation::plan(&workspace, request)?;
    let mut text = String::new();
    for due in &plan.due {
        let _ = writeln!(text, "  ~ {}: {}", due.role, due.reason);
    }
    match plan.plain_names {
        Some(PlainSwitch::On) => text.push_str("  + plain names: made for every target\n"),
        Some(PlainSwitch::Off) if config.plain_names == PlainNames::Elsewhere => text.push_str(
            "  - plain names: those with the content of a hashed name are removed, `plain_names: elsewhere` is set; other files stay\n",
        ),
        Some(PlainSwitch::Off) => text.push_str("  - plain names: removed, `plain_names: none` is set\n"),
        None => {}
    }
    let mut warnings: Vec<String> = plan
        .postponed
        .iter()
        .map(|due| format!("{} is {}, but its key is not here: run `publish refresh` where it is", due.role, due.reason))
        .collect();
    if let Some(on) = plan.switch_waits {
        let (now, wish) = if on { ("off", "on") } else { ("on", "off") };
        warnings.push(format!(
            "consistent snapshots stay {now}: `consistent_snapshot: {on}` needs a root that switches them {wish}, too few of the root keys are here, and `publish root` makes no such root; run `publish refresh` where enough root keys are, or set `consistent_snapshot: {}`",
            !on
        ));
    }
    let document = json!(plan);
    let empty = format!("nothing is due; next: {}", plan.next.as_deref().unwrap_or("unknown"));
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::new("refresh", text, json!({"dry_run": true, "plan": document})).warnings(&warnings));
    }
    let done = if plan.due.is_empty() { "plain names are as the config says" } else { "roles are signed again" };
    let outcome = refresh_operation::apply(&workspace, plan)?;
    finish(&mut text, &outcome, done, &empty);
    Ok(Report::new("refresh", text, json!({"dry_run": false, "plan": document, "result": outcome}))
        .warnings(&warnings)
        .warnings(&outcome.warnings))
}

/// `publish yank`.
pub(super) fn yank(global: &Global, arguments: &Yank, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let workspace = open(global, &config, output)?;
    let plan = yank_operation::plan(&workspace, &YankRequest { version: arguments.version.clone(), reason: arguments.reason.clone() })?;
    let warnings = plan.warnings.clone();
    let mut text = String::new();
    let shown = if output.verbose { plan.removed.len() } else { MAX_LISTED };
    plan.removed.iter().take(shown).for_each(|name| text.push_str(&format!("  - {name}\n")));
    if plan.removed.len() > shown {
        let _ = writeln!(text, "    and {} more (--verbose lists them)", plan.removed.len() - shown);
    }
    let document = json!(plan);
    let (done, empty) = (
        format!("release {} is yanked; its version is burned", plan.version),
        format!("release {} was yanked already; nothing to do", plan.version),
    );
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::new("yank", text, json!({"dry_run": true, "plan": document})).warnings(&warnings));
    }
    let outcome = yank_operation::apply(&workspace, plan)?;
    finish(&mut text, &outcome, &done, &empty);
    let report = Report::new("yank", text, json!({"dry_run": false, "plan": document, "result": outcome}));
    Ok(report.warnings(&warnings).warnings(&outcome.warnings))
}

fn describe_release(plan: &ReleasePlan, verbose: bool) -> String {
    let mut text = String::new();
    for platform in &plan.platforms {
        let (sign, words) = match platform.state {
            PlatformState::New => ("+", "new"),
            PlatformState::Identical => ("=", "published, identical"),
            PlatformState::Resign => ("~", "published, to be signed"),
        };
        let bytes: u64 = platform.files.iter().map(|file| file.length).sum();
        let _ = writeln!(text, "  {sign} {} ({words}: {}, {})", platform.platform, count(platform.files.len(), "file"), size(bytes));
        let shown = if verbose { platform.files.len() } else { MAX_LISTED };
        if platform.state != PlatformState::Identical || verbose {
            for file in platform.files.iter().take(shown) {
                let _ = writeln!(text, "      {} {}", file.name, size(file.length));
            }
            if platform.files.len() > shown {
                let _ = writeln!(text, "      and {} more (--verbose lists them)", platform.files.len() - shown);
            }
        }
    }
    if let Some(channels) = &plan.channels {
        text.push_str(&describe_channels(channels));
    }
    text
}

fn describe_channels(plan: &ChannelsPlan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let sign = match (&change.from, &change.to) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "~",
        };
        let _ = writeln!(text, "  {sign} {change}");
    }
    if plan.unchanged > 0 {
        let _ = writeln!(text, "  = {} unchanged", count(plan.unchanged, "channel"));
    }
    for channel in &plan.vanished {
        let _ = writeln!(text, "  ! {channel} is published but not in the file; kept (remove it with `publish channels --prune`)");
    }
    text
}

pub(super) fn finish_plan(text: &mut String, empty: bool, steps: &str) {
    if empty {
        text.push_str("plan: nothing to do\n");
    } else {
        let _ = writeln!(text, "  ~ {steps}");
        text.push_str("plan only, nothing was written; run it without --dry-run to publish\n");
    }
}

pub(super) fn finish(text: &mut String, outcome: &Outcome, done: &str, empty: &str) {
    let versions = &outcome.versions;
    if outcome.changed {
        let _ = writeln!(
            text,
            "{done} (root {}, targets {}, snapshot {}, timestamp {})",
            versions.root, versions.targets, versions.snapshot, versions.timestamp
        );
    } else if empty.is_empty() {
        let _ = writeln!(text, "another publisher has published exactly this meanwhile; nothing to do");
    } else {
        let _ = writeln!(text, "{empty}");
    }
}
