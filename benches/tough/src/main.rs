//! Loads and verifies a repository, adds the files of a directory as targets, signs and writes the metadata: the work of
//! `publish release`, done with the tough crate.
//!
//! tough-baseline REPO ROOT KEYS FILES OUT

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use tough::editor::RepositoryEditor;
use tough::key_source::{KeySource, LocalKeySource};
use tough::{ExpirationEnforcement, RepositoryLoader};
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [repository, root, keys, files, out] = arguments.as_slice() else { return Err("REPO ROOT KEYS FILES OUT".into()) };
    let url = |path: &Path| Url::from_directory_path(std::path::absolute(path).unwrap_or_default()).map_err(|()| "no URL");
    let bytes = std::fs::read(root)?;
    let repo = RepositoryLoader::new(&bytes, url(repository)?, url(&repository.join("targets"))?)
        .expiration_enforcement(ExpirationEnforcement::Safe)
        .limits(tough::Limits { max_targets_size: 1 << 30, ..Default::default() })
        .load()
        .await?;
    let next = |version: NonZeroU64| version.checked_add(1).ok_or("version");
    let versions = (next(repo.targets().signed.version)?, next(repo.snapshot().signed.version)?, next(repo.timestamp().signed.version)?);
    let mut editor = RepositoryEditor::from_repo(root, repo).await?;
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 7);
    editor.targets_version(versions.0)?.targets_expires(expires)?;
    editor.snapshot_version(versions.1).snapshot_expires(expires);
    editor.timestamp_version(versions.2).timestamp_expires(expires);
    for file in std::fs::read_dir(files)? {
        editor.add_target_path(file?.path()).await?;
    }
    let key = |role: &str| Box::new(LocalKeySource { path: keys.join(format!("{role}.der")) }) as Box<dyn KeySource>;
    let signed = editor.sign(&[key("root"), key("targets"), key("snapshot"), key("timestamp")]).await?;
    std::fs::create_dir_all(out)?;
    signed.write(out).await?;
    Ok(())
}
