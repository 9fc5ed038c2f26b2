//! Where a publisher's unfinished files are: below `.staging`, in a directory of its own, beside which it holds a lock
//! while it runs. The next publisher removes those whose lock is free: their owner has ended, in whatever way.

use crate::files::open_regular;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const STAGING: &str = ".staging";
/// The extension of the lock beside a staging directory.
const LOCKED: &str = "lock";
/// Threads create files in different directories, or they wait for each other's turn in one.
const SHELVES: u64 = 8;

/// This process's own staging directory.
#[derive(Debug)]
pub(super) struct Staging {
    directory: PathBuf,
    counter: AtomicU64,
    /// The repository's directory, opened before anything is written: a flush reports errors since then.
    pub root: File,
    /// Held locked as long as the process runs.
    _lock: File,
}

impl Staging {
    /// Makes one below the repository's directory, and removes those of publishers that are gone.
    pub fn new(root: &Path) -> io::Result<Self> {
        create_directories(root)?;
        let parent = root.join(STAGING);
        match fs::DirBuilder::new().mode(0o700).create(&parent) {
            Ok(()) => give(&parent, 0o700)?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        sweep(&parent);
        let (directory, lock) = claim(&parent)?;
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        give(&directory, 0o700)?;
        Ok(Self { directory, counter: AtomicU64::new(0), root: File::open(root)?, _lock: lock })
    }

    /// A path for the next file.
    pub fn next(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.directory.join((number % SHELVES).to_string()).join(number.to_string())
    }

    /// Whether any other publisher runs: each that has written anything holds the lock of its staging directory.
    pub fn has_company(&self, root: &Path) -> bool {
        let own = self.directory.with_extension(LOCKED);
        let others = locks(&root.join(STAGING)).into_iter().filter(|path| *path != own);
        others.filter_map(|path| open_regular(&path).ok()).any(|lock| lock.try_lock_shared().is_err())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(self.directory.with_extension(LOCKED));
    }
}

/// Takes a new name below `parent` by locking `<name>.lock`; the directory of that name is made afterwards, so that there
/// is none without a lock.
fn claim(parent: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let mut random = [0_u8; 8];
        openssl::rand::rand_bytes(&mut random).map_err(io::Error::other)?;
        let directory = parent.join(hex::encode(random));
        let path = directory.with_extension(LOCKED);
        let lock = create_file(&path)?;
        lock.lock()?;
        // A process that swept between the two lines above took the file for a leftover and removed it.
        if fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|ours| there.ino() == ours.ino())) {
            return Ok((directory, lock));
        }
    }
}

/// The lock files of all publishers below `parent`, living or not.
fn locks(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == LOCKED)).collect()
}

/// Removes what publishers left that are gone: their locks are free. What cannot be removed now is tried again next time.
/// Says how many publishers it was.
pub(super) fn sweep(parent: &Path) -> usize {
    let mut swept = 0;
    for path in locks(parent) {
        let Ok(lock) = open_regular(&path) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(path.with_extension(""));
            let _ = fs::remove_file(&path);
            swept += 1;
        }
        // Held until here: a process that waits for it must find the file removed.
        drop(lock);
    }
    swept
}

/// The locks below `parent`, of publishers that are gone and of those that run; nothing is removed.
pub(super) fn owners(parent: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    locks(parent).into_iter().partition(|path| File::open(path).is_ok_and(|lock| lock.try_lock_shared().is_ok()))
}

/// Creates a file of the staging directory, and its shelf if this is the first on it.
pub(super) fn create_staged(path: &Path) -> io::Result<File> {
    match create_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), create_directories)?;
            create_file(path)
        }
        other => other,
    }
}

/// The set-group-id bit of a directory, which makes what is created in it its group's.
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_WRITE: u32 = 0o020;

/// Gives a new directory this mode whatever the umask; it keeps the set-group-id bit that it has from the one above, and with
/// it the group's right to write as far as the umask left it.
fn give(path: &Path, mode: u32) -> io::Result<()> {
    let made = fs::metadata(path)?.mode();
    let kept = if made & SET_GROUP_ID == 0 { 0 } else { made & (SET_GROUP_ID | GROUP_WRITE) };
    fs::set_permissions(path, fs::Permissions::from_mode(mode | kept))
}

/// Creates a new file that everybody may read. Where the directory gives its group to what is created in it, the group may
/// write as far as the umask allows: it shares the repository.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let shared = path.parent().and_then(|parent| fs::metadata(parent).ok()).is_some_and(|parent| parent.mode() & SET_GROUP_ID != 0);
    let file = OpenOptions::new().write(true).create_new(true).mode(if shared { 0o664 } else { 0o644 }).open(path)?;
    let kept = if shared { file.metadata()?.mode() & GROUP_WRITE } else { 0 };
    // Readable for everybody whatever the umask or the source's mode: this is what gets served.
    file.set_permissions(fs::Permissions::from_mode(0o644 | kept))?;
    Ok(file)
}

/// Creates missing directories down to `path`, readable for everybody.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_directories(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => give(path, 0o755),
        // Looked at once: it may have been removed as empty since, and made again.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(_) => Err(error),
            Err(gone) => Err(gone),
        },
        Err(error) => Err(error),
    }
}
