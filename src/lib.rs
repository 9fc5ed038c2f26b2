//! A release publisher: finished builds become a TUF repository that the trdl client, curl with gpg, and any TUF
//! client can install from.
//!
//! The modules, lowest layer first; a module uses only modules above it in this list (`tests/suite/architecture.rs` checks it):
//!
//! - [`error`]: what went wrong, of which kind, and what to do next
//! - [`names`], [`digest`], [`metadata`], [`openpgp`]: values and formats; no clock, disk, network or environment
//! - [`files`]: files read without a wait and within limits
//! - [`transport`]: where credentials may be sent
//! - [`channels`], [`keys`], [`storage`], [`broker`], [`tree`]: the channels file, where secret keys are stored, where published
//!   bytes are stored, requests to signing workers, directories that others can write
//! - [`policy`]: the promises made to clients, each in one place
//! - [`repository`]: a TUF repository on a storage: load, stage, commit
//! - [`operation`]: the user's operations, each as plan and apply
//! - [`config`], [`cli`]: the edge; only `cli` prints, prompts and picks exit codes

pub mod broker;
pub mod channels;
pub mod cli;
pub mod config;
pub mod digest;
pub mod error;
pub mod files;
pub mod keys;
pub mod metadata;
pub mod names;
pub mod openpgp;
pub mod operation;
pub mod policy;
pub mod repository;
pub mod storage;
pub mod transport;
pub mod tree;
