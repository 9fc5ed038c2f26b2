use super::Present;
use super::bin_keys::BinKeys;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Expiry, PublicKey, Target, TargetEdits, format_expiry};
use crate::names::RoleName;
use crate::policy::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A planned change of the repository, with everything the plan relied on. It can be laid over a newer state as long as
/// that still holds.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Target by target.
    pub changes: Vec<Change>,
    /// What else must hold.
    pub conditions: Vec<Condition>,
    /// Roles to sign again although nothing in them changes.
    pub renewals: Vec<Renewal>,
    /// Spread the targets over bins.
    pub rebin: Option<Rebin>,
    /// Have other keys sign the bins. Never part of a request: a worker decides it by itself.
    pub rekey: Option<BinKeys>,
    /// The OpenPGP key whose new signatures the edit brings, and when it expires: nothing is committed after that.
    pub signed_by: Option<(String, Expiry)>,
    /// Roles that the top-level role no longer delegates to. Never part of a request to workers.
    pub undelegate: Vec<String>,
    /// Channels may move to releases without platforms that their users have, and machines may take another directory of a
    /// release than before.
    pub may_lose_platforms: bool,
}

/// Spread all targets that are not at the top level over hashed bins.
#[derive(Clone, Debug)]
pub struct Rebin {
    /// How many: a power of two.
    pub count: usize,
    /// Who signs the bins and the role that lists them, by key id.
    pub keys: Vec<(String, PublicKey)>,
    /// How many of them must.
    pub threshold: u64,
}

/// One target's change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The target's name.
    pub name: String,
    /// What the plan saw; `None` is absent.
    pub expected: Option<Target>,
    /// What shall be; `None` removes it.
    pub wanted: Option<Target>,
    /// What is there already may stay: signatures differ from run to run and are all as good.
    pub keep_existing: bool,
    /// The wanted content where it is small and at hand, so that it need not be read back.
    pub content: Option<Vec<u8>>,
}

/// Something a plan relied on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Below this prefix there is nothing, or exactly these names: a published platform never changes.
    Sealed {
        /// For example `releases/1.2.20/linux-amd64/`.
        prefix: String,
        /// The names this edit puts there, sorted.
        names: Vec<String>,
    },
    /// This target is absent: a version that was yanked is never published again.
    Absent {
        /// For example `yanked/1.2.20`.
        name: String,
    },
    /// No target below this prefix has this content: no channel points at a version.
    NoneHas {
        /// For example `channels/`.
        prefix: String,
        /// SHA-256 of the content.
        #[serde(with = "hex")]
        sha256: [u8; 32],
    },
    /// Below this prefix there is something: a channel points at a release that exists.
    Exists {
        /// For example `releases/1.2.20/`.
        prefix: String,
    },
}

/// A role to sign again, unless another process has signed it since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// A top-level role, or [`RoleName::Bins`] for all bins that are due.
    pub role: RoleName,
    /// The version that was due.
    pub version: u64,
}

impl Change {
    /// Whether the content stays, and the entry names it by one digest more.
    fn adds_digests(&self) -> bool {
        let both = |target: &Target| target.hashes.sha256.is_some() && target.hashes.sha512.is_some();
        same(&self.expected, &self.wanted)
            && self.wanted.as_ref().is_some_and(both)
            && self.expected.as_ref().is_some_and(|expected| !both(expected))
    }
}

impl Change {
    /// Whether nothing of it remains to be done where `now` is published.
    fn is_done(&self, now: &Option<Target>) -> bool {
        let done = if self.adds_digests() { *now == self.wanted } else { same(now, &self.wanted) };
        done || (self.keep_existing && now.is_some())
    }
}

impl Edit {
    /// What remains to be done; an error of kind [`Kind::Conflict`] if the plan no longer holds.
    pub fn against(&self, view: &View<'_>) -> Result<TargetEdits> {
        let mut edits = TargetEdits::new();
        for change in &self.changes {
            let now = view.get(&change.name)?;
            if change.is_done(&now) {
                continue;
            }
            if !same(&now, &change.expected) {
                return Err(conflict(&change.name, &now, &change.wanted));
            }
            edits.insert(change.name.clone(), change.wanted.clone());
        }
        for condition in &self.conditions {
            self.check(condition, view)?;
        }
        Ok(edits)
    }

    /// Whether a state contains all that the edit asks for. The bins of its names must have been read.
    pub fn is_done_in(&self, present: &Present) -> Result<bool> {
        for change in &self.changes {
            let now = present.target(&change.name)?;
            if !change.is_done(&now) {
                return Ok(false);
            }
        }
        let spread = match &self.rebin {
            None => true,
            Some(rebin) => {
                let keys = BinKeys { keys: rebin.keys.clone(), threshold: rebin.threshold };
                present.bins.as_ref().is_some_and(|bins| bins.count() == rebin.count) && present.bins_have(&keys)?
            }
        };
        Ok(spread && self.open_renewals(present).next().is_none())
    }

    /// Refuses signatures by a key that has expired since they were made: to users it would look as if they had been made
    /// with an expired key.
    pub fn check_key(&self, now: DateTime<Utc>) -> Result<()> {
        let Some((fingerprint, expires)) = self.signed_by.as_ref().filter(|(_, expires)| *expires <= now) else { return Ok(()) };
        Err(Error::invalid(format!("the OpenPGP key {fingerprint} expired on {}; nothing was published", format_expiry(*expires)))
            .hint("extend it (publish key extend 730d, or gpg --quick-set-expire), then run the same command again"))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.renewals.is_empty() && self.rebin.is_none() && self.rekey.is_none() && self.undelegate.is_empty()
    }

    /// The names whose entries must have been read before [`Edit::against`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|change| change.name.as_str())
    }

    /// The renewals that no other process has made meanwhile.
    pub fn open_renewals<'e>(&'e self, present: &Present) -> impl Iterator<Item = RoleName> + use<'e> {
        let (versions, bins) = (present.versions(), present.bins.as_ref().map_or(u64::MAX, |bins| bins.role.version()));
        let version = move |name: &RoleName| match name {
            RoleName::Top(role) => versions.of(*role),
            RoleName::Bins => bins,
            RoleName::Delegated(_) => u64::MAX,
        };
        self.renewals.iter().filter(move |renewal| version(&renewal.role) <= renewal.version).map(|renewal| renewal.role.clone())
    }

    fn check(&self, condition: &Condition, targets: &View<'_>) -> Result<()> {
        match condition {
            Condition::Sealed { prefix, names } => {
                let there = targets.below(prefix);
                if there.is_empty() || there == *names {
                    return Ok(());
                }
                Err(Error::new(Kind::Conflict, format!("another publisher has published other files below {prefix} meanwhile"))
                    .details(there.iter().map(|name| format!("published: {name}")))
                    .details(names.iter().map(|name| format!("yours:     {name}")))
                    .hint("a published platform never changes; publish yours under a new version"))
            }
            Condition::Absent { name } => {
                if targets.get(name)?.is_none() {
                    return Ok(());
                }
                Err(Error::new(Kind::Conflict, format!("another publisher has published {name} meanwhile"))
                    .hint("look at `publish status`; a yanked version is never published again, so release under a new one"))
            }
            Condition::NoneHas { prefix, sha256 } => {
                for name in targets.below(prefix) {
                    if targets.get(&name)?.is_some_and(|target| target.hashes.sha256 == Some(*sha256)) {
                        return Err(Error::new(Kind::Conflict, format!("another publisher has moved {name} to that version meanwhile"))
                            .hint("move the channel to another version first: edit the channels file, then publish channels"));
                    }
                }
                Ok(())
            }
            Condition::Exists { prefix } => {
                let adds = self.changes.iter().any(|change| change.wanted.is_some() && change.name.starts_with(prefix.as_str()));
                if adds || !targets.below(prefix).is_empty() {
                    return Ok(());
                }
                Err(Error::new(Kind::Conflict, format!("nothing is published below {prefix} any more")))
            }
        }
    }
}

/// The published targets as they will be after some edits.
pub struct View<'a> {
    pub(super) present: &'a Present,
    /// The edits.
    pub made: TargetEdits,
}

impl<'a> View<'a> {
    /// The published targets as they are.
    pub fn new(present: &'a Present) -> Self {
        Self { present, made: TargetEdits::new() }
    }

    /// The target of this name.
    pub fn get(&self, name: &str) -> Result<Option<Target>> {
        match self.made.get(name) {
            Some(made) => Ok(made.clone()),
            None => self.present.target(name),
        }
    }

    /// The names below a directory of the top level, sorted.
    fn below(&self, prefix: &str) -> Vec<String> {
        let kept = self.present.targets.below(prefix).filter(|name| !self.made.contains_key(*name)).map(str::to_owned);
        let made = self.made.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        let made = made.filter(|(_, target)| target.is_some()).map(|(name, _)| name.clone());
        kept.chain(made).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl State for View<'_> {
    fn target(&self, name: &str) -> Result<Option<Target>> {
        self.get(name)
    }

    fn below(&self, prefix: &str) -> Vec<String> {
        self.below(prefix)
    }

    fn first_below(&self, directory: &str) -> Option<String> {
        let bins = self.present.bins.iter().flat_map(|bins| bins.known()).map(|(_, bin)| bin);
        let mut kept = std::iter::once(&self.present.targets).chain(bins).flat_map(|role| role.below(directory));
        let made = || self.made.range(directory.to_owned()..).take_while(|(name, _)| name.starts_with(directory));
        let first = kept.find(|name| !self.made.contains_key(*name)).map(str::to_owned);
        first.or_else(|| made().find(|(_, target)| target.is_some()).map(|(name, _)| name.clone()))
    }

    fn visit(&self, each: &mut dyn FnMut(&str)) {
        self.present.entries().map(|(name, _)| name).filter(|name| !self.made.contains_key(*name)).for_each(&mut *each);
        self.made.iter().filter(|(_, target)| target.is_some()).for_each(|(name, _)| each(name));
    }
}

/// Whether two entries name the same content, or are both absent.
pub(super) fn same(a: &Option<Target>, b: &Option<Target>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.has_content_of(b),
        _ => false,
    }
}

fn conflict(name: &str, now: &Option<Target>, wanted: &Option<Target>) -> Error {
    let say = |target: &Option<Target>| {
        target.as_ref().map_or("absent".to_owned(), |target| format!("{} ({} bytes)", target.hashes, target.length))
    };
    Error::new(Kind::Conflict, format!("target {name} was changed by another publisher meanwhile"))
        .detail(format!("published: {}", say(now)))
        .detail(format!("yours:     {}", say(wanted)))
        .hint("look at `publish status`, then run the command again if the change is still wanted")
}
