//! The file of a draft. It is read once: what people are shown is what is signed and published, whatever happens to the file
//! meanwhile. A file that changed since it was read is neither overwritten nor deleted.

use crate::error::{Error, Kind, Result};
use crate::files::{open_regular, read_opened};
use crate::metadata::RootDraft;
use crate::operation::own_file;
use std::path::{Path, PathBuf};

/// No draft is near this long: two roots and a few names.
const MAX_DRAFT: u64 = 4 << 20;

/// A draft and the file that it was read from.
#[derive(Debug)]
pub(in crate::operation) struct DraftFile {
    path: PathBuf,
    /// As read or written last; `None` for a draft that is in no file yet.
    bytes: Option<Vec<u8>>,
    pub(in crate::operation) draft: RootDraft,
}

impl DraftFile {
    /// Reads a draft.
    pub(in crate::operation) fn read(path: &Path) -> Result<Self> {
        let what = path.display().to_string();
        let bytes = read(path)?.ok_or_else(|| {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            Error::io("read the draft", &what, error).hint("start one with `publish root edit`, or name its file with --draft")
        })?;
        Ok(Self { path: path.to_owned(), draft: RootDraft::parse(&bytes, &what)?, bytes: Some(bytes) })
    }

    /// Reads the draft that is there, if there is one.
    pub(in crate::operation) fn read_if_there(path: &Path) -> Result<Option<Self>> {
        if path.exists() { Self::read(path).map(Some) } else { Ok(None) }
    }

    /// A draft that is in no file yet.
    pub(in crate::operation) fn new(path: &Path, draft: RootDraft) -> Self {
        Self { path: path.to_owned(), bytes: None, draft }
    }

    /// Where it is.
    pub(in crate::operation) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the draft, unless its file was changed by another process.
    pub(in crate::operation) fn write(&mut self) -> Result<()> {
        let bytes = self.draft.to_bytes()?;
        if self.bytes.as_ref() == Some(&bytes) {
            return Ok(());
        }
        if read(&self.path)? != self.bytes {
            return Err(Error::new(
                Kind::Conflict,
                format!("{} has changed since it was read; it was not overwritten", self.path.display()),
            )
            .hint("look at it with `publish root show`, then run the same command again"));
        }
        own_file::replace(&self.path, &bytes)?;
        self.bytes = Some(bytes);
        Ok(())
    }

    /// Puts away the file of a draft that is published, so that the same command knows it again. Returns whether it did: a file
    /// that has changed stays.
    pub(in crate::operation) fn put_away(self) -> Result<bool> {
        let there = read(&self.path)?;
        if there.is_none() {
            // Another process has committed the same draft.
            return Ok(true);
        }
        if there != self.bytes {
            return Ok(false);
        }
        let failed = |error| Error::io("move the draft that is published now", self.path.display(), error);
        std::fs::rename(&self.path, published(&self.path)).map_err(failed)?;
        Ok(true)
    }
}

/// Where the draft that was published last lies.
pub(in crate::operation) fn published(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".published");
    name.into()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::io("read the draft", path.display(), error);
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    read_opened(&file, MAX_DRAFT).map(Some).map_err(failed)
}
