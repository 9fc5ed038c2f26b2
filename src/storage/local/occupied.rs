//! Names that something else occupies: in a directory a name is a file or holds files, never both.
//!
//! Directories without files are removed when their name is needed. Another process may put a file into one
//! at that moment; `rmdir` then refuses, and the write reports that the name is taken.

use crate::names::ObjectName;
use crate::storage::Obstacle;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether there is a directory under this very name.
pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// Renames a file over whatever file has the name, or over a directory that holds no file.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(_) if is_directory(to) => {
            remove_empty(to);
            fs::rename(from, to)
        }
        other => other,
    }
}

/// Removes the directories of a tree that hold nothing.
fn remove_empty(path: &Path) {
    let tree = walkdir::WalkDir::new(path).contents_first(true).into_iter().flatten();
    for directory in tree.filter(|entry| entry.file_type().is_dir()) {
        let _ = fs::remove_dir(directory.path());
    }
}

/// What keeps a file from being written to `path`, below `root`.
pub(super) fn obstacle(root: &Path, path: &Path) -> io::Result<Option<Obstacle>> {
    let name = |path: &Path| ObjectName::listed(path.strip_prefix(root).unwrap_or(path).to_string_lossy());
    if is_directory(path) {
        let mut tree = walkdir::WalkDir::new(path).into_iter().flatten();
        return Ok(tree.find(|entry| !entry.file_type().is_dir()).map(|entry| Obstacle::Directory(name(entry.path()))));
    }
    let above = path.ancestors().skip(1).take_while(|above| *above != root);
    for directory in above {
        // Followed: a link to a directory serves as one.
        match fs::metadata(directory) {
            Ok(there) if there.is_dir() => return Ok(None),
            Ok(_) => return Ok(Some(Obstacle::File(name(directory)))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether two names are links to one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|there| (there.dev(), there.ino()));
    id(a).is_some_and(|a| id(b) == Some(a))
}
