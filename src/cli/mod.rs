//! The command line: arguments, output as text or JSON, progress, prompts, exit codes. The only module that prints.

mod arguments;
mod change;
mod channel_lines;
mod channels_file;
mod commands;
#[cfg(feature = "monitor")]
mod connections;
mod delegation;
mod exit;
mod help;
mod interrupt;
mod log;
#[cfg(feature = "monitor")]
mod metrics;
mod output;
mod passphrases;
mod plan;
mod progress;
mod publisher;
mod reference;
mod table;
mod text;
mod wrap;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use commands::Arguments;
use output::{Output, Report};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs one command and returns its exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // What is in memory must not end in a file that another process can read.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, rustix::process::Rlimit { current: Some(0), maximum: Some(0) });
    interrupt::survive_file_limit();
    let arguments: Vec<OsString> = arguments.collect();
    let parsed = match help::command().try_get_matches_from(&arguments).and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, &arguments),
    };
    if let Some(name) = parsed.command.without_dry_run().filter(|_| parsed.global.dry_run) {
        let message = format!("`publish {name}` has no dry run; run it without --dry-run (PUBLISH_DRY_RUN)");
        return usage(&help::command().error(ErrorKind::ArgumentConflict, message), &arguments);
    }
    let output = Output::new(&parsed.global);
    interrupt::report_as(&output, parsed.command.only_reads());
    if !parsed.command.is_service() {
        interrupt::watch();
    }
    match run(&parsed, &output) {
        Ok(report) => {
            output.report(&report, parsed.command.purpose());
            let lost = output.check_stdout(Some(&report)).filter(|_| report.exit == 0);
            ExitCode::from(lost.unwrap_or(report.exit))
        }
        Err(error) => {
            output.error(&error);
            output.check_stdout(None);
            ExitCode::from(exit::code(&error))
        }
    }
}

fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<Report> {
    let global = &arguments.global;
    if global.allow_plain_http {
        crate::transport::allow_plain();
    }
    check_config(global)?;
    arguments.command.run(global, output)
}

/// Refuses a config that is not the pinned one, before anything in it is used.
fn check_config(global: &arguments::Global) -> anyhow::Result<()> {
    use crate::error::{Error, Id, Kind};
    use crate::files::{GIVEN_FILE_LIMIT, read_given};
    let Some(wanted) = &global.config_sha256 else { return Ok(()) };
    let what = global.config.display();
    let bytes = read_given(&global.config, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the config", &what, error))?;
    let found = hex::encode(openssl::sha::sha256(&bytes));
    if wanted.trim().eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    Err(Error::new(Kind::Untrusted, format!("the config {what} is not the one that is pinned"))
        .id(Id::ConfigNotPinned)
        .detail(format!("pinned: sha256 {}", wanted.trim().escape_debug()))
        .detail(format!("found:  sha256 {found}"))
        .hint(
            "read what has changed; if the change is intended, update --config-sha256 or PUBLISH_CONFIG_SHA256: docs/ci.md#what-a-publishyaml-can-do",
        )
        .into())
}

/// Help and version go to stdout with code 0; everything else is a usage error, as JSON on request.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        output::print(&rendered(error, std::io::stdout().is_terminal(), wrap::stdout()));
        return output::Output::plain().check_stdout(None).map_or(ExitCode::SUCCESS, ExitCode::from);
    }
    let takes_equals = error.kind() == ErrorKind::UnknownArgument && arguments.iter().any(|argument| argument == "--channels");
    let hint = help::variable_behind(error, arguments)
        .or_else(|| takes_equals.then(|| "another channels file is given with `=`: --channels=FILE".to_owned()));
    if arguments.iter().any(|argument| argument == "--json") || arguments::is_set("PUBLISH_JSON") {
        output::print(&output::usage_document(error, hint.as_deref()));
        output::Output::plain().check_stdout(None);
    } else {
        output::eprint(&rendered(error, std::io::stderr().is_terminal(), wrap::stderr()));
        if let Some(hint) = hint {
            output::eprint_wrapped(&format!("hint: {hint}\n"));
        }
    }
    ExitCode::from(exit::USAGE)
}

/// Help or a usage error, in lines that fit; with colours on a terminal that shows them.
fn rendered(error: &clap::Error, terminal: bool, width: Option<usize>) -> String {
    let text = error.render();
    let text = if terminal && output::wants_color() { text.ansi().to_string() } else { text.to_string() };
    wrap::wrapped(&text, width)
}
