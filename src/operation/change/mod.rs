//! The operations that change targets or channels. Each has a file with a `prepare`, which loads and verifies the published
//! state, applies every promise, and returns what people are shown together with what is to be done; it writes nothing and
//! opens no key. [`carry_out`] does what any of them has prepared: it is the only code that stages and commits.

pub mod add_targets;
pub mod bins;
mod build;
mod carry_out;
mod certificate;
pub mod channels;
pub mod openpgp;
pub mod release;
pub mod remove_delegation;
pub mod remove_targets;
mod warnings;
mod work;
pub mod yank;

pub use build::{Build, BuildFile};
pub use carry_out::carry_out;
#[cfg(feature = "monitor")]
pub(super) use carry_out::carry_out_before;
pub(super) use work::{Keys, Small, Upload, Work};

/// A change that was decided and is not carried out yet.
#[derive(Debug)]
pub struct Prepared<P> {
    /// What people are shown, and what is in the JSON.
    pub plan: P,
    work: Work,
}
