use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::Packet;
use openpgp::crypto::Signer;
use openpgp::crypto::hash::Context;
use openpgp::packet::Signature;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::Parse;
use openpgp::serialize::SerializeInto;
use openpgp::types::{HashAlgorithm, SignatureType};
use openpgp::{PacketPile, armor};
use sequoia_openpgp as openpgp;
use std::io::Read;
use std::time::SystemTime;

/// Makes a detached binary v4 signature over content from the hash state after it. Our signers verify what they sign.
///
/// Two runs never give the same bytes: the format carries a random salt.
pub fn sign(signer: &mut (dyn Signer + Send), state: Context, now: DateTime<Utc>) -> Result<Vec<u8>> {
    let key = signer.public().fingerprint();
    // The error of the key's holder describes best what failed there.
    let failed = |error: anyhow::Error| match error.downcast::<Error>() {
        Ok(failure) => failure,
        Err(error) => Error::new(Kind::Unexpected, format!("cannot sign with the OpenPGP key {key}")).source(error),
    };
    let builder = SignatureBuilder::new(SignatureType::Binary).set_signature_creation_time(SystemTime::from(now));
    let signature = builder.and_then(|builder| builder.sign_hash(signer, state)).map_err(failed)?;
    Packet::from(signature).to_vec().map_err(failed)
}

/// A detached signature as found.
#[derive(Debug)]
pub struct DetachedSignature {
    pub(super) packet: Signature,
}

impl DetachedSignature {
    /// Reads one signature, binary or armored. `what` names the file.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let broken = |why: &str| Error::new(Kind::Untrusted, format!("{what} is not a detached OpenPGP signature: {why}"));
        if let Some(why) = super::single::fault(bytes) {
            return Err(broken(why));
        }
        let pile = PacketPile::from_bytes(bytes).map_err(|error| broken("it cannot be parsed").source(error))?;
        let mut packets = pile.into_children();
        match (packets.next(), packets.next()) {
            (Some(Packet::Signature(packet)), None) if packet.typ() == SignatureType::Binary => Ok(Self { packet }),
            (Some(Packet::Signature(packet)), None) => Err(broken(&format!("its type is {}", packet.typ()))),
            (Some(Packet::Signature(_)), Some(_)) => Err(broken("more follows the signature")),
            _ => Err(broken("it contains something else")),
        }
    }

    /// Whether the bytes are ASCII armor; we write binary signatures only.
    pub fn is_armored(bytes: &[u8]) -> bool {
        let mut reader = armor::Reader::from_bytes(bytes, armor::ReaderMode::Tolerant(None));
        bytes.starts_with(b"-----BEGIN") && reader.read(&mut [0_u8; 1]).is_ok()
    }

    /// When it was made, as it states itself.
    pub fn made(&self) -> Option<DateTime<Utc>> {
        self.packet.signature_creation_time().map(DateTime::from)
    }

    /// The digest that the signed content must be fed into.
    pub fn hash(&self) -> HashAlgorithm {
        self.packet.hash_algo()
    }

    /// Whether the hash state after plain content can be used: version 4 hashes the content first.
    pub fn is_version_4(&self) -> bool {
        self.packet.version() == 4
    }
}
