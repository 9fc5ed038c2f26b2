use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::Value as Schema;
use serde_yaml::{Mapping, Value};

/// A key of the config, for the reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// With the name of its section: `store.region`.
    pub key: String,
    /// What applies without it.
    pub default: String,
    /// What it does, with unit and bounds.
    pub meaning: String,
}

impl Setting {
    /// Every key, in the order of the schema.
    pub fn all() -> Vec<Self> {
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
        let mut all = Vec::new();
        collect("", &defaults(), &schema, &mut all);
        all
    }
}

/// The names of the keys outside sections, and of the sections.
pub(super) fn top_keys() -> Vec<String> {
    defaults().keys().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The defaults, in the order of the schema.
fn defaults() -> Mapping {
    match serde_yaml::to_value(Config::default()) {
        Ok(Value::Mapping(defaults)) => defaults,
        _ => Mapping::new(),
    }
}

fn collect(section: &str, defaults: &Mapping, schema: &Schema, all: &mut Vec<Setting>) {
    for (key, value) in defaults {
        let Some(key) = key.as_str() else { continue };
        let about = &schema["properties"][key];
        match value {
            Value::Mapping(below) if about["properties"].is_object() => collect(&format!("{section}{key}."), below, about, all),
            _ => all.push(setting(format!("{section}{key}"), value, about["description"].as_str().unwrap_or_default())),
        }
    }
}

fn setting(key: String, value: &Value, description: &str) -> Setting {
    let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let (meaning, stated) = text.split_once(" Default: ").unwrap_or((&text, "none"));
    let own = match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    Setting { key, default: if own.is_empty() { stated.to_owned() } else { own }, meaning: meaning.to_owned() }
}
