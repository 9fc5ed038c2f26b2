use super::{Conditions, EtagQuotes};

/// What is known of a store without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The longest content whose name may be given at its end, in bytes; stores that cannot rename need the name of longer
    /// content first.
    pub longest_unnamed: u64,
    /// The longest object that the store copies, in bytes.
    pub longest_copy: u64,
    /// How many calls at once make the best use of the store.
    pub parallelism: usize,
    /// Whether conditional writes are refused where they must be; `None` if that was not tested yet.
    pub conditions: Option<Conditions>,
    /// The form of ETags in conditions that was seen to work.
    pub etag_quotes: Option<EtagQuotes>,
}

impl Default for Properties {
    /// Those of a directory on this machine.
    fn default() -> Self {
        Self {
            longest_unnamed: u64::MAX,
            longest_copy: u64::MAX,
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            conditions: Some(Conditions::Enforced),
            etag_quotes: None,
        }
    }
}
