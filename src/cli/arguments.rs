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

/// What every command takes; each has a variable.
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
        after_help = "Stops on SIGTERM or ctrl-C when the running request is done. Run a second one on another host as a standby.\nWith --json, what happens is told as JSON lines. docs/workers.md shows the set-up.\n\nExample:\n  publish worker targets --config targets/publish.yaml"
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
        after_help = "No channel may point at it. Its files stay reachable for readers that have begun, until a prune.\n\nExamples:\n  publish yank 1.0.1 --dry-run\n  publish yank 1.0.1 --reason https://example.org/advisories/7"
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
}

#[derive(Clone, Debug, Args)]
pub(super) struct Init {
    /// What users call the repository [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where users will reach the repository over http(s)
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Leave new keys unencrypted
    #[arg(long)]
    pub no_passphrase: bool,
    /// Sign with this OpenPGP key, as exported by gpg --export-secret-keys, instead of a new one
    #[arg(long, value_name = "FILE")]
    pub openpgp_key: Option<PathBuf>,
    /// The kind of a new OpenPGP key
    #[arg(long, value_enum, default_value_t = OpenPgpAlgorithm::Ed25519, value_name = "KIND")]
    pub openpgp_algorithm: OpenPgpAlgorithm,
    /// The user id of a new OpenPGP key [default: NAME releases]
    #[arg(long, value_name = "TEXT")]
    pub openpgp_user_id: Option<String>,
    /// Whether clients fetch versioned names, which is what makes publishing safe for readers at every instant
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub consistent_snapshot: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Adopt {
    /// The directory or bucket that holds the metadata
    pub location: String,
    /// A file with keys, or a directory of such
    #[arg(long, value_name = "PATH")]
    pub keys: Vec<PathBuf>,
    /// The root to pin [default: the repository's first]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// What users call the repository [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where users reach the repository over http(s)
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The OpenPGP key that signs artifacts from now on
    #[arg(long, value_name = "FILE")]
    pub openpgp_key: Option<PathBuf>,
    /// Leave the key files unencrypted
    #[arg(long)]
    pub no_passphrase: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OpenPgpAlgorithm {
    Ed25519,
    Rsa4096,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Release {
    /// The version, MAJOR.MINOR.PATCH; a leading v is dropped
    pub version: String,
    /// The build: a directory that holds <os>-<arch> directories
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Publish the channels file in the same commit
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub channels: Option<Option<PathBuf>>,
    /// Replace the signatures of what is published already
    #[arg(long)]
    pub resign: bool,
    /// Let --channels move a channel to an older version
    #[arg(long, requires = "channels")]
    pub allow_downgrade: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Channels {
    /// The channels file [default: the configured one]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Let channels move to an older version
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Remove published channels that the file does not have
    #[arg(long)]
    pub prune: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct AddTargets {
    /// Files and directories; - reads a list from standard input, one path a line
    #[arg(value_name = "FILE", required_unless_present = "changed")]
    pub files: Vec<PathBuf>,
    /// Names are paths below this directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub base: PathBuf,
    /// Stands before every name
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,
    /// Sign each target with the OpenPGP key, as signatures/NAME.sig
    #[arg(long)]
    pub sign: bool,
    /// Enter the files' lengths and digests only: another server serves them
    #[arg(long, conflicts_with = "sign")]
    pub metadata_only: bool,
    /// Publish again what below DIR differs from its target; report what is no target at all
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub changed: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RemoveTargets {
    /// Which targets
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Remove them, if they are so many
    #[arg(long, value_name = "COUNT")]
    pub confirm: Option<usize>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Refresh {
    /// Sign the online roles whether they are due or not, as after a change of keys
    #[arg(long)]
    pub all: bool,
    /// With --all, give the roles versions above this: clients have seen versions up to it, and the repository is an old copy
    #[arg(long, value_name = "VERSION", requires = "all", value_parser = a_version())]
    pub versions_above: Option<u64>,
    /// Read what is named by SHA-512 alone, as other tools may have left it, and name it by SHA-256 too
    #[arg(long)]
    pub rehash: bool,
    /// Run as a service that looks every `monitor.refresh` seconds
    #[arg(long, conflicts_with_all = ["all", "rehash"])]
    pub watch: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Rotate {
    /// Which key
    #[arg(value_enum)]
    pub what: Rotated,
    /// The new key's URI [default: a new file beside the old one]
    #[arg(long, value_name = "URI", conflicts_with = "finish")]
    pub key: Option<String>,
    /// Leave a new key file unencrypted
    #[arg(long)]
    pub no_passphrase: bool,
    /// Drop the old key: every publisher has the new one
    #[arg(long)]
    pub finish: bool,
    /// Do both halves at once: nobody else publishes here
    #[arg(long, conflicts_with = "finish")]
    pub now: bool,
    /// With openpgp: sign this release again with the new key; `all` for every signature there is
    #[arg(long, value_name = "VERSION", conflicts_with = "finish")]
    pub resign: Vec<String>,
    /// With openpgp: the old key is lost or stolen and vouches for nothing
    #[arg(long, conflicts_with = "finish")]
    pub without_old: bool,
}

/// What can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Rotated {
    /// The key of the targets role, and of hashed bins that it signs
    Targets,
    /// The key of the snapshot
    Snapshot,
    /// The key of the timestamp
    Timestamp,
    /// The OpenPGP key that signs artifacts
    Openpgp,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Bins {
    /// How many bins: a power of two; about one for each 1000 targets
    #[arg(long, value_name = "COUNT")]
    pub count: usize,
    /// The trdl client, which reads targets.json only, is not meant to find what is in bins
    #[arg(long)]
    pub not_for_trdl: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Yank {
    /// The version to withdraw
    pub version: String,
    /// Why, for everybody who looks at yanked/VERSION
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Prune {
    /// Readers may still use metadata that was superseded within this span; at least 1d
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = super::text::parse_span)]
    pub grace: chrono::TimeDelta,
    /// Delete what the plan lists
    #[arg(long)]
    pub yes: bool,
}

/// A role that a worker can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WorkerName {
    /// The targets role and its bins
    Targets,
    /// The snapshot
    Snapshot,
    /// The timestamp
    Timestamp,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Queue {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Send dead letters to the queue they came from
    #[command(after_help = "Example:\n  publish queue requeue --all")]
    Requeue(Letters),
    /// Remove dead letters
    #[command(after_help = "Example:\n  publish queue drop --all")]
    Drop(Letters),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Letters {
    /// Which, by id
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key file and print its public key
    #[command(after_help = "Example:\n  publish key new keys/ci.pem --no-passphrase")]
    New {
        /// Where it goes; must not exist
        file: PathBuf,
        /// The kind of key
        #[arg(long, value_enum, default_value_t = KeyType::Ed25519, value_name = "KIND")]
        kind: KeyType,
        /// Leave it unencrypted
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys of each role: what the root says, and where they are looked for here
    #[command(after_help = "Example:\n  publish key list")]
    List,
    /// Print the public key of a key, and what it may sign
    #[command(after_help = "Example:\n  publish key show keys/targets.pem")]
    Show {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print the public key of a key in a form for other tools
    #[command(after_help = "Examples:\n  publish key export keys/targets.pem\n  publish key export keys/openpgp.asc --form openpgp")]
    Export {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
        /// pem for openssl and most tools, json as TUF metadata holds it, openpgp for the certificate of an OpenPGP key
        #[arg(long, value_enum, default_value_t = KeyForm::Pem, value_name = "FORM")]
        form: KeyForm,
    },
    /// Make the OpenPGP certificate of a key that does not live in a file, certified by the key itself
    #[command(
        after_help = "The certificate goes into `openpgp_certificate` of the config, the key's URI into `openpgp`.\n\nExample:\n  publish key certify 'pkcs11:token=acme;object=openpgp?module-path=/usr/lib/softhsm/libsofthsm2.so' keys/openpgp.cert.asc --user-id 'acme releases'"
    )]
    Certify {
        /// The key's URI
        #[arg(value_name = "KEY")]
        key: String,
        /// Where the certificate goes; must not exist
        file: PathBuf,
        /// The user id
        #[arg(long, value_name = "TEXT")]
        user_id: String,
    },
    /// Have a key sign as roles and as OpenPGP need it, and verify what comes back.
    #[command(
        after_help = "Nothing is published. For keys in HSMs, agents and key services. AWS KMS is a preview, tested against an imitation, and\nOpenBao was not run against at all, Vault was: this is how you try yours.\n\nExample:\n  publish key check keys/targets.pem"
    )]
    Check {
        /// The key's URI or file
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give the OpenPGP key another expiry; the next publish brings its certificate to readers
    #[command(after_help = "WHEN is a date, a span such as 730d, or never.\n\nExample:\n  publish key extend 730d")]
    Extend {
        /// Until when it is valid
        #[arg(value_name = "WHEN")]
        until: String,
    },
    /// Encrypt a key file with another passphrase
    #[command(
        after_help = "The old passphrase is got as for every command. The new one comes from --new-passphrase-file, PUBLISH_NEW_PASSPHRASE or the\nterminal. Whatever form the file had, it is PKCS#8 then.\n\nExample:\n  publish key passphrase keys/targets.pem --no-passphrase"
    )]
    Passphrase {
        /// The key file
        file: PathBuf,
        /// Read the new passphrase from a file
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Leave it unencrypted
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}

/// A kind of key that TUF clients verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyType {
    /// What every TUF client reads
    Ed25519,
    /// For hardware that has no Ed25519
    P256,
    /// 3072 bits, for hardware that has neither
    Rsa,
}

/// A form of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyForm {
    /// SubjectPublicKeyInfo in PEM
    Pem,
    /// The key object of TUF metadata
    Json,
    /// An OpenPGP certificate
    Openpgp,
}

/// Which draft.
#[derive(Clone, Debug, Args)]
pub(super) struct RootDraftFile {
    /// The draft's file [default: root-draft.json beside the config]
    #[arg(long, value_name = "FILE")]
    pub draft: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Root {
    /// Start the next root as a draft, or change the draft; nothing is published
    #[command(
        after_help = "A KEY is a file with a public key (PEM, or JSON as `publish key export` prints it), or a key URI. Who holds it is the NAME, or\nthe file's name up to its first dot. WHEN is a date, a moment, or a span such as 365d.\n\nExamples:\n  publish root edit --expires 365d\n  publish root edit --add-key root:bob=keys/bob.pem --threshold root=2"
    )]
    Edit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// ROLE=KEY or ROLE:NAME=KEY: a key that may sign a role from then on
        #[arg(long, value_name = "ROLE=KEY")]
        add_key: Vec<String>,
        /// ROLE=NAME or ROLE=KEY-ID: a key that may not any more
        #[arg(long, value_name = "ROLE=KEY")]
        remove_key: Vec<String>,
        /// ROLE=NUMBER: how many keys must sign a role
        #[arg(long, value_name = "ROLE=NUMBER")]
        threshold: Vec<String>,
        /// KEY-ID=NAME: who holds a key that is there already; changes nothing that is signed
        #[arg(long, value_name = "KEY=NAME")]
        name: Vec<String>,
        /// Until when the root is valid [default: a year]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Show what the draft changes, who signed, who is missing, and whether clients will accept it
    #[command(after_help = "Example:\n  publish root show")]
    Show {
        #[command(flatten)]
        draft: RootDraftFile,
    },
    /// Sign the draft; on any machine, also one that has nothing but the draft's file
    #[command(
        after_help = "Shows what changes and asks before it signs; without a terminal, give --yes.\n\nExample:\n  publish root sign --key keys/root.pem --yes"
    )]
    Sign {
        #[command(flatten)]
        draft: RootDraftFile,
        /// The key's URI or file [default: the config's]
        #[arg(long, value_name = "URI")]
        key: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take the signatures of other copies of the draft
    #[command(after_help = "Example:\n  publish root merge root-draft.json")]
    Merge {
        /// The copies
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        draft: RootDraftFile,
    },
    /// Publish the draft once enough have signed, and the roles signed again around it
    #[command(
        after_help = "Checked first: that clients pinned to every published root follow, today and when roots have expired, and that they accept\nthe roles as they are signed. Killed anywhere, it is finished by running it again.\n\nAfter somebody with stolen keys has published, --back-to signs the state of a snapshot from before instead of his. Versions go on\nrising; only where every key of targets, snapshot and timestamp is replaced, --reset-versions takes them back too.\n\nExamples:\n  publish root commit --dry-run\n  publish root commit"
    )]
    Commit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// Replace keys at once, because the old ones were lost or stolen: clients fail for the moment between two writes
        #[arg(long)]
        replace_now: bool,
        /// Sign the state of this snapshot version, the last one that is known to be good, instead of what is published
        #[arg(long, value_name = "SNAPSHOT", requires = "replace_now", value_parser = a_version())]
        back_to: Option<u64>,
        /// After an attacker drove versions up: go on above this one, the highest of any role that you published yourselves
        #[arg(long, value_name = "VERSION", requires = "back_to", value_parser = a_version())]
        reset_versions: Option<u64>,
    },
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
