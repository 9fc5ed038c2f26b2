//! The log of services: one line for each event, as text or JSON.

use super::output::{Output, eprint, one_line, print};
use crate::error::Error;
use chrono::Utc;
use serde_json::{Map, Value, json};

/// Tells one event. `fields` is a JSON object.
pub(super) fn log_event(output: &Output, level: &str, event: &str, fields: Value) {
    let time = crate::metadata::format_expiry(Utc::now());
    let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
    if output.is_json() {
        let mut line = json!({"time": time, "level": level, "event": event});
        if let Some(line) = line.as_object_mut() {
            line.extend(fields);
        }
        print(&format!("{line}\n"));
        return;
    }
    if level == "info" && output.is_silent() {
        return;
    }
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!(" {name}={}", shown(value))).collect();
    eprint(&format!("{time} {level} {event}{}\n", one_line(&fields.concat())));
}

/// A failure with its details and causes, in one line.
pub(super) fn why(failure: &Error) -> String {
    let mut text = failure.message.clone();
    failure.details.iter().for_each(|detail| text.push_str(&format!("; {detail}")));
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
