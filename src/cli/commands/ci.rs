//! `publish ci`.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::publisher::location;
use crate::config::Config;
use crate::error::Error;
use crate::files::{GIVEN_FILE_LIMIT, read_given_text};
use crate::operation::ci::{self as operation, Change, CiPlan, CiRequest, Forge, Program, Settings};
use anyhow::Result;
use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Write the files with which GitHub or GitLab publishes
#[derive(Clone, Debug, Subcommand)]
#[command(
    after_help = "The files publish a release for each tag v1.2.3, the channels when their file changes on the default branch, a comment with the plan on pull requests, an hourly refresh and a nightly check. They are for hosted runners: fresh machines that have the secrets of the CI and nothing else. The command prints how to store each secret, and no secret. The root key stays out of CI. docs/ci.md describes the set-up.\n\nExample:\n  publish ci github --dry-run"
)]
pub(in crate::cli) enum Ci {
    /// Write workflows for GitHub Actions
    #[command(
        after_help = "It writes .github/workflows/publish-*.yml, publish.ci.yaml and publish.root.json, and nothing outside the checkout.\n\nExamples:\n  publish ci github --dry-run\n  publish ci github --build 'make dist' --from dist"
    )]
    Github(CiFiles),
    /// Write a pipeline for GitLab
    #[command(
        after_help = "It writes .gitlab/publish.gitlab-ci.yml, publish.ci.yaml and publish.root.json, and .gitlab-ci.yml if there is none. To an existing .gitlab-ci.yml, add the two lines that the command prints.\n\nExamples:\n  publish ci gitlab --dry-run\n  publish ci gitlab --build 'make dist' --from dist"
    )]
    Gitlab(CiFiles),
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct CiFiles {
    /// The top of the checkout that gets the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// The command that builds in a fresh checkout; it runs without secrets
    #[arg(long, value_name = "COMMAND", default_value = "make dist")]
    pub build: String,
    /// Where the build is then: <os>-<arch> directories, or what `platforms:` in the config names
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub from: String,
    /// The tar.gz with the program that jobs install [default: the variable PUBLISH_URL of the CI]
    #[arg(long, value_name = "URL", requires = "sha256")]
    pub url: Option<String>,
    /// Its SHA-256 [default: the variable PUBLISH_SHA256 of the CI]
    #[arg(long, value_name = "HEX", requires = "url")]
    pub sha256: Option<String>,
    /// Replace files that this command wrote and that differ
    #[arg(long)]
    pub force: bool,
}

/// `publish ci`.
pub(in crate::cli) fn run(global: &Global, arguments: &Ci, output: &Output) -> Result<Report> {
    let (forge, files) = match arguments {
        Ci::Github(files) => (Forge::GitHub, files),
        Ci::Gitlab(files) => (Forge::GitLab, files),
    };
    let request = request(global, forge, files)?;
    let plan = operation::plan(&request)?;
    if global.dry_run {
        let mut text = described(&plan);
        text.push_str(&format!("\n{}", nothing_written("write these files")));
        return Ok(Report::planned("ci", text, &plan).warnings(&plan.warnings));
    }
    output.plan((!plan.empty).then(|| listed(&plan)), &plan.warnings);
    operation::apply(&request, &plan)?;
    let mut text = if plan.empty { "All files are written already.\n".to_owned() } else { "The files are written.\n".to_owned() };
    steps(&mut text, &plan);
    Ok(Report::new("ci", text, json!({"dry_run": false, "plan": plan})))
}

fn request(global: &Global, forge: Forge, files: &CiFiles) -> Result<CiRequest> {
    let mut config = Config::read(&global.config)?;
    if files.directory != Path::new(".") {
        // The printed commands run in the checkout: paths from here would name nothing there.
        let base = std::path::absolute(config.base().join(".")).map_err(|error| Error::io("resolve", config.base().display(), error))?;
        config.start_from(&base);
    }
    let what = global.config.display();
    let text = read_given_text(&global.config, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the config", &what, error))?;
    let store = config.store();
    let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let settings = Settings {
        text,
        rewrite: Config::hosted,
        name: config.display_name(),
        location: location(global, &config)?,
        region: store.region.clone().or_else(|| ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(variable)),
        store,
        pinned_root: config.root(),
        channels: config.channels(),
        keys: config.key_uris()?,
        bin_keys: config.bin_keys()?,
        openpgp: config.openpgp()?,
        openpgp_certificate: config.openpgp_certificate(),
        passphrase_file: global.passphrase_file.clone().or_else(|| config.passphrase_file()),
        openpgp_passphrase_file: global.openpgp_passphrase_file.clone().or_else(|| config.openpgp_passphrase_file()),
    };
    let program = files.url.clone().zip(files.sha256.clone()).map(|(url, sha256)| Program { url, sha256 });
    Ok(CiRequest {
        forge,
        directory: files.directory.clone(),
        build: files.build.clone(),
        from: files.from.clone(),
        program,
        force: files.force,
        settings,
        now: Utc::now(),
    })
}

/// The files with what happens to each.
fn listed(plan: &CiPlan) -> String {
    let mut text = String::from("Files for CI\n\n");
    for file in &plan.files {
        let sign = match file.change {
            Change::Create => "+",
            Change::Replace => "~",
            Change::Keep => "=",
        };
        let _ = writeln!(text, "  {sign} {}", file.path);
    }
    text
}

/// What a person does then. Commands stand at the margin, so that they can be copied.
fn steps(text: &mut String, plan: &CiPlan) {
    text.push_str("\nNow set up the CI, once. The root key stays out of it. In the checkout:\n");
    for (at, step) in plan.setup.iter().enumerate() {
        let _ = writeln!(text, "\n# {}. {}", at + 1, step.what);
        step.lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
}

fn described(plan: &CiPlan) -> String {
    let mut text = listed(plan);
    steps(&mut text, plan);
    text
}
