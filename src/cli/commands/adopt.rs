//! `publish adopt`.

use crate::cli::arguments::Global;
use crate::cli::delegation::{describe_delegation, names_of};
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::publisher::open;
use crate::cli::text::{confirm, count};
use crate::config::{Config, NewConfig};
use crate::error::{Error, Kind};
use crate::metadata::Role;
use crate::operation::adopt::{self as operation, AdoptPlan, AdoptRequest};
use crate::operation::own_file;
use crate::storage::{Location, StoreOptions};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Take over a repository of trdl's server or another TUF tool
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The repository is verified as a client does. Keys are searched in the files of --keys: PEM, the JSON of go-tuf and of securesystemslib (encrypted or not), and the JSON in which trdl's server keeps its keys. Keys that are found are written as key files of publish. Nothing is published. Run the command in an empty directory, or name a new config. docs/adopt.md has all steps, also for buckets.\n\nExamples:\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --dry-run\n  publish adopt old/repository --keys old/keys --config new/publish.yaml --no-passphrase"
)]
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

/// `publish adopt`.
pub(in crate::cli) fn run(global: &Global, arguments: &Adopt, output: &Output) -> Result<Report> {
    let what = global.config.display().to_string();
    if global.config.exists() {
        return Err(Error::new(Kind::Conflict, format!("{what} exists: there is a publisher here already"))
            .hint("run it in an empty directory, or name another config with --config")
            .into());
    }
    let base = global.config.parent().unwrap_or(Path::new("")).to_owned();
    let config_for = |text: &str| -> Result<Config> {
        let mut config = Config::parse(text, &what)?;
        config.start_from(&base);
        Ok(config)
    };
    if let Some(path) = &arguments.openpgp_key {
        super::init::check_key(path)?;
    }
    let text = config_text(arguments, None)?;
    let publisher = open(global, &config_for(&text)?, output)?;
    let request = AdoptRequest {
        keys: arguments.keys.clone(),
        root: arguments.root.clone(),
        directory: base.join("keys"),
        encrypt: !arguments.no_passphrase,
    };
    let plan = operation::plan(&publisher, &request)?;
    let mut text = describe(&plan);
    let document = json!(plan);
    if global.dry_run {
        text.push_str(&nothing_written("adopt the repository"));
        return Ok(Report::planned("adopt", text, &document).notes(&plan.notes));
    }
    let strangers: Vec<String> =
        plan.delegations.iter().filter(|delegated| !delegated.held).map(|delegated| names_of(&delegated.delegation)).collect();
    let signed_by_others: Vec<&str> = plan.roles.iter().filter(|role| !role.strangers.is_empty()).map(|role| role.role).collect();
    let mut asked = Vec::new();
    if !signed_by_others.is_empty() {
        asked.push(format!("whose {} can be signed with keys that were not found", signed_by_others.join(", ")));
    }
    if !strangers.is_empty() {
        asked.push(format!("that delegates to keys of others: {}", strangers.join(", ")));
    }
    if !asked.is_empty() && !arguments.yes {
        confirm(&text, &format!("take over a repository {}", asked.join(", and ")), "--yes", output)?;
    }
    let config = config_text(arguments, Some(&plan))?;
    config_for(&config)?;
    operation::apply(&publisher, &request, &plan)?;
    // Last and whole: it is what makes a publisher of the directory.
    own_file::replace(&global.config, config.as_bytes())?;
    let _ = write!(
        text,
        "adopted; nothing in the repository was changed\n\nNext, each verified with `publish verify`:\n  publish refresh                        renews what is due, with the keys as they are\n  publish release, channels, add-targets\n"
    );
    if !plan.consistent_snapshot {
        text.push_str("  consistent_snapshot: true              in the config, then `publish refresh` with the root key: clients are safe at every instant\n");
    }
    text.push_str("Stop the tool that published until now: two publishers with different tools would overwrite each other's changes.\n");
    Ok(Report::new("adopt", text, json!({"dry_run": false, "plan": document})).notes(&plan.notes))
}

fn describe(plan: &AdoptPlan) -> String {
    let mut text = format!(
        "{}: {}, root {}, targets {}, snapshot {}, timestamp {}, consistent snapshots {}\n  pinned: root {}, sha512 {}\n",
        plan.location,
        count(plan.targets, "target"),
        plan.versions.root,
        plan.versions.targets,
        plan.versions.snapshot,
        plan.versions.timestamp,
        if plan.consistent_snapshot { "on" } else { "off" },
        plan.pinned,
        plan.root_sha512
    );
    for role in &plan.roles {
        let _ = writeln!(text, "  {}: {} of its keys must sign", role.role, role.threshold);
        role.found.iter().for_each(|(id, file)| text.push_str(&format!("    + key {id} -> {file}\n")));
        role.missing.iter().for_each(|id| text.push_str(&format!("    - key {id} was not found\n")));
        if !role.strangers.is_empty() {
            let ids: Vec<_> = role.strangers.iter().map(|id| id.escape_debug().to_string()).collect();
            let _ = writeln!(text, "    ! these keys, none of which was found, can sign {} alone: {}", role.role, ids.join(", "));
        }
    }
    for delegated in &plan.delegations {
        describe_delegation(&delegated.delegation, if delegated.held { "=" } else { "!" }, &mut text);
    }
    if plan.delegations.iter().any(|delegated| !delegated.held) {
        text.push_str("  ! the holders of keys that were not found can publish under these names, and the new owner certifies it;\n");
        text.push_str("    to end a delegation after adopting: publish remove-delegation NAME\n");
    }
    plan.notes.iter().for_each(|note| text.push_str(&format!("  ! {note}\n")));
    text
}

fn config_text(arguments: &Adopt, plan: Option<&AdoptPlan>) -> Result<String> {
    // A path stays right when the config is read from elsewhere.
    let repo = match Location::parse(&arguments.location, Path::new(""))? {
        Location::Directory(path) => std::path::absolute(path)?.display().to_string(),
        _ => arguments.location.clone(),
    };
    let new = NewConfig {
        heading: "Written by `publish adopt`; docs/reference.md lists every key.",
        name: arguments.name.clone(),
        endpoint: StoreOptions::default().endpoint_for(&Location::parse(&repo, Path::new(""))?),
        repo,
        public_url: arguments.public_url.clone(),
        ..NewConfig::default()
    };
    let Some(plan) = plan else { return Ok(new.text()?) };
    let openpgp = arguments.openpgp_key.as_deref().map_or(Ok("keys/openpgp.asc".into()), std::path::absolute)?;
    let uris = |role: Role| (role, plan.key_files(role).into_iter().map(|file| format!("file:keys/{file}")).collect());
    let new = NewConfig {
        keys: Role::ALL.map(uris).to_vec(),
        openpgp: Some(format!("file:{}", openpgp.display())),
        elsewhere: plan.elsewhere,
        consistent_snapshot: Some(plan.consistent_snapshot),
        ..new
    };
    Ok(new.text()?)
}
