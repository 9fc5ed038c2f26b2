//! Target names that file systems can hold side by side: a name is a file or a directory, never both, and no two names are
//! equal but for case or Unicode form, in any of their parts. Publishers in directories, mirrors, and every client that
//! downloads to a disk rely on it.
//!
//! Only names that a change adds are held to these rules: a repository that was adopted keeps what it has.

use super::State;
use crate::error::{Error, Id, Kind, Message, Result};
use crate::names::{ReleaseVersion, TargetName, directories_above, is_spelling_of_reserved};
use caseless::Caseless;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use unicode_normalization::UnicodeNormalization;

/// At most so many names are listed.
const MAX_LISTED: usize = 10;

/// Refuses new names that conflict with the targets of `state`, or with each other. `new` holds every name that
/// `state` has not: targets, and their signatures.
pub fn check(state: &dyn State, new: &BTreeSet<&str>) -> Result<()> {
    for name in new {
        if let Some(other) = clash(state, new, name)? {
            return Err(Error::new(Kind::Conflict, format!("`{name}` and the target `{other}`: one would be a directory of the other"))
                .hint("no file system can hold both; choose another name, or remove the target first"));
        }
    }
    // A withdrawal is never kept back by the case of its version.
    let cased: Vec<&str> = new.iter().copied().filter(|name| !matches!(TargetName::of(name), TargetName::YankRecord(..))).collect();
    if cased.is_empty() {
        return Ok(());
    }
    let mut tree = Folded::default();
    for name in cased {
        if let Some((other, ours)) = tree.add(name) {
            return Err(merged(&other, &ours));
        }
    }
    let mut found: Option<(String, String)> = None;
    state.visit(&mut |name| {
        if found.is_none() && !new.contains(name) {
            found = tree.merges(name);
        }
    });
    found.map_or(Ok(()), |(other, ours)| Err(merged(&other, &ours)))
}

/// The target that has this new name as a directory, or is a directory of it.
fn clash(state: &dyn State, new: &BTreeSet<&str>, name: &str) -> Result<Option<String>> {
    for directory in directories_above(name) {
        if new.contains(directory) || state.target(directory)?.is_some() {
            return Ok(Some(directory.to_owned()));
        }
    }
    let within = format!("{name}/");
    let among_new = new.range(within.as_str()..).next().filter(|other| other.starts_with(&within)).map(|other| (*other).to_owned());
    Ok(among_new.or_else(|| state.first_below(&within)))
}

fn merged(other: &str, ours: &str) -> Error {
    Error::new(Kind::Conflict, format!("`{ours}` and `{other}` differ only in case or Unicode form"))
        .hint("on many file systems one would replace the other; choose another name")
}

/// The pairs of names, or of their directories, that a file system without case would merge.
pub fn case_collisions<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<(String, String)> {
    let mut tree = Folded::default();
    names.into_iter().filter_map(|name| tree.add(name)).collect()
}

/// Refuses new names below `releases/<version>/windows-*/` that Windows cannot hold.
pub fn check_windows<'n>(new: impl Iterator<Item = &'n str>) -> Result<()> {
    let faults: Vec<String> = new.filter(|name| is_for_windows(name)).filter_map(windows_fault).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("Windows cannot hold these names, and their platform is Windows")
        .details(shortened(faults))
        .hint("rename the files in the build"))
}

/// The warning about new names that Windows cannot hold, and that machines with Windows may need all the same.
pub fn windows_warning<'n>(new: impl Iterator<Item = &'n str>) -> Option<Message> {
    let faults: Vec<String> = new.filter(|name| !is_for_windows(name)).filter_map(windows_fault).collect();
    let is_empty = faults.is_empty();
    let text = format!("Windows cannot hold these names: {}", shortened(faults).join("; "));
    (!is_empty).then(|| Message::new(Id::NameForWindows, text))
}

/// Whether only machines with Windows fetch the name.
fn is_for_windows(name: &str) -> bool {
    let TargetName::Artifact(artifact) = TargetName::of(name) else { return false };
    artifact.file().is_some_and(|(platform, _)| platform.starts_with("windows-"))
}

/// Why Windows cannot hold a name, with the name.
fn windows_fault(name: &str) -> Option<String> {
    name.split('/').find_map(|part| {
        let why = match part {
            _ if part.ends_with(['.', ' ']) => "dots and spaces at its end are removed",
            _ if is_device(part) => "it is reserved for a device",
            _ => return None,
        };
        Some(format!("`{name}`: `{part}`, {why}"))
    })
}

/// Whether Windows opens a device by this name. An extension, and spaces before it, do not count.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().find_map(|port| stem.strip_prefix(port));
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$")
        || numbered.is_some_and(|number| {
            let mut characters = number.chars();
            matches!((characters.next(), characters.next()), (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None))
        })
}

/// The first of very many lines.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MAX_LISTED);
    lines.truncate(MAX_LISTED);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

/// The names that are also directories, each with the first name below it.
pub fn files_and_directories<'a>(names: &BTreeSet<&'a str>) -> BTreeMap<&'a str, &'a str> {
    let mut found = BTreeMap::new();
    for name in names {
        for above in directories_above(name).filter_map(|directory| names.get(directory)) {
            found.entry(*above).or_insert(*name);
        }
    }
    found
}

/// The command that takes one of two names out that conflict with each other.
pub fn way_out(file: &str, below: &str) -> String {
    let version = |name| match TargetName::of(name) {
        TargetName::Artifact(artifact) => Some(artifact.version()),
        TargetName::Signature(signature) => Some(signature.first_part()),
        _ => None,
    };
    match [file, below].into_iter().find_map(version).filter(|version| ReleaseVersion::parse(version).is_ok()) {
        Some(version) => format!("publish the build under a new version with other names, then: publish yank {version}"),
        None => "remove one of them: publish remove-targets NAME".to_owned(),
    }
}

/// The parts of names, by their folded form.
#[derive(Default)]
struct Folded {
    parts: HashMap<String, (String, Folded)>,
}

impl Folded {
    /// Adds a name; gives back the first two paths that fold to one.
    fn add(&mut self, name: &str) -> Option<(String, String)> {
        let mut at = self;
        let mut end = 0;
        for part in name.split('/') {
            let start = end;
            end += part.len() + 1;
            let (known, below) = at.parts.entry(fold(part).into_owned()).or_insert_with(|| (part.to_owned(), Self::default()));
            if known != part {
                let directory = &name[..start];
                return Some((format!("{directory}{known}"), format!("{directory}{part}")));
            }
            at = below;
        }
        None
    }

    /// Whether a name would be merged with one that was added: the path of each.
    fn merges(&self, name: &str) -> Option<(String, String)> {
        let mut at = self;
        let mut end = 0;
        for part in name.split('/') {
            if at.parts.is_empty() {
                return None;
            }
            let start = end;
            end += part.len() + 1;
            let (known, below) = at.parts.get(fold(part).as_ref())?;
            if known != part && start == 0 && is_spelling_of_reserved(part) {
                // Another spelling of a reserved directory: new names may not have it, and old ones stay.
                return None;
            }
            if known != part {
                let directory = &name[..start];
                return Some((format!("{directory}{part}"), format!("{directory}{known}")));
            }
            at = below;
        }
        None
    }
}

/// A part of a name as a file system without case sees it (Unicode's canonical caseless match).
pub fn fold(part: &str) -> Cow<'_, str> {
    if !part.is_ascii() {
        return Cow::Owned(part.nfd().default_case_fold().nfd().collect());
    }
    // Most names are folded already: a hundred thousand of them are compared without a copy.
    if part.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(part.to_ascii_lowercase()) } else { Cow::Borrowed(part) }
}

#[cfg(test)]
mod tests {
    use super::{case_collisions, fold, is_device, windows_fault};
    use std::collections::BTreeSet;

    #[test]
    fn devices_of_windows_are_known_with_any_extension() {
        for (part, device) in [
            ("con", true),
            ("CON.txt", true),
            ("com1", true),
            ("LPT\u{b9}.zip", true),
            ("com", false),
            ("com10", false),
            ("console", false),
            ("nul .x", true),
        ] {
            assert_eq!(is_device(part), device, "{part}");
        }
        assert!(windows_fault("a/b.").is_some() && windows_fault("a./b").is_some() && windows_fault("a.b/c").is_none());
    }

    #[test]
    fn names_and_directories_that_fold_to_one_collide() {
        let pairs = |names: &[&str]| case_collisions(names.iter().copied());
        let pair = |a: &str, b: &str| BTreeSet::from([(a.to_owned(), b.to_owned())]);
        assert_eq!(pairs(&["a/B", "a/b"]), pair("a/B", "a/b"));
        assert_eq!(pairs(&["A/x", "a/y"]), pair("A", "a"));
        assert!(pairs(&["a/x", "a/y", "b/x"]).is_empty());
        assert_eq!(fold("STRA\u{df}E"), fold("strasse"));
    }
}
