//! `publish store check`: tests a store, and reports what that means for publishers and clients.

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use crate::repository::KnownStore;
use crate::storage::probe::Probe;
use crate::storage::{Conditions, EtagQuotes, Headers, HttpSource, NO_CACHE, RawPlus, Storage};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// Rounds of the race.
const ROUNDS: usize = 5;
/// Large enough to be sent in two parts.
const LARGE: usize = (8 << 20) + 4096;

/// The longest that a web server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found.
#[derive(Debug, Serialize)]
pub struct StoreReport {
    /// Where it is.
    pub location: String,
    /// Each thing that was tried.
    pub checks: Vec<Check>,
    /// Lines for the config that save trying these things again.
    pub settings: Vec<String>,
    /// Whether nothing failed.
    pub good: bool,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen and what it means.
    pub meaning: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with a limit worth knowing.
    Warning,
    /// Publishing or reading would fail.
    Failed,
    /// Not looked at.
    Skipped,
}

/// Tries everything. An error means that the store could not be tried at all.
pub fn check(publisher: &Publisher, public_url: Option<&str>) -> Result<StoreReport> {
    let storage = publisher.storage.as_ref();
    let probe = Probe::new(storage)?;
    let mut report = StoreReport { location: storage.location(), checks: Vec::new(), settings: Vec::new(), good: false };
    let mut names: Vec<ObjectName> = Vec::new();
    let tried = report.try_all(publisher, &probe, public_url, &mut names);
    // Whatever happened, nothing of the probe stays.
    let cleaned = names.iter().try_for_each(|name| storage.delete(name));
    tried?;
    match cleaned {
        Ok(()) => report.add("delete", Verdict::Ok, "objects can be deleted"),
        Err(failure) => {
            report.add("delete", Verdict::Warning, format!("{}: `publish prune` and removed channels need it", failure.message))
        }
    }
    publisher.remember_store()?;
    report.good = !report.checks.iter().any(|check| check.verdict == Verdict::Failed);
    Ok(report)
}

impl StoreReport {
    fn add(&mut self, name: &'static str, verdict: Verdict, meaning: impl Into<String>) {
        self.checks.push(Check { name, verdict, meaning: meaning.into() });
    }

    fn try_all(&mut self, publisher: &Publisher, probe: &Probe<'_>, public_url: Option<&str>, names: &mut Vec<ObjectName>) -> Result<()> {
        let storage = publisher.storage.as_ref();
        let mut name = |text: &str| {
            let name = probe.name(text);
            names.push(name.clone());
            name
        };
        let small = name("small.json");
        storage.put(&small, b"{}")?;
        self.add("write", Verdict::Ok, "objects can be written with these credentials");
        self.check_reading(storage, &small, &probe.name("missing"))?;
        let conditions = self.check_conditions(storage, probe)?;
        self.check_headers(storage, &small, &name("copy.json"))?;
        self.check_large(storage, &name("large"))?;
        self.check_clock(storage, &small)?;
        self.check_versions(storage, &small)?;
        let plus = name("a+b");
        storage.put(&plus, b"plus")?;
        let raw_plus = self.check_public(public_url, &plus, &probe.name("missing"));
        let _ = publisher.conditions.found.set(KnownStore { identity: publisher.memory.identity.clone(), conditions, raw_plus });
        if conditions == Conditions::Enforced {
            self.settings.push("conditions: enforced".into());
        } else {
            self.settings.push("conditions: ignored".into());
        }
        match storage.properties().etag_quotes {
            Some(EtagQuotes::Strip) => self.settings.push("etag_quotes: strip".into()),
            Some(EtagQuotes::Keep) => self.settings.push("etag_quotes: keep".into()),
            None => {}
        }
        match raw_plus {
            Some(RawPlus::Works) => self.settings.push("raw_plus: works".into()),
            Some(RawPlus::Broken) => self.settings.push("raw_plus: broken".into()),
            None => {}
        }
        Ok(())
    }

    fn check_reading(&mut self, storage: &dyn Storage, there: &ObjectName, missing: &ObjectName) -> Result<()> {
        if storage.get(there, 64)?.is_none_or(|object| object.bytes != b"{}") {
            return Err(Error::new(Kind::Storage, format!("{} does not return what was written", storage.location())));
        }
        match storage.get(missing, 64) {
            Ok(None) => self.add("missing objects", Verdict::Ok, "are distinguished from refused objects"),
            Ok(Some(_)) => self.add("missing objects", Verdict::Failed, "an object exists that was never written"),
            Err(failure) if failure.kind == Kind::Permission => self.add(
                "missing objects",
                Verdict::Failed,
                "are answered as refused: these credentials have no right to list the bucket (s3:ListBucket), and without it a missing object cannot be distinguished from a refused one",
            ),
            Err(failure) => return Err(failure),
        }
        match storage.list(there.as_str()) {
            Ok(found) if found.iter().any(|stored| stored.name == *there) => {
                self.add("list", Verdict::Ok, "objects can be listed, which `publish prune` needs")
            }
            Ok(_) => {
                self.add("list", Verdict::Warning, "a new object is not listed at once: `publish prune` may leave files, which is safe")
            }
            Err(failure) if failure.kind == Kind::Permission => {
                self.add("list", Verdict::Warning, "not permitted: `publish prune` will not work")
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn check_conditions(&mut self, storage: &dyn Storage, probe: &Probe<'_>) -> Result<Conditions> {
        let conditions = probe.conditions()?;
        if conditions == Conditions::Ignored {
            self.add(
                "conditions",
                Verdict::Failed,
                "ignored: the store overwrites objects that exist or have changed, without an error. Two publishers would destroy each other's changes; you can publish here only with `single_publisher: true`, which nothing enforces",
            );
            return Ok(conditions);
        }
        let form = if storage.properties().etag_quotes == Some(EtagQuotes::Strip) { " (with ETags stripped of their quotes)" } else { "" };
        self.add(
            "conditions",
            Verdict::Ok,
            format!("create-only and compare-and-swap are enforced{form}: any number of publishers can work at once"),
        );
        match probe.race(ROUNDS)? {
            0 => self.add("race", Verdict::Ok, format!("{ROUNDS} rounds of 8 writers at once: exactly one winner each")),
            bad => {
                self.add(
                    "race",
                    Verdict::Failed,
                    format!("{bad} of {ROUNDS} rounds of 8 writers did not have exactly one winner: the store checks conditions, but not atomically"),
                );
                return Ok(Conditions::Ignored);
            }
        }
        Ok(conditions)
    }

    fn check_headers(&mut self, storage: &dyn Storage, small: &ObjectName, copy: &ObjectName) -> Result<()> {
        let wanted = Headers::of(small);
        match storage.upkeep().headers(small)? {
            None => self.add(
                "headers",
                Verdict::Skipped,
                "a directory stores no headers: the web server must send Cache-Control (docs/stores.md)",
            ),
            Some((cache, kind)) if cache == wanted.cache_control && kind == wanted.content_type => {
                self.add("headers", Verdict::Ok, format!("Cache-Control ({NO_CACHE} on what may change) and Content-Type are kept"));
            }
            Some((cache, kind)) => self.add(
                "headers",
                Verdict::Warning,
                format!(
                    "Cache-Control comes back as `{}` and Content-Type as `{}`: set them at the CDN or web server (docs/stores.md)",
                    cache.escape_debug(),
                    kind.escape_debug()
                ),
            ),
        }
        storage.copy(small, copy, None)?;
        let copied = storage.get(copy, 64)?.is_some_and(|object| object.bytes == b"{}");
        let (verdict, meaning) = if copied {
            (Verdict::Ok, "server-side copies work: plain names cost no upload")
        } else {
            (Verdict::Failed, "a copy has other content than its source")
        };
        self.add("copy", verdict, meaning);
        Ok(())
    }

    fn check_large(&mut self, storage: &dyn Storage, name: &ObjectName) -> Result<()> {
        let content = vec![b'x'; LARGE];
        let send = || -> Result<bool> {
            let mut upload = storage.begin(Some((name, LARGE as u64)))?;
            upload.write(&content)?;
            upload.finish(name)?;
            Ok(storage.stat(name)?.is_some_and(|stored| stored.length == LARGE as u64))
        };
        match send() {
            Ok(true) => self.add("large objects", Verdict::Ok, "uploads in parts work"),
            Ok(false) => self.add("large objects", Verdict::Failed, "an upload in parts has a wrong length"),
            Err(failure) if failure.kind == Kind::Permission => return Err(failure),
            Err(failure) => {
                self.add("large objects", Verdict::Failed, format!("{}: files over 8 MiB cannot be published", failure.message))
            }
        }
        Ok(())
    }

    fn check_clock(&mut self, storage: &dyn Storage, name: &ObjectName) -> Result<()> {
        let Some(stored) = storage.stat(name)? else { return Ok(()) };
        let now = SystemTime::now();
        let apart = now.duration_since(stored.modified).or_else(|_| stored.modified.duration_since(now)).map_or(0, |apart| apart.as_secs());
        match apart {
            0..=60 => self.add("clock", Verdict::Ok, "agrees with the store's to the minute"),
            apart => self.add(
                "clock",
                Verdict::Warning,
                format!("differs from the store's by {apart} seconds: correct it; expiry and `publish prune` depend on it"),
            ),
        }
        Ok(())
    }

    fn check_versions(&mut self, storage: &dyn Storage, name: &ObjectName) -> Result<()> {
        if storage.upkeep().keeps_versions(name)? == Some(true) {
            self.add(
                "versioned bucket",
                Verdict::Warning,
                "the bucket keeps old versions of objects: deleting frees no space until a lifecycle rule expires noncurrent versions",
            );
        }
        Ok(())
    }

    /// What clients get over http, and whether a raw `+` reaches its object.
    fn check_public(&mut self, public_url: Option<&str>, plus: &ObjectName, missing: &ObjectName) -> Option<RawPlus> {
        let Some(url) = public_url else {
            self.add(
                "clients",
                Verdict::Skipped,
                "no `public_url` in the config: what clients get was not checked, nor whether names with `+` reach them",
            );
            return None;
        };
        let look = |name: &ObjectName| HttpSource::within(url, PATIENCE)?.look(name);
        match look(missing) {
            Ok((404, _)) => self.add("clients: missing root", Verdict::Ok, "404, as clients need it to see that there is no newer root"),
            Ok((status, _)) => self.add(
                "clients: missing root",
                Verdict::Failed,
                format!("{status} instead of 404: the trdl client fails on it. On S3, give all users s3:ListBucket, or map the answer to 404 at the CDN (docs/stores.md)"),
            ),
            Err(failure) => {
                self.add("clients", Verdict::Warning, format!("{}: what clients get could not be checked from here", failure.message));
                return None;
            }
        }
        match look(plus) {
            Ok((200, body)) if body == b"plus" => {
                self.add("clients: + in names", Verdict::Ok, "a raw + reaches its object");
                Some(RawPlus::Works)
            }
            Ok((status, _)) => {
                self.add(
                    "clients: + in names",
                    Verdict::Warning,
                    format!(
                        "a raw + does not reach its object ({status}); the trdl client sends it raw, so versions with + will be refused"
                    ),
                );
                Some(RawPlus::Broken)
            }
            Err(failure) => {
                self.add("clients: + in names", Verdict::Warning, failure.message);
                None
            }
        }
    }
}
