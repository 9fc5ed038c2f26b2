//! `publish rotate`.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::publisher::open;
use crate::cli::text::count;
use crate::config::{Config, ConfigFile};
use crate::error::Error;
use crate::keys::{self, KeyUri, Use};
use crate::metadata::Role;
use crate::openpgp::{Algorithm, generate, vouch};
use crate::operation::change::carry_out;
use crate::operation::change::openpgp::{self as openpgp_operation, Resign};
use crate::operation::root::rotate::{Places, Step};
use crate::operation::root::rotation::{Beginning, FirstHalf, Rotation, SecondHalf};
use crate::operation::root::waiting_line;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fmt::Write;

/// Replace the key of an online role, or the OpenPGP key
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Two roots replace the key of a role, so that clients of any age can follow. The first adds the new key beside the old one, and the role is signed by both. When every publisher and worker has the new key, --finish drops the old one with the second root. Roots that other people must sign too are left as drafts. An OpenPGP key is replaced in one commit: its certificate stays published, and the old key certifies the new one. For a lost or stolen key see docs/recovery.md.\n\nExamples:\n  publish rotate snapshot --no-passphrase --dry-run\n  publish rotate snapshot --no-passphrase\n  publish rotate snapshot --finish\n  publish rotate openpgp --no-passphrase --resign all"
)]
pub(in crate::cli) struct Rotate {
    /// The key to replace
    #[arg(value_enum)]
    pub what: Rotated,
    /// The new key's URI [default: a new file beside the old one]
    #[arg(long, value_name = "URI", conflicts_with = "finish")]
    pub key: Option<String>,
    /// Do not encrypt a new key file
    #[arg(long)]
    pub no_passphrase: bool,
    /// Drop the old key, when every publisher and worker has the new one
    #[arg(long)]
    pub finish: bool,
    /// Make both roots in one run, if there is no other publisher
    #[arg(long, conflicts_with = "finish")]
    pub now: bool,
    /// With openpgp: sign this release again with the new key; `all` for every signature
    #[arg(long, value_name = "VERSION", conflicts_with = "finish")]
    pub resign: Vec<String>,
    /// With openpgp: do not certify the new key with the old one, which is lost or stolen
    #[arg(long, conflicts_with = "finish")]
    pub without_old: bool,
}

/// What can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Rotated {
    /// The key of the targets role, and of hashed bins that it signs
    Targets,
    /// The key of the snapshot
    Snapshot,
    /// The key of the timestamp
    Timestamp,
    /// The OpenPGP key that signs artifacts
    Openpgp,
}

/// `publish rotate`.
pub(in crate::cli) fn run(global: &Global, arguments: &Rotate, output: &Output) -> Result<Report> {
    let role = match arguments.what {
        Rotated::Targets => Role::Targets,
        Rotated::Snapshot => Role::Snapshot,
        Rotated::Timestamp => Role::Timestamp,
        Rotated::Openpgp => return openpgp(global, arguments, output),
    };
    if !arguments.resign.is_empty() || arguments.without_old {
        return Err(Error::invalid("--resign and --without-old are about the OpenPGP key").hint("publish rotate openpgp").into());
    }
    let mut text = String::new();
    let mut steps = Vec::new();
    let mut goes_on = true;
    if !arguments.finish {
        let file = ConfigFile::read(&global.config)?;
        let beginning = Beginning { key: arguments.key.clone(), encrypt: !arguments.no_passphrase, now: arguments.now };
        let (draft, names) = (file.config.root_draft(), file.config.key_names());
        let rotation = Rotation { role, places: Places { draft: &draft, names: &names }, config: &file, dry_run: global.dry_run };
        let half = rotation.begin(open(global, &file.config, output)?, &beginning)?;
        describe_first(&half, global, role, arguments.now, &mut text);
        goes_on = half.goes_on;
        steps.extend(half.step);
    }
    if goes_on {
        let file = ConfigFile::read(&global.config)?;
        let (draft, names) = (file.config.root_draft(), file.config.key_names());
        let rotation = Rotation { role, places: Places { draft: &draft, names: &names }, config: &file, dry_run: global.dry_run };
        let half = rotation.finish(&open(global, &file.config, output)?)?;
        describe_second(&half, role, &mut text);
        steps.extend(half.step);
    }
    Ok(Report::new("rotate", text, json!({"dry_run": global.dry_run, "steps": steps})))
}

fn describe_first(half: &FirstHalf, global: &Global, role: Role, now: bool, text: &mut String) {
    if let Some(plan) = &half.plan {
        let (new, root) = (&plan.new, plan.root);
        let _ = writeln!(text, "rotating the key of {role}:");
        let _ = writeln!(text, "  1. {new} signs {role} beside {}; {} names both", plan.old.join(", "), global.config.display());
        let _ = writeln!(text, "  2. root {root} adds it, and both keys sign the roles");
        let _ = writeln!(text, "  3. every other publisher and worker gets the new key, beside the old one");
        let _ = writeln!(text, "  4. publish rotate {role} --finish: root {} drops the old key", root + 1);
        if global.dry_run {
            text.push_str(&nothing_written("rotate the key"));
        }
    }
    if let Some(path) = &half.made {
        let _ = writeln!(text, "made {}", path.display());
    }
    let next = match half.only_config {
        true => "the old key is not used any more; delete every copy of it".to_owned(),
        false if now => "--now: the second half follows".to_owned(),
        false => {
            format!("next: copy the new key to every other publisher and worker, beside the old one; then publish rotate {role} --finish")
        }
    };
    half.step.iter().for_each(|step| describe_step(step, text, &next));
}

fn describe_second(half: &SecondHalf, role: Role, text: &mut String) {
    let mut next = "the old key is not used any more; delete every copy of it".to_owned();
    if let Some(dropped) = &half.dropped {
        let _ = writeln!(text, "root {} drops {dropped} from the keys of {role}", half.root);
        next = format!("the old key is not used any more; delete {dropped} and every copy of it");
    }
    match &half.step {
        Some(step) => describe_step(step, text, &next),
        None => text.push_str(&nothing_written("publish")),
    }
}

fn describe_step(step: &Step, text: &mut String, next: &str) {
    match step {
        Step::Done { root, .. } => {
            let _ = writeln!(text, "root {root} is published\n{}", next);
        }
        Step::Waiting { root } => {
            let _ = writeln!(text, "root {} is a draft in {}: {}", root.to, root.draft, waiting_line(root));
            let _ = writeln!(
                text,
                "next: the key holders sign it (publish root sign --draft {} --key KEY), then: publish root commit",
                root.draft
            );
        }
    }
}

/// Another OpenPGP key: made or named, certified by the old one, published with what is signed anew, and only then
/// written into the config.
fn openpgp(global: &Global, arguments: &Rotate, output: &Output) -> Result<Report> {
    if arguments.finish {
        return Err(Error::invalid("an OpenPGP key is rotated in one step: there is nothing to finish").into());
    }
    let config = Config::read(&global.config)?;
    let old_text = config.openpgp_text().to_owned();
    let new_text = arguments.key.clone().unwrap_or_else(|| next_openpgp(&config));
    let uri = KeyUri::parse(&new_text, config.base())?;
    let publisher = open(global, &config, output)?;
    let resign = match arguments.resign.as_slice() {
        [all] if all == "all" => Resign::All,
        versions => Resign::Versions(versions.iter().map(|version| version.trim_start_matches('v').to_owned()).collect()),
    };
    if let Some(path) = uri.path().filter(|path| path.exists()) {
        super::init::check_key(path)?;
    }
    // Before a key is made that would have nothing to do.
    let prepared = openpgp_operation::prepare(&publisher, &resign)?;
    let resigned = prepared.plan.resigned.len();
    let mut text = format!("rotating the OpenPGP key: {new_text} instead of {old_text}\n");
    if global.dry_run {
        let _ = writeln!(text, "  {} is to be made", count(resigned, "signature"));
        text.push_str(&nothing_written("rotate the key"));
        return Ok(Report::planned("rotate", text, &prepared.plan));
    }
    let old = if arguments.without_old {
        None
    } else {
        let hint = "if it is lost or stolen: publish rotate openpgp --without-old, and publish its revocation where your users look";
        Some(publisher.openpgp_key().map_err(|failure| failure.hint(hint))?)
    };
    let now = publisher.now();
    if let Some(path) = uri.path() {
        if !path.exists() {
            let passphrase = if arguments.no_passphrase { None } else { Some(publisher.keyring().passphrases.choose(Use::OpenPgp)?) };
            let user_id = format!("{} releases", config.display_name());
            let made = generate(Algorithm::Ed25519, &user_id, passphrase.as_ref().map(keys::Secret::expose), now)?;
            let revocation = openpgp_operation::keep_openpgp(path, &made)?;
            let _ = writeln!(text, "made {} and {}: keep the second on another machine", path.display(), revocation.display());
        }
        if let Some(old) = &old {
            match vouch(old, &keys::read_secret(&uri)?, &path.display().to_string(), now)? {
                Some(vouched) => keys::replace_private(path, &vouched)?,
                None => text.push_str("the old key cannot certify other keys: the new key is not certified by it\n"),
            }
        }
    }
    let publisher = publisher.with_keys(|keyring| keyring.openpgp = uri);
    let key = publisher.openpgp_key()?;
    let fingerprint = key.fingerprint();
    let outcome = carry_out(&publisher, prepared.by(key))?;
    ConfigFile::read(&global.config)?.set_openpgp(&new_text)?;
    let _ = writeln!(
        text,
        "certificate {fingerprint} is published{}",
        if resigned > 0 { format!(", and {resigned} signatures by it") } else { String::new() }
    );
    text.push_str(
        "the old certificate stays published for what its key signed; every other publisher gets the new key and the config's line\n",
    );
    Ok(Report::new("rotate", text, json!({"dry_run": false, "fingerprint": fingerprint, "resigned": resigned, "result": outcome}))
        .warnings(&outcome.warnings))
}

/// The file after the present one; one that a killed run has made already is used.
fn next_openpgp(config: &Config) -> String {
    let number = |text: &str| text.strip_suffix(".asc")?.rsplit_once("openpgp-")?.1.parse::<usize>().ok();
    format!("file:keys/openpgp-{}.asc", number(config.openpgp_text()).unwrap_or(1) + 1)
}
