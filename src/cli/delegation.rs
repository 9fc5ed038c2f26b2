//! Delegations, as several commands show them.

use super::text::count;
use crate::operation::delegations::Delegation;
use std::fmt::Write;

/// So many names, keys and patterns are shown of each; all are in the JSON.
const SHOWN: usize = 8;

/// The roles that are delegated to.
pub(super) fn names_of(delegation: &Delegation) -> String {
    match delegation.to.as_slice() {
        [one] => one.escape_debug().to_string(),
        [first, .., last] => format!("{} … {} ({})", first.escape_debug(), last.escape_debug(), count(delegation.to.len(), "role")),
        [] => String::new(),
    }
}

/// A delegation in a few lines. Names, ids and patterns come from its author: nothing in them ends a line.
pub(super) fn describe_delegation(delegation: &Delegation, sign: &str, text: &mut String) {
    let to = names_of(delegation);
    let targets = delegation.targets.map_or(String::new(), |targets| format!(", which lists {}", count(targets, "target")));
    let _ = writeln!(text, "  {sign} role {} delegates to {to}{targets}", delegation.from.escape_debug());
    let keys = delegation.keys.iter().map(|key| {
        let keytype = key.keytype.as_deref().unwrap_or("a key that clients cannot read");
        format!("{} {}", key.id.escape_debug(), keytype.escape_debug())
    });
    let _ = writeln!(text, "      keys: {} of: {}", delegation.threshold, listed(keys));
    let names = match delegation.hash_prefixes {
        0 if delegation.paths.is_empty() => "no names".into(),
        0 => listed(delegation.paths.iter().map(|path| path.escape_debug().to_string())),
        prefixes => format!("names by their hash, {}", count(prefixes, "prefix").replace("prefixs", "prefixes")),
    };
    let ends = if delegation.terminating { "; clients look for these names in no other role" } else { "" };
    let _ = writeln!(text, "      names: {names}{ends}");
    if let Some(why) = &delegation.unread {
        let _ = writeln!(text, "      not read: {}", why.escape_debug());
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let more = if items.len() > SHOWN { format!(" and {} more", items.len() - SHOWN) } else { String::new() };
    format!("{}{more}", items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}
