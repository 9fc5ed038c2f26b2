//! `publish release`: a build becomes `releases/<version>/…` with its signatures, in one commit.

use super::build::{Build, BuildFile};
use super::channels::{self, ChannelsPlan, ChannelsRequest};
use super::warnings::{MAX_LISTED, empty_file, left_by_desktop, unusual_name};
use super::{Prepared, Small, Upload, Work};
use crate::error::{Error, Id, Kind, Message, Result};
use crate::metadata::{Role, Target, Targets};
use crate::names::{Platform, RELEASES, ReleaseVersion, is_left_by_desktop, platform_directory, released_versions, yanked_name};
use crate::openpgp::{Certificates, Standing};
use crate::operation::difference::{self, previous};
use crate::operation::{Publisher, RoleStep, steps};
use crate::policy::names::{check_windows, windows_warning};
use crate::policy::platforms::Platforms;
use crate::policy::{releases::check_spelling, yanks::check_not_yanked};
use crate::repository::{Artifact, Condition, Edit, PlainNames, digest_file};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What the user requests.
#[derive(Clone, Debug)]
pub struct ReleaseRequest {
    /// The version to publish.
    pub version: ReleaseVersion,
    /// The build directory, with a directory for each platform.
    pub from: PathBuf,
    /// Where each platform lies instead: then only these are published.
    pub platforms: BTreeMap<Platform, PathBuf>,
    /// Sign again what is published already.
    pub resign: bool,
    /// Take files that a desktop left behind into bin/ too.
    pub allow_desktop_files: bool,
    /// Publish channels in the same commit.
    pub channels: Option<ChannelsRequest>,
}

/// What a release will do.
#[derive(Debug, Serialize)]
pub struct ReleasePlan {
    /// The version.
    pub version: String,
    /// The newest older release: what sizes are compared with.
    pub previous: Option<String>,
    /// Each platform of the build.
    pub platforms: Vec<PlatformPlan>,
    /// Platforms of the previous release that neither the build nor the published release has.
    pub lost_platforms: Vec<String>,
    /// Another release with exactly these files.
    pub identical_to: Option<String>,
    /// Channel changes of the same commit.
    pub channels: Option<ChannelsPlan>,
    /// Roles that will be signed.
    pub roles: Vec<RoleStep>,
    /// Things worth a second look.
    pub warnings: Vec<Message>,
    /// Bytes of new artifacts.
    pub upload_bytes: u64,
    /// Whether there is nothing to do.
    pub empty: bool,
}

/// One platform of a release plan.
#[derive(Debug, Serialize)]
pub struct PlatformPlan {
    /// For example `linux-amd64`.
    pub platform: String,
    /// What happens to it.
    pub state: PlatformState,
    /// Whether the previous release does not have it.
    pub gained: bool,
    /// Its artifacts.
    pub files: Vec<PlannedFile>,
    /// Files of the previous release that it no longer has, by their path below the platform.
    pub lost_files: Vec<String>,
}

/// What a release does to a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformState {
    /// Published now.
    New,
    /// Published already with the same bytes.
    Identical,
    /// Published already; gets new or missing signatures.
    Resign,
}

/// One artifact of a release plan.
#[derive(Debug, Serialize)]
pub struct PlannedFile {
    /// Its target name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its length in the previous release.
    pub previous_length: Option<u64>,
}

/// Decides what a release will do. An artifact is read only if its platform is published already.
pub fn prepare(publisher: &Publisher, request: &ReleaseRequest) -> Result<Prepared<ReleasePlan>> {
    let build = match request.platforms.is_empty() {
        true => Build::read(&request.from, &request.version)?,
        false => Build::mapped(&request.platforms, &request.version)?,
    };
    let present = publisher.load()?;
    publisher.check_root(&present)?;
    check_version(publisher, &request.version, &present.targets)?;
    check_files(publisher, &build)?;
    let Draft { mut plan, uploads, small, edit, .. } = Draft::of(publisher, request, &build, &present.targets)?;
    let mut work = Work { uploads, small, edit, ..Work::on(present) };
    plan.empty = work.is_empty();
    if !plan.empty {
        plan.roles = steps(publisher, &work.present, &Role::ONLINE)?;
    }
    work.check_names(publisher)?;
    Ok(Prepared { plan, work })
}

/// Refuses versions that were withdrawn, and those that some client takes for another one.
fn check_version(publisher: &Publisher, version: &ReleaseVersion, targets: &Targets) -> Result<()> {
    let text = version.to_string();
    check_not_yanked(&text, targets)?;
    check_spelling(&text, targets)?;
    if text.contains('+') && publisher.plus_is_broken()? {
        return Err(Error::invalid(format!("version {version} has a `+`, and clients cannot fetch such names from this store"))
            .hint("the store reads a raw + as a space, as `publish store check` found; use a version without build metadata"));
    }
    Ok(())
}

/// Refuses what a desktop left in a directory of programs: with it, trdl finds two programs and runs neither.
fn check_programs(files: &[BuildFile]) -> Result<()> {
    let left = |file: &&BuildFile| file.name.starts_with("bin/") && is_left_by_desktop(&file.name);
    let files: Vec<String> = files.iter().filter(left).map(|file| file.file.shown()).collect();
    if files.is_empty() {
        return Ok(());
    }
    let more = files.len().saturating_sub(MAX_LISTED);
    let listed = files.into_iter().take(MAX_LISTED).chain((more > 0).then(|| format!("and {more} more")));
    Err(Error::invalid("a desktop left files in bin/; `trdl exec` without a name fails when there is more than one program")
        .details(listed)
        .hint("remove them; if they belong to the release: --allow-desktop-files"))
}

/// Refuses files that the store could not hold.
fn check_files(publisher: &Publisher, build: &Build) -> Result<()> {
    publisher.keyring.check_no_secret(build.platforms.values().flatten().map(|file| &file.file))?;
    for file in build.platforms.values().flatten() {
        if file.file.length() > publisher.storage.properties().longest_copy && publisher.plain_names == PlainNames::All {
            return Err(Error::invalid(format!("{} has {} bytes, more than the store can copy", file.file.shown(), file.file.length()))
                .hint("its plain name would be such a copy: set `plain_names: none` in the config if all users have TUF clients, or split the file"));
        }
        if file.name.contains('+') && publisher.plus_is_broken()? {
            return Err(Error::invalid(format!(
                "{} has a `+` in its name, and clients cannot fetch such names from this store",
                file.file.shown()
            ))
            .hint("the store reads a raw + as a space, as `publish store check` found; rename the file"));
        }
    }
    Ok(())
}

/// The signature that is published for the artifact.
fn published_signature(artifact: &BuildFile, targets: &Targets) -> Result<Option<Target>> {
    targets.get(artifact.signature.as_str())
}

/// A release while it is decided.
struct Draft<'a> {
    publisher: &'a Publisher,
    request: &'a ReleaseRequest,
    build: &'a Build,
    targets: &'a Targets,
    plan: ReleasePlan,
    uploads: Vec<Upload>,
    small: Vec<Small>,
    edit: Edit,
}

impl<'a> Draft<'a> {
    fn of(publisher: &'a Publisher, request: &'a ReleaseRequest, build: &'a Build, targets: &'a Targets) -> Result<Self> {
        let plan = ReleasePlan {
            version: request.version.to_string(),
            previous: previous(&request.version, targets),
            platforms: Vec::new(),
            lost_platforms: Vec::new(),
            identical_to: None,
            channels: None,
            roles: Vec::new(),
            warnings: Vec::new(),
            upload_bytes: 0,
            empty: true,
        };
        let conditions = vec![Condition::Absent { name: yanked_name(&request.version) }];
        let edit = Edit { conditions, ..Edit::default() };
        let mut draft = Self { publisher, request, build, targets, plan, uploads: Vec::new(), small: Vec::new(), edit };
        draft.warn_about_version();
        for (platform, files) in &build.platforms {
            draft.add_platform(*platform, files)?;
        }
        draft.compare()?;
        draft.warn_about_choice();
        if let Some(channels) = &request.channels {
            draft.add_channels(channels)?;
        }
        if draft.plan.platforms.iter().any(|platform| platform.state == PlatformState::Identical) {
            draft.warn_about_certificate();
        }
        Ok(draft)
    }

    fn add_channels(&mut self, request: &ChannelsRequest) -> Result<()> {
        let mut platforms = Platforms::of_release(&self.plan.version, self.targets);
        self.build.platforms.keys().for_each(|platform| platforms.add(platform));
        let channels = channels::decide(self.publisher, request, self.targets, Some((&self.request.version, &platforms)))?;
        self.edit.may_lose_platforms |= channels.loses_platforms;
        self.plan.warnings.extend_from_slice(&channels.warnings);
        self.edit.conditions.extend(channels.conditions());
        self.small = channels.contents();
        self.plan.channels = Some(channels);
        Ok(())
    }

    fn add_platform(&mut self, platform: Platform, files: &[BuildFile]) -> Result<()> {
        let prefix = platform_directory(&self.request.version, platform);
        let names: Vec<&str> = files.iter().map(|file| file.target.as_str()).collect();
        let published: Vec<&str> = self.targets.below(&prefix).collect();
        let mut state = PlatformState::New;
        let mut staged: Vec<&BuildFile> = files.iter().collect();
        if !published.is_empty() {
            check_identical(self.publisher, &prefix, &published, files, self.targets)?;
            if !self.request.resign {
                staged.clear();
                for file in files {
                    if published_signature(file, self.targets)?.is_none() {
                        staged.push(file);
                    }
                }
            }
            state = if staged.is_empty() { PlatformState::Identical } else { PlatformState::Resign };
        } else {
            if !self.request.allow_desktop_files {
                check_programs(files)?;
            }
            check_windows(names.iter().copied())?;
            let plan = &mut self.plan;
            plan.warnings.extend(windows_warning(names.iter().copied()));
            plan.upload_bytes += files.iter().map(|file| file.file.length()).sum::<u64>();
            plan.warnings.extend(files.iter().map(|file| &file.target).filter(|target| target.is_unusual()).map(unusual_name));
            plan.warnings.extend(left_by_desktop(names.iter().copied()));
            plan.warnings.extend(files.iter().filter(|file| file.file.length() == 0).map(|file| empty_file(&file.target)));
            if !files.iter().any(|file| file.name.starts_with("bin/")) {
                plan.warnings.push(Message::new(
                    Id::NoBinDirectory,
                    format!("{platform} has no bin/ directory; `trdl use`, `exec` and `bin-path` need one"),
                ));
            }
        }
        let mut sealed: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        sealed.sort();
        self.edit.conditions.push(Condition::Sealed { prefix, names: sealed });
        for file in staged {
            let replaces_signature = published_signature(file, self.targets)?;
            self.uploads.push(Upload {
                artifact: Artifact { file: file.file.clone(), target: file.target.clone(), signature: Some(file.signature.clone()) },
                replaces: None,
                keeps_signature: replaces_signature.is_none(),
                replaces_signature,
            });
        }
        let planned = |file: &BuildFile| PlannedFile { name: file.target.to_string(), length: file.file.length(), previous_length: None };
        let files = files.iter().map(planned).collect();
        self.plan.platforms.push(PlatformPlan { platform: platform.to_string(), state, gained: false, files, lost_files: Vec::new() });
        Ok(())
    }

    /// Fills in what the previous release has, and looks for a release with the same files.
    fn compare(&mut self) -> Result<()> {
        let before = match &self.plan.previous {
            Some(previous) => difference::files(previous, self.targets)?,
            None => return Ok(()),
        };
        let version = &self.plan.version;
        for platform in &mut self.plan.platforms {
            let Some(old) = before.get(&platform.platform) else {
                platform.gained = true;
                continue;
            };
            let prefix = platform_directory(version, &platform.platform);
            let path = |file: &PlannedFile| file.name.strip_prefix(&prefix).unwrap_or(&file.name).to_owned();
            let kept: BTreeSet<String> = platform.files.iter().map(path).collect();
            platform.lost_files = old.keys().filter(|name| !kept.contains(*name)).cloned().collect();
            platform.files.iter_mut().for_each(|file| file.previous_length = old.get(&path(file)).map(|target| target.length));
        }
        let here = |name: &String| {
            self.plan.platforms.iter().any(|platform| platform.platform == *name)
                || self.targets.below(&platform_directory(version, name)).next().is_some()
        };
        self.plan.lost_platforms = before.keys().filter(|name| !here(name)).cloned().collect();
        self.find_identical()
    }

    /// A release with the bytes of another one is often a build that was not made anew. Files are read only if all names and
    /// lengths are those of another release.
    fn find_identical(&mut self) -> Result<()> {
        if self.plan.platforms.iter().any(|platform| platform.state != PlatformState::New) {
            return Ok(());
        }
        let mut digests = BTreeMap::new();
        for version in released_versions(self.targets.below(RELEASES)).into_iter().rev() {
            let other = difference::files(version, self.targets)?;
            let mut pairs = Vec::new();
            for (platform, files) in &self.build.platforms {
                let theirs = other.get(&platform.to_string());
                pairs.extend(files.iter().map(|file| (file, theirs.and_then(|theirs| theirs.get(&file.name)))));
            }
            let count: usize = other.values().map(BTreeMap::len).sum();
            let fits =
                pairs.len() == count && pairs.iter().all(|(file, target)| target.is_some_and(|target| target.length == file.file.length()));
            if !fits {
                continue;
            }
            let mut same = true;
            for (file, target) in pairs {
                let shown = file.file.shown();
                if !digests.contains_key(&shown) {
                    digests.insert(shown.clone(), digest_file(&file.file, self.publisher.progress.as_ref())?);
                }
                same &= digests.get(&shown).zip(target).is_some_and(|(digests, target)| target.matches(digests));
                if !same {
                    break;
                }
            }
            if same {
                self.plan.warnings.push(Message::new(
                    Id::IdenticalRelease,
                    format!(
                        "this build is identical to release {version}: check that it was built from the source of {}",
                        self.plan.version
                    ),
                ));
                self.plan.identical_to = Some(version.to_owned());
                return Ok(());
            }
        }
        Ok(())
    }

    /// The trdl client treats versions that differ in build metadata as equal and takes one at random.
    fn warn_about_version(&mut self) {
        let version = &self.request.version;
        for name in released_versions(self.targets.below(RELEASES)) {
            if let Ok(other) = ReleaseVersion::parse(name)
                && other != *version
                && other.same_precedence(version)
            {
                self.plan.warnings.push(Message::new(Id::BuildMetadataOnly, format!("{version} and the released {other} differ only in build metadata; a trdl client that pins a version chooses one of them at random")));
            }
        }
    }

    /// A platform that is added later can change which directory a machine picks. A worker requires a right for that.
    fn warn_about_choice(&mut self) {
        let published = Platforms::of_release(&self.plan.version, self.targets);
        let mut after = published.clone();
        self.build.platforms.keys().for_each(|platform| after.add(platform));
        for (machine, old, new) in published.diverted_by(&after) {
            self.plan.warnings.push(Message::new(
                Id::MachinesDiverted,
                format!("{machine} machines installed {old} until now and will install {new} from now on"),
            ));
            self.edit.may_lose_platforms = true;
        }
    }

    /// Signatures stay when nothing changes, so a warning reports that they have become worthless.
    fn warn_about_certificate(&mut self) {
        let Ok(bytes) = self.publisher.keyring.certificate() else { return };
        let mut certificates = Certificates::default();
        if certificates.add(&bytes, "the OpenPGP key").is_err() {
            return;
        }
        let version = &self.plan.version;
        for (fingerprint, standing) in certificates.standings(self.publisher.now()) {
            if standing == Standing::Revoked {
                self.plan.warnings.push(Message::new(Id::CertificateRevoked, format!(
                    "the OpenPGP certificate {fingerprint} is revoked; clients refuse its signatures: set `openpgp:` to another key, then `publish release {version} --from DIR --resign`"
                )));
            }
        }
    }
}

/// A published platform never changes: names and bytes must be those published. Sizes are compared first, so that a
/// different build of some gigabytes is refused without reading all of it.
fn check_identical(publisher: &Publisher, prefix: &str, published: &[&str], files: &[BuildFile], targets: &Targets) -> Result<()> {
    let mut differences = Vec::new();
    for name in published.iter().filter(|name| !files.iter().any(|file| file.target.as_str() == **name)) {
        differences.push(format!("{name}: published, not in this build"));
    }
    let known: Vec<(&BuildFile, Option<Target>)> =
        files.iter().map(|file| Ok((file, targets.get(file.target.as_str())?))).collect::<Result<_>>()?;
    let differs_already = !differences.is_empty()
        || known.iter().any(|(file, target)| target.as_ref().is_none_or(|target| target.length != file.file.length()));
    for (file, target) in known {
        let Some(target) = target else {
            differences.push(format!("{}: in this build, not published", file.target));
            continue;
        };
        if differs_already && target.length == file.file.length() {
            continue;
        }
        let digests = digest_file(&file.file, publisher.progress.as_ref())?;
        if !target.matches(&digests) {
            differences.push(file.target.to_string());
            differences.push(format!("  published: {} ({} bytes)", target.hashes, target.length));
            differences.push(format!("  this build: sha256 {} ({} bytes)", digests.hex(), digests.length));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("{prefix} is published with other content; a published platform never changes"))
        .id(Id::OtherContentPublished)
        .details(differences)
        .hint("publish this build under a new version; if it should be the same, the build is not reproducible"))
}
