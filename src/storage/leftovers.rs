/// What publishers left in a store, or hold there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Staging directories of publishers that do not run any more. The next publisher removes them.
    pub abandoned: Vec<String>,
    /// Publishers that are writing now, and the lock that each holds.
    pub running: Vec<String>,
    /// Who holds the lock of the commit, if a process does.
    pub lock: Option<String>,
}
