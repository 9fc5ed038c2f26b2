//! `publish verify`.

use crate::cli::arguments::Global;
use crate::cli::exit;
use crate::cli::output::{Output, Report, one_line};
use crate::cli::progress::Shown;
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::operation::read_pinned_root;
use crate::operation::verify::{Anchor, SecondOpinion, Severity, VerifyReport, VerifyRequest, verify};
use crate::storage::{self, HttpSource, Location, Source};
use anyhow::Result;
use chrono::Utc;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Verify a repository as a new client would
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "With --quiet, a repository without errors and warnings prints nothing.\n\nExamples:\n  publish verify\n  publish verify repo --root keys/1.root.json"
)]
pub(in crate::cli) struct Verify {
    /// A directory, http(s) URL or bucket [default: the configured repository]
    pub location: Option<String>,
    /// The root that is trusted
    #[arg(long, value_name = "FILE", conflicts_with = "root_sha512")]
    pub root: Option<PathBuf>,
    /// The SHA-512 of the first root that is trusted, as given to `trdl add`
    #[arg(long, value_name = "HEX")]
    pub root_sha512: Option<String>,
    /// Check metadata only: another server serves the files
    #[arg(long)]
    pub metadata_only: bool,
    /// Another OpenPGP certificate to verify signatures with
    #[arg(long, value_name = "FILE")]
    pub openpgp_certificate: Vec<PathBuf>,
}

/// `publish verify`.
pub(in crate::cli) fn run(global: &Global, arguments: &Verify, output: &Output) -> Result<Report> {
    let read = |path: &Path| read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", path.display(), error));
    let given = arguments.location.as_ref().or(global.repo.as_ref());
    let configured = if given.is_none() { Some(Config::read(&global.config)?) } else { None };
    // A repository that is named on the command line may still be the one that a config here describes.
    let here = configured.clone().or_else(|| Config::read(&global.config).ok());
    let source: Box<dyn Source> = match (given, &configured) {
        (Some(url), _) if url.starts_with("http://") || url.starts_with("https://") => Box::new(HttpSource::new(url)?),
        (Some(text), _) => storage::open(&Location::parse(text, Path::new(""))?, &here.as_ref().map(Config::store).unwrap_or_default())?,
        (None, Some(config)) => storage::open(&config.location()?, &config.store())?,
        (None, None) => return Err(Error::invalid("no repository is named").into()),
    };
    let anchor = match (&arguments.root, &arguments.root_sha512, &configured) {
        (Some(path), _, _) => Anchor::File(read(path)?),
        (None, Some(digest), _) => Anchor::Sha512(digest.clone()),
        (None, None, Some(config)) => Anchor::File(read_pinned_root(&config.root())?),
        (None, None, None) => Anchor::FirstUse,
    };
    let certificates =
        arguments.openpgp_certificate.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect::<Result<_>>()?;
    let progress = Shown::new(global, output);
    let report = verify(&VerifyRequest {
        source: source.as_ref(),
        anchor,
        certificates,
        now: Utc::now(),
        lifetimes: here.as_ref().map(|config| config.lifetimes()).unwrap_or_default(),
        progress: &progress,
        metadata_only: arguments.metadata_only,
    })?;
    drop(progress);
    let code = if report.is_good() { 0 } else { exit::code_of(Kind::Untrusted) };
    // With --quiet, a job that checks every night prints nothing while all is well.
    let unremarkable = report.findings.iter().all(|finding| finding.severity == Severity::Note);
    let text = if output.is_silent() && report.is_good() && unremarkable { String::new() } else { describe(&report) };
    Ok(Report::new("verify", text, json!({"good": report.is_good(), "report": report})).exit(code))
}

fn describe(report: &VerifyReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let (subject, message) = (one_line(&finding.subject), one_line(&finding.message));
        let _ = writeln!(text, "{}: {subject}: {message}\n  {}", finding.severity, one_line(&finding.advice));
    }
    if !report.findings.is_empty() {
        text.push('\n');
    }
    let versions = &report.versions;
    let _ = writeln!(
        text,
        "{}: root {}, targets {}, snapshot {}, timestamp {}",
        report.location, versions.root, versions.targets, versions.snapshot, versions.timestamp
    );
    let _ = writeln!(
        text,
        "{} and {} checked, {} read",
        count(report.targets, "target"),
        count(report.signatures, "OpenPGP signature"),
        size(report.bytes)
    );
    if report.elsewhere > 0 {
        let _ = writeln!(text, "{} served elsewhere: only their entries were checked", count(report.elsewhere, "target"));
    }
    let _ = match &report.second_opinion {
        SecondOpinion::Agrees => writeln!(text, "the tuf crate's client agrees"),
        SecondOpinion::CannotRead { reason } => writeln!(text, "the tuf crate's client was not run: it cannot read {reason}"),
        SecondOpinion::NotAsked => writeln!(text, "the tuf crate's client was not run"),
        SecondOpinion::Disagrees { reason } => writeln!(text, "the tuf crate's client disagrees: {reason}"),
    };
    let number = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let verdict = if report.is_good() { "good" } else { "FAILED" };
    let _ = writeln!(
        text,
        "{verdict}: {}, {}, {}",
        count(number(Severity::Error), "error"),
        count(number(Severity::Warning), "warning"),
        count(number(Severity::Note), "note")
    );
    text
}
