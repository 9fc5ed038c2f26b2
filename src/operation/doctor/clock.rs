//! This machine's clock, compared with every other clock that was seen.

use super::Publisher;
use super::check::{Checklist, Item};
use crate::metadata::{Role, describe_span, format_expiry};
use crate::policy::clocks::TOLERANCE;
use crate::repository::Present;
use chrono::{DateTime, TimeDelta, Utc};

/// Stores refuse requests of a clock that is further off, and a timestamp is valid for a day.
const TOO_FAR: TimeDelta = TimeDelta::hours(1);

/// The time at another place, and this machine's time at that moment.
pub(super) struct Date {
    pub place: String,
    pub theirs: DateTime<Utc>,
    pub ours: DateTime<Utc>,
}

impl Date {
    /// Positive where this machine is ahead.
    fn ahead(&self) -> TimeDelta {
        self.ours - self.theirs
    }
}

pub(super) fn check(publisher: &Publisher, dates: &[Date], present: Option<&Present>, list: &mut Checklist) {
    let off = dates.iter().max_by_key(|date| date.ahead().abs());
    match off {
        None => list.not_checked(Item::Clock, "neither the store nor `public_url` gave an HTTP date to compare with"),
        Some(date) if date.ahead().abs() <= TOLERANCE => {
            let places: Vec<&str> = dates.iter().map(|date| date.place.as_str()).collect();
            list.ok(Item::Clock, format!("agrees with {} to {} minutes", places.join(" and "), TOLERANCE.num_minutes()));
        }
        Some(date) => {
            let (apart, direction) =
                (describe_span(date.ahead().abs()), if date.ahead() > TimeDelta::zero() { "ahead of" } else { "behind" });
            let agreeing = dates.iter().filter(|other| (other.ahead() - date.ahead()).abs() <= TOLERANCE).count();
            let who = match (agreeing, dates.len()) {
                (1, 1) => "one of the two clocks is wrong",
                (agreeing, all) if agreeing == all => "the store and `public_url` agree, so this machine's clock is wrong",
                _ => "the other clocks agree with this machine, so that server's clock is wrong",
            };
            let meaning = format!(
                "this machine is {apart} {direction} {}: {} here, {} there; {who}",
                date.place,
                format_expiry(date.ours),
                format_expiry(date.theirs)
            );
            let remedy =
                "set the wrong clock, here for example with: timedatectl set-ntp true; then docs/recovery.md#the-clock-was-wrong-for-a-day";
            if date.ahead().abs() >= TOO_FAR {
                list.failed(Item::Clock, meaning, remedy)
            } else {
                list.warning(Item::Clock, meaning, remedy)
            }
        }
    }
    check_signed(publisher, present, list);
}

/// Metadata does not state when it was signed: it was a lifetime before its expiry, if one of our publishers signed it.
fn check_signed(publisher: &Publisher, present: Option<&Present>, list: &mut Checklist) {
    let Some(timestamp) = present.and_then(|present| present.trust.listings()).map(|(timestamp, _)| timestamp.expires()) else {
        return list.not_checked(Item::SignedTimes, "the published metadata could not be read");
    };
    let now = publisher.now();
    let ahead = timestamp - publisher.lifetimes.of(Role::Timestamp) - now;
    if ahead <= TOLERANCE {
        return list.ok(Item::SignedTimes, "the timestamp was not signed in this machine's future");
    }
    let clock_is_good = list.checks.iter().any(|check| check.item == Item::Clock && check.verdict == super::Verdict::Ok);
    let (apart, until) = (describe_span(ahead), format_expiry(timestamp));
    let (why, remedy) = if clock_is_good {
        (
            "another tool signed it, or a publisher whose clock was ahead",
            "correct that publisher's clock; docs/recovery.md#the-clock-was-wrong-for-a-day",
        )
    } else {
        (
            "this clock is behind, or another tool or a clock that was ahead signed it",
            "compare this machine's clock: date -u; docs/recovery.md#the-clock-was-wrong-for-a-day",
        )
    };
    let meaning = format!("the published timestamp, valid until {until}, was signed {apart} in this machine's future: {why}");
    if ahead >= TOO_FAR && !clock_is_good {
        list.failed(Item::SignedTimes, meaning, remedy)
    } else {
        list.warning(Item::SignedTimes, meaning, remedy)
    }
}
