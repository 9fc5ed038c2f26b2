//! OpenPGP: certificates, signing keys and detached signatures. Bytes and a `now` come in, values go out; a signer is
//! known only as sequoia's trait.

mod certificate;
mod generate;
mod gnupg;
mod life;
mod openssl_signer;
mod remote;
mod signature;
mod signing_key;
mod single;

pub use certificate::{Certificates, Standing};
pub use generate::{Algorithm, Generated, generate};
pub use life::{extend, extendable_from, vouch};
pub use remote::{DigestSignature, DigestSigner, KeyMaterial, certify, check, material_of};
pub use signature::{DetachedSignature, sign};
pub use signing_key::{SigningKey, Unlock, check_certificate, is_openpgp, public_certificate};
