//! What target names mean to people: artifacts and their signatures, channels and the releases they point at.

use super::VerifyRequest;
use super::finding::{Findings, Severity};
use crate::error::{Error, Id, Kind};
use crate::metadata::{Target, format_expiry};
use crate::names::{Platform, SIGNATURES, TargetName, certificate_name, channel_name, check_channel, check_group, release_directory};
use crate::openpgp::{Certificates, DetachedSignature, Standing};
use crate::policy::channels::pointing_at_nothing;
use crate::policy::platforms;
use crate::policy::signatures::{Unpaired, unpaired};
use crate::policy::yanks::published_again;
use chrono::{DateTime, Utc};
use sequoia_openpgp::crypto::hash::Context;
use sequoia_openpgp::types::HashAlgorithm;
use std::collections::BTreeMap;

pub(super) const RESIGN: &str = "sign the release again: publish release VERSION --from DIR --resign";

/// The signatures of a repository and the certificates to verify them with.
pub(super) struct Signatures {
    certificates: Certificates,
    by_artifact: BTreeMap<String, DetachedSignature>,
}

impl Signatures {
    /// Finds certificates and signatures among small targets.
    pub(super) fn find(
        request: &VerifyRequest<'_>,
        small: &BTreeMap<String, Vec<u8>>,
        targets: &BTreeMap<String, Target>,
        findings: &mut Findings,
    ) -> crate::error::Result<Self> {
        let mut certificates = Certificates::default();
        for (name, bytes) in &request.certificates {
            certificates.add(bytes, name)?;
        }
        for (name, bytes) in small.iter().filter(|(name, _)| matches!(TargetName::of(name), TargetName::Certificate(..))) {
            match certificates.add(bytes, name) {
                Ok(fingerprint) if *name == certificate_name(&fingerprint) => {}
                Ok(fingerprint) => findings.add(
                    Id::CertificateMisnamed,
                    Severity::Warning,
                    name,
                    format!("holds the certificate {fingerprint}"),
                    "name the target after its fingerprint",
                ),
                Err(failure) => findings.error(Id::CertificateUnreadable, name, &failure, "publish the certificate again"),
            }
        }
        for (fingerprint, standing) in certificates.standings(request.now) {
            match standing {
                Standing::Good => {}
                Standing::Revoked => {
                    findings.add(Id::CertificateRevoked, Severity::Error, fingerprint, "the OpenPGP certificate is revoked; clients refuse its signatures", RESIGN)
                }
                Standing::Expired => findings.add(
                    Id::CertificateExpired, Severity::Warning,
                    fingerprint,
                    "the OpenPGP certificate is expired; older signatures stay valid, new ones are refused",
                    "extend it, and publish it with the next release",
                ),
                Standing::NotYet(made) => findings.add(
                    Id::CertificateFromTheFuture, Severity::Warning,
                    fingerprint,
                    format!(
                        "the OpenPGP certificate was made on {}, after this machine's time {}",
                        format_expiry(made),
                        format_expiry(request.now)
                    ),
                    "check this machine's clock; if it is right, the clock of the machine that made the key was ahead, and gpg refuses the key until then",
                ),
                Standing::Weak => {
                    findings.add(Id::CertificateWeak, Severity::Warning, fingerprint, "the OpenPGP certificate is too weak for today's policy", "make a new key")
                }
            }
        }
        for (fingerprint, why) in certificates.unreadable_by_gnupg(request.now) {
            findings.add(
                Id::CertificateRejectedByGnupg,
                Severity::Warning,
                fingerprint,
                format!("GnuPG cannot verify signatures with this OpenPGP certificate: {why}"),
                "replace the key: publish rotate openpgp --without-old --resign all",
            );
        }
        let mut by_artifact = BTreeMap::new();
        for (name, bytes) in small {
            let TargetName::Signature(signature) = TargetName::of(name) else { continue };
            let Some(artifact) = signature.signed(|artifact| targets.contains_key(artifact)) else {
                findings.add(
                    Id::SignatureMisnamed,
                    Severity::Note,
                    name,
                    "is below signatures/ and does not end in .sig",
                    "nothing; clients do not look for it",
                );
                continue;
            };
            if DetachedSignature::is_armored(bytes) {
                findings.add(Id::SignatureArmored, Severity::Note, name, "is ASCII-armored", "nothing; gpg and gpgv read both forms");
            }
            match DetachedSignature::parse(bytes, name) {
                Ok(signature) => drop(by_artifact.insert(artifact, signature)),
                Err(failure) => findings.error(Id::SignatureUnreadable, name, &failure, RESIGN),
            }
        }
        Ok(Self { certificates, by_artifact })
    }

    /// The digest that the signature of this artifact needs, if it has one.
    pub(super) fn hash(&self, artifact: &str) -> Option<HashAlgorithm> {
        self.by_artifact.get(artifact).filter(|signature| signature.is_version_4()).map(DetachedSignature::hash)
    }

    /// Verifies an artifact's signature; `None` if it has none, or no certificate for it is known.
    pub(super) fn verify(
        &self,
        request: &VerifyRequest<'_>,
        artifact: &str,
        state: Option<&Context>,
    ) -> Option<crate::error::Result<String>> {
        if self.certificates.is_empty() {
            return None;
        }
        let signature = self.by_artifact.get(artifact)?;
        if !signature.is_version_4() {
            return Some(Err(Error::new(Kind::Untrusted, "the signature is not of version 4, which gpg needs")));
        }
        Some(self.certificates.verify(signature, state?, request.now, artifact))
    }

    /// When the signature of an artifact was made, as it states itself.
    pub(super) fn made(&self, artifact: &str) -> Option<DateTime<Utc>> {
        self.by_artifact.get(artifact)?.made()
    }

    /// Why GnuPG rejects the good signature of an artifact, if it does.
    pub(super) fn gnupg_rejects(&self, artifact: &str) -> Option<String> {
        self.certificates.gnupg_rejects(self.by_artifact.get(artifact)?)
    }

    /// Reports artifacts without signatures and signatures without artifacts.
    pub(super) fn check_pairs(&self, targets: &BTreeMap<String, Target>, findings: &mut Findings) {
        let count = targets.keys().filter(|name| matches!(TargetName::of(name), TargetName::Signature(_))).count();
        if self.certificates.is_empty() && count > 0 {
            findings.add(
                Id::SignaturesNotChecked,
                Severity::Warning,
                SIGNATURES,
                format!("{count} OpenPGP signatures were not checked: the repository holds no certificate"),
                "give the public key with --openpgp-certificate FILE",
            );
        }
        let pairs = unpaired(targets.keys().map(String::as_str), targets).unwrap_or_default();
        for one in pairs {
            match one {
                Unpaired::Artifact(name) => findings.add(
                    Id::ArtifactUnsigned,
                    Severity::Warning,
                    name,
                    "has no signature",
                    "run the same release again: missing signatures are added",
                ),
                Unpaired::Signature(name) => findings.add(
                    Id::SignatureWithoutArtifact,
                    Severity::Warning,
                    name,
                    "signs an artifact that is not published",
                    "remove the signature, or publish the artifact",
                ),
                Unpaired::Misplaced(name, artifact) => findings.add(
                    Id::SignatureMisplaced,
                    Severity::Warning,
                    name,
                    format!("signs {artifact}, which has no detached signature of this name; it is not kept up to date"),
                    "find out who published it, and remove it: publish remove-targets",
                ),
            }
        }
    }
}

/// A yanked version that is published all the same: clients install what was withdrawn.
pub(super) fn check_yanked(targets: &BTreeMap<String, Target>, findings: &mut Findings) {
    for version in published_again(targets) {
        findings.add(
            Id::YankedVersionPublished,
            Severity::Error,
            release_directory(version),
            "the version was yanked, and it is published",
            "find out how it was published; every worker and publisher refuses it",
        );
    }
}

/// Channels must point at releases, and both must be names that the trdl client can address.
pub(super) fn check_channels(targets: &BTreeMap<String, Target>, small: &BTreeMap<String, Vec<u8>>, findings: &mut Findings) {
    for subject in targets.keys() {
        let TargetName::Channel(_, channel) = TargetName::of(subject) else { continue };
        match channel.rsplit_once('/') {
            None => findings.add(
                Id::ChannelMisnamed,
                Severity::Warning,
                subject,
                "is not channels/<group>/<channel>; the trdl client cannot request it",
                "remove the target",
            ),
            Some((group, channel)) => {
                for failure in [check_group(group), check_channel(channel)].into_iter().filter_map(Result::err) {
                    findings.add(
                        Id::ChannelNameUnfit,
                        Severity::Warning,
                        subject,
                        failure.message,
                        "rename the group or channel; the trdl client cannot request it",
                    );
                }
            }
        }
    }
    let mut versions = BTreeMap::new();
    for (name, bytes) in small {
        if let TargetName::Channel(_, channel) = TargetName::of(name) {
            versions.insert(channel.to_owned(), String::from_utf8_lossy(bytes).trim().to_owned());
        }
    }
    for loss in platforms::behind(targets, &versions).unwrap_or_default() {
        findings.add(
            Id::ChannelLosesPlatforms,
            Severity::Warning,
            channel_name(&loss.channel),
            format!("points at {}, which has nothing for {}; {} has", loss.to, loss.machines.join(", "), loss.from),
            "publish the missing platforms, or move the channel: publish channels",
        );
    }
    let read = |name: &str, _: &Target| Ok(small.get(name).cloned());
    for (name, version) in pointing_at_nothing(targets, &read).unwrap_or_default() {
        findings.add(
            Id::ChannelWithoutRelease,
            Severity::Error,
            name,
            format!("points at `{}`, which is not released", version.escape_debug()),
            "publish that release, or move the channel: publish channels",
        );
    }
    for name in targets.keys() {
        let TargetName::Artifact(artifact) = TargetName::of(name) else { continue };
        if artifact.file().is_none_or(|(platform, _)| Platform::parse(platform).is_err()) {
            findings.add(
                Id::ReleaseFileMisplaced,
                Severity::Warning,
                name,
                "is not below releases/<version>/<os>-<arch>/; the trdl client does not see it",
                "publish the file below a platform directory",
            );
        }
    }
}
