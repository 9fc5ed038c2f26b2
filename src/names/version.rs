use crate::error::{Error, Result};
use std::fmt;

/// A release version: strict semantic versioning 2.0, kept as it was written. Ordered by precedence, then build metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion(semver::Version);

impl ReleaseVersion {
    /// Parses the exact form in channels files and target names: no leading `v`, all three numbers.
    pub fn parse(text: &str) -> Result<Self> {
        match semver::Version::parse(text) {
            Ok(version) => Ok(Self(version)),
            Err(_) if text.is_empty() => {
                Err(Error::invalid("the release version is empty").hint("write it as MAJOR.MINOR.PATCH, for example 1.2.20"))
            }
            Err(_) if text.starts_with('v') && semver::Version::parse(&text[1..]).is_ok() => {
                Err(Error::invalid(format!("version `{text}` starts with a v")).hint(format!("write `{}`", &text[1..])))
            }
            Err(error) => Err(Error::invalid(format!("`{text}` is not a semantic version: {error}")).hint(Self::suggestion(text))),
        }
    }

    /// The version that the name of a published release means. Other tools publish `v0.0.2` and `1.2`, which the trdl
    /// client takes for 0.0.2 and 1.2.0; `None` for a name that it cannot order.
    pub fn of_release(name: &str) -> Option<Self> {
        Self::parse(&full_number(name)).ok()
    }

    /// Parses a version given on the command line, where one leading `v` (as in a git tag) is dropped.
    pub fn from_argument(text: &str) -> Result<Self> {
        Self::parse(text.strip_prefix('v').unwrap_or(text))
    }

    fn suggestion(text: &str) -> String {
        // A comma for a point, or spaces around: what a hurried hand types.
        let mended = text.trim().replace([',', ' ', ';'], ".");
        let mended = mended.strip_prefix('v').unwrap_or(&mended);
        if mended != text && semver::Version::parse(mended).is_ok() {
            return format!("did you mean {mended}?");
        }
        let numbers: Vec<&str> = text.split('.').collect();
        let numeric = numbers.iter().all(|part| part.len() < 10 && part.parse::<u32>().is_ok());
        match numbers.as_slice() {
            [_, _] if numeric => format!("write all three numbers: {text}.0"),
            [_, _, _] if numeric => {
                let clean: Vec<String> = numbers.iter().filter_map(|part| part.parse::<u32>().ok()).map(|n| n.to_string()).collect();
                format!("numbers have no leading zeros: {}", clean.join("."))
            }
            _ => "write it as MAJOR.MINOR.PATCH, for example 1.2.20".into(),
        }
    }

    /// Whether the two differ in build metadata only; the trdl client picks one of such a pair at random.
    pub fn same_precedence(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0).is_eq()
    }

    /// Whether `self` comes before `other` in precedence (build metadata does not count).
    pub fn older_than(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0).is_lt()
    }

    /// Whether this is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Whether people would take `self` for newer than `other`, and semantic versioning, which compares a part such as
    /// `rc10` as text, takes it for older.
    pub fn looks_newer_than(&self, other: &Self) -> bool {
        let numbers = |version: &semver::Version| (version.major, version.minor, version.patch);
        let tail = |version: &semver::Version| format!("{}+{}", version.pre, version.build);
        *self < *other && numbers(&self.0) == numbers(&other.0) && by_number(&tail(&self.0)) > by_number(&tail(&other.0))
    }

    /// How far apart two versions are, for "did you mean" lists: smaller is nearer.
    pub fn distance(&self, other: &Self) -> (u64, u64, u64) {
        (self.0.major.abs_diff(other.0.major), self.0.minor.abs_diff(other.0.minor), self.0.patch.abs_diff(other.0.patch))
    }
}

/// A version as the trdl client reads it: without a leading `v`, and with all three numbers.
pub fn full_number(version: &str) -> String {
    let version = version.strip_prefix('v').unwrap_or(version);
    let (numbers, rest) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    format!("{numbers}{}{rest}", ".0".repeat(missing))
}

/// A text in its runs of digits and of other characters, digits compared as numbers.
fn by_number(text: &str) -> Vec<(u8, usize, &str)> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let run = &rest[..end];
        let number = run.trim_start_matches('0');
        runs.push(if digits { (0, number.len(), number) } else { (1, 0, run) });
        rest = &rest[end..];
    }
    runs
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::{ReleaseVersion, full_number};

    fn version(text: &str) -> ReleaseVersion {
        ReleaseVersion::parse(text).unwrap()
    }

    #[test]
    fn a_version_of_another_tool_has_all_three_numbers() {
        for (given, full) in
            [("v0.0.2", "0.0.2"), ("1.2", "1.2.0"), ("1", "1.0.0"), ("1.2-rc.1", "1.2.0-rc.1"), ("v1+b", "1.0.0+b"), ("1.2.3", "1.2.3")]
        {
            assert_eq!(full_number(given), full);
        }
    }

    #[test]
    fn numbers_in_a_pre_release_that_people_read_as_numbers_are_found() {
        assert!(version("1.0.0-rc10").looks_newer_than(&version("1.0.0-rc9")));
        assert!(!version("1.0.0-rc.10").looks_newer_than(&version("1.0.0-rc.9")), "it is newer");
        assert!(!version("1.0.0-rc9").looks_newer_than(&version("1.0.0-rc10")));
    }

    #[test]
    fn build_metadata_does_not_count_for_precedence() {
        let (a, b) = (version("1.0.0+a"), version("1.0.0+b"));
        assert!(a.same_precedence(&b) && !a.older_than(&b) && a < b);
        assert!(version("1.0.0-rc.1").older_than(&a) && version("1.0.0-rc.1").is_prerelease());
    }
}
