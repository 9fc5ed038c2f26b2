//! `publish root`: the ceremony.

use crate::cli::arguments::{Global, a_version};
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::passphrases::Sources;
use crate::cli::publisher::open;
use crate::cli::text::{confirm as ask, confirm_loss, count};
use crate::config::Config;
use crate::error::Error;
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::{self, KeyUri, RoleSigner};
use crate::metadata::{PublicKey, ROOT_LIMIT, Role, parse_moment};
use crate::operation::Publisher;
use crate::operation::root::commit::{self, CommitRequest};
use crate::operation::root::rollback::{BackTo, Rollback};
use crate::operation::root::{
    self as operation, Review, RootReport, RootRequest, SignedRoots, TrustedRoots, VouchedBy, describe_label, waiting_line,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Change keys, thresholds and expiry in the next root
#[derive(Clone, Debug, Subcommand)]
#[command(
    after_help = "The next root is a draft, one file. People sign it on their own machines, also without a network, with `publish root sign`; `publish root merge` combines the signatures, in any order. docs/ceremony.md is a script for the ceremony.\n\nExample:\n  publish root edit --threshold root=1"
)]
pub(in crate::cli) enum Root {
    /// Make or change the draft of the next root; nothing is published
    #[command(
        after_help = "A KEY is a file with a public key (PEM, or JSON as `publish key export` prints it), or a key URI. NAME is the name of its holder; the default is the file's name up to its first dot. WHEN is a date, a moment, or a span such as 365d.\n\nExamples:\n  publish root edit --expires 365d\n  publish root edit --add-key root:bob=keys/bob.pem --threshold root=2"
    )]
    Edit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// ROLE=KEY or ROLE:NAME=KEY: add a key to a role
        #[arg(long, value_name = "ROLE=KEY")]
        add_key: Vec<String>,
        /// ROLE=NAME or ROLE=KEY-ID: remove a key from a role
        #[arg(long, value_name = "ROLE=KEY")]
        remove_key: Vec<String>,
        /// ROLE=NUMBER: how many keys must sign a role
        #[arg(long, value_name = "ROLE=NUMBER")]
        threshold: Vec<String>,
        /// KEY-ID=NAME: name the holder of a key; names are not signed
        #[arg(long, value_name = "KEY=NAME")]
        name: Vec<String>,
        /// When the root expires [default: in a year]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Show the draft: its changes, signatures, and whether clients will accept it
    #[command(after_help = "Examples:\n  publish root show\n  publish root show --root keys/1.root.json")]
    Show {
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
    },
    /// Sign the draft, on any machine
    #[command(
        after_help = "The command shows the changes and asks before it signs; without a terminal, add --yes. It signs exactly what it showed: compare the SHA-256 with the other key holders. On a machine without the repository, the changes are relative to the root of --root, or the root that you signed last. If there is neither, it shows the whole next root with every key.\n\nExamples:\n  publish root sign --key keys/root.pem --yes\n  publish root sign --key keys/root.pem --root keys/1.root.json --yes"
    )]
    Sign {
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
        /// The key's URI or file [default: the config's]
        #[arg(long, value_name = "URI")]
        key: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Add the signatures from other copies of the draft, and nothing else
    #[command(after_help = "Example:\n  publish root merge root-draft.json")]
    Merge {
        /// The copies
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        draft: RootDraftFile,
        #[command(flatten)]
        known: KnownRoots,
    },
    /// Publish the draft when it has enough signatures, with the roles signed again
    #[command(
        after_help = "The command first checks that clients pinned to any published root accept the new root and the roles, today and after roots have expired. If the command is killed, run it again.\n\nAfter an attacker with stolen keys has published, --back-to restores the state of an earlier snapshot. Versions still rise; only if every key of targets, snapshot and timestamp is replaced, --reset-versions can lower them.\n\nExamples:\n  publish root commit --dry-run\n  publish root commit"
    )]
    Commit {
        #[command(flatten)]
        draft: RootDraftFile,
        /// Replace keys in one root, because the old ones were lost or stolen: clients can fail between two writes
        #[arg(long)]
        replace_now: bool,
        /// Restore the state of this snapshot version, the last that is known to be good
        #[arg(long, value_name = "SNAPSHOT", requires = "replace_now", value_parser = a_version())]
        back_to: Option<u64>,
        /// After an attacker raised the versions: continue above this version, the highest that you published for any role
        #[arg(long, value_name = "VERSION", requires = "back_to", value_parser = a_version())]
        reset_versions: Option<u64>,
        /// With --replace-now, confirm: the version of the new root, as in the plan
        #[arg(long, value_name = "VERSION", requires = "replace_now")]
        confirm: Option<String>,
    },
}

/// Which draft.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RootDraftFile {
    /// The draft's file [default: root-draft.json beside the config]
    #[arg(long, value_name = "FILE")]
    pub draft: Option<PathBuf>,
}

/// What to compare a draft with.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct KnownRoots {
    /// A root that you trust, to compare the draft with on a machine without the repository; if it is older than the draft's current root, also name the roots between them [default: the root that you signed last]
    #[arg(long, value_name = "FILE")]
    pub root: Vec<PathBuf>,
}

/// So many names of each kind are shown.
const SHOWN: usize = 20;

/// `publish root`.
pub(in crate::cli) fn run(global: &Global, arguments: &Root, output: &Output) -> Result<Report> {
    match arguments {
        Root::Edit { draft, add_key, remove_key, threshold, name, expires } => {
            let config = Config::read(&global.config)?;
            let publisher = open(global, &config, output)?;
            let mut request = RootRequest {
                expires: expires.as_deref().map(|text| parse_moment(text, publisher.now())).transpose()?,
                ..RootRequest::default()
            };
            for text in add_key {
                request.add.push(added(text, &publisher)?);
            }
            for text in remove_key {
                let (role, key) = split(text, "--remove-key ROLE=NAME-OR-KEY-ID")?;
                request.remove.push((role_of(role)?, key.to_owned()));
            }
            for text in threshold {
                let (role, number) = split(text, "--threshold ROLE=NUMBER")?;
                let number = number.parse().ok().filter(|number| *number > 0);
                let number = number.ok_or_else(|| Error::invalid(format!("the threshold in `{text}` is not a number from 1")))?;
                request.thresholds.push((role_of(role)?, number));
            }
            for text in name {
                let (key, name) = split(text, "--name KEY-ID=NAME")?;
                request.names.push((key.to_owned(), name.to_owned()));
            }
            let path = draft_of(draft, Some(&config));
            let report = operation::edit(&publisher, &path, &config.key_names(), &request, global.dry_run)?;
            let mut text = describe(&report);
            if report.voided > 0 {
                let _ = writeln!(text, "the draft was signed already; those signatures were for the earlier content and were removed");
            }
            text.push_str(&match (global.dry_run, report.problems.is_empty()) {
                (true, _) => nothing_written("write the draft"),
                (false, true) => "nothing is published; next: publish root sign\n".into(),
                (false, false) => {
                    "nothing is published; next: change the draft; it cannot be published because of the lines with X\n".into()
                }
            });
            Ok(Report::new("root", text, json!({"dry_run": global.dry_run, "root": report})).notes(&report.notes))
        }
        Root::Show { draft, known } => {
            let (config, publisher) = at_hand(global, draft, output)?;
            let review = Review::read(publisher.as_ref(), &trusted(known)?, &draft_of(draft, config.as_ref()))?;
            let root = json!({"root": review.report});
            Ok(Report::new("root", describe(&review.report), root).notes(&review.report.notes))
        }
        Root::Sign { draft, known, key, yes } => {
            let (config, publisher) = at_hand(global, draft, output)?;
            let review = Review::read(publisher.as_ref(), &trusted(known)?, &draft_of(draft, config.as_ref()))?;
            let shown = describe(&review.report);
            if global.dry_run {
                return Ok(Report::new("root", shown + &nothing_written("sign"), json!({"dry_run": true, "root": review.report}))
                    .notes(&review.report.notes));
            }
            review.check()?;
            if !yes {
                ask(&shown, "sign this root", "--yes", output)?;
            }
            let signers = signers(global, config.as_ref(), key)?;
            let report = review.sign(&signers)?;
            let mut text = if *yes { describe(&report) } else { String::new() };
            let done = if report.added == 0 { "it was signed with these keys already" } else { "signed" };
            let _ = writeln!(text, "{done}: {}", waiting_line(&report));
            let _ = writeln!(text, "what is signed: sha256 {}", report.sha256);
            let _ = writeln!(text, "{}", next_step(&report));
            Ok(Report::new("root", text, json!({"root": report})).notes(&report.notes))
        }
        Root::Merge { files, draft, known } => {
            let (config, publisher) = at_hand(global, draft, output)?;
            let report = operation::merge(publisher.as_ref(), &trusted(known)?, &draft_of(draft, config.as_ref()), files)?;
            let text = format!("{}{} new\n{}\n", describe(&report), count(report.added, "signature"), next_step(&report));
            Ok(Report::new("root", text, json!({"root": report})).notes(&report.notes))
        }
        Root::Commit { draft, replace_now, back_to, reset_versions, confirm } => {
            let config = Config::read(&global.config)?;
            let publisher = open(global, &config, output)?;
            let path = draft_of(draft, Some(&config));
            let back_to = back_to.map(|snapshot| BackTo { snapshot, reset_versions: *reset_versions });
            let prepared = commit::prepare(&publisher, &path, CommitRequest { replace_now: *replace_now, back_to })?;
            let plan = &prepared.plan;
            let (document, notes) = (json!(plan), plan.root.notes.clone());
            if plan.empty {
                let newest = plan.newest.filter(|newest| *newest != plan.root.to);
                let newer = newest.map_or(String::new(), |newest| format!(", and root {newest} after it; there is no draft"));
                let text = format!("root {} is published already{newer}; nothing to do\n", plan.root.to);
                return Ok(Report::new("root", text, json!({"dry_run": global.dry_run, "plan": document})).notes(&notes));
            }
            let mut text = describe(&plan.root);
            let to = plan.root.to;
            if !plan.resigned.is_empty() {
                let _ = writeln!(text, "  ~ signed again: {}", plan.resigned.join(", "));
            }
            if !plan.refused_meanwhile.is_empty() {
                let roles = plan.refused_meanwhile.join(", ");
                let _ = writeln!(
                    text,
                    "  ! {roles}: clients fail between the writing of the root and of the timestamp, which follow each other at once"
                );
            }
            if let Some(rollback) = &plan.rollback {
                describe_rollback(rollback, &mut text);
            }
            if global.dry_run {
                text.push_str(&nothing_written("publish"));
                return Ok(Report::planned("root", text, &document).notes(&notes));
            }
            output.plan(Some(std::mem::take(&mut text)), &[]);
            if *replace_now {
                confirm_loss(&to.to_string(), confirm.as_deref(), &format!("replace keys with root {to}"), output)?;
            }
            let committed = commit::carry_out(&publisher, prepared)?;
            if let Some(window) = committed.window_ms {
                let _ = writeln!(text, "clients failed for at most {window} ms");
            }
            let _ = writeln!(
                text,
                "root {to} is published (targets {}, snapshot {}, timestamp {})",
                committed.outcome.versions.targets, committed.outcome.versions.snapshot, committed.outcome.versions.timestamp
            );
            let report = Report::done("root", text, &document, &committed);
            Ok(report.notes(&notes).warnings(&committed.outcome.warnings))
        }
    }
}

/// The roots that the user trusts: those given, and those signed on this machine.
fn trusted(known: &KnownRoots) -> Result<TrustedRoots> {
    let mut given = Vec::new();
    for path in &known.root {
        let bytes = read_given(path, ROOT_LIMIT).map_err(|error| Error::io("read the root", path.display(), error))?;
        given.push((path.display().to_string(), bytes));
    }
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let signed = state.map(|state| SignedRoots { directory: state.join("publish/signed-roots") });
    Ok(TrustedRoots { given, signed })
}

/// The config and the publisher, where there are any: a draft can be looked at and signed without.
fn at_hand(global: &Global, draft: &RootDraftFile, output: &Output) -> Result<(Option<Config>, Option<Publisher>)> {
    if !global.config.exists() && draft_of(draft, None).exists() {
        return Ok((None, None));
    }
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    Ok((Some(config), Some(publisher)))
}

fn draft_of(draft: &RootDraftFile, config: Option<&Config>) -> PathBuf {
    draft.draft.clone().or_else(|| config.map(Config::root_draft)).unwrap_or_else(|| "root-draft.json".into())
}

/// The keys to sign with: those named, else those of the config.
fn signers(global: &Global, config: Option<&Config>, named: &[String]) -> Result<Vec<Arc<dyn RoleSigner>>> {
    let nothing = Config::parse("{}", "no config")?;
    let passphrases = Sources::new(global, config.unwrap_or(&nothing));
    let uris = match (named, config) {
        ([], Some(config)) => config.key_uris()?.remove(&Role::Root).unwrap_or_default(),
        ([], None) => {
            return Err(Error::invalid("no key is named, and there is no config that names one").hint("give it with --key").into());
        }
        (named, _) => named.iter().map(|text| KeyUri::parse(text, Path::new(""))).collect::<crate::error::Result<_>>()?,
    };
    uris.iter().map(|uri| Ok(keys::load(uri, &passphrases)?)).collect()
}

fn split<'t>(text: &'t str, form: &str) -> Result<(&'t str, &'t str)> {
    let wrong = || Error::invalid(format!("`{}` is not of the form {form}", text.escape_debug()));
    Ok(text.split_once('=').filter(|(role, rest)| !role.is_empty() && !rest.is_empty()).ok_or_else(wrong)?)
}

fn role_of(name: &str) -> Result<Role> {
    let unknown =
        || Error::invalid(format!("there is no role `{}`", name.escape_debug())).hint("roles: root, targets, snapshot, timestamp");
    Ok(Role::ALL.into_iter().find(|role| role.name() == name).ok_or_else(unknown)?)
}

/// `ROLE=KEY` or `ROLE:NAME=KEY`; a key is a public key's file, or a URI of the secret one.
fn added(text: &str, publisher: &Publisher) -> Result<(Role, PublicKey, Option<String>)> {
    let (role, key) = split(text, "--add-key ROLE=KEY or ROLE:NAME=KEY")?;
    let (role, name) = role.split_once(':').map_or((role, None), |(role, name)| (role, Some(name.to_owned())));
    let role = role_of(role)?;
    let uri = KeyUri::parse(key, Path::new(""))?;
    let stem =
        uri.path().and_then(Path::file_name).and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).map(str::to_owned);
    let public = match uri.path() {
        Some(path) => {
            let file = read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the key", path.display(), error))?;
            keys::read_public(&file, &path.display().to_string())?
        }
        None => None,
    };
    let public = match public {
        Some(public) => public,
        None => publisher.keyring().load(&uri)?.public().clone(),
    };
    Ok((role, public, name.or(stem)))
}

fn describe(report: &RootReport) -> String {
    let mut text = format!("root {} -> {} ({})\n", report.from, report.to, report.draft);
    if let Some(label) = &report.repository {
        let claim = if report.repository_is_claim { " (the draft says so; nothing confirms it)" } else { "" };
        let _ = writeln!(text, "  repository: {}{claim}", describe_label(label));
    }
    let _ = writeln!(text, "  present root: sha512 {}", report.present_sha512);
    let mark = if report.vouched_by == VouchedBy::Nothing { "!" } else { "=" };
    let _ = writeln!(text, "  {mark} present root: {}", report.vouched);
    let _ = writeln!(text, "  next root, as it is signed: sha256 {}", report.sha256);
    report.changes.iter().for_each(|change| text.push_str(&format!("  {change}\n")));
    report.lockouts.iter().for_each(|line| text.push_str(&format!("  ! {line}\n")));
    report.notes.iter().for_each(|line| text.push_str(&format!("  ! {line}\n")));
    report.problems.iter().for_each(|line| text.push_str(&format!("  X {line}\n")));
    let name = |id: &String| report.names.get(id).map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
    for quorum in &report.quorums {
        let _ = writeln!(text, "signatures of {} of the keys of root {} are needed", quorum.threshold, quorum.of);
        quorum.signed.iter().for_each(|id| text.push_str(&format!("  signed   {}\n", name(id))));
        quorum.missing.iter().for_each(|id| text.push_str(&format!("  missing  {}\n", name(id))));
    }
    report.surplus.iter().for_each(|id| {
        text.push_str(&format!("  ! a signature of {} is not valid: it is by an unknown key, or for another draft\n", name(id)))
    });
    let _ = writeln!(text, "{}", waiting_line(report));
    text
}

/// What is removed of an attacker's state, a few lines of each kind: all of it is in the JSON.
fn describe_rollback(back: &Rollback, text: &mut String) {
    let _ = writeln!(text, "  < the state of snapshot {} is signed again instead of what is published", back.snapshot);
    let highest = back.above.targets.max(back.above.snapshot).max(back.above.timestamp);
    let resets = if back.resets { ": versions are lowered, and clients accept that because the keys are replaced" } else { "" };
    let _ = writeln!(text, "  < new versions are above {highest}{resets}");
    if let Some(why) = &back.unread {
        let _ = writeln!(text, "  ! what is published now cannot be compared: {why}");
    }
    for (sign, names) in [
        ("- target", &back.removed),
        ("+ target", &back.restored),
        ("~ target", &back.changed),
        ("! content is gone, so left out:", &back.lost),
    ] {
        names.iter().take(SHOWN).for_each(|name| text.push_str(&format!("  {sign} {name}\n")));
        if names.len() > SHOWN {
            let _ = writeln!(text, "  {sign} … and {} more", names.len() - SHOWN);
        }
    }
}

fn next_step(report: &RootReport) -> String {
    if report.waiting.is_empty() {
        return "next: publish root commit, where the repository is published from".into();
    }
    format!("next: give {} to the other key holders; each runs: publish root sign --draft {} --key KEY", report.draft, report.draft)
}
