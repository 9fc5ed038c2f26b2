use crate::error::{Error, Kind, Result};
use openpgp::crypto::{Signer, mpi};
use openpgp::packet::Key;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use openpgp::types::{Curve, HashAlgorithm};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use sequoia_openpgp as openpgp;

/// Signs through OpenSSL with a key that is set up once. Sequoia's own backend sets it up for every signature, and leaves
/// out RSA's Chinese remainder parameters, without which RSA takes almost five times as long.
///
/// Every signature is verified before it is used: one with a computing fault must not reach clients, and would reveal the
/// secret key.
pub(super) struct OpensslSigner {
    public: Key<PublicParts, UnspecifiedRole>,
    pkey: PKey<Private>,
    kind: KeyKind,
}

enum KeyKind {
    Rsa,
    /// Ed25519 in the form of RFC 4880, which is what gpg 2.2 knows.
    LegacyEd25519,
    /// Ed25519 in the form of RFC 9580.
    Ed25519,
}

impl OpensslSigner {
    /// A signer for this key, `None` if it is of a kind that is left to sequoia.
    pub(super) fn new(key: &Key<SecretParts, UnspecifiedRole>) -> Result<Option<Self>> {
        let unusable = |why: &str| Error::new(Kind::Invalid, format!("the OpenPGP key {} cannot be used: {why}", key.fingerprint()));
        let kind = match key.mpis() {
            mpi::PublicKey::RSA { .. } => KeyKind::Rsa,
            mpi::PublicKey::EdDSA { curve: Curve::Ed25519, .. } => KeyKind::LegacyEd25519,
            mpi::PublicKey::Ed25519 { .. } => KeyKind::Ed25519,
            _ => return Ok(None),
        };
        let SecretKeyMaterial::Unencrypted(secret) = key.secret() else { return Err(unusable("it is still encrypted")) };
        let made = secret.map(|secret| match (key.mpis(), secret) {
            (mpi::PublicKey::RSA { e, n }, mpi::SecretKeyMaterial::RSA { d, p, q, u }) => {
                Some(rsa_key(n.value(), e.value(), d.value(), p.value(), q.value(), u.value()).map(Some))
            }
            (mpi::PublicKey::EdDSA { q, .. }, mpi::SecretKeyMaterial::EdDSA { scalar }) => {
                Some(ed25519_key(&scalar.value_padded(32), q.value().strip_prefix(&[0x40]).unwrap_or_default()))
            }
            (mpi::PublicKey::Ed25519 { a }, mpi::SecretKeyMaterial::Ed25519 { x }) => Some(ed25519_key(x, a)),
            _ => None,
        });
        let made = made.ok_or_else(|| unusable("its public and secret parts are of different kinds"))?;
        // An Ed25519 key with another's public half would give its secret away with the first signature.
        let pkey = made.map_err(|error| unusable("OpenSSL refuses it").source(error))?;
        let pkey = pkey.ok_or_else(|| unusable("its public and secret numbers do not match"))?;
        Ok(Some(Self { public: key.parts_as_public().clone(), pkey, kind }))
    }

    fn sign_rsa(&self, algorithm: &MdRef, digest: &[u8]) -> std::result::Result<Option<Vec<u8>>, ErrorStack> {
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.sign_init()?;
        ctx.set_rsa_padding(Padding::PKCS1)?;
        ctx.set_signature_md(algorithm)?;
        let mut signature = Vec::new();
        ctx.sign_to_vec(digest, &mut signature)?;
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.verify_init()?;
        ctx.set_rsa_padding(Padding::PKCS1)?;
        ctx.set_signature_md(algorithm)?;
        Ok(ctx.verify(digest, &signature)?.then_some(signature))
    }

    fn sign_ed25519(&self, digest: &[u8]) -> std::result::Result<Option<Vec<u8>>, ErrorStack> {
        let signature = openssl::sign::Signer::new_without_digest(&self.pkey)?.sign_oneshot_to_vec(digest)?;
        let good = openssl::sign::Verifier::new_without_digest(&self.pkey)?.verify_oneshot(&signature, digest)?;
        Ok(good.then_some(signature))
    }
}

/// OpenPGP's u is p⁻¹ mod q where OpenSSL wants q⁻¹ mod p: the primes change places.
fn rsa_key(n: &[u8], e: &[u8], d: &[u8], p: &[u8], q: &[u8], u: &[u8]) -> std::result::Result<PKey<Private>, ErrorStack> {
    let number = |bytes: &[u8]| -> std::result::Result<BigNum, ErrorStack> {
        let mut number = BigNum::from_slice(bytes)?;
        number.set_const_time();
        Ok(number)
    };
    let (d, p, q) = (number(d)?, number(p)?, number(q)?);
    let exponent = |prime: &BigNumRef| -> std::result::Result<BigNum, ErrorStack> {
        let mut less_one = prime.to_owned()?;
        less_one.sub_word(1)?;
        let mut exponent = BigNum::new_secure()?;
        exponent.nnmod(&d, &less_one, &mut *BigNumContext::new_secure()?)?;
        Ok(exponent)
    };
    let (dmq1, dmp1) = (exponent(&p)?, exponent(&q)?);
    let rsa = Rsa::from_private_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?, d, q, p, dmp1, dmq1, number(u)?)?;
    // Whether the numbers belong together shows with each signature, which is verified; a full check of the primes takes as
    // long as a hundred signatures.
    PKey::from_rsa(rsa)
}

fn ed25519_key(seed: &[u8], public: &[u8]) -> std::result::Result<Option<PKey<Private>>, ErrorStack> {
    let pkey = PKey::private_key_from_raw_bytes(seed, Id::ED25519)?;
    let fits = pkey.raw_public_key()? == public;
    Ok(fits.then_some(pkey))
}

impl Signer for OpensslSigner {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        let algorithm = match hash {
            HashAlgorithm::SHA256 => Md::sha256(),
            HashAlgorithm::SHA384 => Md::sha384(),
            HashAlgorithm::SHA512 => Md::sha512(),
            other => return Err(openpgp::Error::UnsupportedHashAlgorithm(other).into()),
        };
        let wrong = || openpgp::Error::InvalidOperation("the signature that was just made does not verify".into());
        Ok(match self.kind {
            KeyKind::Rsa => mpi::Signature::RSA { s: mpi::MPI::new(&self.sign_rsa(algorithm, digest)?.ok_or_else(wrong)?) },
            KeyKind::LegacyEd25519 => {
                let signature = self.sign_ed25519(digest)?.ok_or_else(wrong)?;
                let (r, s) = signature.split_at(32);
                mpi::Signature::EdDSA { r: mpi::MPI::new(r), s: mpi::MPI::new(s) }
            }
            KeyKind::Ed25519 => {
                let signature: [u8; 64] = self.sign_ed25519(digest)?.ok_or_else(wrong)?.try_into().map_err(|_| wrong())?;
                mpi::Signature::Ed25519 { s: Box::new(signature) }
            }
        })
    }
}

/// One of sequoia's own signers, whose signatures are verified before they leave as well.
pub(super) struct VerifyingSigner(pub(super) openpgp::crypto::KeyPair);

impl Signer for VerifyingSigner {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        self.0.public()
    }

    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        let signature = self.0.sign(hash, digest)?;
        self.0.public().verify(&signature, hash, digest)?;
        Ok(signature)
    }
}
