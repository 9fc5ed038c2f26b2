//! `publish remove-delegation`.

use crate::cli::arguments::Global;
use crate::cli::change::{Change, Confirmation, Next, Screen};
use crate::cli::delegation::describe_delegation;
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::config::Config;
use crate::operation::change::{carry_out, remove_delegation};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Remove a delegation from targets.json
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Clients then no longer find the targets of the role. `publish status` lists delegations to keys of others. The files of the role stay, and the snapshot still lists the role, because clients refuse a snapshot that loses an entry.\n\nExample:\n  publish remove-delegation mallory --dry-run"
)]
pub(in crate::cli) struct RemoveDelegation {
    /// The role that targets.json delegates to
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Confirm: the name again
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Confirms too; kept for scripts that were written for earlier versions
    #[arg(long, hide = true, conflicts_with = "confirm")]
    pub yes: bool,
}

/// `publish remove-delegation`.
pub(in crate::cli) fn run(global: &Global, arguments: &RemoveDelegation, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let prepared = remove_delegation::prepare(&publisher, &arguments.name)?;
    let plan = &prepared.plan;
    let mut text = String::new();
    describe_delegation(&plan.delegation, "-", &mut text);
    let change = Change {
        command: "remove-delegation",
        document: json!(plan),
        screen: Screen::before(text, false, &plan.roles),
        warnings: Vec::new(),
        confirmation: Some(Confirmation {
            value: arguments.name.clone(),
            given: arguments.confirm.clone().or(arguments.yes.then(|| arguments.name.clone())),
            what: "remove this delegation".into(),
        }),
        done: format!("targets.json does not delegate to {} any more", arguments.name.escape_debug()),
        nothing: String::new(),
        next: Next::Nothing,
    };
    change.run(global, output, || carry_out(&publisher, prepared))
}
