//! `publish diff`.

use crate::cli::arguments::{Global, PlanFormat};
use crate::cli::output::{Output, Report};
use crate::cli::plan::{Plan, size_after, totals};
use crate::cli::publisher::open;
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::operation::difference::{Difference, FileDifference, ReleaseDifference, compare};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Compare two releases
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The command shows files and platforms that were added, changed or removed, with their sizes, and the channels of each release.\n\nExamples:\n  publish diff 1.0.0 1.1.0\n  publish diff 1/stable 1.1.0 --format markdown"
)]
pub(in crate::cli) struct Diff {
    /// The old release: a version, or a channel (stable, 1/stable)
    pub from: String,
    /// The new release
    pub to: String,
    /// The form: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

/// `publish diff`.
pub(in crate::cli) fn run(global: &Global, arguments: &Diff, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let difference = compare(&publisher, &arguments.from, &arguments.to)?;
    let text = describe(&difference, output.verbose).render(arguments.format);
    Ok(Report::new("diff", text, json!({"difference": difference})))
}

fn describe(difference: &ReleaseDifference, verbose: bool) -> Plan {
    let mut plan = Plan::new(format!("Release {}, compared with {}", difference.to, difference.from), verbose);
    let (mut counts, mut same) = ([0; 3], 0);
    for platform in &difference.platforms {
        let bytes = |length: fn(&FileDifference) -> Option<u64>| platform.files.iter().filter_map(length).sum::<u64>();
        let (before, after) = (bytes(|file| file.from), bytes(|file| file.to));
        let files = count(platform.files.iter().filter(|file| file.to.is_some()).count(), "file");
        match platform.difference {
            Difference::Added => plan.line('+', &platform.platform, format!("new platform: {files}, {}", size(after))),
            Difference::Removed => plan.line('-', &platform.platform, format!("only in {}", difference.from)),
            Difference::Same => plan.line('=', &platform.platform, format!("identical: {files}, {}", size(after))),
            Difference::Changed => plan.line('~', &platform.platform, format!("{files}, {}", size_after(after, Some(before)))),
        }
        for file in &platform.files {
            let (sign, detail, at) = match file.difference {
                Difference::Added => ('+', size(file.to.unwrap_or(0)), 0),
                Difference::Changed => ('~', size_after(file.to.unwrap_or(0), file.from), 1),
                Difference::Removed => ('-', format!("{} in {}", size(file.from.unwrap_or(0)), difference.from), 2),
                Difference::Same => {
                    same += 1;
                    if verbose {
                        plan.file('=', &file.name, size(file.to.unwrap_or(0)));
                    }
                    continue;
                }
            };
            counts[at] += 1;
            plan.file(sign, &file.name, detail);
        }
    }
    plan.section("Channels");
    for (version, channels) in [(&difference.from, &difference.from_channels), (&difference.to, &difference.to_channels)] {
        let channels = if channels.is_empty() { "no channel points at it".into() } else { channels.join(" ") };
        plan.line(' ', version, channels);
    }
    let [added, changed, removed] = counts;
    plan.summary(match added + changed + removed {
        0 => "The releases are identical.".to_owned(),
        _ => totals(&[
            ("added", &[(added, "file")]),
            ("changed", &[(changed, "file")]),
            ("removed", &[(removed, "file")]),
            ("identical", &[(same, "file")]),
        ])
        .replacen("Plan: ", "", 1),
    });
    plan
}
