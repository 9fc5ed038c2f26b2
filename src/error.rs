//! One error type for every module below `operation`: a kind to branch on, a sentence for people, and what to do next.

mod id;
mod message;

pub use id::{Class, Id};
pub use message::Message;

use std::fmt;
use std::path::PathBuf;

/// What class of trouble it is. Callers branch on this, never on text; `cli::exit` maps each to one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something we did not foresee.
    Unexpected,
    /// A role is due under `--fail-within`.
    Due,
    /// The operating system or the store refused access.
    Permission,
    /// It exists already with other content, or another process changed it first.
    Conflict,
    /// A file, name or setting given to us is not acceptable.
    Invalid,
    /// A release, channel, key or file that was named is not there.
    NotFound,
    /// The repository does not verify, or would not after the change.
    Untrusted,
    /// There is no repository at that place.
    NoRepository,
    /// A passphrase is missing or wrong.
    Passphrase,
    /// The disk or the network failed; trying again may help.
    Storage,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Unexpected,
        Self::Due,
        Self::Permission,
        Self::Conflict,
        Self::Invalid,
        Self::NotFound,
        Self::Untrusted,
        Self::NoRepository,
        Self::Passphrase,
        Self::Storage,
    ];

    /// Its name in JSON and in messages between workers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Due => "due",
            Self::Permission => "permission",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Untrusted => "untrusted",
            Self::NoRepository => "no_repository",
            Self::Passphrase => "passphrase",
            Self::Storage => "storage",
        }
    }

    /// The kind of this name; a name of a newer version is [`Kind::Unexpected`].
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Unexpected)
    }
}

/// An error with its kind, its one-sentence message, details (one per line) and hints.
#[derive(Debug)]
pub struct Error {
    /// The class of trouble.
    pub kind: Kind,
    /// Which error of this class it is, where a program may want to know.
    id: Option<Id>,
    /// Lower case, no full stop; names the file, key, role or target.
    pub message: String,
    /// Further lines: each name, digest or place on its own.
    pub details: Vec<String>,
    /// What the user can do now.
    pub hints: Vec<String>,
    /// The input file at fault, where it is one file's fault: everything else can go on without that file.
    pub input: Option<PathBuf>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything below `operation`.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure without details, hints or source.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, id: None, message: message.into(), details: Vec::new(), hints: Vec::new(), input: None, source: None }
    }

    /// Shorthand for the commonest kind, [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Gives it an id of its own.
    #[must_use]
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// The id: its own, or that of its kind.
    pub fn known_as(&self) -> Id {
        self.id.unwrap_or_else(|| Id::of_kind(self.kind))
    }

    /// Adds a line about what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says which input file is at fault.
    #[must_use]
    pub fn of_input(mut self, path: impl Into<PathBuf>) -> Self {
        self.input = Some(path.into());
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds several lines of detail.
    #[must_use]
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Adds one line for each problem, 20 at most, and the number of the others: a wrong directory would give thousands.
    #[must_use]
    pub fn problems(self, problems: Vec<String>) -> Self {
        const SHOWN: usize = 20;
        let more = problems.len().saturating_sub(SHOWN);
        let rest = (more > 0).then(|| format!("and {more} more"));
        self.details(problems.into_iter().take(SHOWN).chain(rest))
    }

    /// Adds what else went wrong, as a line with its hints.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.details.push(format!("also: {}", other.message));
        self.hints.extend(other.hints);
        self.hints.dedup();
        self
    }

    /// Keeps the error that led here, so that its text is shown as `caused by`.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The message and what led to it, on one line.
    pub fn with_cause(&self) -> String {
        self.source.as_ref().map_or_else(|| self.message.clone(), |cause| format!("{}: {cause}", self.message))
    }

    /// An input/output error on `what`, with the kind that belongs to the operating system's code.
    pub fn io(doing: &str, what: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let (kind, hint) = match error.kind() {
            E::PermissionDenied => (Kind::Permission, "check the owner and mode of the path, and run as the user that owns it"),
            E::ReadOnlyFilesystem => (Kind::Permission, "the file system is mounted read-only; nothing was changed"),
            E::StorageFull | E::QuotaExceeded => (Kind::Storage, "free some space and run the same command again; nothing was lost"),
            E::NotFound => (Kind::NotFound, ""),
            E::InvalidInput | E::InvalidFilename | E::IsADirectory | E::NotADirectory => (Kind::Invalid, ""),
            _ => (Kind::Storage, ""),
        };
        let failure = Self::new(kind, format!("cannot {doing} {what}")).source(error);
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
