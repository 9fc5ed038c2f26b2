//! Everything below a directory of a tree, sorted by name, and how much of it is accepted.

use super::{Rules, Tree, TreeFile};
use crate::error::Error;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something below a tree's root.
#[derive(Debug)]
pub struct Found {
    /// Its path below the root.
    pub path: PathBuf,
    /// What it is.
    pub what: What,
}

/// What is at a path.
#[derive(Debug)]
pub enum What {
    /// A regular file.
    File(TreeFile),
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Special,
    /// It cannot be read, or the rules exclude it.
    Refused(Error),
}

/// How much is accepted below one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files, by their apparent sizes: a hole counts as much as data.
    pub bytes: u64,
    /// Files and directories.
    pub entries: usize,
    /// Directories within each other.
    pub depth: usize,
}

impl Limits {
    /// What the user named, whatever its size.
    pub const NONE: Self = Self { bytes: u64::MAX, entries: usize::MAX, depth: usize::MAX };
}

impl Tree {
    /// The names in a directory and what each was when it was listed, sorted; an error of kind "too many" beyond `most`.
    pub fn list(&self, directory: &Path, rules: Rules, most: usize) -> std::io::Result<Vec<(OsString, FileType)>> {
        let descriptor = File::from(self.directory(directory, rules)?);
        rules.check_handed_over(0o001, &descriptor.metadata()?).map_err(std::io::Error::other)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&descriptor)? {
            let entry = entry?;
            let name = entry.file_name();
            if [b".".as_slice(), b".."].contains(&name.to_bytes()) {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not report it.
                FileType::Unknown => match statat(&descriptor, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                kind => kind,
            };
            if names.len() == most {
                return Err(std::io::ErrorKind::QuotaExceeded.into());
            }
            names.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind));
        }
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(names)
    }

    /// What is at a path; its parent is opened, it itself is not.
    fn kind(&self, path: &Path, rules: Rules) -> std::io::Result<FileType> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return Ok(FileType::Directory) };
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, rules)?;
        Ok(FileType::from_raw_mode(statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?.st_mode))
    }

    /// Everything below a directory but directories themselves, or the one thing at the path if it is no directory; an error
    /// if it is more than the limits accept.
    pub fn walk(self: &Arc<Self>, from: &Path, rules: Rules, limits: &Limits) -> Result<Vec<Found>, Error> {
        let too_many = || Error::invalid(format!("{} has more than {} files and directories", self.shown(from), limits.entries));
        let mut found = Vec::new();
        let (mut entries, mut bytes) = (0_usize, 0_u64);
        // The next one is last.
        let mut waiting = Vec::new();
        match self.kind(from, rules) {
            Ok(kind) => waiting.push((from.to_owned(), kind, 0_usize)),
            Err(error) => found.push(Found { path: from.to_owned(), what: What::Refused(unlisted(&self.shown(from), error)) }),
        }
        while let Some((path, kind, depth)) = waiting.pop() {
            let what = match kind {
                FileType::Directory if depth > limits.depth => {
                    return Err(Error::invalid(format!("{} is deeper than {} directories", self.shown(&path), limits.depth)));
                }
                FileType::Directory => match self.list(&path, rules, limits.entries - entries) {
                    Ok(names) => {
                        entries += names.len();
                        waiting.extend(names.into_iter().rev().map(|(name, kind)| (path.join(name), kind, depth + 1)));
                        continue;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::QuotaExceeded && limits.entries < usize::MAX => {
                        return Err(too_many());
                    }
                    Err(error) => What::Refused(unlisted(&self.shown(&path), error)),
                },
                FileType::RegularFile => match self.file(&path, rules) {
                    Ok(file) => {
                        bytes = bytes.saturating_add(file.length());
                        if bytes > limits.bytes {
                            return Err(Error::invalid(format!("{} has more than {} bytes", self.shown(from), limits.bytes)));
                        }
                        What::File(file)
                    }
                    Err(failure) => What::Refused(failure),
                },
                FileType::Symlink => What::Link,
                _ => What::Special,
            };
            found.push(Found { path, what });
        }
        Ok(found)
    }
}

fn unlisted(shown: &str, error: std::io::Error) -> Error {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NOTDIR) => Error::invalid(format!("{shown}: became a link or a file while it was read")),
        Some(Errno::XDEV) => Error::invalid(format!("{shown}: on another file system")),
        _ => Error::io("read the directory", shown, error),
    }
}
