//! TUF metadata as values, after the TUF specification 1.0.
//!
//! Our own model because unknown fields must survive, canonical bytes are made once, and a targets role of 100 000
//! entries is edited without building a tree of it. Nothing here reads a clock, a disk or a network.

pub mod canonical;
mod delegation;
mod envelope;
mod expiry;
mod key;
mod key_id;
mod key_names;
mod lifetimes;
mod listing;
mod moment;
mod repository_label;
mod root;
mod root_draft;
mod root_edit;
mod root_rebuilt;
mod target;
mod targets;
pub mod trust;

pub use delegation::{BinIndex, DelegatedRole, Delegations};
pub use envelope::{Envelope, Signature, seal};
pub use expiry::{Expiry, format_expiry, parse_expiry, whole_second};
pub use key::{KeyKind, PublicKey};
pub use key_id::KeyIdStyle;
pub use key_names::check_names;
pub use lifetimes::{BOUNDS, Bounds, Lifetimes};
pub use listing::{Listing, MetaFile};
pub use moment::{describe_span, is_exact, parse_moment, parse_span};
pub use repository_label::RepositoryLabel;
pub use root::{RoleKeys, Root};
pub use root_draft::{Quorum, RootDraft};
pub use root_edit::{RootChange, RootEdit};
pub use target::Target;
pub use targets::{TargetEdits, Targets};

pub use crate::names::Role;

/// The `spec_version` that we write; every client we know reads it.
pub const SPEC_VERSION: &str = "1.0.0";
/// Longest `N.root.json` that the trdl client and python-tuf fetch, in bytes.
pub const ROOT_LIMIT: u64 = 512_000;
/// Longest `timestamp.json` that clients fetch, in bytes.
pub const TIMESTAMP_LIMIT: u64 = 16_384;
/// Where clients stop reading a targets role whose length the snapshot does not state, in bytes.
pub const UNSTATED_TARGETS_LIMIT: u64 = 5_000_000;
/// No role file is longer than this, whatever a stranger's metadata states, in bytes.
pub const ROLE_LIMIT: u64 = 1 << 30;
/// The highest version that every client reads: those that take numbers for floating point round higher ones. Nothing is signed
/// with a higher one.
pub const LAST_VERSION: u64 = (1 << 53) - 1;
/// Where clients stop reading a snapshot whose length the timestamp does not state, in bytes.
pub const UNSTATED_SNAPSHOT_LIMIT: u64 = 2_000_000;
