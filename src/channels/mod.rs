//! `trdl_channels.yaml`: which version each channel of each group points at. The format is trdl's; we are stricter where
//! a mistake would be silent there (unknown and duplicate keys, several documents, aliases).

mod document;

use crate::error::{Error, Result};
use crate::files::read_given;
use crate::names::{ReleaseVersion, check_channel, check_group};
use document::{Content, Node, Problem};
use std::path::Path;

/// No real file is near this long; a longer one is refused before it is read.
const MAX_LENGTH: u64 = 1 << 20;

/// A checked channels file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelsFile {
    /// One entry per channel, in the order of the file; no channel twice.
    pub assignments: Vec<Assignment>,
}

/// One channel in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The group, for example `1.2`.
    pub group: String,
    /// The channel, for example `stable`.
    pub channel: String,
    /// The release version it points at.
    pub version: String,
    /// The line of the version, from 1.
    pub line: usize,
    /// Why no release of ours can have this version. One that another tool published can.
    pub fault: Option<String>,
}

impl ChannelsFile {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self> {
        let what = path.display().to_string();
        let bytes = read_given(path, MAX_LENGTH).map_err(|error| {
            Error::io("read the channels file", &what, error)
                .hint("name another one with `channels --file FILE` or `release --channels=FILE`, or copy the example trdl_channels.yaml")
        })?;
        Self::parse(&bytes, &what)
    }

    /// Checks the text of a file and reports all its mistakes at once; `what` names it.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::invalid(format!("the channels file {what} is not UTF-8 at byte {}", error.valid_up_to())))?;
        let mut checker = Checker::default();
        match document::parse(text) {
            Ok(root) => checker.root(&root),
            Err(problem) => checker.problems.push(problem),
        }
        if checker.problems.is_empty() {
            return Ok(checker.file);
        }
        checker.problems.extend(checker.file.faults(|_| true));
        Err(refusal(checker.problems, what))
    }

    /// Refuses versions that no release of ours can have, unless `exists` knows a release of exactly this name.
    pub fn check_versions(&self, what: &str, exists: impl Fn(&str) -> bool) -> Result<()> {
        let problems: Vec<Problem> = self.faults(|version| !exists(version)).collect();
        if problems.is_empty() { Ok(()) } else { Err(refusal(problems, what)) }
    }

    fn faults(&self, of: impl Fn(&str) -> bool) -> impl Iterator<Item = Problem> {
        let problem = move |assignment: &Assignment| {
            let message = assignment.fault.clone().filter(|_| of(&assignment.version))?;
            Some(Problem { line: assignment.line, message })
        };
        self.assignments.iter().filter_map(problem)
    }
}

fn refusal(mut problems: Vec<Problem>, what: &str) -> Error {
    problems.sort_by_key(|problem| problem.line);
    let lines = problems.iter().map(|problem| format!("{what}:{}: {}", problem.line, problem.message));
    Error::invalid(format!("the channels file {what} has mistakes; nothing was published")).details(lines)
}

#[derive(Default)]
struct Checker {
    file: ChannelsFile,
    problems: Vec<Problem>,
    groups: Vec<(String, usize)>,
}

impl Checker {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem { line, message: message.into() });
    }

    fn failure(&mut self, line: usize, failure: &Error) {
        self.problem(line, in_one_line(failure));
    }

    fn root(&mut self, root: &Node) {
        let Some(fields) = self.fields(root, "the file", &["groups"]) else { return };
        if let [Some(groups)] = fields.as_slice() {
            for group in self.items(groups, "groups") {
                self.group(group);
            }
        }
    }

    fn group(&mut self, node: &Node) {
        let Some(fields) = self.fields(node, "a group", &["name", "channels"]) else { return };
        let [name, channels] = fields.as_slice() else { return };
        let name = self.text(node, *name, "a group", "name");
        if let Some(name) = &name {
            if let Err(failure) = check_group(name) {
                self.failure(node.line, &failure);
            }
            match self.groups.iter().find(|(known, _)| known == name) {
                Some((_, line)) => self.problem(node.line, format!("group `{name}` is already defined on line {line}")),
                None => self.groups.push((name.clone(), node.line)),
            }
        }
        let mut seen: Vec<(String, usize)> = Vec::new();
        for channel in channels.map(|channels| self.items(channels, "channels")).unwrap_or_default() {
            self.channel(name.as_deref(), channel, &mut seen);
        }
    }

    fn channel(&mut self, group: Option<&str>, node: &Node, seen: &mut Vec<(String, usize)>) {
        let Some(fields) = self.fields(node, "a channel", &["name", "version"]) else { return };
        let [name, version] = fields.as_slice() else { return };
        let line = version.map_or(node.line, |version| version.line);
        let name = self.text(node, *name, "a channel", "name");
        let version = self.text(node, *version, "a channel", "version");
        if let Some(name) = &name {
            if let Err(failure) = check_channel(name) {
                self.failure(node.line, &failure);
            }
            match seen.iter().find(|(known, _)| known == name) {
                Some((_, line)) => self.problem(node.line, format!("channel `{name}` is already defined on line {line}")),
                None => seen.push((name.clone(), node.line)),
            }
        }
        let fault = version.as_deref().and_then(|version| ReleaseVersion::parse(version).err()).map(|failure| in_one_line(&failure));
        match (group, name, version) {
            (Some(group), Some(channel), Some(version)) => {
                self.file.assignments.push(Assignment { group: group.into(), channel, version, line, fault });
            }
            _ => fault.into_iter().for_each(|fault| self.problem(line, fault)),
        }
    }

    /// The values of the known keys of a mapping; everything else in it is a problem.
    fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Vec<Option<&'n Node>>> {
        let Content::Map(entries) = &node.content else {
            let hint = if node.is_empty() { " (it is empty)" } else { "" };
            self.problem(node.line, format!("{what} must be a mapping with {}{hint}", known.join(" and ")));
            return None;
        };
        let mut values = vec![None; known.len()];
        for (key, value) in entries {
            let Content::Scalar(key_text) = &key.content else {
                self.problem(key.line, format!("{what} has a key that is not a string"));
                continue;
            };
            match known.iter().position(|name| name == key_text) {
                None => {
                    let near = known.iter().find(|name| strsim::damerau_levenshtein(name, key_text) <= 2);
                    let hint = near.map_or(format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
                    self.problem(key.line, format!("unknown key `{}` in {what}; {hint}", key_text.escape_debug()));
                }
                Some(at) if values[at].is_some() => self.problem(key.line, format!("key `{key_text}` occurs twice in {what}")),
                Some(at) => values[at] = Some(value),
            }
        }
        Some(values)
    }

    fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.content {
            Content::List(items) => items,
            _ if node.is_empty() => &[],
            _ => {
                self.problem(node.line, format!("`{what}` must be a list"));
                &[]
            }
        }
    }

    fn text(&mut self, parent: &Node, node: Option<&Node>, what: &str, key: &str) -> Option<String> {
        match node.map(|node| (node, &node.content)) {
            None => self.problem(parent.line, format!("{what} has no `{key}`")),
            Some((node, _)) if node.is_empty() => self.problem(node.line, format!("`{key}` of {what} is empty")),
            Some((_, Content::Scalar(text))) => return Some(text.clone()),
            Some((node, _)) => self.problem(node.line, format!("`{key}` of {what} must be a string")),
        }
        None
    }
}

fn in_one_line(failure: &Error) -> String {
    let hint = failure.hints.first().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", failure.message)
}
