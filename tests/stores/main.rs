//! The contract of a storage on real engines. They are not started here: `interop/stores` does that and passes on where they
//! are, so this binary is run by it alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "../conformance/mod.rs"]
mod conformance;

use publish::storage::{Location, Remote, StoreOptions};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bucket at `variable` (`s3://bucket`), with a new prefix each time it is asked for.
fn passes_at(variable: &str, rounds: usize) {
    let place = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run interop/stores"));
    let options = StoreOptions { endpoint: std::env::var(format!("{variable}_ENDPOINT")).ok(), ..StoreOptions::default() };
    let counter = AtomicUsize::new(0);
    let unique = std::process::id();
    conformance::passes(
        &|| {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let location = Location::parse(&format!("{place}/conformance {unique}/{number}"), Path::new("")).unwrap();
            Box::new(Remote::open(&location, &options).unwrap())
        },
        rounds,
    );
}

#[test]
fn s3_keeps_the_contract() {
    passes_at("STORES_S3", 200);
}

#[test]
fn azure_keeps_the_contract() {
    passes_at("STORES_AZURE", 200);
}
