use crate::error::{Error, Id};
use serde::Serialize;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Clients that follow the rules fail, or would install something wrong.
    Error,
    /// Some clients fail, or a protection is missing.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something found in a repository.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which kind of finding it is.
    pub id: Id,
    /// How bad it is.
    pub severity: Severity,
    /// The file, role, key or target it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// Of one kind about many targets, so many are listed one by one.
const MAX_ALIKE: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, id: Id, severity: Severity, subject: impl Into<String>, message: impl Into<String>, advice: &str) {
        self.0.push(Finding { id, severity, subject: subject.into(), message: message.into(), advice: advice.into() });
    }

    pub(super) fn error(&mut self, id: Id, subject: &str, failure: &Error, advice: &str) {
        let message =
            [failure.message.as_str()].into_iter().chain(failure.details.iter().map(String::as_str)).collect::<Vec<_>>().join("; ");
        self.add(id, Severity::Error, subject, message, advice);
    }

    pub(super) fn any_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Worst first; a long run of the same advice is cut and counted.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by(|a, b| (a.severity, &a.advice, &a.subject).cmp(&(b.severity, &b.advice, &b.subject)));
        let mut kept: Vec<Finding> = Vec::new();
        for group in self.0.chunk_by(|a, b| a.severity == b.severity && a.advice == b.advice) {
            kept.extend(group.iter().take(MAX_ALIKE).cloned());
            if let (Some(first), true) = (group.first(), group.len() > MAX_ALIKE) {
                kept.push(Finding {
                    subject: "…".into(),
                    message: format!("and {} more like these", group.len() - MAX_ALIKE),
                    ..first.clone()
                });
            }
        }
        kept
    }
}
