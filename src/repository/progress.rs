use crate::error::Message;

/// Where a long operation reports its progress. Only `cli` shows anything.
pub trait Progress: Send + Sync {
    /// A step begins; `what` is a short phrase such as "staging".
    fn phase(&self, what: &str);

    /// The work of this step: so many files with so many bytes.
    fn expect(&self, files: u64, bytes: u64);

    /// The last step is over.
    fn finish(&self) {}

    /// Bytes done.
    fn bytes(&self, count: u64);

    /// A file done.
    fn file(&self);

    /// A status line of a commit, such as "targets signed (version 4)".
    fn status(&self, line: &str);

    /// A warning, which is shown even without status lines.
    fn warning(&self, warning: &Message) {
        self.status(warning);
    }
}

/// Reports nothing.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {
    fn phase(&self, _: &str) {}
    fn expect(&self, _: u64, _: u64) {}
    fn bytes(&self, _: u64) {}
    fn file(&self) {}
    fn status(&self, _: &str) {}
}
