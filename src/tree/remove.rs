//! Removing a directory of a tree by descriptors: nothing outside is touched, whatever is exchanged meanwhile.

use super::{Rules, Tree, beneath};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::ffi::OsStr;
use std::io::Result;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Tree {
    /// Removes a directory of the root and everything below it, if it is still the one with these numbers (device, inode).
    /// What lies deeper than `depth` stays, and with it the directories above.
    pub fn remove(&self, name: &OsStr, id: (u64, u64), depth: usize) -> Result<()> {
        let rules = Rules { one_file_system: true, ..Rules::default() };
        let directory = self.directory(Path::new(name), rules)?;
        let stat = rustix::fs::fstat(&directory)?;
        if (stat.st_dev, stat.st_ino) != id {
            return Err(Errno::STALE.into());
        }
        self.clear(directory.as_fd(), depth)?;
        gone(unlinkat(self.root(), name, AtFlags::REMOVEDIR))
    }

    fn clear(&self, directory: BorrowedFd<'_>, depth: usize) -> Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            if ![b".".as_slice(), b".."].contains(&entry.file_name().to_bytes()) {
                names.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        for (name, kind) in names {
            if !is_directory(directory, &name, kind)? {
                gone(unlinkat(directory, &name, AtFlags::empty()))?;
                continue;
            }
            let Some(left) = depth.checked_sub(1) else { return Err(Errno::LOOP.into()) };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = Path::new(OsStr::from_bytes(name.to_bytes()));
            match beneath::open(directory, below, flags, Some(self.device), self.way) {
                Ok(below) => self.clear(below.as_fd(), left)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                // An empty directory that cannot be read can still be removed.
                Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => return Err(error),
                Err(_) => {}
            }
            gone(unlinkat(directory, &name, AtFlags::REMOVEDIR))?;
        }
        Ok(())
    }
}

fn is_directory(directory: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<bool> {
    if kind != FileType::Unknown {
        return Ok(kind == FileType::Directory);
    }
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn gone(result: rustix::io::Result<()>) -> Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
