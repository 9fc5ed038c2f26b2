use crate::operation::RoleStep;
use chrono::TimeDelta;

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

/// Reads `90m`, `12h` or `3d`.
pub(super) fn parse_span(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("`{text}` is no span of time; write it as 90m, 12h or 3d");
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let span = match unit {
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    };
    span.filter(|_| number >= 0).ok_or_else(wrong)
}

/// `targets 3 -> 4, snapshot 3 -> 4`.
pub(super) fn steps(steps: &[RoleStep]) -> String {
    steps.iter().map(|step| format!("{} {} -> {}", step.role, step.from, step.to)).collect::<Vec<_>>().join(", ")
}

/// `1 file`, `2 files`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
