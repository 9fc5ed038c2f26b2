//! One file of a tree, from the first look at it to its last byte.

use super::{Rules, Tree};
use crate::error::{Error, Kind, Result};
use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A regular file of a tree as it was at the first look.
#[derive(Clone, Debug)]
pub struct TreeFile {
    tree: Arc<Tree>,
    path: PathBuf,
    rules: Rules,
    stamp: Stamp,
}

/// Differs after every change of a file, and from that of every other file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Tree {
    /// The first look at a file.
    pub fn file(self: &Arc<Self>, path: &Path, rules: Rules) -> Result<TreeFile> {
        let (_, metadata) = self.open_file(path, rules)?;
        Ok(TreeFile { tree: self.clone(), path: path.to_owned(), rules, stamp: Stamp::of(&metadata) })
    }

    fn open_file(&self, path: &Path, rules: Rules) -> Result<(File, Metadata)> {
        let (shown, full) = (self.shown(path), self.path().join(path));
        let failed = |error: std::io::Error| {
            let failure = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::LOOP) => Error::invalid(format!("{shown}: a symbolic link; links are not followed")),
                Some(rustix::io::Errno::XDEV) => Error::invalid(format!("{shown}: on another file system, or outside")),
                _ => Error::io("read", &shown, error),
            };
            failure.of_input(&full)
        };
        let refused = |why: &str| Error::invalid(format!("{shown}: {why}")).of_input(&full);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.open_at(path, flags, rules).map_err(failed)?);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(refused("not a regular file"));
        }
        if let Some(owner) = rules.owner.filter(|owner| *owner != metadata.uid()) {
            if metadata.nlink() > 1 {
                return Err(refused(&format!("a hard link to a file of another user (uid {}, not {owner})", metadata.uid())));
            }
            if metadata.uid() == rustix::process::geteuid().as_raw() {
                return Err(refused("a file of the user that publishes, in a directory of another user"));
            }
        }
        rules.check_handed_over(0o004, &metadata).map_err(refused)?;
        Ok((file, metadata))
    }
}

impl TreeFile {
    /// Where it is; for messages.
    pub fn path(&self) -> PathBuf {
        self.tree.path().join(&self.path)
    }

    /// The same as messages show it.
    pub fn shown(&self) -> String {
        self.tree.shown(&self.path)
    }

    /// Its path below the root of the tree.
    pub fn relative(&self) -> &Path {
        &self.path
    }

    /// The file system and the file in it, however it is named.
    pub fn identity(&self) -> (u64, u64) {
        self.stamp.file
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.stamp.length
    }

    /// Opens it for reading, if it is as it was at the first look.
    pub fn open(&self) -> Result<File> {
        let (file, metadata) = self.tree.open_file(&self.path, self.rules)?;
        self.check(&metadata)?;
        Ok(file)
    }

    /// Refuses a file that has changed since the first look; called again after its last byte was read.
    pub fn check_unchanged(&self, file: &File) -> Result<()> {
        self.check(&file.metadata().map_err(|error| self.failed(error))?)
    }

    fn check(&self, metadata: &Metadata) -> Result<()> {
        if Stamp::of(metadata) == self.stamp { Ok(()) } else { Err(self.changed()) }
    }

    /// The error when its content is not what was planned.
    pub fn changed(&self) -> Error {
        Error::new(Kind::Conflict, format!("{} changed while it was read", self.shown()))
            .hint("wait until the build is finished, then run the same command again; nothing was published")
            .of_input(self.path())
    }

    /// The error when it cannot be read.
    pub fn failed(&self, error: std::io::Error) -> Error {
        Error::io("read", self.shown(), error).of_input(self.path())
    }
}
