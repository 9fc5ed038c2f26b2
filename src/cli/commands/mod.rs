//! The commands: one file for each, with its arguments, what it does, and how it is shown. A new command gets a file here, a
//! variant of [`Command`] and a place in [`GROUPS`].

mod add_targets;
mod adopt;
mod bins;
mod channels;
mod ci;
mod completions;
mod diff;
mod doctor;
mod init;
mod key;
#[cfg(feature = "monitor")]
mod monitor;
#[cfg(not(feature = "monitor"))]
#[path = "monitor_absent.rs"]
mod monitor;
mod pause;
mod prune;
mod queue;
mod refresh;
mod release;
mod remove_delegation;
mod remove_targets;
mod root;
mod rotate;
mod status;
mod store;
mod verify;
mod worker;
mod yank;

use super::arguments::Global;
use super::output::{Output, Purpose, Report};
use super::reference;
use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Every command that help shows, by heading; a test proves that none is missing or listed twice. Two that belong together
/// share a line.
pub(super) const GROUPS: [(&str, &[&str]); 6] = [
    ("Daily commands", &["init", "release", "channels", "refresh", "status"]),
    ("Publishing", &["add-targets", "remove-targets", "yank"]),
    ("Inspecting", &["doctor", "verify", "diff"]),
    ("Keys and roots", &["key", "root", "rotate"]),
    ("Repository maintenance", &["adopt", "bins", "prune", "store"]),
    ("Services", &["ci", "worker", "monitor", "queue", "pause, resume"]),
];

/// Commands that the last line of the help names.
pub(super) const OTHERS: [&str; 3] = ["remove-delegation", "completions", "man"];

/// Publishes releases to a TUF repository for trdl, TUF clients, and curl with gpg.
#[derive(Debug, Parser)]
#[command(name = "publish", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  publish init --no-passphrase && publish release 1.0.0 --from dist")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::Init),
    Adopt(adopt::Adopt),
    Release(release::Release),
    Channels(channels::Channels),
    AddTargets(add_targets::AddTargets),
    RemoveTargets(remove_targets::RemoveTargets),
    RemoveDelegation(remove_delegation::RemoveDelegation),
    Bins(bins::Bins),
    Refresh(refresh::Refresh),
    Rotate(rotate::Rotate),
    Worker(worker::Worker),
    Monitor(Monitor),
    Queue(queue::Queue),
    Pause(pause::Pause),
    Resume(pause::Resume),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Root(root::Root),
    Yank(yank::Yank),
    Prune(prune::Prune),
    #[command(subcommand)]
    Store(store::Store),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Diff(diff::Diff),
    Verify(verify::Verify),
    #[command(subcommand)]
    Ci(ci::Ci),
    Completions(completions::Completions),
    Man(completions::Man),
    #[command(hide = true)]
    Reference(completions::Reference),
}

/// Publish finished uploads from a drop box, and refresh roles
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A pipeline fills tuf_tmp_X in the drop box and renames it to tuf_ready_X. All uploads that are ready are published in one commit. An upload that cannot be accepted is renamed to tuf_failed_X, with the reason in a file beside it. On SIGTERM the monitor finishes the running work and exits; on SIGHUP it reads its config again. With --json, it logs JSON lines.\n\nExamples:\n  publish monitor --once\n  publish monitor --json"
)]
pub(super) struct Monitor {
    /// One round only: what is ready and due now
    #[arg(long)]
    pub once: bool,
}

impl Command {
    /// Runs it.
    pub fn run(&self, global: &Global, output: &Output) -> Result<Report> {
        match self {
            Self::Init(arguments) => init::run(global, arguments, output),
            Self::Adopt(arguments) => adopt::run(global, arguments, output),
            Self::Release(arguments) => release::run(global, arguments, output),
            Self::Channels(arguments) => channels::run(global, arguments, output),
            Self::AddTargets(arguments) => add_targets::run(global, arguments, output),
            Self::RemoveTargets(arguments) => remove_targets::run(global, arguments, output),
            Self::RemoveDelegation(arguments) => remove_delegation::run(global, arguments, output),
            Self::Bins(arguments) => bins::run(global, arguments, output),
            Self::Refresh(arguments) => refresh::run(global, arguments, output),
            Self::Rotate(arguments) => rotate::run(global, arguments, output),
            Self::Worker(arguments) => worker::run(global, arguments, output),
            Self::Monitor(Monitor { once: true }) => monitor::run(global, monitor::Scope::OneRound, output),
            Self::Monitor(Monitor { once: false }) => monitor::run(global, monitor::Scope::Everything, output),
            Self::Queue(arguments) => queue::run(global, arguments, output),
            Self::Pause(arguments) => pause::pause(global, arguments, output),
            Self::Resume(_) => pause::resume(global, output),
            Self::Key(arguments) => key::run(global, arguments, output),
            Self::Root(arguments) => root::run(global, arguments, output),
            Self::Yank(arguments) => yank::run(global, arguments, output),
            Self::Prune(arguments) => prune::run(global, arguments, output),
            Self::Store(store::Store::Check) => store::check(global, output),
            Self::Status(arguments) => status::run(global, arguments, output),
            Self::Doctor(arguments) => doctor::run(global, arguments, output),
            Self::Diff(arguments) => diff::run(global, arguments, output),
            Self::Verify(arguments) => verify::run(global, arguments, output),
            Self::Ci(arguments) => ci::run(global, arguments, output),
            Self::Completions(completions::Completions { shell }) => Ok(completions::completions(*shell)),
            Self::Man(completions::Man { directory }) => completions::man(directory),
            Self::Reference(_) => Ok(Report::text("reference", reference::page())),
        }
    }

    /// Whether it runs until a signal stops it, and then finishes what it is at.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Worker(_) | Self::Monitor(_) | Self::Refresh(refresh::Refresh { watch: true, .. }))
    }

    /// Whether it changes nothing, neither the repository nor a file of the publisher.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Key(key::Key::List | key::Key::Show { .. } | key::Key::Export { .. } | key::Key::Check { .. })
                | Self::Root(root::Root::Show { .. })
                | Self::Queue(queue::Queue { command: None })
                | Self::Status(_)
                | Self::Doctor(_)
                | Self::Diff(_)
                | Self::Verify(_)
                | Self::Completions(_)
                | Self::Reference(_)
        )
    }

    /// What its text is for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Completions(_) | Self::Reference(_) => Purpose::Program,
            Self::Status(_) | Self::Doctor(_) | Self::Diff(_) | Self::Verify(_) | Self::Store(_) => Purpose::Answer,
            Self::Queue(_) | Self::Key(_) | Self::Root(_) => Purpose::Answer,
            _ => Purpose::Change,
        }
    }

    /// The command's name if it has no plan to show: `--dry-run` is refused then, never ignored. Each command is listed, so
    /// that a new one has to be decided on.
    pub fn without_dry_run(&self) -> Option<&'static str> {
        match self {
            Self::Worker(_) => Some("worker"),
            Self::Monitor(_) => Some("monitor"),
            Self::Refresh(refresh::Refresh { watch, .. }) => watch.then_some("refresh --watch"),
            Self::Queue(queue::Queue { command: Some(queue::QueueCommand::Requeue(_)) }) => Some("queue requeue"),
            Self::Queue(queue::Queue { command: Some(queue::QueueCommand::Drop { .. }) }) => Some("queue drop"),
            Self::Store(store::Store::Check) => Some("store check"),
            Self::Root(root::Root::Merge { .. }) => Some("root merge"),
            // It signs, if only to see whether the key can.
            Self::Key(key::Key::Check { .. }) => Some("key check"),
            Self::Init(_) | Self::Adopt(_) | Self::Release(_) | Self::Channels(_) | Self::AddTargets(_) | Self::RemoveTargets(_) => None,
            Self::RemoveDelegation(_) | Self::Bins(_) | Self::Rotate(_) | Self::Yank(_) | Self::Prune(_) => None,
            Self::Pause(_) | Self::Resume(_) | Self::Queue(queue::Queue { command: None }) => None,
            Self::Root(root::Root::Edit { .. } | root::Root::Show { .. } | root::Root::Sign { .. } | root::Root::Commit { .. }) => None,
            Self::Key(key::Key::New { .. } | key::Key::Passphrase { .. } | key::Key::Certify { .. } | key::Key::Extend { .. }) => None,
            // These only read.
            Self::Key(key::Key::List | key::Key::Show { .. } | key::Key::Export { .. }) => None,
            Self::Ci(_) => None,
            Self::Status(_)
            | Self::Doctor(_)
            | Self::Diff(_)
            | Self::Verify(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Reference(_) => None,
        }
    }
}
