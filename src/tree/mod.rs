//! Directory trees that other users can change while they are read: builds, pools, uploads, directories of keys.
//!
//! A tree is its root directory, held open. Everything below it is listed and opened relative to that descriptor, without
//! following a link and without leaving the tree ([`beneath`]), so a directory that is swapped for a link, at any depth and at
//! any time, gives an error and never a file elsewhere. The path that names the root is the user's own and may contain links.
//!
//! One descriptor per file would exceed the limit of open files at some thousand files. A file is therefore opened twice: at
//! the first look, which checks what it is and records its stamp, and again when its content is read. The second open goes
//! through the same root descriptor, applies the same rules to the opened file, and compares the stamp. This is safe because
//! every check is made on an open descriptor, never on a path: whatever was exchanged in between, the file that is read is a
//! regular file of this tree that the rules accept. The stamp contains the time of the last status change, which no user can
//! set, so the exchange or change of a file is noticed and refused; it protects the plan, not the secrets of this machine.
//!
//! Nothing is opened that can block: only what the directory lists as a regular file is opened, with `O_NONBLOCK`, and what
//! the descriptor then is decides. Where the rules exclude mounts, a file system that a user mounted below an upload
//! (FUSE can hang every request) is not entered.

mod beneath;
mod file;
mod remove;
mod walk;

pub use file::TreeFile;
pub use walk::{Found, Limits, What};

use crate::error::{Error, Result};
use beneath::Way;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that is held open, and everything below it.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// The path that it was opened by; for messages.
    path: PathBuf,
    way: Way,
    device: u64,
}

/// What is accepted below the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Only what lies on the file system of the root.
    pub one_file_system: bool,
    /// The user who hands the files over. With one, a hard link to another user's file is refused, and so is a file of the
    /// user of this process: both can be files that this user could not have read.
    pub owner: Option<u32>,
    /// Other users who may rename what is in the root. With some, a file or directory of the user of this process that they
    /// cannot read is refused: it was not handed over, only renamed.
    pub renamed_by: Option<Writers>,
}

/// The users beside that of this process, and root, who may rename the entries of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writers {
    /// The members of this group.
    group: Option<u32>,
    /// Users of whom no group is known.
    others: bool,
}

impl Writers {
    /// Whether all of them have a right on a file or directory: `bit` is the right of others, as in `0o004`.
    fn all_may(self, bit: u32, metadata: &Metadata) -> bool {
        let others = metadata.mode() & bit != 0;
        let group = |group: u32| if metadata.gid() == group { metadata.mode() & (bit << 3) != 0 } else { others };
        (others || !self.others) && self.group.is_none_or(group)
    }
}

impl Rules {
    /// Refuses what belongs to the user of this process and the writers of the root have no right on.
    fn check_handed_over(&self, bit: u32, metadata: &Metadata) -> std::result::Result<(), &'static str> {
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        match self.renamed_by.filter(|writers| own && !writers.all_may(bit, metadata)) {
            Some(_) => Err("it belongs to the user that publishes and is private: other users may have renamed it"),
            None => Ok(()),
        }
    }
}

impl Tree {
    /// The other users who may rename the entries of the root. In a sticky directory only its owner and theirs can.
    pub fn writers(&self) -> std::io::Result<Option<Writers>> {
        let stat = rustix::fs::fstat(&self.root)?;
        let trusted = [0, rustix::process::geteuid().as_raw()].contains(&stat.st_uid);
        if trusted && stat.st_mode & 0o1000 != 0 {
            return Ok(None);
        }
        let group = (stat.st_mode & 0o020 != 0).then_some(stat.st_gid);
        let others = !trusted || stat.st_mode & 0o002 != 0;
        Ok((others || group.is_some()).then_some(Writers { group, others }))
    }

    /// Opens a directory; the path may contain links.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let failed = |error: rustix::io::Errno| Error::io("open the directory", path.display(), error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let device = rustix::fs::fstat(&root).map_err(failed)?.st_dev;
        let way = Way::of(root.as_fd());
        Ok(Arc::new(Self { root, path: path.to_owned(), way, device }))
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor of the root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A path below the root as messages show it: on one line, whatever the names contain.
    pub fn shown(&self, path: &Path) -> String {
        let path = if path.as_os_str().is_empty() { self.path.clone() } else { self.path.join(path) };
        let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        let path = path.strip_prefix(".").unwrap_or(&path);
        path.to_string_lossy().chars().map(escaped).collect()
    }

    /// Opens what lies at a path below the root, without following links.
    pub fn open_at(&self, path: &Path, flags: OFlags, rules: Rules) -> std::io::Result<OwnedFd> {
        let device = rules.one_file_system.then_some(self.device);
        beneath::open(self.root.as_fd(), path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, device, self.way)
    }

    /// Opens a directory below the root.
    pub fn directory(&self, path: &Path, rules: Rules) -> std::io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, rules)
    }
}
