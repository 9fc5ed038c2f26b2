//! A finished build on disk: `<os>-<arch>/…` below one directory, any number of files, nested as they come.

use crate::error::{Error, Kind, Result};
use crate::names::{Platform, ReleaseVersion, TargetPath, artifact_name};
use crate::policy::names::case_collisions;
use crate::tree::{Limits, Rules, Tree, TreeFile, What};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The target that it becomes.
    pub target: TargetPath,
    /// The target that its signature becomes.
    pub signature: TargetPath,
    /// The file.
    pub file: TreeFile,
}

impl BuildFile {
    fn new(version: &ReleaseVersion, platform: Platform, name: String, file: TreeFile) -> Result<Self> {
        let target = TargetPath::parse(artifact_name(version, platform, &name))?;
        Ok(Self { name, signature: target.signature()?, target, file })
    }
}

impl Build {
    /// Reads each platform from its place: a directory, or one file, which goes to `bin/`.
    pub fn mapped(platforms: &BTreeMap<Platform, PathBuf>, version: &ReleaseVersion) -> Result<Self> {
        let mut build = Self::default();
        let mut problems = Vec::new();
        for (platform, path) in platforms {
            let found = match std::fs::metadata(path) {
                Err(error) => {
                    problems.push(format!("{platform}={}: {error}", path.display()));
                    continue;
                }
                Ok(found) if found.is_dir() => {
                    let tree = Tree::open(path)?;
                    files(&tree, Path::new(""), version, *platform, &mut problems)?
                }
                Ok(_) => vec![program(path, version, *platform)?],
            };
            if found.is_empty() && problems.is_empty() {
                problems.push(format!("{platform}={}: the directory contains no files", path.display()));
            }
            build.platforms.insert(*platform, found);
        }
        build.check_collisions(&mut problems);
        if problems.is_empty() {
            return Ok(build);
        }
        Err(Error::invalid("the build cannot be published").problems(problems))
    }

    /// Walks a directory and refuses, all at once and by name, whatever cannot be published.
    pub fn read(directory: &Path, version: &ReleaseVersion) -> Result<Self> {
        let hint = "--from names the directory that holds <os>-<arch> directories";
        let tree = Tree::open(directory).map_err(|mut failure| {
            failure.message = format!("cannot read the build directory {}", directory.display());
            failure.hint(hint)
        })?;
        let mut build = Self::default();
        let mut problems = Vec::new();
        let mut hints = Vec::new();
        let top = tree
            .list(Path::new(""), Rules::default(), usize::MAX)
            .map_err(|error| Error::io("read the build directory", directory.display(), error))?;
        for (name, kind) in top {
            if kind != FileType::Directory {
                let platform = kind == FileType::Symlink && Platform::parse(&name.to_string_lossy()).is_ok();
                let why = match platform {
                    true => "a symbolic link; make it the platform's directory itself, links are not followed",
                    false => "not a platform directory; move it out, or name the platforms with --platform",
                };
                problems.push(format!("{}: {why}", tree.shown(Path::new(&name))));
                continue;
            }
            match Platform::parse(&name.to_string_lossy()) {
                Err(failure) => match Platform::meant_by(&name.to_string_lossy()) {
                    Some(platform) => problems.push(remedy(&tree, &name, platform)),
                    None => {
                        problems.push(failure.message);
                        hints.extend(failure.hints);
                    }
                },
                Ok(platform) => match files(&tree, Path::new(&name), version, platform, &mut problems)? {
                    files if files.is_empty() => {
                        problems.push(format!("{}: the platform directory contains no files", tree.shown(Path::new(&name))));
                    }
                    files => drop(build.platforms.insert(platform, files)),
                },
            }
        }
        if problems.is_empty() && build.platforms.is_empty() {
            return Err(Error::invalid(format!("the build directory {} is empty", directory.display()))
                .hint("put the files below directories named <os>-<arch>, for example linux-amd64/bin/tool"));
        }
        build.check_collisions(&mut problems);
        if problems.is_empty() {
            return Ok(build);
        }
        hints.dedup();
        let failure = Error::invalid(format!("the build in {} cannot be published", directory.display()));
        // Every entry of a wrong directory is a problem: the directory is the only one that is reported.
        Err(match wrong_directory(directory) {
            Some(hint) if build.platforms.is_empty() => failure.detail("it has no directory named <os>-<arch>").hint(hint),
            _ => hints.into_iter().take(3).fold(failure.problems(problems), Error::hint),
        })
    }

    fn check_collisions(&self, problems: &mut Vec<String>) {
        for (platform, files) in &self.platforms {
            for (a, b) in case_collisions(files.iter().map(|file| file.name.as_str())) {
                problems.push(format!("{platform}: `{a}` and `{b}` differ only in case; many file systems would keep one of them"));
            }
        }
    }
}

/// What to name instead of a directory that is beside the right one: a platform's own, or one that holds the build.
fn wrong_directory(directory: &Path) -> Option<String> {
    let is_platform = |name: &std::ffi::OsStr| Platform::parse(&name.to_string_lossy()).is_ok();
    let full = std::path::absolute(directory).ok()?;
    let given = if directory.file_name().is_some() { directory } else { full.as_path() };
    if let Some(platform) = given.ancestors().take(2).find(|at| at.file_name().is_some_and(is_platform)) {
        let parent = platform.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = platform.file_name()?.to_string_lossy();
        let shown = platform.display();
        return Some(format!("{shown} is the directory of one platform: write --from {}, or --platform {name}={shown}", parent.display()));
    }
    let holds_platforms = |path: &Path| {
        let mut entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.any(|entry| is_platform(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir()))
    };
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let build = entries.into_iter().find(|path| holds_platforms(path))?;
    let build = build.strip_prefix("./").unwrap_or(&build);
    Some(format!("did you mean --from {}? It has a directory <os>-<arch> for each platform", build.display()))
}

/// What to do about a directory that another tool named.
fn remedy(tree: &Tree, name: &std::ffi::OsStr, platform: Platform) -> String {
    let shown = tree.shown(Path::new(name));
    // A directory with one program in it: the program goes to bin/.
    let path = tree.path().join(name);
    let mut entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
    let only = entries.next().filter(|entry| entries.next().is_none() && entry.file_type().is_ok_and(|kind| kind.is_file()));
    let given = only.map_or(shown.clone(), |only| format!("{shown}/{}", only.file_name().to_string_lossy().escape_debug()));
    format!("{shown}: rename it to {platform}, or add --platform {platform}={given}")
}

/// One file as the program of a platform.
fn program(path: &Path, version: &ReleaseVersion, platform: Platform) -> Result<BuildFile> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{}: the name is not UTF-8", path.display())))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    BuildFile::new(version, platform, format!("bin/{name}"), Tree::open(parent)?.file(Path::new(name), Rules::default())?)
}

fn files(
    tree: &Arc<Tree>,
    directory: &Path,
    version: &ReleaseVersion,
    platform: Platform,
    problems: &mut Vec<String>,
) -> Result<Vec<BuildFile>> {
    let mut files = Vec::new();
    let found = match tree.walk(directory, Rules::default(), &Limits::NONE) {
        Ok(found) => found,
        Err(failure) => {
            problems.push(failure.message);
            return Ok(files);
        }
    };
    for found in found {
        let shown = tree.shown(&found.path);
        let file = match found.what {
            What::File(file) => file,
            What::Link => {
                problems.push(format!("{shown}: a symbolic link; TUF has no links, and a copy of its target breaks signed macOS bundles: publish an archive that contains it"));
                continue;
            }
            What::Special => {
                problems.push(format!("{shown}: neither a file nor a directory"));
                continue;
            }
            // Not an error of the build.
            What::Refused(failure) if failure.kind != Kind::Invalid => return Err(failure),
            What::Refused(failure) => {
                problems.push(failure.with_cause());
                continue;
            }
        };
        let Some(name) = found.path.strip_prefix(directory).ok().and_then(Path::to_str) else {
            problems.push(format!("{shown}: the name is not UTF-8"));
            continue;
        };
        match BuildFile::new(version, platform, name.to_owned(), file) {
            Ok(file) => files.push(file),
            Err(failure) => problems.push(failure.message),
        }
    }
    Ok(files)
}
