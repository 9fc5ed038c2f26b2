//! Files written whole or not at all, through a loss of power too.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone, whatever the umask.
    Owner,
    /// Those of the file that it replaces; of a new one, all. Only the owner may write it, whatever the umask: a config names
    /// commands that are run.
    AsBefore,
}

/// Writes a file anew, by way of a file beside it with the name `temporary`; of another one if that is `None`. A link to the
/// file stays a link.
pub fn replace(path: &Path, temporary: Option<&str>, bytes: &[u8], readers: Readers) -> Result<()> {
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let temporary = temporary.map_or_else(|| another_name(&place), |name| place.with_file_name(name));
    let write = || {
        let file = begin(&temporary, readers)?;
        if let (Readers::AsBefore, Ok(present)) = (readers, fs::metadata(&place)) {
            file.set_permissions(present.permissions())?;
        }
        fill(file, bytes)?;
        fs::rename(&temporary, &place)?;
        sync_directory(&place)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Writes a new file, by way of `temporary` beside it; one that exists stays, and the error is `AlreadyExists`.
pub fn create(path: &Path, temporary: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
    let write = || {
        fill(begin(temporary, readers)?, bytes)?;
        fs::hard_link(temporary, path)?;
        sync_directory(path)
    };
    let written = write();
    let _ = fs::remove_file(temporary);
    written
}

fn begin(temporary: &Path, readers: Readers) -> Result<File> {
    let _ = fs::remove_file(temporary);
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    if readers == Readers::Owner {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

fn fill(mut file: File, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// A name beside the file that no other writer has.
fn another_name(place: &Path) -> PathBuf {
    // One process may contain several publishers.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    place.with_extension(format!("{}-{number}.tmp", std::process::id()))
}
