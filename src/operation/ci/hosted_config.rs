use super::secrets::Secrets;
use super::{CERTIFICATE, ROOT, Settings};
use crate::error::{Error, Kind, Result};
use crate::storage::{Location, Service};
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

/// The config of the jobs: the publisher's, with keys from variables and nothing that is on its machine only. The YAML
/// writer quotes every value.
pub(super) fn text(settings: &Settings, secrets: &Secrets, channels: &str) -> Result<String> {
    let broken = |error: serde_yaml::Error| Error::new(Kind::Invalid, format!("the config cannot be rewritten: {error}"));
    let mut config = match serde_yaml::from_str(&settings.text).map_err(broken)? {
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
    config.insert("name".into(), settings.name.as_str().into());
    config.insert("repo".into(), settings.location.to_string().into());
    let is_s3 = matches!(settings.location, Location::Bucket { service: Service::S3, .. });
    let store = [("endpoint", settings.store.endpoint_for(&settings.location)), ("region", settings.region.clone().filter(|_| is_s3))];
    for (key, value) in store {
        let Some(value) = value else { continue };
        let options = config.entry("store".into()).or_insert_with(|| Mapping::new().into());
        if let Some(options) = options.as_mapping_mut().filter(|options| !options.contains_key(key)) {
            options.insert(key.into(), value.into());
        }
    }
    config.insert("root".into(), ROOT.into());
    let mut keys = Mapping::new();
    keys.insert("root".into(), Value::Sequence(Vec::new()));
    for (role, uris) in &secrets.keys {
        let uris: Vec<Value> = uris.iter().map(|uri| uri.as_str().into()).collect();
        let one = if let [one] = uris.as_slice() { Some(one.clone()) } else { None };
        keys.insert((*role).into(), one.unwrap_or(Value::Sequence(uris)));
    }
    config.insert("keys".into(), keys.into());
    config.insert("openpgp".into(), secrets.openpgp.as_str().into());
    if !secrets.openpgp.starts_with("env:") {
        config.insert("openpgp_certificate".into(), CERTIFICATE.into());
    }
    config.insert("channels".into(), channels.into());
    let body = serde_yaml::to_string(&config).map_err(broken)?;
    Ok(format!(
        "# Written by `publish ci` for hosted runners. Keys are read from variables, which the CI stores as secrets. There is no\n# place for the root key: it stays out of CI.\n{body}"
    ))
}
