use crate::error::{Error, Id, Kind};
use crate::operation::RoleStep;
use chrono::TimeDelta;
use std::io::IsTerminal;

/// A length in bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A span in its two largest units, for people.
pub(super) fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        (1..=9, _) => format!("{days} d {hours} h"),
        _ => format!("{days} d"),
    }
}

/// Reads `90m`, `12h` or `3d` as an option's value.
pub(super) fn parse_span(text: &str) -> Result<TimeDelta, String> {
    crate::metadata::parse_span(text).map_err(|failure| format!("{}; {}", failure.message, failure.hints.join("; ")))
}

/// Shows what is about to happen and asks; without a terminal, the flag must confirm.
pub(super) fn confirm(shown: &str, what: &str, flag: &str, output: &super::output::Output) -> crate::error::Result<()> {
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(Error::new(Kind::Invalid, format!("there is no terminal to ask on whether to {what}"))
            .hint(format!("look at the plan first (--dry-run), then add {flag}")));
    }
    super::output::eprint_wrapped(&format!("{}{what}? [y/N] ", super::output::visible(shown)));
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Error::new(Kind::Conflict, "not confirmed; nothing was done").id(Id::NotConfirmed))
    }
}

/// Asks for the confirmation of something that cannot be undone: `value` must be given, `given` is the value of --confirm.
pub(super) fn confirm_loss(value: &str, given: Option<&str>, what: &str, output: &super::output::Output) -> crate::error::Result<()> {
    let shown = value.escape_debug().to_string();
    if given.is_none() && !output.is_json() && std::io::stdin().is_terminal() {
        if let Some(plan) = output.withheld_plan() {
            super::output::eprint_wrapped(&format!("{}\n", super::output::visible(&plan)));
        }
        super::output::eprint_wrapped(&format!("This cannot be undone. To {what}, type {shown}: "));
        let mut answer = String::new();
        let _ = std::io::stdin().read_line(&mut answer);
        return if answer.trim() == value {
            Ok(())
        } else {
            Err(Error::new(Kind::Conflict, "not confirmed; nothing was changed").id(Id::NotConfirmed))
        };
    }
    match given {
        Some(given) if given == value => Ok(()),
        Some(given) => {
            Err(Error::new(Kind::Conflict, format!("--confirm names {}, not {shown}; nothing was changed", given.escape_debug()))
                .id(Id::NotConfirmed)
                .hint(format!("if you want to {what}: --confirm {shown}")))
        }
        None => Err(Error::new(Kind::Conflict, "this cannot be undone and needs a confirmation; nothing was changed")
            .id(Id::NotConfirmed)
            .hint(format!("to {what}, run the same command with --confirm {shown}"))),
    }
}

/// `targets 3 -> 4, snapshot 3 -> 4`.
pub(super) fn steps(steps: &[RoleStep]) -> String {
    steps.iter().map(|step| format!("{} {} -> {}", step.role, step.from, step.to)).collect::<Vec<_>>().join(", ")
}

/// `1 file`, `2 files`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{count, size, span};

    #[test]
    fn sizes_have_the_unit_that_reads_best() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB"), (1 << 50, "1024.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        for (seconds, text) in [
            (59, "0 min"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
            (864_000, "10 d"),
            (900_000, "10 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((count(0, "file"), count(1, "file"), count(2, "file")), ("0 files".into(), "1 file".into(), "2 files".into()));
    }
}
