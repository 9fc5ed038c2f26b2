//! `publish channels`.

use crate::cli::arguments::{Global, PlanFormat};
use crate::cli::change::{Change, Next, Screen, check_format};
use crate::cli::channel_lines::{describe_channels, users_run, usual};
use crate::cli::channels_file;
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::plan::{Plan, totals};
use crate::cli::publisher::{of_repository, open};
use crate::config::Config;
use crate::operation::change::carry_out;
use crate::operation::change::channels::{self, ChannelsRequest};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Publish the channels in trdl_channels.yaml
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Each channel becomes the target channels/<group>/<channel>, which contains its version.\n\nExamples:\n  publish channels --dry-run\n  publish channels"
)]
pub(in crate::cli) struct Channels {
    /// The channels file [default: the configured one]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Let channels move to an older version
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Let channels move to a release without platforms that their users have
    #[arg(long)]
    pub allow_missing_platforms: bool,
    /// Remove published channels that the file does not have
    #[arg(long)]
    pub prune: bool,
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

/// `publish channels`.
pub(in crate::cli) fn run(global: &Global, arguments: &Channels, output: &Output) -> Result<Report> {
    check_format(global, arguments.format)?;
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let (file, other) = channels_file::choose(&config, arguments.file.as_deref(), "--file ")?;
    let request = ChannelsRequest {
        file,
        allow_downgrade: arguments.allow_downgrade,
        allow_missing_platforms: arguments.allow_missing_platforms,
        prune: arguments.prune,
    };
    let mut prepared = channels::prepare(&publisher, &request)?;
    let plan = &mut prepared.plan;
    plan.warnings.extend(other);
    let mut lines = Plan::new(format!("Channels{}", of_repository(&publisher)), output.verbose);
    describe_channels(&mut lines, plan, "");
    lines.roles(&plan.roles);
    lines.summary(totals(&[
        ("to add", &[(plan.added(), "channel")]),
        ("to change", &[(plan.moved(), "channel")]),
        ("to remove", &[(plan.removed(), "channel")]),
    ]));
    let change = Change {
        command: "channels",
        document: json!(plan),
        screen: Screen::Lines {
            lines,
            format: arguments.format,
            empty: plan.empty && plan.vanished.is_empty(),
            end: if plan.empty { "Nothing was written.\n".into() } else { nothing_written("publish") },
        },
        warnings: plan.warnings.clone(),
        confirmation: None,
        done: "channels are published".into(),
        nothing: "all channels are published already; nothing to do".into(),
        next: Next::IfChanged(users_run(&publisher, usual(plan.changes.iter().filter(|change| change.to.is_some())))),
    };
    change.run(global, output, || carry_out(&publisher, prepared))
}
