//! The files for hosted runners.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum Ci {
    /// Write workflows for GitHub Actions
    #[command(
        after_help = "It writes .github/workflows/publish-*.yml, publish.ci.yaml and publish.root.json, and nothing outside the checkout.\n\nExamples:\n  publish ci github --dry-run\n  publish ci github --build 'make dist' --from dist"
    )]
    Github(CiFiles),
    /// Write a pipeline for GitLab
    #[command(
        after_help = "It writes .gitlab/publish.gitlab-ci.yml, publish.ci.yaml and publish.root.json, and .gitlab-ci.yml if there is none. To an existing .gitlab-ci.yml, add the two lines that the command prints.\n\nExamples:\n  publish ci gitlab --dry-run\n  publish ci gitlab --build 'make dist' --from dist"
    )]
    Gitlab(CiFiles),
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct CiFiles {
    /// The top of the checkout that gets the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// The command that builds in a fresh checkout; it runs without secrets
    #[arg(long, value_name = "COMMAND", default_value = "make dist")]
    pub build: String,
    /// Where the build is then: <os>-<arch> directories, or what `platforms:` in the config names
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub from: String,
    /// The tar.gz with the program that jobs install [default: the variable PUBLISH_URL of the CI]
    #[arg(long, value_name = "URL", requires = "sha256")]
    pub url: Option<String>,
    /// Its SHA-256 [default: the variable PUBLISH_SHA256 of the CI]
    #[arg(long, value_name = "HEX", requires = "url")]
    pub sha256: Option<String>,
    /// Replace files that this command wrote and that differ
    #[arg(long)]
    pub force: bool,
}
