use super::TargetName;
use super::object::is_hash_prefixed;
use crate::error::{Error, Result};
use std::borrow::Borrow;
use std::fmt;
use unicode_normalization::is_nfc;

/// Longest target name we publish, in bytes; with the hash prefix each part still fits a file system's 255.
pub const MAX_PATH: usize = 1024;
/// Longest single part: 255 less the 64 hex digits of SHA-256, the dot, and `.sig`.
const MAX_PART: usize = 255 - 65 - 4;

/// A name that we publish a new target under. Names found in an adopted repository are not held to these rules.
///
/// The refused characters are those that break at least one real client: the trdl client sends names unescaped, some
/// Windows file systems cannot store them, and clients disagree on `%`, `#` and decomposed Unicode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// Checks `name` against the rules for new targets.
    pub fn parse(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        match fault(&name) {
            None => Ok(Self(name)),
            Some(reason) => Err(Error::invalid(format!("target name `{}` cannot be published: {reason}", name.escape_debug()))
                .hint("rename the file in the build; letters, digits and . _ + ~ / - are safe with every client")),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name says.
    pub fn parts(&self) -> TargetName<'_> {
        TargetName::of(&self.0)
    }

    /// Where its detached signature is to be published.
    pub fn signature(&self) -> Result<Self> {
        Self::parse(self.parts().signature())
    }

    /// Whether it holds characters that are allowed but not safe everywhere; the plan warns about these.
    pub fn is_unusual(&self) -> bool {
        !self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~/-".contains(&b))
    }
}

impl Borrow<str> for TargetPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that change how a name is shown and are not seen themselves: format characters, separators of lines, fillers
/// and tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > MAX_PATH {
        return Some(format!("it is longer than {MAX_PATH} bytes"));
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Some(format!("it holds the control character U+{:04X}", c as u32));
    }
    if let Some(c) = name.chars().find(|c| is_invisible(*c)) {
        return Some(format!("it holds the invisible character U+{:04X}", c as u32));
    }
    if let Some(c) = name.chars().find(|c| "%#?\\:*<>\"|".contains(*c)) {
        return Some(format!("it holds `{c}`"));
    }
    if name.starts_with('/') || name.ends_with('/') {
        return Some("it starts or ends with a slash".into());
    }
    for part in name.split('/') {
        match part {
            "" => return Some("it has an empty part".into()),
            "." | ".." => return Some(format!("it has the part `{part}`")),
            _ if part.len() > MAX_PART => return Some(format!("one part is longer than {MAX_PART} bytes")),
            _ => {}
        }
    }
    // Its plain name would be the hashed name of another target, and replace that one's content.
    if name.rsplit('/').next().is_some_and(is_hash_prefixed) {
        return Some("it starts with a digest, as hashed names do".into());
    }
    (!is_nfc(name)).then(|| "its Unicode is not in composed form (NFC)".into())
}
