//! Behaviour through the binary and the public API, with real parts. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../fakes/mod.rs"]
mod fakes;

mod adopted_versions;
mod architecture;
mod bin_keys;
mod bins;
mod ceremonies;
mod channels;
mod cli;
mod client_roots;
mod clocks;
mod concurrency;
mod counts;
mod delegations;
mod devices;
mod drafts;
mod dry_run;
mod durability;
mod encodings;
mod faults;
mod given_files;
mod gnupg;
mod init;
mod key_ids;
mod keys;
mod killed_ceremonies;
mod killed_monitors;
mod memory;
mod metadata;
mod modes;
mod monitor;
mod names;
mod openpgp;
mod operators;
mod plain_names;
mod planned;
mod plans;
mod promises;
mod prompts;
mod properties;
mod prune;
mod rabbitmq;
mod recovery;
mod refresh;
mod release;
mod root;
mod rotate;
mod rugged;
mod sandbox;
mod screens;
mod storage;
mod stores;
mod targets;
mod thieves;
mod transport;
mod tree;
mod trial;
mod uploads;
mod verify;
mod workers;
mod yank;
