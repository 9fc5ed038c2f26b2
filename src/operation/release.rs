//! `publish release`: a build becomes `releases/<version>/…` with its signatures, in one commit.

use super::build::{Build, BuildFile};
use super::channels::{ChannelsPlan, ChannelsRequest};
use super::difference::{self, previous};
use super::{Outcome, Publisher, RoleStep, channels, steps};
use crate::digest::Digests;
use crate::error::{Error, Id, Kind, Message, Result};
use crate::keys::Signers;
use crate::metadata::{Role, Target, Targets};
use crate::names::{
    Platform, RELEASES, ReleaseVersion, TargetPath, certificate_name, is_left_by_desktop, platform_directory, released_versions,
    yanked_name,
};
use crate::openpgp::{Certificates, Standing};
use crate::policy::names::{check_windows, windows_warning};
use crate::policy::platforms::Platforms;
use crate::policy::{releases::check_spelling, yanks::check_not_yanked};
use crate::repository::{Artifact, Change, Condition, Edit, PlainNames, Present, digest_file, stage, stage_bytes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// At most so many names are listed.
const MAX_LISTED: usize = 10;

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
    #[serde(skip)]
    work: Work,
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

/// What apply needs beyond what people see.
#[derive(Default)]
struct Work {
    present: Option<Present>,
    artifacts: Vec<Artifact>,
    /// The published signature that each artifact's new one replaces.
    replaced: Vec<Option<Target>>,
    edit: Edit,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} artifacts", self.artifacts.len())
    }
}

/// Decides what a release will do; nothing is written, no key is opened, and an artifact is read only if its platform is
/// published already.
pub fn plan(publisher: &Publisher, request: &ReleaseRequest) -> Result<ReleasePlan> {
    let build = match request.platforms.is_empty() {
        true => Build::read(&request.from, &request.version)?,
        false => Build::mapped(&request.platforms, &request.version)?,
    };
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    let targets = &present.targets;
    check_version(publisher, &request.version, targets)?;
    check_files(publisher, &build)?;
    let mut plan = ReleasePlan {
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
        work: Work::default(),
    };
    plan.work.edit.conditions.push(Condition::Absent { name: yanked_name(&request.version) });
    plan.warn_about_version(&request.version, targets);
    for platform in build.platforms.keys() {
        plan.add_platform(publisher, request, &build, *platform, targets)?;
    }
    plan.compare(publisher, &build, targets)?;
    plan.warn_about_choice(&build, targets);
    if let Some(channels) = &request.channels {
        let mut platforms = Platforms::of_release(&plan.version, targets);
        build.platforms.keys().for_each(|platform| platforms.add(platform));
        let channels = channels::plan_on(publisher, channels, targets, Some((&request.version, &platforms)))?;
        plan.work.edit.may_lose_platforms |= channels.loses_platforms;
        plan.warnings.extend_from_slice(&channels.warnings);
        plan.work.edit.conditions.extend(channels.conditions());
        plan.channels = Some(channels);
    }
    if plan.platforms.iter().any(|platform| platform.state == PlatformState::Identical) {
        plan.warn_about_certificate(publisher, &request.version)?;
    }
    plan.empty = plan.work.artifacts.is_empty() && plan.channels.as_ref().is_none_or(|channels| channels.empty);
    if !plan.empty {
        plan.roles = steps(publisher, &present, &Role::ONLINE)?;
    }
    let channels = plan.channels.as_ref().map(ChannelsPlan::names).unwrap_or_default().0;
    let names = plan.work.artifacts.iter().flat_map(|artifact| [Some(&artifact.target), artifact.signature.as_ref()]);
    let names = names.flatten().map(TargetPath::as_str).chain(channels.iter().map(String::as_str)).collect();
    present.check_names(publisher.storage.as_ref(), publisher.plain_names, &names, &BTreeSet::new())?;
    plan.work.present = Some(present);
    Ok(plan)
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
        if file.file.length() > publisher.storage.longest_copy() && publisher.plain_names == PlainNames::All {
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

/// Carries out a plan. An empty one only completes what a killed run may have left.
pub fn apply(publisher: &Publisher, plan: ReleasePlan) -> Result<Outcome> {
    let Work { present, artifacts, replaced, mut edit } = plan.work;
    let present = present.ok_or_else(|| Error::new(Kind::Unexpected, "a plan without a state"))?;
    publisher.begin_changes()?;
    if plan.empty {
        return Ok(publisher.commit(present, &Edit::default(), &Signers::new())?.into());
    }
    let signers = publisher.signers(present.trust.root(), &Role::ONLINE)?;
    if !artifacts.is_empty() {
        publisher.check_clock_of_signatures()?;
        let key = publisher.openpgp_key()?;
        publisher.progress.phase("staging");
        let staged =
            stage(publisher.storage.as_ref(), &artifacts, Some(&key), publisher.sha512, publisher.now(), publisher.progress.as_ref())?;
        for ((artifact, staged), replaced) in artifacts.iter().zip(staged).zip(replaced) {
            edit.changes.push(Change {
                name: artifact.target.to_string(),
                expected: None,
                wanted: Some(staged.target),
                keep_existing: false,
                content: None,
            });
            if let (Some(name), Some((wanted, file))) = (&artifact.signature, staged.signature) {
                let keep_existing = replaced.is_none();
                edit.changes.push(Change {
                    name: name.to_string(),
                    expected: replaced,
                    wanted: Some(wanted),
                    keep_existing,
                    content: Some(file),
                });
            }
        }
        edit.changes.push(certificate_change(publisher, &present.targets, &key)?);
        edit.signed_by = key.expires(publisher.now()).map(|expires| (key.fingerprint(), expires));
    }
    publisher.progress.phase("committing");
    if let Some(channels) = &plan.channels {
        edit.changes.extend(channels.stage(publisher)?);
    }
    Ok(Outcome::from(publisher.commit(present, &edit, &signers)?).publishing(publisher, &edit))
}

/// A warning about what desktops left behind.
pub(super) fn warning_about_desktop<'n>(names: impl Iterator<Item = &'n str>) -> Option<Message> {
    let left: Vec<&str> = names.filter(|name| is_left_by_desktop(name)).collect();
    let first = left.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    let more = left.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!("{first}{more}: a desktop left these behind; what is published cannot be taken back");
    (!left.is_empty()).then(|| Message::new(Id::DesktopFiles, text))
}

/// The signature that is published for the artifact.
fn published_signature(artifact: &Artifact, targets: &Targets) -> Result<Option<Target>> {
    Ok(artifact.signature.as_ref().map(|name| targets.get(name.as_str())).transpose()?.flatten())
}

/// The certificate is a target like any other, so that clients fetch it as safely as the artifacts.
pub(super) fn certificate_change(publisher: &Publisher, targets: &Targets, key: &crate::openpgp::SigningKey) -> Result<Change> {
    let name = certificate_name(&key.fingerprint());
    let expected = targets.get(&name)?;
    let content = key.armored_certificate()?;
    let wanted = match &expected {
        Some(published) if published.matches(&Digests::both_of(&content)) => published.clone(),
        _ => stage_bytes(publisher.storage.as_ref(), &name, &content, publisher.sha512)?,
    };
    Ok(Change { name, expected, wanted: Some(wanted), keep_existing: false, content: Some(content) })
}

/// Some clients take an empty target for a missing one.
pub(super) fn empty_file(name: &str) -> Message {
    Message::new(Id::EmptyFile, format!("{name} is empty; python-tuf before 2.1 and php-tuf refuse empty files"))
}

/// Warns of a name that is legal and rare.
pub(super) fn unusual_name(name: &TargetPath) -> Message {
    let text = format!("{name}: characters outside [A-Za-z0-9._+~/-] can cause errors in some clients and proxies");
    Message::new(Id::UnusualName, text)
}

impl ReleasePlan {
    fn add_platform(
        &mut self,
        publisher: &Publisher,
        request: &ReleaseRequest,
        build: &Build,
        platform: Platform,
        targets: &Targets,
    ) -> Result<()> {
        let version = &request.version;
        let files = &build.platforms[&platform];
        let prefix = platform_directory(version, platform);
        let names: Vec<&str> = files.iter().map(|file| file.target.as_str()).collect();
        let published: Vec<&str> = targets.below(&prefix).collect();
        let mut state = PlatformState::New;
        let artifact =
            |file: &BuildFile| Artifact { file: file.file.clone(), target: file.target.clone(), signature: Some(file.signature.clone()) };
        let mut artifacts: Vec<Artifact> = files.iter().map(artifact).collect();
        if !published.is_empty() {
            check_identical(publisher, &prefix, &published, &artifacts, targets)?;
            if !request.resign {
                let mut unsigned = Vec::new();
                for artifact in artifacts {
                    if published_signature(&artifact, targets)?.is_none() {
                        unsigned.push(artifact);
                    }
                }
                artifacts = unsigned;
            }
            state = if artifacts.is_empty() { PlatformState::Identical } else { PlatformState::Resign };
        } else {
            if !request.allow_desktop_files {
                check_programs(files)?;
            }
            check_windows(names.iter().copied())?;
            self.warnings.extend(windows_warning(names.iter().copied()));
            self.upload_bytes += files.iter().map(|file| file.file.length()).sum::<u64>();
            self.warnings.extend(files.iter().map(|file| &file.target).filter(|target| target.is_unusual()).map(unusual_name));
            self.warnings.extend(warning_about_desktop(names.iter().copied()));
            self.warnings.extend(files.iter().zip(&names).filter(|(file, _)| file.file.length() == 0).map(|(_, name)| empty_file(name)));
            if !files.iter().any(|file| file.name.starts_with("bin/")) {
                self.warnings.push(Message::new(
                    Id::NoBinDirectory,
                    format!("{platform} has no bin/ directory; `trdl use`, `exec` and `bin-path` need one"),
                ));
            }
        }
        let mut sealed: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        sealed.sort();
        self.work.edit.conditions.push(Condition::Sealed { prefix, names: sealed });
        for artifact in artifacts {
            self.work.replaced.push(published_signature(&artifact, targets)?);
            self.work.artifacts.push(artifact);
        }
        let planned = |file: &BuildFile| PlannedFile { name: file.target.to_string(), length: file.file.length(), previous_length: None };
        let files = files.iter().map(planned).collect();
        self.platforms.push(PlatformPlan { platform: platform.to_string(), state, gained: false, files, lost_files: Vec::new() });
        Ok(())
    }

    /// Fills in what the previous release has, and looks for a release with the same files.
    fn compare(&mut self, publisher: &Publisher, build: &Build, targets: &Targets) -> Result<()> {
        let before = match &self.previous {
            Some(previous) => difference::files(previous, targets)?,
            None => return Ok(()),
        };
        for platform in &mut self.platforms {
            let Some(old) = before.get(&platform.platform) else {
                platform.gained = true;
                continue;
            };
            let prefix = platform_directory(&self.version, &platform.platform);
            let path = |file: &PlannedFile| file.name.strip_prefix(&prefix).unwrap_or(&file.name).to_owned();
            let kept: BTreeSet<String> = platform.files.iter().map(path).collect();
            platform.lost_files = old.keys().filter(|name| !kept.contains(*name)).cloned().collect();
            platform.files.iter_mut().for_each(|file| file.previous_length = old.get(&path(file)).map(|target| target.length));
        }
        let here = |name: &String| {
            self.platforms.iter().any(|platform| platform.platform == *name)
                || targets.below(&platform_directory(&self.version, name)).next().is_some()
        };
        self.lost_platforms = before.keys().filter(|name| !here(name)).cloned().collect();
        self.find_identical(publisher, build, targets)
    }

    /// A release with the bytes of another one is often a build that was not made anew. Files are read only if all names and
    /// lengths are those of another release.
    fn find_identical(&mut self, publisher: &Publisher, build: &Build, targets: &Targets) -> Result<()> {
        if self.platforms.iter().any(|platform| platform.state != PlatformState::New) {
            return Ok(());
        }
        let mut digests = BTreeMap::new();
        for version in released_versions(targets.below(RELEASES)).into_iter().rev() {
            let other = difference::files(version, targets)?;
            let mut pairs = Vec::new();
            for (platform, files) in &build.platforms {
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
                    digests.insert(shown.clone(), digest_file(&file.file, publisher.progress.as_ref())?);
                }
                same &= digests.get(&shown).zip(target).is_some_and(|(digests, target)| target.matches(digests));
                if !same {
                    break;
                }
            }
            if same {
                self.warnings.push(Message::new(
                    Id::IdenticalRelease,
                    format!("this build is identical to release {version}: check that it was built from the source of {}", self.version),
                ));
                self.identical_to = Some(version.to_owned());
                return Ok(());
            }
        }
        Ok(())
    }

    /// The trdl client treats versions that differ in build metadata as equal and takes one at random.
    fn warn_about_version(&mut self, version: &ReleaseVersion, targets: &Targets) {
        for name in released_versions(targets.below(RELEASES)) {
            if let Ok(other) = ReleaseVersion::parse(name)
                && other != *version
                && other.same_precedence(version)
            {
                self.warnings.push(Message::new(Id::BuildMetadataOnly, format!("{version} and the released {other} differ only in build metadata; a trdl client that pins a version chooses one of them at random")));
            }
        }
    }

    /// A platform that is added later can change which directory a machine picks. A worker requires a right for that.
    fn warn_about_choice(&mut self, build: &Build, targets: &Targets) {
        let published = Platforms::of_release(&self.version, targets);
        let mut after = published.clone();
        build.platforms.keys().for_each(|platform| after.add(platform));
        for (machine, old, new) in published.diverted_by(&after) {
            self.warnings.push(Message::new(
                Id::MachinesDiverted,
                format!("{machine} machines installed {old} until now and will install {new} from now on"),
            ));
            self.work.edit.may_lose_platforms = true;
        }
    }

    /// Signatures stay when nothing changes, so a warning reports that they have become worthless.
    fn warn_about_certificate(&mut self, publisher: &Publisher, version: &ReleaseVersion) -> Result<()> {
        let Ok(bytes) = publisher.keyring.certificate() else { return Ok(()) };
        let mut certificates = Certificates::default();
        if certificates.add(&bytes, "the OpenPGP key").is_err() {
            return Ok(());
        }
        for (fingerprint, standing) in certificates.standings(publisher.now()) {
            if standing == Standing::Revoked {
                self.warnings.push(Message::new(Id::CertificateRevoked, format!(
                    "the OpenPGP certificate {fingerprint} is revoked; clients refuse its signatures: set `openpgp:` to another key, then `publish release {version} --from DIR --resign`"
                )));
            }
        }
        Ok(())
    }
}

/// A published platform never changes: names and bytes must be those published. Sizes are compared first, so that a
/// different build of some gigabytes is refused without reading all of it.
fn check_identical(publisher: &Publisher, prefix: &str, published: &[&str], artifacts: &[Artifact], targets: &Targets) -> Result<()> {
    let mut differences = Vec::new();
    for name in published.iter().filter(|name| !artifacts.iter().any(|artifact| artifact.target.as_str() == **name)) {
        differences.push(format!("{name}: published, not in this build"));
    }
    let known: Vec<(&Artifact, Option<Target>)> =
        artifacts.iter().map(|artifact| Ok((artifact, targets.get(artifact.target.as_str())?))).collect::<Result<_>>()?;
    let differs_already = !differences.is_empty()
        || known.iter().any(|(artifact, target)| target.as_ref().is_none_or(|target| target.length != artifact.file.length()));
    for (artifact, target) in known {
        let Some(target) = target else {
            differences.push(format!("{}: in this build, not published", artifact.target));
            continue;
        };
        if differs_already && target.length == artifact.file.length() {
            continue;
        }
        let digests = digest_file(&artifact.file, publisher.progress.as_ref())?;
        if !target.matches(&digests) {
            differences.push(artifact.target.to_string());
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
