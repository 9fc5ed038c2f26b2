//! Files of the publisher's own beside the repository: its config, drafts, names.

use crate::error::{Error, Result};
use crate::files::{self, Readers};
use std::path::Path;

/// Writes a file anew, whole or not at all, through a power failure too. One that exists keeps its mode, and a link to it
/// stays a link.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    files::replace(path, None, bytes, Readers::AsBefore).map_err(|error| Error::io("write", path.display(), error))
}
