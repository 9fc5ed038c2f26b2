//! A plan as people read it: on a terminal, or as Markdown for a pull request.

use super::arguments::PlanFormat;
use super::output::one_line;
use super::text::{count, size};
use crate::error::Message;
use crate::operation::RoleStep;
use std::fmt::Write;

/// Longer lists are cut unless `--verbose`.
pub(super) const MAX_LISTED: usize = 30;

/// GitHub takes comments of up to 65536 characters.
const LONGEST_MARKDOWN: usize = 60_000;

/// A plan: a title, sections of lines, and what it comes to.
#[derive(Clone)]
pub(super) struct Plan {
    title: String,
    sections: Vec<(String, Vec<Line>)>,
    warnings: Vec<Message>,
    verbose: bool,
    /// For example `3 files and 2 channels to add`.
    summary: String,
}

/// One line: `+ ~ - = !`, what, and the details beside it. Lines of files belong to the line above.
#[derive(Clone)]
struct Line {
    sign: char,
    what: String,
    detail: String,
    files: Vec<Line>,
}

impl Plan {
    /// A plan without lines.
    pub fn new(title: String, verbose: bool) -> Self {
        Self { title, sections: Vec::new(), warnings: Vec::new(), verbose, summary: String::new() }
    }

    /// Begins a section; one without lines is not shown.
    pub fn section(&mut self, heading: &str) {
        self.sections.push((heading.to_owned(), Vec::new()));
    }

    /// Adds a line to the last section.
    pub fn line(&mut self, sign: char, what: impl Into<String>, detail: impl Into<String>) {
        let line = Line { sign, what: what.into(), detail: detail.into(), files: Vec::new() };
        if self.sections.is_empty() {
            self.section("");
        }
        if let Some((_, lines)) = self.sections.last_mut() {
            lines.push(line);
        }
    }

    /// Adds a line below the last one.
    pub fn file(&mut self, sign: char, what: impl Into<String>, detail: impl Into<String>) {
        let line = Line { sign, what: what.into(), detail: detail.into(), files: Vec::new() };
        if let Some(last) = self.sections.last_mut().and_then(|(_, lines)| lines.last_mut()) {
            last.files.push(line);
        }
    }

    /// Sets the last line.
    pub fn summary(&mut self, summary: impl Into<String>) {
        self.summary = summary.into();
    }

    /// The roles that a plan signs.
    pub fn roles(&mut self, roles: &[RoleStep]) {
        self.section("Metadata to sign");
        for step in roles {
            let expires = step.expires.replace('T', " ");
            let expires = expires.get(..16).unwrap_or(&expires);
            self.line('~', step.role.name(), format!("{} -> {}, expires {expires} UTC", step.from, step.to));
        }
    }

    /// With warnings in the Markdown form; on a terminal they are printed as warnings.
    pub fn with_warnings(&self, warnings: &[Message]) -> Self {
        Self { warnings: warnings.to_vec(), ..self.clone() }
    }

    /// In this form.
    pub fn render(&self, format: PlanFormat) -> String {
        match format {
            PlanFormat::Text => self.text(),
            PlanFormat::Markdown => self.markdown(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", one_line(&self.title));
        for (heading, lines) in self.shown(self.limit()) {
            let _ = write!(text, "\n{}", if heading.is_empty() { String::new() } else { format!("{heading}\n") });
            lines.iter().for_each(|(depth, line)| text.push_str(&format!("{}{line}\n", "    ".repeat(*depth) + "  ")));
        }
        let _ = writeln!(text, "\n{}", self.summary);
        text
    }

    /// The lines are in a code block: nothing in a file's name is a link, an image or a mention there. The fence is longer
    /// than any row of backticks in it. What does not fit is cut where the least is lost: in the lists of files.
    fn markdown(&self) -> String {
        let limits = [self.limit(), MAX_LISTED, 5, 0];
        let bodies = limits.iter().map(|limit| self.markdown_body((*limit).min(self.limit())));
        let mut longest = String::new();
        for body in bodies {
            longest = body;
            if longest.chars().count() <= LONGEST_MARKDOWN {
                break;
            }
        }
        let body = cut(longest);
        let fence = "`".repeat((longest_row(&body) + 1).max(3));
        format!("### {}\n\n{fence}diff\n{body}{fence}\n\n{}\n", heading(&self.title), self.summary)
    }

    fn markdown_body(&self, limit: usize) -> String {
        let mut body = String::new();
        self.warnings.iter().take(limit).for_each(|warning| body.push_str(&format!("! warning: {}\n", one_line(warning))));
        more(self.warnings.len(), limit).iter().for_each(|more| body.push_str(&format!("! warning:{more}\n")));
        for (heading, lines) in self.shown(limit) {
            if !body.is_empty() {
                body.push('\n');
            }
            if !heading.is_empty() {
                let _ = writeln!(body, "{heading}");
            }
            // The sign comes first: it gives the line its colour.
            for (depth, line) in lines {
                let (sign, rest) = line.split_at_checked(1).unwrap_or(("", &line));
                let _ = writeln!(body, "{sign}{}{rest}", "    ".repeat(depth));
            }
        }
        body
    }

    /// So many lines of each list are shown.
    fn limit(&self) -> usize {
        if self.verbose { usize::MAX } else { MAX_LISTED }
    }

    /// Each section with its lines and their depth, names padded to one column.
    fn shown(&self, limit: usize) -> Vec<(&str, Vec<(usize, String)>)> {
        let section = |lines: &[Line]| {
            let mut shown = Vec::new();
            let width = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or(0).min(40);
            let rows = limit.max(MAX_LISTED);
            for line in lines.iter().take(rows) {
                shown.push((0, line.padded(width)));
                let files = line.files.iter().map(|file| file.what.chars().count()).max().unwrap_or(0).min(40);
                shown.extend(line.files.iter().take(limit).map(|file| (1, file.padded(files))));
                shown.extend(more(line.files.len(), limit).map(|more| (1, more)));
            }
            shown.extend(more(lines.len(), rows).map(|more| (0, more)));
            shown
        };
        let sections = self.sections.iter().filter(|(_, lines)| !lines.is_empty());
        sections.map(|(heading, lines)| (heading.as_str(), section(lines))).collect()
    }
}

impl Line {
    fn padded(&self, width: usize) -> String {
        let what = one_line(&self.what);
        let line = format!("{} {what:<width$}  {}", self.sign, one_line(&self.detail));
        line.trim_end().to_owned()
    }
}

/// A heading that is only its text: names that a config or another tool chose may hold links and mentions.
fn heading(title: &str) -> String {
    let title = one_line(title);
    if title.chars().all(|c| c.is_ascii_alphanumeric() || " .,+-".contains(c)) {
        return title;
    }
    let fence = "`".repeat(longest_row(&title) + 1);
    format!("{fence} {title} {fence}")
}

fn longest_row(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Whole lines, as many as fit.
fn cut(body: String) -> String {
    let mut kept: String = body.chars().take(LONGEST_MARKDOWN).collect();
    if kept.len() < body.len() {
        kept.truncate(kept.rfind('\n').map_or(0, |at| at + 1));
        let left = body.lines().count() - kept.lines().count();
        let _ = writeln!(kept, "  and {}: run it with --dry-run --verbose", count(left, "more line"));
    }
    kept
}

fn more(number: usize, limit: usize) -> Option<String> {
    (number > limit).then(|| format!("  and {} more (--verbose lists them)", number - limit))
}

/// `12.3 MiB (+4 %)`: a size, and how it differs from the one before.
pub(super) fn size_after(bytes: u64, before: Option<u64>) -> String {
    let size = size(bytes);
    match before {
        Some(before) if before == bytes => format!("{size} (same size)"),
        Some(before) if before > 0 => {
            let percent = (bytes as f64 - before as f64) / before as f64 * 100.0;
            let shown = if percent.abs() < 10.0 { format!("{percent:+.1}") } else { format!("{percent:+.0}") };
            format!("{size} ({shown} %)")
        }
        Some(_) => format!("{size} (was empty)"),
        None => size,
    }
}

/// `Plan: 3 files and 2 channels to add, 1 channel to change.`
pub(super) fn totals(groups: &[(&str, &[(usize, &str)])]) -> String {
    let part = |(verb, counts): &(&str, &[(usize, &str)])| {
        let counted: Vec<String> = counts.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(*number, noun)).collect();
        (!counted.is_empty()).then(|| format!("{} {verb}", counted.join(" and ")))
    };
    let parts: Vec<String> = groups.iter().filter_map(part).collect();
    if parts.is_empty() { "Plan: nothing to do.".into() } else { format!("Plan: {}.", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_MARKDOWN, cut, heading, longest_row, more, size_after, totals};

    #[test]
    fn a_size_is_compared_with_the_one_before() {
        for (bytes, before, text) in [
            (2048, None, "2.0 KiB"),
            (2048, Some(2048), "2.0 KiB (same size)"),
            (1024, Some(1000), "1.0 KiB (+2.4 %)"),
            (1024, Some(2048), "1.0 KiB (-50 %)"),
            (1024, Some(0), "1.0 KiB (was empty)"),
        ] {
            assert_eq!(size_after(bytes, before), text);
        }
    }

    #[test]
    fn totals_leave_out_what_is_none() {
        assert_eq!(totals(&[("to add", &[(0, "file")])]), "Plan: nothing to do.");
        let both = [("to add", &[(3, "file"), (1, "channel")][..]), ("to change", &[(0, "channel")]), ("to remove", &[(1, "file")])];
        assert_eq!(totals(&both), "Plan: 3 files and 1 channel to add, 1 file to remove.");
    }

    #[test]
    fn names_in_a_heading_are_no_markdown() {
        assert_eq!(heading("Release 1.0.0 of acme"), "Release 1.0.0 of acme");
        assert_eq!(heading("[x](y)"), "` [x](y) `");
        assert_eq!(heading("a``b"), "``` a``b ```");
        assert_eq!(longest_row("`a```b``"), 3);
    }

    #[test]
    fn what_is_too_long_ends_with_a_whole_line() {
        let line = format!("{}\n", "x".repeat(99));
        let body = cut(line.repeat(LONGEST_MARKDOWN / 100 + 5));
        assert!(
            body.len() < LONGEST_MARKDOWN + 100 && body.ends_with("and 5 more lines: run it with --dry-run --verbose\n"),
            "{}",
            body.len()
        );
        assert_eq!(cut(line.clone()), line);
        assert_eq!((more(3, 3), more(5, 3)), (None, Some("  and 2 more (--verbose lists them)".into())));
    }
}
