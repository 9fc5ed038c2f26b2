//! Spans and moments as people write them. One parser for every option and setting: it reads bytes, accepts exactly the
//! documented forms and answers everything else with the form to use.

use super::{Expiry, format_expiry};
use crate::error::{Error, Result};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// The longest span, in days: a moment that is so far from any present one still has a year of four digits.
const LONGEST_DAYS: i64 = 365_000;

/// Reads `90m`, `12h` or `3d`, or several of these together, as in `1d12h`.
pub fn parse_span(text: &str) -> Result<TimeDelta> {
    let wrong =
        |why: &str| Error::invalid(format!("`{}` is not a span of time{why}", text.escape_debug())).hint("write it as 90m, 12h or 3d");
    let too_long = || wrong(&format!(" of at most {LONGEST_DAYS} days"));
    // Longer units have no certain length, and `3M` for months looks like minutes.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"mhd".contains(&byte)) {
        return Err(wrong(""));
    }
    let span = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => too_long(),
        _ => wrong(""),
    })?;
    TimeDelta::from_std(span).ok().filter(|span| *span <= TimeDelta::days(LONGEST_DAYS)).ok_or_else(too_long)
}

/// A span of time, rounded to minutes, in the largest unit of which there are two or more: `3 days`, `90 minutes`.
pub fn describe_span(span: TimeDelta) -> String {
    let unit = |count: i64, name: &str| (count >= 2).then(|| format!("{count} {name}"));
    let rounded = TimeDelta::minutes((span.num_seconds() + 30) / 60);
    unit(rounded.num_days(), "days")
        .or_else(|| unit(rounded.num_hours(), "hours"))
        .or_else(|| unit(rounded.num_minutes(), "minutes"))
        .unwrap_or_else(|| format!("{} seconds", span.num_seconds()))
}

/// Reads a moment: `2027-01-31`, `2027-01-31T12:00:00Z`, or a span from now such as `365d`.
pub fn parse_moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let wrong =
        || Error::invalid(format!("`{}` is not a moment", text.escape_debug())).hint("write 2027-01-31, 2027-01-31T12:00:00Z or 365d");
    if let Ok(span) = parse_span(text) {
        return now.checked_add_signed(span).filter(|moment| is_exact(&format_expiry(*moment))).ok_or_else(wrong);
    }
    parse_exact(text).or_else(|| parse_exact(&format!("{text}T00:00:00Z"))).ok_or_else(wrong)
}

/// Whether an expiry has the one form that every client reads: `YYYY-MM-DDTHH:MM:SSZ`, seconds up to 59.
pub fn is_exact(text: &str) -> bool {
    parse_exact(text).is_some()
}

fn parse_exact(text: &str) -> Option<Expiry> {
    let form = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    let bytes = text.as_bytes();
    if bytes.len() != form.len() || !bytes.iter().zip(form).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    let day = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)).ok()?, number(5, 7), number(8, 10))?;
    Some(day.and_hms_opt(number(11, 13), number(14, 16), number(17, 19))?.and_utc())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::{describe_span, parse_span};
    use chrono::TimeDelta;

    #[test]
    fn spans_are_their_units_together() {
        for (text, minutes) in [("90m", 90), ("12h", 720), ("3d", 4_320), ("1d12h", 2_160), ("0m", 0)] {
            assert_eq!(parse_span(text).unwrap(), TimeDelta::minutes(minutes), "{text}");
        }
        for text in ["365001d", "99999999999999999999999d"] {
            assert!(parse_span(text).unwrap_err().message.contains("of at most 365000 days"), "{text}");
        }
    }

    #[test]
    fn a_described_span_has_at_least_two_of_its_unit() {
        for (seconds, text) in [(59, "59 seconds"), (90, "2 minutes"), (7_170, "2 hours"), (86_400, "24 hours"), (172_800, "2 days")] {
            assert_eq!(describe_span(TimeDelta::seconds(seconds)), text);
        }
    }
}
