use super::Id;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// A warning or a note: a sentence for people, and the id by which a program knows its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which kind of message it is.
    pub id: Id,
    text: String,
}

impl Message {
    /// A message of this kind.
    pub fn new(id: Id, text: impl Into<String>) -> Self {
        Self { id, text: text.into() }
    }
}

impl Deref for Message {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Plans and results have had their texts as strings since schema 1; `messages` of a document has the ids.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
