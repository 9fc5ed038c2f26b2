//! OpenPGP certificates: each is published under its own fingerprint, and stays.

use super::{Change, Step};
use crate::error::{Error, Kind, Result};
use crate::names::{TargetName, certificate_name};
use crate::openpgp::{Certificates, Standing};

/// Refuses to remove a certificate, to publish one under another name than its own, and to take back a revocation. A
/// certificate is replaced when its owner extends or revokes it.
pub(super) fn check(step: &Step<'_>) -> Result<()> {
    for (name, change) in &step.changes {
        let TargetName::Certificate(name, _) = *name else { continue };
        let (before, after) = match change {
            Change::Added(after) => (None, after),
            Change::Replaced(before, after) => (Some(before), after),
            Change::Removed(_) => {
                return Err(Error::new(Kind::Conflict, format!("{name} would be removed; users need it to verify signatures")));
            }
        };
        let content = (step.read)(name, after)?;
        let content = content.ok_or_else(|| Error::new(Kind::Conflict, format!("the content of {name} is missing or too long")))?;
        let mut next = Certificates::default();
        let fingerprint = next.add(&content, name).map_err(|failure| Error::invalid(failure.message))?;
        if certificate_name(&fingerprint) != name {
            return Err(Error::invalid(format!("{name} would hold the certificate {fingerprint}"))
                .hint(format!("its name is {}", certificate_name(&fingerprint))));
        }
        let before = before.map(|before| (step.read)(name, before)).transpose()?.flatten();
        let mut last = Certificates::default();
        // What cannot be read cannot be worse than what replaces it.
        let was_revoked = before.is_some_and(|before| last.add(&before, name).is_ok() && is_revoked(&last, step));
        if was_revoked && !is_revoked(&next, step) {
            return Err(Error::new(Kind::Conflict, format!("{name} is revoked, and would be replaced by a copy without the revocation")));
        }
    }
    Ok(())
}

fn is_revoked(certificates: &Certificates, step: &Step<'_>) -> bool {
    certificates.standings(step.now).any(|(_, standing)| standing == Standing::Revoked)
}
