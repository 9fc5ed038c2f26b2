use super::Role;
use crate::failure::{Failure, Result};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// A point in time at which a role stops being valid.
pub type Expiry = DateTime<Utc>;

/// Writes an expiry as every client reads it: whole seconds, `Z`.
pub fn format_expiry(expiry: Expiry) -> String {
    expiry.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an expiry in RFC 3339 form; fractions and offsets occur in the wild.
pub fn parse_expiry(text: &str) -> Result<Expiry> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|error| Failure::invalid(format!("expires `{}` is not an RFC 3339 time: {error}", text.escape_debug())))
}

impl Role {
    /// The expiry of a role signed now.
    pub fn expiry_from(self, now: DateTime<Utc>) -> Expiry {
        (now + self.lifetime()).trunc_subsecs(0)
    }

    /// Whether a role that expires then should be signed again now. Metadata does not say when it was signed, so the
    /// age is what is missing from a full lifetime.
    pub fn is_due(self, expires: Expiry, now: DateTime<Utc>) -> bool {
        self.due_at(expires) < now
    }

    /// The moment from which [`Role::is_due`] holds.
    pub fn due_at(self, expires: Expiry) -> DateTime<Utc> {
        // Expiries are cut to whole seconds, hence the second of slack.
        expires - self.lifetime() + self.refresh_age() + TimeDelta::seconds(1)
    }
}
