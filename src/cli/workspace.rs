use super::arguments::Global;
use super::output::Output;
use super::passphrases::Sources;
use super::progress::Shown;
use crate::config::Config;
use crate::failure::Result;
use crate::operation::Workspace;
use crate::storage::LocalDirectory;
use chrono::Utc;
use std::path::Path;

/// What the flags, variables and config come to.
pub(super) fn open(global: &Global, config: &Config, output: &Output) -> Result<Workspace> {
    let repository = match &global.repo {
        Some(location) => Config::directory(location, Path::new(""))?,
        None => config.repository()?,
    };
    Ok(Workspace {
        storage: Box::new(LocalDirectory::new(repository)),
        pinned_root: config.root(),
        keys: config.key_uris()?,
        openpgp: config.openpgp()?,
        passphrases: Box::new(Sources::new(global, config)),
        state_file: config.state(),
        plain_names: config.plain_names,
        sha512: config.sha512,
        accept_rollback: global.accept_rollback,
        clock: Box::new(Utc::now),
        progress: Box::new(Shown::new(global, output)),
    })
}
