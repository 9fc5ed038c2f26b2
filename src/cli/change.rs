//! The one way in which a command that changes the repository is shown, confirmed, carried out and reported, as text, Markdown
//! and JSON, with and without `--dry-run`.

use super::arguments::{Global, PlanFormat};
use super::output::{Output, Report, nothing_written};
use super::plan::Plan;
use super::text::{confirm_loss, steps};
use crate::error::{Error, Message};
use crate::operation::{Outcome, RoleStep};
use anyhow::Result;
use serde_json::Value;
use std::fmt::Write;

/// A prepared change as people see it.
pub(super) struct Change {
    /// The command's name in the report.
    pub command: &'static str,
    /// The plan in the JSON document.
    pub document: Value,
    /// What will change.
    pub screen: Screen,
    /// Things worth a second look.
    pub warnings: Vec<Message>,
    /// What must be confirmed first, if the change cannot be undone.
    pub confirmation: Option<Confirmation>,
    /// Said when it is done; the published versions follow.
    pub done: String,
    /// Said when there was nothing to do; empty if the plan has something, which only another publisher can have done.
    pub nothing: String,
    /// What to do next.
    pub next: Next,
}

/// What will change, for people.
pub(super) enum Screen {
    /// Lines under headings, printed before the change is carried out.
    Lines {
        /// The lines.
        lines: Plan,
        /// The form in which a dry run prints them.
        format: PlanFormat,
        /// They hold nothing: what says that there is nothing to do takes their place.
        empty: bool,
        /// The end of a dry run.
        end: String,
    },
    /// Text, printed before the change is carried out, or with its result.
    Text {
        /// The text.
        text: String,
        /// The end of a dry run.
        end: String,
        /// Whether it is printed before.
        before: bool,
    },
}

/// The confirmation of a change that cannot be undone.
pub(super) struct Confirmation {
    /// What must be given.
    pub value: String,
    /// What `--confirm` gives.
    pub given: Option<String>,
    /// What is lost: `withdraw release 1.2.0`.
    pub what: String,
}

/// What to do next, printed after the result.
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// This, if something was published.
    IfChanged(String),
    /// This, also after a dry run.
    Always(String),
}

impl Screen {
    /// Text that is printed before the change is carried out.
    pub fn before(text: String, empty: bool, roles: &[RoleStep]) -> Self {
        Self::Text { text, end: end_of(empty, roles), before: true }
    }

    /// Text that is printed with the result.
    pub fn after(text: String, empty: bool, roles: &[RoleStep]) -> Self {
        Self::Text { text, end: end_of(empty, roles), before: false }
    }
}

/// The end of a dry run: the roles that would be signed, and how to do it.
fn end_of(empty: bool, roles: &[RoleStep]) -> String {
    if empty { "Plan: nothing to do.\n".into() } else { format!("  ~ {}\n{}", steps(roles), nothing_written("publish")) }
}

impl Change {
    /// Shows the change; without `--dry-run`, has it confirmed, carries it out and reports the outcome.
    pub fn run(self, global: &Global, output: &Output, carry_out: impl FnOnce() -> crate::error::Result<Outcome>) -> Result<Report> {
        if global.dry_run {
            let text = self.dry_run();
            return Ok(Report::planned(self.command, text, &self.document).warnings(&self.warnings));
        }
        let (mut text, mut warnings) = (String::new(), Vec::new());
        match self.screen {
            Screen::Lines { lines, empty, .. } => output.plan((!empty).then(|| lines.render(PlanFormat::Text)), &self.warnings),
            Screen::Text { text, before: true, .. } => output.plan(Some(text), &self.warnings),
            Screen::Text { text: shown, before: false, .. } => (text, warnings) = (shown, self.warnings),
        }
        if let Some(Confirmation { value, given, what }) = &self.confirmation {
            confirm_loss(value, given.as_deref(), what, output)?;
        }
        let outcome = carry_out()?;
        text.push_str(&result(&outcome, &self.done, &self.nothing));
        match self.next {
            Next::IfChanged(next) if outcome.changed => text.push_str(&next),
            Next::Always(next) => text.push_str(&next),
            Next::IfChanged(_) | Next::Nothing => {}
        }
        Ok(Report::done(self.command, text, &self.document, &outcome).warnings(&warnings).warnings(&outcome.warnings))
    }

    /// The answer of a dry run.
    fn dry_run(&self) -> String {
        let (lines, format, end) = match &self.screen {
            Screen::Text { text, end, .. } => return format!("{text}{end}"),
            Screen::Lines { format: PlanFormat::Text, empty: true, .. } => return format!("{}\n{}", self.nothing, self.next.always()),
            Screen::Lines { lines, format, end, .. } => (lines, format, end),
        };
        match format {
            PlanFormat::Text => format!("{}{end}{}", lines.render(*format), self.next.always()),
            PlanFormat::Markdown => lines.with_warnings(&self.warnings).render(*format),
        }
    }
}

impl Next {
    fn always(&self) -> &str {
        if let Self::Always(next) = self { next } else { "" }
    }
}

/// The outcome in one line.
fn result(outcome: &Outcome, done: &str, nothing: &str) -> String {
    let versions = &outcome.versions;
    let mut text = String::new();
    if outcome.changed {
        let _ = writeln!(
            text,
            "{done} (root {}, targets {}, snapshot {}, timestamp {})",
            versions.root, versions.targets, versions.snapshot, versions.timestamp
        );
    } else if nothing.is_empty() {
        text.push_str("another publisher has published exactly this meanwhile; nothing to do\n");
    } else {
        let _ = writeln!(text, "{nothing}");
    }
    text
}

/// Markdown is a form of the plan alone.
pub(super) fn check_format(global: &Global, format: PlanFormat) -> Result<()> {
    if format == PlanFormat::Markdown && !global.dry_run {
        return Err(Error::invalid("--format markdown is a form of the plan").hint("add --dry-run").into());
    }
    Ok(())
}
