//! The first roles of a new repository.

use super::roles::plain_roles;
use super::{Committed, Committer};
use crate::error::{Error, Kind, Result};
use crate::metadata::trust::AtExpiry;
use crate::metadata::{Listing, Role, TargetEdits, Targets};
use crate::names::ObjectName;
use crate::policy::clocks::Moment;
use crate::repository::plain_names::AtHand;
use crate::repository::present::load;
use crate::repository::roots::check_first;
use crate::repository::steps::{NewRole, SignedRole, sign_snapshot, sign_targets, sign_timestamp};

impl Committer<'_> {
    /// Publishes the first targets, snapshot and timestamp below a first root. What a killed run left is completed:
    /// role files of version 1 that are there already must verify and are kept.
    pub fn commit_first(&self) -> Result<Committed> {
        let now = (self.clock)();
        let moment = Moment::first(now, self.lifetimes);
        let mut trust = check_first(self.pinned, AtExpiry::Refuse(now))?;
        let root = trust.root().clone();
        let targets = self.first(Role::Targets, || sign_targets(&root, self.signers, &Targets::empty(), &TargetEdits::new(), 1, moment))?;
        let listed = [NewRole { role: Role::Targets.into(), signed: targets }];
        let snapshot =
            self.first(Role::Snapshot, || sign_snapshot(&root, self.signers, &Listing::empty(Role::Snapshot), &listed, 1, moment))?;
        let timestamp = sign_timestamp(&root, self.signers, &Listing::empty(Role::Timestamp), Some(&snapshot), 1, moment)?;
        trust.end_of_roots()?;
        trust.timestamp(&timestamp.bytes)?;
        trust.snapshot(&snapshot.bytes)?;
        if !root.consistent_snapshot() {
            for (name, file) in plain_roles(&listed, Some(&snapshot)) {
                self.storage.put(&name, &file)?;
            }
        }
        let [targets] = listed;
        trust.targets(targets.signed.bytes)?;
        self.storage.sync()?;
        let changed = self.storage.compare_and_swap(&ObjectName::timestamp(), None, &timestamp.bytes)?;
        let mut present = load(self.storage, self.pinned, now)?;
        let warnings = self.follow(&mut present, AtHand::default());
        Ok(Committed { versions: present.versions(), changed, rebases: 0, warnings })
    }

    pub(super) fn first(&self, role: Role, sign: impl Fn() -> Result<SignedRole>) -> Result<SignedRole> {
        let signed = sign()?;
        let name = ObjectName::versioned(role, 1);
        if self.storage.create(&name, &signed.bytes)? {
            return Ok(signed);
        }
        let there =
            self.storage.get(&name, 1 << 20)?.ok_or_else(|| Error::new(Kind::Storage, format!("{name} appeared and disappeared")))?;
        Ok(SignedRole::of(1, there.bytes))
    }
}
