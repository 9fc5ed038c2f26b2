//! `publish yank`.

use crate::cli::arguments::{Global, PlanFormat};
use crate::cli::change::{Change, Confirmation, Next, Screen, check_format};
use crate::cli::channel_lines::describe_channels;
use crate::cli::output::{Output, Report};
use crate::cli::plan::{Plan, totals};
use crate::cli::publisher::{of_repository, open};
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::names::{RELEASES, SIGNATURES, release_directory, yanked_name};
use crate::operation::change::carry_out;
use crate::operation::change::channels::lines_with;
use crate::operation::change::yank::{self, YankPlan, YankRequest};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Withdraw a release permanently
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The release is removed from the metadata at once, and its version can never be published again. No channel may point at it; --move-to moves them to another release in the same commit. Its files stay available to clients that have begun to download them, until a prune.\n\nExamples:\n  publish yank 1.0.1 --dry-run\n  publish yank 1.0.1 --confirm 1.0.1 --reason https://example.org/advisories/7"
)]
pub(in crate::cli) struct Yank {
    /// The version to withdraw, or the exact name of a release that another tool published
    pub version: String,
    /// The reason, published in yanked/VERSION
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Confirm: the version again, as in the plan
    #[arg(long, value_name = "VERSION")]
    pub confirm: Option<String>,
    /// Move the channels that point at it to this release, in the same commit
    #[arg(long, value_name = "VERSION")]
    pub move_to: Option<String>,
    /// Let --move-to choose a release without platforms that the users of these channels have
    #[arg(long, requires = "move_to")]
    pub allow_missing_platforms: bool,
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

/// `publish yank`.
pub(in crate::cli) fn run(global: &Global, arguments: &Yank, output: &Output) -> Result<Report> {
    check_format(global, arguments.format)?;
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let request = YankRequest {
        version: arguments.version.clone(),
        reason: arguments.reason.clone(),
        move_to: arguments.move_to.clone(),
        allow_missing_platforms: arguments.allow_missing_platforms,
    };
    let prepared = yank::prepare(&publisher, &request)?;
    let plan = &prepared.plan;
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
    lines.roles(&plan.roles);
    lines.summary(totals(&[
        ("to change", &[(plan.channels.changes.len(), "channel")]),
        ("to remove", &[(of(RELEASES), "file"), (of(SIGNATURES), "signature")]),
    ]));
    let version = &plan.version;
    let change = Change {
        command: "yank",
        document: json!(plan),
        screen: Screen::Lines {
            lines,
            format: arguments.format,
            empty: plan.empty,
            end: format!("Nothing was written. To withdraw it: --confirm {version} instead of --dry-run.\n"),
        },
        warnings: plan.warnings.clone(),
        confirmation: (!plan.empty).then(|| Confirmation {
            value: version.clone(),
            given: arguments.confirm.clone(),
            what: format!("withdraw release {version}"),
        }),
        done: format!("release {version} is yanked; its version can never be published again"),
        nothing: format!("release {version} was yanked already; nothing to do"),
        next: Next::Always(file_to_edit(&config, plan)),
    };
    change.run(global, output, || carry_out(&publisher, prepared))
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
