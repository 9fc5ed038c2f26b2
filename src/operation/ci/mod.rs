//! `publish ci`: the files with which hosted runners of GitHub or GitLab publish to this repository. A runner starts with a
//! fresh clone and the secrets of its CI, and keeps nothing. So the files carry a config that reads keys from variables, and
//! the pinned root. The root key never goes to CI: the config names no place for it.

mod checkout;
mod github;
mod gitlab;
mod secrets;
mod template;

pub use checkout::{Change, PlannedFile};
pub use secrets::Secret;

use self::secrets::Secrets;
use super::read_pinned_root;
use crate::error::{Error, Id, Message, Result};
use crate::keys::KeyUri;
use crate::metadata::Role;
use crate::storage::{Location, Service, StoreOptions};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The config that the files are for, at the top of the checkout.
pub const CONFIG: &str = "publish.ci.yaml";
/// The pinned root beside it.
const ROOT: &str = "publish.root.json";
/// The OpenPGP certificate beside it, for a key in a key service.
const CERTIFICATE: &str = "publish.openpgp.asc";

/// Who runs the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI/CD.
    GitLab,
}

impl Forge {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
        }
    }
}

/// What the user requests.
pub struct CiRequest {
    /// Whose files.
    pub forge: Forge,
    /// The top of the checkout.
    pub directory: PathBuf,
    /// The command that builds.
    pub build: String,
    /// Where the build is then, below the checkout.
    pub from: String,
    /// The archive that jobs install; `None` where variables of the CI name it.
    pub program: Option<Program>,
    /// Replace files that this command wrote.
    pub force: bool,
    /// What publishes today.
    pub settings: Settings,
    /// Now: an expired OpenPGP key is refused.
    pub now: DateTime<Utc>,
}

/// An archive with the program, as `.ci/package` makes it.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it can be fetched from.
    pub url: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// What the config of the jobs says in place of that of the machine that publishes today.
#[derive(Debug)]
pub struct HostedConfig<'a> {
    /// What users call the repository.
    pub name: &'a str,
    /// Where the repository is stored.
    pub repo: String,
    /// Settings of the store that a fresh machine needs and that the config may lack, by key.
    pub store: Vec<(&'static str, String)>,
    /// The pinned root.
    pub root: &'static str,
    /// The URIs of each role's keys.
    pub keys: &'a [(&'static str, Vec<String>)],
    /// The URI of the OpenPGP key.
    pub openpgp: &'a str,
    /// The certificate of an OpenPGP key in a key service.
    pub openpgp_certificate: Option<&'static str>,
    /// The channels file.
    pub channels: &'a str,
}

/// The config of the machine that publishes today.
pub struct Settings {
    /// The text of the config.
    pub text: String,
    /// Writes the text of the jobs' config.
    pub rewrite: fn(&str, &HostedConfig<'_>) -> Result<String>,
    /// What users call the repository.
    pub name: String,
    /// Where the repository is stored.
    pub location: Location,
    /// The settings of the store in the config.
    pub store: StoreOptions,
    /// The region of the bucket: the config's, or that of the environment, which a fresh machine does not have.
    pub region: Option<String>,
    /// The pinned root.
    pub pinned_root: PathBuf,
    /// The channels file.
    pub channels: PathBuf,
    /// The keys of the roles.
    pub keys: BTreeMap<Role, Vec<KeyUri>>,
    /// The keys of hashed bins, where they have their own.
    pub bin_keys: Vec<KeyUri>,
    /// The OpenPGP key.
    pub openpgp: KeyUri,
    /// The certificate of an OpenPGP key that is not in a file.
    pub openpgp_certificate: PathBuf,
    /// The file with the passphrase of the role keys.
    pub passphrase_file: Option<PathBuf>,
    /// The file with the passphrase of the OpenPGP key.
    pub openpgp_passphrase_file: Option<PathBuf>,
}

/// What will be written, and what a person does once after that.
#[derive(Debug, Serialize)]
pub struct CiPlan {
    /// The files.
    pub files: Vec<PlannedFile>,
    /// The secrets that the jobs need.
    pub secrets: Vec<Secret>,
    /// What to do then, in this order.
    pub setup: Vec<Step>,
    /// What is unusual.
    pub warnings: Vec<Message>,
    /// Whether all files are there already.
    pub empty: bool,
}

/// One thing that a person does: the commands, or the lines of a file.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What for.
    pub what: String,
    /// The lines, as they are typed.
    pub lines: Vec<String>,
}

/// Decides what the files hold; refuses what cannot work on a hosted runner, and files of others. Writes nothing.
pub fn plan(request: &CiRequest) -> Result<CiPlan> {
    checkout::check_top(&request.directory)?;
    let settings = &request.settings;
    if let Location::Directory(path) = &settings.location {
        return Err(Error::invalid(format!("the repository {} is a directory, and hosted runners start without it", path.display()))
            .hint("keep the repository in a bucket: docs/stores.md")
            .hint("a runner of your own can publish to a directory: docs/ci.md#a-runner-of-your-own"));
    }
    if let (Location::Bucket { service: Service::S3, .. }, None, None) =
        (&settings.location, &settings.region, settings.store.endpoint_for(&settings.location))
    {
        return Err(Error::invalid(format!("the region of {} is not known", settings.location))
            .hint("add it to the config: `store: {region: …}`, or set AWS_REGION"));
    }
    let channels = checkout::channels_path(&request.directory, &settings.channels)?;
    let from = checkout::plain_path("--from", &request.from)?;
    let build = template::command(&request.build)?;
    let program = request.program.as_ref().map(template::checked).transpose()?;
    let mut warnings = Vec::new();
    let secrets = Secrets::of(request.forge, settings, request.now, &mut warnings)?;
    let values = template::Values { build, from, channels: channels.clone(), program };
    let mut texts = vec![
        (CONFIG.to_owned(), hosted(settings, &secrets, &channels)?),
        (ROOT.to_owned(), text_of(read_pinned_root(&settings.pinned_root)?, &settings.pinned_root)?),
    ];
    if let Some(certificate) = secrets.certificate(settings)? {
        texts.push((CERTIFICATE.to_owned(), text_of(certificate, &settings.openpgp_certificate)?));
    }
    texts.extend(match request.forge {
        Forge::GitHub => github::files(&values, &secrets),
        Forge::GitLab => gitlab::files(&values, &secrets),
    });
    if settings.store.conditions.is_none() {
        warnings.push(Message::new(Id::StoreConditionsUnknown, "the config does not state whether the store enforces conditional writes, so each job tests it: add what `publish store check` finds to the config, then run this command again"));
    }
    if settings.store.single_publisher {
        warnings.push(Message::new(
            Id::SinglePublisherInCi,
            "the config has `single_publisher: true`, and jobs of a CI can overlap: use a store that enforces conditions",
        ));
    }
    let included = checkout::includes(&request.directory, request.forge);
    let files = checkout::compare(&request.directory, texts, request.force, included)?;
    let mut setup = match request.forge {
        Forge::GitHub => github::setup(&secrets, request.program.is_some()),
        Forge::GitLab => gitlab::setup(&secrets, request.program.is_some(), &request.directory, included),
    };
    setup.push(checkout::commit(&files));
    Ok(CiPlan { empty: files.iter().all(|file| file.change == Change::Keep), files, secrets: secrets.into_list(), setup, warnings })
}

/// The text of the jobs' config.
fn hosted(settings: &Settings, secrets: &Secrets, channels: &str) -> Result<String> {
    let is_s3 = matches!(settings.location, Location::Bucket { service: Service::S3, .. });
    let store = [("endpoint", settings.store.endpoint_for(&settings.location)), ("region", settings.region.clone().filter(|_| is_s3))];
    let hosted = HostedConfig {
        name: &settings.name,
        repo: settings.location.to_string(),
        store: store.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        root: ROOT,
        keys: &secrets.keys,
        openpgp: &secrets.openpgp,
        openpgp_certificate: (!secrets.openpgp.starts_with("env:")).then_some(CERTIFICATE),
        channels,
    };
    (settings.rewrite)(&settings.text, &hosted)
}

/// Writes the files of a plan.
pub fn apply(request: &CiRequest, plan: &CiPlan) -> Result<()> {
    plan.files.iter().try_for_each(|file| file.write(&request.directory))
}

fn text_of(bytes: Vec<u8>, path: &std::path::Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{} is not text", path.display())))
}
