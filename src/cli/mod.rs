//! The command line: arguments, output as text or JSON, progress, prompts, exit codes. The only module that prints.

mod adopt;
mod arguments;
mod channels_file;
mod ci;
#[cfg(feature = "monitor")]
mod connections;
mod delegations;
mod diff;
mod doctor;
mod exit;
mod init;
mod interrupt;
mod key;
mod log;
#[cfg(feature = "monitor")]
mod metrics;
#[cfg(feature = "monitor")]
mod monitor;
#[cfg(not(feature = "monitor"))]
#[path = "monitor_absent.rs"]
mod monitor;
mod output;
mod passphrases;
mod plan;
mod progress;
mod publisher;
mod publishing;
mod reference;
mod root;
mod rotate;
mod status;
mod store;
mod targets;
mod text;
mod verify;
mod workers;
mod wrap;

use arguments::{Arguments, Command};
use clap::FromArgMatches;
use clap::error::ErrorKind;
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
    let parsed = match arguments::command().try_get_matches_from(&arguments).and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, &arguments),
    };
    if let Some(name) = parsed.command.without_dry_run().filter(|_| parsed.global.dry_run) {
        let message = format!("`publish {name}` has no dry run; run it without --dry-run (PUBLISH_DRY_RUN)");
        return usage(&arguments::command().error(ErrorKind::ArgumentConflict, message), &arguments);
    }
    let output = Output::new(&parsed.global);
    interrupt::speak_as(&output, parsed.command.only_reads());
    if !parsed.command.is_service() {
        interrupt::watch();
    }
    match run(&parsed, &output) {
        Ok(report) => {
            output.report(&report);
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
    match &arguments.command {
        Command::Init(init) => init::run(global, init, output),
        Command::Adopt(adopt) => adopt::run(global, adopt, output),
        Command::Release(release) => publishing::release(global, release, output),
        Command::Channels(channels) => publishing::channels(global, channels, output),
        Command::AddTargets(add) => targets::add(global, add, output),
        Command::RemoveDelegation(remove) => delegations::remove(global, remove, output),
        Command::RemoveTargets(remove) => targets::remove(global, remove, output),
        Command::Bins(bins) => targets::bins(global, bins, output),
        Command::Refresh(arguments::Refresh { watch: true, .. }) => monitor::run(global, monitor::Scope::RolesOnly, output),
        Command::Refresh(refresh) => publishing::refresh(global, refresh, output),
        Command::Rotate(rotate) => rotate::run(global, rotate, output),
        Command::Worker { role, versions_above } => workers::serve(global, *role, *versions_above, output),
        Command::Monitor { once: true } => monitor::run(global, monitor::Scope::OneRound, output),
        Command::Monitor { once: false } => monitor::run(global, monitor::Scope::Everything, output),
        Command::Queue(queue) => workers::queue(global, queue, output),
        Command::Pause { reason } => workers::pause(global, reason.as_deref(), output),
        Command::Resume => workers::resume(global, output),
        Command::Key(key) => key::run(global, key, output),
        Command::Root(root) => root::run(global, root, output),
        Command::Yank(yank) => publishing::yank(global, yank, output),
        Command::Prune(prune) => store::prune(global, prune, output),
        Command::Store(arguments::Store::Check) => store::check(global, output),
        Command::Status(status) => status::run(global, status, output),
        Command::Diff(diff) => diff::run(global, diff, output),
        Command::Doctor(doctor) => doctor::run(global, doctor, output),
        Command::Ci(ci) => ci::run(global, ci, output),
        Command::Verify(verify) => verify::run(global, verify, output),
        Command::Completions { shell } => Ok(reference::completions(*shell)),
        Command::Man { directory } => reference::man(directory),
        Command::Reference => Ok(Report::text("reference", reference::page())),
    }
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
    let hint = arguments::variable_behind(error, arguments)
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
