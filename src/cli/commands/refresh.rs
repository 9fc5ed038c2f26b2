//! `publish refresh`.

use crate::cli::arguments::{Global, a_version};
use crate::cli::change::{Change, Confirmation, Next, Screen};
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::config::Config;
use crate::error::{Error, Id, Message};
use crate::operation::refresh::{self, RefreshRequest};
use crate::repository::{PlainNames, PlainSwitch, Versions};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// Sign roles again before they expire; made for cron
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Roles are due when they are older than: root 90 days, targets 21 days, snapshot 2 days, timestamp 4 hours; longer `lifetimes` in the config make these longer. If nothing is due, nothing changes. By default the timestamp expires after a day: run this every hour or two, or with --watch as a service. A role whose key is not on this machine is left to other publishers while it is valid; a warning names it and its expiry.\n\nExample:\n  publish refresh --quiet"
)]
pub(in crate::cli) struct Refresh {
    /// Sign all online roles, due or not, for example after a change of keys
    #[arg(long)]
    pub all: bool,
    /// With --all, use versions above this: the repository is an old copy, and clients have seen versions up to it
    #[arg(long, value_name = "VERSION", requires = "all", value_parser = a_version())]
    pub versions_above: Option<u64>,
    /// Confirm: the version of --versions-above again
    #[arg(long, value_name = "VERSION", requires = "versions_above")]
    pub confirm: Option<String>,
    /// Read targets that have only a SHA-512, as other tools make them, and add the SHA-256
    #[arg(long)]
    pub rehash: bool,
    /// Run as a service that checks every `monitor.refresh` seconds
    #[arg(long, conflicts_with_all = ["all", "rehash"])]
    pub watch: bool,
}

/// `publish refresh`.
pub(in crate::cli) fn run(global: &Global, arguments: &Refresh, output: &Output) -> Result<Report> {
    if arguments.watch {
        return super::monitor::run(global, super::monitor::Scope::RolesOnly, output);
    }
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
    let prepared = refresh::prepare(&publisher, request)?;
    let plan = &prepared.plan;
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
        let (now, other) = if on { ("off", "on") } else { ("on", "off") };
        warnings.push(Message::new(Id::ConsistentSnapshotWaits, format!(
            "consistent snapshots stay {now}: `consistent_snapshot: {on}` needs a new root that switches them {other}, and this machine has too few root keys to sign it; run `publish refresh` on a machine with enough root keys, or set `consistent_snapshot: {}`",
            !on
        )));
    }
    let confirmation = arguments.versions_above.map(|version| Confirmation {
        value: version.to_string(),
        given: arguments.confirm.clone(),
        what: format!("raise every version above {version}"),
    });
    let change = Change {
        command: "refresh",
        document: json!(plan),
        screen: match confirmation {
            Some(_) => Screen::before(text, plan.empty, &plan.roles),
            None => Screen::after(text, plan.empty, &plan.roles),
        },
        warnings,
        confirmation,
        done: if plan.due.is_empty() { "plain names match the config" } else { "roles are signed again" }.into(),
        nothing: format!("nothing is due; next: {}", plan.next.as_deref().unwrap_or("unknown")),
        next: Next::Nothing,
    };
    change.run(global, output, || refresh::carry_out(&publisher, prepared))
}
