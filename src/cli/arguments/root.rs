//! The root ceremony.

use super::a_version;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which draft.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RootDraftFile {
    /// The draft's file [default: root-draft.json beside the config]
    #[arg(long, value_name = "FILE")]
    pub draft: Option<PathBuf>,
}

/// What to compare a draft with.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct KnownRoots {
    /// A root that you trust, to compare the draft with on a machine without the repository; if it is older than the draft's current root, also name the roots between them [default: the root that you signed last]
    #[arg(long, value_name = "FILE")]
    pub root: Vec<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum Root {
    /// Make or change the draft of the next root; nothing is published
    #[command(
        after_help = "A KEY is a file with a public key (PEM, or JSON as `publish key export` prints it), or a key URI. NAME is the name of its holder; the default is the file's name up to its first dot. WHEN is a date, a moment, or a span such as 365d.\n\nExamples:\n  publish root edit --expires 365d\n  publish root edit --add-key root:bob=keys/bob.pem --threshold root=2"
    )]
    Edit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// ROLE=KEY or ROLE:NAME=KEY: add a key to a role
        #[arg(long, value_name = "ROLE=KEY")]
        add_key: Vec<String>,
        /// ROLE=NAME or ROLE=KEY-ID: remove a key from a role
        #[arg(long, value_name = "ROLE=KEY")]
        remove_key: Vec<String>,
        /// ROLE=NUMBER: how many keys must sign a role
        #[arg(long, value_name = "ROLE=NUMBER")]
        threshold: Vec<String>,
        /// KEY-ID=NAME: name the holder of a key; names are not signed
        #[arg(long, value_name = "KEY=NAME")]
        name: Vec<String>,
        /// When the root expires [default: in a year]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Show the draft: its changes, signatures, and whether clients will accept it
    #[command(after_help = "Examples:\n  publish root show\n  publish root show --root keys/1.root.json")]
    Show {
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
    },
    /// Sign the draft, on any machine
    #[command(
        after_help = "The command shows the changes and asks before it signs; without a terminal, add --yes. It signs exactly what it showed: compare the SHA-256 with the other key holders. On a machine without the repository, the changes are relative to the root of --root, or the root that you signed last. If there is neither, it shows the whole next root with every key.\n\nExamples:\n  publish root sign --key keys/root.pem --yes\n  publish root sign --key keys/root.pem --root keys/1.root.json --yes"
    )]
    Sign {
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
        /// The key's URI or file [default: the config's]
        #[arg(long, value_name = "URI")]
        key: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Add the signatures from other copies of the draft, and nothing else
    #[command(after_help = "Example:\n  publish root merge root-draft.json")]
    Merge {
        /// The copies
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
    },
    /// Publish the draft when it has enough signatures, with the roles signed again
    #[command(
        after_help = "The command first checks that clients pinned to any published root accept the new root and the roles, today and after roots have expired. If the command is killed, run it again.\n\nAfter an attacker with stolen keys has published, --back-to restores the state of an earlier snapshot. Versions still rise; only if every key of targets, snapshot and timestamp is replaced, --reset-versions can lower them.\n\nExamples:\n  publish root commit --dry-run\n  publish root commit"
    )]
    Commit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// Replace keys in one root, because the old ones were lost or stolen: clients can fail between two writes
        #[arg(long)]
        replace_now: bool,
        /// Restore the state of this snapshot version, the last that is known to be good
        #[arg(long, value_name = "SNAPSHOT", requires = "replace_now", value_parser = a_version())]
        back_to: Option<u64>,
        /// After an attacker raised the versions: continue above this version, the highest that you published for any role
        #[arg(long, value_name = "VERSION", requires = "back_to", value_parser = a_version())]
        reset_versions: Option<u64>,
        /// With --replace-now, confirm: the version of the new root, as in the plan
        #[arg(long, value_name = "VERSION", requires = "replace_now")]
        confirm: Option<String>,
    },
}
