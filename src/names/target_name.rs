use super::{Platform, ReleaseVersion};
use std::fmt;

/// The directory of releases: `releases/<version>/<platform>/<file>`.
pub const RELEASES: &str = "releases/";
/// The directory of detached signatures, which mirrors the names of what they sign.
pub const SIGNATURES: &str = "signatures/";
/// The directory of channels: `channels/<group>/<channel>`.
pub const CHANNELS: &str = "channels/";
/// The directory of OpenPGP certificates: `openpgp/<FINGERPRINT>.asc`.
pub const CERTIFICATES: &str = "openpgp/";
/// The directory of the records of withdrawn versions: `yanked/<version>`.
pub const YANKED: &str = "yanked/";

/// The ending of a detached signature's name.
const SIGNATURE: &str = ".sig";
/// The ending of a certificate's name.
const CERTIFICATE: &str = ".asc";

/// The directories that have commands of their own.
const RESERVED: [&str; 5] = [RELEASES, SIGNATURES, CHANNELS, CERTIFICATES, YANKED];

/// What the name of a target says, by the layout of `docs/format.md`. Every text is one: repositories that were adopted
/// have names of other forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetName<'n> {
    /// Below `releases/`.
    Artifact(ArtifactName<'n>),
    /// Below `signatures/`.
    Signature(SignatureName<'n>),
    /// Below `channels/`: the whole name, and `<group>/<channel>`.
    Channel(&'n str, &'n str),
    /// Below `openpgp/`: the whole name, and the fingerprint if it has the form `<FINGERPRINT>.asc`.
    Certificate(&'n str, Option<&'n str>),
    /// Below `yanked/`: the whole name, and the version.
    YankRecord(&'n str, &'n str),
    /// A reserved directory in another case, or its bare name: many file systems would merge it with the directory.
    Misspelled(&'n str),
    /// Any other target.
    Package(&'n str),
}

/// A name below `releases/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArtifactName<'n>(&'n str);

/// A name below `signatures/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignatureName<'n>(&'n str);

impl<'n> TargetName<'n> {
    /// Reads a name.
    pub fn of(name: &'n str) -> Self {
        if name.starts_with(RELEASES) {
            Self::Artifact(ArtifactName(name))
        } else if name.starts_with(SIGNATURES) {
            Self::Signature(SignatureName(name))
        } else if let Some(channel) = name.strip_prefix(CHANNELS) {
            Self::Channel(name, channel)
        } else if let Some(file) = name.strip_prefix(CERTIFICATES) {
            Self::Certificate(name, file.strip_suffix(CERTIFICATE))
        } else if let Some(version) = name.strip_prefix(YANKED) {
            Self::YankRecord(name, version)
        } else if is_spelling_of_reserved(name.split('/').next().unwrap_or_default()) {
            Self::Misspelled(name)
        } else {
            Self::Package(name)
        }
    }

    /// The name as text.
    pub fn as_str(self) -> &'n str {
        match self {
            Self::Artifact(ArtifactName(name)) | Self::Signature(SignatureName(name)) => name,
            Self::Channel(name, _) | Self::Certificate(name, _) | Self::YankRecord(name, _) => name,
            Self::Misspelled(name) | Self::Package(name) => name,
        }
    }

    /// Whether only a command of its own may publish this name; no flag lifts it. Case does not count, because some
    /// file systems ignore it.
    pub fn is_reserved(self) -> bool {
        !matches!(self, Self::Package(_))
    }

    /// Whether a detached signature of it may be published: artifacts of releases and packages have one each.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Artifact(_) | Self::Package(_))
    }

    /// Where its detached signature is: `signatures/<version>/<platform>/<file>.sig` for a release's artifact,
    /// `signatures/<name>.sig` for any other target.
    pub fn signature(self) -> String {
        let mirrored = match self {
            Self::Artifact(artifact) => artifact.below_releases(),
            other => other.as_str(),
        };
        format!("{SIGNATURES}{mirrored}{SIGNATURE}")
    }

    /// Whether it stays in the top-level role where others are spread over bins: what releases, channels and their
    /// signatures are is looked up by directory, and few.
    pub fn lives_at_top(self) -> bool {
        match self {
            Self::Signature(signature) => ReleaseVersion::parse(signature.first_part()).is_ok(),
            other => other.is_reserved(),
        }
    }
}

impl fmt::Display for TargetName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'n> ArtifactName<'n> {
    /// The name as text.
    pub fn as_str(self) -> &'n str {
        self.0
    }

    fn below_releases(self) -> &'n str {
        &self.0[RELEASES.len()..]
    }

    /// The release's version, as it is written.
    pub fn version(self) -> &'n str {
        self.below_releases().split('/').next().unwrap_or_default()
    }

    /// The platform's directory and the file's path below it; `None` where the name has too few parts.
    pub fn file(self) -> Option<(&'n str, &'n str)> {
        self.below_releases().split_once('/')?.1.split_once('/')
    }

    /// The directory of its platform, with its slash; `None` where the name has too few parts.
    pub fn platform_directory(self) -> Option<&'n str> {
        self.file().map(|(_, file)| &self.0[..self.0.len() - file.len()])
    }
}

impl<'n> SignatureName<'n> {
    /// The name as text.
    pub fn as_str(self) -> &'n str {
        self.0
    }

    /// The first directory below `signatures/`: of a release's signature, the version.
    pub fn first_part(self) -> &'n str {
        self.0[SIGNATURES.len()..].split('/').next().unwrap_or_default()
    }

    /// The target that it signs, among those that `exists` knows: a release's artifact, or any other target. `None` for a
    /// name that does not end in `.sig`.
    pub fn signed(self, exists: impl Fn(&str) -> bool) -> Option<String> {
        let mirrored = self.mirrored()?;
        let artifact = format!("{RELEASES}{mirrored}");
        Some(if !exists(&artifact) && exists(mirrored) { mirrored.to_owned() } else { artifact })
    }

    /// The name that it mirrors: an artifact's without `releases/`, or another target's. `None` for a name that does not
    /// end in `.sig`.
    pub fn mirrored(self) -> Option<&'n str> {
        self.0[SIGNATURES.len()..].strip_suffix(SIGNATURE)
    }
}

/// Whether this first part of a name is a reserved directory, in any case.
pub fn is_spelling_of_reserved(part: &str) -> bool {
    RESERVED.iter().any(|directory| directory.strip_suffix('/').is_some_and(|reserved| reserved.eq_ignore_ascii_case(part)))
}

/// `releases/<version>/`.
pub fn release_directory(version: impl fmt::Display) -> String {
    format!("{RELEASES}{version}/")
}

/// `releases/<version>/<platform>/`.
pub fn platform_directory(version: impl fmt::Display, platform: impl fmt::Display) -> String {
    format!("{RELEASES}{version}/{platform}/")
}

/// `releases/<version>/<platform>/<file>`; `file` is the path below the platform, with `/`.
pub fn artifact_name(version: &ReleaseVersion, platform: Platform, file: &str) -> String {
    platform_directory(version, platform) + file
}

/// `signatures/<version>/`.
pub fn signature_directory(version: impl fmt::Display) -> String {
    format!("{SIGNATURES}{version}/")
}

/// `channels/<channel>`, where the channel is `<group>/<name>`.
pub fn channel_name(channel: impl fmt::Display) -> String {
    format!("{CHANNELS}{channel}")
}

/// `openpgp/<FINGERPRINT>.asc`, fingerprint in upper-case hex.
pub fn certificate_name(fingerprint: &str) -> String {
    format!("{CERTIFICATES}{fingerprint}{CERTIFICATE}")
}

/// `yanked/<version>`: records that the version was withdrawn and is never published again.
pub fn yanked_name(version: impl fmt::Display) -> String {
    format!("{YANKED}{version}")
}

/// The directories that a name is in, the outermost first: `a` and `a/b` for `a/b/c`.
pub fn directories_above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// The released versions among target names, each once, in the order of the names. A name without a directory below
/// `releases/` is of none.
pub fn released_versions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut versions: Vec<&str> = Vec::new();
    for name in names {
        if let Some((version, _)) = name.strip_prefix(RELEASES).and_then(|rest| rest.split_once('/'))
            && versions.last() != Some(&version)
        {
            versions.push(version);
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_the_kind_of_its_directory() {
        let kind = |name: &str| match TargetName::of(name) {
            TargetName::Artifact(artifact) => format!("artifact of {} {:?}", artifact.version(), artifact.file()),
            TargetName::Signature(signature) => format!("signature of {:?}", signature.mirrored()),
            TargetName::Channel(_, channel) => format!("channel {channel}"),
            TargetName::Certificate(_, fingerprint) => format!("certificate {fingerprint:?}"),
            TargetName::YankRecord(_, version) => format!("yanked {version}"),
            TargetName::Misspelled(name) => format!("misspelled {name}"),
            TargetName::Package(name) => format!("package {name}"),
        };
        for (name, expected) in [
            ("releases/1.2.0/linux-amd64/bin/tool", "artifact of 1.2.0 Some((\"linux-amd64\", \"bin/tool\"))"),
            ("releases/1.2.0/tool", "artifact of 1.2.0 None"),
            ("releases/1.2.0", "artifact of 1.2.0 None"),
            ("signatures/1.2.0/linux-amd64/bin/tool.sig", "signature of Some(\"1.2.0/linux-amd64/bin/tool\")"),
            ("signatures/tool", "signature of None"),
            ("channels/1/stable", "channel 1/stable"),
            ("openpgp/ABCD.asc", "certificate Some(\"ABCD\")"),
            ("openpgp/ABCD", "certificate None"),
            ("yanked/1.2.0", "yanked 1.2.0"),
            ("releases", "misspelled releases"),
            ("Channels/1/stable", "misspelled Channels/1/stable"),
            ("releases2/tool", "package releases2/tool"),
            ("vendor/package.zip", "package vendor/package.zip"),
        ] {
            assert_eq!(kind(name), expected, "{name}");
            assert_eq!(TargetName::of(name).as_str(), name);
        }
    }

    #[test]
    fn a_signature_mirrors_what_it_signs() {
        for (name, signature) in [
            ("releases/1.2.0/linux-amd64/tool", "signatures/1.2.0/linux-amd64/tool.sig"),
            ("vendor/package.zip", "signatures/vendor/package.zip.sig"),
        ] {
            assert_eq!(TargetName::of(name).signature(), signature);
            let TargetName::Signature(read) = TargetName::of(signature) else { panic!("{signature} is no signature") };
            assert_eq!(read.signed(|known| known == name).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_directory_of_a_platform_ends_after_its_name() {
        let TargetName::Artifact(artifact) = TargetName::of("releases/1.2.0/linux-amd64/bin/tool") else { panic!("no artifact") };
        assert_eq!(artifact.platform_directory(), Some("releases/1.2.0/linux-amd64/"));
    }
}
