//! The reference page and completions, made from the definitions that the program itself uses.

use super::arguments::{self, SECRET_VARIABLES};
use super::exit;
use super::output::Report;
use crate::config;
use crate::failure::Failure;
use clap::{Arg, Command};
use std::fmt::Write;
use std::path::Path;

/// What the commands with `--confirm` take away.
const LOSSES: [(&str, &str, &str); 8] = [
    ("yank", "the release, and its version for ever", "the version"),
    ("remove-targets", "the targets and their signatures", "the number and digest that the plan prints"),
    ("remove-delegation", "the targets of the role, for clients", "the role's name"),
    ("bins", "one `targets.json` with all targets: bins can be more or fewer, never none", "the number of bins"),
    ("refresh --versions-above", "all lower versions, for ever: clients refuse them", "the version"),
    (
        "root commit --replace-now",
        "what only the old keys signed; with `--back-to`, what was published after that snapshot",
        "the version of the new root",
    ),
    ("queue drop", "requests that no worker could carry out", "their number"),
    ("prune", "files that no current or recent metadata refers to", "`name` of the config"),
];

/// `publish completions`.
pub(super) fn completions(shell: clap_complete::Shell) -> Report {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut arguments::command(), "publish", &mut out);
    Report::text("completions", String::from_utf8_lossy(&out).into_owned())
}

/// `publish man`.
pub(super) fn man(directory: &Path) -> anyhow::Result<Report> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io("make the directory", directory.display(), error))?;
    clap_mangen::generate_to(arguments::command(), directory)
        .map_err(|error| Failure::io("write man pages to", directory.display(), error))?;
    Ok(Report::text("man", format!("man pages are in {}\n", directory.display())))
}

/// `docs/reference.md`; a test fails when the file is another one.
pub(super) fn page() -> String {
    let mut command = arguments::command();
    command.build();
    let mut page = String::from("# Reference\n\nMade by `publish reference`; a test fails when this page is stale.\n\n## Commands\n");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        describe(&mut page, sub, sub.get_name());
        for below in sub.get_subcommands().filter(|below| below.get_name() != "help") {
            describe(&mut page, below, &format!("{} {}", sub.get_name(), below.get_name()));
        }
    }
    page.push_str("\n## Global options\n\nOn every command. A flag overrides its variable, the variable the config, the config the default.\n\n| option | variable | default | meaning |\n|---|---|---|---|\n");
    for argument in command.get_arguments().filter(|argument| argument.is_global_set()) {
        let variable = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let _ = writeln!(
            page,
            "| {} | {variable} | {} | {} |",
            usage(argument),
            default(argument),
            argument.get_help().map(ToString::to_string).unwrap_or_default()
        );
    }
    page.push_str("\nVariables without a flag, because they hold secrets:\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in SECRET_VARIABLES {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page.push_str("\n`NO_COLOR` switches colours off. A value that cannot be read is an error that names the variable.\n\n## publish.yaml\n\nPaths are relative to the file. Unknown keys are refused.\n\n| key | default | meaning |\n|---|---|---|\n");
    for (key, default, meaning) in config::KEYS {
        let _ = writeln!(page, "| `{key}` | {default} | {meaning} |");
    }
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in exit::TABLE {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    page.push_str("\n## What cannot be undone\n\nThese commands show their plan and need `--confirm` with the value below. On a terminal they ask for it instead.\n\n| command | loses | `--confirm` |\n|---|---|---|\n");
    for (command, loses, value) in LOSSES {
        let _ = writeln!(page, "| `publish {command}` | {loses} | {value} |");
    }
    page.push_str("\nA confirmation comes after every check, so a wrong one changes nothing. Other commands need none, because their effect can be undone: channels move back (`--allow-downgrade`) and are published again after `channels --prune`; plain names and consistent snapshots are switched back in the config; a later root adds a key again that `rotate` dropped. `root commit` without `--replace-now` is confirmed by the people who signed the draft: `root sign` shows it and asks.\n");
    page.push_str("\n## JSON\n\n`--json` prints one document to stdout. `schema` is 1; within it, fields are only ever added. Changing commands have `command`, `dry_run`, `plan` and, unless it is a dry run, `result`; a plan has `empty`; a result has `published`, the targets with `name`, `length`, `sha256` and `url`. `status` has `status`; `verify` has `good` and `report`. An error is a document too: `error` with `kind`, `exit_code`, `message`, `details`, `causes` and `hints`.\n");
    page
}

fn describe(page: &mut String, command: &Command, name: &str) {
    let _ = write!(page, "\n### publish {name}\n\n{}.\n\n", command.get_about().map(ToString::to_string).unwrap_or_default());
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && !argument.is_hide_set() && argument.get_id() != "help")
        .collect();
    if !own.is_empty() {
        page.push_str("| argument | default | meaning |\n|---|---|---|\n");
        for argument in own {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                usage(argument),
                default(argument),
                argument.get_help().map(ToString::to_string).unwrap_or_default()
            );
        }
        page.push('\n');
    }
    if let Some(after) = command.get_after_long_help() {
        let _ = writeln!(page, "```\n{after}\n```");
    }
}

fn usage(argument: &Arg) -> String {
    let values = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .map(|names| names.iter().map(|name| format!(" {name}")).collect::<String>())
        .unwrap_or_default();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("`-{short}`, `--{long}{values}`"),
        (Some(long), None) => format!("`--{long}{values}`"),
        _ => format!("`{}`", argument.get_id().as_str().to_uppercase()),
    }
}

fn default(argument: &Arg) -> String {
    let values: Vec<String> = argument
        .get_default_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    values.join(" ")
}
