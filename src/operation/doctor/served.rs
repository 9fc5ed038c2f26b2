//! What clients get from `public_url`, compared with the store.

use super::check::{Checklist, Item, described};
use super::clock::Date;
use super::repository::{canonical, own_version};
use super::web::{self, Web};
use super::{DoctorRequest, Publisher, WEB_PATIENCE};
use crate::error::Kind;
use crate::metadata::{Envelope, ROOT_LIMIT, TIMESTAMP_LIMIT};
use crate::names::ObjectName;
use crate::operation::bounded::within;
use crate::repository::{Present, Versions, sight};
use crate::storage::{Answer, HttpSource};
use chrono::Utc;
use std::sync::Arc;

const ITEMS: [Item; 8] =
    [Item::PublicUrl, Item::Encryption, Item::ServedState, Item::MissingFiles, Item::CacheHeaders, Item::Gzip, Item::Plus, Item::Ranges];

/// Gives the times of other clocks that were seen.
pub(super) fn check(
    publisher: &Arc<Publisher>,
    request: &DoctorRequest,
    pinned: Option<&[u8]>,
    present: Option<&Present>,
    list: &mut Checklist,
) -> Vec<Date> {
    let mut dates: Vec<Date> = stores_date(publisher, request).into_iter().collect();
    let Some(url) = &request.public_url else {
        let why = if publisher.memory.recall.configured {
            "no `public_url` in the config"
        } else {
            "`public_url` belongs to the configured repository"
        };
        list.none_checked(&ITEMS, why);
        return dates;
    };
    let url = url.trim_end_matches('/');
    let web = match Web::new(url) {
        Ok(web) => web,
        Err(failure) => {
            list.failure(Item::PublicUrl, super::Verdict::Failed, &failure, "write `public_url: https://HOST/PATH` in the config");
            list.none_checked(&ITEMS[1..], "`public_url` is not usable");
            return dates;
        }
    };
    let answer = match web.ask("timestamp.json", &[], TIMESTAMP_LIMIT + 1) {
        Ok(answer) => answer,
        Err(failure) => {
            list.failure(
                Item::PublicUrl,
                super::Verdict::Failed,
                &failure,
                "check the web server, the name of the host and the network; a proxy is taken from HTTPS_PROXY and HTTP_PROXY",
            );
            list.none_checked(&ITEMS[1..], "`public_url` does not answer");
            return dates;
        }
    };
    if let Some(theirs) = answer.date() {
        dates.push(Date { place: url.to_owned(), theirs, ours: answer.received });
    }
    web::check_encryption(&web, url, &answer, list);
    web::check_missing(&web, present, list);
    if !is_metadata(url, &answer, list) {
        list.none_checked(&[Item::ServedState, Item::CacheHeaders, Item::Gzip, Item::Plus, Item::Ranges], "timestamp.json is not served");
        return dates;
    }
    web::check_caches(&answer, list);
    let versions = verify(publisher, url, &web, pinned, list);
    compare(publisher, url, &answer, versions, present, list);
    match (present, versions) {
        (Some(present), Some(_)) => web::check_files(&web, publisher, present, list),
        _ => list.none_checked(&[Item::Gzip, Item::Plus, Item::Ranges], "the repository is not served there"),
    }
    dates
}

/// Answers of a bucket are dated; a directory has the clock of this machine, or could only be asked by writing.
fn stores_date(publisher: &Publisher, request: &DoctorRequest) -> Option<Date> {
    if request.directory.is_some() || request.store_failure.is_some() {
        return None;
    }
    let theirs = publisher.storage.clock().ok().flatten()?;
    Some(Date { place: publisher.storage.location(), theirs: theirs.into(), ours: Utc::now() })
}

/// Whether the answer can be a timestamp.
fn is_metadata(url: &str, answer: &Answer, list: &mut Checklist) -> bool {
    let fetched = format!("{url}/timestamp.json");
    let look = format!("curl -i {fetched}");
    match answer.status {
        200 if answer.is_page() => {
            list.failed(
                Item::PublicUrl,
                format!("{fetched} is a web page: a login page or captive portal on the way, or another site"),
                format!("{look}; correct the web server or `public_url`"),
            );
            false
        }
        200 if Envelope::parse(&answer.body, "timestamp.json").is_err() => {
            list.failed(
                Item::PublicUrl,
                format!("{fetched} is not TUF metadata"),
                format!("{look}; correct the web server or `public_url`"),
            );
            false
        }
        200 => true,
        300..=399 => {
            let target = answer.header("location").unwrap_or("an unknown place").escape_debug().to_string();
            list.failed(
                Item::PublicUrl,
                format!("{fetched} leads to {target}, which was not followed"),
                "set `public_url` to the final address",
            );
            false
        }
        status @ (401 | 403 | 407) => {
            list.failed(
                Item::PublicUrl,
                format!("{fetched} is refused ({status})"),
                "permit reading without credentials, on S3 s3:GetObject and s3:ListBucket for everybody: docs/stores.md",
            );
            false
        }
        404 => {
            list.failed(
                Item::PublicUrl,
                format!("{fetched} does not exist (404)"),
                "correct `public_url`, or copy the repository to the web server, timestamp.json last",
            );
            false
        }
        status => {
            list.failed(
                Item::PublicUrl,
                format!("{fetched} is answered with {status}"),
                format!("{look}; look into the log of the web server"),
            );
            false
        }
    }
}

/// The versions that a client gets, if they verify from the pinned root.
fn verify(publisher: &Arc<Publisher>, url: &str, web: &Web, pinned: Option<&[u8]>, list: &mut Checklist) -> Option<Versions> {
    let Some(pinned) = pinned else {
        list.not_checked(Item::PublicUrl, format!("{url} answers; without a pinned root it cannot be verified"));
        return None;
    };
    let loaded = {
        let (url, pinned, now) = (url.to_owned(), pinned.to_owned(), publisher.now());
        within(2 * WEB_PATIENCE, move || HttpSource::within(&url, WEB_PATIENCE).and_then(|source| sight(&source, &pinned, now)))
    };
    match loaded.and_then(|seen| seen.map(|seen| seen.versions)) {
        Ok(versions) => {
            list.ok(Item::PublicUrl, format!("{url} serves this repository"));
            Some(versions)
        }
        Err(failure) if failure.kind == Kind::Untrusted && is_other(web, pinned) => {
            list.failed(
                Item::PublicUrl,
                format!("{url} serves another repository: its root is not the pinned one"),
                "correct `public_url`, or `root` and `repo`, in the config",
            );
            None
        }
        Err(failure) => {
            let remedy = "compare the web server's files with the store; copy timestamp.json last; purge the cache of the CDN";
            list.failed(Item::PublicUrl, format!("{url} does not verify: {}", described(&failure)), remedy);
            None
        }
    }
}

/// Whether the server has another root in the place of the pinned one.
fn is_other(web: &Web, pinned: &[u8]) -> bool {
    let version = own_version(pinned).unwrap_or(1);
    let served = web.ask(ObjectName::root(version).as_str(), &[], ROOT_LIMIT);
    served.is_ok_and(|answer| answer.status != 200 || canonical(&answer.body) != canonical(pinned))
}

fn compare(
    publisher: &Arc<Publisher>,
    url: &str,
    answer: &Answer,
    served: Option<Versions>,
    present: Option<&Present>,
    list: &mut Checklist,
) {
    let Some(served) = served else { return list.not_checked(Item::ServedState, "what is served does not verify") };
    let Some(present) = present else { return list.not_checked(Item::ServedState, "the state in the store is not known") };
    let own = present.versions();
    let age = answer.header("age").map_or(String::new(), |age| format!(", and its answer is {} s old", age.escape_debug()));
    let purge =
        "purge the cache of the CDN, and keep timestamp.json and 404s out of it: docs/stores.md#cdn-and-mirrors; for a mirror, copy again";
    if served.root < own.root {
        let next = served.root + 1;
        list.failed(
            Item::ServedState,
            format!(
                "clients get root {}, the store has {}: {next}.root.json is missing at {url}, or a cached 404 hides it",
                served.root, own.root
            ),
            purge,
        );
    } else if served.timestamp < own.timestamp {
        list.failed(
            Item::ServedState,
            format!("clients get timestamp {}, the store has {}: a cache or a copy is behind{age}", served.timestamp, own.timestamp),
            purge,
        );
    } else if answer.body == present.timestamp_file || is_published(publisher, answer) {
        list.ok(Item::ServedState, format!("clients get timestamp {} and root {}, as the store has them", served.timestamp, served.root));
    } else {
        list.failed(
            Item::ServedState,
            format!("clients get timestamp {}, the store has another with version {}: it was put back, or is not the one behind {url}", served.timestamp, own.timestamp),
            "correct `repo` or `public_url` in the config; after a restored backup: docs/recovery.md#the-bucket-was-restored-from-an-old-backup",
        );
    }
}

/// Whether the store holds the answer by now: another publisher may have published meanwhile.
fn is_published(publisher: &Arc<Publisher>, answer: &Answer) -> bool {
    let publisher = publisher.clone();
    let again = within(WEB_PATIENCE, move || publisher.storage.get(&ObjectName::timestamp(), TIMESTAMP_LIMIT));
    matches!(again, Ok(Ok(Some(object))) if object.bytes == answer.body)
}
