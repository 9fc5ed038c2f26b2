//! Servers that tests run in their own process.

pub mod gcs;
pub mod http;
pub mod keyring;
pub mod kms;
pub mod vault;
