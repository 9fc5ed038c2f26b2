//! `plain.json`: how far plain names are, which of them may still be undone by a late writer, and which could not be written.

use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use crate::storage::{Source, Storage, Token};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest marker that is read; one that is written stays far below.
const MARKER_LIMIT: u64 = 1 << 20;
/// What helps where no publisher can replace it.
const MOVE_AWAY: &str = "move plain.json out of the repository as a user who may, then: publish refresh";
/// A name is looked at again by every run that changes something until so long after its last change. By then a prune may
/// have deleted what a delayed copy would copy from.
const WINDOW: TimeDelta = TimeDelta::days(30);
/// Bytes of names in the list at most; the oldest are dropped first.
const MOST_BYTES: usize = 256 << 10;
/// Names that could not be written, at most: beyond, the marker does not advance, and the next run finds all of them again.
pub(super) const MOST_OPEN: usize = 200;

/// The content of `plain.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Marker {
    /// `root.json` is this version, or a newer one.
    pub root: u64,
    /// Plain names are those of this targets version, but for those in `open`; 0 where there are none.
    pub targets: u64,
    /// And of the bins that this snapshot lists; 0 where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub snapshot: u64,
    /// Targets that were replaced or removed, with when, in seconds since 1970: an older write of their plain names may
    /// still be under way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recent: BTreeMap<String, i64>,
    /// When `root.json` was replaced, likewise; 0 if that is long ago.
    #[serde(default, skip_serializing_if = "is_never")]
    pub root_replaced: i64,
    /// Targets whose plain names could not be written, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<String, String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_never(time: &i64) -> bool {
    *time == 0
}

/// A marker with what it takes to replace it.
pub(super) struct Held {
    pub marker: Marker,
    token: Option<Token>,
    /// Why it could not be read. It stops no command: `marker` claims nothing then, and `refresh` replaces the object.
    pub unreadable: Option<Error>,
}

/// Reads the marker.
pub(super) fn read(source: &dyn Source) -> Held {
    let (object, mut unreadable) = match source.get(&ObjectName::plain_marker(), MARKER_LIMIT) {
        Ok(object) => (object, None),
        Err(failure) => (None, Some(failure)),
    };
    let mut marker = Marker::default();
    match object.as_ref().map(|object| serde_json::from_slice(&object.bytes)) {
        Some(Ok(parsed)) => marker = parsed,
        Some(Err(error)) => unreadable = Some(Error::new(Kind::Untrusted, format!("plain.json is no list of plain names: {error}"))),
        None => {}
    }
    // A name that leads out of the repository is a stranger's.
    let leads_out = |name: &str| ObjectName::plain_target(name).check().is_err();
    marker.recent.retain(|name, _| !leads_out(name));
    marker.open.retain(|name, _| !leads_out(name));
    Held { marker, token: object.map(|object| object.token), unreadable }
}

impl Held {
    /// A marker that cannot be read makes place for one that claims nothing: everything is written again.
    pub(super) fn or_empty(self, storage: &dyn Storage) -> Result<Self> {
        let Some(mut failure) = self.unreadable else { return Ok(self) };
        // A store that does not answer has a marker all the same.
        let is_bad = matches!(failure.kind, Kind::Untrusted | Kind::Permission | Kind::Invalid);
        if !is_bad {
            return Err(failure);
        }
        if self.token.is_none() && storage.delete(&ObjectName::plain_marker()).is_err() {
            failure.hints.insert(0, MOVE_AWAY.into());
            return Err(failure);
        }
        Ok(Self { unreadable: None, ..self })
    }

    /// Replaces the marker that was read; `false` if another publisher has replaced it since.
    pub(super) fn replace(&self, storage: &dyn Storage, marker: &Marker) -> Result<bool> {
        let bytes = serde_json::to_vec(marker).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
        storage.compare_and_swap(&ObjectName::plain_marker(), self.token.as_ref(), &bytes).map_err(|mut failure| {
            if matches!(failure.kind, Kind::Permission | Kind::Invalid | Kind::Conflict) {
                failure.hints.insert(0, MOVE_AWAY.into());
            }
            failure
        })
    }
}

impl Marker {
    /// The names that changed lately.
    pub(super) fn recent_names(&self, now: DateTime<Utc>) -> impl Iterator<Item = &String> {
        let since = (now - WINDOW).timestamp();
        self.recent.iter().filter(move |(_, at)| **at > since).map(|(name, _)| name)
    }

    /// Whether an older `root.json` may still be under way.
    pub(super) fn watches_root(&self, now: DateTime<Utc>) -> bool {
        self.root_replaced > (now - WINDOW).timestamp()
    }

    /// Notes names that were replaced or removed now, and forgets those for which that is long ago.
    pub(super) fn note<'n>(&mut self, names: impl Iterator<Item = &'n str>, now: DateTime<Utc>) {
        let since = (now - WINDOW).timestamp();
        self.recent.extend(names.map(|name| (name.to_owned(), now.timestamp())));
        self.recent.retain(|_, at| *at > since);
        if self.root_replaced <= since {
            self.root_replaced = 0;
        }
        let mut bytes: usize = self.recent.keys().map(String::len).sum();
        if bytes > MOST_BYTES {
            let mut oldest: Vec<(i64, String)> = self.recent.iter().map(|(name, at)| (*at, name.clone())).collect();
            oldest.sort();
            for (_, name) in oldest {
                if bytes <= MOST_BYTES {
                    break;
                }
                bytes -= name.len();
                self.recent.remove(&name);
            }
        }
    }
}
