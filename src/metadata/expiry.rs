use super::is_exact;
use crate::error::{Error, Result};
use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};

/// A point in time at which a role stops being valid.
pub type Expiry = DateTime<Utc>;

/// Writes an expiry as every client reads it: whole seconds, `Z`.
pub fn format_expiry(expiry: Expiry) -> String {
    expiry.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an expiry in RFC 3339 form; fractions and offsets occur in the wild. A leap second is read as the second before
/// it: written again, it would be a form that some clients refuse.
pub fn parse_expiry(text: &str) -> Result<Expiry> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| Error::invalid(format!("expires `{}` is not an RFC 3339 time: {error}", text.escape_debug())))?
        .with_timezone(&Utc);
    Ok(if time.nanosecond() < 1_000_000_000 { time } else { time.with_nanosecond(0).unwrap_or(time) })
}

/// The first whole second that is not before a moment and that can be written in the form that every client reads.
pub fn whole_second(moment: Expiry) -> Expiry {
    let cut = moment.trunc_subsecs(0);
    let whole = if cut < moment { cut + TimeDelta::seconds(1) } else { cut };
    // Years of other than four digits: only a foreign role can have brought one.
    let last = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(cut);
    if is_exact(&format_expiry(whole)) { whole } else { last }
}
