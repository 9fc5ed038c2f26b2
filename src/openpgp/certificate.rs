use super::DetachedSignature;
use super::gnupg;
use super::signing_key::parse_one;
use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use openpgp::Cert;
use openpgp::crypto::hash::Context;
use openpgp::policy::StandardPolicy;
use openpgp::types::RevocationStatus;
use sequoia_openpgp as openpgp;
use std::time::SystemTime;

/// The certificates that a user verifies signatures with.
#[derive(Debug, Default)]
pub struct Certificates(Vec<Cert>);

/// The state of a certificate today, apart from any signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Usable.
    Good,
    /// Its owner revoked it: clients refuse its signatures or warn about them.
    Revoked,
    /// Past its expiry; what it signed before stays good.
    Expired,
    /// Its primary key was made after `now`: a clock is wrong.
    NotYet(DateTime<Utc>),
    /// Refused by today's cryptographic policy.
    Weak,
}

impl Certificates {
    /// Adds a public certificate and returns its fingerprint; `what` names the file.
    pub fn add(&mut self, bytes: &[u8], what: &str) -> Result<String> {
        let cert = parse_one(bytes, what)?;
        let fingerprint = cert.fingerprint().to_hex();
        self.0.push(cert.strip_secret_key_material());
        Ok(fingerprint)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The state of each certificate at `now`, by fingerprint.
    pub fn standings(&self, now: DateTime<Utc>) -> impl Iterator<Item = (String, Standing)> {
        self.0.iter().map(move |cert| (cert.fingerprint().to_hex(), standing(cert, now)))
    }

    /// Until when each certificate can make signatures, by fingerprint; `None` is for ever. One that cannot make any now is left
    /// out.
    pub fn signing_ends(&self, now: DateTime<Utc>) -> Vec<(String, Option<DateTime<Utc>>)> {
        let policy = StandardPolicy::new();
        let end = |cert: &Cert| {
            let valid = cert.with_policy(&policy, SystemTime::from(now)).ok()?;
            let primary = valid.primary_key().key_expiration_time();
            let keys = valid.keys().alive().revoked(false).for_signing();
            // A key without an end of its own lasts as long as the certificate.
            let ends = keys.map(|key| [primary, key.key_expiration_time()].into_iter().flatten().min());
            let last = ends.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))?;
            Some((cert.fingerprint().to_hex(), last.map(DateTime::from)))
        };
        self.0.iter().filter_map(end).collect()
    }

    /// The certificates with which GnuPG verifies nothing, by fingerprint, with the reason.
    pub fn unreadable_by_gnupg(&self, now: DateTime<Utc>) -> Vec<(String, String)> {
        let policy = StandardPolicy::new();
        let fault = |cert: &Cert| {
            // One that is refused by policy, or too new, has its own finding.
            let valid = cert.with_policy(&policy, SystemTime::from(now)).ok()?;
            let unusable = || {
                let faults: Vec<Option<String>> = valid.keys().for_signing().map(|key| gnupg::key_fault(&valid, &key)).collect();
                faults.iter().all(Option::is_some).then(|| faults.into_iter().flatten().next()).flatten()
            };
            gnupg::certificate_fault(&valid).or_else(unusable)
        };
        self.0.iter().filter_map(|cert| Some((cert.fingerprint().to_hex(), fault(cert)?))).collect()
    }

    /// Why GnuPG rejects a signature that is good by the standard, if it does.
    pub fn gnupg_rejects(&self, signature: &DetachedSignature) -> Option<String> {
        let issuers = signature.packet.get_issuers();
        let mut keys = self.0.iter().flat_map(|cert| cert.keys());
        let key = keys.find(|key| issuers.iter().any(|issuer| key.key().key_handle().aliases(issuer)))?;
        gnupg::fault(key.key()).or_else(|| gnupg::digest_fault(&signature.packet, key.key().mpis()))
    }

    /// Checks a signature over content whose hash state is given: made by a signing key of one of the certificates that
    /// was valid when it signed, even if that is after `now`. Returns the certificate's fingerprint.
    pub fn verify(&self, signature: &DetachedSignature, state: &Context, now: DateTime<Utc>, what: &str) -> Result<String> {
        let refused = |why: String| Error::new(Kind::Untrusted, format!("{what}: {why}"));
        let signature = &signature.packet;
        let policy = StandardPolicy::new();
        let made = signature.signature_creation_time().ok_or_else(|| refused("the signature has no creation time".into()))?;
        let issuers = signature.get_issuers();
        let cert = self.0.iter().find(|cert| cert.keys().any(|key| issuers.iter().any(|issuer| key.key().key_handle().aliases(issuer))));
        let Some(cert) = cert else {
            let who: Vec<String> = issuers.iter().map(ToString::to_string).collect();
            return Err(refused(format!("no certificate for its signer {} is known", who.join(", "))));
        };
        if standing(cert, now) == Standing::Revoked {
            return Err(refused(format!("its certificate {} is revoked", cert.fingerprint())));
        }
        let valid = cert
            .with_policy(&policy, made)
            .map_err(|error| refused(format!("its certificate {} is not valid", cert.fingerprint())).source(error))?;
        let mut keys = valid.keys().alive().revoked(false).for_signing();
        let key = keys.find(|key| issuers.iter().any(|issuer| key.key().key_handle().aliases(issuer)));
        let key = key
            .ok_or_else(|| refused(format!("the key in {} that made it was expired, revoked or not a signing key", cert.fingerprint())))?;
        policy_accepts(signature).map_err(|error| refused("today's policy refuses its digest".into()).source(error))?;
        signature
            .verify_hash(key.key(), state.clone())
            .map_err(|error| refused(format!("it is not {}'s signature over this file", cert.fingerprint())).source(error))?;
        Ok(cert.fingerprint().to_hex())
    }
}

fn policy_accepts(signature: &openpgp::packet::Signature) -> openpgp::Result<()> {
    use openpgp::policy::{HashAlgoSecurity, Policy};
    StandardPolicy::new().signature(signature, HashAlgoSecurity::CollisionResistance)
}

fn standing(cert: &Cert, now: DateTime<Utc>) -> Standing {
    let policy = StandardPolicy::new();
    let at = SystemTime::from(now);
    if matches!(cert.revocation_status(&policy, at), RevocationStatus::Revoked(_)) {
        return Standing::Revoked;
    }
    let made = cert.primary_key().key().creation_time();
    if made > at {
        return Standing::NotYet(made.into());
    }
    match cert.with_policy(&policy, at) {
        Err(_) => Standing::Weak,
        Ok(valid) if valid.alive().is_err() => Standing::Expired,
        Ok(_) => Standing::Good,
    }
}
