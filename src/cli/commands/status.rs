//! `publish status`.

use crate::cli::arguments::Global;
use crate::cli::delegation::describe_delegation;
use crate::cli::exit;
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::cli::table::table;
use crate::cli::text::{count, span};
use crate::config::Config;
use crate::error::{Error, Id, Message};
use crate::keys::KeyUri;
use crate::operation::install::{self as install_operation, Install};
use crate::operation::read_pinned_root;
use crate::operation::status::{self as operation, Health};
use crate::storage::{Conditions, HttpSource};
use anyhow::Result;
use chrono::Utc;
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// Show the health, channels, releases and roles
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The first line is the verdict, and the exit code agrees: 0 healthy; 3 expired, within --fail-within, or (without that option) due; 11 paused or incomplete. With --quiet, a healthy repository prints nothing.\n\nExamples:\n  publish status\n  publish status --quiet --fail-within 3h\n  publish status --install"
)]
pub(in crate::cli) struct Status {
    /// An http(s) URL: what clients get from there [default: the configured repository]
    pub url: Option<String>,
    /// Print every way to install: trdl, curl with gpg, PowerShell
    #[arg(long, conflicts_with = "url")]
    pub install: bool,
    /// Exit with code 3 if a role expires within this span, such as 90m, 12h or 3d
    #[arg(long, value_name = "SPAN", value_parser = crate::cli::text::parse_span)]
    pub fail_within: Option<chrono::TimeDelta>,
}

const MAX_RELEASES: usize = 15;

/// `publish status`.
pub(in crate::cli) fn run(global: &Global, arguments: &Status, output: &Output) -> Result<Report> {
    if let Some(url) = &arguments.url {
        return served(global, url, arguments, output);
    }
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    if arguments.install {
        let install = install_operation::install(&publisher)?;
        return Ok(Report::new("status", install_text(&install), json!({"install": install})));
    }
    let status = operation::status(&publisher, arguments.fail_within)?;
    let code = exit::code_of_health(status.health);
    let text = if output.is_silent() { verdict(&status) } else { describe(&status, &config, output.verbose)? };
    let clock: Vec<Message> = status.clock.iter().map(|text| Message::new(Id::ClocksDisagree, text)).collect();
    Ok(Report::new("status", text, json!({"status": status})).warnings(&clock).exit(code))
}

/// What --quiet prints: nothing where all is well.
fn verdict(status: &operation::Status) -> String {
    if status.health == Health::Healthy { String::new() } else { format!("{}\n", status.verdict) }
}

fn describe(status: &operation::Status, config: &Config, verbose: bool) -> Result<String> {
    let mut text = format!("{}\n{}", status.verdict, status.location);
    if let Some(url) = &config.public_url {
        let _ = write!(text, ", {url}");
    }
    if !status.consistent_snapshot {
        text.push_str("\nconsistent snapshots are off: only one publisher can work, and clients may fail during a publish");
    }
    if status.bins > 0 {
        let _ = write!(text, "\n{} at the top level, others in {}", count(status.targets, "target"), count(status.bins, "hashed bin"));
    }
    match (status.store.conditions, status.store.single_publisher) {
        (_, true) => text.push_str("\nsingle publisher: the config states that there is no other publisher; nothing enforces it"),
        (Some(Conditions::Enforced), false) => {}
        (Some(Conditions::Ignored), false) => text.push_str("\nthe store ignores conditions: every change will be refused"),
        (None, false) => text.push_str("\nthe store was not checked yet: publish store check"),
    }
    if status.location.starts_with("gs://") {
        text.push_str("\npreview: Google Cloud Storage was tested on an imitation only; check yours with `publish store check`");
    }
    let keys = config.key_uris()?.into_values().flatten().chain([config.openpgp()?]);
    let previews: Vec<String> = keys.filter(KeyUri::is_preview).map(|uri| uri.to_string()).collect();
    if !previews.is_empty() {
        let previews = previews.join(", ");
        let _ = write!(text, "\npreview: keys in {previews} were tested on an imitation only; check yours with `publish key check URI`");
    }
    text.push('\n');
    describe_channels(&mut text, status);
    describe_releases(&mut text, status, verbose);
    describe_roles(&mut text, &status.roles);
    if !status.delegations.is_empty() {
        text.push_str(
            "\nDELEGATIONS to keys of others: this repository certifies what they publish; publish remove-delegation NAME removes one\n",
        );
        status.delegations.iter().for_each(|delegation| describe_delegation(delegation, "!", &mut text));
    }
    for role in &status.long_lived {
        let _ = writeln!(text, "\nnote: {role}; if a clock was wrong, see docs/recovery.md");
    }
    if !status.plain_names.is_empty() {
        text.push('\n');
        let shown = if verbose { status.plain_names.len() } else { MAX_RELEASES };
        status.plain_names.iter().take(shown).for_each(|trouble| text.push_str(&format!("! {trouble}\n")));
        more(&mut text, status.plain_names.len(), shown);
    }
    for alarm in &status.alarms {
        let _ = writeln!(text, "alarm: {alarm}; run `publish refresh`");
    }
    Ok(text)
}

/// Channels with the date and the platforms of their release.
fn describe_channels(text: &mut String, status: &operation::Status) {
    if status.channels.is_empty() {
        return;
    }
    let rows = status.channels.iter().map(|(channel, version)| {
        let release = status.releases.iter().find(|release| release.version == *version);
        let date = release.and_then(|release| release.published.as_deref()).map_or("", day).to_owned();
        [channel.clone(), version.clone(), date, release.map(|release| release.platforms.join(" ")).unwrap_or_default()]
    });
    table(text, ["CHANNEL", "VERSION", "RELEASED", "PLATFORMS"], rows.collect());
}

fn describe_releases(text: &mut String, status: &operation::Status, verbose: bool) {
    if !status.releases.is_empty() {
        let shown = if verbose { status.releases.len() } else { MAX_RELEASES };
        let rows = status.releases.iter().take(shown).map(|release| {
            let date = release.published.as_deref().map_or("", day).to_owned();
            let channels = if release.channels.is_empty() { "-".into() } else { release.channels.join(" ") };
            [release.version.clone(), date, release.files.to_string(), channels]
        });
        table(text, ["RELEASE", "DATE", "FILES", "CHANNELS"], rows.collect());
        more(text, status.releases.len(), shown);
    }
    if !status.yanked.is_empty() {
        let _ = writeln!(text, "\nyanked: {}", status.yanked.join(" "));
    }
}

fn describe_roles(text: &mut String, roles: &[operation::RoleStatus]) {
    let rows = roles.iter().map(|role| {
        let when = if role.seconds_left < 0 { "EXPIRED".to_owned() } else { format!("in {}", span(role.seconds_left)) };
        let due = if role.refresh_in < 0 { "due now".to_owned() } else { format!("in {}", span(role.refresh_in)) };
        let signed = if role.keys > 1 { format!(", signed by {} of {} keys", role.signatures, role.keys) } else { String::new() };
        [role.role.to_owned(), format!("{}{signed}", role.version), format!("{} {when}", day(&role.expires)), due]
    });
    table(text, ["ROLE", "VERSION", "EXPIRES", "REFRESH"], rows.collect());
}

/// `2026-11-26` of a time in UTC.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

fn more(text: &mut String, number: usize, shown: usize) {
    if number > shown {
        let _ = writeln!(text, "and {} more (--verbose lists them)", number - shown);
    }
}

/// `publish status URL`: what clients get from a web server.
fn served(global: &Global, url: &str, arguments: &Status, output: &Output) -> Result<Report> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Error::invalid(format!("{} is not an http(s) URL", url.escape_debug()))
            .hint("for another directory or bucket: publish status --repo LOCATION")
            .into());
    }
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let pinned = read_pinned_root(&config.root())?;
    let published = publisher.load().map(|present| present.versions()).ok();
    let served = operation::served(&HttpSource::new(url)?, &pinned, published, Utc::now(), config.lifetimes(), arguments.fail_within)?;
    let code = exit::code_of_health(served.health);
    let mut text = String::new();
    if output.is_silent() {
        if served.health != Health::Healthy {
            let _ = writeln!(text, "{}", served.verdict);
        }
    } else {
        let (releases, channels) = (count(served.releases, "release"), count(served.channels, "channel"));
        let _ = writeln!(text, "{}\n{}: {releases}, {channels}", served.verdict, served.location);
        describe_roles(&mut text, &served.roles);
    }
    Ok(Report::new("status", text, json!({"served": served})).exit(code))
}

/// Every way to install. Downloads fail loudly, and the certificate comes before the signature is verified.
fn install_text(install: &Install) -> String {
    let Install { name, url, .. } = install;
    let mut text = String::from("With trdl (https://trdl.dev), on Linux, macOS and Windows:\n");
    for (version, sha512) in &install.roots {
        let _ = writeln!(text, "  trdl add {name} {url} {version} {sha512}");
    }
    if install.roots.len() > 1 {
        text.push_str("  (one of these lines: all lead to the same repository)\n");
    }
    match &install.channel {
        Some((group, channel)) => {
            let _ = writeln!(text, "  trdl update {name} {group} {channel}\n  trdl exec {name} {group} {channel}");
        }
        None => text.push_str("  (no channel is published yet: publish channels)\n"),
    }
    let (Some(release), Some(file), Some(fingerprint)) = (&install.release, &install.file, install.certificates.last()) else {
        text.push_str("\nFor curl and gpg: nothing is released yet.\n");
        return text;
    };
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let program = last(file);
    let _ = write!(
        text,
        "\nWith curl and gpg. Compare the fingerprint with the one that the project publishes elsewhere:\n  \
         curl -fO {url}/targets/openpgp/{fingerprint}.asc\n  \
         gpg --show-keys {fingerprint}.asc\n  \
         gpg --import {fingerprint}.asc\n  \
         curl -fO {url}/targets/releases/{release}/{file}\n  \
         curl -fO {url}/targets/signatures/{release}/{file}.sig\n  \
         gpg --verify {program}.sig {program}\n"
    );
    let file = install.windows_file.as_ref().unwrap_or(file);
    let program = last(file);
    let _ = write!(
        text,
        "\nWith PowerShell and gpg (https://gpg4win.org):\n  \
         Invoke-WebRequest {url}/targets/openpgp/{fingerprint}.asc -OutFile {fingerprint}.asc\n  \
         gpg --import {fingerprint}.asc\n  \
         Invoke-WebRequest {url}/targets/releases/{release}/{file} -OutFile {program}\n  \
         Invoke-WebRequest {url}/targets/signatures/{release}/{file}.sig -OutFile {program}.sig\n  \
         gpg --verify {program}.sig {program}\n"
    );
    text
}
