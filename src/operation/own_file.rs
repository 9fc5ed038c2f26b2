//! Files of the publisher's own beside the repository: its config, drafts, names.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file anew, whole or not at all, through a power failure too. One that exists keeps its mode, and a link to it
/// stays a link.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // One process may contain several publishers.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = place.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        // Never writable by others, whatever the umask: a config names commands that are run.
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        if let Ok(present) = fs::metadata(&place) {
            file.set_permissions(present.permissions())?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &place)?;
        let directory = place.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path.display(), error)
    })
}
