//! What the monitor remembers about directories that it cannot rename or remove, in a file of its own: where others own the
//! drop box (sticky bit) or the directories in it, the name alone cannot record that an upload is published or refused. Without
//! this, it would be published every few seconds and revert newer content. The same file remembers which commit an upload is
//! in ([`super::begun`]).

use super::Upload;
use super::begun::Begun;
use crate::error::{Error, Kind, Result};
use crate::files::read_regular;
use crate::operation::own_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What became of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum End {
    /// Published; not to be published again, whatever changes in it.
    Published,
    /// Refused; looked at again when it changes.
    Refused,
    /// In a commit that had begun; no end of it is known.
    Begun(Begun),
}

/// Tells a directory from a later one of the same name. A number is used again after a removal, so the time of birth counts
/// where the file system knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    inode: u64,
    born: Option<u128>,
    /// When it was last changed; for those that were refused.
    changed: (i64, i64),
    end: End,
}

/// The file.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    left: BTreeMap<String, Left>,
    dirty: bool,
}

impl Memory {
    /// What is remembered about the drop box at this place.
    pub(super) fn read(state: &Path, drop_box: &Path) -> Result<Self> {
        let place = drop_box.canonicalize().unwrap_or_else(|_| drop_box.to_owned());
        let name = hex::encode(&openssl::sha::sha256(place.as_os_str().as_encoded_bytes())[..8]);
        let path = state.join(format!(".publish-monitor-{name}.json"));
        let left = match read_regular(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::invalid(format!("{} cannot be read: {error}", path.display()))
                    .hint("it records which uploads are published already; empty the drop box, then delete the file")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Error::io("read", path.display(), error)),
        };
        Ok(Self { path, left, dirty: false })
    }

    /// What became of a directory, if it stayed where it is.
    pub(super) fn end(&self, upload: &Upload) -> Option<&End> {
        let left = self.left.get(&upload.key())?;
        let same = left.inode == upload.id.1 && left.born == born(upload) && (left.end != End::Refused || left.changed == upload.changed);
        same.then_some(&left.end)
    }

    /// Remembers what became of a directory; returns whether that is new.
    pub(super) fn keep(&mut self, upload: &Upload, end: End) -> bool {
        if self.end(upload) == Some(&end) {
            return false;
        }
        let left = Left { inode: upload.id.1, born: born(upload), changed: upload.changed, end };
        self.left.insert(upload.key(), left);
        self.dirty = true;
        true
    }

    /// Forgets a directory that has another name now, which states its result.
    pub(super) fn forget(&mut self, upload: &Upload) {
        self.dirty |= self.left.remove(&upload.key()).is_some();
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, keys: &dyn Fn(&str) -> bool) {
        let before = self.left.len();
        self.left.retain(|key, _| keys(key));
        self.dirty |= self.left.len() != before;
    }

    /// Writes the file if anything changed.
    pub(super) fn save(&mut self) -> Result<()> {
        if self.dirty {
            let json = serde_json::to_vec(&self.left).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
            own_file::replace(&self.path, &json)?;
            self.dirty = false;
        }
        Ok(())
    }
}

fn born(upload: &Upload) -> Option<u128> {
    Some(upload.born?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos())
}
