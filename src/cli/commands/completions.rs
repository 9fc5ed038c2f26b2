//! `publish completions`, `publish man` and `publish reference`.

use crate::cli::help;
use crate::cli::output::Report;
use crate::error::Error;
use clap::Args;
use std::path::{Path, PathBuf};

/// Print shell completions
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  publish completions bash")]
pub(in crate::cli) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Write man pages, one for each command
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  publish man man/man1")]
pub(in crate::cli) struct Man {
    /// The directory for the pages
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Print the reference page (docs/reference.md)
#[derive(Clone, Debug, Args)]
#[command(hide = true, after_help = "Example:\n  publish reference")]
pub(in crate::cli) struct Reference {}

/// `publish completions`.
pub(in crate::cli) fn completions(shell: clap_complete::Shell) -> Report {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "publish", &mut out);
    Report::text("completions", String::from_utf8_lossy(&out).into_owned())
}

/// `publish man`.
pub(in crate::cli) fn man(directory: &Path) -> anyhow::Result<Report> {
    std::fs::create_dir_all(directory).map_err(|error| Error::io("make the directory", directory.display(), error))?;
    clap_mangen::generate_to(help::command(), directory).map_err(|error| Error::io("write man pages to", directory.display(), error))?;
    Ok(Report::text("man", format!("man pages are in {}\n", directory.display())))
}
