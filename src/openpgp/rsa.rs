use crate::failure::{Failure, Kind, Result};
use openpgp::crypto::{Signer, mpi};
use openpgp::packet::Key;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use openpgp::types::HashAlgorithm;
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use sequoia_openpgp as openpgp;

/// Signs with RSA through OpenSSL, with the Chinese remainder parameters that sequoia's own backend leaves out; that is
/// almost five times the rate.
pub(super) struct RsaSigner {
    public: Key<PublicParts, UnspecifiedRole>,
    pkey: PKey<Private>,
}

impl RsaSigner {
    pub(super) fn new(key: &Key<SecretParts, UnspecifiedRole>) -> Result<Self> {
        let unusable = |why: &str| Failure::new(Kind::Invalid, format!("the RSA key {} cannot be used: {why}", key.fingerprint()));
        let mpi::PublicKey::RSA { e, n } = key.mpis() else { return Err(unusable("its public part is not RSA")) };
        let SecretKeyMaterial::Unencrypted(secret) = key.secret() else { return Err(unusable("it is still encrypted")) };
        let rsa = secret.map(|secret| match secret {
            mpi::SecretKeyMaterial::RSA { d, p, q, u } => {
                Some(private_key(n.value(), e.value(), d.value(), p.value(), q.value(), u.value()))
            }
            _ => None,
        });
        let rsa =
            rsa.ok_or_else(|| unusable("its secret part is not RSA"))?.map_err(|error| unusable("OpenSSL refuses it").source(error))?;
        // A damaged key would give signatures from which its secret can be computed.
        if !rsa.check_key().unwrap_or(false) {
            return Err(unusable("its numbers do not belong together"));
        }
        let pkey = PKey::from_rsa(rsa).map_err(|error| unusable("OpenSSL refuses it").source(error))?;
        Ok(Self { public: key.parts_as_public().clone(), pkey })
    }

    fn sign_digest(&self, digest: MessageDigest, bytes: &[u8]) -> std::result::Result<Vec<u8>, ErrorStack> {
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.sign_init()?;
        ctx.set_rsa_padding(Padding::PKCS1)?;
        ctx.set_signature_md(openssl::md::Md::from_nid(digest.type_()).ok_or_else(ErrorStack::get)?)?;
        let mut signature = Vec::new();
        ctx.sign_to_vec(bytes, &mut signature)?;
        Ok(signature)
    }
}

/// OpenPGP's u is p⁻¹ mod q where OpenSSL wants q⁻¹ mod p: the primes change places.
fn private_key(n: &[u8], e: &[u8], d: &[u8], p: &[u8], q: &[u8], u: &[u8]) -> std::result::Result<Rsa<Private>, ErrorStack> {
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
    Rsa::from_private_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?, d, q, p, dmp1, dmq1, number(u)?)
}

impl Signer for RsaSigner {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        let algorithm = match hash {
            HashAlgorithm::SHA256 => MessageDigest::sha256(),
            HashAlgorithm::SHA384 => MessageDigest::sha384(),
            HashAlgorithm::SHA512 => MessageDigest::sha512(),
            other => return Err(openpgp::Error::UnsupportedHashAlgorithm(other).into()),
        };
        Ok(mpi::Signature::RSA { s: mpi::MPI::new(&self.sign_digest(algorithm, digest)?) })
    }
}
