//! Help texts: the commands in groups, and the two lengths of a command's own help.

use super::commands::{Arguments, GROUPS, OTHERS};
use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory};
use std::ffi::OsString;
use std::fmt::Write;

/// The definition of the command line with its help texts. `-h` shows a command's own options and its examples; `--help`
/// adds the explanation and the global options.
pub(super) fn command() -> Command {
    let command = Arguments::command();
    let overview = overview(&command);
    shorten(command.mut_args(|argument| if argument.is_global_set() { argument.hide_short_help(true) } else { argument }))
        .override_help(overview)
}

/// The help of the program itself, at most 80 columns and 40 lines.
fn overview(command: &Command) -> String {
    let about = |name: &str| {
        let found = command.get_subcommands().find(|sub| name.split(", ").next() == Some(sub.get_name()));
        found.and_then(Command::get_about).map(ToString::to_string).unwrap_or_default()
    };
    let mut text = format!("{}\n\nUsage: publish COMMAND [OPTIONS]\n", command.get_about().map(ToString::to_string).unwrap_or_default());
    for (heading, names) in GROUPS {
        let _ = write!(text, "\n{heading}:\n");
        for name in names {
            let _ = writeln!(text, "  {name:<18} {}", about(name));
        }
    }
    let _ = write!(text, "\n`publish COMMAND -h` has examples. More: {}.", OTHERS.join(", "));
    text
}

/// Puts the explanation of a command and of those below it into the long help only.
fn shorten(command: Command) -> Command {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let at = text.rfind("Example").unwrap_or(0);
    let (explanation, examples) = text.split_at(at);
    let short = format!("{}\n\nGlobal options, such as --dry-run, --json and --config: see --help", examples.trim_end());
    let long = format!("{}{}", explanation, examples);
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.after_help(short).after_long_help(long);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, shorten))
}

/// If a value that clap refused came from a variable, returns its name.
pub(super) fn variable_behind(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let ContextValue::String(named) = error.get(ContextKind::InvalidArg)? else { return None };
    let flag = named.split([' ', '=']).next()?;
    let given = arguments.iter().any(|argument| argument.to_string_lossy().split('=').next() == Some(flag));
    let command = command();
    let argument = command.get_arguments().find(|argument| argument.get_long().is_some_and(|long| format!("--{long}") == flag))?;
    let variable = argument.get_env()?.to_str()?;
    (!given && std::env::var_os(variable).is_some()).then(|| format!("the value comes from the variable {variable}"))
}
