//! Promises about time. A publisher's clock can be wrong, and clients act on what it signed: nothing that replaces a
//! published role expires before it, and two clocks that disagree are reported.
//!
//! A clock that is behind gives the same expiry again instead of an earlier one. No command is refused for that: the
//! repository stays as valid as it was, and the next publisher with a correct clock goes on from there. The other
//! direction is not repaired here: a role that a clock ahead of the others signed is valid for longer than intended, and
//! only a key that is replaced at once invalidates it (docs/recovery.md).

use crate::error::{Error, Id, Kind, Result};
use crate::metadata::{Expiry, Lifetimes, Role, describe_span, format_expiry, whole_second};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Two clocks that differ by less are taken for the same.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// A clock that is further behind than this is not made up for where keys are replaced at once.
const LONGEST_BEHIND: TimeDelta = TimeDelta::days(31);

/// The time at which roles are signed, their lifetimes, and what was published before.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    now: DateTime<Utc>,
    lifetimes: Lifetimes,
    published: Option<Expiry>,
    /// How much later than usual a role may expire because the one before it did.
    most: TimeDelta,
}

impl Moment {
    /// Nothing was published before.
    pub fn first(now: DateTime<Utc>, lifetimes: Lifetimes) -> Self {
        Self { now, lifetimes, published: None, most: TimeDelta::zero() }
    }

    /// The published timestamp expires then.
    pub fn after(now: DateTime<Utc>, lifetimes: Lifetimes, timestamp: Expiry) -> Self {
        Self { now, lifetimes, published: Some(timestamp), most: TimeDelta::MAX }
    }

    /// The root replaces the keys of what is published, whose timestamp expires then. An attacker, or a clock that was years
    /// ahead, may have given it any expiry, and this commit ends that; a clock that is behind by less is made up for still.
    pub fn replacing(now: DateTime<Utc>, lifetimes: Lifetimes, timestamp: Expiry) -> Self {
        Self { now, lifetimes, published: Some(timestamp), most: LONGEST_BEHIND }
    }

    /// The clock's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether a role that expires then is due to be signed again.
    pub fn is_due(&self, role: Role, expires: Expiry) -> bool {
        self.lifetimes.is_due(role, expires, self.now)
    }

    /// When a role expires that is signed now: never before the role that it replaces. A role that replaces none is
    /// valid for as long as the published timestamp at least, which was signed earlier: by a clock that is far behind it
    /// would have expired already.
    pub fn expiry(&self, role: Role, replaced: Option<Expiry>) -> Expiry {
        let usual = (self.now + self.lifetimes.of(role)).trunc_subsecs(0);
        let least = self.published.map(|timestamp| whole_second(replaced.unwrap_or(timestamp)));
        let more = least.map_or(TimeDelta::zero(), |least| least - usual);
        usual + more.clamp(TimeDelta::zero(), self.most)
    }
}

/// The clocks of the hosts of workers may differ by this much before one of them refuses what another has signed.
const BETWEEN_HOSTS: TimeDelta = TimeDelta::hours(1);

impl Moment {
    /// Refuses a role that another host has signed for longer than this one would: each worker permits only what its own
    /// config does.
    pub fn check_life(&self, name: &str, role: Role, expires: Expiry, replaced: Option<Expiry>) -> Result<()> {
        if expires <= self.expiry(role, replaced) + BETWEEN_HOSTS {
            return Ok(());
        }
        let lifetime = self.lifetimes.describe(role);
        Err(Error::new(
            Kind::Untrusted,
            format!("the new {name}.json is valid until {}; this worker's config permits {lifetime}", format_expiry(expires)),
        )
        .hint("set the same `lifetimes` on all hosts of this repository, and compare their clocks"))
    }
}

/// Reports two clocks that disagree.
pub fn disagreement(ours: DateTime<Utc>, stores: DateTime<Utc>) -> Option<String> {
    let apart = (ours - stores).abs();
    (apart > TOLERANCE).then(|| {
        format!(
            "this machine's clock and the store's differ by {}: {} here, {} there",
            describe_span(apart),
            format_expiry(ours),
            format_expiry(stores)
        )
    })
}

/// Refuses to date OpenPGP signatures by a clock that is ahead of the store's: a published signature stays as it is, and
/// until its date workers and some OpenPGP programs refuse it.
pub fn check_signatures(ours: DateTime<Utc>, stores: DateTime<Utc>) -> Result<()> {
    match disagreement(ours, stores).filter(|_| ours > stores) {
        None => Ok(()),
        Some(apart) => Err(Error::new(Kind::Conflict, apart)
            .id(Id::ClockDiffers)
            .detail("workers and some OpenPGP programs refuse signatures from the future; nothing was published")
            .hint("correct the clock that is wrong, then run the same command again")),
    }
}

/// Reports a published timestamp that is valid for longer than one that is signed now. Most often the clock is behind.
pub fn beyond(now: DateTime<Utc>, lifetimes: &Lifetimes, timestamp: Expiry) -> Option<String> {
    is_beyond(Role::Timestamp, now, lifetimes, timestamp).then(|| {
        format!(
            "the published timestamp expires on {}, more than {} after this machine's time {}: this clock is behind, or the timestamp was signed by a clock that was ahead, with longer `lifetimes` or by another tool",
            format_expiry(timestamp),
            lifetimes.describe(Role::Timestamp),
            format_expiry(now)
        )
    })
}

/// Describes such a role.
pub fn long_lived(role: Role, lifetimes: &Lifetimes, expires: Expiry) -> String {
    format!(
        "{role} is valid until {}; if it were signed now, it would be valid for {}: another tool signed it, or a publisher with longer `lifetimes`, or a clock was ahead, or this machine's clock is behind",
        format_expiry(expires),
        lifetimes.describe(role)
    )
}

/// Whether a role is valid for longer than one that is signed now.
pub fn is_beyond(role: Role, now: DateTime<Utc>, lifetimes: &Lifetimes, expires: Expiry) -> bool {
    expires - lifetimes.of(role) > now + TOLERANCE
}
