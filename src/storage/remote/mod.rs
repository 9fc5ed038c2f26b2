//! Repositories in object stores: Amazon S3 and its relatives, Google Cloud Storage, Azure Blob Storage.
//!
//! - `create` and `swap` are single conditional requests; nothing here locks. A request that the store carried out
//!   although it answered an error is retried by the client library and then refused by its own condition: the caller
//!   finds that out by reading back, as the commit does.
//! - Every name goes to the store literally. Headers follow from the name ([`Headers::of`]); a server-side copy keeps
//!   those of its source, so it is used only where both names have the same.
//! - Threads call in; a small private runtime carries the requests out.

mod dated;
mod errors;
mod services;
#[cfg(feature = "s3")]
mod unfinished;
mod upload;

use self::errors::{conflict, missing, translate};
use self::upload::{Buffers, Sending};
use super::memory::check_limit;
use super::{
    Conditions, EtagQuotes, Headers, Location, Object, Properties, Service, Source, Storage, StoreOptions, Stored, Token, Upkeep, Upload,
};
use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Bytes of one part of a large upload, and the most that wait in memory for one small object.
const PART: usize = 8 << 20;
/// Parts in flight at once: this many times [`PART`] is the memory that uploads take.
const PARTS_IN_FLIGHT: usize = 12;
/// Content up to this length is sent whole, once its name is known.
const UNNAMED: u64 = 2 << 20;
/// Requests wait for the network, not for this machine: many at once.
const PARALLEL: usize = 32;
/// Amazon's limit for one copy request; others have the same or none.
const LONGEST_COPY: u64 = 5 << 30;

/// Which form of an ETag the store takes in a condition.
const UNKNOWN: u8 = 0;
const KEEP: u8 = 1;
const STRIP: u8 = 2;

/// A repository in an object store.
pub struct Remote {
    store: Arc<dyn ObjectStore>,
    #[cfg(feature = "s3")]
    unfinished: Option<unfinished::Unfinished>,
    clock: dated::StoreClock,
    runtime: Arc<Runtime>,
    location: Location,
    /// Stands before every name: empty, or ending with a slash.
    prefix: String,
    quotes: AtomicU8,
    conditions: Option<Conditions>,
    single_publisher: bool,
    parts: Arc<Semaphore>,
    buffers: Buffers,
}

impl Remote {
    /// The repository at a bucket location. Nothing is asked of the store yet.
    pub fn open(location: &Location, options: &StoreOptions) -> Result<Self> {
        let Location::Bucket { service, bucket, prefix } = location else {
            return Err(Error::new(Kind::Unexpected, format!("{location} is not an object store")));
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("requests")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Unexpected, "cannot start the threads for requests").source(error))?;
        let options = StoreOptions { endpoint: options.endpoint_for(location), ..options.clone() };
        let connected = services::connect(*service, bucket, &options)?;
        Ok(Self {
            store: connected.store,
            #[cfg(feature = "s3")]
            unfinished: connected.unfinished,
            clock: connected.clock,
            runtime: Arc::new(runtime),
            location: location.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            quotes: AtomicU8::new(match options.etag_quotes {
                // Only relatives of S3 are known to expect another form than the standard's.
                None if *service == Service::S3 => UNKNOWN,
                None | Some(EtagQuotes::Keep) => KEEP,
                Some(EtagQuotes::Strip) => STRIP,
            }),
            conditions: options.conditions,
            single_publisher: options.single_publisher,
            parts: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
            buffers: Buffers::default(),
        })
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The key of an object, taken literally: no character of it is read as an escape.
    fn key(&self, name: &ObjectName) -> Result<Path> {
        name.check()?;
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| Error::invalid(format!("{name} cannot be a key")).source(error))
    }

    fn failed(&self, doing: &str, what: impl std::fmt::Display, error: object_store::Error) -> Error {
        translate(&format!("cannot {doing} {what} in {}", self.location), &self.location, &error)
    }

    fn fetch(&self, name: &ObjectName) -> Result<Option<GetResult>> {
        let key = self.key(name)?;
        match self.run(self.store.get(&key)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    fn put_with(&self, name: &ObjectName, bytes: Bytes, mode: PutMode) -> Result<object_store::Result<()>> {
        let key = self.key(name)?;
        let options = PutOptions { mode, attributes: attributes(name), ..PutOptions::default() };
        Ok(self.run(self.store.put_opts(&key, bytes.into(), options)).map(drop))
    }

    fn put_bytes(&self, name: &ObjectName, bytes: Bytes) -> Result<()> {
        self.put_with(name, bytes, PutMode::Overwrite)?.map_err(|error| self.failed("write", name, error))
    }

    /// Carries out a conditional write; `false` if its condition did not hold.
    fn conditional(&self, name: &ObjectName, bytes: &[u8], mode: PutMode) -> Result<bool> {
        match self.put_with(name, Bytes::copy_from_slice(bytes), mode)? {
            Ok(()) => Ok(true),
            Err(error) if conflict(&error) => Ok(false),
            Err(error) => Err(self.failed("write", name, error)),
        }
    }

    /// Whether conditions are looked after here, for a lone publisher: some stores ignore them, some then refuse all. A
    /// probe must see what the store itself does.
    fn emulates(&self, name: &ObjectName) -> bool {
        self.single_publisher && !name.is_probe()
    }

    fn stored(&self, meta: &ObjectMeta) -> Option<Stored> {
        let name = meta.location.as_ref().strip_prefix(&self.prefix)?;
        Some(Stored { name: ObjectName::listed(name), length: meta.size, modified: meta.last_modified.into() })
    }
}

/// The headers of an object as the store's library takes them.
fn attributes(name: &ObjectName) -> Attributes {
    let headers = Headers::of(name);
    let pairs = [(Attribute::CacheControl, headers.cache_control), (Attribute::ContentType, headers.content_type)];
    pairs.into_iter().collect()
}

/// An ETag and a version, as one token.
fn token(meta: &ObjectMeta) -> Token {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    Token(format!("{}\n{}", part(&meta.e_tag), part(&meta.version)).into_bytes())
}

fn update(token: &Token, strip: bool) -> Option<UpdateVersion> {
    let (tag, version) = std::str::from_utf8(&token.0).ok()?.split_once('\n')?;
    let tag = if strip { tag.trim_matches('"') } else { tag };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(UpdateVersion { e_tag: some(tag), version: some(version) })
}

impl Source for Remote {
    fn location(&self) -> String {
        self.location.to_string()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        let Some(found) = self.fetch(name)? else { return Ok(None) };
        check_limit(name, found.meta.size, limit)?;
        let token = token(&found.meta);
        let bytes = self.run(found.bytes()).map_err(|error| self.failed("read", name, error))?;
        Ok(Some(Object { bytes: bytes.into(), token }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.fetch(name)?.map(|found| {
            let content = Content { stream: found.into_stream(), chunk: Bytes::new(), runtime: Arc::clone(&self.runtime) };
            Box::new(content) as Box<dyn Read + Send>
        }))
    }
}

impl Storage for Remote {
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        if self.emulates(name) {
            return if self.stat(name)?.is_some() { Ok(false) } else { self.put(name, bytes).map(|()| true) };
        }
        self.conditional(name, bytes, PutMode::Create)
    }

    fn compare_and_swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool> {
        let Some(expected) = expected else { return self.create(name, bytes) };
        if self.emulates(name) {
            let same = self.get(name, u64::MAX)?.is_some_and(|object| object.token == *expected);
            return if same { self.put(name, bytes).map(|()| true) } else { Ok(false) };
        }
        let known = self.quotes.load(Ordering::Relaxed);
        for form in [KEEP, STRIP] {
            if known != UNKNOWN && known != form {
                continue;
            }
            let version = update(expected, form == STRIP)
                .ok_or_else(|| Error::new(Kind::Unexpected, format!("the version token of {name} is not one of this store")))?;
            if self.conditional(name, bytes, PutMode::Update(version))? {
                self.quotes.store(form, Ordering::Relaxed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.put_bytes(name, Bytes::copy_from_slice(bytes))
    }

    fn begin(&self, known: Option<(&ObjectName, u64)>) -> Result<Box<dyn Upload + '_>> {
        let (name, length) = known.map_or((None, UNNAMED), |(name, length)| (Some(name.clone()), length));
        Ok(Box::new(Sending::new(self, name, length)))
    }

    fn properties(&self) -> Properties {
        let etag_quotes = match self.quotes.load(Ordering::Relaxed) {
            KEEP => Some(EtagQuotes::Keep),
            STRIP => Some(EtagQuotes::Strip),
            _ => None,
        };
        Properties { longest_unnamed: UNNAMED, longest_copy: LONGEST_COPY, parallelism: PARALLEL, conditions: self.conditions, etag_quotes }
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn copy(&self, from: &ObjectName, to: &ObjectName, content: Option<&[u8]>) -> Result<()> {
        if Headers::of(from) == Headers::of(to) {
            let (source, target) = (self.key(from)?, self.key(to)?);
            return self.run(self.store.copy(&source, &target)).map_err(|error| self.failed(&format!("copy {from} to"), to, error));
        }
        if let Some(content) = content {
            return self.put(to, content);
        }
        let gone = || Error::new(Kind::NotFound, format!("cannot copy {from}: it is not in {}", self.location));
        let found = self.fetch(from)?.ok_or_else(gone)?;
        let length = found.meta.size;
        let mut content = Content { stream: found.into_stream(), chunk: Bytes::new(), runtime: Arc::clone(&self.runtime) };
        let mut upload = self.begin(Some((to, length)))?;
        let mut buffer = vec![0_u8; (256 << 10).min(usize::try_from(length).unwrap_or(usize::MAX).max(1))];
        loop {
            match content.read(&mut buffer).map_err(|error| Error::io("copy", from, error))? {
                0 => return upload.finish(to),
                count => upload.write(&buffer[..count])?,
            }
        }
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>> {
        let key = self.key(name)?;
        match self.run(self.store.head(&key)) {
            Ok(meta) => Ok(self.stored(&meta)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(self.failed("look at", name, error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        // Stores list by whole parts of a name here; the rest is filtered.
        let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        let wanted = format!("{}{directory}", self.prefix);
        let within = Path::parse(&wanted).map_err(|error| Error::invalid(format!("cannot list {wanted}")).source(error))?;
        let within = (!within.as_ref().is_empty()).then_some(within);
        let mut found = Vec::new();
        self.run(async {
            let mut entries = self.store.list(within.as_ref());
            while let Some(entry) = entries.next().await {
                found.extend(self.stored(&entry?).filter(|stored| stored.name.as_str().starts_with(prefix)));
            }
            Ok(())
        })
        .map_err(|error| self.failed("list", prefix, error))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let key = self.key(name)?;
        match self.run(self.store.delete(&key)) {
            Err(error) if !missing(&error) => Err(self.failed("delete", name, error)),
            _ => Ok(()),
        }
    }

    fn is_copy(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        // Equal ETags of one store are equal content; a copy of what came in parts has another ETag.
        let tag = |name: &ObjectName| -> Result<Option<String>> {
            match self.run(self.store.head(&self.key(name)?)) {
                Ok(meta) => Ok(meta.e_tag),
                Err(error) if missing(&error) => Ok(None),
                Err(error) => Err(self.failed("look at", name, error)),
            }
        };
        let looks_like_a_digest = matches!(self.location, Location::Bucket { service: Service::S3, .. });
        Ok(looks_like_a_digest && tag(a)?.is_some_and(|a| tag(b).is_ok_and(|b| b == Some(a))))
    }

    fn sync(&self) -> Result<()> {
        // A store acknowledges what is durable.
        Ok(())
    }

    fn clock(&self) -> Result<Option<SystemTime>> {
        Ok(self.clock.now())
    }

    fn known_time(&self) -> Option<SystemTime> {
        self.clock.now()
    }
}

impl Upkeep for Remote {
    fn keeps_versions(&self, name: &ObjectName) -> Result<Option<bool>> {
        // On the others every object has a version or generation, kept or not.
        let tells = matches!(self.location, Location::Bucket { service: Service::S3, .. });
        let key = self.key(name)?;
        if !tells {
            return Ok(None);
        }
        let meta = self.run(self.store.head(&key)).map_err(|error| self.failed("look at", name, error))?;
        Ok(Some(meta.version.is_some()))
    }

    #[cfg(feature = "s3")]
    fn sweep(&self, before: SystemTime) -> Result<usize> {
        self.unfinished.as_ref().map_or(Ok(0), |unfinished| self.run(unfinished.sweep(&self.prefix, before)))
    }

    fn headers(&self, name: &ObjectName) -> Result<Option<(String, String)>> {
        Ok(self.fetch(name)?.map(|found| {
            let text = |attribute: &Attribute| found.attributes.get(attribute).map(|value| value.to_string()).unwrap_or_default();
            (text(&Attribute::CacheControl), text(&Attribute::ContentType))
        }))
    }
}

/// An object read as it arrives.
struct Content {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    chunk: Bytes,
    runtime: Arc<Runtime>,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk.map_err(|error| io::Error::other(errors::summary(&error)))?,
            }
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}
