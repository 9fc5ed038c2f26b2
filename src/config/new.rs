//! The texts of new configs.

use super::Config;
use crate::error::{Error, Kind, Result};
use crate::metadata::Role;
use crate::operation::init::FoundStore;
use std::fmt::Write;

/// What a new config says. Values are as they are meant: they are quoted when they are written.
#[derive(Clone, Debug, Default)]
pub struct NewConfig {
    /// The comment at its top.
    pub heading: &'static str,
    /// What users call the repository.
    pub name: Option<String>,
    /// Where the repository is stored.
    pub repo: String,
    /// The URL at which users reach it; a comment shows the key if there is none yet.
    pub public_url: Option<String>,
    /// The endpoint of the store.
    pub endpoint: Option<String>,
    /// The URIs of each role's keys.
    pub keys: Vec<(Role, Vec<String>)>,
    /// The URI of the OpenPGP key.
    pub openpgp: Option<String>,
    /// The channels file.
    pub channels: Option<&'static str>,
    /// Plain names are on another server.
    pub elsewhere: bool,
    /// Whether clients fetch versioned names.
    pub consistent_snapshot: Option<bool>,
}

impl NewConfig {
    /// Its text.
    pub fn text(&self) -> Result<String> {
        let mut text = format!("# {}\n", self.heading);
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key}: {value}\n"));
        if let Some(name) = &self.name {
            line("name", &quote(name)?);
        }
        line("repo", &quote(&self.repo)?);
        match &self.public_url {
            Some(url) => line("public_url", &quote(url)?),
            None => line("# public_url", "https://example.org/tuf"),
        }
        line("root", "keys/1.root.json");
        if !self.keys.is_empty() {
            text.push_str("keys:\n");
        }
        for (role, uris) in &self.keys {
            let uris = uris.iter().map(|uri| quote(uri)).collect::<Result<Vec<_>>>()?;
            let value = if let [one] = uris.as_slice() { one.clone() } else { format!("[{}]", uris.join(", ")) };
            let _ = writeln!(text, "  {role}: {value}");
        }
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key}: {value}\n"));
        if let Some(openpgp) = &self.openpgp {
            line("openpgp", &quote(openpgp)?);
        }
        if let Some(channels) = self.channels {
            line("channels", channels);
        }
        if self.elsewhere {
            line("plain_names", "elsewhere");
        }
        if let Some(on) = self.consistent_snapshot {
            line("consistent_snapshot", if on { "true" } else { "false" });
        }
        if let Some(endpoint) = &self.endpoint {
            let _ = writeln!(text, "store:\n  endpoint: {}", quote(endpoint)?);
        }
        Ok(text)
    }
}

impl Config {
    /// The text of a new config with what was found out about its store.
    pub fn with_store(text: &str, found: FoundStore) -> String {
        let mut text = text.to_owned();
        if !text.contains("\nstore:\n") {
            text.push_str("store:\n");
        }
        text.push_str("  # Found by `publish init`; after a change of the store, run `publish store check`.\n");
        if found.enforces_conditions {
            text.push_str("  conditions: enforced\n");
        }
        if found.strips_etag_quotes {
            text.push_str("  etag_quotes: strip\n");
        }
        text
    }
}

/// A value as it is in a config: quoted by the YAML writer, whatever it holds.
pub(super) fn quote(value: &str) -> Result<String> {
    serde_yaml::to_string(value).map(|text| text.trim_end().to_owned()).map_err(|error| Error::new(Kind::Invalid, error.to_string()))
}
