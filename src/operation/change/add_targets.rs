//! `publish add-targets`: any files as targets, packages and their metadata together, in one commit.

use super::warnings::{empty_file, left_by_desktop, unusual_name};
use super::{Prepared, Upload, Work};
use crate::error::{Error, Kind, Message, Result};
use crate::names::{ReleaseVersion, TargetPath};
use crate::operation::{Publisher, RoleStep, target_steps};
use crate::policy::names::windows_warning;
use crate::policy::signatures::signature_of;
use crate::repository::{Artifact, PlainNames, Present, View, digest_file, each};
use crate::tree::{Found, Limits, Rules, Tree, TreeFile, What};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What the user requests.
#[derive(Clone, Debug)]
pub struct AddTargetsRequest {
    /// Files, and directories for everything below them.
    pub files: Vec<PathBuf>,
    /// Names are paths below this directory.
    pub base: PathBuf,
    /// Stands before every name, without slashes at its ends; empty for none.
    pub prefix: String,
    /// Give each target an OpenPGP signature.
    pub sign: bool,
    /// Only what differs from its target, of targets that are there; other files are reported.
    pub only_changed: bool,
    /// Enter lengths and digests only: another server serves the files.
    pub metadata_only: bool,
}

/// Files by the names they get.
pub(in crate::operation) type NamedFiles = BTreeMap<TargetPath, TreeFile>;

/// What adding will do.
#[derive(Debug, Serialize)]
pub struct AddTargetsPlan {
    /// Each target that is added, replaced or signed.
    pub targets: Vec<PlannedTarget>,
    /// How many are there already with the same bytes.
    pub unchanged: usize,
    /// Files that are no target, when only changed ones are wanted.
    pub unknown: Vec<String>,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
    /// Things worth a second look.
    pub warnings: Vec<Message>,
    /// Bytes to send.
    pub upload_bytes: u64,
    /// Whether there is nothing to do.
    pub empty: bool,
}

/// One target of the plan.
#[derive(Debug, Serialize)]
pub struct PlannedTarget {
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub change: TargetChange,
    /// Its length in bytes.
    pub length: u64,
    /// The digest that is replaced.
    pub replaces: Option<String>,
}

/// What happens to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetChange {
    /// It is new.
    Add,
    /// It is there with other bytes.
    Replace,
    /// It is there with these bytes and gets a signature.
    Sign,
}

/// Decides what adding will do. Files whose names are targets already are read.
pub fn prepare(publisher: &Publisher, request: &AddTargetsRequest) -> Result<Prepared<AddTargetsPlan>> {
    let files = named_files(request)?;
    publisher.keyring.check_no_secret(files.values())?;
    let present = publisher.load()?;
    publisher.check_root(&present)?;
    prepare_on(publisher, request, files, present)
}

/// The same for files that have their names already, on a given state.
pub(in crate::operation) fn prepare_on(
    publisher: &Publisher,
    request: &AddTargetsRequest,
    files: NamedFiles,
    mut present: Present,
) -> Result<Prepared<AddTargetsPlan>> {
    let storage = publisher.storage.as_ref();
    present.read_bins_of(storage, files.keys().map(TargetPath::as_str))?;
    let signatures: Vec<String> = files.keys().map(|name| name.parts().signature()).collect();
    present.read_bins_of(storage, signatures.iter().map(String::as_str))?;
    let elsewhere = request.metadata_only || publisher.plain_names == PlainNames::Elsewhere;
    let compared = compare(publisher, &files, &present, elsewhere && publisher.plain_names != PlainNames::Elsewhere)?;
    let mut plan = AddTargetsPlan {
        targets: Vec::new(),
        unchanged: 0,
        unknown: Vec::new(),
        roles: Vec::new(),
        warnings: Vec::new(),
        upload_bytes: 0,
        empty: true,
    };
    let mut uploads = Vec::new();
    for ((name, file), same) in files.iter().zip(compared) {
        uploads.extend(plan.add(request, name, file, same, &present, elsewhere)?);
    }
    let mut work = Work { uploads, elsewhere, ..Work::on(present) };
    work.check_names(publisher)?;
    let added = plan.targets.iter().filter(|target| target.change == TargetChange::Add).map(|target| target.name.as_str());
    let warnings = [left_by_desktop(added.clone()), windows_warning(added)];
    plan.warnings.extend(warnings.into_iter().flatten());
    plan.empty = work.is_empty();
    if !plan.empty {
        plan.roles = target_steps(publisher, &work.present, plan.targets.iter().map(|target| target.name.as_str()))?;
    }
    Ok(Prepared { plan, work })
}

impl AddTargetsPlan {
    /// Adds a file; gives what is to be staged of it, if anything is.
    fn add(
        &mut self,
        request: &AddTargetsRequest,
        name: &TargetPath,
        file: &TreeFile,
        same: bool,
        present: &Present,
        elsewhere: bool,
    ) -> Result<Option<Upload>> {
        let length = file.length();
        let published = present.target(name.as_str())?;
        let signature = signature_of(name.parts(), &View::new(present))?.map(|(_, target)| target);
        // A signature that stays beside other bytes would be a wrong one.
        let sign = request.sign || (signature.is_some() && !same);
        if sign && elsewhere {
            return Err(Error::invalid(format!("{name} has a signature in this repository, and its content would be on another server"))
                .hint("remove the target and its signature first: publish remove-targets"));
        }
        let change = match (&published, same) {
            (None, _) if request.only_changed => {
                self.unknown.push(file.shown());
                return Ok(None);
            }
            (None, _) => TargetChange::Add,
            (Some(_), false) => TargetChange::Replace,
            (Some(_), true) if request.sign && signature.is_none() => TargetChange::Sign,
            (Some(_), true) => {
                self.unchanged += 1;
                return Ok(None);
            }
        };
        if name.is_unusual() {
            self.warnings.push(unusual_name(name));
        }
        if length == 0 {
            self.warnings.push(empty_file(name));
        }
        let replaces = published.as_ref().filter(|_| change == TargetChange::Replace).map(|target| target.hashes.to_string());
        self.targets.push(PlannedTarget { name: name.to_string(), change, length, replaces });
        self.upload_bytes += length;
        let signs = sign.then(|| name.signature()).transpose()?;
        Ok(Some(Upload {
            artifact: Artifact { file: file.clone(), target: name.clone(), signature: signs },
            replaces: published,
            replaces_signature: signature,
            keeps_signature: false,
        }))
    }
}

/// All files with the names they get, sorted by name; whatever cannot be published is refused, all at once.
fn named_files(request: &AddTargetsRequest) -> Result<NamedFiles> {
    // Everything is opened beneath the base. Links in the given paths count for the names; when a file is opened there are
    // none left to follow.
    let tree = Tree::open(&request.base)?;
    let mut places = Places::new(&request.base)?;
    let mut files = NamedFiles::new();
    let mut problems = Vec::new();
    for given in &request.files {
        let found = match places.below_base(given) {
            Ok(below) => tree.walk(&below, Rules::default(), &Limits::NONE)?,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        for found in found {
            let found = match found {
                // Not an error of the names.
                Found { what: What::Refused(failure), .. } if failure.kind != Kind::Invalid && failure.kind != Kind::NotFound => {
                    return Err(failure);
                }
                found => found,
            };
            match named(&tree, found, request) {
                Ok((name, file)) => {
                    if let Some(other) = files.insert(name.clone(), file.clone())
                        && other.relative() != file.relative()
                    {
                        problems.push(format!("{} and {} would both be {name}", other.shown(), file.shown()));
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() {
        return Ok(files);
    }
    Err(Error::invalid("these files cannot become targets")
        .problems(problems)
        .hint("names are paths below --base, with --prefix before them; nothing was published"))
}

/// Where given paths lie below the base. A list can name very many files of few directories.
struct Places {
    base: PathBuf,
    directories: HashMap<PathBuf, PathBuf>,
}

impl Places {
    fn new(base: &Path) -> Result<Self> {
        let base = base.canonicalize().map_err(|error| Error::io("find the base", base.display(), error))?;
        Ok(Self { base, directories: HashMap::new() })
    }

    /// The path below the base; links are resolved, but for one in place of a file.
    fn below_base(&mut self, given: &Path) -> std::result::Result<PathBuf, String> {
        let unreadable = |error: std::io::Error| format!("{}: {error}", given.display());
        let is_directory = std::fs::metadata(given).is_ok_and(|metadata| metadata.is_dir());
        let full = match (given.file_name(), given.parent()) {
            (Some(name), Some(parent)) if !is_directory => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                if !self.directories.contains_key(parent) {
                    let real = parent.canonicalize().map_err(unreadable)?;
                    self.directories.insert(parent.to_owned(), real);
                }
                self.directories[parent].join(name)
            }
            _ => given.canonicalize().map_err(unreadable)?,
        };
        let below = full.strip_prefix(&self.base).map_err(|_| format!("{}: not below {}", given.display(), self.base.display()))?;
        Ok(below.to_owned())
    }
}

/// A file with the name it gets.
fn named(tree: &Tree, found: Found, request: &AddTargetsRequest) -> std::result::Result<(TargetPath, TreeFile), String> {
    let shown = tree.shown(&found.path);
    let file = match found.what {
        What::File(file) => file,
        What::Refused(failure) => return Err(failure.with_cause()),
        What::Link | What::Special => return Err(format!("{shown}: neither a file nor a directory; links are not followed")),
    };
    let relative = found.path.to_str().ok_or_else(|| format!("{shown}: the name is not UTF-8"))?;
    let prefix = &request.prefix;
    let name = if prefix.is_empty() { relative.to_owned() } else { format!("{prefix}/{relative}") };
    let name = TargetPath::parse(name).map_err(|failure| failure.message)?;
    if name.parts().is_reserved() {
        let first = name.as_str().split('/').next().unwrap_or_default();
        return Err(format!("{name}: {first}/ is reserved; releases and channels have commands of their own"));
    }
    if request.sign && name.as_str().split('/').next().is_some_and(|first| ReleaseVersion::parse(first).is_ok()) {
        return Err(format!("{name}: starts with a version, so its signature would have the name of a release's signature"));
    }
    Ok((name, file))
}

/// For each file: whether the target of its name has the same bytes. Only such files are read.
fn compare(publisher: &Publisher, files: &NamedFiles, present: &Present, elsewhere: bool) -> Result<Vec<bool>> {
    let files: Vec<_> = files.iter().collect();
    let same = |(name, file): &(&TargetPath, &TreeFile), (): &mut ()| {
        let known = present.target(name.as_str())?.filter(|target| target.length == file.length() && target.elsewhere == elsewhere);
        let Some(target) = known else { return Ok(false) };
        Ok(target.matches(&digest_file(file, publisher.progress.as_ref())?))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    each(&files, threads, || Ok(()), same)
}
