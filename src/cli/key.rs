//! `publish key`: the key files that processes sign requests with.

use super::arguments::{Global, Key};
use super::output::Report;
use super::passphrases::Sources;
use crate::config::Config;
use crate::failure::Failure;
use crate::keys::{self, KeyUri, Passphrases, Use};
use anyhow::Result;
use serde_json::json;

/// `publish key`.
pub(super) fn run(global: &Global, arguments: &Key) -> Result<Report> {
    // No config: these keys belong to a machine, not to a repository.
    let passphrases = Sources::new(global, &Config::parse("{}", "no config")?);
    let (file, verb) = match arguments {
        Key::New { file, no_passphrase } => {
            if file.exists() {
                return Err(Failure::invalid(format!("{} exists already", file.display()))
                    .hint("choose another name, or see it with `publish key show`")
                    .into());
            }
            if global.dry_run {
                return Ok(Report::new("key", format!("plan only: {} would be made\n", file.display()), json!({"dry_run": true})));
            }
            let passphrase = if *no_passphrase { None } else { Some(passphrases.choose(Use::Roles)?) };
            keys::create(file, passphrase.as_ref())?;
            (file, "made")
        }
        Key::Show { file } => (file, "read"),
    };
    let signer = keys::load(&KeyUri::File(file.clone()), &passphrases)?;
    let public = signer.public();
    let hex = public.to_json()["keyval"]["public"].as_str().unwrap_or_default().to_owned();
    let text = format!("{verb}:   {}\nkey id: {}\npublic: {hex}\n", file.display(), public.id());
    Ok(Report::new("key", text, json!({"file": file.display().to_string(), "key_id": public.id(), "public": hex})))
}
