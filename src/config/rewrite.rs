//! Changes of a config's text: every other line stays as it was, comments included.

use super::Config;
use crate::error::{Error, Kind, Result};
use crate::metadata::Role;

impl Config {
    /// A value as it is in a config: quoted by the YAML writer, whatever it holds.
    pub fn quote(value: &str) -> Result<String> {
        serde_yaml::to_string(value).map(|text| text.trim_end().to_owned()).map_err(|error| Error::new(Kind::Invalid, error.to_string()))
    }

    /// The text of a new config.
    pub fn template(name: &str, repo: &str, public_url: Option<&str>, openpgp: &str, consistent_snapshot: bool) -> Result<String> {
        let quote = Self::quote;
        let url = match public_url {
            Some(url) => format!("public_url: {}", quote(url)?),
            None => "# public_url: https://example.org/tuf".into(),
        };
        Ok(format!(
            "# What `publish` works on. Paths are relative to this file; docs/reference.md lists every key.\nname: {}\nrepo: {}\n{url}\nroot: keys/1.root.json\nkeys:\n  root: file:keys/root.pem\n  targets: file:keys/targets.pem\n  snapshot: file:keys/snapshot.pem\n  timestamp: file:keys/timestamp.pem\nopenpgp: {}\nchannels: trdl_channels.yaml\nconsistent_snapshot: {consistent_snapshot}\n",
            quote(name)?,
            quote(repo)?,
            quote(openpgp)?,
        ))
    }

    /// The text of a config with another OpenPGP key, every other line as it was; `None` if it cannot be replaced as a line.
    pub fn with_openpgp(text: &str, uri: &str) -> Option<String> {
        let line = format!("openpgp: {}", Self::quote(uri).ok()?);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match lines.iter().position(|line| line.starts_with("openpgp:")) {
            Some(at) => lines[at] = line,
            None => lines.push(line),
        }
        let new = lines.join("\n") + "\n";
        Self::parse(&new, "").ok().filter(|config| config.openpgp == uri).map(|_| new)
    }

    /// The text of a config with other keys for a role, every other line as it was; `None` if they have a form
    /// that cannot be replaced line by line.
    pub fn with_keys(text: &str, role: Role, uris: &[String]) -> Option<String> {
        let quoted: Vec<String> = uris.iter().map(|uri| Self::quote(uri).ok()).collect::<Option<_>>()?;
        let value = if let [one] = quoted.as_slice() { one.clone() } else { format!("[{}]", quoted.join(", ")) };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let block = match lines.iter().position(|line| line.trim_end() == "keys:") {
            Some(at) => at,
            None => {
                lines.push("keys:".into());
                lines.len() - 1
            }
        };
        let is_below = |line: &String| line.trim().is_empty() || line.starts_with([' ', '\t']) || line.starts_with('#');
        let end = lines[block + 1..].iter().position(|line| !is_below(line)).map_or(lines.len(), |length| block + 1 + length);
        let own = |line: &String| line.trim_start().strip_prefix(role.name()).is_some_and(|rest| rest.starts_with(':'));
        match (block + 1..end).find(|at| own(&lines[*at])) {
            Some(at) => {
                let depth = indent(&lines[at]);
                let deeper = |line: &String| !line.trim().is_empty() && (indent(line) > depth || line.trim_start().starts_with("- "));
                let tail = lines[at + 1..end].iter().take_while(|line| deeper(line)).count();
                lines.splice(at..=at + tail, [format!("{}{role}: {value}", " ".repeat(depth))]);
            }
            None => lines.insert(block + 1, format!("  {role}: {value}")),
        }
        let new = lines.join("\n") + "\n";
        // Whatever the file looked like: only if it means exactly this now.
        let (before, after) = (Self::parse(text, "").ok()?, Self::parse(&new, "").ok()?);
        let others =
            |config: &Self| Role::ALL.into_iter().filter(|other| *other != role).map(|other| config.key_texts(other)).collect::<Vec<_>>();
        (after.key_texts(role) == uris && others(&before) == others(&after)).then_some(new)
    }
}
