//! Platforms: a channel never moves to a release that machines of its users cannot install, and a published release stays
//! what it is for the machines that it serves.

use super::{Change, State, Step, channels::Released};
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::Target;
use crate::names::{RELEASES, ReleaseVersion, release_directory, released_versions};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The machines that the trdl client is built for.
const MACHINES: [&str; 6] = ["darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64", "windows-arm64"];

/// The platform directories of one release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platforms(BTreeSet<String>);

impl Platforms {
    /// Those of a release in this state. A directory counts once something is below it.
    pub fn of_release(version: &str, state: &dyn State) -> Self {
        let prefix = release_directory(version);
        let names = state.below(&prefix);
        Self(names.iter().filter_map(|name| Some(name[prefix.len()..].split_once('/')?.0.to_owned())).collect())
    }

    /// One more.
    pub fn add(&mut self, directory: impl ToString) {
        self.0.insert(directory.to_string());
    }

    /// The directory that a machine takes, as the trdl client looks for it: `os-arch`, `os-any`, `any-arch`, `any-any`.
    fn taken_by(&self, machine: &str) -> Option<&str> {
        let (os, arch) = machine.split_once('-').unwrap_or((machine, ""));
        let tried = [machine.to_owned(), format!("{os}-any"), format!("any-{arch}"), "any-any".into()];
        tried.iter().find_map(|known| self.0.get(known)).map(String::as_str)
    }

    /// Whether a machine finds a directory.
    fn serve(&self, machine: &str) -> bool {
        self.taken_by(machine).is_some()
    }

    /// The machines that take another directory once this release has become `next`: each with the directory that it took
    /// and the one that it takes.
    pub fn diverted_by<'p>(&'p self, next: &'p Self) -> Vec<(String, &'p str, &'p str)> {
        let exact = next.0.iter().map(String::as_str).filter(|name| name.split('-').all(|part| part != "any"));
        let machines: BTreeSet<&str> = MACHINES.into_iter().chain(exact).collect();
        let taken = |machine: &str| Some((machine.to_owned(), self.taken_by(machine)?, next.taken_by(machine)?));
        machines.into_iter().filter_map(taken).filter(|(_, old, new)| old != new).collect()
    }

    /// The machines that this release serves and another does not. Directories that other tools named for further machines
    /// count too.
    pub fn lost_in(&self, next: &Self) -> Vec<String> {
        let exact = self.0.iter().map(String::as_str).filter(|name| name.split('-').all(|part| part != "any"));
        let machines: BTreeSet<&str> = MACHINES.into_iter().chain(exact).collect();
        machines.into_iter().filter(|machine| self.serve(machine) && !next.serve(machine)).map(str::to_owned).collect()
    }
}

/// A channel that would move to a release which lacks machines.
#[derive(Clone, Debug, Serialize)]
pub struct Loss {
    /// `group/channel`.
    pub channel: String,
    /// The version that it leaves.
    pub from: String,
    /// The version that it moves to.
    pub to: String,
    /// The machines that only the former serves.
    pub machines: Vec<String>,
}

/// The refusal of such moves; `None` if there are none.
pub fn refusal(losses: &[Loss]) -> Option<Error> {
    let first = losses.first()?;
    let lines = losses.iter().map(|loss| format!("{} {} -> {}: no {}", loss.channel, loss.from, loss.to, loss.machines.join(", ")));
    Some(
        Error::new(Kind::Conflict, "channels would move to releases without platforms that their users have")
            .id(Id::PlatformsMissing)
            .details(lines)
            .hint(format!("publish the missing platforms first: publish release {} --from DIR", first.to))
            .hint("to leave these users without updates: --allow-missing-platforms"),
    )
}

/// Refuses a platform that is added to a published release for machines which another directory serves: they would find
/// other content under the same version, without a move of a channel.
fn check_diverted(step: &Step<'_>) -> Result<()> {
    let mut checked = BTreeSet::new();
    for (artifact, change) in step.artifacts() {
        let (version, Change::Added(_)) = (artifact.version(), change) else { continue };
        if !checked.insert(version) {
            continue;
        }
        let (before, after) = (Platforms::of_release(version, step.before), Platforms::of_release(version, step.after));
        let diverted = before.diverted_by(&after);
        if !diverted.is_empty() {
            let lines = diverted.iter().map(|(machine, old, new)| format!("{machine} machines install {old} now and would install {new}"));
            return Err(Error::new(Kind::Conflict, format!("release {version} would change for machines that already use it"))
                .details(lines)
                .hint("publish the platform under a new version"));
        }
    }
    Ok(())
}

/// Refuses to move a channel to a release that machines of its users cannot install, and to divert machines within one.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    if step.may_lose_platforms {
        return Ok(());
    }
    check_diverted(step)?;
    let mut losses = Vec::new();
    let mut released: Option<(Released, Released)> = None;
    for (name, channel, change) in step.channels() {
        let Change::Replaced(old, new) = change else { continue };
        let (before, after) = released.get_or_insert_with(|| (Released::in_state(step.before), Released::in_state(step.after)));
        let (Some(from), Some(to)) = (version_of(step, name, old, before)?, version_of(step, name, new, after)?) else { continue };
        let machines = Platforms::of_release(&from, step.before).lost_in(&Platforms::of_release(&to, step.after));
        if !machines.is_empty() {
            losses.push(Loss { channel: channel.to_owned(), from, to, machines });
        }
    }
    refusal(&losses).map_or(Ok(()), Err)
}

/// The version that a channel holds: by its digest, or read where other tools wrote it in another form.
fn version_of(step: &Step<'_>, name: &str, channel: &Target, released: &Released) -> Result<Option<String>> {
    if let Some(version) = released.version_of(channel) {
        return Ok(Some(version.to_owned()));
    }
    Ok((step.read)(name, channel)?.map(|content| String::from_utf8_lossy(&content).trim().to_owned()))
}

/// The channels of a state whose release lacks machines that an older one serves: the release before it, or that of
/// another channel of its group. `channels` holds the version of each by `group/channel`.
pub fn behind(state: &dyn State, channels: &BTreeMap<String, String>) -> Result<Vec<Loss>> {
    let parse = |text: &str| Some((ReleaseVersion::of_release(text)?, text.to_owned()));
    let names = state.below(RELEASES);
    let mut released: Vec<(ReleaseVersion, String)> =
        released_versions(names.iter().map(String::as_str)).into_iter().filter_map(parse).collect();
    released.sort();
    let mut found = Vec::new();
    for (channel, to) in channels {
        let (Some((version, _)), Some((group, _))) = (parse(to), channel.rsplit_once('/')) else { continue };
        let before = released.iter().rev().find(|(other, _)| other.older_than(&version));
        let of_group = channels.iter().filter(|(other, _)| other.rsplit_once('/').is_some_and(|(theirs, _)| theirs == group));
        let older = of_group.filter_map(|(_, theirs)| parse(theirs)).filter(|(theirs, _)| theirs.older_than(&version));
        let next = Platforms::of_release(to, state);
        for (_, from) in older.chain(before.cloned()).collect::<BTreeSet<_>>() {
            let machines = Platforms::of_release(&from, state).lost_in(&next);
            if !machines.is_empty() {
                found.push(Loss { channel: channel.clone(), from, to: to.clone(), machines });
                break;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Platforms;

    fn platforms(names: &[&str]) -> Platforms {
        let mut platforms = Platforms::default();
        names.iter().for_each(|name| platforms.add(name));
        platforms
    }

    #[test]
    fn a_machine_takes_the_most_exact_directory() {
        for (names, machine, taken) in [
            (&["linux-amd64", "any-any"][..], "linux-amd64", Some("linux-amd64")),
            (&["linux-any", "any-amd64"], "linux-amd64", Some("linux-any")),
            (&["any-amd64", "any-any"], "darwin-amd64", Some("any-amd64")),
            (&["any-any"], "windows-arm64", Some("any-any")),
            (&["linux-amd64"], "linux-arm64", None),
        ] {
            assert_eq!(platforms(names).taken_by(machine), taken, "{names:?} {machine}");
        }
    }

    #[test]
    fn lost_machines_are_those_that_only_the_old_release_serves() {
        let (old, new) = (platforms(&["linux-any", "darwin-arm64"]), platforms(&["linux-amd64"]));
        assert_eq!(old.lost_in(&new), ["darwin-arm64", "linux-arm64"]);
        assert!(new.lost_in(&old).is_empty());
        // A directory that another tool named is a machine too.
        assert_eq!(platforms(&["freebsd-amd64"]).lost_in(&new), ["freebsd-amd64"]);
    }

    #[test]
    fn a_more_exact_directory_diverts_machines() {
        let (before, after) = (platforms(&["linux-any"]), platforms(&["linux-any", "linux-arm64", "any-any"]));
        assert_eq!(before.diverted_by(&after), [("linux-arm64".to_owned(), "linux-any", "linux-arm64")]);
    }
}
