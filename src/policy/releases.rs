//! Releases: once a platform of a version is published, neither its names nor their content change.

use super::{Change, State, Step, names, yanks};
use crate::error::{Error, Id, Kind, Result};
use crate::names::{ArtifactName, Platform, RELEASES, ReleaseVersion, TargetPath, full_number, released_versions};
use std::collections::BTreeSet;

/// Refuses a change of a published platform, and new names that are no release's.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    let mut checked: BTreeSet<&str> = BTreeSet::new();
    for (artifact, change) in step.artifacts() {
        let (name, version) = (artifact.as_str(), artifact.version());
        match change {
            Change::Added(_) => {
                let directory = check_name(artifact)?;
                names::check_windows([name].into_iter())?;
                if checked.insert(version) {
                    check_spelling(version, step.before)?;
                }
                if !step.before.below(directory).is_empty() {
                    return Err(sealed(format!("{name} would be added to {directory}, which is published")));
                }
            }
            Change::Replaced(..) => return Err(sealed(format!("{name} is published with other content"))),
            Change::Removed(_) => {
                if checked.insert(version) && !yanks::withdraws(step, version)? {
                    return Err(Error::new(Kind::Conflict, format!("{name} would be removed without a yank of its version"))
                        .hint("a release can only be withdrawn as a whole: publish yank VERSION"));
                }
            }
        }
    }
    Ok(())
}

fn sealed(what: String) -> Error {
    Error::new(Kind::Conflict, format!("{what}; a published platform never changes"))
        .id(Id::OtherContentPublished)
        .hint("publish the change under a new version")
}

/// Refuses a new artifact's name that is of another form; returns the directory of its platform.
fn check_name(artifact: ArtifactName<'_>) -> Result<&str> {
    let name = artifact.as_str();
    let (Some((platform, _)), Some(directory)) = (artifact.file(), artifact.platform_directory()) else {
        return Err(Error::invalid(format!("{name} is not releases/<version>/<os>-<arch>/<file>")));
    };
    let within = |failure: Error| failure.detail(format!("target: {name}"));
    TargetPath::parse(name)?;
    ReleaseVersion::parse(artifact.version()).map_err(within)?;
    Platform::parse(platform).map_err(within)?;
    Ok(directory)
}

/// Refuses a new version that differs from a released one only in case or in its spelling.
pub fn check_spelling(version: &str, state: &dyn State) -> Result<()> {
    let names = state.below(RELEASES);
    let versions = released_versions(names.iter().map(String::as_str));
    let same = |other: &&&str| **other != version && !versions.contains(&version) && full_number(other) == full_number(version);
    if let Some(other) = versions.iter().find(same) {
        return Err(Error::new(Kind::Conflict, format!("version {version} is another spelling of the released {other}"))
            .detail("the trdl client treats the two as equal and chooses one of them at random")
            .hint("release under a new version"));
    }
    match versions.iter().find(|other| **other != version && other.eq_ignore_ascii_case(version)) {
        None => Ok(()),
        Some(other) => Err(Error::new(Kind::Conflict, format!("version {version} differs from the released {other} only in case"))
            .hint("on many file systems one would replace the other; choose another version")),
    }
}
