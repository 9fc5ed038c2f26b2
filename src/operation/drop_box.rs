//! The drop box: a directory where pipelines leave uploads without holding any credential. The protocol is Rugged's: a
//! pipeline fills `tuf_tmp_<x>` and renames it to `tuf_ready_<x>`; the monitor claims it as `tuf_processing_<x>` and
//! removes it once its files are published. What cannot be accepted is set aside as `tuf_failed_<x>`, with the reason in
//! a file beside it. Upper case is as good as lower case.

use super::add_targets::NamedFiles;
use crate::failure::{Failure, Result};
use crate::layout::{TargetPath, is_reserved};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use walkdir::WalkDir;

const LOCK: &str = ".publish-monitor.lock";
/// So many problems of one directory are told.
const MAX_PROBLEMS: usize = 20;

/// A drop box that this process alone empties, for as long as the value lives.
#[derive(Debug)]
pub struct DropBox {
    path: PathBuf,
    /// Stands before every name, without slashes at its ends.
    prefix: String,
    _lock: File,
    /// When each directory was first seen.
    seen: HashMap<PathBuf, SystemTime>,
}

/// A claimed upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    path: PathBuf,
    /// What follows the marker.
    pub name: String,
    seen: SystemTime,
}

impl DropBox {
    /// Takes the drop box; `None` while another process has it.
    pub fn open(path: &Path, prefix: &str) -> Result<Option<Self>> {
        let failed = |error: std::io::Error| Failure::io("use the drop box", path.display(), error);
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            return Err(Failure::invalid(format!("the drop box {} is not a directory", path.display())));
        }
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Some(Self { path: path.to_owned(), prefix, _lock: lock, seen: HashMap::new() }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Claims every upload that is ready, and finds those that a dead monitor had claimed; in the order in which they
    /// count: by name, then by when they were first seen.
    pub fn claim(&mut self) -> Result<Vec<Upload>> {
        let failed = |error: std::io::Error| Failure::io("read the drop box", self.path.display(), error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let Some((marker, name)) = file_name.to_str().and_then(marked) else { continue };
            // A link would lead out of the drop box.
            if !entry.file_type().map_err(failed)?.is_dir() || !matches!(marker, Marker::Ready | Marker::Processing) {
                continue;
            }
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            let seen = *self.seen.entry(entry.path()).or_insert(modified);
            found.push((marker, Upload { path: entry.path(), name: name.to_owned(), seen }));
        }
        self.seen.retain(|path, _| found.iter().any(|(_, upload)| upload.path == *path));
        let mut claimed = Vec::new();
        for (marker, mut upload) in found {
            if marker == Marker::Ready {
                let to = self.path.join(renamed(&upload.path, "processing"));
                // One of the same name that is being processed comes first; this one waits for the next round.
                if to.exists() {
                    continue;
                }
                match fs::rename(&upload.path, &to) {
                    Ok(()) => {}
                    // The pipeline took it back.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(Failure::io("claim", upload.path.display(), error)),
                }
                self.seen.remove(&upload.path);
                self.seen.insert(to.clone(), upload.seen);
                upload.path = to;
            }
            claimed.push(upload);
        }
        claimed.sort_by(|a, b| order(&a.name, &b.name).then(a.seen.cmp(&b.seen)));
        Ok(claimed)
    }

    /// The files of an upload with the names they get; an error tells all that cannot be accepted.
    pub fn read(&self, upload: &Upload) -> Result<NamedFiles> {
        let mut files = NamedFiles::new();
        let mut problems = Vec::new();
        for entry in WalkDir::new(&upload.path).min_depth(1).sort_by_file_name() {
            match entry.map_err(|error| error.to_string()).and_then(|entry| self.named(upload, &entry)) {
                Ok(Some((name, path, length))) => drop(files.insert(name, (path, length))),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            return Ok(files);
        }
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(Failure::invalid(format!("upload {} cannot be accepted", upload.name)).details(problems))
    }

    fn named(&self, upload: &Upload, entry: &walkdir::DirEntry) -> std::result::Result<Option<(String, PathBuf, u64)>, String> {
        let relative = entry.path().strip_prefix(&upload.path).map_err(|error| error.to_string())?;
        let shown = relative.to_string_lossy().escape_debug().to_string();
        if entry.file_type().is_dir() {
            return Ok(None);
        }
        if !entry.file_type().is_file() {
            return Err(format!("{shown}: neither a file nor a directory; links are not followed"));
        }
        let relative = relative.to_str().ok_or_else(|| format!("{shown}: the name is not UTF-8"))?;
        let name = if self.prefix.is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.prefix) };
        let name = TargetPath::parse(name).map_err(|failure| failure.message)?;
        if is_reserved(name.as_str()) {
            return Err(format!("{name}: its first part is reserved for releases and channels"));
        }
        let metadata = File::open(entry.path()).and_then(|file| file.metadata()).map_err(|error| format!("{shown}: {error}"))?;
        Ok(Some((name.as_str().to_owned(), entry.path().to_owned(), metadata.len())))
    }

    /// Removes an upload whose files are published, and what was told of it when it was set aside before.
    pub fn remove(&self, upload: &Upload) -> Result<()> {
        let failed = renamed(&upload.path, "failed");
        if !self.path.join(&failed).exists() {
            let _ = fs::remove_file(self.path.join(format!("{failed}.txt")));
        }
        match fs::remove_dir_all(&upload.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", upload.path.display(), error)),
            _ => Ok(()),
        }
    }

    /// Sets an upload aside that cannot be accepted, with the reason beside it, and says where it is now.
    pub fn set_aside(&self, upload: &Upload, failure: &Failure) -> Result<PathBuf> {
        let first = renamed(&upload.path, "failed");
        let mut to = self.path.join(&first);
        let mut number = 2;
        while to.exists() {
            to = self.path.join(format!("{first}.{number}"));
            number += 1;
        }
        let mut text = format!("{}\n", failure.message);
        failure.details.iter().for_each(|detail| text.push_str(&format!("  {detail}\n")));
        failure.hints.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
        let file_name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        text.push_str(&format!("To try again, mend it and rename {file_name} to a name with `ready` for `failed`.\n"));
        let reason = self.path.join(format!("{file_name}.txt"));
        fs::write(&reason, text).map_err(|error| Failure::io("write", reason.display(), error))?;
        fs::rename(&upload.path, &to).map_err(|error| Failure::io("set aside", upload.path.display(), error))?;
        Ok(to)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    Ready,
    Processing,
    Other,
}

/// The marker of a directory in the drop box, and what follows it.
fn marked(file_name: &str) -> Option<(Marker, &str)> {
    let (head, rest) = (file_name.get(..4)?, file_name.get(4..)?);
    if !head.eq_ignore_ascii_case("tuf_") {
        return None;
    }
    let (marker, name) = rest.split_once('_')?;
    let marker = match marker.to_ascii_lowercase().as_str() {
        "ready" => Marker::Ready,
        "processing" => Marker::Processing,
        _ => Marker::Other,
    };
    (!name.is_empty()).then_some((marker, name))
}

/// The name with another marker, in the case of the old one.
fn renamed(path: &Path, marker: &str) -> String {
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (head, rest) = file_name.split_at(4);
    let (old, name) = rest.split_once('_').unwrap_or((rest, ""));
    let upper = old.bytes().any(|b| b.is_ascii_uppercase());
    format!("{head}{}_{name}", if upper { marker.to_ascii_uppercase() } else { marker.to_owned() })
}

/// Timestamps in numbers count as numbers, whatever their length; other names as text.
fn order(a: &str, b: &str) -> Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right).then_with(|| a.cmp(b)),
        _ => a.cmp(b),
    }
}
