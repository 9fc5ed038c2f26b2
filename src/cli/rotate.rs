//! `publish rotate`: the steps, the new key's file and the config around `operation::rotate`.

use super::arguments::{Global, Rotate, Rotated};
use super::output::{Output, Report};
use super::workspace::open;
use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::keys::{self, KeyUri, Use};
use crate::metadata::{KeyKind, Role};
use crate::operation::root::waiting_line;
use crate::operation::rotate::{self as operation, Places, Step};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// `publish rotate`.
pub(super) fn run(global: &Global, arguments: &Rotate, output: &Output) -> Result<Report> {
    let role = match arguments.what {
        Rotated::Targets => Role::Targets,
        Rotated::Snapshot => Role::Snapshot,
        Rotated::Timestamp => Role::Timestamp,
    };
    let mut text = String::new();
    let mut steps = Vec::new();
    if !arguments.finish {
        let ended = begin(global, arguments, role, output, &mut text)?;
        let goes_on = matches!(ended, Some(Step::Done { .. })) && arguments.now;
        steps.extend(ended);
        if !goes_on {
            return Ok(Report::new("rotate", text, json!({"dry_run": global.dry_run, "steps": steps})));
        }
    }
    steps.extend(finish(global, role, output, &mut text)?);
    Ok(Report::new("rotate", text, json!({"dry_run": global.dry_run, "steps": steps})))
}

/// The first root: the new key beside the old.
fn begin(global: &Global, arguments: &Rotate, role: Role, output: &Output, text: &mut String) -> Result<Option<Step>> {
    let mut config = Config::read(&global.config)?;
    let (draft, names) = (config.root_draft(), config.key_names());
    let places = Places { draft: &draft, names: &names };
    let workspace = open(global, &config, output)?;
    let resumed = !global.dry_run && operation::resume(&workspace, places)?;
    let standing = operation::standing(&workspace, role)?;
    let both = standing.known.len() > 1 && standing.known.iter().all(|known| *known);
    let makes = standing.known.iter().all(|known| *known);
    if both && resumed {
        let root = standing.root;
        let step = Step::Done { root, outcome: operation::published(&workspace)? };
        tell(&step, text, || next_after(role));
        return Ok(Some(step));
    }
    if both && arguments.key.is_none() {
        return Err(Failure::new(
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
    let _ = writeln!(text, "  2. root {to} adds it, and the roles are signed by both");
    let _ = writeln!(text, "  3. every other publisher and worker gets the new key, beside the old one");
    let _ = writeln!(text, "  4. publish rotate {role} --finish: root {} drops the old key", to + 1);
    if global.dry_run {
        text.push_str("plan only: nothing was made or published\n");
        return Ok(None);
    }
    if makes {
        // Not with a key that cannot be opened, and not with one that is there already.
        if !listed.contains(&new) {
            listed.push(new.clone());
        }
        let uri = KeyUri::parse(&new, config.base())?;
        if let Some(path) = uri.path().filter(|path| !path.exists()) {
            let passphrase = if arguments.no_passphrase { None } else { Some(workspace.passphrases.choose(Use::Roles)?) };
            keys::create(path, KeyKind::Ed25519, passphrase.as_ref())?;
            let _ = writeln!(text, "made {}", path.display());
        }
        keys::load(&uri, workspace.passphrases.as_ref())?;
        rewrite(&global.config, role, &listed)?;
        config = Config::read(&global.config)?;
    }
    let workspace = open(global, &config, output)?;
    let step = operation::add(&workspace, places, role)?;
    tell(&step, text, || next_after(role));
    Ok(Some(step))
}

fn next_after(role: Role) -> String {
    format!("next: copy the new key to every other publisher and worker, beside the old one; then publish rotate {role} --finish")
}

/// The second root: the oldest of the configured keys goes.
fn finish(global: &Global, role: Role, output: &Output, text: &mut String) -> Result<Option<Step>> {
    let config = Config::read(&global.config)?;
    let (draft, names) = (config.root_draft(), config.key_names());
    let places = Places { draft: &draft, names: &names };
    let workspace = open(global, &config, output)?;
    let resumed = !global.dry_run && operation::resume(&workspace, places)?;
    let standing = operation::standing(&workspace, role)?;
    let mut listed = config.key_texts(role);
    if resumed && standing.known.contains(&false) && standing.known.contains(&true) {
        // The root had dropped them when an earlier run ended; the config had not.
        let kept: Vec<String> = listed.iter().zip(&standing.known).filter(|(_, known)| **known).map(|(text, _)| text.clone()).collect();
        rewrite(&global.config, role, &kept)?;
        let step = Step::Done { root: standing.root, outcome: operation::published(&workspace)? };
        tell(&step, text, || "the old key is of no use any more; delete it wherever it lies".into());
        return Ok(Some(step));
    }
    let (Some(old), true) = (standing.configured.first(), standing.known.iter().filter(|known| **known).count() > 1) else {
        return Err(Failure::new(
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
        text.push_str("plan only: nothing was published\n");
        return Ok(None);
    }
    let step = operation::drop_key(&workspace, places, role, &old)?;
    if let Step::Done { .. } = &step {
        listed.remove(0);
        rewrite(&global.config, role, &listed)?;
        // What the old key signed alone must not be needed again.
        let workspace = open(global, &Config::read(&global.config)?, output)?;
        if role == Role::Targets {
            operation::bins_follow(&workspace)?;
        }
    }
    tell(&step, text, || format!("the old key is of no use any more; delete {gone} wherever it lies"));
    Ok(Some(step))
}

fn tell(step: &Step, text: &mut String, next: impl Fn() -> String) {
    match step {
        Step::Done { root, .. } => {
            let _ = writeln!(text, "root {root} is published\n{}", next());
        }
        Step::Waiting { root } => {
            let _ = writeln!(text, "root {} is a draft in {}: {}", root.to, root.draft, waiting_line(root));
            let _ = writeln!(text, "next: have it signed (publish root sign --draft {} --key KEY), then publish root commit", root.draft);
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
    let failed = |error| Failure::io("write the config", path.display(), error);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let new = Config::with_keys(&text, role, keys).ok_or_else(|| {
        Failure::invalid(format!("the keys in {} stand in a form that is not rewritten here; nothing was changed", path.display()))
            .hint(format!("write below `keys:` yourself: {role}: [{}]", keys.join(", ")))
    })?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, new).and_then(|()| std::fs::rename(&temporary, path)).map_err(failed)?;
    Ok(())
}
