//! The checklist: what is looked at, and how each item went.

use crate::error::Error;
use serde::Serialize;

/// Where an item stands in the checklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Files of the publisher.
    Setup,
    /// Secret keys.
    Keys,
    /// The repository in its store.
    Repository,
    /// What clients get over http(s).
    Clients,
}

macro_rules! items {
    ($($section:ident: $item:ident = ($id:literal, $name:literal, $about:literal),)+) => {
        /// Something that is looked at. The order is that of the checklist.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Item { $(#[doc = $about] $item,)+ }

        impl Item {
            /// Every item.
            pub const ALL: &[Self] = &[$(Self::$item,)+];

            /// The section.
            pub fn section(self) -> Section {
                match self { $(Self::$item => Section::$section,)+ }
            }

            /// The id in JSON, which never changes.
            pub fn id(self) -> &'static str {
                match self { $(Self::$item => $id,)+ }
            }

            /// The name for people.
            pub fn name(self) -> &'static str {
                match self { $(Self::$item => $name,)+ }
            }

            /// What is looked at, for the reference page.
            pub fn about(self) -> &'static str {
                match self { $(Self::$item => $about,)+ }
            }
        }
    };
}

items! {
    Setup: Config = ("config", "config", "the file is found and can be read, has no unknown keys, and other users cannot write it"),
    Setup: ChannelsFile = ("channels-file", "channels file", "the configured channels file is there and has no mistakes"),
    Setup: OtherChannelsFile = ("other-channels-file", "other channels file", "no channels file in the working directory is ignored in favour of another one"),
    Setup: PassphraseFile = ("passphrase-file", "passphrase file", "each passphrase file can be read, by its owner only"),
    Setup: PinnedRoot = ("pinned-root", "pinned root", "the pinned root can be read and is the one of the published repository"),
    Setup: State = ("state", "state file", "the state file can be read and written, and knows this repository"),
    Keys: RootKey = ("root-key", "root key", "each root key on this machine opens and is a key of the role"),
    Keys: TargetsKey = ("targets-key", "targets key", "each configured key opens and is a key of the role"),
    Keys: SnapshotKey = ("snapshot-key", "snapshot key", "the same"),
    Keys: TimestampKey = ("timestamp-key", "timestamp key", "the same"),
    Keys: BinsKey = ("bins-key", "bins key", "the same, where hashed bins have a key of their own"),
    Keys: OpenPgpKey = ("openpgp-key", "OpenPGP key", "the key opens, and belongs to its certificate"),
    Keys: OpenPgpExpiry = ("openpgp-expiry", "OpenPGP expiry", "the key can sign for a month at least"),
    Repository: Store = ("store", "store", "the store answers, and its credentials permit reading and listing"),
    Repository: Writable = ("store-writable", "store, writing", "this user can write to the directory"),
    Repository: Conditions = ("store-conditions", "conditional writes", "it is known that the store keeps publishers apart"),
    Repository: Metadata = ("metadata", "metadata", "the published metadata verifies from the pinned root"),
    Repository: Rollback = ("rollback", "rollback", "the repository is not older than the state seen before"),
    Repository: Workers = ("workers", "workers", "the settings of workers in the config can be used"),
    Repository: Pause = ("pause", "pause", "work is not paused"),
    Repository: Lock = ("lock", "lock", "no process holds the lock of the repository"),
    Repository: Leftovers = ("leftovers", "leftovers", "killed runs left no staged files, drafts or half-written keys"),
    Repository: RootExpiry = ("root-expiry", "root expiry", "the root is valid for two months at least"),
    Repository: TargetsExpiry = ("targets-expiry", "targets expiry", "the role has not expired, and was refreshed in time"),
    Repository: SnapshotExpiry = ("snapshot-expiry", "snapshot expiry", "the same"),
    Repository: TimestampExpiry = ("timestamp-expiry", "timestamp expiry", "the same"),
    Repository: Clock = ("clock", "clock", "this machine's clock agrees with the HTTP dates of the store and of `public_url`"),
    Repository: SignedTimes = ("signed-times", "signed times", "no role was signed by a clock that was ahead of this one"),
    Clients: PublicUrl = ("public-url", "public_url", "it answers, and serves this repository"),
    Clients: Encryption = ("https", "https", "clients are served over https, without a redirect to http"),
    Clients: ServedState = ("served-state", "served state", "clients get the root and the timestamp that the store has"),
    Clients: MissingFiles = ("missing-files", "missing files", "a file that does not exist is answered with 404"),
    Clients: CacheHeaders = ("cache-headers", "cache headers", "caches do not keep timestamp.json"),
    Clients: Gzip = ("gzip", "gzip", "a .gz file is not labelled `Content-Encoding: gzip`, which would make clients unpack it"),
    Clients: Plus = ("plus", "+ in names", "a literal `+` in a path reaches its file"),
    Clients: Ranges = ("ranges", "ranges", "interrupted downloads can be continued; clients do not depend on it"),
}

/// How an item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works now, and something needs attention.
    Warning,
    /// Publishing or updating fails, or will.
    Failed,
    /// Nothing was looked at, for the reason that is given.
    NotChecked,
}

/// One line of the checklist.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The item.
    #[serde(skip)]
    pub item: Item,
    /// The item's id.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Its section.
    pub section: Section,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub meaning: String,
    /// What to do: a command or a setting each.
    pub remedies: Vec<String>,
}

/// All lines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checklist {
    /// In the order of the items.
    pub checks: Vec<Check>,
}

impl Checklist {
    fn add(&mut self, item: Item, verdict: Verdict, meaning: impl Into<String>, remedies: Vec<String>) {
        self.checks.push(Check {
            item,
            id: item.id(),
            name: item.name(),
            section: item.section(),
            verdict,
            meaning: meaning.into(),
            remedies,
        });
    }

    /// As it should be.
    pub(super) fn ok(&mut self, item: Item, meaning: impl Into<String>) {
        self.add(item, Verdict::Ok, meaning, Vec::new());
    }

    /// Not looked at.
    pub(super) fn not_checked(&mut self, item: Item, why: impl Into<String>) {
        self.add(item, Verdict::NotChecked, why, Vec::new());
    }

    /// Not looked at, with what to do about it.
    pub(super) fn not_checked_but(&mut self, item: Item, why: impl Into<String>, remedy: impl Into<String>) {
        self.add(item, Verdict::NotChecked, why, vec![remedy.into()]);
    }

    /// Something needs attention.
    pub(super) fn warning(&mut self, item: Item, meaning: impl Into<String>, remedy: impl Into<String>) {
        self.add(item, Verdict::Warning, meaning, vec![remedy.into()]);
    }

    /// Something is wrong.
    pub(super) fn failed(&mut self, item: Item, meaning: impl Into<String>, remedy: impl Into<String>) {
        self.add(item, Verdict::Failed, meaning, vec![remedy.into()]);
    }

    /// The item went as this failure describes, whose hints are the remedies; `otherwise` is the remedy of one without hints.
    pub(super) fn failure(&mut self, item: Item, verdict: Verdict, failure: &Error, otherwise: &str) {
        let hints = failure.hints.clone();
        let remedies = if hints.is_empty() { vec![otherwise.to_owned()] } else { hints };
        self.add(item, verdict, described(failure), remedies);
    }

    /// The same for these items, for one reason.
    pub(super) fn none_checked(&mut self, items: &[Item], why: &str) {
        items.iter().for_each(|item| self.not_checked(*item, why));
    }

    /// The worst verdict of an item.
    pub(super) fn has_failed(&self, item: Item) -> bool {
        self.checks.iter().any(|check| check.item == item && check.verdict == Verdict::Failed)
    }

    /// In the order of the items.
    pub(super) fn sorted(mut self) -> Self {
        self.checks.sort_by_key(|check| check.item);
        self
    }

    /// How many lines have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// The checklist of a publisher whose config cannot be read: nothing else can be looked at.
    pub fn without_config(failure: &Error) -> Self {
        let mut list = Self::default();
        list.failure(Item::Config, Verdict::Failed, failure, "correct the file; docs/reference.md lists every key");
        list.none_checked(&Item::ALL[1..], "the config cannot be read");
        list
    }
}

/// A failure on one line, with its causes and details.
pub(super) fn described(failure: &Error) -> String {
    let mut text = failure.message.clone();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let shown = error.to_string();
        // The text of one cause is often part of the one above it.
        if !text.contains(&shown) {
            text.push_str(&format!(": {shown}"));
        }
        cause = error.source();
    }
    if !failure.details.is_empty() {
        text.push_str(&format!(" ({})", failure.details.join("; ")));
    }
    text
}
