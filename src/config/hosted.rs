//! The config of jobs on hosted runners, made from that of the machine that publishes today.

use super::Config;
use crate::error::{Error, Kind, Result};
use crate::operation::ci::HostedConfig;
use serde_yaml::{Mapping, Value};

/// Keys of the config that are about the machine that publishes today.
const LEFT_OUT: [&str; 12] = [
    "root",
    "keys",
    "key_names",
    "root_draft",
    "openpgp",
    "openpgp_certificate",
    "channels",
    "passphrase_file",
    "passphrase_command",
    "openpgp_passphrase_file",
    "monitor",
    "workers",
];

impl Config {
    /// The text of the jobs' config: `text` is the publisher's, whose keys come from variables then, without what is on that
    /// machine only. The YAML writer quotes every value.
    pub fn hosted(text: &str, hosted: &HostedConfig<'_>) -> Result<String> {
        let broken = |error: serde_yaml::Error| Error::new(Kind::Invalid, format!("the config cannot be rewritten: {error}"));
        let mut config = match serde_yaml::from_str(text).map_err(broken)? {
            Value::Mapping(config) => config,
            _ => Mapping::new(),
        };
        if config.contains_key("broker") {
            return Err(Error::invalid("the config has a `broker`: workers sign, and the files of `publish ci` sign in the job")
                .hint("let the pipeline leave its builds in a drop box: docs/drop-box.md")
                .hint("or call `publish` with that config from a job of your own: docs/workers.md"));
        }
        for key in LEFT_OUT {
            config.remove(key);
        }
        // A state file would be lost with the runner; a place that is shared stays.
        if !config.get("state").and_then(Value::as_str).is_some_and(|state| state.contains("://")) {
            config.remove("state");
        }
        config.insert("name".into(), hosted.name.into());
        config.insert("repo".into(), hosted.repo.as_str().into());
        for (key, value) in &hosted.store {
            let options = config.entry("store".into()).or_insert_with(|| Mapping::new().into());
            if let Some(options) = options.as_mapping_mut().filter(|options| !options.contains_key(*key)) {
                options.insert((*key).into(), value.as_str().into());
            }
        }
        config.insert("root".into(), hosted.root.into());
        let mut keys = Mapping::new();
        keys.insert("root".into(), Value::Sequence(Vec::new()));
        for (role, uris) in hosted.keys {
            let uris: Vec<Value> = uris.iter().map(|uri| uri.as_str().into()).collect();
            let one = if let [one] = uris.as_slice() { Some(one.clone()) } else { None };
            keys.insert((*role).into(), one.unwrap_or(Value::Sequence(uris)));
        }
        config.insert("keys".into(), keys.into());
        config.insert("openpgp".into(), hosted.openpgp.into());
        if let Some(certificate) = hosted.openpgp_certificate {
            config.insert("openpgp_certificate".into(), certificate.into());
        }
        config.insert("channels".into(), hosted.channels.into());
        let body = serde_yaml::to_string(&config).map_err(broken)?;
        Ok(format!(
            "# Written by `publish ci` for hosted runners. Keys are read from variables, which the CI stores as secrets. There is no\n# place for the root key: it stays out of CI.\n{body}"
        ))
    }
}
