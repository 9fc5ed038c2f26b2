//! What changes a repository.

use super::a_version;
use crate::metadata::KeyIdStyle;
use crate::names::Platform;
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Init {
    /// The name of the repository for users [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The http(s) URL at which users reach the repository
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Do not encrypt new keys
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
    /// How to compute key ids: as in the specification, or as php-tuf (Drupal, Joomla) does; no root works with all clients
    #[arg(long, value_enum, default_value_t = KeyIds::Specification, value_name = "STYLE")]
    pub key_ids: KeyIds,
    /// Whether clients fetch versioned names; with these, clients can update at every instant of a publish
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub consistent_snapshot: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Adopt {
    /// The directory or bucket with the metadata
    pub location: String,
    /// A file with keys, or a directory with such files
    #[arg(long, value_name = "PATH")]
    pub keys: Vec<PathBuf>,
    /// The root to pin [default: the repository's first]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// The name of the repository for users [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The http(s) URL at which users reach the repository
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The OpenPGP key that signs artifacts from now on
    #[arg(long, value_name = "FILE")]
    pub openpgp_key: Option<PathBuf>,
    /// Do not encrypt the key files
    #[arg(long)]
    pub no_passphrase: bool,
    /// Do not ask, even if keys that were not found can sign roles or delegations
    #[arg(long)]
    pub yes: bool,
}

/// How key ids are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyIds {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OpenPgpAlgorithm {
    Ed25519,
    Rsa4096,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Release {
    /// The version, MAJOR.MINOR.PATCH; a leading v is dropped
    pub version: String,
    /// The build: a directory with <os>-<arch> directories
    #[arg(long, value_name = "DIR", required_unless_present = "platform")]
    pub from: Option<PathBuf>,
    /// <os>-<arch>=PATH: take a platform from PATH, a directory or one program; can be repeated, and only these platforms are published
    #[arg(long, value_name = "PLATFORM=PATH", value_parser = platform_at)]
    pub platform: Vec<(Platform, PathBuf)>,
    /// Publish the channels file in the same commit [default: the configured one]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub channels: Option<Option<PathBuf>>,
    /// Replace the signatures of what is published already
    #[arg(long)]
    pub resign: bool,
    /// Also publish files in bin/ that a desktop program left there, such as .DS_Store
    #[arg(long)]
    pub allow_desktop_files: bool,
    /// Let --channels move a channel to an older version
    #[arg(long, requires = "channels")]
    pub allow_downgrade: bool,
    /// Let --channels move a channel to a release without platforms that its users have
    #[arg(long, requires = "channels")]
    pub allow_missing_platforms: bool,
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

/// Reads `<os>-<arch>=PATH`.
fn platform_at(text: &str) -> Result<(Platform, PathBuf), String> {
    let (platform, path) = text.split_once('=').ok_or("write <os>-<arch>=PATH, for example linux-amd64=dist/linux")?;
    let platform = Platform::parse(platform).map_err(|failure| format!("{}; {}", failure.message, failure.hints.join("; ")))?;
    if path.is_empty() { Err(format!("{platform} has no path")) } else { Ok((platform, path.into())) }
}

/// The form of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PlanFormat {
    /// For a terminal
    Text,
    /// For a comment on a pull request
    Markdown,
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
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct AddTargets {
    /// Files and directories; - reads a list from standard input, one path a line
    #[arg(value_name = "FILE", required_unless_present = "changed")]
    pub files: Vec<PathBuf>,
    /// Names are paths below this directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub base: PathBuf,
    /// Put this before every name
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,
    /// Sign each target with the OpenPGP key, as signatures/NAME.sig
    #[arg(long)]
    pub sign: bool,
    /// Publish only lengths and digests: another server serves the files
    #[arg(long, conflicts_with = "sign")]
    pub metadata_only: bool,
    /// Publish the files below DIR that differ from their targets, and list files that are not targets
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub changed: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RemoveTargets {
    /// The targets to remove
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Confirm: the number of targets and the digest that the plan prints, or the number alone
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
    /// Sign all online roles, due or not, for example after a change of keys
    #[arg(long)]
    pub all: bool,
    /// With --all, use versions above this: the repository is an old copy, and clients have seen versions up to it
    #[arg(long, value_name = "VERSION", requires = "all", value_parser = a_version())]
    pub versions_above: Option<u64>,
    /// Confirm: the version of --versions-above again
    #[arg(long, value_name = "VERSION", requires = "versions_above")]
    pub confirm: Option<String>,
    /// Read targets that have only a SHA-512, as other tools make them, and add the SHA-256
    #[arg(long)]
    pub rehash: bool,
    /// Run as a service that checks every `monitor.refresh` seconds
    #[arg(long, conflicts_with_all = ["all", "rehash"])]
    pub watch: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Bins {
    /// The number of bins: a power of two, about one for each 1000 targets
    #[arg(long, value_name = "COUNT", required_unless_present = "rekey")]
    pub count: Option<usize>,
    /// Delegate the bins to the configured keys (keys: bins:, or else the root's targets keys) and sign all of them again
    #[arg(long)]
    pub rekey: bool,
    /// With keys: bins: how to compute the ids of new keys [default: as those of the root]
    #[arg(long, value_enum, value_name = "STYLE")]
    pub key_ids: Option<KeyIds>,
    /// Confirm that no trdl client needs the targets in bins: it reads targets.json only
    #[arg(long)]
    pub not_for_trdl: bool,
    /// Confirm: the number of bins again
    #[arg(long, value_name = "COUNT")]
    pub confirm: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RemoveDelegation {
    /// The role that targets.json delegates to
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Confirm: the name again
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Confirms too; kept for scripts that were written for earlier versions
    #[arg(long, hide = true, conflicts_with = "confirm")]
    pub yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Yank {
    /// The version to withdraw, or the exact name of a release that another tool published
    pub version: String,
    /// The reason, published in yanked/VERSION
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Confirm: the version again, as in the plan
    #[arg(long, value_name = "VERSION")]
    pub confirm: Option<String>,
    /// Move the channels that point at it to this release, in the same commit
    #[arg(long, value_name = "VERSION")]
    pub move_to: Option<String>,
    /// Let --move-to choose a release without platforms that the users of these channels have
    #[arg(long, requires = "move_to")]
    pub allow_missing_platforms: bool,
    /// The form of the plan of --dry-run: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Prune {
    /// Keep files to which metadata of this time span refers; at least 1d
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = crate::cli::text::parse_span)]
    pub grace: chrono::TimeDelta,
    /// Confirm: the repository's `name` in the config
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Confirms too; kept for scripts that were written for earlier versions
    #[arg(long, hide = true, conflicts_with = "confirm")]
    pub yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Diff {
    /// The old release: a version, or a channel (stable, 1/stable)
    pub from: String,
    /// The new release
    pub to: String,
    /// The form: markdown is for comments on pull requests
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORM")]
    pub format: PlanFormat,
}
