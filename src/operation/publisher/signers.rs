//! Who signs: the keys of this machine, as far as this process signs itself.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::keys::Signers;
use crate::metadata::{Role, Root};
use crate::openpgp::SigningKey;
use crate::repository::{Home, Present, check_signers};

impl Publisher {
    /// Opens the keys of these roles and checks that the root accepts enough of them. A key that cannot be opened is
    /// missed only where it is needed.
    pub fn signers(&self, root: &Root, roles: &[Role]) -> Result<Signers> {
        let here: Vec<Role> = roles.iter().copied().filter(|role| self.signs(*role)).collect();
        self.local_signers(root, &here)
    }

    /// Opens the keys of these roles that are on this machine, whichever process signs otherwise.
    pub(in crate::operation) fn local_signers(&self, root: &Root, roles: &[Role]) -> Result<Signers> {
        let mut signers = Signers::new();
        let mut failures = Vec::new();
        for role in roles {
            failures.extend(self.open_keys(&mut signers, *role));
        }
        self.check_enough(root, &signers, roles, failures)?;
        Ok(signers)
    }

    /// Opens the configured keys of a role; gives back why some could not be.
    fn open_keys(&self, signers: &mut Signers, role: Role) -> Vec<Error> {
        let (opened, failures) = self.keyring.load_all(self.keyring.of(role));
        signers.entry(role).or_default().extend(opened);
        failures
    }

    /// Refuses too few keys, with the reasons of those that could not be opened first.
    fn check_enough(&self, root: &Root, signers: &Signers, roles: &[Role], failures: Vec<Error>) -> Result<()> {
        let missing = check_signers(root, signers, roles);
        let mut failures = failures.into_iter();
        match (missing, failures.next()) {
            (Err(_), Some(first)) => Err(failures.fold(first, Error::and)),
            (Err(missing), None) => Err(missing),
            (Ok(()), first) => {
                for failure in first.into_iter().chain(failures) {
                    self.progress.status(&format!("going on without a key: {}", failure.message));
                }
                Ok(())
            }
        }
    }

    /// Whether this process signs a role itself: workers sign all but the root.
    pub(in crate::operation) fn signs(&self, role: Role) -> bool {
        role == Role::Root || self.workers.is_none()
    }

    /// The keys of the one role that a worker signs.
    pub(in crate::operation) fn worker_signers(&self, present: &Present, role: Role) -> Result<Signers> {
        let mut signers = Signers::new();
        // With bins that have keys of their own, the top-level key may be kept elsewhere.
        let elsewhere = role == Role::Targets && !self.keyring.bins.is_empty() && present.bins.is_some() && !self.keyring.has_keys(role);
        if !elsewhere {
            let failures = self.open_keys(&mut signers, role);
            self.check_enough(present.trust.root(), &signers, &[role], failures)?;
        }
        if role == Role::Targets {
            signers
                .entry(role)
                .or_default()
                .extend(self.keyring.bins.iter().map(|uri| self.keyring.load(uri)).collect::<Result<Vec<_>>>()?);
        }
        Ok(signers)
    }

    /// Opens the keys that sign the bins and adds them to those of the targets role; refuses too few.
    pub(in crate::operation) fn add_bin_signers(&self, present: &Present, signers: &mut Signers) -> Result<()> {
        let Some(bins) = present.bins.as_ref().filter(|_| self.signs(Role::Targets)) else { return Ok(()) };
        let uris = if self.keyring.bins.is_empty() { self.keyring.of(Role::Targets) } else { &self.keyring.bins };
        let at_hand = signers.entry(Role::Targets).or_default();
        // One of several keys may be missing, where the bins do not need it.
        let (opened, failures) = self.keyring.load_all(uris);
        for signer in opened {
            if !at_hand.iter().any(|known| known.public().same_material(signer.public())) {
                at_hand.push(signer);
            }
        }
        let Err(missing) = bins.check_signers(at_hand) else { return Ok(()) };
        Err(match failures.into_iter().reduce(Error::and) {
            Some(failures) if failures.kind == Kind::Passphrase => failures,
            Some(failures) => bins_unsigned(present, failures),
            None => bins_unsigned(present, missing),
        })
    }

    /// The keys for a change of targets that are listed in these places: of the top-level role, and of the bins.
    pub(in crate::operation) fn signers_of(&self, present: &Present, homes: impl Iterator<Item = Home>) -> Result<Signers> {
        let (top, bins): (Vec<Home>, Vec<Home>) = homes.partition(|home| *home == Home::Top);
        let roles: &[Role] = if top.is_empty() { &[Role::Snapshot, Role::Timestamp] } else { &Role::ONLINE };
        let mut signers = self.signers(present.trust.root(), roles)?;
        if !bins.is_empty() {
            self.add_bin_signers(present, &mut signers)?;
        }
        Ok(signers)
    }

    /// Opens the OpenPGP key.
    pub fn openpgp_key(&self) -> Result<SigningKey> {
        self.keyring.openpgp_key(self.now())
    }
}

/// Bins that the keys at hand cannot sign, with the way out: the top-level targets key delegates to them.
pub(in crate::operation) fn bins_unsigned(present: &Present, failure: Error) -> Error {
    let behind = present.bins_behind().is_ok_and(|behind| behind.is_some());
    failure.hint(if behind {
        "the targets keys were replaced and the bins were not signed by the new ones: `publish refresh` does that"
    } else {
        "if their keys are lost: `publish bins --rekey` delegates the bins to the configured keys and signs them again"
    })
}
