//! Whether the store can take the names that a plan needs: beside the targets that are published, and beside what earlier
//! versions left there. A plain name follows the commit, so what is in its way must be found before.

use super::edit::{Edit, View};
use super::plain_names::PlainNames;
use super::present::Present;
use crate::error::{Error, Kind, Result};
use crate::names::{ObjectName, directories_above};
use crate::policy::names;
use crate::storage::{Obstacle, Storage};
use std::collections::BTreeSet;

impl Present {
    /// Refuses names of targets that the store cannot hold, or not beside what is published: `wanted` are all that a plan
    /// writes, signatures included, and `removed` all that it takes away.
    pub fn check_names(
        &mut self,
        storage: &dyn Storage,
        mode: PlainNames,
        wanted: &BTreeSet<&str>,
        removed: &BTreeSet<&str>,
    ) -> Result<()> {
        self.read_bins_of(storage, wanted.iter().copied())?;
        let mut new = BTreeSet::new();
        for name in wanted {
            if self.target(name)?.is_none() {
                new.insert(*name);
            }
        }
        self.read_bins_of(storage, new.iter().flat_map(|name| directories_above(name)))?;
        if self.bins.is_some() && mode != PlainNames::Elsewhere {
            self.read_bins_below(storage, &new)?;
        }
        let mut view = View::new(self);
        view.made.extend(removed.iter().map(|name| ((*name).to_owned(), None)));
        names::check(&view, &new)?;
        if mode == PlainNames::Elsewhere {
            return Ok(());
        }
        let plain = mode == PlainNames::All || !self.trust.root().consistent_snapshot();
        for name in wanted {
            match storage.obstacle(&ObjectName::plain_target(name))? {
                Some(Obstacle::Directory(within)) if plain => return Err(blocked(storage, name, &within)),
                Some(Obstacle::File(file)) => {
                    return Err(Error::new(Kind::Conflict, format!("`{name}` needs a directory where the file {file} is"))
                        .detail("no target has that name: an earlier version or another program left it there")
                        .hint("`publish refresh --all` removes plain names that belong to no target; remove any other file yourself"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the bins that edits are about, and those of targets below new names. The plan has looked at these; a worker, and a
    /// publisher that was overtaken, look again.
    pub fn read_bins_around(&mut self, storage: &dyn Storage, edits: &[Edit]) -> Result<()> {
        self.read_bins_for(storage, edits)?;
        if self.bins.is_none() {
            return Ok(());
        }
        let mut new = BTreeSet::new();
        for change in edits.iter().flat_map(|edit| &edit.changes).filter(|change| change.wanted.is_some()) {
            if self.target(&change.name)?.is_none() {
                new.insert(change.name.as_str());
            }
        }
        self.read_bins_below(storage, &new)
    }

    /// Reads the bins of targets below new names: any bin may hold them, but their files are in one place.
    fn read_bins_below(&mut self, storage: &dyn Storage, new: &BTreeSet<&str>) -> Result<()> {
        let mut below = BTreeSet::new();
        for name in new {
            let listed = storage.list(ObjectName::plain_target(&format!("{name}/")).as_str())?;
            below.extend(listed.iter().filter_map(|stored| stored.name.target()));
        }
        self.read_bins_of(storage, below.iter().map(String::as_str))
    }
}

fn blocked(storage: &dyn Storage, name: &str, within: &ObjectName) -> Error {
    Error::new(Kind::Conflict, format!("`{name}` cannot be a file: it is a directory in {}", storage.location()))
        .detail(format!("it holds {within}"))
        .hint(format!("{}; or choose another name", clear_directory(within)))
}

/// What frees the name of a directory that holds a file.
pub(super) fn clear_directory(within: &ObjectName) -> &'static str {
    if within.is_hashed_target() {
        "`publish prune` deletes what no metadata of the last 30 days refers to, and the directory with it"
    } else {
        "`publish refresh --all` removes plain names that belong to no target; move any other file out of the repository"
    }
}
