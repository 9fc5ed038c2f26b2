//! `publish.yaml`: what a publisher works on. Paths in it are relative to the file. Flags override variables, variables
//! override the file, the file overrides the defaults.

mod hosted;
mod lifetimes;
#[cfg(feature = "monitor")]
mod monitor;
mod new;
mod rewrite;
mod schema;
mod setting;
mod workers;

pub use new::NewConfig;
pub use rewrite::ConfigFile;
pub use schema::Config;
pub use setting::Setting;

use crate::error::{Error, Id, Kind, Result};
use crate::files::read_given_text;
use crate::keys::KeyUri;
use crate::metadata::{Lifetimes, Role};
use crate::repository::{BINS, PlainNames};
use crate::storage::{Location, StoreOptions};
use schema::KeyList;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest span that a setting may have, in seconds: a year. Sums with a clock stay in range.
const LONGEST: u64 = 366 * 24 * 3600;

/// The name of a config that no flag names.
const DEFAULT_NAME: &str = "publish.yaml";

/// No config is near this long; a longer file is something else.
const MAX_LENGTH: u64 = 1 << 20;

/// No config nests brackets near this deep; the parser's time grows with the square of it.
const DEEPEST: usize = 100;

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

/// Refuses a key that the schema does not have, with the one that it may be meant to be.
fn unknown_key(unknown: &str, known: &[String], what: &str) -> Error {
    let near = known.iter().map(|key| (strsim::damerau_levenshtein(key, unknown), key)).min();
    let hint = match near {
        Some((distance, near)) if distance <= 1 + near.len() / 5 && distance < unknown.len() => format!("did you mean `{near}`?"),
        _ => format!("known keys: {}", known.join(", ")),
    };
    Error::invalid(format!("unknown key `{}` in the config {what}", unknown.escape_debug())).id(Id::ConfigUnknownKey).hint(hint)
}

/// There is no config at this path: most often the command runs in another directory than the publisher's.
fn missing(path: &Path) -> Error {
    let directory = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let place = directory.as_ref().map_or(String::new(), |directory| format!(" in {}", directory.display()));
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let failure = Error::new(Kind::NotFound, format!("there is no config {name}{place}")).id(Id::ConfigMissing);
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
            return Err(Error::invalid(format!("the config {what} is a directory"))
                .hint(format!("--config and PUBLISH_CONFIG name the file: {}", file.display())));
        }
        let text = read_given_text(path, MAX_LENGTH).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound { missing(path) } else { Error::io("read the config", &what, error) }
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
            Error::invalid(format!("the config {what} cannot be read")).detail(format!("{place}: {error}"))
        };
        if let Some(line) = nested_too_deeply(text) {
            return Err(Error::invalid(format!("the config {what} cannot be read"))
                .detail(format!("{what}:{line}: more than {DEEPEST} brackets are open")));
        }
        let fields: BTreeMap<String, serde::de::IgnoredAny> = match serde_yaml::from_str(text) {
            Ok(fields) => fields,
            Err(_) if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) => BTreeMap::new(),
            Err(error) => return Err(broken(&error)),
        };
        let known = setting::top_keys();
        if let Some(unknown) = fields.keys().find(|key| !known.contains(key)) {
            return Err(unknown_key(unknown, &known, what));
        }
        let text = if fields.is_empty() { "{}" } else { text };
        let mut config: Self = serde_yaml::from_str(text).map_err(|error| broken(&error))?;
        config.checked_lifetimes = lifetimes::read(&config.lifetimes, text, what)?;
        if config.plain_names == PlainNames::None && config.consistent_snapshot == Some(false) {
            return Err(Error::invalid(format!(
                "`plain_names: none` and `consistent_snapshot: false` in the config {what} exclude each other: clients would find no targets"
            ))
            .hint("without consistent snapshots, plain names are all that clients read: leave `plain_names` out"));
        }
        for (key, seconds) in [("store.timeout", config.store.timeout.unwrap_or(1)), ("workers.patience", config.workers.patience)] {
            if seconds > LONGEST {
                return Err(Error::invalid(format!(
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

    /// How long what is signed is valid.
    pub fn lifetimes(&self) -> Lifetimes {
        self.checked_lifetimes
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
            return Err(Error::invalid(format!("unknown role `{}` below `keys` in the config", unknown.escape_debug()))
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

    /// The directory that relative paths start from.
    pub fn base(&self) -> &Path {
        &self.base
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
        let store = self.store.clone();
        StoreOptions {
            endpoint: store.endpoint,
            region: store.region,
            path_style: store.path_style,
            etag_quotes: store.etag_quotes,
            conditions: store.conditions,
            raw_plus: store.raw_plus,
            instance_metadata: store.instance_metadata,
            timeout: store.timeout,
            single_publisher: self.single_publisher,
            ..StoreOptions::default()
        }
    }

    /// Where callers and workers share requests and results.
    pub fn shared(&self) -> Result<Location> {
        Location::parse(&self.workers.state, &self.base)
    }

    /// The longest change set in a request, in bytes.
    pub fn request_bytes(&self) -> u64 {
        self.workers.request_bytes
    }

    /// What users call the repository.
    pub fn display_name(&self) -> String {
        let directory = || std::path::absolute(&self.base).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        self.name.clone().or_else(directory).unwrap_or_else(|| "app".into())
    }
}
