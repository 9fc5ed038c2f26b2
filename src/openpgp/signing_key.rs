use super::gnupg;
use super::openssl_signer::{OpensslSigner, VerifyingSigner};
use super::remote::{DigestSigner, RemoteSigner, has_material};
use crate::error::{Error, Id, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::Cert;
use openpgp::cert::amalgamation::ValidAmalgamation;
use openpgp::cert::prelude::{CertParser, ValidErasedKeyAmalgamation};
use openpgp::crypto::{Password, S2K, Signer};
use openpgp::packet::Key;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use openpgp::parse::Parse;
use openpgp::policy::{AsymmetricAlgorithm, StandardPolicy};
use openpgp::serialize::SerializeInto;
use openpgp::types::{HashAlgorithm, RevocationStatus};
use sequoia_openpgp as openpgp;
use std::sync::Arc;
use std::time::SystemTime;

/// Asks for the passphrase of an OpenPGP key; called only when the key is encrypted.
pub type Unlock<'a> = &'a dyn Fn(&str) -> Result<zeroize::Zeroizing<Vec<u8>>>;

/// A secret key that may sign artifacts now, with the certificate that verifies what it signs.
#[derive(Clone)]
pub struct SigningKey {
    cert: Cert,
    key: Place,
}

/// Where the secret is.
#[derive(Clone)]
enum Place {
    /// In this process's memory.
    Here(Key<SecretParts, UnspecifiedRole>),
    /// With a signer of digests.
    Elsewhere(Key<PublicParts, UnspecifiedRole>, Arc<dyn DigestSigner>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

impl SigningKey {
    /// Reads a secret key as GnuPG exports it, armored or binary, and picks the newest key of it that may sign.
    ///
    /// Refused, each with its own message: no OpenPGP data, several keys, public only, revoked, expired, too weak, no signing
    /// key, wrong passphrase. `what` names the file.
    pub fn load(bytes: &[u8], what: &str, now: DateTime<Utc>, unlock: Unlock<'_>) -> Result<Self> {
        let cert = parse_one(bytes, what)?;
        if !cert.is_tsk() {
            return Err(Error::invalid(format!("{what} contains only a public key"))
                .detail(format!("certificate {}", cert.fingerprint()))
                .hint(format!("export the secret key: gpg --export-secret-keys --armor {} > FILE", cert.fingerprint())));
        }
        check_usable(&cert, what, now)?;
        let key = signing_key(&cert, what, now)?;
        let key = decrypt(key, what, unlock)?;
        Ok(Self { cert: cert.strip_secret_key_material(), key: Place::Here(key) })
    }

    /// The key of a certificate whose secret is elsewhere. `what` names the certificate's file.
    pub fn remote(bytes: &[u8], what: &str, now: DateTime<Utc>, signer: Arc<dyn DigestSigner>) -> Result<Self> {
        let cert = parse_one(bytes, what)?.strip_secret_key_material();
        check_usable(&cert, what, now)?;
        let material = signer.material()?;
        let policy = StandardPolicy::new();
        let valid = cert
            .with_policy(&policy, SystemTime::from(now))
            .map_err(|error| Error::invalid(format!("{what} cannot be used")).source(error))?;
        let signing = valid.keys().alive().revoked(false).for_signing().find(|key| has_material(key.key(), &material));
        let signing = signing.ok_or_else(|| {
            Error::invalid(format!(
                "the key in {} is not a signing key of the OpenPGP certificate {} in {what}",
                signer.origin(),
                cert.fingerprint()
            ))
            .hint("check that `openpgp_certificate` in the config is the certificate of this key")
        })?;
        if let Some(why) = gnupg::key_fault(&valid, &signing) {
            return Err(unreadable(&cert, what, &why));
        }
        let key = signing.key().clone();
        Ok(Self { key: Place::Elsewhere(key, signer), cert })
    }

    /// Has a key that is elsewhere sign something of no meaning: a PIN is requested before work begins, and a
    /// device that refuses is met before anything is written.
    pub fn try_out(&self) -> Result<()> {
        let Place::Elsewhere(_, signer) = &self.key else { return Ok(()) };
        let length = self.hash().digest_size().map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
        signer.sign_digest(self.hash(), &vec![0; length]).map(drop)
    }

    /// Has it sign something of no meaning, and verifies that with the certificate.
    pub fn check(&self, now: DateTime<Utc>) -> Result<()> {
        let failed = |error: anyhow::Error| {
            Error::new(Kind::Unexpected, format!("the OpenPGP key {} cannot sign", self.fingerprint())).source(error)
        };
        let mut state = self.hash().context().map_err(failed)?.for_signature(4);
        state.update(b"a trial");
        let signature = super::sign(self.signer()?.as_mut(), state.clone(), now)?;
        let mut certificates = super::Certificates::default();
        certificates.add(&self.armored_certificate()?, "the certificate")?;
        let signature = super::DetachedSignature::parse(&signature, "the trial's signature")?;
        certificates.verify(&signature, &state, now, "the trial").map(drop)
    }

    /// The fingerprint of the certificate, upper-case hex.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// When it expires, or its certificate, whichever is first; `None` is never.
    pub fn expires(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let policy = StandardPolicy::new();
        let own = match &self.key {
            Place::Here(key) => key.fingerprint(),
            Place::Elsewhere(key, _) => key.fingerprint(),
        };
        let valid = self.cert.with_policy(&policy, SystemTime::from(now)).ok()?;
        let key = valid.keys().find(|key| key.key().fingerprint() == own).and_then(|key| key.key_expiration_time());
        [valid.primary_key().key_expiration_time(), key].into_iter().flatten().min().map(DateTime::from)
    }

    /// Whether it may certify other keys: it is its certificate's primary, and states so.
    pub(super) fn certifies(&self, now: DateTime<Utc>) -> bool {
        let policy = StandardPolicy::new();
        let own = match &self.key {
            Place::Here(key) => key.fingerprint(),
            Place::Elsewhere(key, _) => key.fingerprint(),
        };
        let valid = self.cert.with_policy(&policy, SystemTime::from(now));
        own == self.cert.fingerprint() && valid.is_ok_and(|valid| valid.primary_key().for_certification())
    }

    /// The certificate to publish, armored.
    pub fn armored_certificate(&self) -> Result<Vec<u8>> {
        self.cert.armored().to_vec().map_err(|error| Error::new(Kind::Unexpected, "cannot write the OpenPGP certificate").source(error))
    }

    /// The digest its signatures are over; large curves need more than SHA-256, or gpg refuses them.
    pub fn hash(&self) -> HashAlgorithm {
        gnupg::digest(self.public())
    }

    /// Whether GnuPG 1.4 reads its signatures, which is known to read RSA and DSA only.
    pub fn old_gnupg_reads(&self) -> bool {
        gnupg::old_gnupg_reads(self.public())
    }

    fn public(&self) -> &openpgp::crypto::mpi::PublicKey {
        match &self.key {
            Place::Here(key) => key.mpis(),
            Place::Elsewhere(key, _) => key.mpis(),
        }
    }

    /// A signer of its own for one thread.
    pub fn signer(&self) -> Result<Box<dyn Signer + Send>> {
        let key = match &self.key {
            Place::Here(key) => key,
            Place::Elsewhere(key, signer) => return Ok(Box::new(RemoteSigner { public: key.clone(), signer: signer.clone() })),
        };
        if let Some(signer) = OpensslSigner::new(key)? {
            return Ok(Box::new(signer));
        }
        let pair = key.clone().into_keypair();
        let pair = pair.map_err(|error| Error::new(Kind::Unexpected, "cannot use the OpenPGP key").source(error))?;
        Ok(Box::new(VerifyingSigner(pair)))
    }
}

/// Whether a file holds an OpenPGP key or certificate, armored or not.
pub fn is_openpgp(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP") || bytes.first().is_some_and(|first| first & 0x80 != 0)
}

/// The only certificate in `bytes`.
pub(super) fn parse_one(bytes: &[u8], what: &str) -> Result<Cert> {
    let not_openpgp = |error: anyhow::Error| {
        Error::invalid(format!("{what} is not an OpenPGP key"))
            .source(error)
            .hint("a key made by GnuPG is exported with: gpg --export-secret-keys --armor KEY-ID > FILE")
    };
    let parser = CertParser::from_bytes(bytes).map_err(not_openpgp)?;
    let mut certs = parser.collect::<std::result::Result<Vec<Cert>, _>>().map_err(not_openpgp)?;
    match (certs.pop(), certs.len()) {
        (Some(cert), 0) => Ok(cert),
        (None, _) => Err(Error::invalid(format!("{what} contains no OpenPGP key"))),
        (Some(cert), others) => {
            let all = certs.iter().chain([&cert]).map(|cert| format!("certificate {}", cert.fingerprint()));
            Err(Error::invalid(format!("{what} contains {} OpenPGP keys; one is needed", others + 1))
                .details(all)
                .hint("export just one: gpg --export-secret-keys --armor FINGERPRINT > FILE"))
        }
    }
}

/// The public certificate in the file of a secret key, armored; no passphrase is needed.
pub fn public_certificate(bytes: &[u8], what: &str) -> Result<Vec<u8>> {
    let armored = parse_one(bytes, what)?.strip_secret_key_material().armored().to_vec();
    armored.map_err(|error| Error::new(Kind::Unexpected, format!("cannot write the OpenPGP certificate of {what}")).source(error))
}

/// Refuses a certificate whose signatures no client would accept now.
fn check_usable(cert: &Cert, what: &str, now: DateTime<Utc>) -> Result<()> {
    let id = cert.fingerprint();
    // First: a key of an unknown kind has no self-signature that could be verified.
    if let Some(why) = gnupg::fault(cert.primary_key().key()) {
        return Err(unreadable(cert, what, &format!("its primary key is {why}")));
    }
    let policy = StandardPolicy::new();
    let valid = cert.with_policy(&policy, SystemTime::from(now));
    let revocation = cert.revocation_status(&policy, SystemTime::from(now));
    if let RevocationStatus::Revoked(signatures) = revocation {
        let reason = signatures
            .first()
            .and_then(|signature| signature.reason_for_revocation())
            .map(|(code, text)| format!("{code}: {}", String::from_utf8_lossy(text)));
        return Err(Error::invalid(format!("the OpenPGP certificate {id} in {what} is revoked"))
            .details(reason)
            .hint("make or choose another key, set `openpgp:` in the config, and replace the signatures that the old one made: publish release VERSION --from DIR --resign"));
    }
    let made = DateTime::<Utc>::from(cert.primary_key().key().creation_time());
    if made > now {
        return Err(Error::invalid(format!("the OpenPGP certificate {id} in {what} was made in the future, at {made}"))
            .hint("correct this machine's clock, if it is behind"));
    }
    let valid = valid.map_err(|error| {
        let weak = cert.with_policy(&yesterdays_policy(), SystemTime::from(now)).is_ok();
        let why = if weak { "is too weak to sign with" } else { "has no valid self-signature" };
        Error::invalid(format!("the OpenPGP certificate {id} in {what} {why}"))
            .source(error)
            .hint("make a new key with GnuPG 2.2 or newer; in a repository that exists, `publish rotate openpgp` makes one")
    })?;
    valid.alive().map_err(|error| {
        Error::invalid(format!("the OpenPGP certificate {id} in {what} is expired or not yet valid"))
            .source(error)
            .hint(format!("extend it: gpg --quick-set-expire {id} 2y, then export it again"))
    })?;
    match gnupg::certificate_fault(&valid) {
        Some(why) => Err(unreadable(cert, what, &why)),
        None => Ok(()),
    }
}

fn unreadable(cert: &Cert, what: &str, why: &str) -> Error {
    Error::invalid(format!("the OpenPGP certificate {} in {what} makes no signatures that GnuPG reads: {why}", cert.fingerprint()))
        .hint("make a key of another kind: Ed25519 as GnuPG 2.2 makes it, or RSA; docs/keys.md#which-openpgp-key lists what GnuPG reads")
}

/// Refuses a certificate, or the file of a secret key, with which no signatures could be made now. No passphrase is needed.
pub fn check_certificate(bytes: &[u8], what: &str, now: DateTime<Utc>) -> Result<()> {
    let cert = parse_one(bytes, what)?;
    check_usable(&cert, what, now)?;
    if cert.is_tsk() {
        return signing_key(&cert, what, now).map(drop);
    }
    let policy = StandardPolicy::new();
    let Ok(valid) = cert.with_policy(&policy, SystemTime::from(now)) else { return Ok(()) };
    let faults: Vec<Option<String>> = valid.keys().alive().revoked(false).for_signing().map(|key| gnupg::key_fault(&valid, &key)).collect();
    match faults.iter().flatten().next() {
        Some(why) if faults.iter().all(Option::is_some) => Err(unreadable(&cert, what, why)),
        _ => Ok(()),
    }
}

/// What was good enough once; used only for the message of the refusal, never to accept a key.
fn yesterdays_policy() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    policy.accept_hash(HashAlgorithm::SHA1);
    policy.accept_asymmetric_algo(AsymmetricAlgorithm::RSA1024);
    policy.accept_asymmetric_algo(AsymmetricAlgorithm::DSA1024);
    policy
}

fn signing_key(cert: &Cert, what: &str, now: DateTime<Utc>) -> Result<Key<SecretParts, UnspecifiedRole>> {
    let policy = StandardPolicy::new();
    let valid =
        cert.with_policy(&policy, SystemTime::from(now)).map_err(|error| Error::invalid(format!("{what} cannot be used")).source(error))?;
    let mut refused = Vec::new();
    let mut best: Option<ValidErasedKeyAmalgamation<'_, PublicParts>> = None;
    for key in valid.keys().for_signing() {
        match fault(&key).or_else(|| gnupg::key_fault(&valid, &key)) {
            Some(why) => refused.push(format!("key {}: {why}", key.key().fingerprint())),
            None if best.as_ref().is_none_or(|best| key.key().creation_time() > best.key().creation_time()) => best = Some(key),
            None => {}
        }
    }
    let best = best.ok_or_else(|| {
        let why = if refused.is_empty() { "has no key that may sign" } else { "has no signing key that can be used" };
        Error::invalid(format!("the OpenPGP certificate {} in {what} {why}", cert.fingerprint()))
            .details(refused)
            .hint("export the signing subkey with its secret: gpg --export-secret-subkeys --armor KEY-ID! > FILE")
    })?;
    best.key()
        .clone()
        .parts_into_secret()
        .map_err(|error| Error::invalid(format!("{what} lacks the secret of its signing key")).source(error))
}

/// Why this key of a good certificate cannot sign, if it cannot.
fn fault(key: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Option<String> {
    if matches!(key.revocation_status(), RevocationStatus::Revoked(_)) {
        return Some("revoked".into());
    }
    if let Err(error) = key.alive() {
        return Some(format!("expired or not yet valid ({error})"));
    }
    if let Some(why) = gnupg::fault(key.key()) {
        return Some(why);
    }
    if !key.key().pk_algo().is_supported() {
        return Some(format!("algorithm {} is not supported", key.key().pk_algo()));
    }
    match key.key().optional_secret() {
        None => Some("its secret is not in the file".into()),
        Some(SecretKeyMaterial::Encrypted(secret)) if is_stub(secret.s2k()) => {
            Some("its secret is a stub (kept offline or on a card)".into())
        }
        Some(_) => None,
    }
}

/// GnuPG writes `gnu-dummy` in place of a secret that it does not have.
pub(super) fn is_stub(s2k: &S2K) -> bool {
    !s2k.is_supported()
}

fn decrypt(key: Key<SecretParts, UnspecifiedRole>, what: &str, unlock: Unlock<'_>) -> Result<Key<SecretParts, UnspecifiedRole>> {
    if !key.secret().is_encrypted() {
        return Ok(key);
    }
    let passphrase = unlock(what)?;
    // Sequoia's texts for a wrong passphrase vary with the garbage that comes out; none of them helps.
    key.decrypt_secret(&Password::from(passphrase.as_slice())).map_err(|_| {
        Error::new(Kind::Passphrase, format!("wrong passphrase for the OpenPGP key in {what}"))
            .id(Id::PassphraseWrong)
            .hint("give the right one with --openpgp-passphrase-file, --openpgp-passphrase-command or PUBLISH_OPENPGP_PASSPHRASE")
    })
}
