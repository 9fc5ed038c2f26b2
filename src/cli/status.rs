use super::arguments::{Global, Status};
use super::delegations::describe_delegation;
use super::exit;
use super::output::{Output, Report};
use super::text::{count, span};
use super::workspace::open;
use crate::config::Config;
use crate::failure::Kind;
use crate::keys::KeyUri;
use crate::operation::status as operation;
use crate::storage::Conditions;
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;

const MAX_RELEASES: usize = 15;

/// `publish status`.
pub(super) fn run(global: &Global, arguments: &Status, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let workspace = open(global, &config, output)?;
    let status = operation::status(&workspace, arguments.fail_within)?;
    let mut text = format!(
        "{} ({}{}, consistent snapshots {})\n\n",
        status.location,
        count(status.targets, "target"),
        if status.bins > 0 { format!(" at the top level, others in {}", count(status.bins, "bin")) } else { String::new() },
        if status.consistent_snapshot { "on" } else { "off: one publisher only, and clients may fail during a publish" }
    );
    match (status.store.conditions, status.store.single_publisher) {
        (_, true) => text.push_str("single publisher: the config states that there is no other publisher; nothing enforces it\n\n"),
        (Some(Conditions::Enforced), false) => {}
        (Some(Conditions::Ignored), false) => text.push_str("the store ignores conditions: every change will be refused\n\n"),
        (None, false) => text.push_str("the store has not been tried out yet: publish store check\n\n"),
    }
    if let Some(pause) = &status.paused {
        let reason = pause.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let _ = writeln!(text, "PAUSED since {}{reason}; go on with `publish resume`\n", crate::metadata::format_expiry(pause.since));
    }
    if status.location.starts_with("gs://") {
        text.push_str("preview: Google Cloud Storage was tested on an imitation only; `publish store check` tries yours\n\n");
    }
    let previews: Vec<String> = config
        .key_uris()?
        .into_values()
        .flatten()
        .chain([config.openpgp()?])
        .filter(KeyUri::is_preview)
        .map(|uri| uri.to_string())
        .collect();
    if !previews.is_empty() {
        let _ = writeln!(
            text,
            "preview: keys in {} were tested on an imitation only; `publish key check URI` tries yours\n",
            previews.join(", ")
        );
    }
    let _ = writeln!(text, "{:<10} {:>7}  {:<22} {:<6} NEXT", "ROLE", "VERSION", "EXPIRES", "SIGNED");
    for role in &status.roles {
        let expires = if role.seconds_left < 0 { format!("EXPIRED {}", role.expires) } else { format!("in {}", span(role.seconds_left)) };
        let next = if role.refresh_in < 0 { "due now".to_owned() } else { format!("refresh in {}", span(role.refresh_in)) };
        let _ = writeln!(
            text,
            "{:<10} {:>7}  {expires:<22} {:<6} {next}",
            role.role,
            role.version,
            format!("{} of {}", role.signatures, role.threshold)
        );
    }
    if !status.delegations.is_empty() {
        text.push_str(
            "\nDELEGATIONS to keys of others: this repository certifies what they publish; publish remove-delegation NAME ends one\n",
        );
        status.delegations.iter().for_each(|delegation| describe_delegation(delegation, "!", &mut text));
    }
    if !status.releases.is_empty() {
        let _ = writeln!(text, "\n{:<16} {:>5}  {:<40} CHANNELS", "RELEASE", "FILES", "PLATFORMS");
        let shown = if output.verbose { status.releases.len() } else { MAX_RELEASES };
        for release in status.releases.iter().take(shown) {
            let _ = writeln!(
                text,
                "{:<16} {:>5}  {:<40} {}",
                release.version,
                release.files,
                release.platforms.join(" "),
                release.channels.join(" ")
            );
        }
        if status.releases.len() > shown {
            let _ = writeln!(text, "and {} more (--verbose lists them)", status.releases.len() - shown);
        }
    }
    if !status.yanked.is_empty() {
        let _ = writeln!(text, "\nyanked: {}", status.yanked.join(" "));
    }
    if !status.channels.is_empty() {
        text.push('\n');
        for (channel, version) in &status.channels {
            let _ = writeln!(text, "{channel:<24} {version}");
        }
    }
    for role in &status.long_lived {
        let _ = writeln!(text, "\nnote: {role}; if it was a clock, docs/recovery.md shows the way back");
    }
    if !status.plain_names.is_empty() {
        text.push('\n');
        let shown = if output.verbose { status.plain_names.len() } else { MAX_RELEASES };
        status.plain_names.iter().take(shown).for_each(|trouble| text.push_str(&format!("! {trouble}\n")));
        if status.plain_names.len() > shown {
            let _ = writeln!(text, "and {} more (--verbose lists them)", status.plain_names.len() - shown);
        }
    }
    if let Some(next) = &status.next {
        let _ = writeln!(text, "\nnext: {next}");
    }
    for alarm in &status.alarms {
        let _ = writeln!(text, "alarm: {alarm}; run `publish refresh`");
    }
    let code = if status.alarms.is_empty() { 0 } else { exit::code_of(Kind::Due) };
    Ok(Report::new("status", text, json!({"status": status})).exit(code))
}
