//! Changes of a config's text: every other line stays as it was, comments included.

use super::Config;
use super::new::quote;
use crate::error::{Error, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given_text};
use crate::metadata::Role;
use crate::operation::own_file;
use crate::operation::root::rotation::KeyConfig;
use std::path::{Path, PathBuf};

/// A config with the file that it is in, to change single values of it.
pub struct ConfigFile {
    /// What it says.
    pub config: Config,
    path: PathBuf,
}

impl ConfigFile {
    /// Reads a config file.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self { config: Config::read(path)?, path: path.to_owned() })
    }

    /// Writes another OpenPGP key.
    pub fn set_openpgp(&self, uri: &str) -> Result<()> {
        self.rewrite(
            |text| Config::with_openpgp(text, uri),
            || {
                Error::invalid(format!("`openpgp` in {} has a form that this command cannot rewrite", self.path.display()))
                    .hint(format!("write this line into the config: openpgp: {uri}"))
            },
        )
    }

    /// Writes the text that `change` makes of the present one; `None` for a form that it cannot change.
    fn rewrite(&self, change: impl Fn(&str) -> Option<String>, unfit: impl Fn() -> Error) -> Result<()> {
        let failed = |error| Error::io("read the config", self.path.display(), error);
        let text = read_given_text(&self.path, GIVEN_FILE_LIMIT).map_err(failed)?;
        own_file::replace(&self.path, change(&text).ok_or_else(unfit)?.as_bytes())
    }
}

impl KeyConfig for ConfigFile {
    fn keys(&self, role: Role) -> Vec<String> {
        self.config.key_texts(role)
    }

    fn base(&self) -> &Path {
        self.config.base()
    }

    fn set_keys(&self, role: Role, keys: &[String]) -> Result<()> {
        self.rewrite(
            |text| Config::with_keys(text, role, keys),
            || {
                let what = format!("`keys` in {} has a form that this command cannot rewrite; nothing was changed", self.path.display());
                Error::invalid(what).hint(format!("add this line below `keys:` in the config: {role}: [{}]", keys.join(", ")))
            },
        )
    }
}

impl Config {
    /// The text of a config with another OpenPGP key, every other line as it was; `None` if it cannot be replaced as a line.
    pub fn with_openpgp(text: &str, uri: &str) -> Option<String> {
        let line = format!("openpgp: {}", quote(uri).ok()?);
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
        let quoted: Vec<String> = uris.iter().map(|uri| quote(uri).ok()).collect::<Option<_>>()?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::Config;
    use crate::metadata::Role;

    #[test]
    fn only_the_line_of_the_role_changes() {
        let keys = |uris: &[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
        let text =
            "# mine\nname: acme\nkeys:\n  # comment\n  targets: file:keys/targets.pem # here\n  root: file:keys/root.pem\nsha512: true\n";
        let two = Config::with_keys(text, Role::Targets, &keys(&["file:a.pem", "file:b.pem"])).unwrap();
        assert_eq!(two, text.replace("file:keys/targets.pem # here", "[file:a.pem, file:b.pem]"));
        let one = Config::with_keys(&two, Role::Targets, &keys(&["file:b.pem"])).unwrap();
        assert_eq!(one, text.replace("file:keys/targets.pem # here", "file:b.pem"));
        // A list on lines of its own goes with its role.
        let list = "keys:\n  targets:\n    - file:a.pem\n    - file:b.pem\n  root: file:keys/root.pem\n";
        let short = Config::with_keys(list, Role::Targets, &keys(&["file:b.pem"])).unwrap();
        assert_eq!(short, "keys:\n  targets: file:b.pem\n  root: file:keys/root.pem\n");
    }

    #[test]
    fn what_cannot_be_rewritten_by_line_stays() {
        assert_eq!(Config::with_keys("keys: {targets: file:a.pem}\n", Role::Targets, &["file:b.pem".into()]), None);
        assert_eq!(Config::with_openpgp("openpgp:\n  file:keys/a.asc\n", "file:keys/b.asc"), None);
        assert_eq!(Config::with_openpgp("name: acme\n", "file:keys/b.asc").as_deref(), Some("name: acme\nopenpgp: file:keys/b.asc\n"));
    }
}
