use crate::digest::Digests;
use crate::error::Result;
use crate::metadata::Targets;
use crate::names::certificate_name;
use crate::openpgp::SigningKey;
use crate::operation::Publisher;
use crate::repository::{Change, stage_bytes};

/// The certificate is a target like any other, so that clients fetch it as safely as the artifacts.
pub(super) fn certificate_change(publisher: &Publisher, targets: &Targets, key: &SigningKey) -> Result<Change> {
    let name = certificate_name(&key.fingerprint());
    let expected = targets.get(&name)?;
    let content = key.armored_certificate()?;
    let wanted = match &expected {
        Some(published) if published.matches(&Digests::both_of(&content)) => published.clone(),
        _ => stage_bytes(publisher.storage.as_ref(), &name, &content, publisher.sha512)?,
    };
    Ok(Change { name, expected, wanted: Some(wanted), keep_existing: false, content: Some(content) })
}
