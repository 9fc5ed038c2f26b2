//! The files in the checkout: which exist, which are ours, and how they are written.

use super::{Forge, ROOT, Step, gitlab};
use crate::error::{Error, Kind, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::operation::own_file;
use serde::Serialize;
use std::path::{Component, Path};

/// How files of this command begin.
const MARK: &str = "# Written by `publish ci";

/// One file of the plan.
#[derive(Debug, Serialize)]
pub struct PlannedFile {
    /// Its path, from the top of the checkout.
    pub path: String,
    /// What happens to it.
    pub change: Change,
    #[serde(skip)]
    text: String,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is made.
    Create,
    /// It was written by an earlier run and is written again.
    Replace,
    /// It is as it must be.
    Keep,
}

impl PlannedFile {
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        if self.change == Change::Keep {
            return Ok(());
        }
        let path = directory.join(&self.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("make the directory", parent.display(), error))?;
        }
        own_file::replace(&path, self.text.as_bytes())
    }
}

/// Refuses a directory that is not the top of a checkout: CI looks for its files nowhere else.
pub(super) fn check_top(directory: &Path) -> Result<()> {
    if directory.join(".git").exists() {
        return Ok(());
    }
    Err(Error::new(Kind::NotFound, format!("{} is not the top of a git checkout", directory.display()))
        .hint("run this command there, or name the directory with --directory")
        .hint("a new project: git init"))
}

/// A path that means the same in YAML, in a shell and in a file pattern.
pub(super) fn plain_path(what: &str, path: &str) -> Result<String> {
    let path = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
    let plain = !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) && !path.starts_with('-');
    if plain && Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(path.to_owned());
    }
    Err(Error::invalid(format!("{what} `{}` is not a plain path below the checkout", path.escape_debug()))
        .hint("use letters, digits and . _ - / only, without `..`"))
}

/// The channels file from the top of the checkout. One that lies elsewhere on this machine is expected at the top.
pub(super) fn channels_path(directory: &Path, channels: &Path) -> Result<String> {
    let real = |path: &Path| std::path::absolute(path).map_err(|error| Error::io("resolve", path.display(), error));
    let top = real(directory)?;
    let top = top.canonicalize().unwrap_or(top);
    let file = real(channels)?;
    let file = match (file.parent().and_then(|parent| parent.canonicalize().ok()), file.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => file,
    };
    match file.strip_prefix(&top) {
        Ok(below) => plain_path("the channels file", &below.to_string_lossy()),
        Err(_) => Ok("trdl_channels.yaml".into()),
    }
}

/// Whether the pipeline of a project includes our file already.
pub(super) fn includes(directory: &Path, forge: Forge) -> bool {
    let text = || read_given(&directory.join(gitlab::PIPELINE), GIVEN_FILE_LIMIT).ok();
    forge == Forge::GitLab && text().is_some_and(|text| String::from_utf8_lossy(&text).contains(gitlab::INCLUDED))
}

/// Compares the files with what is there. All that cannot be written is refused at once, before anything is written.
pub(super) fn compare(directory: &Path, texts: Vec<(String, String)>, force: bool, included: bool) -> Result<Vec<PlannedFile>> {
    let (mut files, mut foreign, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for (path, text) in texts {
        let place = directory.join(&path);
        if place.symlink_metadata().is_err() {
            files.push(PlannedFile { path, change: Change::Create, text });
            continue;
        }
        if path == gitlab::PIPELINE {
            // The project's own: what is missing there is a step of the setup.
            if included {
                files.push(PlannedFile { path, change: Change::Keep, text });
            }
            continue;
        }
        let there = read_given(&place, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", place.display(), error))?;
        let written_here = there.starts_with(MARK.as_bytes()) || path == ROOT;
        match (there == text.as_bytes(), written_here, force) {
            (true, ..) => files.push(PlannedFile { path, change: Change::Keep, text }),
            (false, true, true) => files.push(PlannedFile { path, change: Change::Replace, text }),
            (false, true, false) => ours.push(format!("{path} was changed since, or the config or the options were")),
            (false, false, _) => foreign.push(format!("{path} was not written by `publish ci`")),
        }
    }
    if foreign.is_empty() && ours.is_empty() {
        return Ok(files);
    }
    let mut failure = Error::new(Kind::Conflict, "files with other content exist; nothing was written");
    if !ours.is_empty() {
        failure = failure.hint("--force writes files of `publish ci` again; `git diff` then shows what it changed");
    }
    if !foreign.is_empty() {
        failure = failure.hint("move files of others away: `publish ci` never replaces them");
    }
    Err(failure.details(foreign.into_iter().chain(ours)))
}

/// The last step: the files take effect on the default branch.
pub(super) fn commit(files: &[PlannedFile]) -> Step {
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    Step {
        what: "Commit the files to the default branch".into(),
        lines: vec![format!("git add {}", names.join(" ")), "git commit -m 'Publish from CI' && git push".into()],
    }
}

/// A word in a shell command.
pub(super) fn shell(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:=+@,".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
