//! In place of the monitor in a build without that feature.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, Report};
use crate::error::Error;
use anyhow::Result;

/// What a run of the monitor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Scope {
    /// The drop box and the roles.
    Everything,
    /// One round of both.
    OneRound,
    /// The roles alone.
    RolesOnly,
}

/// Refuses.
pub(in crate::cli) fn run(_: &Global, scope: Scope, _: &Output) -> Result<Report> {
    let what = if scope == Scope::RolesOnly { "`refresh --watch`" } else { "monitor" };
    Err(Error::invalid(format!("this build has no {what}"))
        .hint("install a package of publish, or build it with: cargo build --features monitor")
        .into())
}
