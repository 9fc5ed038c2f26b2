//! A finished build on disk: `<os>-<arch>/…` below one directory, any number of files, nested as they come.

use crate::failure::{Failure, Result};
use crate::layout::{Platform, ReleaseVersion, TargetPath, artifact_name, case_collision, signature_name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The files of a build by platform, each platform's sorted by name.
#[derive(Debug, Default)]
pub struct Build {
    /// Never an empty list.
    pub platforms: BTreeMap<Platform, Vec<BuildFile>>,
}

/// One file of a build.
#[derive(Clone, Debug)]
pub struct BuildFile {
    /// Its path below the platform's directory, with `/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
}

/// At most so many problems are listed; a wrong directory would give thousands.
const MAX_PROBLEMS: usize = 20;

impl Build {
    /// Walks a directory and refuses, all at once and by name, whatever cannot be published.
    pub fn read(directory: &Path, version: &ReleaseVersion) -> Result<Self> {
        let top = std::fs::read_dir(directory).map_err(|error| {
            Failure::io("read the build directory", directory.display(), error)
                .hint("--from names the directory that holds <os>-<arch> directories")
        })?;
        let mut build = Self::default();
        let mut problems = Vec::new();
        let mut hints = Vec::new();
        let mut entries = top
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|error| Failure::io("read the build directory", directory.display(), error))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                problems.push(format!("{}: only <os>-<arch> directories may stand here", path.display()));
                continue;
            }
            match Platform::parse(&entry.file_name().to_string_lossy()) {
                Err(failure) => {
                    problems.push(failure.message);
                    hints.extend(failure.hints);
                }
                Ok(platform) => match files(&path, version, platform, &mut problems) {
                    files if files.is_empty() => problems.push(format!("{}: the platform directory holds no files", path.display())),
                    files => drop(build.platforms.insert(platform, files)),
                },
            }
        }
        if problems.is_empty() && build.platforms.is_empty() {
            return Err(Failure::invalid(format!("the build directory {} is empty", directory.display()))
                .hint("put the files below directories named <os>-<arch>, for example linux-amd64/bin/tool"));
        }
        build.check_collisions(&mut problems);
        if problems.is_empty() {
            return Ok(build);
        }
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        hints.dedup();
        let failure = Failure::invalid(format!("the build in {} cannot be published", directory.display())).details(problems);
        Err(hints.into_iter().take(3).fold(failure, Failure::hint))
    }

    fn check_collisions(&self, problems: &mut Vec<String>) {
        for (platform, files) in &self.platforms {
            if let Some((a, b)) = case_collision(files.iter().map(|file| file.name.as_str())) {
                problems.push(format!("{platform}: `{a}` and `{b}` differ only in case; many file systems would keep one of them"));
            }
        }
    }
}

fn files(directory: &Path, version: &ReleaseVersion, platform: Platform, problems: &mut Vec<String>) -> Vec<BuildFile> {
    let mut files = Vec::new();
    for entry in WalkDir::new(directory).min_depth(1).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        let shown = entry.path().display();
        if !kind.is_file() {
            let what = if kind.is_symlink() {
                "a symbolic link; TUF has no links: copy the file it points to"
            } else {
                "neither a file nor a directory"
            };
            problems.push(format!("{shown}: {what}"));
            continue;
        }
        let Some(name) = entry.path().strip_prefix(directory).ok().and_then(Path::to_str) else {
            problems.push(format!("{}: the name is not UTF-8", entry.path().to_string_lossy().escape_debug()));
            continue;
        };
        // The signature's name is the longer one: where it fits, the artifact's does.
        if let Err(failure) = TargetPath::parse(artifact_name(version, platform, name))
            .and_then(|_| TargetPath::parse(signature_name(version, platform, name)))
        {
            problems.push(failure.message);
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => files.push(BuildFile { name: name.to_owned(), path: entry.into_path(), length: metadata.len() }),
            Err(error) => problems.push(error.to_string()),
        }
    }
    files
}
