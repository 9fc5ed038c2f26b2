//! Key files: PKCS#8 PEM that openssl reads, encrypted with scrypt and AES-256 unless the user declines; mode 0600.
//!
//! OpenSSL 3.0 opens neither scrypt beyond N=2^14 nor the PKCS#8 v2 form with the public key inside, so we write
//! exactly N=2^14 and the 48-byte v1 form. `form` lists what we read.

use super::software::Material;
use super::{Passphrases, Secret, form};
use crate::error::{Error, Id, Kind, Result};
use crate::files::{self, Readers, open_given, read_opened};
use crate::metadata::KeyKind;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{LineEnding, PrivateKeyInfoRef, SecretDocument};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The fixed start of the 48-byte PKCS#8 v1 form of an Ed25519 key; the seed follows.
const V1_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// No key file is longer; a wrong file is noticed before it is read.
const MAX_KEY_FILE: u64 = 1 << 20;

/// What to do where a key file is not where it should be.
pub const KEY_FILES_MISSING: &str =
    "restore the file from the backup of the publisher's directory; without a backup: docs/recovery.md#a-file-of-the-publisher-is-missing";

/// Makes a new key file; one that exists is never overwritten but an error of kind [`Kind::Conflict`].
pub fn create(path: &Path, kind: KeyKind, passphrase: Option<&Secret>) -> Result<()> {
    save(path, &Material::generate(kind)?, passphrase)
}

/// The same for a key that exists already.
pub(super) fn save(path: &Path, key: &Material, passphrase: Option<&Secret>) -> Result<()> {
    write_private(path, to_pem(key, passphrase)?.as_bytes())
}

/// Writes a key file anew under another passphrase, or none, as PKCS#8 whatever form it had.
pub fn change_passphrase(path: &Path, passphrases: &dyn Passphrases, new: impl FnOnce() -> Result<Option<Secret>>) -> Result<()> {
    let key = form::read(&read_private(path)?, &path.display().to_string(), passphrases)?;
    // The old one is requested first.
    let pem = to_pem(&key, new()?.as_ref())?;
    replace_private(path, pem.as_bytes())
}

/// Writes a key file anew, whole or not at all.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    files::replace(path, Some(&unfinished_name()), bytes, Readers::Owner)
        .map_err(|error| Error::io("replace the key file", path.display(), error))
}

fn to_pem(key: &Material, passphrase: Option<&Secret>) -> Result<Zeroizing<String>> {
    let failed = |why: &str| Error::new(Kind::Unexpected, format!("cannot write a key: {why}"));
    let der = match key {
        Material::Ed25519(seed) => Zeroizing::new([V1_PREFIX.as_slice(), seed.as_slice()].concat()),
        Material::Openssl(key) => Zeroizing::new(key.private_key_to_pkcs8().map_err(|error| failed("OpenSSL").source(error))?),
    };
    match passphrase {
        None => SecretDocument::try_from(der.as_slice())
            .map_err(pkcs8::Error::from)
            .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(pkcs8::Error::from))
            .map_err(|error| failed(&error.to_string())),
        Some(passphrase) => encrypt(&der, passphrase).map_err(|error| failed(&error)),
    }
}

fn encrypt(der: &[u8], passphrase: &Secret) -> std::result::Result<Zeroizing<String>, String> {
    let mut salt = [0_u8; 16];
    let mut iv = [0_u8; 16];
    openssl::rand::rand_bytes(&mut salt).and_then(|()| openssl::rand::rand_bytes(&mut iv)).map_err(|error| error.to_string())?;
    let cost = scrypt::Params::new(14, 8, 1).map_err(|error| error.to_string())?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|error| error.to_string())?;
    let info = PrivateKeyInfoRef::try_from(der).map_err(|error| error.to_string())?;
    let document = info.encrypt_with_params(parameters, passphrase.expose()).map_err(|error| error.to_string())?;
    document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(|error| error.to_string())
}

/// Reads a file that only its owner may read.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let file = open_given(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let failure = Error::io("open", format!("the key file {}", path.display()), error);
        if missing { failure.hint(KEY_FILES_MISSING) } else { failure }
    })?;
    read_open(&file, path)
}

/// Reads a file with a passphrase, which only its owner may read; or a pipe, as shells make them of a command.
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let what = format!("the passphrase file {}", path.display());
    let file = open_given(path).map_err(|error| Error::io("read", &what, error))?;
    let metadata = file.metadata().map_err(|error| Error::io("read", &what, error))?;
    if metadata.is_file() {
        check_private(&metadata, &what, path).map_err(|failure| {
            failure.hint(format!("if its mode is not yours to change: --passphrase-command 'cat {}'", path.display()))
        })?;
    }
    read_opened(&file, MAX_KEY_FILE).map(Zeroizing::new).map_err(|error| Error::io("read", &what, error))
}

fn check_private(metadata: &Metadata, what: &str, path: &Path) -> Result<()> {
    if metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        format!("{what} can be read or written by others (mode {:04o})", metadata.permissions().mode() & 0o7777),
    )
    .id(Id::KeyFileExposed)
    .hint(format!("chmod 600 {}", path.display())))
}

/// Makes a directory that only its owner may use, and those above it that are missing, whatever the umask.
pub fn create_private_directory(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), create_private_directory)?;
    let failed = |error| Error::io("make the directory", path.display(), error);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::invalid(format!("{} exists and is not a directory", path.display())))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The same for a file that is open; the path is for messages.
pub(super) fn read_open(file: &File, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let what = format!("the key file {}", path.display());
    let metadata = file.metadata().map_err(|error| Error::io("read", &what, error))?;
    if !metadata.is_file() {
        return Err(Error::invalid(format!("{what} is not a regular file")));
    }
    check_private(&metadata, &what, path)?;
    read_opened(file, MAX_KEY_FILE).map(Zeroizing::new).map_err(|error| Error::io("read", &what, error))
}

/// What a key file is called until it is whole, with the process's id after it.
const UNFINISHED: &str = ".publish-key-";

fn unfinished_name() -> String {
    format!("{UNFINISHED}{}", std::process::id())
}

/// What killed runs left in a directory: secret keys that nothing uses. One whose process runs is not among them.
pub fn unfinished(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_left = |name: &OsStr| {
        let process = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED)).and_then(|id| id.parse().ok());
        let process = process.and_then(rustix::process::Pid::from_raw);
        process.is_some_and(|process| rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH))
    };
    entries.filter(|entry| is_left(&entry.file_name())).map(|entry| entry.path()).collect()
}

/// Writes a new file that only its owner may read; an existing one is left alone and reported as a conflict.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = path.display();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written aside and linked into place: a killed run leaves either no key or a whole one.
    let temporary = directory.join(unfinished_name());
    unfinished(directory).iter().for_each(|path| drop(std::fs::remove_file(path)));
    let written = files::create(path, &temporary, bytes, Readers::Owner);
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::new(Kind::Conflict, format!("{what} exists already; key files are never overwritten")),
        _ => Error::io("write the key file", what, error),
    })
}
