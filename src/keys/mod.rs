//! Where secret keys are stored, by URI; the signer trait is all that the modules above use.

#[cfg(feature = "awskms")]
mod aws_kms;
mod device;
mod encoding;
mod file;
mod form;
mod go_tuf;
mod gpg;
mod open;
mod passphrase;
#[cfg(any(feature = "awskms", feature = "vault"))]
mod pauses;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod public;
mod securesystemslib;
mod signer;
mod software;
mod uri;
#[cfg(feature = "vault")]
mod vault;
#[cfg(feature = "vault")]
mod vault_server;
mod wrapped;

pub use file::{
    KEY_FILES_MISSING, change_passphrase, create, create_private_directory, read_passphrase, read_private, replace_private, unfinished,
    write_private,
};
pub use open::{FoundKey, found_in, found_in_open, load, load_all, load_for_openpgp, openpgp_certificate, read_secret, sign_all};
pub use passphrase::{Passphrases, Secret, Use, unlocked};
#[cfg(feature = "pkcs11")]
pub use pkcs11::Pkcs11Uri;
pub use public::{read_public, to_pem};
pub use signer::{RoleSigner, Signers};
pub use uri::KeyUri;
#[cfg(feature = "vault")]
pub use vault::VaultUri;
