//! How long the signatures of each role are valid, and at which age they are renewed. The config sets the lifetimes
//! within [`BOUNDS`]; everything that asks whether a role is due asks here.
//!
//! A schedule that runs late needs longer lifetimes, and each costs something: for as long as a timestamp is valid, an
//! attacker who answers in place of the store can keep clients at an old state without their noticing.

use super::moment::describe_span;
use super::{Expiry, Role, parse_span};
use crate::error::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};

/// What a lifetime may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Whose lifetime.
    pub role: Role,
    /// The default, as trdl's server does it.
    pub usual: TimeDelta,
    /// The age at which `refresh` signs again a role whose lifetime is the default.
    pub refresh: TimeDelta,
    /// The shortest: a job that runs every hour renews it in time.
    pub least: TimeDelta,
    /// The longest.
    pub most: TimeDelta,
}

/// The bounds of every role, in the order of [`Role::ALL`].
pub const BOUNDS: [Bounds; 4] = [
    bounds(Role::Root, 365 * 24, 90 * 24, 30 * 24, 1825 * 24),
    bounds(Role::Targets, 90 * 24, 21 * 24, 7 * 24, 365 * 24),
    bounds(Role::Snapshot, 7 * 24, 2 * 24, 24, 90 * 24),
    bounds(Role::Timestamp, 24, 4, 6, 30 * 24),
];

/// All in hours.
const fn bounds(role: Role, usual: i64, refresh: i64, least: i64, most: i64) -> Bounds {
    let hours = TimeDelta::hours;
    Bounds { role, usual: hours(usual), refresh: hours(refresh), least: hours(least), most: hours(most) }
}

/// The lifetimes that a publisher signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes([TimeDelta; 4]);

impl Default for Lifetimes {
    fn default() -> Self {
        Self(BOUNDS.map(|bounds| bounds.usual))
    }
}

impl Lifetimes {
    /// How long a new signature is valid. Bins and other delegated roles have the lifetime of targets.
    pub fn of(&self, role: Role) -> TimeDelta {
        self.0[place(role)]
    }

    /// The same with another lifetime of a role, as the config has it; refused outside the bounds.
    pub fn with(self, role: Role, text: &str) -> Result<Self> {
        let bounds = &BOUNDS[place(role)];
        let (least, most) = (short(bounds.least), short(bounds.most));
        let span = parse_span(text)?;
        if span < bounds.least || span > bounds.most {
            return Err(Error::invalid(format!("the lifetime of {role} is {text}; it can be {least} to {most}"))
                .hint(format!("for example `{role}: {}`, the default", short(bounds.usual))));
        }
        let mut all = self;
        all.0[place(role)] = span;
        Ok(all)
    }

    /// A role that outlives the one above it, with what to say about it: clients stop at the first that expires, so the
    /// longer lifetime would only delay the notice.
    pub fn out_of_order(&self) -> Option<(Role, Error)> {
        let pairs = [(Role::Targets, Role::Root), (Role::Snapshot, Role::Targets), (Role::Timestamp, Role::Snapshot)];
        let (role, above) = pairs.into_iter().find(|(role, above)| self.of(*role) > self.of(*above))?;
        let (own, other) = (short(self.of(role)), short(self.of(above)));
        let failure = Error::invalid(format!("the lifetime of {role} is {own}, longer than that of {above}, which is {other}"));
        let hint = format!("set `{above}: {own}` too, or a shorter lifetime of {role}: clients stop at the role that expires first");
        Some((role, failure.hint(hint)))
    }

    /// The age at which `refresh` signs a role again: the default age, scaled with the lifetime, in whole hours.
    pub fn refresh_age(&self, role: Role) -> TimeDelta {
        let bounds = &BOUNDS[place(role)];
        let hours = self.of(role).num_hours() * bounds.refresh.num_hours() / bounds.usual.num_hours();
        TimeDelta::hours(hours.max(1))
    }

    /// Whether a role that expires then should be signed again now. Metadata does not say when it was signed, so the
    /// age is what is missing from a full lifetime.
    pub fn is_due(&self, role: Role, expires: Expiry, now: DateTime<Utc>) -> bool {
        self.due_at(role, expires) < now
    }

    /// The moment from which [`Lifetimes::is_due`] holds.
    pub fn due_at(&self, role: Role, expires: Expiry) -> DateTime<Utc> {
        // Expiries are cut to whole seconds, hence the second of slack.
        expires - self.of(role) + self.refresh_age(role) + TimeDelta::seconds(1)
    }

    /// A lifetime for people.
    pub fn describe(&self, role: Role) -> String {
        describe_span(self.of(role))
    }
}

fn place(role: Role) -> usize {
    match role {
        Role::Root => 0,
        Role::Targets => 1,
        Role::Snapshot => 2,
        Role::Timestamp => 3,
    }
}

/// A span as the config has it.
fn short(span: TimeDelta) -> String {
    match (span.num_days(), span.num_hours(), span.num_minutes()) {
        (days, ..) if TimeDelta::days(days) == span => format!("{days}d"),
        (_, hours, _) if TimeDelta::hours(hours) == span => format!("{hours}h"),
        (.., minutes) => format!("{minutes}m"),
    }
}
