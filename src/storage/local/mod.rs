//! A repository in a local directory, with the contract of an object store.
//!
//! - Every object is written under a temporary name in a directory of this process below `.staging` and moved into place
//!   whole: by hard link where the name must be free, by rename otherwise. Published files are never opened for writing.
//! - `swap` is the only step under a lock: compare, rename, fsync. Clients never take a lock.
//! - A process holds a lock on its staging directory while it runs. The next one removes those whose lock is free:
//!   their owner has ended.
//! - `sync` is one syncfs: it orders everything before it, files and directory entries, ahead of everything after.
//!   File systems without hard links are served too, by a no-replace rename or, last, by creating the file exclusively.

mod lock;
mod occupied;
mod staging;

use self::staging::{STAGING, Staging, create_directories, create_file, create_staged};
use super::memory::check_limit;
use super::{Leftovers, Object, Obstacle, Reports, Rivals, Source, Storage, Stored, Token, Upkeep, Upload};
use crate::error::{Error, Kind, Result};
use crate::files::{open_regular, read_regular};
use crate::names::ObjectName;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

const LOCK: &str = ".lock";
/// The lock is held for a compare, a rename and a flush of one directory.
const PATIENCE: Duration = Duration::from_secs(15);

pub use lock::lock;

/// A directory that holds a repository.
#[derive(Debug)]
pub struct LocalDirectory {
    root: PathBuf,
    links: bool,
    /// Told what a call waits for.
    report: Reports,
    staging: OnceLock<Staging>,
    /// Bytes on their way to the disk, and those that wait; syncing waits for both.
    flushing: Mutex<Flushing>,
}

/// When so many bytes wait to be written, they are sent to the disk while others are still read and hashed.
const FLUSH_EVERY: u64 = 24 << 20;

#[derive(Debug, Default)]
struct Flushing {
    waiting: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl LocalDirectory {
    /// The repository in `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), links: true, report: Reports::default(), staging: OnceLock::new(), flushing: Mutex::default() }
    }

    /// The same, and `report` is called with what a call waits for.
    pub fn reporting(root: impl Into<PathBuf>, report: Reports) -> Self {
        Self { report, ..Self::new(root) }
    }

    /// The same, for a file system that cannot make hard links.
    pub fn without_links(root: impl Into<PathBuf>) -> Self {
        Self { links: false, ..Self::new(root) }
    }

    fn path(&self, name: &ObjectName) -> Result<PathBuf> {
        name.check()?;
        Ok(self.root.join(name.as_str()))
    }

    fn staging(&self) -> Result<&Staging> {
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        let made = Staging::new(&self.root).map_err(|error| Error::io("write to", self.root.display(), error))?;
        Ok(self.staging.get_or_init(|| made))
    }

    /// Sends what waits to the disk in the background once it is worth it.
    fn written(&self, bytes: u64) -> io::Result<()> {
        let Some(staging) = self.staging.get() else { return Ok(()) };
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        flushing.waiting += bytes;
        if flushing.waiting < FLUSH_EVERY || flushing.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        flushing.waiting = 0;
        flushing.running.take().map_or(Ok(()), finished)?;
        let root = staging.root.try_clone()?;
        flushing.running = Some(std::thread::spawn(move || flush(&root)));
        Ok(())
    }

    /// Why a file could not be placed; that its name is taken, if it is.
    fn unplaced(&self, path: &Path, error: io::Error) -> Error {
        match occupied::obstacle(&self.root, path) {
            Ok(Some(Obstacle::File(file))) => Error::new(Kind::Conflict, format!("{file} is a file where a directory must be"))
                .detail(format!("for {}", path.display()))
                .hint("choose another name; if no target has the name of that file, `publish refresh --all` or `publish prune` removes it"),
            Ok(Some(Obstacle::Directory(within))) => {
                Error::new(Kind::Conflict, format!("{} is a directory, and holds {within}", path.display()))
            }
            _ => Error::io("write", path.display(), error),
        }
    }

    fn stage(&self, bytes: &[u8]) -> Result<PathBuf> {
        let staging = self.staging()?;
        let path = staging.next();
        let write = || -> io::Result<()> { create_staged(&path)?.write_all(bytes) };
        write().map_err(|error| {
            let _ = fs::remove_file(&path);
            Error::io("write", path.display(), error)
        })?;
        Ok(path)
    }

    /// Links or moves a staged file to a free name; `false` if it is taken. The staged file is gone afterwards.
    fn place_new(&self, staged: &Path, path: &Path) -> io::Result<bool> {
        let placed = with_parent(path, || if self.links { fs::hard_link(staged, path) } else { Err(ErrorKind::Unsupported.into()) });
        let placed = match placed {
            Err(error) if links_unsupported(&error) => {
                with_parent(path, || match renameat_with(CWD, staged, CWD, path, RenameFlags::NOREPLACE) {
                    Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => copy_exclusively(staged, path),
                    other => other.map_err(Into::into),
                })
            }
            other => other,
        };
        let _ = fs::remove_file(staged);
        match placed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Makes everything written so far durable.
fn flush(root: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(root)?;
    // Elsewhere there is no flush of a whole file system that waits; docs/format.md describes the consequence.
    #[cfg(not(target_os = "linux"))]
    {
        root.sync_all()?;
        rustix::fs::sync();
    }
    Ok(())
}

/// How a flush in the background went.
fn finished(flush: JoinHandle<io::Result<()>>) -> io::Result<()> {
    flush.join().unwrap_or_else(|_| Err(io::Error::other("a flushing thread panicked")))
}

/// Runs `place`, and again after making the parent directory if that was missing: several times, for another process may be
/// removing it as empty.
fn with_parent(path: &Path, place: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..100 {
        match place() {
            Err(error) if error.kind() == ErrorKind::NotFound => match path.parent().map_or(Ok(()), create_directories) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            other => return other,
        }
    }
    place()
}

fn links_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == ErrorKind::Unsupported || matches!(code, Some(Errno::PERM | Errno::MLINK | Errno::XDEV | Errno::NOTSUP | Errno::NOSYS))
}

/// For file systems with neither links nor no-replace renames. A client may see part of the file, but nothing refers to it
/// before the commit, and a part that a crash leaves is an orphan like any other.
fn copy_exclusively(staged: &Path, path: &Path) -> io::Result<()> {
    let mut target = create_file(path)?;
    io::copy(&mut File::open(staged)?, &mut target)?;
    target.sync_all()
}

impl Source for LocalDirectory {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        let Some(mut file) = open_file(&self.path(name)?)? else { return Ok(None) };
        let failed = |error| Error::io("read", self.root.join(name.as_str()).display(), error);
        let length = file.metadata().map_err(failed)?.len();
        check_limit(name, length, limit)?;
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.read_to_end(&mut bytes).map_err(failed)?;
        // The content is its own token where it is small; larger objects are never swapped.
        Ok(Some(Object { token: Token(openssl::sha::sha256(&bytes).to_vec()), bytes }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(open_file(&self.path(name)?)?.map(|file| Box::new(file) as Box<dyn Read + Send>))
    }
}

fn open_file(path: &Path) -> Result<Option<File>> {
    match open_regular(path) {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_dir()) => Ok(None),
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        // No client can use it, whatever it is: the same as an object with other bytes.
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(Error::new(Kind::Untrusted, format!("{}: {error}", path.display())).hint("remove it, then: publish refresh --all"))
        }
        Err(error) => Err(Error::io("open", path.display(), error)),
    }
}

impl Storage for LocalDirectory {
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let path = self.path(name)?;
        let staged = self.stage(bytes)?;
        self.place_new(&staged, &path).map_err(|error| self.unplaced(&path, error))
    }

    fn compare_and_swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool> {
        let path = self.path(name)?;
        let staged = self.stage(bytes)?;
        let swap = || -> io::Result<bool> {
            File::open(&staged)?.sync_all()?;
            let _lock = lock::lock(&self.root.join(LOCK), PATIENCE, &|line| self.report.report(line))?;
            let present = match read_regular(&path) {
                Ok(present) => Some(Token(openssl::sha::sha256(&present).to_vec())),
                // A directory is no object; one that holds nothing makes place.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => None,
                Err(error) => return Err(error),
            };
            if present.as_ref() != expected {
                return Ok(false);
            }
            occupied::replace(&staged, &path)?;
            File::open(path.parent().unwrap_or(&self.root))?.sync_all()?;
            Ok(true)
        };
        let swapped = swap();
        let _ = fs::remove_file(&staged);
        swapped.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Error::new(Kind::Storage, error.to_string())
                .hint("end that process, or wait for it; if it is no publisher, remove the lock file when no publisher runs"),
            _ => Error::io("replace", path.display(), error),
        })
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        let staged = self.stage(bytes)?;
        with_parent(&path, || occupied::replace(&staged, &path)).map_err(|error| {
            let _ = fs::remove_file(&staged);
            self.unplaced(&path, error)
        })
    }

    fn begin(&self, _known: Option<(&ObjectName, u64)>) -> Result<Box<dyn Upload + '_>> {
        let path = self.staging()?.next();
        let file = create_staged(&path).map_err(|error| Error::io("write", path.display(), error))?;
        Ok(Box::new(Writing { directory: self, path, file: Some(file), length: 0 }))
    }

    fn copy(&self, from: &ObjectName, to: &ObjectName, _content: Option<&[u8]>) -> Result<()> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let failed = |error| Error::io(&format!("copy {from} to"), target.display(), error);
        if self.links {
            match with_parent(&target, || fs::hard_link(&source, &target)) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if links_unsupported(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let staged = self.staging()?.next();
        let replace = || -> io::Result<()> {
            let link = || if self.links { fs::hard_link(&source, &staged) } else { Err(ErrorKind::Unsupported.into()) };
            match with_parent(&staged, link) {
                Err(error) if links_unsupported(&error) => drop(io::copy(&mut File::open(&source)?, &mut create_staged(&staged)?)?),
                other => other?,
            }
            with_parent(&target, || occupied::replace(&staged, &target))
        };
        let replaced = replace();
        // A rename between two links of one file does nothing and leaves both names.
        let _ = fs::remove_file(&staged);
        replaced.map_err(failed)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>> {
        let path = self.path(name)?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(stored(name.clone(), &metadata))),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Error::io("look at", path.display(), error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        // Walk from the deepest directory that the prefix names.
        let start = match prefix.rsplit_once('/') {
            Some((directory, _)) if !directory.is_empty() => self.path(&ObjectName::listed(directory))?,
            _ => self.root.clone(),
        };
        if !start.is_dir() {
            return Ok(found);
        }
        let walk = walkdir::WalkDir::new(&start).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| {
            !(entry.depth() == 1
                && start == self.root
                && [STAGING, LOCK].iter().any(|own| entry.file_name().to_string_lossy().starts_with(own)))
        }) {
            let entry = entry.map_err(|error| Error::new(Kind::Storage, format!("cannot list {}", start.display())).source(error))?;
            let relative = entry.path().strip_prefix(&self.root).ok().and_then(Path::to_str);
            let (Some(name), true) = (relative, entry.file_type().is_file()) else { continue };
            if name.starts_with(prefix) {
                let metadata =
                    entry.metadata().map_err(|error| Error::new(Kind::Storage, format!("cannot look at {name}")).source(error))?;
                found.push(stored(ObjectName::listed(name), &metadata));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => {}
            // A directory is no object, and below a file there is none.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(_) if occupied::is_directory(&path) => return Ok(()),
            Err(error) => return Err(Error::io("delete", path.display(), error)),
        }
        // Directories that hold nothing any more go with their last file; a full one refuses.
        let above = path.ancestors().skip(1).take_while(|directory| *directory != self.root);
        for directory in above {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn obstacle(&self, name: &ObjectName) -> Result<Option<Obstacle>> {
        let path = self.path(name)?;
        let found = occupied::obstacle(&self.root, &path);
        found.map_err(|error| Error::io("look at", path.display(), error))
    }

    fn is_copy(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        Ok(occupied::same_file(&self.path(a)?, &self.path(b)?))
    }

    fn sync(&self) -> Result<()> {
        // Without a staging directory this process has written nothing.
        let Some(staging) = self.staging.get() else { return Ok(()) };
        let flushing = std::mem::take(&mut *self.flushing.lock().unwrap_or_else(PoisonError::into_inner));
        let sync = || -> io::Result<()> {
            flushing.running.map_or(Ok(()), finished)?;
            flush(&staging.root)
        };
        sync().map_err(|error| Error::io("flush", self.root.display(), error))
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn clock(&self) -> Result<Option<SystemTime>> {
        // Of a file that is new: where the directory is mounted from another machine, that machine dates it.
        let path = self.staging()?.next();
        let modified = create_staged(&path).and_then(|file| file.metadata()?.modified());
        let _ = fs::remove_file(&path);
        modified.map(Some).map_err(|error| Error::io("write", path.display(), error))
    }

    fn rivals(&self) -> Result<Rivals> {
        Ok(if self.staging()?.has_company(&self.root) { Rivals::Somebody } else { Rivals::Nobody })
    }
}

impl Upkeep for LocalDirectory {
    fn sweep(&self, _before: SystemTime) -> Result<usize> {
        // Whose lock is free is gone, however short a time ago.
        Ok(staging::sweep(&self.root.join(STAGING)))
    }

    fn leftovers(&self) -> Result<Option<Leftovers>> {
        let (gone, running) = staging::owners(&self.root.join(STAGING));
        let holder = |path: &Path| lock::holder_of(path).ok().flatten();
        let shown = |path: PathBuf| path.with_extension("").display().to_string();
        Ok(Some(Leftovers {
            abandoned: gone.into_iter().map(shown).collect(),
            running: running
                .into_iter()
                .map(|path| {
                    let who = holder(&path).unwrap_or_else(|| "another process holds it".into());
                    format!("{}: {who}", path.display())
                })
                .collect(),
            lock: holder(&self.root.join(LOCK)),
        }))
    }
}

fn stored(name: ObjectName, metadata: &fs::Metadata) -> Stored {
    Stored { name, length: metadata.len(), modified: metadata.modified().unwrap_or(std::time::UNIX_EPOCH) }
}

struct Writing<'d> {
    directory: &'d LocalDirectory,
    path: PathBuf,
    file: Option<File>,
    length: u64,
}

impl Upload for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(|error| Error::io("write", self.path.display(), error)),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, name: &ObjectName) -> Result<()> {
        let path = self.directory.path(name)?;
        with_parent(&path, || occupied::replace(&self.path, &path)).map_err(|error| self.directory.unplaced(&path, error))?;
        self.file = None;
        self.directory.written(self.length).map_err(|error| Error::io("flush", self.directory.root.display(), error))?;
        Ok(())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
