//! The keys of `publish.yaml`. The description of each field is its meaning on the reference page. The default there is the field's
//! own; where that is empty, a `Default:` paragraph of the description says what applies.

use crate::metadata::Lifetimes;
use crate::operation::workers::Right;
use crate::repository::PlainNames;
use crate::storage::{Conditions, EtagQuotes, RawPlus};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A config file's content, defaults filled in. Paths in it are relative to the file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// what users call the repository in `trdl add NAME …`
    ///
    /// Default: the directory's name
    pub name: Option<String>,
    /// where the repository is stored: a directory (a path or file: URL), s3://bucket/prefix, gs://bucket/prefix (preview) or az://container/prefix
    pub repo: String,
    /// where users reach it over http(s); printed, and what it serves counts as seen: a repository that is older is refused
    pub public_url: Option<String>,
    /// the pinned root, from which this publisher verifies the repository
    pub(super) root: PathBuf,
    /// where the secret key of each role is stored, or a list of places: root, targets, snapshot, timestamp; bins, if hashed bins have a key of their own
    ///
    /// Default: file:keys/<role>.pem each
    pub(super) keys: BTreeMap<String, KeyList>,
    /// the names of key holders, set by `publish root edit`
    pub(super) key_names: PathBuf,
    /// where `publish root` keeps its draft
    pub(super) root_draft: PathBuf,
    /// where the OpenPGP secret key is stored: a file exported by gpg or made by init, or any key URI
    pub(super) openpgp: String,
    /// the certificate of an OpenPGP key that is not in a file, as made by `publish key certify`
    pub(super) openpgp_certificate: PathBuf,
    /// the channels file; where the config is elsewhere, another trdl_channels.yaml in the working directory is an error, unless --file or --channels= names one
    pub(super) channels: PathBuf,
    /// where other build tools put each platform below --from, for example `linux-amd64: app_linux_amd64_v1/app`: a directory, or one program, which goes to bin/
    ///
    /// Default: none: --from has a directory <os>-<arch> for each
    pub platforms: BTreeMap<String, PathBuf>,
    /// remembers the highest versions seen at each location, to detect rollbacks: a file (cache it in CI), or s3://bucket/prefix (also gs:// and az://) that machines share and clients cannot read
    pub(super) state: String,
    pub(super) lifetimes: LifetimesConfig,
    /// all: plain names beside the hashed ones, for curl and gpg; none: only TUF clients can read the repository; elsewhere: another server serves all content
    #[schemars(with = "String")]
    pub plain_names: PlainNames,
    /// true or false; `publish refresh` switches the repository to it
    ///
    /// Default: as in the root
    pub consistent_snapshot: Option<bool>,
    /// list SHA-512 beside SHA-256 for new targets
    pub sha512: bool,
    /// a file with the passphrase of the role keys
    pub(super) passphrase_file: Option<PathBuf>,
    /// a command that prints the passphrase of the role keys
    pub passphrase_command: Option<String>,
    pub(super) store: StoreConfig,
    /// true if there is never another publisher; needed for stores that ignore conditional writes
    pub(super) single_publisher: bool,
    /// a file with the passphrase of the OpenPGP key
    ///
    /// Default: as for the role keys
    pub(super) openpgp_passphrase_file: Option<PathBuf>,
    /// the RabbitMQ server for requests to workers: amqps://user@host:5671/vhost; amqp:// on this machine only
    ///
    /// Default: none: this process signs
    pub(super) broker: Option<String>,
    /// a file with the broker's password; also PUBLISH_BROKER_PASSWORD
    pub(super) broker_password_file: Option<PathBuf>,
    /// the certificate authority of the broker, in PEM
    ///
    /// Default: the system's
    pub(super) broker_ca: Option<PathBuf>,
    /// the client certificate for the broker, in PEM
    pub(super) broker_certificate: Option<PathBuf>,
    /// the key of that certificate, in PEM
    pub(super) broker_key: Option<PathBuf>,
    pub(super) workers: WorkersConfig,
    pub(super) monitor: MonitorConfig,
    /// The directory that relative paths start from.
    #[serde(skip)]
    pub(super) base: PathBuf,
    /// What [`Config::lifetimes`] gives.
    #[serde(skip)]
    pub(super) checked_lifetimes: Lifetimes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            repo: "repo".into(),
            public_url: None,
            root: "keys/1.root.json".into(),
            keys: BTreeMap::new(),
            key_names: "keys/names.json".into(),
            root_draft: "root-draft.json".into(),
            openpgp: "file:keys/openpgp.asc".into(),
            openpgp_certificate: "keys/openpgp.cert.asc".into(),
            channels: Self::CHANNELS.into(),
            platforms: BTreeMap::new(),
            state: ".publish-state.json".into(),
            lifetimes: LifetimesConfig::default(),
            plain_names: PlainNames::default(),
            consistent_snapshot: None,
            sha512: false,
            passphrase_file: None,
            passphrase_command: None,
            store: StoreConfig::default(),
            single_publisher: false,
            openpgp_passphrase_file: None,
            broker: None,
            broker_password_file: None,
            broker_ca: None,
            broker_certificate: None,
            broker_key: None,
            workers: WorkersConfig::default(),
            monitor: MonitorConfig::default(),
            base: PathBuf::new(),
            checked_lifetimes: Lifetimes::default(),
        }
    }
}

/// One key URI, or several.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum KeyList {
    One(String),
    Several(Vec<String>),
}

impl KeyList {
    pub(super) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

/// How long each role is valid, as the file has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LifetimesConfig {
    /// how long a root is valid, 30d to 1825d; `publish root edit --expires` sets that of one root
    ///
    /// Default: 365d
    pub root: Option<Span>,
    /// how long targets (with bins and other delegated roles) is valid, 7d to 365d
    ///
    /// Default: 90d
    pub targets: Option<Span>,
    /// how long a snapshot is valid, 1d to 90d
    ///
    /// Default: 7d
    pub snapshot: Option<Span>,
    /// how long a timestamp is valid, 6h to 30d; longer for schedules that run late or stop: docs/recovery.md#refresh-ran-too-late
    ///
    /// Default: 1d
    pub timestamp: Option<Span>,
}

/// A span such as `12h`. A number without a unit is kept too, to be refused with the form to use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Span(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_yaml::Number),
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
        }))
    }
}

/// The settings of an object store, beyond its location.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreConfig {
    /// the URL of an S3-compatible store, an Azure account or an emulator; also AWS_ENDPOINT_URL
    ///
    /// Default: the service's own
    pub endpoint: Option<String>,
    /// the region of an S3 bucket
    ///
    /// Default: AWS_REGION
    pub region: Option<String>,
    /// true: the bucket is in the path of URLs, not in the host name
    ///
    /// Default: true with an endpoint
    pub path_style: Option<bool>,
    /// keep or strip: how the store expects ETags in conditions, as found by `publish store check`
    ///
    /// Default: tested at first use
    #[schemars(with = "Option<String>")]
    pub etag_quotes: Option<EtagQuotes>,
    /// enforced or ignored: whether the store enforces conditional writes, as found by `publish store check`
    ///
    /// Default: tested at first use
    #[schemars(with = "Option<String>")]
    pub conditions: Option<Conditions>,
    /// works or broken: whether clients can fetch names with an unescaped `+`, as found by `publish store check`
    ///
    /// Default: unknown
    #[schemars(with = "Option<String>")]
    pub raw_plus: Option<RawPlus>,
    /// use the machine's own identity when no other credentials are set
    pub instance_metadata: bool,
    /// seconds after which an unanswered request is tried again; raise it for uplinks below 5 Mbit/s
    ///
    /// Default: 180
    pub timeout: Option<u64>,
}

/// Signing by workers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkersConfig {
    /// where requests, results and the pause flag are stored: a directory or bucket that all hosts share and no client can read
    pub state: String,
    /// the name of this process in the configs of the others
    pub name: Option<String>,
    /// the key that this process signs requests and replies with; `publish key new` makes one
    pub identity: String,
    /// the senders whose requests this worker accepts, by name: key (hex), prefixes (of target names), may (publish, remove, refresh, bins, elsewhere, missing-platforms; publish and refresh by default)
    pub senders: BTreeMap<String, SenderConfig>,
    /// files with OpenPGP certificates; a targets worker refuses signatures by other keys
    pub certificates: Vec<PathBuf>,
    /// the largest number of targets that one request may change
    pub targets_per_request: usize,
    /// the longest change set, in bytes
    pub request_bytes: u64,
    /// how many times longer the new content of a target may be than the old one (1 MiB is always accepted)
    pub growth: u64,
    /// the longest target, in bytes
    pub target_bytes: u64,
    /// seconds that a caller waits for its result
    pub patience: u64,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            state: ".publish-shared".into(),
            name: None,
            identity: "file:keys/identity.pem".into(),
            senders: BTreeMap::new(),
            certificates: Vec::new(),
            targets_per_request: 10_000,
            request_bytes: 16 << 20,
            growth: 10,
            target_bytes: 10 << 30,
            patience: 600,
        }
    }
}

/// One of `workers.senders`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SenderConfig {
    pub key: String,
    #[serde(default)]
    pub prefixes: Vec<String>,
    #[serde(default = "default_rights")]
    #[schemars(with = "Vec<String>")]
    pub may: Vec<Right>,
}

fn default_rights() -> Vec<Right> {
    vec![Right::Publish, Right::Refresh]
}

/// The monitor.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MonitorConfig {
    /// the directory where pipelines put uploads, for `publish monitor`
    pub drop_box: Option<PathBuf>,
    /// prefix of the names of all uploads
    pub prefix: String,
    /// give each target that comes through the drop box an OpenPGP signature
    pub sign: bool,
    /// seconds between two scans of the drop box; with inotify, changes are seen at once
    pub scan: f64,
    /// seconds between two checks whether a role is due
    pub refresh: f64,
    /// the largest upload, in bytes (the apparent sizes of its files)
    pub upload_bytes: u64,
    /// the largest number of files and directories in one upload
    pub upload_files: usize,
    /// the deepest nesting of directories in one upload
    pub upload_depth: usize,
    /// the address of /healthz and /metrics, for example 127.0.0.1:9464
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            drop_box: None,
            prefix: String::new(),
            sign: false,
            scan: 5.0,
            refresh: 60.0,
            upload_bytes: 20 << 30,
            upload_files: 100_000,
            upload_depth: 32,
            listen: None,
        }
    }
}
