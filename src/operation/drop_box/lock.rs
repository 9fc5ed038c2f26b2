//! One monitor at a time has a drop box. Two locks, because neither is enough alone:
//!
//! - in the monitor's own state directory, a file that only its user can open: no other user can take or hold it. It keeps
//!   apart the monitors of one state directory.
//! - in the drop box, for monitors with other state directories or on other hosts. It counts only while it is a file of
//!   the monitor's user with mode 0600, which others cannot open. A user who may write to the drop box can remove it or
//!   occupy its name; then the monitor continues and reports it. Two monitors at once would publish the same uploads, not others.

use super::Guard;
use crate::error::{Error, Result};
use crate::tree::Tree;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// In the drop box.
const NAME: &str = ".publish-monitor-lock";

/// The locks, held for as long as the value exists.
#[derive(Debug)]
pub(super) struct Lock {
    _own: File,
    _shared: Option<OwnedFd>,
}

/// Takes the drop box; `None` while another monitor has it.
pub(super) fn take(tree: &Tree, state: &Path) -> Result<Option<(Lock, Guard)>> {
    let stat = fstat(tree.root()).map_err(|error| Error::io("use the drop box", tree.path().display(), error.into()))?;
    let path = state.join(format!(".publish-monitor-{:x}-{:x}.lock", stat.st_dev, stat.st_ino));
    let failed = |error: std::io::Error| Error::io("lock", path.display(), error);
    let own = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match own.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    Ok(match shared(tree) {
        Shared::Ours(descriptor) => Some((Lock { _own: own, _shared: Some(descriptor) }, Guard::Complete)),
        Shared::Occupied => Some((Lock { _own: own, _shared: None }, Guard::OwnStateOnly)),
        Shared::Theirs => None,
    })
}

enum Shared {
    Ours(OwnedFd),
    Theirs,
    /// The name is taken by something else, or the file system has no locks.
    Occupied,
}

fn shared(tree: &Tree) -> Shared {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Between the open and the lock another monitor may have removed the file.
    for _ in 0..8 {
        let Ok(descriptor) = openat(tree.root(), NAME, flags, Mode::RUSR | Mode::WUSR) else { return Shared::Occupied };
        let Ok(stat) = fstat(&descriptor) else { return Shared::Occupied };
        let private = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_mode & 0o7077 == 0
            && stat.st_nlink <= 1;
        if !private {
            return Shared::Occupied;
        }
        match flock(&descriptor, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Shared::Theirs,
            Err(_) => return Shared::Occupied,
        }
        match statat(tree.root(), NAME, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) => return Shared::Ours(descriptor),
            _ => {}
        }
    }
    Shared::Occupied
}
