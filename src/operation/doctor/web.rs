//! The web server at `public_url`: what it does with paths, headers and caches that clients depend on.

use super::check::{Checklist, Item, described};
use super::{Publisher, WEB_PATIENCE};
use crate::error::{Error, Kind, Result};
use crate::metadata::Target;
use crate::names::{ObjectName, platform_directory};
use crate::repository::{PlainNames, Present};
use crate::storage::{Answer, HttpSource, escape};
use chrono::{DateTime, Utc};
use std::cell::Cell;

/// The longest time, in seconds, for which a cache may keep timestamp.json without a warning.
const SHORT: i64 = 300;
/// Longer than this, and refreshed metadata comes too late.
const LONG: i64 = 3600;

/// A server, which gets no further requests after one that it did not answer in time.
pub(super) struct Web {
    source: HttpSource,
    stopped: Cell<bool>,
}

impl Web {
    /// The server at a URL.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { source: HttpSource::within(url, WEB_PATIENCE)?, stopped: Cell::new(false) })
    }

    /// Whether it is plain http to this machine.
    fn is_local(&self) -> bool {
        self.source.is_local()
    }

    /// The answer for an escaped path.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)], limit: u64) -> Result<Answer> {
        if self.stopped.get() {
            return Err(Error::new(Kind::Storage, "the server did not answer an earlier question"));
        }
        self.source.ask(path, headers, limit).inspect_err(|_| self.stopped.set(true))
    }
}

pub(super) fn check_encryption(web: &Web, url: &str, answer: &Answer, list: &mut Checklist) {
    let shown = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    let location = answer.header("location").filter(|_| (300..400).contains(&answer.status)).unwrap_or_default();
    match shown.as_str() {
        "https" if location.to_ascii_lowercase().starts_with("http:") => list.failed(
            Item::Encryption,
            format!("{url} redirects to {}, which is not encrypted", location.escape_debug()),
            "redirect to https only",
        ),
        "https" => list.ok(Item::Encryption, "clients are served over https"),
        _ if web.is_local() => list.ok(Item::Encryption, "http to this machine"),
        _ if answer.url.starts_with("https://") => list.warning(
            Item::Encryption,
            format!("{url} redirects to https: the first request of each client is not encrypted"),
            "write https:// in `public_url`, and in what users run",
        ),
        _ => list.warning(
            Item::Encryption,
            format!("{url} is not encrypted: others on the way see what users install, and can keep updates from them"),
            "serve the repository over https",
        ),
    }
}

/// The file of the next root, which every client asks for, and a target of no release.
pub(super) fn check_missing(web: &Web, present: Option<&Present>, list: &mut Checklist) {
    let next = present.map_or(1_000_000, |present| present.versions().root + 1);
    let paths = [ObjectName::root(next), ObjectName::plain_target(&(platform_directory("0.0.0", "no-platform") + "no-such-file"))];
    let mut cached = None;
    for path in paths {
        let path = escape(path.as_str());
        let answer = match web.ask(&path, &[], 512) {
            Ok(answer) => answer,
            Err(failure) => return list.not_checked(Item::MissingFiles, described(&failure)),
        };
        let failed = match answer.status {
            404 => {
                cached = cached.or(lifetime(&answer).filter(|seconds| *seconds > SHORT));
                continue;
            }
            403 => (
                format!("{path} does not exist and is answered with 403: the trdl client and others take only 404 for \"no such file\""),
                "answer 404; on S3, grant everybody s3:ListBucket, or map 403 to 404 at the CDN: docs/stores.md",
            ),
            status @ 200 => (
                format!("{path} does not exist and is answered with {status}: clients take the page for a root, and fail"),
                "switch off the fallback page (such as try_files … /index.html) for this path; answer 404",
            ),
            status => (format!("{path} does not exist and is answered with {status}, not 404"), "answer 404 for files that do not exist"),
        };
        return list.failed(Item::MissingFiles, failed.0, failed.1);
    }
    match cached {
        None => list.ok(Item::MissingFiles, "answered with 404"),
        Some(seconds) => list.warning(
            Item::MissingFiles,
            format!("answered with 404, which caches keep for {seconds} s: it hides a new root for so long"),
            "set the caching time for 404 to 0: docs/stores.md#cdn-and-mirrors",
        ),
    }
}

pub(super) fn check_caches(answer: &Answer, list: &mut Checklist) {
    let remedy = "send `Cache-Control: no-cache` with timestamp.json and every file that may change: docs/stores.md#a-local-directory";
    match lifetime(answer) {
        None => {
            list.warning(Item::CacheHeaders, "timestamp.json comes without Cache-Control: each cache decides how long it keeps it", remedy)
        }
        Some(seconds) if seconds <= SHORT => {
            let shown = answer.header("cache-control").unwrap_or("an expiry that is over").escape_debug().to_string();
            list.ok(Item::CacheHeaders, format!("timestamp.json: {shown}"));
        }
        Some(seconds) if seconds <= LONG => {
            list.warning(
                Item::CacheHeaders,
                format!("caches keep timestamp.json for {seconds} s: clients see a release so much later"),
                remedy,
            );
        }
        Some(seconds) => list.failed(
            Item::CacheHeaders,
            format!("caches keep timestamp.json for {seconds} s: clients get old releases, and at last an expired timestamp"),
            remedy,
        ),
    }
}

/// For how many seconds a cache may keep an answer without asking; `None` if the answer does not state it.
fn lifetime(answer: &Answer) -> Option<i64> {
    let control = answer.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    let directives: Vec<&str> = control.split(',').map(str::trim).collect();
    if directives.iter().any(|directive| ["no-cache", "no-store"].contains(directive)) {
        return Some(0);
    }
    let seconds = |name: &str| {
        let value = directives.iter().find_map(|directive| directive.strip_prefix(name)?.trim().strip_prefix('='))?;
        value.trim_matches('"').parse().ok()
    };
    let expires = || {
        let moment = |name: &str| DateTime::parse_from_rfc2822(answer.header(name)?).ok().map(|date| date.with_timezone(&Utc));
        answer.header("expires")?;
        // A value that is no date means "expired".
        Some(moment("expires").map_or(0, |expires| (expires - moment("date").unwrap_or(answer.received)).num_seconds().max(0)))
    };
    // Browsers and clients without a cache follow max-age, a CDN follows s-maxage.
    seconds("max-age").max(seconds("s-maxage")).or_else(expires)
}

/// What depends on published files.
pub(super) fn check_files(web: &Web, publisher: &Publisher, present: &Present, list: &mut Checklist) {
    check_ranges(web, list);
    if publisher.plain_names == PlainNames::Elsewhere {
        return list.none_checked(&[Item::Gzip, Item::Plus], "another server serves the files (`plain_names: elsewhere`)");
    }
    let find = |wanted: &dyn Fn(&str) -> bool| {
        let name = present.targets.names().find(|name| wanted(name))?;
        let target = present.targets.get(name).ok().flatten()?;
        Some((place(publisher, name, &target)?, target.length))
    };
    match find(&|name| name.ends_with(".gz") || name.ends_with(".tgz")) {
        None => list.not_checked(Item::Gzip, "no release has a .gz file"),
        // Escaped, so that this item does not depend on the next one.
        Some((path, length)) => check_gzip(web, &path.replace('+', "%2B"), length, list),
    }
    match find(&|name| name.contains('+')) {
        None => list.not_checked(Item::Plus, "no release has a + in its version or in a name"),
        Some((path, length)) => check_plus(web, &path, length, list),
    }
}

/// The path at which users fetch a target: its plain name, or its hashed name where there are no plain names.
fn place(publisher: &Publisher, name: &str, target: &Target) -> Option<String> {
    if publisher.plain_names == PlainNames::All {
        return Some(escape(ObjectName::plain_target(name).as_str()));
    }
    target.hashes.prefixes().next().map(|hash| escape(ObjectName::hashed_target(name, &hash).as_str()))
}

fn check_gzip(web: &Web, path: &str, length: u64, list: &mut Checklist) {
    let label = |answer: &Answer| {
        let coding = answer.header("content-encoding").unwrap_or_default().to_ascii_lowercase();
        coding.contains("gzip")
    };
    let answers = web.ask(path, &[("accept-encoding", "gzip")], 0).and_then(|with| Ok((with, web.ask(path, &[], 0)?)));
    let (with, without) = match answers {
        Ok(answers) => answers,
        Err(failure) => return list.not_checked(Item::Gzip, described(&failure)),
    };
    if with.status != 200 || without.status != 200 {
        let status = if with.status == 200 { without.status } else { with.status };
        let remedy = "publish verify shows whether the store has it; otherwise correct the web server";
        return list.failed(Item::Gzip, format!("{path} is published, and answered with {status}"), remedy);
    }
    let remedy =
        "take .gz out of the server's encodings (Apache: RemoveEncoding .gz .tgz); in a bucket, remove the object's Content-Encoding";
    if label(&without) || (label(&with) && with.length() == Some(length)) {
        list.failed(Item::Gzip, format!("{path} is labelled `Content-Encoding: gzip`: clients unpack it, and its digest is wrong"), remedy);
    } else if label(&with) {
        list.warning(
            Item::Gzip,
            format!("{path} is compressed a second time on the way"),
            "leave .gz files out of the compression (nginx: gzip_types without application/gzip)",
        );
    } else {
        list.ok(Item::Gzip, "a .gz file is served as it is");
    }
}

fn check_plus(web: &Web, path: &str, length: u64, list: &mut Checklist) {
    let reaches = |path: &str| {
        let answer = web.ask(path, &[], 0)?;
        let same = answer.length().is_none_or(|announced| announced == length) || answer.header("content-encoding").is_some();
        Ok::<_, Error>((answer.status == 200 && same, answer.status))
    };
    match reaches(path) {
        Err(failure) => list.not_checked(Item::Plus, described(&failure)),
        Ok((true, _)) => list.ok(Item::Plus, "a literal + reaches its file"),
        Ok((false, status)) => {
            let why = match reaches(&path.replace('+', "%2B")) {
                Ok((true, _)) => "the server reads + as a space; %2B reaches the file, but the trdl client sends +",
                _ => "neither + nor %2B reaches the file",
            };
            list.failed(
                Item::Plus,
                format!("{path} is published, and answered with {status}: {why}"),
                "decode + in paths as itself; Amazon S3 cannot, a CDN in front can rewrite it: docs/stores.md. `store: {raw_plus: broken}` in the config refuses such versions",
            );
        }
    }
}

fn check_ranges(web: &Web, list: &mut Checklist) {
    match web.ask("root.json", &[("range", "bytes=0-0")], 16) {
        Ok(answer) if answer.status == 206 => list.ok(Item::Ranges, "parts of files can be fetched, so interrupted downloads continue"),
        Ok(_) => list.ok(Item::Ranges, "not supported: interrupted downloads start again; no client depends on it"),
        Err(failure) => list.not_checked(Item::Ranges, described(&failure)),
    }
}
