mod keys;
mod publishing;
mod root;
mod workers;

pub(super) use keys::{Key, KeyForm, KeyType, Rotate, Rotated};
pub(super) use publishing::{
    AddTargets, Adopt, Bins, Channels, Init, KeyIds, OpenPgpAlgorithm, Prune, Refresh, Release, RemoveDelegation, RemoveTargets, Yank,
};
pub(super) use root::{KnownRoots, Root, RootDraftFile};
pub(super) use workers::{Queue, QueueCommand, WorkerName};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Publishes releases into a TUF repository that trdl, curl with gpg, and any TUF client can install from.
#[derive(Debug, Parser)]
#[command(name = "publish", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  publish init --no-passphrase && publish release 1.0.0 --from dist\n\nExit codes, variables and every key of publish.yaml: docs/reference.md"
)]
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
    /// Print one JSON document, errors too
    #[arg(long, global = true, env = "PUBLISH_JSON", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// No status lines; warnings and errors stay
    #[arg(long, short, global = true, env = "PUBLISH_QUIET", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// List everything, however long
    #[arg(long, short, global = true, env = "PUBLISH_VERBOSE", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub verbose: bool,
    /// Progress bars: on a terminal, always, or never
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
    /// Refuse a config file with another SHA-256: for jobs that run where others can change it
    #[arg(long, global = true, env = "PUBLISH_CONFIG_SHA256", value_name = "HEX")]
    pub config_sha256: Option<String>,
    /// Send credentials unencrypted to other hosts than this one; only here, never by a variable or the config
    #[arg(long, global = true)]
    pub allow_plain_http: bool,
    /// Take a repository that is older than the one seen before
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
    /// Make keys, root metadata and config, and print what users type
    #[command(after_help = "Example:\n  publish init --name acme --public-url https://tuf.example.org --no-passphrase")]
    Init(Init),
    /// Take over a repository that trdl's server, go-tuf, python-tuf or tuftool made; readers notice nothing
    #[command(
        after_help = "The repository is verified as a client would; its keys are looked for in the files given (go-tuf's and securesystemslib's JSON,\nencrypted or not, PEM, and the JSON in which trdl's server keeps them) and kept in key files of ours. Nothing is published.\nRun it in an empty directory, or name a new config. docs/adopt.md has the whole way, buckets too.\n\nExamples:\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --dry-run\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --no-passphrase"
    )]
    Adopt(Adopt),
    /// Publish a build: DIR/<os>-<arch>/… becomes releases/VERSION/…, signed
    #[command(after_help = "Examples:\n  publish release 1.0.0 --from dist --dry-run\n  publish release 1.0.0 --from dist --channels")]
    Release(Release),
    /// Publish trdl_channels.yaml as channels/<group>/<channel>
    #[command(after_help = "Examples:\n  publish channels --dry-run\n  publish channels")]
    Channels(Channels),
    /// Publish any files as targets, in one commit: packages and their metadata together
    #[command(
        after_help = "A target's name is the file's path below --base, with --prefix before it. Directories stand for everything below them.\nreleases/, signatures/, channels/, openpgp/ and yanked/ are reserved for their own commands.\n\nExamples:\n  publish add-targets dist --dry-run\n  publish add-targets dist --base dist --prefix packages --sign\n  publish add-targets --changed dist --base dist --prefix packages"
    )]
    AddTargets(AddTargets),
    /// Take targets out of the metadata; the plan first, then again with --confirm and their number
    #[command(
        after_help = "A PATTERN is a name, or has * for any part of one directory's names, ** for any number of directories, ? for one character.\nSignatures go with their targets.\n\nExamples:\n  publish remove-targets 'packages/**'\n  publish remove-targets packages/linux-amd64/bin/acme --confirm 1"
    )]
    RemoveTargets(RemoveTargets),
    /// End a delegation of targets.json: clients no longer find what its role lists
    #[command(
        after_help = "`publish status` lists delegations to keys of others. The role's files stay where they are, and the snapshot goes on listing the\nrole, since clients refuse one that loses an entry.\n\nExample:\n  publish remove-delegation mallory --dry-run"
    )]
    RemoveDelegation(RemoveDelegation),
    /// Spread targets over hashed bins, so that clients of very many targets fetch kilobytes; or change their number
    #[command(
        after_help = "Releases, signatures of releases, channels and certificates stay in targets.json; every other target moves to the bin that the\nhash of its name says. A commit rewrites only the bins it touches.\nThe number changes in one commit. Bins never leave the snapshot, since clients refuse that: the plan says what stays.\n\nExamples:\n  publish bins --count 1024 --not-for-trdl --dry-run\n  publish bins --count 1024 --not-for-trdl"
    )]
    Bins(Bins),
    /// Sign again what is due and touch nothing otherwise; made for cron
    #[command(
        after_help = "Roles fall due when they are older than: root 90 days, targets 21 days, snapshot 2 days, timestamp 4 hours.\nThe timestamp expires after a day: run this every hour or two, or with --watch as a service.\nA role whose key is not on this machine is left to others while it is valid, and named with what is left.\n\nExample:\n  publish refresh --quiet"
    )]
    Refresh(Refresh),
    /// Give an online role another key, in two roots that clients of any age follow
    #[command(
        after_help = "The first root adds the new key beside the old one, and the role is signed by both. When every publisher and worker has the\nnew key, --finish drops the old one with a second root. Roots that need other people are left as drafts.\nAn OpenPGP key is replaced in one commit: its certificate stays published for what it signed, and it vouches for the new one.\nFor a lost or stolen key see docs/recovery.md.\n\nExamples:\n  publish rotate snapshot --no-passphrase --dry-run\n  publish rotate snapshot --no-passphrase\n  publish rotate snapshot --finish\n  publish rotate openpgp --no-passphrase --resign all"
    )]
    Rotate(Rotate),
    /// Serve one role from its queue, with the one key that this host holds
    #[command(
        after_help = "Stops on SIGTERM or ctrl-C when the running request is done. Run a second one on another host as a standby.\nWith --json, events are printed as JSON lines. docs/workers.md shows the set-up.\n\nExample:\n  publish worker targets --config targets/publish.yaml"
    )]
    Worker {
        /// The role
        #[arg(value_enum)]
        role: WorkerName,
        /// Give versions above this, for as long as it runs: the repository is an old copy, and clients have seen versions up to it
        #[arg(long, value_name = "VERSION", value_parser = a_version())]
        versions_above: Option<u64>,
    },
    /// Publish what pipelines leave in the drop box, and sign again what is due, as a service
    #[command(
        after_help = "A pipeline fills tuf_tmp_X in the drop box and renames it to tuf_ready_X. All uploads that are ready become one commit;\nwhat cannot be accepted is set aside as tuf_failed_X with the reason beside it.\nSIGTERM stops it when the running work is done, SIGHUP makes it read its config again. With --json, it logs JSON lines.\n\nExamples:\n  publish monitor --once\n  publish monitor --json"
    )]
    Monitor {
        /// One round only: what is ready and due now
        #[arg(long)]
        once: bool,
    },
    /// Show what waits for the workers, who serves, and requests that none could deal with
    #[command(after_help = "Examples:\n  publish queue\n  publish queue requeue --all")]
    Queue(Queue),
    /// Let running work finish and no new work start, for example for a backup
    #[command(
        after_help = "Roles are not refreshed while paused: the timestamp expires after a day.\n\nExample:\n  publish pause --reason backup"
    )]
    Pause {
        /// Why, for everybody who is kept waiting
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Go on after a pause
    #[command(after_help = "Example:\n  publish resume")]
    Resume,
    /// Make keys, show what each may sign, export public keys, change passphrases
    #[command(subcommand, after_help = "Example:\n  publish key list")]
    Key(Key),
    /// Change keys, thresholds and expiry by the next root: a draft that people sign on their own machines
    #[command(
        subcommand,
        after_help = "A draft is one file. It can be carried to machines without a network, signed there with `publish root sign`, and brought\ntogether again with `publish root merge`, in any order. docs/ceremony.md is the ceremony as a script.\n\nExample:\n  publish root edit --threshold root=1"
    )]
    Root(Root),
    /// Withdraw a release: out of the metadata now, its version burned for ever
    #[command(
        after_help = "No channel may point at it. Its files stay available to clients that have begun to download them, until a prune.\n\nExamples:\n  publish yank 1.0.1 --dry-run\n  publish yank 1.0.1 --reason https://example.org/advisories/7"
    )]
    Yank(Yank),
    /// Delete what neither present metadata nor any superseded within the grace names; without --yes only the plan
    #[command(after_help = "Examples:\n  publish prune\n  publish prune --yes")]
    Prune(Prune),
    /// Look at the store that holds the repository
    #[command(subcommand, after_help = "Example:\n  publish store check")]
    Store(Store),
    /// Show roles, expiry, releases, channels, and what is next
    #[command(after_help = "Examples:\n  publish status\n  publish status --fail-within 3h")]
    Status(Status),
    /// Check a repository as a stranger's client would
    #[command(after_help = "Examples:\n  publish verify\n  publish verify repo --root keys/1.root.json")]
    Verify(Verify),
    /// Print shell completions
    #[command(after_help = "Example:\n  publish completions bash")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the reference page (docs/reference.md)
    #[command(hide = true, after_help = "Example:\n  publish reference")]
    Reference,
}

impl Command {
    /// Whether it runs until it is told to stop, and then finishes what it is at.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Worker { .. } | Self::Monitor { .. } | Self::Refresh(Refresh { watch: true, .. }))
    }

    /// The command's name if it has no plan to show: `--dry-run` is refused then, never ignored. Each command is listed, so
    /// that a new one has to be decided on.
    pub fn without_dry_run(&self) -> Option<&'static str> {
        match self {
            Self::Worker { .. } => Some("worker"),
            Self::Monitor { .. } => Some("monitor"),
            Self::Refresh(Refresh { watch, .. }) => watch.then_some("refresh --watch"),
            Self::Queue(Queue { command: Some(QueueCommand::Requeue(_)) }) => Some("queue requeue"),
            Self::Queue(Queue { command: Some(QueueCommand::Drop(_)) }) => Some("queue drop"),
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
            Self::Status(_) | Self::Verify(_) | Self::Completions { .. } | Self::Reference => None,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Store {
    /// Try out conditions, races, copies, headers, clock and what readers get; say what it means
    #[command(
        after_help = "Objects of its own below probe/ are written and removed. Google Cloud Storage is a preview: this is how you try yours.\n\nExample:\n  publish store check"
    )]
    Check,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Status {
    /// Exit with code 3 if a role expires within this span, such as 90m, 12h or 3d
    #[arg(long, value_name = "SPAN", value_parser = super::text::parse_span)]
    pub fail_within: Option<chrono::TimeDelta>,
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
    /// A further OpenPGP certificate to verify signatures with
    #[arg(long, value_name = "FILE")]
    pub openpgp_certificate: Vec<PathBuf>,
}

/// Whether a boolean variable is set to something true.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t"))
}

/// If a value that clap refused came from a variable, says which one.
pub(super) fn variable_behind(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let ContextValue::String(named) = error.get(ContextKind::InvalidArg)? else { return None };
    let flag = named.split([' ', '=']).next()?;
    let given = arguments.iter().any(|argument| argument.to_string_lossy().split('=').next() == Some(flag));
    let command = Arguments::command();
    let argument = command.get_arguments().find(|argument| argument.get_long().is_some_and(|long| format!("--{long}") == flag))?;
    let variable = argument.get_env()?.to_str()?;
    (!given && std::env::var_os(variable).is_some()).then(|| format!("the value comes from the variable {variable}"))
}

/// A version that clients can read, and one after it.
fn a_version() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..crate::metadata::LAST_VERSION)
}
