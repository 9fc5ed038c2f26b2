use super::Publisher;
use crate::error::{Error, Id, Kind, Result};
use crate::repository::KnownStore;
use crate::storage::probe::Probe;
use crate::storage::{Conditions, RawPlus};
use std::sync::OnceLock;

/// What is known about the store's conditional writes, and about `+` in its URLs.
#[derive(Debug, Default)]
pub struct StoreFacts {
    /// Whether clients get objects with `+` in their names, if the config states it.
    pub raw_plus: Option<RawPlus>,
    /// The operator's statement that there is no other publisher.
    pub single_publisher: bool,
    /// What this run found out.
    pub found: OnceLock<KnownStore>,
}

impl Publisher {
    /// Must be called before anything is written: refuses while work is paused.
    pub(in crate::operation) fn begin_changes(&self) -> Result<()> {
        self.shared.check_pause()?;
        self.begin_changes_even_paused()
    }

    /// Refuses a store that ignores conditional writes, unless the operator states that there is no other publisher. What is not
    /// known yet is tested, and recorded.
    pub(in crate::operation) fn begin_changes_even_paused(&self) -> Result<()> {
        let conditions = match self.known_conditions()? {
            Some(conditions) => conditions,
            None => {
                self.progress.phase("trying out the store");
                let conditions = Probe::new(self.storage.as_ref())?.conditions()?;
                let _ = self.conditions.found.set(KnownStore { identity: self.memory.identity.clone(), conditions, raw_plus: None });
                conditions
            }
        };
        if conditions == Conditions::Enforced || self.conditions.single_publisher {
            return Ok(());
        }
        Err(Error::new(Kind::Invalid, format!("{} ignores the conditions that keep publishers apart", self.storage.location()))
            .id(Id::StoreIgnoresConditions)
            .hint("use a store that enforces them; `publish store check` shows what was found")
            .hint("if there is no other publisher, put `single_publisher: true` into the config; nothing enforces it"))
    }

    /// Whether the store enforces conditional writes, as far as that is known.
    pub(in crate::operation) fn known_conditions(&self) -> Result<Option<Conditions>> {
        Ok(self.storage.properties().conditions.or(self.remembered_store().map(|known| known.conditions)))
    }

    /// Whether clients are known not to get objects with `+` in their names.
    pub(in crate::operation) fn plus_is_broken(&self) -> Result<bool> {
        let known = self.conditions.raw_plus.or(self.remembered_store().and_then(|known| known.raw_plus));
        Ok(known == Some(RawPlus::Broken))
    }
}
