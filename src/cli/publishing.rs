//! The commands that change a published repository: plan, show or apply, report.

use super::arguments::{Channels, Global, PlanFormat, Refresh, Release, Yank};
use super::channels_file;
use super::output::{Output, Report, nothing_written};
use super::plan::{Plan, size_after, totals};
use super::publisher::open;
use super::text::{confirm_loss, count, size, steps};
use crate::config::Config;
use crate::error::{Error, Id, Message};
use crate::names::{Platform, RELEASES, ReleaseVersion, SIGNATURES, platform_directory, release_directory, yanked_name};
use crate::operation::channels::{ChannelChange, ChannelsPlan, ChannelsRequest, lines_with};
use crate::operation::refresh::RefreshRequest;
use crate::operation::release::{PlatformState, ReleasePlan, ReleaseRequest};
use crate::operation::yank::{self as yank_operation, YankPlan, YankRequest};
use crate::operation::{
    Outcome, Publisher, RoleStep, channels as channels_operation, refresh as refresh_operation, release as release_operation,
};
use crate::repository::{PlainNames, PlainSwitch, Versions};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

const CHANNELS_UNCHANGED: &str = "all channels are published already; nothing to do";

/// `publish release`.
pub(super) fn release(global: &Global, arguments: &Release, output: &Output) -> Result<Report> {
    check_format(global, arguments.format)?;
    let version = ReleaseVersion::from_argument(&arguments.version)?;
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let given = arguments.channels.as_ref().map(Option::as_deref);
    let chosen = given.map(|given| channels_file::choose(&config, given, "--channels=")).transpose()?;
    let (file, other) = chosen.map_or((None, None), |(file, other)| (Some(file), other));
    let channels = file.map(|file| ChannelsRequest {
        file,
        allow_downgrade: arguments.allow_downgrade,
        allow_missing_platforms: arguments.allow_missing_platforms,
        prune: false,
    });
    let request = ReleaseRequest {
        version,
        platforms: platforms(&config, arguments)?,
        from: arguments.from.clone().unwrap_or_default(),
        resign: arguments.resign,
        allow_desktop_files: arguments.allow_desktop_files,
        channels,
    };
    let mut plan = release_operation::plan(&publisher, &request)?;
    plan.warnings.extend(other);
    let document = json!(plan);
    let warnings = plan.warnings.clone();
    let version = plan.version.clone();
    let new = plan.platforms.iter().any(|platform| platform.state == PlatformState::New);
    let lines = describe_release(&plan, &publisher, output.verbose);
    if global.dry_run {
        let nothing = plan.empty.then(|| already_published(&version));
        let text = planned(lines, arguments.format, &warnings, nothing.as_deref(), &nothing_written("publish"));
        return Ok(Report::planned("release", text, &document).warnings(&warnings));
    }
    output.plan(if plan.empty { None } else { Some(lines.render(PlanFormat::Text)) }, &warnings);
    let (done, empty) = match (plan.empty, new) {
        (true, _) => (String::new(), already_published(&version)),
        (false, true) => (format!("release {version} is published"), String::new()),
        (false, false) => {
            (format!("release {version} was published already; its signatures or channels are up to date now"), String::new())
        }
    };
    let next = next_for_users(&publisher, &plan);
    let outcome = release_operation::apply(&publisher, plan)?;
    let mut text = String::new();
    finish(&mut text, &outcome, &done, &empty);
    if outcome.changed {
        text.push_str(&next);
    }
    Ok(Report::done("release", text, &document, &outcome).warnings(&outcome.warnings))
}

fn already_published(version: &str) -> String {
    format!("release {version} is already published; nothing to do")
}

/// Where other tools put the platforms: from the command line, or else from the config.
fn platforms(config: &Config, arguments: &Release) -> Result<BTreeMap<Platform, PathBuf>> {
    let mut platforms = BTreeMap::new();
    for (platform, path) in &arguments.platform {
        if platforms.insert(*platform, path.clone()).is_some() {
            return Err(Error::invalid(format!("--platform names {platform} twice")).into());
        }
    }
    if let Some(from) = arguments.from.as_ref().filter(|_| platforms.is_empty()) {
        for (name, path) in &config.platforms {
            let platform = Platform::parse(name).map_err(|mut failure| {
                failure.message = format!("`platforms` in the config: {}", failure.message);
                failure
            })?;
            platforms.insert(platform, from.join(path));
        }
    }
    Ok(platforms)
}

/// `publish channels`.
pub(super) fn channels(global: &Global, arguments: &Channels, output: &Output) -> Result<Report> {
    check_format(global, arguments.format)?;
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let (file, other) = channels_file::choose(&config, arguments.file.as_deref(), "--file ")?;
    let mut plan = channels_operation::plan(
        &publisher,
        &ChannelsRequest {
            file,
            allow_downgrade: arguments.allow_downgrade,
            allow_missing_platforms: arguments.allow_missing_platforms,
            prune: arguments.prune,
        },
    )?;
    plan.warnings.extend(other);
    let (document, warnings) = (json!(plan), plan.warnings.clone());
    let mut lines = Plan::new(format!("Channels{}", of_repository(&publisher)), output.verbose);
    describe_channels(&mut lines, &plan, "");
    describe_roles(&mut lines, &plan.roles);
    lines.summary(totals(&[
        ("to add", &[(plan.added(), "channel")]),
        ("to change", &[(plan.moved(), "channel")]),
        ("to remove", &[(plan.removed(), "channel")]),
    ]));
    if global.dry_run {
        let nothing = (plan.empty && plan.vanished.is_empty()).then_some(CHANNELS_UNCHANGED);
        let end = if plan.empty { "Nothing was written.\n".into() } else { nothing_written("publish") };
        let text = planned(lines, arguments.format, &warnings, nothing, &end);
        return Ok(Report::planned("channels", text, &document).warnings(&warnings));
    }
    output.plan(if plan.empty && plan.vanished.is_empty() { None } else { Some(lines.render(PlanFormat::Text)) }, &warnings);
    let next = users_run(&publisher, usual(plan.changes.iter().filter(|change| change.to.is_some())));
    let outcome = channels_operation::apply(&publisher, plan)?;
    let mut text = String::new();
    finish(&mut text, &outcome, "channels are published", CHANNELS_UNCHANGED);
    if outcome.changed {
        text.push_str(&next);
    }
    Ok(Report::done("channels", text, &document, &outcome).warnings(&outcome.warnings))
}

/// `publish refresh`.
pub(super) fn refresh(global: &Global, arguments: &Refresh, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let mut publisher = open(global, &config, output)?;
    if let Some(version) = arguments.versions_above {
        if publisher.has_workers() {
            return Err(Error::invalid("workers sign this repository, and they choose the versions")
                .hint(format!("start each worker with --versions-above {version}, then run: publish refresh --all --accept-rollback"))
                .into());
        }
        publisher = publisher.signing_above(Versions::all(version));
    }
    let request = RefreshRequest { consistent_snapshot: config.consistent_snapshot, all: arguments.all, rehash: arguments.rehash };
    let plan = refresh_operation::plan(&publisher, request)?;
    let mut text = String::new();
    for due in &plan.due {
        let _ = writeln!(text, "  ~ {}: {}", due.role, due.reason);
    }
    match plan.plain_names {
        Some(PlainSwitch::On) => text.push_str("  + plain names: written for every target\n"),
        Some(PlainSwitch::Off) if config.plain_names == PlainNames::Elsewhere => text.push_str(
            "  - plain names: those with the content of a hashed name are removed, `plain_names: elsewhere` is set; other files stay\n",
        ),
        Some(PlainSwitch::Off) => text.push_str("  - plain names: removed, `plain_names: none` is set\n"),
        None => {}
    }
    let mut warnings: Vec<Message> = plan
        .postponed
        .iter()
        .map(|due| {
            format!("{} is due ({}), but its key is not on this machine: run `publish refresh` where the key is", due.role, due.reason)
        })
        .map(|text| Message::new(Id::RefreshPostponed, text))
        .collect();
    if let Some(on) = plan.switch_waits {
        let (now, wish) = if on { ("off", "on") } else { ("on", "off") };
        warnings.push(Message::new(Id::ConsistentSnapshotWaits, format!(
            "consistent snapshots stay {now}: `consistent_snapshot: {on}` needs a new root that switches them {wish}, and this machine has too few root keys to sign it; run `publish refresh` on a machine with enough root keys, or set `consistent_snapshot: {}`",
            !on
        )));
    }
    let document = json!(plan);
    let empty = format!("nothing is due; next: {}", plan.next.as_deref().unwrap_or("unknown"));
    if global.dry_run {
        finish_plan(&mut text, plan.empty, &steps(&plan.roles));
        return Ok(Report::planned("refresh", text, &document).warnings(&warnings));
    }
    if let Some(version) = arguments.versions_above {
        output.plan(Some(std::mem::take(&mut text)), &[]);
        confirm_loss(&version.to_string(), arguments.confirm.as_deref(), &format!("raise every version above {version}"), output)?;
    }
    let done = if plan.due.is_empty() { "plain names match the config" } else { "roles are signed again" };
    let outcome = refresh_operation::apply(&publisher, plan)?;
    finish(&mut text, &outcome, done, &empty);
    Ok(Report::done("refresh", text, &document, &outcome).warnings(&warnings).warnings(&outcome.warnings))
}

/// `publish yank`.
pub(super) fn yank(global: &Global, arguments: &Yank, output: &Output) -> Result<Report> {
    check_format(global, arguments.format)?;
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let request = YankRequest {
        version: arguments.version.clone(),
        reason: arguments.reason.clone(),
        move_to: arguments.move_to.clone(),
        allow_missing_platforms: arguments.allow_missing_platforms,
    };
    let plan = yank_operation::plan(&publisher, &request)?;
    let warnings = plan.warnings.clone();
    let mut lines = Plan::new(format!("Withdraw release {}{}", plan.version, of_repository(&publisher)), output.verbose);
    for (platform, files) in &plan.platforms {
        lines.line('-', platform, format!("{}, {}", count(files.len(), "file"), size(files.values().sum())));
        files.iter().filter(|_| output.verbose).for_each(|(name, length)| lines.file('-', name, size(*length)));
    }
    let prefix = release_directory(&plan.version);
    for name in &plan.removed {
        match name.strip_prefix(&prefix) {
            Some(file) if file.contains('/') => {}
            Some(_) => lines.line('-', name, ""),
            None if output.verbose => lines.line('-', name, ""),
            None => {}
        }
    }
    if !plan.empty {
        lines.line('+', yanked_name(&plan.version), "this version can never be published again");
    }
    describe_channels(&mut lines, &plan.channels, "Channels");
    let of = |directory: &str| plan.removed.iter().filter(|name| name.starts_with(directory)).count();
    describe_roles(&mut lines, &plan.roles);
    lines.summary(totals(&[
        ("to change", &[(plan.channels.changes.len(), "channel")]),
        ("to remove", &[(of(RELEASES), "file"), (of(SIGNATURES), "signature")]),
    ]));
    let document = json!(plan);
    let version = plan.version.clone();
    let (done, empty) = (
        format!("release {version} is yanked; its version can never be published again"),
        format!("release {version} was yanked already; nothing to do"),
    );
    let to_withdraw = format!("Nothing was written. To withdraw it: --confirm {version} instead of --dry-run.\n");
    if global.dry_run {
        let mut text = planned(lines, arguments.format, &warnings, plan.empty.then_some(empty.as_str()), &to_withdraw);
        if arguments.format == PlanFormat::Text {
            text.push_str(&file_to_edit(&config, &plan));
        }
        return Ok(Report::planned("yank", text, &document).warnings(&warnings));
    }
    output.plan(if plan.empty { None } else { Some(lines.render(PlanFormat::Text)) }, &warnings);
    if !plan.empty {
        confirm_loss(&version, arguments.confirm.as_deref(), &format!("withdraw release {version}"), output)?;
    }
    let next = file_to_edit(&config, &plan);
    let outcome = yank_operation::apply(&publisher, plan)?;
    let mut text = String::new();
    finish(&mut text, &outcome, &done, &empty);
    text.push_str(&next);
    Ok(Report::done("yank", text, &document, &outcome).warnings(&outcome.warnings))
}

/// After channels were moved by a yank: the lines of the channels file that still name the withdrawn version.
fn file_to_edit(config: &Config, plan: &YankPlan) -> String {
    let path = config.channels();
    let Some(to) = plan.channels.changes.iter().find_map(|change| change.to.as_ref()) else { return String::new() };
    let stale: String =
        lines_with(&path, &plan.version).into_iter().map(|line| format!("  {}:{line}: version: {to}\n", path.display())).collect();
    if stale.is_empty() {
        return stale;
    }
    format!("\nChange these lines of the channels file; until then, `publish channels` refuses it:\n{stale}")
}

/// ` of acme`, if the repository has a name.
fn of_repository(publisher: &Publisher) -> String {
    publisher.label().name.as_ref().map(|name| format!(" of {name}")).unwrap_or_default()
}

/// Markdown is a form of the plan alone.
fn check_format(global: &Global, format: PlanFormat) -> Result<()> {
    if format == PlanFormat::Markdown && !global.dry_run {
        return Err(Error::invalid("--format markdown is a form of the plan").hint("add --dry-run").into());
    }
    Ok(())
}

/// The answer of a dry run; `nothing` is the whole answer on a terminal where nothing is to be done, `end` its last line
/// otherwise.
fn planned(mut lines: Plan, format: PlanFormat, warnings: &[Message], nothing: Option<&str>, end: &str) -> String {
    if let (PlanFormat::Text, Some(nothing)) = (format, nothing) {
        return format!("{nothing}\n");
    }
    lines.warnings(warnings);
    let mut text = lines.render(format);
    if format == PlanFormat::Text {
        text.push_str(end);
    }
    text
}

fn describe_release(plan: &ReleasePlan, publisher: &Publisher, verbose: bool) -> Plan {
    let compared = plan.previous.as_ref().map(|previous| format!(", compared with {previous}")).unwrap_or_default();
    let mut lines = Plan::new(format!("Release {}{}{compared}", plan.version, of_repository(publisher)), verbose);
    let (mut added, mut signed) = (0, 0);
    for platform in &plan.platforms {
        let files = count(platform.files.len(), "file");
        let bytes: u64 = platform.files.iter().map(|file| file.length).sum();
        let before = platform.files.iter().filter_map(|file| file.previous_length).sum::<u64>();
        let compared = (before > 0 && platform.lost_files.is_empty()).then_some(before);
        match platform.state {
            PlatformState::New if platform.gained => lines.line('+', &platform.platform, format!("new platform: {files}, {}", size(bytes))),
            PlatformState::New => lines.line('+', &platform.platform, format!("{files}, {}", size_after(bytes, compared))),
            PlatformState::Identical => lines.line('=', &platform.platform, format!("published, identical: {files}, {}", size(bytes))),
            PlatformState::Resign => lines.line('~', &platform.platform, format!("published, gets new signatures: {files}")),
        }
        match platform.state {
            PlatformState::New => added += platform.files.len(),
            PlatformState::Resign => signed += platform.files.len(),
            PlatformState::Identical if !verbose => continue,
            PlatformState::Identical => {}
        }
        let prefix = platform_directory(&plan.version, &platform.platform);
        for file in &platform.files {
            let sign = if platform.state == PlatformState::New { '+' } else { '=' };
            lines.file(sign, file.name.strip_prefix(&prefix).unwrap_or(&file.name), size_after(file.length, file.previous_length));
        }
        let previous = plan.previous.as_deref().unwrap_or_default();
        platform.lost_files.iter().for_each(|name| lines.file('-', name, format!("only in {previous}")));
    }
    for platform in &plan.lost_platforms {
        lines.line('-', platform, format!("only in {}", plan.previous.as_deref().unwrap_or_default()));
    }
    let (mut new, mut moved, mut gone) = (0, 0, 0);
    if let Some(channels) = &plan.channels {
        describe_channels(&mut lines, channels, "Channels");
        (new, moved, gone) = (channels.added(), channels.moved(), channels.removed());
    }
    describe_roles(&mut lines, &plan.roles);
    lines.summary(totals(&[
        ("to add", &[(added, "file"), (new, "channel")]),
        ("to sign again", &[(signed, "file")]),
        ("to change", &[(moved, "channel")]),
        ("to remove", &[(gone, "channel")]),
    ]));
    lines
}

fn describe_channels(lines: &mut Plan, plan: &ChannelsPlan, heading: &str) {
    lines.section(heading);
    for change in &plan.changes {
        match (&change.from, &change.to) {
            (Some(from), Some(to)) if change.is_downgrade() => lines.line('~', &change.channel, format!("{from} -> {to} (downgrade)")),
            (Some(from), Some(to)) => lines.line('~', &change.channel, format!("{from} -> {to}")),
            (None, Some(to)) => lines.line('+', &change.channel, to),
            (from, None) => {
                let from = from.as_deref().unwrap_or("?");
                lines.line('-', &change.channel, format!("{from}, removed: its users get no more updates"));
            }
        }
    }
    if plan.unchanged > 0 {
        lines.line('=', count(plan.unchanged, "channel"), "unchanged");
    }
    for loss in &plan.left_behind {
        let machines = loss.machines.join(", ");
        lines.line('!', &loss.channel, format!("{machines} users stay on {}", loss.from));
    }
    for channel in &plan.vanished {
        lines.line('!', channel, "not in the file; `channels --prune` removes it");
    }
}

/// The roles that a plan signs.
fn describe_roles(lines: &mut Plan, roles: &[RoleStep]) {
    lines.section("Metadata to sign");
    for step in roles {
        let expires = step.expires.replace('T', " ");
        let expires = expires.get(..16).unwrap_or(&expires);
        lines.line('~', step.role.name(), format!("{} -> {}, expires {expires} UTC", step.from, step.to));
    }
}

/// What users run to get a release.
fn next_for_users(publisher: &Publisher, plan: &ReleasePlan) -> String {
    let moved = plan.channels.iter().flat_map(|channels| &channels.changes);
    match usual(moved.filter(|change| change.to.as_ref() == Some(&plan.version))) {
        Some(channel) => users_run(publisher, Some(channel)),
        None if plan.channels.is_none() => {
            "\nNo channel was changed. To offer the release to users, edit the channels file, then: publish channels\n".into()
        }
        None => String::new(),
    }
}

/// The channel that most users have: `stable` if it is among them.
fn usual<'c>(changes: impl Iterator<Item = &'c ChannelChange>) -> Option<&'c str> {
    let names: Vec<&str> = changes.map(|change| change.channel.as_str()).collect();
    names.iter().find(|name| name.ends_with("/stable")).or(names.first()).copied()
}

/// The command that installs a channel.
fn users_run(publisher: &Publisher, channel: Option<&str>) -> String {
    let (Some(name), Some((group, channel))) = (&publisher.label().name, channel.and_then(|channel| channel.rsplit_once('/'))) else {
        return String::new();
    };
    format!("\nYour users run:\n  trdl update {name} {group} {channel}\n")
}

pub(super) fn finish_plan(text: &mut String, empty: bool, steps: &str) {
    if empty {
        text.push_str("Plan: nothing to do.\n");
    } else {
        let _ = writeln!(text, "  ~ {steps}");
        text.push_str(&nothing_written("publish"));
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
