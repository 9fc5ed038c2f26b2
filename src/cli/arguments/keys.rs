//! Keys and their rotation.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Rotate {
    /// The key to replace
    #[arg(value_enum)]
    pub what: Rotated,
    /// The new key's URI [default: a new file beside the old one]
    #[arg(long, value_name = "URI", conflicts_with = "finish")]
    pub key: Option<String>,
    /// Do not encrypt a new key file
    #[arg(long)]
    pub no_passphrase: bool,
    /// Drop the old key, when every publisher and worker has the new one
    #[arg(long)]
    pub finish: bool,
    /// Make both roots in one run, if there is no other publisher
    #[arg(long, conflicts_with = "finish")]
    pub now: bool,
    /// With openpgp: sign this release again with the new key; `all` for every signature
    #[arg(long, value_name = "VERSION", conflicts_with = "finish")]
    pub resign: Vec<String>,
    /// With openpgp: do not certify the new key with the old one, which is lost or stolen
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
        /// The new file; must not exist
        file: PathBuf,
        /// The kind of key
        #[arg(long, value_enum, default_value_t = KeyType::Ed25519, value_name = "KIND")]
        kind: KeyType,
        /// Do not encrypt it
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys of each role, their holders and their URIs
    #[command(after_help = "Example:\n  publish key list")]
    List,
    /// Show a key: its public key, and which roles it may sign
    #[command(after_help = "Example:\n  publish key show keys/targets.pem")]
    Show {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print a public key for other tools
    #[command(after_help = "Examples:\n  publish key export keys/targets.pem\n  publish key export keys/openpgp.asc --form openpgp")]
    Export {
        /// The key's file or URI
        #[arg(value_name = "KEY")]
        key: String,
        /// pem for openssl and most tools, json as in TUF metadata, openpgp for the certificate of an OpenPGP key
        #[arg(long, value_enum, default_value_t = KeyForm::Pem, value_name = "FORM")]
        form: KeyForm,
    },
    /// Make the OpenPGP certificate of a key in a device
    #[command(
        after_help = "The key certifies itself. Put the certificate into `openpgp_certificate` of the config, and the key's URI into `openpgp`.\n\nExample:\n  publish key certify 'pkcs11:token=acme;object=openpgp?module-path=/usr/lib/softhsm/libsofthsm2.so' keys/openpgp.cert.asc --user-id 'acme releases'"
    )]
    Certify {
        /// The key's URI
        #[arg(value_name = "KEY")]
        key: String,
        /// The new file for the certificate; must not exist
        file: PathBuf,
        /// The user id
        #[arg(long, value_name = "TEXT")]
        user_id: String,
    },
    /// Make test signatures with a key and verify them
    #[command(
        after_help = "Nothing is published. The command works for key files and for keys in HSMs, agents and key services. AWS KMS and OpenBao are previews: check yours with this command.\n\nExample:\n  publish key check keys/targets.pem"
    )]
    Check {
        /// The key's URI or file
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Change the expiry of the OpenPGP key
    #[command(
        after_help = "WHEN is a date, a span such as 730d, or never. The next publish also publishes the certificate.\n\nExample:\n  publish key extend 730d"
    )]
    Extend {
        /// When it expires
        #[arg(value_name = "WHEN")]
        until: String,
    },
    /// Change the passphrase of a key file
    #[command(
        after_help = "The old passphrase comes from the same sources as for every command; the new one from --new-passphrase-file, PUBLISH_NEW_PASSPHRASE or the terminal. The file is converted to PKCS#8.\n\nExample:\n  publish key passphrase keys/targets.pem --no-passphrase"
    )]
    Passphrase {
        /// The key file
        file: PathBuf,
        /// Read the new passphrase from a file
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Do not encrypt it
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}

/// A kind of key that TUF clients verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyType {
    /// For every TUF client
    Ed25519,
    /// For hardware without Ed25519
    P256,
    /// 3072 bits, for hardware without both
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
