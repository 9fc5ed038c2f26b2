use super::bins::BinsChoice;
use crate::error::Result;
use crate::metadata::{Role, Target};
use crate::names::TargetPath;
use crate::openpgp::SigningKey;
use crate::operation::Publisher;
use crate::repository::{Artifact, Change, Edit, PlainNames, Present};
use std::borrow::Borrow;

/// What carrying out a change needs beyond what people see.
pub(in crate::operation) struct Work {
    /// The state that it was prepared on.
    pub(super) present: Box<Present>,
    /// Files to stage.
    pub(super) uploads: Vec<Upload>,
    /// Another server serves the files: only their lengths and digests are published.
    pub(super) elsewhere: bool,
    /// Small targets whose content is at hand.
    pub(super) small: Vec<Small>,
    /// Names of published signatures that are made anew.
    pub(super) resigned: Vec<String>,
    /// The OpenPGP key that signs and whose certificate is published with the change, if it is not the configured one.
    pub(super) openpgp: Option<SigningKey>,
    /// What else is to be committed: targets that go, and what must hold.
    pub(super) edit: Edit,
    /// Who signs.
    pub(super) keys: Keys,
}

/// The keys that a change needs.
#[derive(Clone, Debug)]
pub(in crate::operation) enum Keys {
    /// Those of the roles that list the changed names.
    OfNames,
    /// Those of these roles.
    Of(Vec<Role>),
    /// Those of these roles and of the bins, which are spread or get other keys.
    Bins(Vec<Role>, BinsChoice),
}

/// A file to stage.
#[derive(Clone, Debug)]
pub(in crate::operation) struct Upload {
    /// The file and its names.
    pub(super) artifact: Artifact,
    /// The published target of its name, which it replaces.
    pub(super) replaces: Option<Target>,
    /// The published signature that its own replaces.
    pub(super) replaces_signature: Option<Target>,
    /// A signature that another publisher has made meanwhile is as good as ours.
    pub(super) keeps_signature: bool,
}

impl Borrow<Artifact> for Upload {
    fn borrow(&self) -> &Artifact {
        &self.artifact
    }
}

/// A small target whose content is at hand.
#[derive(Clone, Debug)]
pub(in crate::operation) struct Small {
    /// Its name.
    pub(super) name: String,
    /// The published target of this name, which it replaces.
    pub(super) replaces: Option<Target>,
    /// Its content; `None` removes it.
    pub(super) content: Option<Vec<u8>>,
    /// One that another publisher has published meanwhile is as good as ours.
    pub(super) keeps_existing: bool,
}

impl Work {
    /// A change of this state that has nothing to do yet.
    pub(super) fn on(present: Present) -> Self {
        Self {
            present: Box::new(present),
            uploads: Vec::new(),
            elsewhere: false,
            small: Vec::new(),
            resigned: Vec::new(),
            openpgp: None,
            edit: Edit::default(),
            keys: Keys::OfNames,
        }
    }

    /// Whether there is nothing to do but what a killed run may have left.
    pub(super) fn is_empty(&self) -> bool {
        self.uploads.is_empty()
            && self.small.is_empty()
            && self.resigned.is_empty()
            && self.openpgp.is_none()
            && self.edit.is_empty()
            && !matches!(self.keys, Keys::Bins(..))
    }

    /// Whether OpenPGP signatures are made.
    pub(super) fn signs(&self) -> bool {
        self.openpgp.is_some() || !self.resigned.is_empty() || self.uploads.iter().any(|upload| upload.artifact.signature.is_some())
    }

    /// Refuses new names that conflict with published ones, or that the store holds as directories.
    pub(super) fn check_names(&mut self, publisher: &Publisher) -> Result<()> {
        let mode = if self.elsewhere { PlainNames::Elsewhere } else { publisher.plain_names };
        let (gone, kept): (Vec<&Small>, Vec<&Small>) = self.small.iter().partition(|small| small.content.is_none());
        let uploads = self.uploads.iter().flat_map(|upload| [Some(&upload.artifact.target), upload.artifact.signature.as_ref()]);
        let wanted = uploads.flatten().map(TargetPath::as_str).chain(kept.iter().map(|small| small.name.as_str())).collect();
        let removed = gone.iter().map(|small| small.name.as_str()).collect();
        self.present.check_names(publisher.storage.as_ref(), mode, &wanted, &removed)
    }

    /// The names that change.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let uploads = self.uploads.iter().flat_map(|upload| [Some(&upload.artifact.target), upload.artifact.signature.as_ref()]);
        let small = self.small.iter().map(|small| small.name.as_str());
        let resigned = self.resigned.iter().map(String::as_str);
        uploads.flatten().map(TargetPath::as_str).chain(small).chain(resigned).chain(self.edit.names())
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Work({} uploads on {:?})", self.uploads.len(), self.present)
    }
}

/// The removal of a target.
pub(super) fn removal(name: &str, published: Option<Target>) -> Change {
    Change { name: name.to_owned(), expected: published, wanted: None, keep_existing: false, content: None }
}
