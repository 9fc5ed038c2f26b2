//! Warnings about names and files that a change publishes.

use crate::error::{Id, Message};
use crate::names::{TargetPath, is_left_by_desktop};

/// At most so many names are listed.
pub(super) const MAX_LISTED: usize = 10;

/// About what desktops left behind.
pub(super) fn left_by_desktop<'n>(names: impl Iterator<Item = &'n str>) -> Option<Message> {
    let left: Vec<&str> = names.filter(|name| is_left_by_desktop(name)).collect();
    let first = left.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    let more = left.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!("{first}{more}: a desktop left these behind; what is published cannot be taken back");
    (!left.is_empty()).then(|| Message::new(Id::DesktopFiles, text))
}

/// Some clients take an empty target for a missing one.
pub(super) fn empty_file(name: &TargetPath) -> Message {
    Message::new(Id::EmptyFile, format!("{name} is empty; python-tuf before 2.1 and php-tuf refuse empty files"))
}

/// Of a name that is legal and rare.
pub(super) fn unusual_name(name: &TargetPath) -> Message {
    let text = format!("{name}: characters outside [A-Za-z0-9._+~/-] can cause errors in some clients and proxies");
    Message::new(Id::UnusualName, text)
}
