//! Files opened without a wait and read within limits: a pipe that nothing writes to, or an endless device, would stop a
//! command for ever.

mod durable;

pub use durable::{Readers, create, replace};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// No config, key, certificate, list or root that a user names is longer.
pub const GIVEN_FILE_LIMIT: u64 = 16 << 20;
/// How long a pipe may stay silent. A shell's `<(vault read …)` needs seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// Opens a regular file or directory; a pipe, a socket, a device or a link that leads to itself is `InvalidInput`.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    if file.metadata()?.file_type().is_fifo() { Err(refused()) } else { Ok(file) }
}

/// Reads a regular file whole.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that the user names: a regular file, or a pipe as shells make them of a command. More than `limit` bytes and
/// all other kinds of files are `InvalidInput`, and a pipe that stays silent for 30 seconds too.
pub fn read_given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_opened(&open_given(path)?, limit)
}

/// The same as text in UTF-8.
pub fn read_given_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_given(path, limit)?)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

/// Opens what [`read_given`] reads.
pub fn open_given(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    if file.metadata()?.is_dir() { Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory")) } else { Ok(file) }
}

/// Reads a file opened by [`open_given`] from its current position. The buffer never moves, so that a secret leaves no copies in
/// memory, unless a pipe or a growing file needs more space.
pub fn read_opened(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let too_long = |length| io::Error::new(ErrorKind::InvalidInput, format!("it has {length} bytes; no more than {limit} are read"));
    let metadata = file.metadata()?;
    if metadata.len() > limit {
        return Err(too_long(metadata.len().to_string()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default().max(4096) + 1);
    let mut limited = file.take(limit + 1);
    loop {
        match limited.read_to_end(&mut bytes) {
            // A pipe is empty and still open; or nothing has opened it for writing yet, which reads like its end.
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(file)?,
            Err(error) => return Err(error),
            Ok(0) if bytes.is_empty() && metadata.file_type().is_fifo() && !has_ended(file)? => wait(file)?,
            Ok(_) => break,
        }
    }
    if bytes.len() as u64 > limit { Err(too_long(format!("over {limit}"))) } else { Ok(bytes) }
}

fn open(path: &Path) -> io::Result<File> {
    use rustix::io::Errno;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| {
        let code = error.raw_os_error().map(Errno::from_raw_os_error);
        if matches!(code, Some(Errno::LOOP | Errno::NXIO | Errno::NODEV)) { refused() } else { error }
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_dir() || kind.is_fifo() { Ok(file) } else { Err(refused()) }
}

fn refused() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is not a regular file but a pipe, a socket, a device, or a link to itself")
}

/// Whether every process that wrote to a pipe has closed it. Before the first one opens it, the kernel reports nothing.
fn has_ended(pipe: &File) -> io::Result<bool> {
    let mut events = [PollFd::new(pipe, PollFlags::IN)];
    poll(&mut events, Some(&Timespec::default()))?;
    Ok(events[0].revents().contains(PollFlags::HUP))
}

fn wait(pipe: &File) -> io::Result<()> {
    let silence = Timespec { tv_sec: i64::try_from(SILENCE.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    let mut events = [PollFd::new(pipe, PollFlags::IN)];
    match poll(&mut events, Some(&silence)) {
        Ok(0) => {
            Err(io::Error::new(ErrorKind::InvalidInput, format!("it is a pipe, and nothing was written to it for {} s", SILENCE.as_secs())))
        }
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
