//! Keys and their rotation.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Rotate {
    /// Which key
    #[arg(value_enum)]
    pub what: Rotated,
    /// The new key's URI [default: a new file beside the old one]
    #[arg(long, value_name = "URI", conflicts_with = "finish")]
    pub key: Option<String>,
    /// Leave a new key file unencrypted
    #[arg(long)]
    pub no_passphrase: bool,
    /// Drop the old key: every publisher has the new one
    #[arg(long)]
    pub finish: bool,
    /// Do both halves at once: nobody else publishes here
    #[arg(long, conflicts_with = "finish")]
    pub now: bool,
    /// With openpgp: sign this release again with the new key; `all` for every signature there is
    #[arg(long, value_name = "VERSION", conflicts_with = "finish")]
    pub resign: Vec<String>,
    /// With openpgp: the old key is lost or stolen and vouches for nothing
    #[arg(long, conflicts_with = "finish")]
    pub without_old: bool,
}

/// What can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Rotated {
    /// The key of the targets role, and of hashed bins that it signs
    Targets,
    /// The key of the snapshot
    Snapshot,
    /// The key of the timestamp
    Timestamp,
    /// The OpenPGP key that signs artifacts
    Openpgp,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum Key {
    /// Make a key file and print its public key
    #[command(after_help = "Example:\n  publish key new keys/ci.pem --no-passphrase")]
    New {
        /// Where it goes; must not exist
        file: PathBuf,
        /// The kind of key
        #[arg(long, value_enum, default_value_t = KeyType::Ed25519, value_name = "KIND")]
        kind: KeyType,
        /// Leave it unencrypted
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys of each role: what the root says, and where they are looked for here
    #[command(after_help = "Example:\n  publish key list")]
    List,
    /// Print the public key of a key, and what it may sign
    #[command(after_help = "Example:\n  publish key show keys/targets.pem")]
    Show {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print the public key of a key in a form for other tools
    #[command(after_help = "Examples:\n  publish key export keys/targets.pem\n  publish key export keys/openpgp.asc --form openpgp")]
    Export {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
        /// pem for openssl and most tools, json as TUF metadata holds it, openpgp for the certificate of an OpenPGP key
        #[arg(long, value_enum, default_value_t = KeyForm::Pem, value_name = "FORM")]
        form: KeyForm,
    },
    /// Make the OpenPGP certificate of a key that does not live in a file, certified by the key itself
    #[command(
        after_help = "The certificate goes into `openpgp_certificate` of the config, the key's URI into `openpgp`.\n\nExample:\n  publish key certify 'pkcs11:token=acme;object=openpgp?module-path=/usr/lib/softhsm/libsofthsm2.so' keys/openpgp.cert.asc --user-id 'acme releases'"
    )]
    Certify {
        /// The key's URI
        #[arg(value_name = "KEY")]
        key: String,
        /// Where the certificate goes; must not exist
        file: PathBuf,
        /// The user id
        #[arg(long, value_name = "TEXT")]
        user_id: String,
    },
    /// Have a key sign as roles and as OpenPGP need it, and verify what comes back.
    #[command(
        after_help = "Nothing is published. For keys in HSMs, agents and key services. AWS KMS is a preview, tested against an imitation, and\nOpenBao was not run against at all, Vault was: this is how you try yours.\n\nExample:\n  publish key check keys/targets.pem"
    )]
    Check {
        /// The key's URI or file
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give the OpenPGP key another expiry; the next publish brings its certificate to readers
    #[command(after_help = "WHEN is a date, a span such as 730d, or never.\n\nExample:\n  publish key extend 730d")]
    Extend {
        /// Until when it is valid
        #[arg(value_name = "WHEN")]
        until: String,
    },
    /// Encrypt a key file with another passphrase
    #[command(
        after_help = "The old passphrase is got as for every command. The new one comes from --new-passphrase-file, PUBLISH_NEW_PASSPHRASE or the\nterminal. Whatever form the file had, it is PKCS#8 then.\n\nExample:\n  publish key passphrase keys/targets.pem --no-passphrase"
    )]
    Passphrase {
        /// The key file
        file: PathBuf,
        /// Read the new passphrase from a file
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Leave it unencrypted
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}

/// A kind of key that TUF clients verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyType {
    /// What every TUF client reads
    Ed25519,
    /// For hardware that has no Ed25519
    P256,
    /// 3072 bits, for hardware that has neither
    Rsa,
}

/// A form of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyForm {
    /// SubjectPublicKeyInfo in PEM
    Pem,
    /// The key object of TUF metadata
    Json,
    /// An OpenPGP certificate
    Openpgp,
}
