use crate::error::{Error, Result};

/// The channel names that the trdl client accepts; others it rejects before any request.
pub const CHANNEL_NAMES: [&str; 6] = ["dev", "alpha", "beta", "ea", "stable", "rock-solid"];

/// Checks a channel name against what the trdl client accepts.
pub fn check_channel(name: &str) -> Result<()> {
    if CHANNEL_NAMES.contains(&name) {
        return Ok(());
    }
    Err(Error::invalid(format!("unknown channel `{}`", name.escape_debug())).hint(format!("trdl knows {}", CHANNEL_NAMES.join(", "))))
}

/// Checks that the trdl client can address a group of this name.
///
/// The client reads its argument as a version when it starts with `v` and a digit, and as a constraint when it looks
/// like one (`1.x`, `~1`, `>=1`); such groups could be published but never be requested.
pub fn check_group(name: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid(format!("group `{}` {why}", name.escape_debug())));
    if name.is_empty() {
        return Err(Error::invalid("a group name is empty"));
    }
    if let Some(rest) = name.strip_prefix('v')
        && rest.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(Error::invalid(format!("group `{name}` starts with a v: the trdl client would read it as a version"))
            .hint(format!("write `{rest}`")));
    }
    if name == "." || name == ".." || name.len() > 100 {
        return refuse("cannot be a directory name");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
        return refuse("may hold only letters, digits and . _ + - (the trdl client reads ~1, >=1 or * as a constraint)");
    }
    let mut parts = name.split('.');
    if parts.any(|part| part.eq_ignore_ascii_case("x"))
        && name.split('.').all(|part| part.eq_ignore_ascii_case("x") || part.parse::<u64>().is_ok())
    {
        return refuse("looks like a version constraint to the trdl client");
    }
    Ok(())
}
