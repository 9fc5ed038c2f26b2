//! The drop box: a directory where pipelines leave uploads without holding any credential. The protocol is Rugged's: a
//! pipeline fills `tuf_tmp_<x>` and renames it to `tuf_ready_<x>`; the monitor claims it as `tuf_processing_<x>`. Once its
//! files are published it becomes `tuf_done_<x>` and is removed. What cannot be accepted is set aside as `tuf_failed_<x>`,
//! with the reason in a file beside it. Names are accepted in upper and in lower case.
//!
//! Pipelines are not trusted beyond what they publish: they are other users who can rename, exchange and add anything in the
//! drop box at any time. So everything in it is opened, renamed, created and removed relative to the one descriptor of the
//! drop box and without following links ([`crate::tree`]); what is renamed never replaces anything; what is written is
//! created exclusively; and a problem with one entry is reported for that entry, never as an error of the drop box.
//!
//! A rename within one directory needs no right on what is renamed, so uploads of other users are claimed and marked as done
//! whatever their modes, unless the drop box is sticky. Then, and where a published upload cannot be removed, [`memory`]
//! remembers it. It also remembers each commit before it becomes visible, for a monitor that is killed in it ([`begun`]).

mod begun;
mod lock;
mod memory;
mod names;

pub(super) use begun::{Noted, Took, superseded, took_place};
pub use names::{Marker, candidates, marked, order};

use super::change::add_targets::NamedFiles;
use crate::error::{Error, Result};
use crate::names::TargetPath;
use crate::tree::{Found, Limits, Rules, Tree, TreeFile, What};
use memory::{End, Memory};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, fchmod, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A drop box that this process alone empties, for as long as the value exists.
#[derive(Debug)]
pub struct DropBox {
    tree: Arc<Tree>,
    /// Stands before every name, without slashes at its ends.
    prefix: String,
    limits: Limits,
    memory: Memory,
    guard: Guard,
    _lock: lock::Lock,
    /// When each directory was first seen.
    seen: HashMap<Identity, SystemTime>,
    /// Published directories that this process could not remove.
    tried: HashSet<Identity>,
    /// Published ones that kept their names, until that is reported.
    in_place: HashSet<Identity>,
}

/// Device, inode, and the time of birth: numbers are used again after a removal.
type Identity = (u64, u64, Option<SystemTime>);

/// What keeps other monitors out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A lock in the drop box too.
    Complete,
    /// Only monitors with the same state directory are kept out.
    OwnStateOnly,
}

/// An upload, claimed or to be published in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its present name in the drop box.
    file_name: OsString,
    /// What follows the marker.
    pub name: String,
    id: (u64, u64),
    owner: u32,
    changed: (i64, i64),
    born: Option<SystemTime>,
    was_claimed: bool,
    seen: SystemTime,
}

impl Upload {
    /// What cannot be opened.
    fn unknown(file_name: &OsStr) -> Self {
        Self {
            file_name: file_name.to_owned(),
            name: String::new(),
            id: (0, 0),
            owner: 0,
            changed: (0, 0),
            born: None,
            was_claimed: false,
            seen: SystemTime::UNIX_EPOCH,
        }
    }

    fn identity(&self) -> Identity {
        (self.id.0, self.id.1, self.born)
    }

    fn key(&self) -> String {
        self.file_name.as_bytes().escape_ascii().to_string()
    }

    /// Its present name in the drop box, for messages.
    pub fn shown(&self) -> String {
        self.file_name.to_string_lossy().escape_debug().to_string()
    }
}

/// What a look into the drop box found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// What is to be published, in the order in which it counts.
    pub uploads: Vec<Upload>,
    /// What stays where it is, and why; each is reported once.
    pub left_alone: Vec<(String, Error)>,
    /// What earlier rounds have published and not removed.
    pub published: Vec<Upload>,
    /// Whether a monitor ended right after a commit: what follows a commit may be left to do.
    pub cut_off: bool,
}

/// Where a refused upload is now.
#[derive(Debug)]
pub enum Aside {
    /// Here.
    At(PathBuf),
    /// Where it was: it cannot be renamed. `true` the first time.
    LeftAlone(bool),
    /// It was taken away meanwhile.
    Gone,
}

impl DropBox {
    /// Takes the drop box; `None` while another process has it. `state` is a directory of this monitor alone.
    pub fn open(path: &Path, prefix: &str, limits: Limits, state: &Path) -> Result<Option<Self>> {
        let tree = Tree::open(path)?;
        let Some((lock, guard)) = lock::take(&tree, state)? else { return Ok(None) };
        let memory = Memory::read(state, path)?;
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Some(Self {
            tree,
            prefix,
            limits,
            memory,
            guard,
            _lock: lock,
            seen: HashMap::new(),
            tried: HashSet::new(),
            in_place: HashSet::new(),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.tree.path()
    }

    /// What keeps other monitors out.
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// Whether its path leads to another directory by now.
    pub fn is_replaced(&self) -> bool {
        let held = rustix::fs::fstat(self.tree.root()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        let there = std::fs::metadata(self.path()).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        held != there
    }

    /// Claims every upload that is ready, and finds those that a dead monitor had claimed or published.
    pub fn claim(&mut self) -> Result<Claimed> {
        let failed = |error: io::Error| Error::io("read the drop box", self.path().display(), error);
        let names = self.tree.list(Path::new(""), self.rules(), usize::MAX).map_err(failed)?;
        let (mut claimed, mut present, mut keys) = (Claimed::default(), HashSet::new(), HashSet::new());
        for (file_name, _) in names {
            let Some((marker, name)) = marked(file_name.as_bytes()) else { continue };
            let (mut upload, is_directory) = match self.look(&file_name, name, marker) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let upload = Upload::unknown(&file_name);
                    keys.insert(upload.key());
                    self.leave(&upload, &format!("it cannot be opened here: {error}"), &mut claimed);
                    continue;
                }
            };
            present.insert(upload.identity());
            keys.insert(upload.key());
            let why = match std::str::from_utf8(name) {
                _ if !is_directory => Some("it is not a directory"),
                Err(_) => Some("its name is not UTF-8"),
                Ok(_) => None,
            };
            if let Some(why) = why {
                self.leave(&upload, why, &mut claimed);
                continue;
            }
            if marker == Marker::Done {
                claimed.published.push(upload);
                continue;
            }
            match self.memory.end(&upload) {
                // A monitor that was killed before it could record that in the name; or one that has no right to.
                Some(End::Published) => {
                    if let Ok(to) = self.rename(&upload, "done") {
                        self.memory.forget(&upload);
                        upload.file_name = to;
                        claimed.published.push(upload);
                        claimed.cut_off = true;
                    }
                    continue;
                }
                Some(End::Refused) => continue,
                Some(End::Begun(_)) | None => {}
            }
            upload.seen = *self.seen.entry(upload.identity()).or_insert(upload.seen);
            if marker == Marker::Ready {
                match self.rename(&upload, "processing") {
                    Ok(to) => upload.file_name = to,
                    // The pipeline took it back.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    // It is published in place; the memory records when that is done.
                    Err(_) => {}
                }
            }
            keys.insert(upload.key());
            claimed.uploads.push(upload);
        }
        self.seen.retain(|id, _| present.contains(id));
        self.tried.retain(|id| present.contains(id));
        self.memory.retain(&|key| keys.contains(key));
        self.memory.save()?;
        claimed.uploads.sort_by(|a, b| order(&a.name, &b.name).then(b.was_claimed.cmp(&a.was_claimed)).then(a.seen.cmp(&b.seen)));
        Ok(claimed)
    }

    fn rules(&self) -> Rules {
        Rules { one_file_system: true, ..Rules::default() }
    }

    /// What an entry is, and whether it is a directory; a link is not followed.
    fn look(&self, file_name: &OsStr, name: &[u8], marker: Marker) -> io::Result<(Upload, bool)> {
        let metadata = File::from(self.tree.open_at(Path::new(file_name), OFlags::PATH, self.rules())?).metadata()?;
        let upload = Upload {
            file_name: file_name.to_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
            id: (metadata.dev(), metadata.ino()),
            owner: metadata.uid(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            born: metadata.created().ok(),
            was_claimed: marker == Marker::Processing,
            seen: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        };
        Ok((upload, metadata.is_dir()))
    }

    fn leave(&mut self, upload: &Upload, why: &str, claimed: &mut Claimed) {
        if self.memory.keep(upload, End::Refused) {
            claimed.left_alone.push((upload.shown(), Error::invalid(why)));
        }
    }

    /// Renames an upload, and never replaces anything; `NotFound` if it is not there any more.
    fn rename(&self, upload: &Upload, marker: &str) -> io::Result<OsString> {
        let root = self.tree.root();
        let there = statat(root, &upload.file_name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?;
        if (there.st_dev, there.st_ino) != upload.id {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut last = Errno::EXIST;
        for to in candidates(&upload.file_name.to_string_lossy(), marker) {
            let mut renamed = renameat_with(root, &upload.file_name, root, &to, RenameFlags::NOREPLACE);
            // Not every file system knows how. A plain rename of a directory replaces an empty directory at most.
            if matches!(renamed, Err(Errno::INVAL | Errno::NOSYS)) && statat(root, &to, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                renamed = renameat_with(root, &upload.file_name, root, &to, RenameFlags::empty());
            }
            match renamed {
                Ok(()) => return Ok(to.into()),
                Err(error @ (Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL)) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// The files of an upload with the names they get; an error lists all that cannot be accepted.
    pub fn read(&self, upload: &Upload) -> Result<NamedFiles> {
        let refused =
            |problems: Vec<String>| Error::invalid(format!("upload {} cannot be accepted", upload.name.escape_debug())).problems(problems);
        if !self.look(&upload.file_name, b"", Marker::Processing).is_ok_and(|(there, _)| there.id == upload.id) {
            return Err(refused(vec!["it was replaced or removed meanwhile".into()]));
        }
        let failed = |error: io::Error| Error::io("read the drop box", self.path().display(), error);
        let rules = Rules { owner: Some(upload.owner), renamed_by: self.tree.writers().map_err(failed)?, ..self.rules() };
        let found =
            self.tree.walk(Path::new(&upload.file_name), rules, &self.limits).map_err(|failure| refused(vec![failure.with_cause()]))?;
        let mut files = NamedFiles::new();
        let mut problems = Vec::new();
        for found in found {
            match self.named(upload, found) {
                Ok((name, file)) => drop(files.insert(name, file)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            return Ok(files);
        }
        Err(refused(problems))
    }

    fn named(&self, upload: &Upload, found: Found) -> std::result::Result<(TargetPath, TreeFile), String> {
        let relative = found.path.strip_prefix(&upload.file_name).unwrap_or(&found.path);
        let shown = relative.to_string_lossy().escape_debug().to_string();
        let file = match found.what {
            What::File(file) => file,
            What::Refused(failure) => return Err(failure.with_cause()),
            What::Link | What::Special => return Err(format!("{shown}: neither a file nor a directory; links are not followed")),
        };
        let relative = relative.to_str().ok_or_else(|| format!("{shown}: the name is not UTF-8"))?;
        let name = if self.prefix.is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.prefix) };
        let name = TargetPath::parse(name).map_err(|failure| failure.message)?;
        if name.parts().is_reserved() {
            return Err(format!("{name}: its first part is reserved for releases and channels"));
        }
        Ok((name, file))
    }

    /// Whether a file lies in an upload.
    pub fn holds(&self, upload: &Upload, file: &Path) -> bool {
        file.starts_with(self.path().join(&upload.file_name))
    }

    /// Marks uploads as published; must be called right after the commit. From then on they are never published again.
    pub fn mark_published(&mut self, uploads: &mut [Upload]) -> Result<()> {
        for upload in uploads {
            let aside = candidates(&upload.file_name.to_string_lossy(), "failed").swap_remove(0);
            match self.rename(upload, "done") {
                Ok(to) => {
                    self.memory.forget(upload);
                    upload.file_name = to;
                }
                // Where it cannot be renamed, its name stays; where it is gone, there is nothing to remember.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => {
                    self.memory.keep(upload, End::Published);
                    self.in_place.insert(upload.identity());
                }
            }
            self.forget_reason(&aside);
        }
        self.memory.save()
    }

    /// Removes the reason that was written when an upload of this name was set aside before.
    fn forget_reason(&self, aside: &str) {
        let root = self.tree.root();
        let stat = |name: &str| statat(root, name, AtFlags::SYMLINK_NOFOLLOW);
        let reason = format!("{aside}.txt");
        let ours = stat(&reason).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_uid == rustix::process::geteuid().as_raw()
        });
        if ours && stat(aside).is_err() {
            let _ = unlinkat(root, &reason, AtFlags::empty());
        }
    }

    /// Removes a published upload. The error states why it stays; it is reported once, and one that stays is tried again by the
    /// next process.
    pub fn remove(&mut self, upload: &Upload) -> Result<()> {
        if self.tried.contains(&upload.identity()) {
            return Ok(());
        }
        // A directory deeper than what is accepted is not removed either.
        match self.tree.remove(&upload.file_name, upload.id, self.limits.depth.saturating_add(1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.tried.insert(upload.identity());
                let news = self.memory.keep(upload, End::Published);
                if !self.in_place.remove(&upload.identity()) && !news {
                    return Ok(());
                }
                self.memory.save()?;
                Err(Error::io("remove", self.tree.shown(Path::new(&upload.file_name)), error))
            }
            _ => {
                self.in_place.remove(&upload.identity());
                Ok(())
            }
        }
    }

    /// Sets an upload aside that cannot be accepted, with the reason beside it.
    pub fn set_aside(&mut self, upload: &Upload, failure: &Error) -> Result<Aside> {
        match self.rename(upload, "failed") {
            Ok(to) => {
                self.memory.forget(upload);
                self.memory.save()?;
                self.write_reason(&to.to_string_lossy(), failure);
                Ok(Aside::At(self.path().join(to)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Aside::Gone),
            Err(_) => {
                let news = self.memory.keep(upload, End::Refused);
                self.memory.save()?;
                Ok(Aside::LeftAlone(news))
            }
        }
    }

    /// Others can occupy every name that can be foreseen; the log has the reason too.
    fn write_reason(&self, file_name: &str, failure: &Error) {
        let mut text = format!("{}\n", one_line(&failure.message));
        failure.details.iter().for_each(|detail| text.push_str(&format!("  {}\n", one_line(detail))));
        failure.hints.iter().for_each(|hint| text.push_str(&format!("hint: {}\n", one_line(hint))));
        let shown = one_line(file_name);
        text.push_str(&format!("To try again, correct it and rename {shown}: replace `failed` with `ready`.\n"));
        let names = std::iter::once(format!("{file_name}.txt")).chain((2..10).map(|number| format!("{file_name}.{number}.txt")));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let readable = Mode::from_raw_mode(0o644);
        for name in names {
            match openat(self.tree.root(), &name, flags, readable) {
                Ok(descriptor) => {
                    // Pipelines are to read it, whatever this process keeps private.
                    let _ = fchmod(&descriptor, readable);
                    let _ = File::from(descriptor).write_all(text.as_bytes());
                    return;
                }
                Err(Errno::EXIST) => {}
                Err(_) => return,
            }
        }
    }
}

/// A text with names of others in it as one line, without what a terminal takes for commands.
fn one_line(text: &str) -> String {
    let hides =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let shown = |c: char| if hides(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
