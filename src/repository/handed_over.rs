//! The steps of snapshot and timestamp, where separate workers do them: each reads back what another process has written, and checks
//! it before signing.

use super::bins::{BINS, Bins, bin_names};
use super::commit::{Committer, Written};
use super::draft::{delegate_to_bins, keys_of_bins};
use super::edit::{Edit, View, same};
use super::numbers::Numbers;
use super::plain_names::difference;
use super::present::Present;
use super::promises::is_its_own;
use super::steps::{NewRole, SignedRole};
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Delegations, ROLE_LIMIT, Role, Target, Targets};
use crate::names::{ObjectName, RoleName};
use crate::policy::clocks::Moment;
use crate::storage::Storage;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

impl Committer<'_> {
    /// Signs the snapshot that lists roles which another process has written, after checking that they are signed, newer,
    /// and differ from what is published by nothing but `asked`. `None`: another process holds the snapshot's number.
    pub fn list_roles(&self, present: &mut Present, roles: &[(RoleName, Written)], asked: &[Edit]) -> Result<Option<Written>> {
        let moment = self.moment(present)?;
        let mut new = Vec::new();
        for (role, written) in roles {
            new.push(NewRole { role: role.clone(), signed: read_written(self.storage, role, written)? });
        }
        check_roles(self.storage, present, &new, asked, &moment)?;
        let signed = self.write_snapshot(present, &new, &Numbers::new(self.storage), moment)?;
        self.storage.sync()?;
        Ok(signed.map(|signed| Written { version: signed.version, sha256: signed.digests.hex() }))
    }

    /// Makes a snapshot visible that another process has written, after reading all that is new in it as a client would.
    /// `false`: another process was faster.
    pub fn show_snapshot(&self, present: &Present, snapshot: Option<&Written>) -> Result<bool> {
        let moment = self.moment(present)?;
        let Some(written) = snapshot else { return Ok(self.write_timestamp(present, None, Vec::new(), moment)?.is_some()) };
        let signed = read_written(self.storage, Role::Snapshot, written)?;
        let envelope = crate::metadata::Envelope::parse(&signed.bytes, "the new snapshot.json")?;
        let listing = crate::metadata::Listing::parse(&envelope, Role::Snapshot, "the new snapshot.json")?;
        let before = present.trust.listings().map(|(_, snapshot)| snapshot.expires());
        moment.check_life(Role::Snapshot.name(), Role::Snapshot, listing.expires(), before)?;
        let mut new = Vec::new();
        for (file, listed) in listing.files() {
            let known = present.trust.listed(file).is_ok_and(|known| known.version == listed.version);
            if let Some(role) = file.strip_suffix(".json").filter(|_| !known) {
                let digest = listed.hashes.as_ref().and_then(|hashes| hashes.sha256).map(hex::encode).unwrap_or_default();
                let signed = read_written(self.storage, role, &Written { version: listed.version, sha256: digest })?;
                new.push(NewRole { role: RoleName::of(role), signed });
            }
        }
        Ok(self.write_timestamp(present, Some(signed), new, moment)?.is_some())
    }
}

pub(super) fn read_written(storage: &dyn Storage, role: impl std::fmt::Display, written: &Written) -> Result<SignedRole> {
    let name = ObjectName::versioned(role, written.version);
    name.check()?;
    let file = storage.get(&name, ROLE_LIMIT)?.ok_or_else(|| untrusted(format!("{name} is missing from {}", storage.location())))?.bytes;
    if Digests::of(&file).hex() != written.sha256 {
        return Err(untrusted(format!("{name} is not the file that the request names")));
    }
    Ok(SignedRole::of(written.version, file))
}

/// Checks that new targets roles may follow the present ones, and that the requests explain all that differs.
fn check_roles(storage: &dyn Storage, present: &mut Present, new: &[NewRole], asked: &[Edit], moment: &Moment) -> Result<()> {
    let now = moment.now();
    let mut files: BTreeMap<RoleName, Vec<u8>> = new.iter().map(|new| (new.role.clone(), new.signed.bytes.clone())).collect();
    let rebin = asked.iter().find_map(|edit| edit.rebin.as_ref()).filter(|_| files.contains_key(&RoleName::Bins));
    let rebinned = rebin.is_some();
    // A sender who may have the targets role signed again also has the bins signed by the same keys.
    let renews = asked.iter().flat_map(|edit| &edit.renewals).any(|renewal| renewal.role == Role::Targets);
    let rekey = if renews && !rebinned && files.contains_key(&RoleName::Bins) { present.bins_behind()? } else { None };
    if rebinned {
        present.read_all_bins(storage)?;
    }
    let mut differences = Differences::default();
    let top = match files.remove(&Role::Targets.into()) {
        Some(file) => {
            let top = present.trust.targets_to_be_listed(file, now)?;
            moment.check_life(Role::Targets.name(), Role::Targets, top.expires(), Some(present.targets.expires()))?;
            differences.between(&present.targets, &top)?;
            let wanted = match (rebin, &rekey) {
                (Some(rebin), _) => Some(delegate_to_bins(present, rebin)?),
                (None, Some(rekey)) => Some(rekey.top_delegations(present)?),
                (None, None) => present.targets.field("delegations").map(str::to_owned),
            };
            if !same_json(wanted.as_deref(), top.field("delegations")) {
                return Err(untrusted("the new targets.json has other delegations, which no request contains"));
            }
            top
        }
        None => present.targets.clone(),
    };
    let bins = match files.remove(&RoleName::Bins) {
        Some(file) => {
            let parent = Delegations::parse(top.field("delegations").unwrap_or("{}"), "targets.json")?;
            let scope = parent.roles.iter().find(|role| role.name == BINS).ok_or_else(|| untrusted("nothing delegates to the new bins"))?;
            let role = present.trust.delegated_to_be_listed(&parent, scope, file, now)?;
            let before = present.bins.as_ref().map(|bins| bins.role.expires());
            moment.check_life(BINS, Role::Targets, role.expires(), before)?;
            let wanted = match (rebin, &rekey, &present.bins) {
                (Some(rebin), ..) => {
                    let names = bin_names(&present.bins.as_ref().map(Bins::names).unwrap_or_default(), rebin.count);
                    let block = Delegations::write_bins(&names, &rebin.keys, rebin.threshold)?;
                    Some(String::from_utf8_lossy(&block).into_owned())
                }
                (None, Some(rekey), Some(bins)) => Some(rekey.bin_delegations(bins)?),
                (None, None, Some(bins)) => bins.role.field("delegations").map(str::to_owned),
                (None, _, None) => None,
            };
            let known = rebinned || !keys_of_bins(present)?.0.is_empty();
            if wanted.is_none() || !known || !same_json(wanted.as_deref(), role.field("delegations")) {
                return Err(untrusted("the new bins.json lists other bins, which no request contains"));
            }
            Bins::of(role, scope)?
        }
        None => present.bins.clone(),
    };
    let names: Vec<String> = bins.as_ref().map(Bins::names).unwrap_or_default();
    if rebinned || rekey.is_some() {
        // A bin that stays as it was is not signed by the keys that it has from now on.
        if let Some(name) = names.iter().find(|name| !files.contains_key(&RoleName::of(name))) {
            return Err(untrusted(format!("{name} is not signed again with the bins' new keys")));
        }
    }
    if rebinned {
        // Every bin is written anew, and those that were are read whole.
        for (_, bin) in present.bins.iter().flat_map(Bins::known) {
            differences.between(bin, &Targets::empty())?;
        }
    } else {
        let touched = names.iter().enumerate().filter(|(_, name)| files.contains_key(&RoleName::of(name))).map(|(bin, _)| bin).collect();
        present.read_bins(storage, touched)?;
    }
    if let Some(bins) = &bins {
        for (at, role) in bins.delegations.roles.iter().enumerate() {
            let Some(file) = files.remove(&RoleName::of(&role.name)) else { continue };
            let bin = present.trust.delegated_to_be_listed(&bins.delegations, role, file, now)?;
            let before = present.bins.iter().flat_map(Bins::known_by_name).find(|(known, _)| *known == role.name);
            let before = before.map(|(_, before)| before.expires()).or(present.bins.as_ref().map(|bins| bins.role.expires()));
            moment.check_life(&role.name, Role::Targets, bin.expires(), before)?;
            match present.bins.as_ref().filter(|_| !rebinned) {
                Some(before) => differences.between(before.get(at)?, &bin)?,
                None => differences.between(&Targets::empty(), &bin)?,
            }
        }
    }
    if let Some((stray, _)) = files.pop_first() {
        return Err(untrusted(format!("no role delegates to the new role {stray}")));
    }
    let names: Vec<String> = asked.iter().flat_map(Edit::names_to_read).collect();
    present.read_bins_of(storage, names.iter().map(String::as_str))?;
    present.read_bins_for(storage, asked)?;
    differences.explained_by(storage, present, asked, now)
}

/// Targets as they are and as they will be; one that moves between roles is in both.
#[derive(Default)]
struct Differences {
    before: BTreeMap<String, Target>,
    after: BTreeMap<String, Target>,
}

impl Differences {
    fn between(&mut self, before: &Targets, after: &Targets) -> Result<()> {
        for (name, old, new) in difference(before, after)? {
            self.before.extend(old.map(|old| (name.to_owned(), old)));
            self.after.extend(new.map(|new| (name.to_owned(), new)));
        }
        Ok(())
    }

    /// The requests must come to exactly these differences, in the order in which they are fulfilled.
    fn explained_by(&self, storage: &dyn Storage, present: &Present, asked: &[Edit], now: DateTime<Utc>) -> Result<()> {
        let mut view = View::new(present);
        for edit in asked {
            match view.after(edit, storage, now) {
                Ok(more) => view.made.extend(more),
                // It fails alone, and its sender is informed.
                Err(failure) if is_its_own(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
        let names: std::collections::BTreeSet<&String> = self.before.keys().chain(self.after.keys()).chain(view.made.keys()).collect();
        for name in names {
            let (before, after) = (self.before.get(name).cloned(), self.after.get(name).cloned());
            let explained = match view.made.get(name) {
                Some(made) => same(made, &after),
                None => same(&before, &after),
            };
            if !explained {
                return Err(untrusted(format!("target {name} would change, which no request asks for")));
            }
        }
        Ok(())
    }
}

/// Whether two fields have the same value, however they are written.
fn same_json(a: Option<&str>, b: Option<&str>) -> bool {
    let parsed = |json: Option<&str>| json.map(serde_json::from_str::<serde_json::Value>);
    match (parsed(a), parsed(b)) {
        (None, None) => true,
        (Some(Ok(a)), Some(Ok(b))) => a == b,
        _ => false,
    }
}

fn untrusted(why: impl Into<String>) -> Error {
    Error::new(Kind::Untrusted, why)
}
