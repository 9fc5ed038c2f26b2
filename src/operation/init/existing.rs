//! What `init` finds at the place of the repository. A killed first `init` is distinguished from a repository that lost files, or that is at
//! another place, by what memory holds: `init` notes there that it begins before it pins a root, and a commit notes versions.

use super::{InitRequest, foreign, pin};
use crate::error::{Error, Kind, Result};
use crate::metadata::{ROOT_LIMIT, Role, TIMESTAMP_LIMIT};
use crate::names::{ObjectName, RoleName};
use crate::operation::Publisher;
use crate::operation::publisher::Past;

const TIMESTAMP_MISSING: &str = "restore timestamp.json, or the whole repository: docs/recovery.md#the-published-timestamp-is-missing";

/// What a location holds of a repository.
pub(super) struct Existing {
    /// `1.root.json`.
    pub first: Option<Vec<u8>>,
    /// The published root of the pinned one's version.
    pub same_version: Option<Vec<u8>>,
    /// A timestamp: the repository is complete.
    pub published: bool,
    /// Any file of a repository.
    pub any: bool,
    /// These files, where there is no timestamp.
    files: Vec<ObjectName>,
    /// What this publisher remembers.
    past: Past,
}

impl Existing {
    pub fn look(publisher: &Publisher, pinned: Option<&[u8]>) -> Result<Self> {
        // Before the store: another `init` may publish and remember it meanwhile.
        let past = publisher.past(pinned);
        let published = || -> Result<bool> { Ok(publisher.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT)?.is_some()) };
        let mut complete = published()?;
        let mut files = Vec::new();
        if !complete {
            let listing = publisher.storage.list("")?;
            files = listing.into_iter().map(|stored| stored.name).filter(is_of_repository).collect();
            complete = !files.is_empty() && published()?;
        }
        let root = |version| -> Result<_> { Ok(publisher.storage.get(&ObjectName::root(version), ROOT_LIMIT)?.map(|it| it.bytes)) };
        let first = root(1)?;
        let version = pinned.map_or(Ok(1), |pinned| pin(pinned).map(|trust| trust.root().version()))?;
        let same_version = if version == 1 { first.clone() } else { root(version)? };
        Ok(Self { any: complete || !files.is_empty(), published: complete, first, same_version, files, past })
    }

    /// Refuses a repository that is not the one of this config, and a pinned root that no new repository can begin with.
    pub fn check(&self, publisher: &Publisher, request: &InitRequest, pinned: Option<&[u8]>) -> Result<()> {
        let differs = pinned.is_some_and(|pinned| self.same_version.as_deref().is_some_and(|there| there != pinned));
        let unknown = pinned.is_none() && self.any && !request.config.exists();
        if differs || unknown {
            return Err(foreign(publisher).details(self.shown()));
        }
        let later = pinned.map_or(Ok(false), |pinned| pin(pinned).map(|trust| trust.root().version() > 1))?;
        if later && !self.any {
            return Err(gone(publisher, &format!("{} is not a first root", publisher.pinned_root.display())));
        }
        Ok(())
    }

    /// Refuses to publish first roles where they may have been published before, here or elsewhere: only an empty place and what
    /// a killed first `init` left are completed.
    pub fn check_unpublished(&self, publisher: &Publisher, request: &InitRequest, pinned: Option<&[u8]>) -> Result<()> {
        if self.published {
            return Ok(());
        }
        let (here, state) = (publisher.storage.location(), publisher.memory.state.to_string());
        if let Some(version) = self.past.here {
            let remembered = format!("{state} remembers timestamp {version} of this repository");
            return Err(if self.any { self.lost(publisher).detail(remembered) } else { gone(publisher, &remembered) });
        }
        if !publisher.memory.recall.configured && request.config.exists() {
            return Err(Error::new(
                Kind::Conflict,
                format!("there is no repository at {here}, and {} names another place", request.config.display()),
            )
            .hint(
                "leave --repo and PUBLISH_REPO out, or correct them; for a second repository, run `publish init` in a directory of its own",
            ));
        }
        let Some(pinned) = pinned else {
            return if self.any { Err(self.lost(publisher)) } else { Ok(()) };
        };
        if let Some(elsewhere) = &self.past.elsewhere {
            return Err(Error::new(Kind::Conflict, format!("there is no repository at {here}: the one of {} is at another place", publisher.pinned_root.display()))
                .detail(format!("{state} remembers it at {elsewhere}"))
                .hint("correct `repo` in the config, or --repo")
                .hint("to move the repository, copy all of its files, timestamp.json last; for a second one, run `publish init` in a directory of its own: with the same root, each would accept the other's metadata"));
        }
        let consistent = pin(pinned)?.root().consistent_snapshot();
        if self.files.iter().any(|file| !is_of_first_init(file, consistent)) || (self.any && !self.past.begun) {
            return Err(self.lost(publisher));
        }
        if self.past.begun {
            return Ok(());
        }
        let root = publisher.pinned_root.display();
        Err(Error::new(Kind::NotFound, format!("{root} is the root of a repository, and there is no repository at {here}"))
            .hint("correct `repo` in the config, or --repo")
            .hint("if the repository was there, restore it from a backup: docs/recovery.md#the-published-timestamp-is-missing")
            .hint(format!("if nothing was ever published with this root, move {root} away and run `publish init` again")))
    }

    fn lost(&self, publisher: &Publisher) -> Error {
        let here = publisher.storage.location();
        let leftover = self.files.iter().all(|file| is_of_first_init(file, false));
        let failure = Error::new(
            Kind::NotFound,
            format!("timestamp.json is missing from {here}, which contains files of a repository; nothing was made"),
        )
        .details(self.shown())
        .hint(TIMESTAMP_MISSING)
        .hint("for a new repository, choose an empty place");
        if !leftover || self.past.here.is_some() {
            return failure;
        }
        failure.hint(format!(
            "if a first `publish init` was killed there and nothing else was ever published, delete these files and {}, then run `publish init` again",
            publisher.pinned_root.display()
        ))
    }

    fn shown(&self) -> Vec<String> {
        // First those that only a published repository has.
        let (first, later): (Vec<_>, Vec<_>) = self.files.iter().partition(|file| is_of_first_init(file, true));
        let mut shown: Vec<String> = later.into_iter().chain(first).take(5).map(|file| format!("there: {file}")).collect();
        if self.files.len() > shown.len() {
            shown.push(format!("and {} more", self.files.len() - shown.len()));
        }
        shown
    }
}

fn gone(publisher: &Publisher, why: &str) -> Error {
    Error::new(Kind::NotFound, format!("the repository at {} is missing", publisher.storage.location()))
        .detail(why)
        .hint("restore the repository from a backup, then see docs/recovery.md#the-bucket-was-restored-from-an-old-backup")
        .hint("for another repository, choose another place, and a directory of its own for its keys and config")
        .hint(format!(
            "if it was deleted on purpose, delete {} and {} too, then run `publish init` again",
            publisher.memory.state,
            publisher.pinned_root.display()
        ))
}

/// Whether a file can only be a repository's: of a top-level role, or a target.
fn is_of_repository(name: &ObjectName) -> bool {
    let is_top = |role: RoleName| matches!(role, RoleName::Top(_));
    name.numbered().is_some_and(|(role, _)| is_top(role))
        || name.as_str().strip_suffix(".json").is_some_and(|role| is_top(RoleName::of(role)))
        || name.as_str().starts_with("targets/")
        || *name == ObjectName::plain_marker()
}

/// Whether `init` writes a file before the timestamp.
fn is_of_first_init(name: &ObjectName, consistent: bool) -> bool {
    let versioned = matches!(name.numbered(), Some((role, 1)) if role != Role::Timestamp);
    let plain = [Role::Targets, Role::Snapshot].map(ObjectName::plain_role);
    versioned || (!consistent && plain.contains(name))
}
