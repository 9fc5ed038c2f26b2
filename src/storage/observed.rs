use super::{Leftovers, Object, Obstacle, Properties, Rivals, Source, Storage, Stored, Token, Upkeep, Upload};
use crate::error::Result;
use crate::names::ObjectName;
use std::io::Read;
use std::time::SystemTime;

/// A call to a storage, as an observer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method's name; an upload is seen once, as `upload`, when it is finished.
    pub method: &'static str,
    /// The object, the prefix for `list`, the destination for `copy`; empty for `sync`.
    pub name: String,
    /// Whether the call has been carried out already: each one is seen before and after.
    pub done: bool,
}

/// A storage whose calls can be observed and made to fail: how tests count requests and kill publishers between any two
/// of them.
pub struct Observed<F> {
    inner: Box<dyn Storage>,
    watch: F,
    clock: Option<Box<dyn Fn() -> SystemTime + Send + Sync>>,
}

impl<F: Fn(Call) -> Result<()> + Send + Sync> Observed<F> {
    /// Wraps a storage. `watch` sees every call before and after; an error from it becomes the call's.
    pub fn new(inner: Box<dyn Storage>, watch: F) -> Self {
        Self { inner, watch, clock: None }
    }

    /// The same, with another clock of the store.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Some(Box::new(clock)), ..self }
    }

    fn around<T>(&self, method: &'static str, name: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let seen = |done| Call { method, name: name.into(), done };
        (self.watch)(seen(false))?;
        let answer = call()?;
        (self.watch)(seen(true))?;
        Ok(answer)
    }
}

impl<F: Fn(Call) -> Result<()> + Send + Sync> Source for Observed<F> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        self.around("get", name.as_str(), || self.inner.get(name, limit))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        self.around("open", name.as_str(), || self.inner.open(name))
    }
}

impl<F: Fn(Call) -> Result<()> + Send + Sync> Storage for Observed<F> {
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        self.around("create", name.as_str(), || self.inner.create(name, bytes))
    }

    fn compare_and_swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool> {
        self.around("compare_and_swap", name.as_str(), || self.inner.compare_and_swap(name, expected, bytes))
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.around("put", name.as_str(), || self.inner.put(name, bytes))
    }

    fn begin(&self, known: Option<(&ObjectName, u64)>) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(Watched { storage: self, upload: self.inner.begin(known)? }))
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn copy(&self, from: &ObjectName, to: &ObjectName, content: Option<&[u8]>) -> Result<()> {
        self.around("copy", to.as_str(), || self.inner.copy(from, to, content))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.around("stat", name.as_str(), || self.inner.stat(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        self.around("list", prefix, || self.inner.list(prefix))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.around("delete", name.as_str(), || self.inner.delete(name))
    }

    fn obstacle(&self, name: &ObjectName) -> Result<Option<Obstacle>> {
        self.around("obstacle", name.as_str(), || self.inner.obstacle(name))
    }

    fn is_copy(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        self.around("is_copy", b.as_str(), || self.inner.is_copy(a, b))
    }

    fn sync(&self) -> Result<()> {
        self.around("sync", "", || self.inner.sync())
    }

    fn clock(&self) -> Result<Option<SystemTime>> {
        self.clock.as_ref().map_or_else(|| self.inner.clock(), |clock| Ok(Some(clock())))
    }

    fn known_time(&self) -> Option<SystemTime> {
        self.clock.as_ref().map_or_else(|| self.inner.known_time(), |clock| Some(clock()))
    }

    fn rivals(&self) -> Result<Rivals> {
        self.inner.rivals()
    }
}

impl<F: Fn(Call) -> Result<()> + Send + Sync> Upkeep for Observed<F> {
    fn headers(&self, name: &ObjectName) -> Result<Option<(String, String)>> {
        self.around("headers", name.as_str(), || self.inner.upkeep().headers(name))
    }

    fn keeps_versions(&self, name: &ObjectName) -> Result<Option<bool>> {
        self.inner.upkeep().keeps_versions(name)
    }

    fn sweep(&self, before: SystemTime) -> Result<usize> {
        self.around("sweep", "", || self.inner.upkeep().sweep(before))
    }

    fn leftovers(&self) -> Result<Option<Leftovers>> {
        self.inner.upkeep().leftovers()
    }
}

struct Watched<'s, F> {
    storage: &'s Observed<F>,
    upload: Box<dyn Upload + 's>,
}

impl<F: Fn(Call) -> Result<()> + Send + Sync> Upload for Watched<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<()> {
        let Self { storage, upload } = *self;
        storage.around("upload", name.as_str(), || upload.finish(name))
    }
}
