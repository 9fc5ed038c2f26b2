use crate::error::{Error, Kind};
use crate::operation::status::Health;

/// Nothing but wrong arguments.
pub(super) const USAGE: u8 = 2;

/// Every exit code with its meaning; the reference page is made from this.
pub(super) const TABLE: [(u8, &str); 15] = [
    (0, "done, or nothing to do"),
    (1, "unexpected failure"),
    (USAGE, "wrong arguments"),
    (3, "`status`: a role has expired, or expires within --fail-within; without that option, also if one is due to be signed again"),
    (4, "access refused: permissions, read-only file systems, key files that others can read"),
    (5, "conflict: published already with other content, a downgrade, or another publisher was faster"),
    (6, "a config, channels file, key, build or name is not acceptable; `doctor` and `store check`: an item failed"),
    (7, "not found: a file, key or release that was named"),
    (9, "the repository does not verify: bad signature, tampered file, expired root, rollback"),
    (10, "there is no repository at that place"),
    (11, "`status`: work is paused, or what is published is incomplete"),
    (12, "a passphrase is missing or wrong"),
    (13, "the disk or the network failed; trying again may help"),
    (130, "interrupted by ctrl-C; the repository is valid, the same command finishes the work"),
    (143, "stopped by SIGTERM; the repository is valid, the same command finishes the work"),
];

/// The code for a verdict of `status`.
pub(super) fn code_of_health(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Expired | Health::ExpiresSoon | Health::RefreshDue => 3,
        Health::Paused | Health::Incomplete => 11,
    }
}

/// The code for a kind.
pub(super) fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Unexpected => 1,
        Kind::Due => 3,
        Kind::Permission => 4,
        Kind::Conflict => 5,
        Kind::Invalid => 6,
        Kind::NotFound => 7,
        Kind::Untrusted => 9,
        Kind::NoRepository => 10,
        Kind::Passphrase => 12,
        Kind::Storage => 13,
    }
}

/// The code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Error>().map_or(1, |failure| code_of(failure.kind))
}
