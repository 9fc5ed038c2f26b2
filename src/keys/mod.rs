//! Where secret keys live, by URI. Today: encrypted files; the signer trait is all that the rooms above know.

mod file;
mod form;
mod go_tuf;
mod passphrase;
mod securesystemslib;
mod signer;
mod software;
mod uri;

pub use file::{create, load, read_private, write_private};
pub use passphrase::{Passphrases, Secret, Use};
pub use signer::{RoleSigner, Signers, sign_all};
pub use uri::KeyUri;
