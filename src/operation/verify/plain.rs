//! Plain names against what the repository promises about them.

use super::finding::{Findings, Severity};
use crate::error::Id;
use crate::metadata::Target;
use crate::names::ObjectName;
use crate::repository::{PlainState, Versions, plain_state};
use crate::storage::Source;
use std::collections::BTreeMap;

/// What the repository states about its plain names. Repositories of other tools state nothing.
pub(super) struct Promise {
    state: PlainState,
    /// Whether they are complete for the state that was read.
    complete: bool,
}

const PUT_RIGHT: &str = "curl and gpg users get it: `publish refresh` repairs it";

impl Promise {
    pub(super) fn read(source: &dyn Source, versions: &Versions, has_bins: bool) -> Self {
        let state = plain_state(source);
        let complete = state.targets == versions.targets && (!has_bins || state.snapshot == versions.snapshot);
        Self { state, complete }
    }

    /// A plain name with other bytes than the hashed one.
    pub(super) fn different(&self, name: &str, findings: &mut Findings) {
        let recent = || self.state.recent.iter().any(|other| other == name);
        if self.state.known && self.state.targets == 0 {
            findings.add(
                Id::PlainNameLeftOver,
                Severity::Warning,
                name,
                "its plain name holds other bytes than its hashed name, and this repository keeps no plain names",
                "curl users get an old file: remove it, or set `plain_names: all` and run `publish refresh`",
            );
        } else if self.state.known && (!self.complete || recent()) {
            findings.add(
                Id::PlainNameOutdated, Severity::Error,
                name,
                "its plain name holds other bytes than its hashed name, perhaps older ones: a publisher was stopped, or a write arrived late",
                "curl and gpg users get it: `publish refresh --all` repairs it",
            );
        } else {
            findings.add(
                Id::PlainNameTampered,
                Severity::Error,
                name,
                "its plain name holds other bytes than its hashed name: curl and gpg users get a file that is not signed",
                "find out who changed it; `publish refresh --all` restores it from the hashed name",
            );
        }
    }

    /// A plain name that is not there.
    pub(super) fn missing(&self, name: &str, findings: &mut Findings) {
        if let Some(why) = self.state.open.get(name) {
            let message = format!("its plain name could not be written: {why}");
            findings.add(
                Id::PlainNameOpen,
                Severity::Warning,
                name,
                message,
                "`publish status` shows the remedy; `publish refresh` tries again",
            );
        } else if self.complete {
            findings.add(
                Id::PlainNameMissing,
                Severity::Warning,
                name,
                "its plain name is missing",
                "curl and gpg users cannot fetch it: `publish refresh --all` restores it from the hashed name",
            );
        } else if self.state.known && self.state.targets != 0 {
            let message = "its plain name is missing: a publisher was stopped before it had written it";
            findings.add(Id::PlainNamePending, Severity::Warning, name, message, "`publish refresh` completes it");
        }
    }

    /// Names that are no targets any more, and may have come back.
    pub(super) fn check(
        &self,
        source: &dyn Source,
        targets: &BTreeMap<String, Target>,
        findings: &mut Findings,
    ) -> crate::error::Result<()> {
        if let Some(why) = &self.state.unreadable {
            let message = format!("it is not known which plain names are in place: {why}");
            findings.add(Id::PlainMarkerStale, Severity::Warning, "plain.json", message, "`publish refresh` replaces it");
        }
        for name in self.state.recent.iter().filter(|name| !targets.contains_key(*name)) {
            if source.open(&ObjectName::plain_target(name))?.is_some() {
                findings.add(
                    Id::PlainNameOfRemovedTarget,
                    Severity::Error,
                    name,
                    "its plain name is there, and the target is not published any more",
                    PUT_RIGHT,
                );
            }
        }
        Ok(())
    }
}
