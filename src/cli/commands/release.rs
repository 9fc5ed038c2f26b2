//! `publish release`.

use crate::cli::arguments::{Global, PlanFormat};
use crate::cli::change::{Change, Next, Screen, check_format};
use crate::cli::channel_lines::{describe_channels, users_run, usual};
use crate::cli::channels_file;
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::plan::{Plan, size_after, totals};
use crate::cli::publisher::{of_repository, open};
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::error::Error;
use crate::names::{Platform, ReleaseVersion, platform_directory};
use crate::operation::Publisher;
use crate::operation::change::carry_out;
use crate::operation::change::channels::ChannelsRequest;
use crate::operation::change::release::{self, PlatformState, ReleasePlan, ReleaseRequest};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Publish a build as a release
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "DIR/<os>-<arch>/… becomes releases/VERSION/<os>-<arch>/…, each file with a detached OpenPGP signature below signatures/. Published files of a release never change. A platform can be added later.\n\nExamples:\n  publish release 1.0.0 --from dist --dry-run\n  publish release 1.0.0 --from dist --channels\n  publish release 1.0.0 --platform linux-amd64=dist/linux-amd64"
)]
pub(in crate::cli) struct Release {
    /// The version, MAJOR.MINOR.PATCH; a leading v is dropped
    pub version: String,
    /// The build: a directory with <os>-<arch> directories
    #[arg(long, value_name = "DIR", required_unless_present = "platform")]
    pub from: Option<PathBuf>,
    /// <os>-<arch>=PATH: take a platform from PATH, a directory or one program; can be repeated, and only these platforms are published
    #[arg(long, value_name = "PLATFORM=PATH", value_parser = platform_at)]
    pub platform: Vec<(Platform, PathBuf)>,
    /// Publish the channels file in the same commit [default: the configured one]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub channels: Option<Option<PathBuf>>,
    /// Replace the signatures of what is published already
    #[arg(long)]
    pub resign: bool,
    /// Also publish files in bin/ that a desktop program left there, such as .DS_Store
    #[arg(long)]
    pub allow_desktop_files: bool,
    /// Let --channels move a channel to an older version
    #[arg(long, requires = "channels")]
    pub allow_downgrade: bool,
    /// Let --channels move a channel to a release without platforms that its users have
    #[arg(long, requires = "channels")]
    pub allow_missing_platforms: bool,
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

/// Reads `<os>-<arch>=PATH`.
fn platform_at(text: &str) -> Result<(Platform, PathBuf), String> {
    let (platform, path) = text.split_once('=').ok_or("write <os>-<arch>=PATH, for example linux-amd64=dist/linux")?;
    let platform = Platform::parse(platform).map_err(|failure| format!("{}; {}", failure.message, failure.hints.join("; ")))?;
    if path.is_empty() { Err(format!("{platform} has no path")) } else { Ok((platform, path.into())) }
}

/// `publish release`.
pub(in crate::cli) fn run(global: &Global, arguments: &Release, output: &Output) -> Result<Report> {
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
    let mut prepared = release::prepare(&publisher, &request)?;
    let plan = &mut prepared.plan;
    plan.warnings.extend(other);
    let (version, new) = (&plan.version, plan.platforms.iter().any(|platform| platform.state == PlatformState::New));
    let change = Change {
        command: "release",
        document: json!(plan),
        screen: Screen::Lines {
            lines: describe(plan, &publisher, output.verbose),
            format: arguments.format,
            empty: plan.empty,
            end: nothing_written("publish"),
        },
        warnings: plan.warnings.clone(),
        confirmation: None,
        done: match new {
            true => format!("release {version} is published"),
            false => format!("release {version} was published already; its signatures or channels are up to date now"),
        },
        nothing: if plan.empty { format!("release {version} is already published; nothing to do") } else { String::new() },
        next: Next::IfChanged(next_for_users(&publisher, plan)),
    };
    change.run(global, output, || carry_out(&publisher, prepared))
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

fn describe(plan: &ReleasePlan, publisher: &Publisher, verbose: bool) -> Plan {
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
    lines.roles(&plan.roles);
    lines.summary(totals(&[
        ("to add", &[(added, "file"), (new, "channel")]),
        ("to sign again", &[(signed, "file")]),
        ("to change", &[(moved, "channel")]),
        ("to remove", &[(gone, "channel")]),
    ]));
    lines
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
