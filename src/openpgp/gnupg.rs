//! What GnuPG makes of keys and signatures. Signatures are for people who run `gpg --verify`: a key of which GnuPG cannot
//! read the signatures is refused before it signs, and signatures that exist are reported.
//!
//! GnuPG demands a digest at least as long as the order of the curve or subgroup, and knows none of the algorithms that
//! RFC 9580 added, in any released version.

use openpgp::cert::ValidCert;
use openpgp::cert::prelude::ValidErasedKeyAmalgamation;
use openpgp::crypto::mpi::PublicKey;
use openpgp::packet::key::{KeyParts, KeyRole, PublicParts};
use openpgp::packet::{Key, Signature};
use openpgp::types::{Curve, HashAlgorithm};
use sequoia_openpgp as openpgp;

/// The kinds of version 4 keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    Dsa,
    Ed25519,
    P256,
    P384,
    P521,
    Brainpool256,
    Brainpool384,
    Brainpool512,
    Ed25519OfRfc9580,
    Ed448OfRfc9580,
    Other,
}

/// A kind of key, the shortest of our digests that GnuPG accepts with it, and which GnuPG reads it at all.
struct Row {
    kind: Kind,
    name: &'static str,
    digest: HashAlgorithm,
    gnupg_2_2: bool,
    gnupg_2_4: bool,
    /// Only for information: its users are advised to choose RSA.
    gnupg_1_4: bool,
}

const fn row(kind: Kind, name: &'static str, digest: HashAlgorithm, versions: (bool, bool, bool)) -> Row {
    let (gnupg_2_2, gnupg_2_4, gnupg_1_4) = versions;
    Row { kind, name, digest, gnupg_2_2, gnupg_2_4, gnupg_1_4 }
}

const ALL: (bool, bool, bool) = (true, true, true);
const SINCE_2: (bool, bool, bool) = (true, true, false);
const NONE: (bool, bool, bool) = (false, false, false);

/// The table; `tests/suite/gnupg.rs` proves it with the gpg of the machine.
static TABLE: [Row; 12] = [
    row(Kind::Rsa, "RSA", HashAlgorithm::SHA256, ALL),
    row(Kind::Dsa, "DSA", HashAlgorithm::SHA256, ALL),
    row(Kind::Ed25519, "Ed25519", HashAlgorithm::SHA256, SINCE_2),
    row(Kind::P256, "NIST P-256", HashAlgorithm::SHA256, SINCE_2),
    row(Kind::P384, "NIST P-384", HashAlgorithm::SHA384, SINCE_2),
    row(Kind::P521, "NIST P-521", HashAlgorithm::SHA512, SINCE_2),
    row(Kind::Brainpool256, "Brainpool P-256", HashAlgorithm::SHA256, SINCE_2),
    row(Kind::Brainpool384, "Brainpool P-384", HashAlgorithm::SHA384, SINCE_2),
    row(Kind::Brainpool512, "Brainpool P-512", HashAlgorithm::SHA512, SINCE_2),
    row(Kind::Ed25519OfRfc9580, "Ed25519 of RFC 9580 (algorithm 27)", HashAlgorithm::SHA256, NONE),
    row(Kind::Ed448OfRfc9580, "Ed448 of RFC 9580 (algorithm 28)", HashAlgorithm::SHA512, NONE),
    row(Kind::Other, "an unknown kind", HashAlgorithm::SHA512, NONE),
];

fn kind(key: &PublicKey) -> Kind {
    match key {
        PublicKey::RSA { .. } => Kind::Rsa,
        PublicKey::DSA { .. } => Kind::Dsa,
        PublicKey::EdDSA { curve: Curve::Ed25519, .. } => Kind::Ed25519,
        PublicKey::ECDSA { curve, .. } => match curve {
            Curve::NistP256 => Kind::P256,
            Curve::NistP384 => Kind::P384,
            Curve::NistP521 => Kind::P521,
            Curve::BrainpoolP256 => Kind::Brainpool256,
            Curve::BrainpoolP384 => Kind::Brainpool384,
            Curve::BrainpoolP512 => Kind::Brainpool512,
            _ => Kind::Other,
        },
        PublicKey::Ed25519 { .. } => Kind::Ed25519OfRfc9580,
        PublicKey::Ed448 { .. } => Kind::Ed448OfRfc9580,
        _ => Kind::Other,
    }
}

fn row_of(key: &PublicKey) -> &'static Row {
    let kind = kind(key);
    TABLE.iter().find(|row| row.kind == kind).unwrap_or(&TABLE[TABLE.len() - 1])
}

/// The digest that a key signs with: SHA-256, which is computed anyway, unless GnuPG demands a longer one.
pub(super) fn digest(key: &PublicKey) -> HashAlgorithm {
    row_of(key).digest
}

/// Why GnuPG cannot read what a key signs, if it cannot.
pub(super) fn fault<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> Option<String> {
    if key.version() != 4 {
        return Some(format!("version {}; only version 4 keys make signatures that gpg reads", key.version()));
    }
    let row = row_of(key.mpis());
    if row.kind == Kind::Other {
        return Some("of a kind that is not supported".into());
    }
    let readable = row.gnupg_2_2 && row.gnupg_2_4;
    (!readable).then(|| format!("{}; gpg cannot read signatures of this kind", row.name))
}

/// Why GnuPG rejects a signature by this key for its digest, if it does.
pub(super) fn digest_fault(signature: &Signature, key: &PublicKey) -> Option<String> {
    let row = row_of(key);
    let length = |hash: HashAlgorithm| hash.digest_size().unwrap_or(0);
    let given = signature.hash_algo();
    let short = length(given) < length(row.digest);
    (short).then(|| format!("gpg rejects {given} with {}, which needs {}", row.name, row.digest))
}

/// Why GnuPG cannot use a certificate, whatever its subkeys, if it cannot.
pub(super) fn certificate_fault(cert: &ValidCert<'_>) -> Option<String> {
    let primary = cert.primary_key();
    if let Some(why) = fault(primary.key()) {
        return Some(format!("its primary key is {why}"));
    }
    let mut rejected = Some("it has no user id; gpg does not import such certificates".to_owned());
    for user_id in cert.userids() {
        rejected = digest_fault(user_id.binding_signature(), primary.key().mpis());
        rejected.as_ref()?;
    }
    rejected
}

/// Why GnuPG cannot use a signing key of a certificate, if it cannot.
pub(super) fn key_fault(cert: &ValidCert<'_>, key: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Option<String> {
    let own = key.key();
    if own.fingerprint() == cert.fingerprint() {
        return fault(own);
    }
    let binding = key.binding_signature();
    let back = || binding.embedded_signatures().find_map(|signature| digest_fault(signature, own.mpis()));
    fault(own).or_else(|| digest_fault(binding, cert.primary_key().key().mpis())).or_else(back)
}

/// Whether GnuPG 1.4 reads what a key signs.
pub(super) fn old_gnupg_reads(key: &PublicKey) -> bool {
    row_of(key).gnupg_1_4
}
