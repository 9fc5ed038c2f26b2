//! What every command takes: the global options, and arguments that several commands share.

use crate::metadata::KeyIdStyle;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// What every command takes; each has a variable, but those that must not come from the environment.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The config file
    #[arg(long, global = true, env = "PUBLISH_CONFIG", value_name = "FILE", default_value = "publish.yaml")]
    pub config: PathBuf,
    /// The repository, instead of the configured one: a directory, s3://bucket/prefix, az://container/prefix, or gs://bucket/prefix (preview)
    #[arg(long, global = true, env = "PUBLISH_REPO", value_name = "LOCATION")]
    pub repo: Option<String>,
    /// Print the plan and change nothing
    #[arg(long, short = 'n', global = true, env = "PUBLISH_DRY_RUN", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Print one JSON document, also for errors
    #[arg(long, global = true, env = "PUBLISH_JSON", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Print only warnings and errors
    #[arg(long, short, global = true, env = "PUBLISH_QUIET", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// Do not shorten lists
    #[arg(long, short, global = true, env = "PUBLISH_VERBOSE", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub verbose: bool,
    /// When to show progress bars
    #[arg(long, global = true, env = "PUBLISH_PROGRESS", value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    pub progress: When,
    /// Read the passphrase of the key files from a file
    #[arg(long, global = true, env = "PUBLISH_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the key files from a command's output
    #[arg(long, global = true, env = "PUBLISH_PASSPHRASE_COMMAND", hide_env_values = true, value_name = "COMMAND")]
    pub passphrase_command: Option<String>,
    /// Read the passphrase of the OpenPGP key from a file (default: as for the key files)
    #[arg(long, global = true, env = "PUBLISH_OPENPGP_PASSPHRASE_FILE", value_name = "FILE")]
    pub openpgp_passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the OpenPGP key from a command's output
    #[arg(long, global = true, env = "PUBLISH_OPENPGP_PASSPHRASE_COMMAND", hide_env_values = true, value_name = "COMMAND")]
    pub openpgp_passphrase_command: Option<String>,
    /// Refuse the config file unless it has this SHA-256: for jobs where others can change the file
    #[arg(long, global = true, env = "PUBLISH_CONFIG_SHA256", value_name = "HEX")]
    pub config_sha256: Option<String>,
    /// Send credentials unencrypted to other hosts; a variable or the config cannot set this
    #[arg(long, global = true)]
    pub allow_plain_http: bool,
    /// Accept a repository that is older than the last known state
    #[arg(long, global = true, env = "PUBLISH_ACCEPT_ROLLBACK", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub accept_rollback: bool,
}

/// When to draw progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Variables that hold secrets and therefore have no flag.
pub(super) const SECRET_VARIABLES: [(&str, &str); 4] = [
    ("PUBLISH_PASSPHRASE", "the passphrase of the key files"),
    ("PUBLISH_OPENPGP_PASSPHRASE", "the passphrase of the OpenPGP key (default: that of the key files)"),
    ("PUBLISH_NEW_PASSPHRASE", "the new passphrase, for `publish key passphrase`"),
    ("PUBLISH_BROKER_PASSWORD", "the password of the broker's user"),
];

/// The form of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For a terminal
    Text,
    /// For a comment on a pull request
    Markdown,
}

/// How key ids are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyIds {
    /// Over the key's three fields: for every client except php-tuf
    Specification,
    /// Also over keyid_hash_algorithms: for php-tuf, and every client that does not compute key ids
    PhpTuf,
}

impl KeyIds {
    /// The style that it names.
    pub fn style(self) -> KeyIdStyle {
        match self {
            Self::Specification => KeyIdStyle::Specification,
            Self::PhpTuf => KeyIdStyle::HashAlgorithms,
        }
    }
}

/// Whether a boolean variable is set to something true.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t"))
}

/// A version that clients can read, and one after it.
pub(super) fn a_version() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..crate::metadata::LAST_VERSION)
}
