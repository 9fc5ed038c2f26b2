use super::Kind;
use serde::{Serialize, Serializer};

macro_rules! ids {
    ($($class:ident: $variant:ident = ($id:literal, $about:literal),)+) => {
        /// A kind of message. Programs know it by its id, which never changes; texts may.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Id { $(#[doc = $about] $variant,)+ }

        impl Id {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The id in JSON.
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)+ }
            }

            /// Where such messages occur.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// What it stands for, for the reference page.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)+ }
            }
        }
    };
}

/// Where messages of a kind occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In `error`.
    Error,
    /// In `messages`: a warning or a note. A few are findings of `verify` too.
    Message,
    /// In the findings of `verify`. A few are messages too.
    Finding,
}

ids! {
    Error: Unexpected = ("unexpected", "any other failure that was not foreseen"),
    Error: Due = ("due", "a role is due, or expires within `--fail-within`"),
    Error: AccessRefused = ("access-refused", "access was refused by the operating system, a store or a service"),
    Error: Conflict = ("conflict", "another publisher or an earlier command was first"),
    Error: Invalid = ("invalid", "an input is not acceptable"),
    Error: NotFound = ("not-found", "something that was named is not there"),
    Error: Untrusted = ("untrusted", "something does not verify"),
    Error: NoRepository = ("no-repository", "there is no repository at the location"),
    Error: Passphrase = ("passphrase", "a passphrase is missing or wrong"),
    Error: Storage = ("storage", "the disk or the network failed"),
    Error: Usage = ("usage", "the arguments are wrong"),
    Error: Interrupted = ("interrupted", "the command was stopped by a signal"),
    Error: ConfigMissing = ("config-missing", "the config does not exist"),
    Error: ConfigUnknownKey = ("config-unknown-key", "the config has a key that does not exist"),
    Error: ConfigNotPinned = ("config-not-pinned", "the config is not the one of `--config-sha256`"),
    Error: KeyFileExposed = ("key-file-exposed", "other users can read a key or passphrase file"),
    Error: KeyVariableUnset = ("key-variable-unset", "the variable of an `env:` key is not set, or is empty"),
    Error: PassphraseNeeded = ("passphrase-needed", "a passphrase is needed, and there is no terminal to ask on"),
    Error: PassphraseWrong = ("passphrase-wrong", "a passphrase does not open a key"),
    Error: Rollback = ("rollback", "the repository is older than the state seen before"),
    Error: RootExpired = ("root-expired", "the root has expired"),
    Error: Paused = ("paused", "work is paused"),
    Error: StoreIgnoresConditions = ("store-ignores-conditions", "the store does not keep publishers apart"),
    Error: ClockDiffers = ("clock-differs", "this machine's clock and the store's differ, and ages decide what is deleted"),
    Error: NotConfirmed = ("not-confirmed", "a confirmation is missing, wrong or was declined"),
    Error: OtherContentPublished = ("other-content-published", "the version is published with other content"),
    Error: VersionYanked = ("version-yanked", "the version was yanked"),
    Error: ChannelDowngrade = ("channel-downgrade", "a channel would move to an older version"),
    Error: ChannelVersionUnknown = ("channel-version-unknown", "a channel names a version that is not released"),
    Error: PlatformsMissing = ("platforms-missing", "users of a channel would be left without a platform"),
    Error: OtherPublisherFaster = ("other-publisher-faster", "other publishers were faster several times in a row"),
    Error: ForbiddenByWebServer = ("forbidden-by-web-server", "a web server answered 403"),
    Message: EmptyFile = ("empty-file", "a published file is empty"),
    Message: UnusualName = ("unusual-name", "a name has characters that trouble some clients and proxies"),
    Message: NameForWindows = ("name-for-windows", "Windows cannot hold a name"),
    Message: DesktopFiles = ("desktop-files", "files that a desktop left behind are published"),
    Message: NoBinDirectory = ("no-bin-directory", "a platform has no `bin/`"),
    Message: IdenticalRelease = ("identical-release", "the build is identical to another release"),
    Message: BuildMetadataOnly = ("build-metadata-only", "two releases differ in build metadata only"),
    Message: MachinesDiverted = ("machines-diverted", "machines take another directory of a release than before"),
    Message: ChannelNewWithoutPlatform = ("channel-new-without-platform", "a new channel has nothing for machines that the release before served"),
    Message: ChannelAtPrerelease = ("channel-at-prerelease", "a stable channel moves to a pre-release"),
    Message: ChannelNotComparable = ("channel-not-comparable", "it is not known whether a channel moves to an older version"),
    Message: OtherSpelling = ("other-spelling", "another spelling of a yanked version stays published"),
    Message: KeyTakenOver = ("key-taken-over", "a key that existed becomes a key of the new repository"),
    Message: PinnedRootTakenOver = ("pinned-root-taken-over", "the root of the repository takes the place of the missing pinned root"),
    Message: RefreshPostponed = ("refresh-postponed", "a role is due, and its key is not here"),
    Message: ConsistentSnapshotWaits = ("consistent-snapshot-waits", "consistent snapshots are not switched, because too few root keys are here"),
    Message: PlainNameNotCurrent = ("plain-name-not-current", "a plain name is not up to date"),
    Message: PlainNamesNotDurable = ("plain-names-not-durable", "plain names may not survive a loss of power"),
    Message: PlainNamesNotCompleted = ("plain-names-not-completed", "what follows the commit could not be completed"),
    Message: VersionsNotRemembered = ("versions-not-remembered", "what was published could not be remembered"),
    Message: NoMemory = ("no-memory", "no versions are remembered, so a rollback would not be detected"),
    Message: StateNotWritten = ("state-not-written", "the state file could not be written"),
    Message: ClocksDisagree = ("clocks-disagree", "a clock is wrong"),
    Message: ForeignObject = ("foreign-object", "an object does not belong to the repository, and stays"),
    Message: DraftForOtherRepository = ("draft-for-other-repository", "a draft says that it is for another repository"),
    Message: RootExpiresEarlier = ("root-expires-earlier", "the next root expires before the present one"),
    Message: RoleNotSignedForRoot = ("role-not-signed-for-root", "a role is not signed by the keys of the next root"),
    Message: StateNotUsable = ("state-not-usable", "what is published cannot be built on"),
    Message: KeyNameIgnored = ("key-name-ignored", "a name of a key in a draft is ignored"),
    Message: SigningNotRemembered = ("signing-not-remembered", "it could not be remembered what was signed"),
    Message: SignatureNotCounted = ("signature-not-counted", "a signature of a draft counts for nothing"),
    Message: ContentElsewhere = ("content-elsewhere", "another server serves the content"),
    Message: Sha512Only = ("sha512-only", "targets are named by SHA-512 alone"),
    Message: KeyIdsKept = ("key-ids-kept", "keys keep ids that are computed in another way"),
    Message: RoleKeysMissing = ("role-keys-missing", "too few keys of a role were found"),
    Message: FileWithoutKey = ("file-without-key", "a given file holds no secret key"),
    Message: SecretElsewhere = ("secret-elsewhere", "a key for CI is not on this machine"),
    Message: SinglePublisherInCi = ("single-publisher-in-ci", "the config states that there is one publisher, and CI jobs can overlap"),
    Message: StoreConditionsUnknown = ("store-conditions-unknown", "the config does not state whether the store enforces conditional writes"),
    Message: OtherChannelsFile = ("other-channels-file", "another channels file is in the working directory"),
    Finding: MetadataRefused = ("metadata-refused", "the metadata does not verify"),
    Finding: ContentNotChecked = ("content-not-checked", "the content of targets was not looked at"),
    Finding: SecondOpinionDisagrees = ("second-opinion-disagrees", "the client of the tuf crate refuses the repository"),
    Finding: SignatureRejectedByGnupg = ("signature-rejected-by-gnupg", "GnuPG rejects a signature"),
    Finding: SignatureBad = ("signature-bad", "a signature does not verify"),
    Finding: SignaturesFromTheFuture = ("signatures-from-the-future", "signatures were made after this machine's time"),
    Finding: RootNotPinned = ("root-not-pinned", "the first root was trusted without a check"),
    Finding: DelegatedRoleMissing = ("delegated-role-missing", "a delegated role is not in the snapshot"),
    Finding: RoleLongLived = ("role-long-lived", "a role is valid for longer than one that is signed now"),
    Finding: RoleExpired = ("role-expired", "a role has expired"),
    Finding: TargetOfAnotherRole = ("target-of-another-role", "a role lists a target for which it is not responsible"),
    Finding: TargetEntryUnreadable = ("target-entry-unreadable", "the entry of a target cannot be read"),
    Finding: TargetContentWrong = ("target-content-wrong", "the content of a target is missing or wrong"),
    Finding: DelegationsNotReadByTrdl = ("delegations-not-read-by-trdl", "the trdl client does not read delegated roles"),
    Finding: BinsNotReadByGoTuf = ("bins-not-read-by-go-tuf", "go-tuf does not find targets in hashed bins"),
    Finding: ConsistentSnapshotAndTough = ("consistent-snapshot-and-tough", "tough cannot fetch targets below directories"),
    Finding: UnknownDigest = ("unknown-digest", "a target has digests that the trdl client refuses"),
    Finding: SpecVersionMissing = ("spec-version-missing", "a role has no `spec_version`"),
    Finding: SpecVersionUnknown = ("spec-version-unknown", "a role has another `spec_version` than 1"),
    Finding: ClientLockedOut = ("client-locked-out", "a client refuses the root"),
    Finding: KeyIdOverHashAlgorithms = ("key-id-over-hash-algorithms", "a key id is computed over `keyid_hash_algorithms`"),
    Finding: KeyIdOwn = ("key-id-own", "a key id is not computed from the key"),
    Finding: RootJsonMissing = ("root-json-missing", "`root.json` is missing"),
    Finding: RootJsonStale = ("root-json-stale", "`root.json` is not the newest root"),
    Finding: DelegationOfOthers = ("delegation-of-others", "a delegation to keys of others"),
    Finding: RoleLengthNotStated = ("role-length-not-stated", "the length of a long role is not in the snapshot"),
    Finding: RoleDigestNotStated = ("role-digest-not-stated", "the digest of a role is not in the snapshot"),
    Finding: PhpTufLimit = ("php-tuf-limit", "a role is longer than php-tuf reads"),
    Finding: PhpTufKeyId = ("php-tuf-key-id", "php-tuf computes another key id for a delegation"),
    Finding: TargetNameLeadsOut = ("target-name-leads-out", "a target name leads out of the download directory"),
    Finding: TargetNameUnfit = ("target-name-unfit", "a target name is not acceptable"),
    Finding: NamesDifferInCase = ("names-differ-in-case", "two names differ in case or Unicode form only"),
    Finding: NameIsFileAndDirectory = ("name-is-file-and-directory", "a name is a file and a directory"),
    Finding: PlainNameLeftOver = ("plain-name-left-over", "a plain name is there, and the repository keeps none"),
    Finding: PlainNameOutdated = ("plain-name-outdated", "a plain name holds other bytes than its hashed name, perhaps older ones"),
    Finding: PlainNameTampered = ("plain-name-tampered", "a plain name holds bytes that are not signed"),
    Finding: PlainNameOpen = ("plain-name-open", "a plain name could not be brought up to date"),
    Finding: PlainNameMissing = ("plain-name-missing", "a plain name is missing"),
    Finding: PlainNamePending = ("plain-name-pending", "a plain name is not in place yet"),
    Finding: PlainMarkerStale = ("plain-marker-stale", "`plain.json` is not that of this repository"),
    Finding: PlainNameOfRemovedTarget = ("plain-name-of-removed-target", "the plain name of a removed target is there"),
    Finding: CertificateMisnamed = ("certificate-misnamed", "a certificate is not named after its fingerprint"),
    Finding: CertificateUnreadable = ("certificate-unreadable", "a published certificate cannot be read"),
    Finding: CertificateRevoked = ("certificate-revoked", "an OpenPGP certificate is revoked"),
    Finding: CertificateExpired = ("certificate-expired", "an OpenPGP certificate has expired"),
    Finding: CertificateFromTheFuture = ("certificate-from-the-future", "an OpenPGP certificate was made after this machine's time"),
    Finding: CertificateWeak = ("certificate-weak", "an OpenPGP certificate is too weak"),
    Finding: CertificateRejectedByGnupg = ("certificate-rejected-by-gnupg", "GnuPG verifies nothing with a certificate"),
    Finding: SignatureMisnamed = ("signature-misnamed", "a file below `signatures/` is not named as a signature"),
    Finding: SignatureArmored = ("signature-armored", "a signature is ASCII-armored"),
    Finding: SignatureUnreadable = ("signature-unreadable", "a signature cannot be read"),
    Finding: SignaturesNotChecked = ("signatures-not-checked", "signatures were not checked, because there is no certificate"),
    Finding: ArtifactUnsigned = ("artifact-unsigned", "an artifact has no signature"),
    Finding: SignatureWithoutArtifact = ("signature-without-artifact", "a signature is of an artifact that is not published"),
    Finding: SignatureMisplaced = ("signature-misplaced", "a signature is of an artifact that has no detached signature of this name"),
    Finding: YankedVersionPublished = ("yanked-version-published", "a yanked version is published"),
    Finding: ChannelMisnamed = ("channel-misnamed", "a target below `channels/` is no channel"),
    Finding: ChannelNameUnfit = ("channel-name-unfit", "the trdl client cannot ask for a channel"),
    Finding: ChannelLosesPlatforms = ("channel-loses-platforms", "a channel points at a release without some platforms"),
    Finding: ChannelWithoutRelease = ("channel-without-release", "a channel points at a version that is not released"),
    Finding: ReleaseFileMisplaced = ("release-file-misplaced", "a file below `releases/` is not below a platform"),
}

impl Id {
    /// The id of an error that has none of its own.
    pub(super) fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Unexpected => Self::Unexpected,
            Kind::Due => Self::Due,
            Kind::Permission => Self::AccessRefused,
            Kind::Conflict => Self::Conflict,
            Kind::Invalid => Self::Invalid,
            Kind::NotFound => Self::NotFound,
            Kind::Untrusted => Self::Untrusted,
            Kind::NoRepository => Self::NoRepository,
            Kind::Passphrase => Self::Passphrase,
            Kind::Storage => Self::Storage,
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
