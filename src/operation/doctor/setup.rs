//! The files of the publisher.

use super::check::{Checklist, Item, Verdict};
use super::{DoctorRequest, Publisher};
use crate::channels::ChannelsFile;
use crate::error::Kind;
use crate::keys::read_passphrase;
use crate::metadata::trust::{AtExpiry, TrustedMetadata};
use crate::operation::publisher::Reading;
use rustix::fs::{Access, access};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const OTHERS_WRITE: u32 = 0o002;

/// Gives the pinned root, if it can be used.
pub(super) fn check(publisher: &Publisher, request: &DoctorRequest, list: &mut Checklist) -> Option<Vec<u8>> {
    check_config(&request.config, list);
    check_channels(request, list);
    check_passphrases(&request.passphrase_files, list);
    let pinned = check_pinned(publisher, list);
    check_state(publisher, pinned.as_deref(), list);
    pinned
}

fn check_config(config: &Path, list: &mut Checklist) {
    let shown = config.display();
    match std::fs::metadata(config) {
        Ok(there) if there.mode() & OTHERS_WRITE != 0 => list.warning(
            Item::Config,
            format!("{shown} can be written by every user of this machine, and it names commands that are run"),
            format!("chmod o-w {shown}"),
        ),
        _ => list.ok(Item::Config, shown.to_string()),
    }
}

fn check_channels(request: &DoctorRequest, list: &mut Checklist) {
    let (file, here) = (request.channels.display(), request.channels_here.display());
    match ChannelsFile::read(&request.channels) {
        Ok(found) => list.ok(
            Item::ChannelsFile,
            match found.assignments.len() {
                1 => format!("{file} lists 1 channel"),
                number => format!("{file} lists {number} channels"),
            },
        ),
        Err(failure) if failure.kind == Kind::NotFound => list.not_checked_but(
            Item::ChannelsFile,
            format!("{file} does not exist; `publish channels` needs it, `publish release` does not"),
            format!("write {file}, or set `channels:` in the config"),
        ),
        Err(failure) => list.failure(Item::ChannelsFile, Verdict::Failed, &failure, "correct these lines"),
    }
    let same = |a: &Path, b: &Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if !request.channels_here.exists() || same(&request.channels_here, &request.channels) {
        return list.ok(Item::OtherChannelsFile, "there is none in the working directory");
    }
    list.warning(
        Item::OtherChannelsFile,
        format!("{here} in the working directory is not used: the config names {file}"),
        format!("to publish it: publish channels --file {here}; to use it always: `channels:` in the config"),
    );
}

fn check_passphrases(files: &[std::path::PathBuf], list: &mut Checklist) {
    if files.is_empty() {
        list.not_checked(Item::PassphraseFile, "no passphrase file is configured");
    }
    for file in files {
        let shown = file.display().to_string();
        // What is in a pipe can be read once, and the keys need it.
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            list.not_checked(Item::PassphraseFile, format!("{shown} is a pipe or a device: it is read once, for the keys"));
            continue;
        }
        match read_passphrase(file) {
            Ok(content) if content.trim_ascii().is_empty() => {
                list.failed(Item::PassphraseFile, format!("{shown} is empty"), "write the passphrase into it as one line");
            }
            Ok(_) => list.ok(Item::PassphraseFile, shown),
            Err(failure) => {
                list.failure(Item::PassphraseFile, Verdict::Failed, &failure, "restore the file, or correct its name in the config")
            }
        }
    }
}

/// Whether it is the root of the repository is part of the repository's own check.
fn check_pinned(publisher: &Publisher, list: &mut Checklist) -> Option<Vec<u8>> {
    let shown = publisher.pinned_root.display();
    let pinned = publisher.pinned().and_then(|pinned| TrustedMetadata::pin(&pinned, AtExpiry::Report(publisher.now())).map(|_| pinned));
    pinned
        .inspect_err(|failure| {
            let otherwise = format!("restore {shown} from a backup: docs/recovery.md#a-file-of-the-publisher-is-missing");
            list.failure(Item::PinnedRoot, Verdict::Failed, failure, &otherwise);
        })
        .ok()
}

fn check_state(publisher: &Publisher, pinned: Option<&[u8]>, list: &mut Checklist) {
    let state = &publisher.memory.state;
    if let Some((path, error)) = state.path().and_then(unwritable) {
        return list.failed(
            Item::State,
            format!("{} cannot be written by this user ({error}): what is published is not remembered", path.display()),
            "give the directory to the user that publishes, or set `state:` in the config to another place",
        );
    }
    let keep = if state.is_shared() {
        "publish release, channels or refresh writes it: docs/recovery.md#the-memory-of-versions-is-missing"
    } else {
        "keep the file between runs, in CI in a cache: docs/recovery.md#the-memory-of-versions-is-missing"
    };
    let unnoticed = match &publisher.memory.recall.public_url {
        Some(url) => format!("before the next publish, only a comparison with {url} shows a rollback"),
        None => "a rollback of the repository before the next publish would not be detected".to_owned(),
    };
    match state.read_again() {
        Reading::Missing => list.warning(Item::State, format!("{state} is missing: {unnoticed}"), keep),
        Reading::Unreachable(why) => list.failed(
            Item::State,
            format!("{state} cannot be read: {why}"),
            "check the network, the credentials, and `state` in the config: docs/stores.md",
        ),
        Reading::Broken => list.warning(
            Item::State,
            format!("{state} cannot be read as a state document: {unnoticed}"),
            format!("restore {state} from a backup, or remove it"),
        ),
        Reading::Known(_) => match pinned.and_then(|pinned| publisher.seen(pinned)) {
            Some(seen) => list.ok(Item::State, format!("{state} remembers timestamp {}", seen.versions.timestamp)),
            None => list.warning(Item::State, format!("{state} has no versions of this repository at this location: {unnoticed}"), keep),
        },
    }
}

/// What this user cannot write of a file and its directory.
fn unwritable(file: &Path) -> Option<(&Path, rustix::io::Errno)> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [(directory, Access::WRITE_OK | Access::EXEC_OK), (file, Access::WRITE_OK)]
        .into_iter()
        .filter(|(path, _)| path.exists())
        .find_map(|(path, wanted)| access(path, wanted).err().map(|error| (path, error)))
}
