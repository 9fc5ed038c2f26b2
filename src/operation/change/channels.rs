//! `publish channels`: `trdl_channels.yaml` becomes `channels/<group>/<channel>`.

use super::{Prepared, Small, Work};
use crate::channels::{Assignment, ChannelsFile};
use crate::digest::Digests;
use crate::error::{Error, Id, Kind, Message, Result};
use crate::metadata::{Role, Target, Targets};
use crate::names::{CHANNELS, RELEASES, ReleaseVersion, channel_content, channel_name, release_directory, released_versions, yanked_name};
use crate::operation::{Publisher, RoleStep, steps};
use crate::policy::channels::Released;
use crate::policy::platforms::{self, Loss, Platforms};
use crate::repository::{Condition, Edit, each};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the user requests.
#[derive(Clone, Debug)]
pub struct ChannelsRequest {
    /// The channels file.
    pub file: PathBuf,
    /// Moving a channel to an older version was requested.
    pub allow_downgrade: bool,
    /// Moving a channel to a release without platforms that its users have was requested.
    pub allow_missing_platforms: bool,
    /// Remove published channels that the file does not have.
    pub prune: bool,
}

/// What publishing channels will do.
#[derive(Debug, Default, Serialize)]
pub struct ChannelsPlan {
    /// Each change.
    pub changes: Vec<ChannelChange>,
    /// How many channels stay as they are.
    pub unchanged: usize,
    /// Published channels that the file does not have, as `group/channel`; kept unless pruned.
    pub vanished: Vec<String>,
    /// Roles that will be signed; empty inside a release plan.
    pub roles: Vec<RoleStep>,
    /// Whether there is nothing to do.
    pub empty: bool,
    /// Things worth a second look.
    pub warnings: Vec<Message>,
    /// Whether a channel moves to a release without platforms that its users have, which was allowed.
    pub loses_platforms: bool,
    /// These moves: whose users get no update.
    pub left_behind: Vec<Loss>,
}

/// One channel's change.
#[derive(Debug, Serialize)]
pub struct ChannelChange {
    /// `group/channel`.
    pub channel: String,
    /// The version published now; absent for a new channel, `?` if its content is no known release.
    pub from: Option<String>,
    /// The version to publish; absent if the channel is removed.
    pub to: Option<String>,
    #[serde(skip)]
    published: Option<Target>,
}

/// Decides what publishing channels will do.
pub fn prepare(publisher: &Publisher, request: &ChannelsRequest) -> Result<Prepared<ChannelsPlan>> {
    // The file first: its mistakes can be reported without any repository.
    ChannelsFile::read(&request.file)?;
    let present = publisher.load()?;
    publisher.check_root(&present)?;
    let mut plan = decide(publisher, request, &present.targets, None)?;
    let edit = Edit { conditions: plan.conditions(), may_lose_platforms: plan.loses_platforms, ..Edit::default() };
    let mut work = Work { small: plan.contents(), edit, ..Work::on(present) };
    work.check_names(publisher)?;
    if !plan.empty {
        plan.roles = steps(publisher, &work.present, &Role::ONLINE)?;
    }
    Ok(Prepared { plan, work })
}

/// The lines of a channels file that name this version; none if the file cannot be read.
pub fn lines_with(file: &Path, version: &str) -> Vec<usize> {
    let assignments = ChannelsFile::read(file).map(|file| file.assignments).unwrap_or_default();
    assignments.into_iter().filter(|assignment| assignment.version == version).map(|assignment| assignment.line).collect()
}

/// The plan that moves every channel at one release to another release.
pub(super) fn moved_to(
    targets: &Targets,
    channels: &[String],
    from: &str,
    to: &str,
    allow_missing_platforms: bool,
) -> Result<ChannelsPlan> {
    let mut plan = ChannelsPlan::default();
    for channel in channels {
        plan.changes.push(ChannelChange {
            channel: channel.clone(),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            published: targets.get(&channel_name(channel))?,
        });
    }
    let request = ChannelsRequest { file: PathBuf::new(), allow_downgrade: true, allow_missing_platforms, prune: false };
    plan.check_platforms(&request, targets, None)?;
    plan.warn_about_prereleases();
    plan.empty = plan.changes.is_empty();
    Ok(plan)
}

/// The published channels, as `group/channel`, and the version that each holds (`?` if it cannot be read).
pub(in crate::operation) fn published(publisher: &Publisher, targets: &Targets) -> Result<BTreeMap<String, String>> {
    let names: Vec<&str> = targets.below(CHANNELS).collect();
    let read = |name: &&str, (): &mut ()| {
        let content = targets.get(name)?.map(|target| publisher.read_small(name, &target)).transpose()?.flatten();
        let version = content.map_or("?".to_owned(), |content| String::from_utf8_lossy(&content).trim().escape_debug().to_string());
        Ok((name[CHANNELS.len()..].to_owned(), version))
    };
    Ok(each(&names, publisher.storage.properties().parallelism, || Ok(()), read)?.into_iter().collect())
}

/// Decides on a given state; `releasing` is a version that the same commit publishes.
pub(super) fn decide(
    publisher: &Publisher,
    request: &ChannelsRequest,
    targets: &Targets,
    releasing: Option<(&ReleaseVersion, &Platforms)>,
) -> Result<ChannelsPlan> {
    let file = ChannelsFile::read(&request.file)?;
    let mut released: BTreeSet<String> = released_versions(targets.below(RELEASES)).into_iter().map(str::to_owned).collect();
    released.extend(releasing.map(|(version, _)| version.to_string()));
    let exists = |version: &str| released.contains(version) || is_yanked(version, targets);
    file.check_versions(&request.file.display().to_string(), exists)?;
    check_released(request, &file.assignments, &released, targets)?;
    let mut plan = ChannelsPlan::default();
    let mut wanted = BTreeSet::new();
    let mut contents: Option<Released> = None;
    for assignment in &file.assignments {
        let channel = format!("{}/{}", assignment.group, assignment.channel);
        let name = channel_name(&channel);
        let published = targets.get(&name)?;
        wanted.insert(name.clone());
        if published.as_ref().is_some_and(|published| published.matches(&Digests::both_of(&channel_content(&assignment.version)))) {
            plan.unchanged += 1;
            continue;
        }
        let from = published.as_ref().map(|target| known_version(publisher, &name, target, &released, &mut contents)).transpose()?;
        plan.changes.push(ChannelChange { channel, from, to: Some(assignment.version.clone()), published });
    }
    plan.check_downgrades(request)?;
    plan.check_platforms(request, targets, releasing)?;
    for name in targets.below(CHANNELS).filter(|name| !wanted.contains(*name)) {
        let channel = name[CHANNELS.len()..].to_owned();
        if request.prune {
            let published = targets.get(name)?;
            let from = published.as_ref().map(|target| known_version(publisher, name, target, &released, &mut contents)).transpose()?;
            plan.changes.push(ChannelChange { channel, from, to: None, published });
        } else {
            plan.vanished.push(channel);
        }
    }
    plan.empty = plan.changes.is_empty();
    plan.warn_about_prereleases();
    plan.warn_about_unordered();
    Ok(plan)
}

impl ChannelsPlan {
    /// The targets of the channels that change.
    pub(super) fn contents(&self) -> Vec<Small> {
        let small = |change: &ChannelChange| Small {
            name: channel_name(&change.channel),
            replaces: change.published.clone(),
            content: change.to.as_ref().map(|version| channel_content(version)),
            keeps_existing: false,
        };
        self.changes.iter().map(small).collect()
    }

    /// Every version that a channel is moved to must still be there at the commit.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let versions: BTreeSet<&String> = self.changes.iter().filter_map(|change| change.to.as_ref()).collect();
        versions.into_iter().map(|version| Condition::Exists { prefix: release_directory(version) }).collect()
    }

    /// The platforms of the release that the same commit publishes are known from its build.
    fn check_platforms(
        &mut self,
        request: &ChannelsRequest,
        targets: &Targets,
        releasing: Option<(&ReleaseVersion, &Platforms)>,
    ) -> Result<()> {
        let platforms = |version: &String| match releasing.filter(|(releasing, _)| releasing.to_string() == *version) {
            Some((_, platforms)) => platforms.clone(),
            None => Platforms::of_release(version, targets),
        };
        let loss = |change: &ChannelChange| {
            let (from, to) = (change.from.as_ref()?, change.to.as_ref()?);
            let machines = Platforms::of_release(from, targets).lost_in(&platforms(to));
            (!machines.is_empty()).then(|| Loss { channel: change.channel.clone(), from: from.clone(), to: to.clone(), machines })
        };
        let losses: Vec<Loss> = self.changes.iter().filter_map(loss).collect();
        self.loses_platforms = !losses.is_empty();
        // A channel may be new because it was pruned: its users are not known here, the release before shows what they had.
        let new = |change: &ChannelChange| change.to.clone().filter(|_| change.from.is_none()).map(|to| (change.channel.clone(), to));
        let of_before = |(_, to): &(String, String)| releasing.is_none_or(|(version, _)| version.to_string() != *to);
        for loss in platforms::behind(targets, &self.changes.iter().filter_map(new).filter(of_before).collect())? {
            let machines = loss.machines.join(", ");
            self.warnings.push(Message::new(
                Id::ChannelNewWithoutPlatform,
                format!("{} is new and points at {}, which has nothing for {machines}; {} has", loss.channel, loss.to, loss.from),
            ));
        }
        match platforms::refusal(&losses) {
            Some(refusal) if !request.allow_missing_platforms => Err(refusal),
            _ => {
                self.left_behind = losses;
                Ok(())
            }
        }
    }

    /// Users of these channels do not expect one.
    fn warn_about_prereleases(&mut self) {
        for change in &self.changes {
            let Some(to) = change.to.as_ref().filter(|to| ReleaseVersion::of_release(to).is_some_and(|to| to.is_prerelease())) else {
                continue;
            };
            if ["stable", "rock-solid"].iter().any(|quiet| change.channel.ends_with(&format!("/{quiet}"))) {
                self.warnings
                    .push(Message::new(Id::ChannelAtPrerelease, format!("{} moves to {to}, which is a pre-release", change.channel)));
            }
        }
    }

    /// A name that is no version is neither older nor newer than another.
    fn warn_about_unordered(&mut self) {
        for change in &self.changes {
            let (Some(from), Some(to)) = (&change.from, &change.to) else { continue };
            if let Some(name) = [from, to].into_iter().find(|name| ReleaseVersion::of_release(name).is_none()) {
                self.warnings.push(Message::new(
                    Id::ChannelNotComparable,
                    format!("{change}: `{name}` is not a version, so whether this is a downgrade was not checked"),
                ));
            }
        }
    }

    /// New channels.
    pub fn added(&self) -> usize {
        self.changes.iter().filter(|change| change.from.is_none()).count()
    }

    /// Channels that move to another version.
    pub fn moved(&self) -> usize {
        self.changes.iter().filter(|change| change.from.is_some() && change.to.is_some()).count()
    }

    /// Channels that are removed.
    pub fn removed(&self) -> usize {
        self.changes.iter().filter(|change| change.to.is_none()).count()
    }

    fn check_downgrades(&self, request: &ChannelsRequest) -> Result<()> {
        // The order of build metadata too: a trdl client does not look at it, and the older build comes back.
        let versions = |change: &ChannelChange| {
            let parse = |text: &Option<String>| ReleaseVersion::of_release(text.as_deref()?);
            parse(&change.from).zip(parse(&change.to)).filter(|(from, to)| to < from)
        };
        let line = |change: &ChannelChange| {
            let (from, to) = versions(change)?;
            let why = if to.looks_newer_than(&from) { " (semantic versioning compares such parts as text; write rc.9, rc.10)" } else { "" };
            Some(format!("{change}{why}"))
        };
        let downgrades: Vec<String> = self.changes.iter().filter_map(line).collect();
        if downgrades.is_empty() || request.allow_downgrade {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "channels would move to an older version")
            .id(Id::ChannelDowngrade)
            .details(downgrades)
            .hint("if you want the downgrade, add --allow-downgrade"))
    }
}

impl ChannelChange {
    /// Whether it moves to an older version.
    pub fn is_downgrade(&self) -> bool {
        let parse = |text: &Option<String>| ReleaseVersion::of_release(text.as_deref()?);
        parse(&self.from).zip(parse(&self.to)).is_some_and(|(from, to)| to < from)
    }
}

impl std::fmt::Display for ChannelChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{} {from} -> {to}", self.channel),
            (None, Some(to)) => write!(f, "{} {to} (new)", self.channel),
            (from, None) => write!(f, "{} {} (removed)", self.channel, from.as_deref().unwrap_or("?")),
        }
    }
}

/// All versions of the file that are not released, at once, each with the nearest that are.
fn check_released(request: &ChannelsRequest, assignments: &[Assignment], released: &BTreeSet<String>, targets: &Targets) -> Result<()> {
    let missing: Vec<&Assignment> = assignments.iter().filter(|assignment| !released.contains(&assignment.version)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing.iter().map(|assignment| {
        let near = nearest(&assignment.version, released);
        let near = if near.is_empty() { "nothing is released yet".to_owned() } else { format!("nearest released: {}", near.join(", ")) };
        format!(
            "{}:{}: {}/{}: {} {} ({near})",
            request.file.display(),
            assignment.line,
            assignment.group,
            assignment.channel,
            assignment.version,
            if is_yanked(&assignment.version, targets) { "was yanked; choose another" } else { "is not released" },
        )
    });
    let failure =
        Error::new(Kind::NotFound, "channels point at versions that are not released").id(Id::ChannelVersionUnknown).details(lines);
    if missing.iter().all(|assignment| is_yanked(&assignment.version, targets)) {
        return Err(failure.hint("a yanked version is never published again: put another version into the channels file"));
    }
    Err(failure.hint("publish the release first, or together with its channels: publish release VERSION --from DIR --channels"))
}

fn is_yanked(version: &str, targets: &Targets) -> bool {
    targets.get(&yanked_name(version)).is_ok_and(|record| record.is_some())
}

fn nearest(version: &str, released: &BTreeSet<String>) -> Vec<String> {
    let Some(wanted) = ReleaseVersion::of_release(version) else { return Vec::new() };
    let mut all: Vec<(ReleaseVersion, &String)> =
        released.iter().filter_map(|name| Some((ReleaseVersion::of_release(name)?, name))).collect();
    all.sort_by_key(|(candidate, _)| candidate.distance(&wanted));
    all.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

/// The version that a published channel holds: found by digest, or read where the content has another form than ours.
fn known_version(
    publisher: &Publisher,
    name: &str,
    target: &Target,
    released: &BTreeSet<String>,
    contents: &mut Option<Released>,
) -> Result<String> {
    let contents = contents.get_or_insert_with(|| Released::of(released.iter().map(String::as_str)));
    if let Some(version) = contents.version_of(target) {
        return Ok(version.to_owned());
    }
    let content = publisher.read_small(name, target)?;
    Ok(content.map_or("?".to_owned(), |content| String::from_utf8_lossy(&content).trim().escape_debug().to_string()))
}
