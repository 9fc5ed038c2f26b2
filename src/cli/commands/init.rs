//! `publish init`.

use crate::cli::arguments::{Global, KeyIds};
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::publisher::open;
use crate::config::{Config, NewConfig};
use crate::error::Error;
use crate::files::{GIVEN_FILE_LIMIT, read_given_text};
use crate::metadata::Role;
use crate::openpgp::Algorithm;
use crate::operation::init::{self as operation, InitRequest};
use crate::storage::{Location, StoreOptions};
use anyhow::Result;
use clap::{ArgAction, Args, ValueEnum};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Make the keys, the first root and publish.yaml
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  publish init --name acme --public-url https://tuf.example.org --no-passphrase")]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OpenPgpAlgorithm {
    Ed25519,
    Rsa4096,
}

/// `publish init`.
pub(in crate::cli) fn run(global: &Global, arguments: &Init, output: &Output) -> Result<Report> {
    let (config, text) = config(global, arguments)?;
    let publisher = open(global, &config, output)?;
    let name = config.display_name();
    let request = InitRequest {
        config: global.config.clone(),
        config_text: text,
        add_store: Config::with_store,
        consistent_snapshot: config.consistent_snapshot.unwrap_or(arguments.consistent_snapshot),
        key_ids: arguments.key_ids.style(),
        encrypt: !arguments.no_passphrase,
        algorithm: match arguments.openpgp_algorithm {
            OpenPgpAlgorithm::Ed25519 => Algorithm::Ed25519,
            OpenPgpAlgorithm::Rsa4096 => Algorithm::Rsa4096,
        },
        user_id: arguments.openpgp_user_id.clone().unwrap_or_else(|| format!("{name} releases")),
    };
    let prepared = operation::prepare(&publisher, request)?;
    let plan = &prepared.plan;
    if global.dry_run {
        let mut text = format!("repository: {}\n", plan.location);
        plan.make.iter().for_each(|file| text.push_str(&format!("  + {file}\n")));
        plan.keep.iter().for_each(|file| text.push_str(&format!("  = {file}\n")));
        text.push_str(&nothing_written("make these files"));
        return Ok(Report::planned("init", text, plan).warnings(&plan.warnings));
    }
    let (document, warnings, empty, place) = (json!(plan), plan.warnings.clone(), plan.empty, plan.location.clone());
    let report = operation::carry_out(&publisher, prepared)?;
    let url = config.public_url.clone().unwrap_or_else(|| "URL".into());
    let url = url.trim_end_matches('/');
    let add = format!("trdl add {name} {url} {} {}", report.root_version, report.root_sha512);
    let certificate = format!("{url}/targets/{}", report.certificate);
    let mut text =
        if empty { format!("the repository at {place} is ready already\n") } else { format!("the repository at {place} is ready\n") };
    let _ = write!(
        text,
        "\nYour users run this once:\n  {add}\n\nOpenPGP certificate {}\n  published with the first release as {certificate}\n",
        report.fingerprint
    );
    if let Some(revocation) = &report.revocation {
        let _ = writeln!(text, "  {revocation} revokes it if the key is lost: keep this file on another machine");
    }
    let config_flag =
        if global.config == Path::new("publish.yaml") { String::new() } else { format!(" --config {}", global.config.display()) };
    let _ = write!(
        text,
        "\nNext:\n  publish release 1.0.0 --from dist{config_flag}\n  publish refresh{config_flag}    every hour, from cron: clients refuse a timestamp older than a day\n\nKeep the keys directory out of version control, and a copy of it on another machine.\n"
    );
    Ok(Report::new(
        "init",
        text,
        json!({"dry_run": false, "plan": document, "result": report, "trdl_add": add, "certificate_url": certificate}),
    )
    .warnings(&warnings))
}

/// The config that is there, or the one to make, with its text.
fn config(global: &Global, arguments: &Init) -> Result<(Config, String)> {
    let what = global.config.display().to_string();
    if global.config.exists() {
        let config = Config::read(&global.config)?;
        let differs = |given: &Option<String>, there: Option<&str>| given.as_deref().is_some_and(|given| Some(given) != there);
        if differs(&arguments.name, config.name.as_deref()) || differs(&arguments.public_url, config.public_url.as_deref()) {
            return Err(Error::invalid(format!("the config {what} exists and has another value"))
                .hint("edit the file, or leave the flags out")
                .into());
        }
        let text = read_given_text(&global.config, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the config", &what, error))?;
        return Ok((config, text));
    }
    if let Some(url) = &arguments.public_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(Error::invalid(format!("the public URL `{}` is not http(s)", url.escape_debug()))
            .hint("trdl clients take http:// and https:// only")
            .into());
    }
    let base = global.config.parent().unwrap_or(Path::new("")).to_owned();
    let name = arguments.name.clone().map_or_else(|| Config::parse("", &what).map(|config| config.display_name()), Ok)?;
    if name == "trdl" || name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(Error::invalid(format!("the name `{}` cannot be used with `trdl add`", name.escape_debug()))
            .hint("give another with --name: letters, digits and . _ - (and not `trdl`, which is the client's own)")
            .into());
    }
    // Paths in the config start from its own directory; flags start from where we are.
    let relocate =
        |path: &Path| if base.as_os_str().is_empty() || path.is_absolute() { Ok(path.to_owned()) } else { std::path::absolute(path) };
    let shown =
        |path: &Path| relocate(path).map(|path| path.display().to_string()).map_err(|error| Error::io("resolve", path.display(), error));
    let repo = match &global.repo {
        Some(text) => match Location::parse(text, Path::new(""))? {
            Location::Directory(path) => shown(&path)?,
            bucket => bucket.to_string(),
        },
        None => "repo".into(),
    };
    let openpgp = match &arguments.openpgp_key {
        Some(path) => format!("file:{}", shown(path)?),
        None => "file:keys/openpgp.asc".into(),
    };
    if let Some(path) = &arguments.openpgp_key {
        check_key(path)?;
    }
    let file = |role: Role| (role, vec![format!("file:keys/{role}.pem")]);
    let text = NewConfig {
        heading: "What `publish` works on. Paths are relative to this file; docs/reference.md lists every key.",
        name: Some(name),
        // Later users of the config may not have the variable.
        endpoint: StoreOptions::default().endpoint_for(&Location::parse(&repo, &base)?),
        repo,
        public_url: arguments.public_url.clone(),
        keys: Role::ALL.map(file).to_vec(),
        openpgp: Some(openpgp),
        channels: Some(Config::CHANNELS),
        elsewhere: false,
        consistent_snapshot: Some(arguments.consistent_snapshot),
    }
    .text()?;
    let mut config = Config::parse(&text, &what)?;
    config.start_from(&base);
    Ok((config, text))
}

/// A key that could not sign is refused now, not at the first release.
pub(in crate::cli) fn check_key(path: &Path) -> Result<()> {
    let bytes = crate::keys::read_secret(&crate::keys::KeyUri::File(path.to_owned()))?;
    let skip = |_: &str| Err(Error::new(crate::error::Kind::Passphrase, ""));
    match crate::openpgp::SigningKey::load(&bytes, &path.display().to_string(), chrono::Utc::now(), &skip) {
        // Everything but the passphrase, which is not needed yet.
        Err(failure) if failure.kind != crate::error::Kind::Passphrase => Err(failure.into()),
        _ => Ok(()),
    }
}
