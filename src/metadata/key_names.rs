//! Names of the people who hold keys. They are shown beside key ids and are not signed, so a name must not look like
//! another one, nor like anything else on the screen.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use unicode_normalization::is_nfc;
use unicode_security::{GeneralSecurityProfile, MixedScript, skeleton};

/// Names are no longer than this, in characters.
const LONGEST: usize = 60;

/// Refuses a name with characters that are invisible, change the direction of text, or come from several scripts.
pub(super) fn check_name(name: &str) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::invalid(format!("`{}` cannot be the name of a key's holder: {why}", escaped(name)))
            .hint("give the name with --add-key ROLE:NAME=KEY or --name KEY-ID=NAME"))
    };
    // Letters of any script; the profile leaves out fillers, variation selectors and the like.
    let fits = |c: char| " .-_@+'".contains(c) || (c.is_alphanumeric() && c.identifier_allowed());
    if name.is_empty() || name.chars().count() > LONGEST || !name.chars().all(fits) {
        return refused("names have up to 60 letters, digits and any of  . - _ @ + '");
    }
    if name.trim() != name || name.contains("  ") {
        return refused("it begins or ends with a space, or has two adjacent spaces");
    }
    if !is_nfc(name) {
        return refused("it is not in composed form (NFC)");
    }
    if !name.is_single_script() {
        return refused("it mixes letters of several scripts");
    }
    Ok(())
}

/// Refuses names of different keys that are the same, or look it: in other case, with other spaces, in letters of another
/// script; and a name that is the beginning of another key's id.
pub fn check_names(names: &BTreeMap<String, String>) -> Result<()> {
    let mut seen: Vec<([String; 2], &String, &String)> = Vec::new();
    for (id, name) in names {
        check_name(name)?;
        let looks = looks_of(name);
        if let Some((_, other, as_named)) = seen.iter().find(|(known, ..)| known.iter().any(|look| looks.contains(look))) {
            return Err(Error::invalid(format!(
                "`{}` cannot be the name of a key's holder: another key has the same name, or one that looks the same",
                escaped(name)
            ))
            .detail(format!("key {other}: {}", escaped(as_named)))
            .detail(format!("key {id}: {}", escaped(name)))
            .hint("give one of them another name: publish root edit --name KEY-ID=NAME"));
        }
        seen.push((looks, id, name));
        if let Some(other) = names.keys().find(|other| *other != id && name.len() >= 4 && other.starts_with(&name.to_lowercase())) {
            return Err(Error::invalid(format!("`{name}` cannot be the name of a key's holder: the id of key {other} begins with it")));
        }
    }
    Ok(())
}

/// What a name looks like: names that look the same to people have one of these in common. Letters may look alike in one
/// case only.
fn looks_of(name: &str) -> [String; 2] {
    let look = |text: &str| skeleton(text).filter(|c| !" .-_'".contains(*c)).collect::<String>().to_lowercase();
    [look(name), look(&name.to_lowercase())]
}

/// Text from an untrusted file, for a message: what is not plain ASCII is escaped.
pub(super) fn escaped(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { c.escape_unicode().to_string() };
    text.chars().map(shown).collect()
}
