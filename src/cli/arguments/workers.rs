//! Workers and their queues.

use clap::{Args, Subcommand, ValueEnum};

/// A role that a worker can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum WorkerName {
    /// The targets role and its bins
    Targets,
    /// The snapshot
    Snapshot,
    /// The timestamp
    Timestamp,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Queue {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum QueueCommand {
    /// Send dead letters to the queue they came from
    #[command(after_help = "Example:\n  publish queue requeue --all")]
    Requeue(Letters),
    /// Remove dead letters
    #[command(after_help = "Example:\n  publish queue drop --all --confirm 2")]
    Drop {
        #[command(flatten)]
        letters: Letters,
        /// Confirm: the number of dead letters
        #[arg(long, value_name = "NUMBER")]
        confirm: Option<String>,
    },
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Letters {
    /// The ids of the dead letters
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All dead letters
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}
