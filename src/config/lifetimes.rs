use super::schema::{LifetimesConfig, Span};
use crate::error::{Error, Result};
use crate::metadata::{Lifetimes, Role};

/// The lifetimes, defaults filled in. `file` is the text of the config, for the lines of what is refused; `what` names it.
pub(super) fn read(given: &LifetimesConfig, file: &str, what: &str) -> Result<Lifetimes> {
    let given: Vec<(Role, &Span)> = Role::ALL.into_iter().filter_map(|role| Some((role, span(given, role)?))).collect();
    let mut lifetimes = Lifetimes::default();
    for (role, Span(span)) in &given {
        lifetimes = lifetimes.with(*role, span).map_err(|failure| at(role.name(), file, what, failure))?;
    }
    let Some((role, failure)) = lifetimes.out_of_order() else { return Ok(lifetimes) };
    // Of the two roles, at least one is in the file.
    let named = given.iter().find(|(known, _)| *known == role).or(given.first());
    Err(at(named.map_or("", |(role, _)| role.name()), file, what, failure))
}

fn span(given: &LifetimesConfig, role: Role) -> Option<&Span> {
    match role {
        Role::Root => given.root.as_ref(),
        Role::Targets => given.targets.as_ref(),
        Role::Snapshot => given.snapshot.as_ref(),
        Role::Timestamp => given.timestamp.as_ref(),
    }
}

fn at(name: &str, file: &str, what: &str, failure: Error) -> Error {
    let mut lines = file.lines().enumerate().skip_while(|(_, line)| !line.trim_start_matches(['"', '\'']).starts_with("lifetimes"));
    let line = lines.find(|(_, line)| line.split('#').next().is_some_and(|line| line.contains(name)));
    let place = line.map_or_else(|| what.to_owned(), |(number, _)| format!("{what}:{}", number + 1));
    failure.detail(format!("{place}: `lifetimes`, {}", name.escape_debug()))
}
