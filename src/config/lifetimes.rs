use crate::failure::{Failure, Result};
use crate::metadata::{Lifetimes, Role};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The part of the config about lifetimes, as the file has it: spans by role.
pub(super) type Texts = BTreeMap<String, Text>;

/// A span; a number without a unit is kept too, to be refused with the form to use.
#[derive(Clone, Debug)]
pub(super) struct Text(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_yaml::Number),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
        }))
    }
}

/// The lifetimes, defaults filled in. `file` is the text of the config, for the lines of what is refused; `what` names it.
pub(super) fn read(texts: &Texts, file: &str, what: &str) -> Result<Lifetimes> {
    let mut lifetimes = Lifetimes::default();
    for (name, Text(span)) in texts {
        let role = Role::ALL.into_iter().find(|role| role.name() == name);
        let role = role.ok_or_else(|| {
            at(name, file, what, Failure::invalid(format!("unknown role `{}` below `lifetimes`", name.escape_debug())))
                .hint("roles: root, targets, snapshot, timestamp; bins and other delegated roles live as long as targets")
        })?;
        lifetimes = lifetimes.with(role, span).map_err(|failure| at(name, file, what, failure))?;
    }
    let Some((role, failure)) = lifetimes.out_of_order() else { return Ok(lifetimes) };
    // Of the two roles, at least one is in the file.
    let name = if texts.contains_key(role.name()) { role.name() } else { texts.keys().next().map_or("", String::as_str) };
    Err(at(name, file, what, failure))
}

fn at(name: &str, file: &str, what: &str, failure: Failure) -> Failure {
    let mut lines = file.lines().enumerate().skip_while(|(_, line)| !line.trim_start_matches(['"', '\'']).starts_with("lifetimes"));
    let line = lines.find(|(_, line)| line.split('#').next().is_some_and(|line| line.contains(name)));
    let place = line.map_or_else(|| what.to_owned(), |(number, _)| format!("{what}:{}", number + 1));
    failure.detail(format!("{place}: `lifetimes`, {}", name.escape_debug()))
}
