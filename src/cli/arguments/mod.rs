mod ci;
mod help;
mod keys;
mod publishing;
mod root;
mod workers;

pub(super) use ci::{Ci, CiFiles};
pub(super) use help::command;
pub(super) use keys::{Key, KeyForm, KeyType, Rotate, Rotated};
pub(super) use publishing::{
    AddTargets, Adopt, Bins, Channels, Diff, Init, KeyIds, OpenPgpAlgorithm, PlanFormat, Prune, Refresh, Release, RemoveDelegation,
    RemoveTargets, Yank,
};
pub(super) use root::{KnownRoots, Root, RootDraftFile};
pub(super) use workers::{Queue, QueueCommand, WorkerName};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the keys, the first root and publish.yaml
    #[command(after_help = "Example:\n  publish init --name acme --public-url https://tuf.example.org --no-passphrase")]
    Init(Init),
    /// Take over a repository of trdl's server or another TUF tool
    #[command(
        after_help = "The repository is verified as a client does. Keys are searched in the files of --keys: PEM, the JSON of go-tuf and of securesystemslib (encrypted or not), and the JSON in which trdl's server keeps its keys. Keys that are found are written as key files of publish. Nothing is published. Run the command in an empty directory, or name a new config. docs/adopt.md has all steps, also for buckets.\n\nExamples:\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --dry-run\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --no-passphrase"
    )]
    Adopt(Adopt),
    /// Publish a build as a release
    #[command(
        after_help = "DIR/<os>-<arch>/… becomes releases/VERSION/<os>-<arch>/…, each file with a detached OpenPGP signature below signatures/. Published files of a release never change. A platform can be added later.\n\nExamples:\n  publish release 1.0.0 --from dist --dry-run\n  publish release 1.0.0 --from dist --channels\n  publish release 1.0.0 --platform linux-amd64=dist/linux-amd64"
    )]
    Release(Release),
    /// Publish the channels in trdl_channels.yaml
    #[command(
        after_help = "Each channel becomes the target channels/<group>/<channel>, which contains its version.\n\nExamples:\n  publish channels --dry-run\n  publish channels"
    )]
    Channels(Channels),
    /// Publish any files as targets, in one commit
    #[command(
        after_help = "The name of a target is the file's path below --base, with --prefix before it. A directory includes everything below it. releases/, signatures/, channels/, openpgp/ and yanked/ are reserved for their own commands.\n\nExamples:\n  publish add-targets dist --dry-run\n  publish add-targets dist --base dist --prefix packages --sign\n  publish add-targets --changed dist --base dist --prefix packages"
    )]
    AddTargets(AddTargets),
    /// Remove targets
    #[command(
        after_help = "A PATTERN is a name; * matches any part of a file or directory name, ** any number of directories, ? one character. The signatures of the targets are removed too.\n\nExamples:\n  publish remove-targets 'packages/**' --dry-run\n  publish remove-targets packages/linux-amd64/bin/acme --confirm 1"
    )]
    RemoveTargets(RemoveTargets),
    /// Remove a delegation from targets.json
    #[command(
        after_help = "Clients then no longer find the targets of the role. `publish status` lists delegations to keys of others. The files of the role stay, and the snapshot still lists the role, because clients refuse a snapshot that loses an entry.\n\nExample:\n  publish remove-delegation mallory --dry-run"
    )]
    RemoveDelegation(RemoveDelegation),
    /// Distribute very many targets over hashed bins
    #[command(
        after_help = "Clients then download one bin instead of one large role. Releases, their signatures, channels and certificates stay in targets.json; the hash of its name assigns every other target to a bin. A commit rewrites only the bins that change. The number of bins can be changed in one commit. The snapshot keeps old bins, because clients refuse a snapshot that loses an entry; the plan lists them.\n\nExamples:\n  publish bins --count 1024 --not-for-trdl --dry-run\n  publish bins --count 1024 --not-for-trdl --confirm 1024"
    )]
    Bins(Bins),
    /// Sign roles again before they expire; made for cron
    #[command(
        after_help = "Roles are due when they are older than: root 90 days, targets 21 days, snapshot 2 days, timestamp 4 hours; longer `lifetimes` in the config make these longer. If nothing is due, nothing changes. By default the timestamp expires after a day: run this every hour or two, or with --watch as a service. A role whose key is not on this machine is left to other publishers while it is valid; a warning names it and its expiry.\n\nExample:\n  publish refresh --quiet"
    )]
    Refresh(Refresh),
    /// Replace the key of an online role, or the OpenPGP key
    #[command(
        after_help = "Two roots replace the key of a role, so that clients of any age can follow. The first adds the new key beside the old one, and the role is signed by both. When every publisher and worker has the new key, --finish drops the old one with the second root. Roots that other people must sign too are left as drafts. An OpenPGP key is replaced in one commit: its certificate stays published, and the old key certifies the new one. For a lost or stolen key see docs/recovery.md.\n\nExamples:\n  publish rotate snapshot --no-passphrase --dry-run\n  publish rotate snapshot --no-passphrase\n  publish rotate snapshot --finish\n  publish rotate openpgp --no-passphrase --resign all"
    )]
    Rotate(Rotate),
    /// Sign one role for requests that arrive through RabbitMQ
    #[command(
        after_help = "A worker has only the key of its role. On SIGTERM or ctrl-C it finishes the running request and exits. Run a second one on another host as a standby. With --json, events are printed as JSON lines. docs/workers.md describes the set-up.\n\nExample:\n  publish worker targets --config targets/publish.yaml"
    )]
    Worker {
        /// The role
        #[arg(value_enum)]
        role: WorkerName,
        /// Use versions above this while it runs: the repository is an old copy, and clients have seen versions up to it
        #[arg(long, value_name = "VERSION", value_parser = a_version())]
        versions_above: Option<u64>,
    },
    /// Publish finished uploads from a drop box, and refresh roles
    #[command(
        after_help = "A pipeline fills tuf_tmp_X in the drop box and renames it to tuf_ready_X. All uploads that are ready are published in one commit. An upload that cannot be accepted is renamed to tuf_failed_X, with the reason in a file beside it. On SIGTERM the monitor finishes the running work and exits; on SIGHUP it reads its config again. With --json, it logs JSON lines.\n\nExamples:\n  publish monitor --once\n  publish monitor --json"
    )]
    Monitor {
        /// One round only: what is ready and due now
        #[arg(long)]
        once: bool,
    },
    /// Show the workers' queues and dead letters
    #[command(
        after_help = "Dead letters are requests that no worker could process.\n\nExamples:\n  publish queue\n  publish queue requeue --all"
    )]
    Queue(Queue),
    /// Prevent new work, for example during a backup
    #[command(
        after_help = "Running work is finished. Roles are not refreshed during the pause: the timestamp expires after a day.\n\nExample:\n  publish pause --reason backup"
    )]
    Pause {
        /// The reason; `publish status` and waiting publishers show it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End a pause
    #[command(after_help = "Example:\n  publish resume")]
    Resume,
    /// Make, inspect and export keys, change passphrases
    #[command(subcommand, after_help = "Example:\n  publish key list")]
    Key(Key),
    /// Change keys, thresholds and expiry in the next root
    #[command(
        subcommand,
        after_help = "The next root is a draft, one file. People sign it on their own machines, also without a network, with `publish root sign`; `publish root merge` combines the signatures, in any order. docs/ceremony.md is a script for the ceremony.\n\nExample:\n  publish root edit --threshold root=1"
    )]
    Root(Root),
    /// Withdraw a release permanently
    #[command(
        after_help = "The release is removed from the metadata at once, and its version can never be published again. No channel may point at it; --move-to moves them to another release in the same commit. Its files stay available to clients that have begun to download them, until a prune.\n\nExamples:\n  publish yank 1.0.1 --dry-run\n  publish yank 1.0.1 --confirm 1.0.1 --reason https://example.org/advisories/7"
    )]
    Yank(Yank),
    /// Delete files that no current or recent metadata refers to
    #[command(
        after_help = "The command never deletes roots, or files that do not belong to the repository.\n\nExamples:\n  publish prune --dry-run\n  publish prune --confirm acme"
    )]
    Prune(Prune),
    /// Check how the store of the repository behaves
    #[command(subcommand, after_help = "Example:\n  publish store check")]
    Store(Store),
    /// Show the health, channels, releases and roles
    #[command(
        after_help = "The first line is the verdict, and the exit code agrees: 0 healthy; 3 expired, within --fail-within, or (without that option) due; 11 paused or incomplete. With --quiet, a healthy repository prints nothing.\n\nExamples:\n  publish status\n  publish status --quiet --fail-within 3h\n  publish status --install"
    )]
    Status(Status),
    /// Check the setup, keys, repository and web server
    #[command(
        after_help = "One line for each item: ok, warning, FAILED, or not checked with the reason; below it the remedy. It writes nothing: `publish store check` tries out writing. It exits with code 6 if an item failed. It opens the keys that are here, and asks for a passphrase on a terminal only. Without a passphrase, an encrypted key is not checked.\n\nExamples:\n  publish doctor\n  publish doctor --quiet --fail-on-warning"
    )]
    Doctor(Doctor),
    /// Compare two releases
    #[command(
        after_help = "The command shows files and platforms that were added, changed or removed, with their sizes, and the channels of each release.\n\nExamples:\n  publish diff 1.0.0 1.1.0\n  publish diff 1/stable 1.1.0 --format markdown"
    )]
    Diff(Diff),
    /// Verify a repository as a new client would
    #[command(
        after_help = "With --quiet, a repository without errors and warnings prints nothing.\n\nExamples:\n  publish verify\n  publish verify repo --root keys/1.root.json"
    )]
    Verify(Verify),
    /// Write the files with which GitHub or GitLab publishes
    #[command(
        subcommand,
        after_help = "The files publish a release for each tag v1.2.3, the channels when their file changes on the default branch, a comment with the plan on pull requests, an hourly refresh and a nightly check. They are for hosted runners: fresh machines that have the secrets of the CI and nothing else. The command prints how to store each secret, and no secret. The root key stays out of CI. docs/ci.md describes the set-up.\n\nExample:\n  publish ci github --dry-run"
    )]
    Ci(Ci),
    /// Print shell completions
    #[command(after_help = "Example:\n  publish completions bash")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command
    #[command(after_help = "Example:\n  publish man man/man1")]
    Man {
        /// The directory for the pages
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print the reference page (docs/reference.md)
    #[command(hide = true, after_help = "Example:\n  publish reference")]
    Reference,
}

impl Command {
    /// Whether it runs until a signal stops it, and then finishes what it is at.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Worker { .. } | Self::Monitor { .. } | Self::Refresh(Refresh { watch: true, .. }))
    }

    /// Whether it changes nothing, neither the repository nor a file of the publisher.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Key(Key::List | Key::Show { .. } | Key::Export { .. } | Key::Check { .. })
                | Self::Root(Root::Show { .. })
                | Self::Queue(Queue { command: None })
                | Self::Status(_)
                | Self::Doctor(_)
                | Self::Diff(_)
                | Self::Verify(_)
                | Self::Completions { .. }
                | Self::Reference
        )
    }

    /// The command's name if it has no plan to show: `--dry-run` is refused then, never ignored. Each command is listed, so
    /// that a new one has to be decided on.
    pub fn without_dry_run(&self) -> Option<&'static str> {
        match self {
            Self::Worker { .. } => Some("worker"),
            Self::Monitor { .. } => Some("monitor"),
            Self::Refresh(Refresh { watch, .. }) => watch.then_some("refresh --watch"),
            Self::Queue(Queue { command: Some(QueueCommand::Requeue(_)) }) => Some("queue requeue"),
            Self::Queue(Queue { command: Some(QueueCommand::Drop { .. }) }) => Some("queue drop"),
            Self::Store(Store::Check) => Some("store check"),
            Self::Root(Root::Merge { .. }) => Some("root merge"),
            // It signs, if only to see whether the key can.
            Self::Key(Key::Check { .. }) => Some("key check"),
            Self::Init(_) | Self::Adopt(_) | Self::Release(_) | Self::Channels(_) | Self::AddTargets(_) | Self::RemoveTargets(_) => None,
            Self::RemoveDelegation(_) | Self::Bins(_) | Self::Rotate(_) | Self::Yank(_) | Self::Prune(_) => None,
            Self::Pause { .. } | Self::Resume | Self::Queue(Queue { command: None }) => None,
            Self::Root(Root::Edit { .. } | Root::Show { .. } | Root::Sign { .. } | Root::Commit { .. }) => None,
            Self::Key(Key::New { .. } | Key::Passphrase { .. } | Key::Certify { .. } | Key::Extend { .. }) => None,
            // These only read.
            Self::Key(Key::List | Key::Show { .. } | Key::Export { .. }) => None,
            Self::Ci(_) => None,
            Self::Status(_)
            | Self::Doctor(_)
            | Self::Diff(_)
            | Self::Verify(_)
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::Reference => None,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Store {
    /// Test conditional writes, races, copies, headers, the clock and what clients get
    #[command(
        after_help = "The command writes and removes its own objects below probe/. Google Cloud Storage is a preview: check yours with this command.\n\nExample:\n  publish store check"
    )]
    Check,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Status {
    /// An http(s) URL: what clients get from there [default: the configured repository]
    pub url: Option<String>,
    /// Print every way to install: trdl, curl with gpg, PowerShell
    #[arg(long, conflicts_with = "url")]
    pub install: bool,
    /// Exit with code 3 if a role expires within this span, such as 90m, 12h or 3d
    #[arg(long, value_name = "SPAN", value_parser = super::text::parse_span)]
    pub fail_within: Option<chrono::TimeDelta>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Doctor {
    /// Exit with code 6 for a warning, too
    #[arg(long)]
    pub fail_on_warning: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Verify {
    /// A directory, http(s) URL or bucket [default: the configured repository]
    pub location: Option<String>,
    /// The root that is trusted
    #[arg(long, value_name = "FILE", conflicts_with = "root_sha512")]
    pub root: Option<PathBuf>,
    /// The SHA-512 of the first root that is trusted, as given to `trdl add`
    #[arg(long, value_name = "HEX")]
    pub root_sha512: Option<String>,
    /// Check metadata only: another server serves the files
    #[arg(long)]
    pub metadata_only: bool,
    /// Another OpenPGP certificate to verify signatures with
    #[arg(long, value_name = "FILE")]
    pub openpgp_certificate: Vec<PathBuf>,
}

/// Whether a boolean variable is set to something true.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t"))
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

/// A version that clients can read, and one after it.
fn a_version() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..crate::metadata::LAST_VERSION)
}
