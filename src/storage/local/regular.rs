//! Regular files, opened without a wait: a pipe without a writer would stop a command for ever.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file or directory; a pipe, a socket, a device or a link that leads to itself is `InvalidInput`.
pub(super) fn open(path: &Path) -> io::Result<File> {
    use rustix::io::Errno;
    let refused = || io::Error::new(ErrorKind::InvalidInput, "it is a pipe, socket, device or link to itself, and no regular file");
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| {
        let code = error.raw_os_error().map(Errno::from_raw_os_error);
        if matches!(code, Some(Errno::LOOP | Errno::NXIO | Errno::NODEV)) { refused() } else { error }
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_dir() { Ok(file) } else { Err(refused()) }
}

/// Reads a regular file whole.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
