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
    /// A root that you trust, to compare the draft with where the repository is not at hand; if it is older than the draft's present root, give those between, too [default: what you signed last]
    #[arg(long, value_name = "FILE")]
    pub root: Vec<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum Root {
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
    #[command(after_help = "Examples:\n  publish root show\n  publish root show --root keys/1.root.json")]
    Show {
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
    },
    /// Sign the draft; on any machine, also one that has nothing but the draft's file
    #[command(
        after_help = "Shows what changes and asks before it signs; without a terminal, give --yes. What is signed is exactly what was shown: compare\nthe SHA-256. Without the repository, the change is shown against the root that you give with --root or signed last; where there is\nneither, the whole next root is shown, with every key.\n\nExamples:\n  publish root sign --key keys/root.pem --yes\n  publish root sign --key keys/root.pem --root keys/1.root.json --yes"
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
    /// Take the signatures of other copies of the draft, and nothing else of them
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
