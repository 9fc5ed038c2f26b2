//! `publish rotate`.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report, nothing_written};
use crate::cli::publisher::open;
use crate::cli::text::count;
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::files::{GIVEN_FILE_LIMIT, read_given_text};
use crate::keys::{self, KeyUri, Use};
use crate::metadata::{KeyKind, Role};
use crate::openpgp::{Algorithm, generate, vouch};
use crate::operation::Publisher;
use crate::operation::change::carry_out;
use crate::operation::change::openpgp::{self as openpgp_operation, Resign};
use crate::operation::own_file;
use crate::operation::root::waiting_line;
use crate::operation::rotate::{self as operation, Places, Step};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

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
    if !arguments.finish {
        let (ended, goes_on) = begin(global, arguments, role, output, &mut text)?;
        steps.extend(ended);
        if !goes_on {
            return Ok(Report::new("rotate", text, json!({"dry_run": global.dry_run, "steps": steps})));
        }
    }
    steps.extend(finish(global, role, output, &mut text)?);
    Ok(Report::new("rotate", text, json!({"dry_run": global.dry_run, "steps": steps})))
}

/// The first root: the new key beside the old. Says whether the second follows at once.
fn begin(global: &Global, arguments: &Rotate, role: Role, output: &Output, text: &mut String) -> Result<(Option<Step>, bool)> {
    let mut config = Config::read(&global.config)?;
    let (draft, names) = (config.root_draft(), config.key_names());
    let places = Places { draft: &draft, names: &names };
    let publisher = open(global, &config, output)?;
    if !global.dry_run {
        complete_key_files(&config, role)?;
    }
    let draft = operation::draft_of(&publisher, places, role)?;
    let resumed = !global.dry_run && operation::resume(&publisher, draft)?;
    let standing = operation::standing(&publisher, role)?;
    if standing.only_config_is_behind() && !global.dry_run {
        return Ok((Some(drop_from_config(global, &config, &publisher, role, &standing, text)?), false));
    }
    let both = standing.known.len() > 1 && standing.known.iter().all(|known| *known);
    let makes = standing.known.iter().all(|known| *known);
    if both && resumed {
        let root = standing.root;
        let step = Step::Done { root, outcome: operation::published(&publisher)? };
        tell(&step, text, || next_after(role, arguments.now));
        return Ok((Some(step), arguments.now));
    }
    let of_this_rotation = arguments.key.as_ref().is_none_or(|key| config.key_texts(role).contains(key));
    if both && arguments.now && of_this_rotation {
        // A run with --now was killed between its two roots.
        return Ok((None, true));
    }
    if both && of_this_rotation {
        return Err(Error::new(
            Kind::Conflict,
            format!("the root has all keys of {role} that are configured here: the first half of a rotation is done"),
        )
        .hint(format!("once every publisher has the new key: publish rotate {role} --finish"))
        .into());
    }
    let mut listed = config.key_texts(role);
    let new = match &arguments.key {
        Some(key) => key.clone(),
        None if makes => next_file(&listed, role, &config),
        None => listed.last().cloned().unwrap_or_default(),
    };
    let to = standing.root + 1;
    let _ = writeln!(text, "rotating the key of {role}:");
    let _ = writeln!(text, "  1. {new} signs {role} beside {}; {} names both", listed.join(", "), global.config.display());
    let _ = writeln!(text, "  2. root {to} adds it, and both keys sign the roles");
    let _ = writeln!(text, "  3. every other publisher and worker gets the new key, beside the old one");
    let _ = writeln!(text, "  4. publish rotate {role} --finish: root {} drops the old key", to + 1);
    if global.dry_run {
        text.push_str(&nothing_written("rotate the key"));
        return Ok((None, false));
    }
    if makes {
        // Not with a key that cannot be opened, and not with one that is there already.
        if !listed.contains(&new) {
            listed.push(new.clone());
        }
        let uri = KeyUri::parse(&new, config.base())?;
        // The file has its name once the config names it: a killed run leaves no key that the next one does not know of.
        let made = uri.path().filter(|path| !path.exists());
        if let Some(path) = made {
            let passphrase = if arguments.no_passphrase { None } else { Some(publisher.keyring().passphrases.choose(Use::Roles)?) };
            let unnamed = unnamed(path);
            let _ = std::fs::remove_file(&unnamed);
            keys::create(&unnamed, KeyKind::Ed25519, passphrase.as_ref())?;
        } else {
            publisher.keyring().load(&uri)?;
        }
        rewrite(&global.config, role, &listed)?;
        if let Some(path) = made {
            name_key_file(path)?;
            publisher.keyring().load(&uri)?;
            let _ = writeln!(text, "made {}", path.display());
        }
        config = Config::read(&global.config)?;
    }
    // No passphrase is requested again.
    let passphrases = publisher.into_passphrases();
    let publisher = open(global, &config, output)?.with_keys(|keyring| keyring.passphrases = passphrases);
    let step = operation::add(&publisher, places, role)?;
    tell(&step, text, || next_after(role, arguments.now));
    let goes_on = arguments.now && matches!(step, Step::Done { .. });
    Ok((Some(step), goes_on))
}

/// A new key's file before the config names it.
fn unnamed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Gives a new key's file its name.
fn name_key_file(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = std::fs::rename(unnamed(path), path).and_then(|()| std::fs::File::open(directory)?.sync_all());
    Ok(named.map_err(|error| Error::io("name the key file", path.display(), error))?)
}

/// Names the key files that a run killed in between left unnamed, and removes those that the config does not name.
fn complete_key_files(config: &Config, role: Role) -> Result<()> {
    let listed = config.key_texts(role);
    for text in &listed {
        let uri = KeyUri::parse(text, config.base())?;
        if let Some(path) = uri.path().filter(|path| !path.exists() && unnamed(path).exists()) {
            name_key_file(path)?;
        }
    }
    let next = KeyUri::parse(&next_file(&listed, role, config), config.base())?;
    if let Some(path) = next.path() {
        let _ = std::fs::remove_file(unnamed(path));
    }
    Ok(())
}

/// Takes keys that the root has dropped out of the config: an earlier run ended before it did.
fn drop_from_config(
    global: &Global,
    config: &Config,
    publisher: &Publisher,
    role: Role,
    standing: &operation::Standing,
    text: &mut String,
) -> Result<Step> {
    let kept: Vec<String> =
        config.key_texts(role).into_iter().zip(&standing.known).filter(|(_, known)| **known).map(|(text, _)| text).collect();
    rewrite(&global.config, role, &kept)?;
    let step = Step::Done { root: standing.root, outcome: operation::published(publisher)? };
    tell(&step, text, || "the old key is not used any more; delete every copy of it".into());
    Ok(step)
}

fn next_after(role: Role, now: bool) -> String {
    if now {
        return "--now: the second half follows".into();
    }
    format!("next: copy the new key to every other publisher and worker, beside the old one; then publish rotate {role} --finish")
}

/// The second root drops the oldest of the configured keys.
fn finish(global: &Global, role: Role, output: &Output, text: &mut String) -> Result<Option<Step>> {
    let config = Config::read(&global.config)?;
    let (draft, names) = (config.root_draft(), config.key_names());
    let places = Places { draft: &draft, names: &names };
    let publisher = open(global, &config, output)?;
    let draft = operation::draft_of(&publisher, places, role)?;
    if !global.dry_run {
        operation::resume(&publisher, draft)?;
    }
    let standing = operation::standing(&publisher, role)?;
    let mut listed = config.key_texts(role);
    if standing.only_config_is_behind() && !global.dry_run {
        return Ok(Some(drop_from_config(global, &config, &publisher, role, &standing, text)?));
    }
    let (Some(old), true) = (standing.configured.first(), standing.known.iter().filter(|known| **known).count() > 1) else {
        return Err(Error::new(
            Kind::Conflict,
            format!("there is no rotation of {role} to finish: the root has one key that is configured here"),
        )
        .details(standing.elsewhere.iter().map(|id| format!("another key of {role}: {id}")))
        .hint(format!("begin one with `publish rotate {role}`"))
        .into());
    };
    let old = old.public().clone();
    let gone = listed.first().cloned().unwrap_or_default();
    let _ = writeln!(text, "root {} drops {gone} from the keys of {role}", standing.root + 1);
    if global.dry_run {
        text.push_str(&nothing_written("publish"));
        return Ok(None);
    }
    let step = operation::drop_key(&publisher, places, role, &old)?;
    if let Step::Done { .. } = &step {
        listed.remove(0);
        rewrite(&global.config, role, &listed)?;
    }
    tell(&step, text, || format!("the old key is not used any more; delete {gone} and every copy of it"));
    Ok(Some(step))
}

fn tell(step: &Step, text: &mut String, next: impl Fn() -> String) {
    match step {
        Step::Done { root, .. } => {
            let _ = writeln!(text, "root {root} is published\n{}", next());
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

/// A file that does not exist, named after the role.
fn next_file(listed: &[String], role: Role, config: &Config) -> String {
    let directory =
        listed.iter().find_map(|text| text.strip_prefix("file:").and_then(|path| Path::new(path).parent()?.to_str().map(str::to_owned)));
    let directory = directory.unwrap_or_else(|| "keys".into());
    (2..)
        .map(|number| format!("file:{directory}/{role}-{number}.pem"))
        .find(|text| KeyUri::parse(text, config.base()).is_ok_and(|uri| uri.path().is_some_and(|path| !path.exists())))
        .unwrap_or_default()
}

/// Writes the role's keys into the config, all else as it was.
fn rewrite(path: &Path, role: Role, keys: &[String]) -> Result<()> {
    let text = read_given_text(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read the config", path.display(), error))?;
    let new = Config::with_keys(&text, role, keys).ok_or_else(|| {
        Error::invalid(format!("`keys` in {} has a form that this command cannot rewrite; nothing was changed", path.display()))
            .hint(format!("add this line below `keys:` in the config: {role}: [{}]", keys.join(", ")))
    })?;
    Ok(own_file::replace(path, new.as_bytes())?)
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
    let failed = |error| Error::io("read the config", global.config.display(), error);
    let before = read_given_text(&global.config, GIVEN_FILE_LIMIT).map_err(failed)?;
    let after = Config::with_openpgp(&before, &new_text).ok_or_else(|| {
        Error::invalid(format!("`openpgp` in {} has a form that this command cannot rewrite", global.config.display()))
            .hint(format!("write this line into the config: openpgp: {new_text}"))
    })?;
    own_file::replace(&global.config, after.as_bytes())?;
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
