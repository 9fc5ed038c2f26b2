use crate::error::{Error, Kind, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::create_private_directory;
use crate::metadata::check_names;
use crate::operation::own_file;
use std::collections::BTreeMap;
use std::path::Path;

/// Names of people by the ids of their keys, as former ceremonies left them.
pub(in crate::operation) fn read_names(path: &Path) -> Result<BTreeMap<String, String>> {
    match read_given(path, GIVEN_FILE_LIMIT) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("the names of keys in {} cannot be read: {error}", path.display())))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Error::io("read", path.display(), error)),
    }
}

/// The same, where none misleads.
pub(super) fn known_names(path: &Path) -> Result<BTreeMap<String, String>> {
    let names = read_names(path)?;
    check_names(&names).map_err(|failure| failure.hint(format!("correct it in {}", path.display())))?;
    Ok(names)
}

/// Keeps names, those known before too.
pub(super) fn write_names(path: &Path, names: &BTreeMap<String, String>) -> Result<()> {
    let known = read_names(path)?;
    let mut all = known.clone();
    all.extend(names.clone());
    if all == known {
        return Ok(());
    }
    check_names(&all)?;
    let bytes = serde_json::to_vec_pretty(&all).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
    // Keys may lie elsewhere: then nothing has made the directory yet.
    path.parent().map_or(Ok(()), create_private_directory)?;
    own_file::replace(path, &bytes)
}
