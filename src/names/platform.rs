use crate::error::{Error, Result};
use std::fmt;

/// `<os>-<arch>` with Go's names, as the trdl client looks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: &'static str,
    arch: &'static str,
}

const SYSTEMS: [&str; 4] = ["any", "darwin", "linux", "windows"];
const ARCHITECTURES: [&str; 3] = ["any", "amd64", "arm64"];

/// Names other ecosystems use, with ours.
const ALIASES: [(&str, &str); 12] = [
    ("macos", "darwin"),
    ("osx", "darwin"),
    ("mac", "darwin"),
    ("win", "windows"),
    ("win32", "windows"),
    ("win64", "windows"),
    ("x86_64", "amd64"),
    ("x64", "amd64"),
    ("aarch64", "arm64"),
    ("armv8", "arm64"),
    ("apple", "darwin"),
    ("amd64v1", "amd64"),
];

impl Platform {
    /// The platform that a name of another tool means: `linux-x86_64`, `app_linux_amd64_v1`, `aarch64-apple-darwin`.
    pub fn meant_by(name: &str) -> Option<Self> {
        // The one architecture whose usual name holds a separator.
        let name = name.to_ascii_lowercase().replace("x86_64", "amd64").replace("x86-64", "amd64");
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let ours =
            |word: &str| ALIASES.iter().find(|(alias, _)| *alias == word).map_or_else(|| word.to_owned(), |(_, ours)| (*ours).to_owned());
        let words: Vec<String> = words.by_ref().map(ours).collect();
        let one_of = |known: &[&'static str]| {
            let mut found = known.iter().filter(|known| **known != "any" && words.iter().any(|word| word == *known));
            found.next().copied().filter(|_| found.next().is_none())
        };
        Some(Self { os: one_of(&SYSTEMS)?, arch: one_of(&ARCHITECTURES)? })
    }

    /// Parses a directory name of a build.
    pub fn parse(name: &str) -> Result<Self> {
        let Some((os, arch)) = name.split_once('-') else {
            let hint = match SYSTEMS.iter().find(|known| **known == name) {
                Some(os) => format!("name the architecture too: {os}-amd64, {os}-arm64 or {os}-any"),
                None => "put the files below directories named <os>-<arch>, for example linux-amd64".into(),
            };
            return Err(Error::invalid(format!("`{name}` is not a platform directory: no -<arch>")).hint(hint));
        };
        let known_os = SYSTEMS.iter().find(|known| **known == os);
        let known_arch = ARCHITECTURES.iter().find(|known| **known == arch);
        match (known_os, known_arch) {
            (Some(os), Some(arch)) => Ok(Self { os, arch }),
            (None, _) => Err(unknown("operating system", os, name, &SYSTEMS)),
            (_, None) => Err(unknown("architecture", arch, name, &ARCHITECTURES)),
        }
    }

    /// Whether the trdl client on `other`'s machine would look into this directory (`any` matches all).
    pub fn serves(self, other: Self) -> bool {
        (self.os == "any" || self.os == other.os) && (self.arch == "any" || self.arch == other.arch)
    }

    /// How early the trdl client tries this directory: `os-arch`, `os-any`, `any-arch`, `any-any`.
    pub fn precedence(self) -> u8 {
        u8::from(self.os == "any") * 2 + u8::from(self.arch == "any")
    }
}

fn unknown(what: &str, given: &str, name: &str, known: &[&str]) -> Error {
    let failure = Error::invalid(format!("unknown {what} `{given}` in `{name}`"));
    match ALIASES.iter().find(|(alias, ours)| given.eq_ignore_ascii_case(alias) && known.contains(ours)) {
        Some((_, ours)) => failure.hint(format!("did you mean `{ours}`?")),
        None => failure.hint(format!("known: {}", known.join(", "))),
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.os, self.arch)
    }
}
