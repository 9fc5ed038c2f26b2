//! The promises made to clients, each written once: a change is checked against them when it is prepared, when a worker
//! is asked to sign it, and by `verify`.
//!
//! Functions here take states and requests as values and return refusals. They read no storage, clock or network.

pub mod client_roots;

use crate::failure::Result;
use crate::metadata::Target;

/// The targets of one state of a repository: as published, or as a change would leave them.
pub trait State {
    /// The target with this name.
    ///
    /// # Errors
    /// When the metadata entry cannot be parsed, or the role that is responsible for the name was not read.
    fn target(&self, name: &str) -> Result<Option<Target>>;

    /// The names that start with `prefix`, sorted. Only names that the top-level targets role holds: releases,
    /// signatures, channels, certificates and yanked versions are never in bins.
    fn below(&self, prefix: &str) -> Vec<String>;
}
