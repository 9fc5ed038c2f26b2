//! `publish remove-targets`.

use crate::cli::arguments::Global;
use crate::cli::change::Confirmation as Asked;
use crate::cli::change::{Change, Next, Screen};
use crate::cli::output::{Output, Report};
use crate::cli::plan::MAX_LISTED;
use crate::cli::publisher::open;
use crate::cli::text::{count, steps};
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::operation::change::{carry_out, remove_targets};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// Remove targets
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A PATTERN is a name; * matches any part of a file or directory name, ** any number of directories, ? one character. The signatures of the targets are removed too.\n\nExamples:\n  publish remove-targets 'packages/**' --dry-run\n  publish remove-targets packages/linux-amd64/bin/acme --confirm 1"
)]
pub(in crate::cli) struct RemoveTargets {
    /// The targets to remove
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Confirm: the number of targets and the digest that the plan prints, or the number alone
    #[arg(long, value_name = "COUNT-DIGEST", value_parser = Confirmation::parse)]
    pub confirm: Option<Confirmation>,
}

/// What a person has seen: so many targets, and which.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Confirmation {
    /// How many.
    pub count: usize,
    /// The digest that the plan printed.
    pub digest: Option<String>,
}

impl Confirmation {
    fn parse(text: &str) -> Result<Self, String> {
        let (count, digest) = text.split_once('-').map_or((text, None), |(count, digest)| (count, Some(digest.to_owned())));
        let count = count.parse().map_err(|_| format!("`{}` is not a number of targets", count.escape_debug()))?;
        Ok(Self { count, digest })
    }
}

/// `publish remove-targets`.
pub(in crate::cli) fn run(global: &Global, arguments: &RemoveTargets, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let prepared = remove_targets::prepare(&publisher, &arguments.patterns)?;
    let plan = &prepared.plan;
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
    let end = format!("  ~ {}\nNothing was removed. To remove exactly these: --confirm {value}\n", steps(&plan.roles));
    let change = Change {
        command: "remove-targets",
        document: json!(plan),
        screen: Screen::Text { text, end, before: true },
        warnings: Vec::new(),
        // One that was given has been compared with the plan.
        confirmation: arguments.confirm.is_none().then(|| Asked {
            value,
            given: None,
            what: format!("remove {}", count(number, "target")),
        }),
        done: format!("{} removed", count(number, "target")),
        nothing: String::new(),
        next: Next::Nothing,
    };
    change.run(global, output, || carry_out(&publisher, prepared))
}
