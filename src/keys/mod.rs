//! Where secret keys live, by URI; the signer trait is all that the rooms above know.

mod file;
mod form;
mod go_tuf;
mod open;
mod passphrase;
mod public;
mod securesystemslib;
mod signer;
mod software;
mod uri;

pub use file::{change_passphrase, create, read_private, write_private};
pub use open::{FoundKey, found_in, load, load_all, read_secret, sign_all};
pub use passphrase::{Passphrases, Secret, Use};
pub use public::{read_public, to_pem};
pub use signer::{RoleSigner, Signers};
pub use uri::KeyUri;
