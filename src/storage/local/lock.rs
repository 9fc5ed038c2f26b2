//! A lock between publishers that other users cannot take.
//!
//! A user who can open a file can lock it, and a lock that is kept hangs all publishers. So the file is readable by its owner only,
//! and by the group where the group may write to the directory. Files of earlier versions are readable by everybody:
//! the first publisher that holds such a lock puts a new file in its place, and where a process of another user holds it, it is
//! replaced without. A lock counts only while its file still has the name: a publisher that waited for the old one takes the new.

use rustix::fs::{Mode, OFlags, open};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// A lock that is held longer than this is reported.
const SILENT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
const SLOWEST_POLL: Duration = Duration::from_millis(100);

/// Takes the lock, or gives up after `patience` with an error of kind `TimedOut` that names who holds it. `report` is called once
/// what is waited for, and since when.
pub fn lock(path: &Path, patience: Duration, report: &dyn Fn(&str)) -> io::Result<File> {
    let began = Instant::now();
    let (mut reported, mut pause, mut deadline) = (false, POLL, patience);
    loop {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) if !has_name(&file, path) => continue,
            Ok(()) if is_exposed(&file)? => return renew(path),
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) => {}
        }
        let waited = began.elapsed();
        if waited >= SILENT && !reported {
            report(&format!("waiting for the lock {}: {}", path.display(), held_by(&file)));
            reported = true;
        }
        if waited >= deadline {
            // No publisher runs as this user, and every user can take this lock.
            if is_exposed(&file)? && holder(&file).is_some_and(|(_, user)| !may_publish(user, &file)) {
                drop(renew(path)?);
                deadline += patience;
                continue;
            }
            let seconds = waited.as_secs();
            let message = format!("the lock {} was not free within {seconds} seconds: {}", path.display(), held_by(&file));
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(SLOWEST_POLL);
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(File::from(open(path, flags, Mode::from_raw_mode(mode_for(path)))?))
}

/// For the owner, and for the group where it may write to the directory.
fn mode_for(path: &Path) -> u32 {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let group = fs::metadata(directory).is_ok_and(|there| there.mode() & 0o020 != 0);
    if group { 0o660 } else { 0o600 }
}

/// Puts a new file in the place of one that other users can lock, and locks it before it has the name.
fn renew(path: &Path) -> io::Result<File> {
    let mut random = [0_u8; 8];
    openssl::rand::rand_bytes(&mut random).map_err(io::Error::other)?;
    let new = path.with_extension(format!("{}.new", hex::encode(random)));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(open(&new, flags, Mode::from_raw_mode(0o600))?);
    let placed = file
        .try_lock()
        .map_err(io::Error::other)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode_for(path))))
        .and_then(|()| fs::rename(&new, path));
    placed.map(|()| file).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Whether users can open the file who cannot write to its directory. A file of another owner is not ours to replace.
fn is_exposed(file: &File) -> io::Result<bool> {
    let there = file.metadata()?;
    Ok(there.mode() & 0o007 != 0 && there.uid() == rustix::process::geteuid().as_raw())
}

fn has_name(file: &File, path: &Path) -> bool {
    let id = |there: fs::Metadata| (there.dev(), there.ino());
    file.metadata().is_ok_and(|ours| fs::symlink_metadata(path).is_ok_and(|there| id(there) == id(ours)))
}

/// The process that holds the lock and its user, where the system reports them: Linux does, for processes that this one can see.
fn holder(file: &File) -> Option<(u32, u32)> {
    let there = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(there.dev()), rustix::fs::minor(there.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", there.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = fields.as_slice() else { return None };
        (*file == wanted).then(|| process.parse::<u32>().ok())?
    })?;
    Some((process, fs::metadata(format!("/proc/{process}")).ok()?.uid()))
}

/// Who holds the lock of a file, if a process does. The lock is tried for an instant, which delays another publisher by no more
/// than one round of waiting; the file is not made.
pub(super) fn holder_of(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(fs::TryLockError::WouldBlock) => Ok(Some(held_by(&file))),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process of this user may be a publisher: the lock file's owner, root, and ourselves.
fn may_publish(user: u32, file: &File) -> bool {
    let owner = file.metadata().map_or(0, |there| there.uid());
    [0, owner, rustix::process::geteuid().as_raw()].contains(&user)
}

fn held_by(file: &File) -> String {
    match holder(file) {
        Some((process, user)) => {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            format!("process {process} ({}, user id {user}) holds it", name.trim().escape_debug())
        }
        None => "another process holds it".to_owned(),
    }
}
