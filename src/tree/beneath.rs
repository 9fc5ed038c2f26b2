//! Opening beneath a directory without following links: by `openat2` where the kernel has it, else component by component.
//! Both refuse a link in any component, `..`, and on request what lies on another file system.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::Result;
use std::path::{Component, Path};

/// How files are opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One call resolves the whole path.
    Whole,
    /// One call for each component; kernels before 5.6, and sandboxes that refuse `openat2`.
    Stepwise,
}

/// Renames elsewhere make `openat2` give up now and then.
const ATTEMPTS: usize = 16;

impl Way {
    /// What the kernel offers.
    pub(super) fn of(root: BorrowedFd<'_>) -> Self {
        match openat2(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve(None)) {
            Ok(_) => Self::Whole,
            // Whatever the reason: the other way is as strict.
            Err(_) => Self::Stepwise,
        }
    }
}

fn resolve(device: Option<u64>) -> ResolveFlags {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if device.is_some() { flags | ResolveFlags::NO_XDEV } else { flags }
}

/// Opens a relative path; with a device, only on that one.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, device: Option<u64>, way: Way) -> Result<OwnedFd> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => return Err(Errno::XDEV.into()),
        }
    }
    match way {
        Way::Stepwise => stepwise(root, &parts, flags, device),
        Way::Whole => {
            let path = if parts.is_empty() { Path::new(".") } else { path };
            for _ in 0..ATTEMPTS {
                match openat2(root, path, flags, Mode::empty(), resolve(device)) {
                    Err(Errno::AGAIN) => {}
                    other => return Ok(other?),
                }
            }
            Err(Errno::AGAIN.into())
        }
    }
}

fn stepwise(root: BorrowedFd<'_>, parts: &[&OsStr], flags: OFlags, device: Option<u64>) -> Result<OwnedFd> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (last, above) = parts.split_last().map_or((OsStr::new("."), &[][..]), |(last, above)| (*last, above));
    let mut at: Option<OwnedFd> = None;
    for part in above {
        let next = openat(at.as_ref().map_or(root, AsFd::as_fd), *part, through, Mode::empty())?;
        check_device(&next, device)?;
        at = Some(next);
    }
    let opened = openat(at.as_ref().map_or(root, AsFd::as_fd), last, flags, Mode::empty())?;
    check_device(&opened, device)?;
    Ok(opened)
}

fn check_device(opened: &OwnedFd, device: Option<u64>) -> Result<()> {
    let Some(device) = device else { return Ok(()) };
    if fstat(opened)?.st_dev == device { Ok(()) } else { Err(Errno::XDEV.into()) }
}
