//! What changes a repository.

use super::a_version;
use crate::metadata::KeyIdStyle;
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Init {
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
    /// How key ids are computed: as the specification says, or as php-tuf (Drupal, Joomla) does; no root suits all clients
    #[arg(long, value_enum, default_value_t = KeyIds::Specification, value_name = "STYLE")]
    pub key_ids: KeyIds,
    /// Whether clients fetch versioned names, which is what makes publishing safe for readers at every instant
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub consistent_snapshot: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Adopt {
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
    /// Take it over without asking, though keys that were not found can sign roles or delegations
    #[arg(long)]
    pub yes: bool,
}

/// How key ids are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyIds {
    /// Over the key's three fields: every client but php-tuf
    Specification,
    /// Over keyid_hash_algorithms too: php-tuf, and every client that does not compute key ids
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OpenPgpAlgorithm {
    Ed25519,
    Rsa4096,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Release {
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
    /// Publish what a desktop left in bin/ too, such as .DS_Store
    #[arg(long)]
    pub allow_desktop_files: bool,
    /// Let --channels move a channel to an older version
    #[arg(long, requires = "channels")]
    pub allow_downgrade: bool,
    /// Let --channels move a channel to a release without platforms that its users have
    #[arg(long, requires = "channels")]
    pub allow_missing_platforms: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Channels {
    /// The channels file [default: the configured one]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Let channels move to an older version
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Let channels move to a release without platforms that their users have
    #[arg(long)]
    pub allow_missing_platforms: bool,
    /// Remove published channels that the file does not have
    #[arg(long)]
    pub prune: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct AddTargets {
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
pub(in crate::cli) struct RemoveTargets {
    /// Which targets
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Remove them, if they are exactly those that the plan listed; without the digest, if they are so many
    #[arg(long, value_name = "COUNT-DIGEST", value_parser = Confirmation::parse)]
    pub confirm: Option<Confirmation>,
}

/// What a person has seen: so many targets, and which.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Confirmation {
    /// How many.
    pub count: usize,
    /// The digest that the plan printed.
    pub digest: Option<String>,
}

impl Confirmation {
    fn parse(text: &str) -> Result<Self, String> {
        let (count, digest) = text.split_once('-').map_or((text, None), |(count, digest)| (count, Some(digest.to_owned())));
        let count = count.parse().map_err(|_| format!("`{}` is not a number of targets", count.escape_debug()))?;
        Ok(Self { count, digest })
    }
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Refresh {
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
pub(in crate::cli) struct Bins {
    /// How many bins: a power of two; about one for each 1000 targets
    #[arg(long, value_name = "COUNT", required_unless_present = "rekey")]
    pub count: Option<usize>,
    /// Delegate the bins to the configured keys (keys: bins:, or else the root's targets keys) and sign all of them again
    #[arg(long)]
    pub rekey: bool,
    /// With keys: bins: how the ids of keys that are new to the bins are computed [default: as those of the root]
    #[arg(long, value_enum, value_name = "STYLE")]
    pub key_ids: Option<KeyIds>,
    /// The trdl client, which reads targets.json only, is not meant to find what is in bins
    #[arg(long)]
    pub not_for_trdl: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RemoveDelegation {
    /// The role that targets.json delegates to
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Yank {
    /// The version to withdraw, or the exact name of a release that another tool published
    pub version: String,
    /// Why, for everybody who looks at yanked/VERSION
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Prune {
    /// Readers may still use metadata that was superseded within this span; at least 1d
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = crate::cli::text::parse_span)]
    pub grace: chrono::TimeDelta,
    /// Delete what the plan lists
    #[arg(long)]
    pub yes: bool,
}
