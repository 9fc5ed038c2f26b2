//! What `publish key` shows of keys: which roles each may sign, and until when those are valid.

use super::Publisher;
use super::refresh::expiries;
use crate::error::Result;
use crate::metadata::{Envelope, PublicKey, Role};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A role that a key may sign.
#[derive(Debug, Serialize)]
pub struct Duty {
    /// The role.
    pub role: &'static str,
    /// How many of its keys must sign.
    pub threshold: u64,
    /// Seconds until what is published expires.
    pub seconds_left: i64,
}

/// The keys of a role.
#[derive(Debug, Serialize)]
pub struct RoleKeysReport {
    /// The role.
    pub role: &'static str,
    /// How many must sign.
    pub threshold: u64,
    /// Seconds until what is published expires.
    pub seconds_left: i64,
    /// The root's keys.
    pub keys: Vec<KnownKey>,
    /// Where keys are looked for on this machine.
    pub places: Vec<Place>,
}

/// A key that the root names.
#[derive(Debug, Serialize)]
pub struct KnownKey {
    /// Its id.
    pub id: String,
    /// Its keytype.
    pub keytype: String,
    /// Who holds it.
    pub name: Option<String>,
    /// Whether it has signed what is published.
    pub has_signed: bool,
}

/// A configured key.
#[derive(Debug, Serialize)]
pub struct Place {
    /// Its URI.
    pub uri: String,
    /// Whether it seems to be there; it was not opened.
    pub at_hand: bool,
}

/// The roles that this key may sign.
pub fn duties_of(publisher: &Publisher, key: &PublicKey) -> Result<Vec<Duty>> {
    let present = publisher.load()?;
    let root = present.trust.root();
    let now = publisher.now();
    let may = |role: Role| root.keys_of(role).any(|(_, known)| known.same_material(key));
    let duty = |(role, expires): (Role, crate::metadata::Expiry)| Duty {
        role: role.name(),
        threshold: root.role(role).threshold,
        seconds_left: (expires - now).num_seconds(),
    };
    let expiries = expiries(&present)?;
    Ok(expiries.into_iter().filter(|(role, _)| may(*role)).map(duty).collect())
}

/// The keys of every role.
pub fn list(publisher: &Publisher, names: &Path) -> Result<Vec<RoleKeysReport>> {
    let present = publisher.load()?;
    let root = present.trust.root();
    let now = publisher.now();
    let names: BTreeMap<String, String> = super::root::read_names(names)?;
    let storage = publisher.storage.as_ref();
    let mut all = Vec::new();
    for (role, expires) in expiries(&present)? {
        let file = match role {
            Role::Root => super::root::root_file(publisher, root.version())?,
            Role::Targets => present.targets.file().to_vec(),
            Role::Snapshot => present.snapshot_file(storage)?,
            Role::Timestamp => present.timestamp_file.clone(),
        };
        let envelope = Envelope::parse(&file, role.name())?;
        let message = envelope.canonical()?;
        let signers = envelope.valid_signers(&message, root.keys_of(role));
        let known = |(id, key): (&str, &PublicKey)| KnownKey {
            id: id.to_owned(),
            keytype: key.keytype().to_owned(),
            name: names.get(id).cloned(),
            has_signed: signers.iter().any(|signer| signer.same_material(key)),
        };
        let places = publisher.keyring.of(role).iter();
        all.push(RoleKeysReport {
            role: role.name(),
            threshold: root.role(role).threshold,
            seconds_left: (expires - now).num_seconds(),
            keys: root.keys_of(role).map(known).collect(),
            places: places.map(|uri| Place { uri: uri.to_string(), at_hand: uri.is_at_hand() }).collect(),
        });
    }
    Ok(all)
}
