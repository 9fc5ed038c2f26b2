//! Channels in a plan, and what users run once they have moved.

use super::plan::Plan;
use super::text::count;
use crate::operation::Publisher;
use crate::operation::change::channels::{ChannelChange, ChannelsPlan};

/// The lines of channels that change, stay, or are not in the file.
pub(super) fn describe_channels(lines: &mut Plan, plan: &ChannelsPlan, heading: &str) {
    lines.section(heading);
    for change in &plan.changes {
        match (&change.from, &change.to) {
            (Some(from), Some(to)) if change.is_downgrade() => lines.line('~', &change.channel, format!("{from} -> {to} (downgrade)")),
            (Some(from), Some(to)) => lines.line('~', &change.channel, format!("{from} -> {to}")),
            (None, Some(to)) => lines.line('+', &change.channel, to),
            (from, None) => {
                let from = from.as_deref().unwrap_or("?");
                lines.line('-', &change.channel, format!("{from}, removed: its users get no more updates"));
            }
        }
    }
    if plan.unchanged > 0 {
        lines.line('=', count(plan.unchanged, "channel"), "unchanged");
    }
    for loss in &plan.left_behind {
        let machines = loss.machines.join(", ");
        lines.line('!', &loss.channel, format!("{machines} users stay on {}", loss.from));
    }
    for channel in &plan.vanished {
        lines.line('!', channel, "not in the file; `channels --prune` removes it");
    }
}

/// The channel that most users have: `stable` if it is among them.
pub(super) fn usual<'c>(changes: impl Iterator<Item = &'c ChannelChange>) -> Option<&'c str> {
    let names: Vec<&str> = changes.map(|change| change.channel.as_str()).collect();
    names.iter().find(|name| name.ends_with("/stable")).or(names.first()).copied()
}

/// The command that installs a channel.
pub(super) fn users_run(publisher: &Publisher, channel: Option<&str>) -> String {
    let (Some(name), Some((group, channel))) = (&publisher.label().name, channel.and_then(|channel| channel.rsplit_once('/'))) else {
        return String::new();
    };
    format!("\nYour users run:\n  trdl update {name} {group} {channel}\n")
}
