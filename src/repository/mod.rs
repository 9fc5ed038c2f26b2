//! A TUF repository on a storage: load it, stage artifacts, commit a change.
//!
//! The commit protocol, in short: role files get numbers that were never used (`create` decides), and one compare-and-swap of
//! `timestamp.json` makes the whole change visible. A publisher that loses the swap starts again from the current state and goes
//! on only while everything its plan relied on still holds. Before the swap only hash-named objects are written, so an
//! abandoned run leaves nothing that a client can see.

mod bin_keys;
mod bins;
mod change_set;
mod commit;
mod draft;
mod edit;
mod handed_over;
mod names;
mod numbers;
mod parallel;
mod plain_names;
mod plain_roles;
mod present;
mod progress;
mod promises;
mod prune;
mod roots;
mod seen;
mod sighting;
mod stage;
mod steps;

pub(crate) use parallel::each;

pub use bin_keys::BinKeys;
pub use bins::{BINS, Bins, Home};
pub use commit::{Committed, Committer, Replacement, UpperRoles, Witness, Written};
pub use edit::{Change, Condition, Edit, Rebin, Renewal, View};
pub use plain_names::{
    AtHand, EVERY_TARGET, PlainCheck, PlainNames, PlainState, PlainSwitch, Trouble, catch_up, check_all, plain_state, remove_all, stale,
    switch,
};
pub use plain_roles::{check_as_client, place_roles};
pub(crate) use present::read_role;
pub use present::{Present, Versions, load, load_before_root, load_restored, load_roots, sight};
pub use progress::{Progress, Quiet};
pub use promises::is_its_own;
pub use prune::{Garbage, LEAST_GRACE, garbage};
pub use roots::{publish_root, sign_root};
pub use seen::{KnownStore, Memory, Place, Seen};
pub use sighting::Sighting;
pub use stage::{Artifact, Staged, digest_file, digest_for_signature, digest_object, holds_target, stage, stage_bytes};
pub use steps::{NewRole, SignedRole, check_signers, sign_snapshot, sign_targets, sign_timestamp, version_after};
