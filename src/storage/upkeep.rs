use super::Leftovers;
use crate::error::Result;
use crate::names::ObjectName;
use std::time::SystemTime;

/// What `store check`, `doctor` and `prune` do with a store. A store without such things needs none of it.
pub trait Upkeep {
    /// `Cache-Control` and `Content-Type` of an object, where the store keeps such things.
    fn headers(&self, _name: &ObjectName) -> Result<Option<(String, String)>> {
        Ok(None)
    }

    /// Whether the store keeps what an object was before, if it is known.
    fn keeps_versions(&self, _name: &ObjectName) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Removes what publishers that are gone left and that is no object: half-written files, unfinished uploads begun
    /// before `before`. Says how many there were.
    fn sweep(&self, _before: SystemTime) -> Result<usize> {
        Ok(0)
    }

    /// What publishers left that do not run any more, and which of them hold a lock now. Nothing is changed. `None` if the store
    /// cannot tell.
    fn leftovers(&self) -> Result<Option<Leftovers>> {
        Ok(None)
    }
}

/// The upkeep of a store that needs none.
pub struct NothingToDo;

impl Upkeep for NothingToDo {}
