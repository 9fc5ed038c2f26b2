use crate::error::{Kind, Result};
use std::cell::RefCell;
use zeroize::Zeroizing;

/// Secret bytes: wiped when dropped, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the moment of use.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a passphrase is for; OpenPGP keys often have one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// The key files of TUF roles.
    Roles,
    /// The OpenPGP key.
    OpenPgp,
}

/// Where passphrases come from: a file, a command, a variable or a prompt. Asked only when a key is encrypted.
pub trait Passphrases: Send + Sync {
    /// The passphrase that opens `what`.
    fn get(&self, purpose: Use, what: &str) -> Result<Secret>;

    /// Another passphrase, after the last one did not open `what`; `None` where there is none to try.
    fn again(&self, _purpose: Use, _what: &str) -> Result<Option<Secret>> {
        Ok(None)
    }

    /// The passphrase for a new key, requested twice on a terminal.
    fn choose(&self, purpose: Use) -> Result<Secret>;
}

/// Opens something that may be encrypted: `open` gets a function that returns the passphrase. While it fails with a wrong
/// one, it is tried again with the next that there is.
pub fn unlocked<T>(passphrases: &dyn Passphrases, purpose: Use, open: impl Fn(&dyn Fn(&str) -> Result<Secret>) -> Result<T>) -> Result<T> {
    let tried = RefCell::new(None);
    let mut result = open(&|what| {
        let secret = passphrases.get(purpose, what)?;
        *tried.borrow_mut() = Some(what.to_owned());
        Ok(secret)
    });
    let what = tried.into_inner();
    while let (Err(failure), Some(what)) = (&result, &what) {
        if failure.kind != Kind::Passphrase {
            break;
        }
        match passphrases.again(purpose, what)? {
            Some(secret) => result = open(&|_| Ok(secret.clone())),
            None => break,
        }
    }
    result
}
