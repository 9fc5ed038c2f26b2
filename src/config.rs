//! `publish.yaml`: what a publisher works on. Paths in it are relative to the file. Flags override variables, variables
//! override the file, the file overrides the defaults.

mod lifetimes;

use crate::broker::BrokerOptions;
use crate::failure::{Failure, Kind, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given, read_given_text};
use crate::keys::KeyUri;
use crate::metadata::{Lifetimes, PublicKey, Role};
use crate::operation::StateDocument;
#[cfg(feature = "monitor")]
use crate::operation::monitor::MonitorRequest;
use crate::operation::workers::{self, Right, Sender, Shared, Workers};
use crate::repository::{BINS, PlainNames};
use crate::storage::{Location, StoreOptions};
#[cfg(feature = "monitor")]
use crate::tree::Limits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest span that a setting may have, in seconds: a year. Sums with a clock stay in range.
const LONGEST: u64 = 366 * 24 * 3600;

/// The name of a config that no flag names.
const DEFAULT_NAME: &str = "publish.yaml";

/// No config is near this long; a longer file is something else.
const MAX_LENGTH: u64 = 1 << 20;

/// No config nests brackets near this deep; the parser's time grows with the square of it.
const DEEPEST: usize = 100;

/// Every key of the file with its default and its meaning; the reference page is made from this.
pub const KEYS: [(&str, &str, &str); 55] = [
    ("name", "the directory's name", "what users call the repository in `trdl add NAME …`"),
    (
        "repo",
        "repo",
        "where the repository is stored: a directory (a path or file: URL), s3://bucket/prefix, gs://bucket/prefix (preview) or az://container/prefix",
    ),
    (
        "public_url",
        "none",
        "where users reach it over http(s); printed, and what it serves counts as seen: a repository that is older is refused",
    ),
    ("root", "keys/1.root.json", "the pinned root, from which this publisher verifies the repository"),
    (
        "keys",
        "file:keys/<role>.pem each",
        "where the secret key of each role is stored, or a list of places: root, targets, snapshot, timestamp; bins, if hashed bins have a key of their own",
    ),
    ("key_names", "keys/names.json", "the names of key holders, set by `publish root edit`"),
    ("root_draft", "root-draft.json", "where `publish root` keeps its draft"),
    ("openpgp", "file:keys/openpgp.asc", "where the OpenPGP secret key is stored: a file exported by gpg or made by init, or any key URI"),
    (
        "openpgp_certificate",
        "keys/openpgp.cert.asc",
        "the certificate of an OpenPGP key that is not in a file, as made by `publish key certify`",
    ),
    (
        "channels",
        "trdl_channels.yaml",
        "the channels file; where the config is elsewhere, another trdl_channels.yaml in the working directory is an error, unless --file or --channels= names one",
    ),
    (
        "platforms",
        "none: --from has a directory <os>-<arch> for each",
        "where other build tools put each platform below --from, for example `linux-amd64: app_linux_amd64_v1/app`: a directory, or one program, which goes to bin/",
    ),
    (
        "state",
        ".publish-state.json",
        "remembers the highest versions seen at each location, to detect rollbacks: a file (cache it in CI), or s3://bucket/prefix (also gs:// and az://) that machines share and clients cannot read",
    ),
    ("lifetimes.root", "365d", "how long a root is valid, 30d to 1825d; `publish root edit --expires` sets that of one root"),
    ("lifetimes.targets", "90d", "how long targets (with bins and other delegated roles) is valid, 7d to 365d"),
    ("lifetimes.snapshot", "7d", "how long a snapshot is valid, 1d to 90d"),
    (
        "lifetimes.timestamp",
        "1d",
        "how long a timestamp is valid, 6h to 30d; longer for schedules that run late or stop: docs/recovery.md#refresh-ran-too-late",
    ),
    (
        "plain_names",
        "all",
        "all: plain names beside the hashed ones, for curl and gpg; none: only TUF clients can read the repository; elsewhere: another server serves all content",
    ),
    ("consistent_snapshot", "as in the root", "true or false; `publish refresh` switches the repository to it"),
    ("sha512", "false", "list SHA-512 beside SHA-256 for new targets"),
    ("passphrase_file", "none", "a file with the passphrase of the role keys"),
    ("passphrase_command", "none", "a command that prints the passphrase of the role keys"),
    ("store.endpoint", "the service's own", "the URL of an S3-compatible store, an Azure account or an emulator; also AWS_ENDPOINT_URL"),
    ("store.region", "AWS_REGION", "the region of an S3 bucket"),
    ("store.path_style", "true with an endpoint", "true: the bucket is in the path of URLs, not in the host name"),
    (
        "store.etag_quotes",
        "tested at first use",
        "keep or strip: how the store expects ETags in conditions, as found by `publish store check`",
    ),
    (
        "store.conditions",
        "tested at first use",
        "enforced or ignored: whether the store enforces conditional writes, as found by `publish store check`",
    ),
    (
        "store.raw_plus",
        "unknown",
        "works or broken: whether clients can fetch names with an unescaped `+`, as found by `publish store check`",
    ),
    ("store.instance_metadata", "false", "use the machine's own identity when no other credentials are set"),
    ("store.timeout", "180", "seconds after which an unanswered request is tried again; raise it for uplinks below 5 Mbit/s"),
    ("single_publisher", "false", "true if there is never another publisher; needed for stores that ignore conditional writes"),
    ("openpgp_passphrase_file", "as for the role keys", "a file with the passphrase of the OpenPGP key"),
    (
        "broker",
        "none: this process signs",
        "the RabbitMQ server for requests to workers: amqps://user@host:5671/vhost; amqp:// on this machine only",
    ),
    ("broker_password_file", "none", "a file with the broker's password; also PUBLISH_BROKER_PASSWORD"),
    ("broker_ca", "the system's", "the certificate authority of the broker, in PEM"),
    ("broker_certificate", "none", "the client certificate for the broker, in PEM"),
    ("broker_key", "none", "the key of that certificate, in PEM"),
    (
        "workers.state",
        ".publish-shared",
        "where requests, results and the pause flag are stored: a directory or bucket that all hosts share and no client can read",
    ),
    ("workers.name", "none", "the name of this process in the configs of the others"),
    (
        "workers.identity",
        "file:keys/identity.pem",
        "the key that this process signs requests and replies with; `publish key new` makes one",
    ),
    (
        "workers.senders",
        "none",
        "the senders whose requests this worker accepts, by name: key (hex), prefixes (of target names), may (publish, remove, refresh, bins, elsewhere, missing-platforms; publish and refresh by default)",
    ),
    ("workers.certificates", "none", "files with OpenPGP certificates; a targets worker refuses signatures by other keys"),
    ("workers.targets_per_request", "10000", "the largest number of targets that one request may change"),
    ("workers.request_bytes", "16777216", "the longest change set, in bytes"),
    ("workers.growth", "10", "how many times longer the new content of a target may be than the old one (1 MiB is always accepted)"),
    ("workers.target_bytes", "10737418240", "the longest target, in bytes"),
    ("workers.patience", "600", "seconds that a caller waits for its result"),
    ("monitor.drop_box", "none", "the directory where pipelines put uploads, for `publish monitor`"),
    ("monitor.prefix", "none", "prefix of the names of all uploads"),
    ("monitor.sign", "false", "give each target that comes through the drop box an OpenPGP signature"),
    ("monitor.scan", "5", "seconds between two scans of the drop box; with inotify, changes are seen at once"),
    ("monitor.refresh", "60", "seconds between two checks whether a role is due"),
    ("monitor.upload_bytes", "21474836480", "the largest upload, in bytes (the apparent sizes of its files)"),
    ("monitor.upload_files", "100000", "the largest number of files and directories in one upload"),
    ("monitor.upload_depth", "32", "the deepest nesting of directories in one upload"),
    ("monitor.listen", "none", "the address of /healthz and /metrics, for example 127.0.0.1:9464"),
];

/// The file's content, defaults filled in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// See [`KEYS`] for all of these.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the repository is stored.
    #[serde(default = "default_repo")]
    pub repo: String,
    /// Where users reach it.
    #[serde(default)]
    pub public_url: Option<String>,
    #[serde(default = "default_root")]
    root: PathBuf,
    #[serde(default)]
    keys: BTreeMap<String, KeyList>,
    #[serde(default = "default_key_names")]
    key_names: PathBuf,
    #[serde(default = "default_root_draft")]
    root_draft: PathBuf,
    #[serde(default = "default_openpgp")]
    openpgp: String,
    #[serde(default = "default_openpgp_certificate")]
    openpgp_certificate: PathBuf,
    #[serde(default = "default_channels")]
    channels: PathBuf,
    /// Where each platform lies below a build directory; empty if the directory has one named after each.
    #[serde(default)]
    pub platforms: BTreeMap<String, PathBuf>,
    #[serde(default = "default_state")]
    state: String,
    #[serde(default, rename = "lifetimes")]
    lifetime_texts: lifetimes::Texts,
    /// How long what is signed is valid.
    #[serde(skip)]
    pub lifetimes: Lifetimes,
    /// Which plain names to keep.
    #[serde(default)]
    pub plain_names: PlainNames,
    /// Whether consistent snapshots are wished for.
    #[serde(default)]
    pub consistent_snapshot: Option<bool>,
    /// SHA-512 beside SHA-256.
    #[serde(default)]
    pub sha512: bool,
    #[serde(default)]
    passphrase_file: Option<PathBuf>,
    /// Prints the passphrase of the role keys.
    #[serde(default)]
    pub passphrase_command: Option<String>,
    #[serde(default)]
    openpgp_passphrase_file: Option<PathBuf>,
    #[serde(default)]
    store: StoreOptions,
    #[serde(default)]
    single_publisher: bool,
    #[serde(default)]
    broker: Option<String>,
    #[serde(default)]
    broker_password_file: Option<PathBuf>,
    #[serde(default)]
    broker_ca: Option<PathBuf>,
    #[serde(default)]
    broker_certificate: Option<PathBuf>,
    #[serde(default)]
    broker_key: Option<PathBuf>,
    #[serde(default)]
    workers: WorkersConfig,
    #[serde(default)]
    monitor: MonitorConfig,
    /// The directory that relative paths start from.
    #[serde(skip)]
    base: PathBuf,
}

/// One key URI, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum KeyList {
    One(String),
    Several(Vec<String>),
}

impl KeyList {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

/// The part of the config about signing by workers; see [`KEYS`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WorkersConfig {
    state: String,
    name: Option<String>,
    identity: String,
    senders: BTreeMap<String, SenderConfig>,
    certificates: Vec<PathBuf>,
    targets_per_request: usize,
    request_bytes: u64,
    growth: u64,
    target_bytes: u64,
    patience: u64,
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

/// The part of the config about the monitor; see [`KEYS`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MonitorConfig {
    drop_box: Option<PathBuf>,
    prefix: String,
    sign: bool,
    scan: f64,
    refresh: f64,
    upload_bytes: u64,
    upload_files: usize,
    upload_depth: usize,
    listen: Option<SocketAddr>,
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderConfig {
    key: String,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default = "default_rights")]
    may: Vec<Right>,
}

fn default_rights() -> Vec<Right> {
    vec![Right::Publish, Right::Refresh]
}

fn default_repo() -> String {
    "repo".into()
}
fn default_root() -> PathBuf {
    "keys/1.root.json".into()
}
fn default_key_names() -> PathBuf {
    "keys/names.json".into()
}
fn default_root_draft() -> PathBuf {
    "root-draft.json".into()
}
fn default_openpgp() -> String {
    "file:keys/openpgp.asc".into()
}
fn default_openpgp_certificate() -> PathBuf {
    "keys/openpgp.cert.asc".into()
}
fn default_channels() -> PathBuf {
    Config::CHANNELS.into()
}
fn default_state() -> String {
    ".publish-state.json".into()
}

/// A sender's public key: 32 bytes in hex.
fn sender_key(name: &str, text: &str) -> Result<PublicKey> {
    let bytes = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| {
        Failure::invalid(format!("the key of sender `{}` below `workers.senders` is not 64 hex digits", name.escape_debug()))
            .hint("`publish key show FILE` prints it on the sender's machine")
    })?;
    PublicKey::ed25519(&bytes)
}

/// The part of a key of [`KEYS`] before the first dot.
fn top(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// The line on which too many brackets are open. Those in quotes and comments count too: no config comes near.
fn nested_too_deeply(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (number, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Some(number + 1);
            }
        }
    }
    None
}

fn known_keys() -> String {
    let mut keys: Vec<&str> = KEYS.iter().map(|(key, ..)| top(key)).collect();
    keys.dedup();
    keys.join(", ")
}

/// There is no config at this path: most often the command runs in another directory than the publisher's.
fn missing(path: &Path) -> Failure {
    let directory = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let place = directory.as_ref().map_or(String::new(), |directory| format!(" in {}", directory.display()));
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let failure = Failure::new(Kind::NotFound, format!("there is no config {name}{place}"));
    let above = directory.iter().flat_map(|directory| directory.ancestors().skip(1)).find(|above| above.join(&name).is_file());
    match above {
        Some(above) => {
            failure.hint(format!("run the command in {}, where there is one, or name the config with --config", above.display()))
        }
        None => failure
            .hint("run the command in the publisher's directory, or name the config with --config or PUBLISH_CONFIG")
            .hint("`publish init` makes a new repository with its config")
            .hint(format!("if the file was here before: {}", crate::keys::KEY_FILES_MISSING)),
    }
}

impl Config {
    /// The name of a channels file, unless the config says otherwise.
    pub const CHANNELS: &'static str = "trdl_channels.yaml";

    /// Reads a config file.
    pub fn read(path: &Path) -> Result<Self> {
        let what = path.display().to_string();
        if path.is_dir() {
            let file = path.join(DEFAULT_NAME);
            return Err(Failure::invalid(format!("the config {what} is a directory"))
                .hint(format!("--config and PUBLISH_CONFIG name the file: {}", file.display())));
        }
        let text = read_given_text(path, MAX_LENGTH).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound { missing(path) } else { Failure::io("read the config", &what, error) }
        })?;
        let mut config = Self::parse(&text, &what)?;
        config.start_from(path.parent().unwrap_or(Path::new("")));
        config.key_uris()?;
        Ok(config)
    }

    /// Checks the text of a config; `what` names the file.
    pub fn parse(text: &str, what: &str) -> Result<Self> {
        let broken = |error: &serde_yaml::Error| {
            let place = error.location().map_or(what.to_owned(), |at| format!("{what}:{}", at.line()));
            Failure::invalid(format!("the config {what} cannot be read")).detail(format!("{place}: {error}"))
        };
        if let Some(line) = nested_too_deeply(text) {
            return Err(Failure::invalid(format!("the config {what} cannot be read"))
                .detail(format!("{what}:{line}: more than {DEEPEST} brackets are open")));
        }
        let fields: BTreeMap<String, serde::de::IgnoredAny> = match serde_yaml::from_str(text) {
            Ok(fields) => fields,
            Err(_) if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) => BTreeMap::new(),
            Err(error) => return Err(broken(&error)),
        };
        let known = |key: &str| KEYS.iter().any(|(known, ..)| top(known) == key);
        if let Some(unknown) = fields.keys().find(|key| !known(key)) {
            let near = KEYS.iter().map(|(known, ..)| (strsim::damerau_levenshtein(top(known), unknown), top(known))).min();
            let hint = match near {
                Some((distance, near)) if distance <= 1 + near.len() / 5 && distance < unknown.len() => format!("did you mean `{near}`?"),
                _ => format!("known keys: {}", known_keys()),
            };
            return Err(Failure::invalid(format!("unknown key `{}` in the config {what}", unknown.escape_debug())).hint(hint));
        }
        let text = if fields.is_empty() { "{}" } else { text };
        let mut config: Self = serde_yaml::from_str(text).map_err(|error| broken(&error))?;
        config.lifetimes = lifetimes::read(&config.lifetime_texts, text, what)?;
        if config.plain_names == PlainNames::None && config.consistent_snapshot == Some(false) {
            return Err(Failure::invalid(format!(
                "`plain_names: none` and `consistent_snapshot: false` in the config {what} exclude each other: clients would find no targets"
            ))
            .hint("without consistent snapshots, plain names are all that clients read: leave `plain_names` out"));
        }
        for (key, seconds) in [("store.timeout", config.store.timeout.unwrap_or(1)), ("workers.patience", config.workers.patience)] {
            if seconds > LONGEST {
                return Err(Failure::invalid(format!(
                    "`{key}` in the config {what} is {seconds}; it is a number of seconds up to {LONGEST}"
                )));
            }
        }
        Ok(config)
    }

    /// Makes relative paths start from this directory.
    pub fn start_from(&mut self, base: &Path) {
        self.base = base.to_owned();
    }

    /// A relative path of the file, from where we are.
    fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The pinned root.
    pub fn root(&self) -> PathBuf {
        self.path(&self.root)
    }

    /// The certificate of an OpenPGP key that is not in a file.
    pub fn openpgp_certificate(&self) -> PathBuf {
        self.path(&self.openpgp_certificate)
    }

    /// The file with the names of who holds which key.
    pub fn key_names(&self) -> PathBuf {
        self.path(&self.key_names)
    }

    /// The draft of the next root.
    pub fn root_draft(&self) -> PathBuf {
        self.path(&self.root_draft)
    }

    /// The channels file.
    pub fn channels(&self) -> PathBuf {
        self.path(&self.channels)
    }

    /// Where the memory of versions is kept: a file, or a bucket.
    pub fn state(&self) -> Result<Location> {
        Location::parse(&self.state, &self.base).map_err(|mut failure| {
            failure.message = format!("`state` in the config: {}", failure.message);
            failure
        })
    }

    /// The directory of the state file; that of the config where the state is in a bucket.
    pub fn state_directory(&self) -> PathBuf {
        match self.state() {
            Ok(Location::Directory(file)) => file.parent().map(Path::to_owned).unwrap_or_default(),
            _ => self.base.clone(),
        }
    }

    /// The memory of versions of a publisher that works on the repository at this location.
    pub fn state_document(&self, repository: &Location) -> Result<StateDocument> {
        let state = self.state()?;
        if let Some(why) = state.conflict_with(repository) {
            return Err(Failure::invalid(format!("`state` in the config is {state}, {why} the repository at {repository}"))
                .detail("clients can read what is in a repository, and commands that clean it up may delete what does not belong there")
                .hint("set `state` to a file outside it, or to a bucket or prefix that clients cannot read"));
        }
        match &state {
            Location::Directory(file) => Ok(StateDocument::file(file)),
            Location::Bucket { .. } => Ok(StateDocument::shared(crate::storage::open(&state, &self.store())?)),
        }
    }

    /// The file with the passphrase of the role keys.
    pub fn passphrase_file(&self) -> Option<PathBuf> {
        self.passphrase_file.as_deref().map(|path| self.path(path))
    }

    /// The file with the passphrase of the OpenPGP key.
    pub fn openpgp_passphrase_file(&self) -> Option<PathBuf> {
        self.openpgp_passphrase_file.as_deref().map(|path| self.path(path))
    }

    /// Where the OpenPGP key is stored.
    pub fn openpgp(&self) -> Result<KeyUri> {
        KeyUri::parse(&self.openpgp, &self.base)
    }

    /// Where the key of each role is stored.
    pub fn key_uris(&self) -> Result<BTreeMap<Role, Vec<KeyUri>>> {
        let known = |name: &str| name == BINS || Role::ALL.iter().any(|role| role.name() == name);
        if let Some(unknown) = self.keys.keys().find(|name| !known(name)) {
            return Err(Failure::invalid(format!("unknown role `{}` below `keys` in the config", unknown.escape_debug()))
                .hint("roles: root, targets, snapshot, timestamp, bins"));
        }
        let uris = |role: Role| Ok((role, self.uris(&self.key_texts(role))?));
        Role::ALL.into_iter().map(uris).collect()
    }

    fn uris(&self, texts: &[String]) -> Result<Vec<KeyUri>> {
        texts.iter().map(|text| KeyUri::parse(text, &self.base)).collect()
    }

    /// Where the key of each role is stored, as the file states it.
    pub fn key_texts(&self, role: Role) -> Vec<String> {
        self.keys.get(role.name()).map_or_else(|| vec![format!("file:keys/{role}.pem")], |list| list.texts().to_vec())
    }

    /// Where the OpenPGP key is stored, as the file states it.
    pub fn openpgp_text(&self) -> &str {
        &self.openpgp
    }

    /// The text of a config with another OpenPGP key, every other line as it was; `None` if it cannot be replaced as a line.
    pub fn with_openpgp(text: &str, uri: &str) -> Option<String> {
        let line = format!("openpgp: {}", Self::quote(uri).ok()?);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match lines.iter().position(|line| line.starts_with("openpgp:")) {
            Some(at) => lines[at] = line,
            None => lines.push(line),
        }
        let new = lines.join("\n") + "\n";
        Self::parse(&new, "").ok().filter(|config| config.openpgp == uri).map(|_| new)
    }

    /// The directory that relative paths start from.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The text of a config with other keys for a role, every other line as it was; `None` if they have a form
    /// that cannot be replaced line by line.
    pub fn with_keys(text: &str, role: Role, uris: &[String]) -> Option<String> {
        let quoted: Vec<String> = uris.iter().map(|uri| Self::quote(uri).ok()).collect::<Option<_>>()?;
        let value = if let [one] = quoted.as_slice() { one.clone() } else { format!("[{}]", quoted.join(", ")) };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let block = match lines.iter().position(|line| line.trim_end() == "keys:") {
            Some(at) => at,
            None => {
                lines.push("keys:".into());
                lines.len() - 1
            }
        };
        let is_below = |line: &String| line.trim().is_empty() || line.starts_with([' ', '\t']) || line.starts_with('#');
        let end = lines[block + 1..].iter().position(|line| !is_below(line)).map_or(lines.len(), |length| block + 1 + length);
        let own = |line: &String| line.trim_start().strip_prefix(role.name()).is_some_and(|rest| rest.starts_with(':'));
        match (block + 1..end).find(|at| own(&lines[*at])) {
            Some(at) => {
                let depth = indent(&lines[at]);
                let deeper = |line: &String| !line.trim().is_empty() && (indent(line) > depth || line.trim_start().starts_with("- "));
                let tail = lines[at + 1..end].iter().take_while(|line| deeper(line)).count();
                lines.splice(at..=at + tail, [format!("{}{role}: {value}", " ".repeat(depth))]);
            }
            None => lines.insert(block + 1, format!("  {role}: {value}")),
        }
        let new = lines.join("\n") + "\n";
        // Whatever the file looked like: only if it means exactly this now.
        let (before, after) = (Self::parse(text, "").ok()?, Self::parse(&new, "").ok()?);
        let others =
            |config: &Self| Role::ALL.into_iter().filter(|other| *other != role).map(|other| config.key_texts(other)).collect::<Vec<_>>();
        (after.key_texts(role) == uris && others(&before) == others(&after)).then_some(new)
    }

    /// Where the key of the bins is stored, if they have one of their own.
    pub fn bin_keys(&self) -> Result<Vec<KeyUri>> {
        self.uris(self.keys.get(BINS).map_or(&[][..], KeyList::texts))
    }

    /// Where the configured repository is stored.
    pub fn location(&self) -> Result<Location> {
        Location::parse(&self.repo, &self.base)
    }

    /// What there is to know about its store.
    pub fn store(&self) -> StoreOptions {
        StoreOptions { single_publisher: self.single_publisher, ..self.store.clone() }
    }

    /// The place that callers and workers share.
    pub fn shared(&self) -> Result<Shared> {
        let location = Location::parse(&self.workers.state, &self.base)?;
        Ok(Shared::new(crate::storage::open(&location, &self.store())?, self.workers.request_bytes))
    }

    /// Who signs, if the config names a broker; `password` is that of the environment.
    pub fn workers(&self, password: Option<&[u8]>) -> Result<Option<Workers>> {
        let Some(url) = &self.broker else { return Ok(None) };
        let read = |path: &Path| read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Failure::io("read", path.display(), error));
        let mut broker = BrokerOptions::parse(url)?;
        broker.ca = self.broker_ca.as_deref().map(|path| self.path(path));
        broker.identity = match (&self.broker_certificate, &self.broker_key) {
            (Some(certificate), Some(key)) => Some((self.path(certificate), self.path(key))),
            (None, None) => None,
            _ => {
                return Err(Failure::invalid("the config has only one of `broker_certificate` and `broker_key`")
                    .hint("a client certificate needs both"));
            }
        };
        let file = self.broker_password_file.as_deref().map(|path| crate::keys::read_private(&self.path(path))).transpose()?;
        if let Some(password) = password.or(file.as_ref().map(|bytes| bytes.as_slice())) {
            broker = broker.with_password(password);
        }
        let name = self.workers.name.clone();
        let name = name.ok_or_else(|| {
            Failure::invalid("the config has a `broker` and no `workers.name`")
                .hint("set the name under which the other hosts know this process, for example `workers: {name: ci}`")
        })?;
        let mut senders = BTreeMap::new();
        for (name, sender) in &self.workers.senders {
            let key = sender_key(name, &sender.key)?;
            senders.insert(name.clone(), Sender { key, prefixes: sender.prefixes.clone(), may: sender.may.clone() });
        }
        let certificates = self.workers.certificates.iter().map(|path| Ok((path.display().to_string(), read(&self.path(path))?)));
        let limits = workers::Limits {
            targets_per_request: self.workers.targets_per_request,
            growth: self.workers.growth,
            target_bytes: self.workers.target_bytes,
            elsewhere: self.plain_names == PlainNames::Elsewhere,
            certificates: certificates.collect::<Result<_>>()?,
        };
        let identity = KeyUri::parse(&self.workers.identity, &self.base)?;
        Ok(Some(Workers { broker, name, identity, senders, limits, patience: Duration::from_secs(self.workers.patience) }))
    }

    #[cfg(feature = "monitor")]
    /// What the monitor is to do.
    pub fn monitor(&self) -> Result<MonitorRequest> {
        let seconds = |key: &str, value: f64| {
            let least = Duration::from_millis(100);
            let span = Duration::try_from_secs_f64(value).ok().filter(|span| *span >= least && span.as_secs() <= LONGEST);
            span.ok_or_else(|| Failure::invalid(format!("`monitor.{key}` is {value}; it is a number of seconds from 0.1 to {LONGEST}")))
        };
        Ok(MonitorRequest {
            drop_box: self.monitor.drop_box.as_deref().map(|path| self.path(path)),
            prefix: self.monitor.prefix.clone(),
            sign: self.monitor.sign,
            scan: seconds("scan", self.monitor.scan)?,
            refresh: seconds("refresh", self.monitor.refresh)?,
            consistent_snapshot: self.consistent_snapshot,
            at_once: self.workers.targets_per_request,
            limits: Limits { bytes: self.monitor.upload_bytes, entries: self.monitor.upload_files, depth: self.monitor.upload_depth },
            state: Some(self.state_directory()).filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| ".".into()),
        })
    }

    /// Where the monitor serves its health and metrics.
    pub fn monitor_listen(&self) -> Option<SocketAddr> {
        self.monitor.listen
    }

    /// What users call the repository.
    pub fn display_name(&self) -> String {
        let directory = || std::path::absolute(&self.base).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        self.name.clone().or_else(directory).unwrap_or_else(|| "app".into())
    }

    /// A value as it is in a config: quoted by the YAML writer, whatever it holds.
    pub fn quote(value: &str) -> Result<String> {
        serde_yaml::to_string(value).map(|text| text.trim_end().to_owned()).map_err(|error| Failure::new(Kind::Invalid, error.to_string()))
    }

    /// The text of a new config.
    pub fn template(name: &str, repo: &str, public_url: Option<&str>, openpgp: &str, consistent_snapshot: bool) -> Result<String> {
        let quote = Self::quote;
        let url = match public_url {
            Some(url) => format!("public_url: {}", quote(url)?),
            None => "# public_url: https://example.org/tuf".into(),
        };
        Ok(format!(
            "# What `publish` works on. Paths are relative to this file; docs/reference.md lists every key.\nname: {}\nrepo: {}\n{url}\nroot: keys/1.root.json\nkeys:\n  root: file:keys/root.pem\n  targets: file:keys/targets.pem\n  snapshot: file:keys/snapshot.pem\n  timestamp: file:keys/timestamp.pem\nopenpgp: {}\nchannels: trdl_channels.yaml\nconsistent_snapshot: {consistent_snapshot}\n",
            quote(name)?,
            quote(repo)?,
            quote(openpgp)?,
        ))
    }
}
