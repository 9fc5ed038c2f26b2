use super::{PART, Remote, attributes};
use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use crate::storage::Upload;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// Most parts that a store takes for one object.
const MOST_PARTS: u64 = 9_000;

/// Memory for parts, used again and again: to get so much anew from the kernel costs as much as to hash it.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer on its way to the store; it is reused when it is dropped everywhere.
struct Lent {
    content: Vec<u8>,
    buffers: Buffers,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.unwrap_or_else(|| Vec::with_capacity(PART))
    }

    fn lend(&self, content: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { content, buffers: self.clone() })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut content = std::mem::take(&mut self.content);
        // Small ones, and those of huge objects, are not worth keeping.
        if content.capacity() == PART {
            content.clear();
            self.buffers.0.lock().unwrap_or_else(PoisonError::into_inner).push(content);
        }
    }
}

/// An upload. What fits one part is one request; more is sent in parts while the rest is still being read.
pub(super) struct Sending<'r> {
    remote: &'r Remote,
    /// Where the parts go; needed before the first of them.
    name: Option<ObjectName>,
    part: usize,
    buffer: Vec<u8>,
    parts: Option<Parts>,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    running: Vec<JoinHandle<object_store::Result<()>>>,
}

impl<'r> Sending<'r> {
    /// An upload of about `length` bytes.
    pub fn new(remote: &'r Remote, name: Option<ObjectName>, length: u64) -> Self {
        let part = usize::try_from(length / MOST_PARTS).unwrap_or(usize::MAX).max(PART);
        let capacity = part.min(usize::try_from(length).unwrap_or(part)).min(PART);
        let buffer = if capacity == PART { remote.buffers.take() } else { Vec::with_capacity(capacity) };
        Self { remote, name, part, buffer, parts: None }
    }

    fn send_part(&mut self, bytes: Bytes) -> Result<()> {
        let Some(name) = &self.name else {
            return Err(Error::new(Kind::Unexpected, "content without a name is longer than a store takes at once"));
        };
        if self.parts.is_none() {
            let key = self.remote.key(name)?;
            let options = PutMultipartOptions { attributes: attributes(name), ..PutMultipartOptions::default() };
            let upload = self.remote.run(self.remote.store.put_multipart_opts(&key, options));
            let upload = upload.map_err(|error| self.remote.failed("start writing", name, error))?;
            self.parts = Some(Parts { upload, running: Vec::new() });
        }
        let permit = self.remote.run(Arc::clone(&self.remote.parts).acquire_owned());
        let permit = permit.map_err(|error| Error::new(Kind::Unexpected, "no more parts can be sent").source(error))?;
        if let Some(parts) = &mut self.parts {
            // The permit is given back when the part is with the store: this bounds the memory.
            let sending = parts.upload.put_part(bytes.into());
            parts.running.push(self.remote.runtime.spawn(async move {
                let sent = sending.await;
                drop(permit);
                sent
            }));
        }
        Ok(())
    }

    fn complete(&mut self, parts: &mut Parts) -> object_store::Result<()> {
        self.remote.run(async {
            for part in parts.running.drain(..) {
                part.await.map_err(|source| object_store::Error::JoinError { source })??;
            }
            parts.upload.complete().await.map(drop)
        })
    }
}

impl Upload for Sending<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.buffer.len() + bytes.len() > self.part {
            let (now, later) = bytes.split_at(self.part - self.buffer.len());
            self.buffer.extend_from_slice(now);
            bytes = later;
            let whole = std::mem::replace(&mut self.buffer, self.remote.buffers.take());
            self.send_part(self.remote.buffers.lend(whole))?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>, name: &ObjectName) -> Result<()> {
        let rest = self.remote.buffers.lend(std::mem::take(&mut self.buffer));
        if self.parts.is_none() {
            let permit = self.remote.run(Arc::clone(&self.remote.parts).acquire_owned());
            let written = self.remote.put_bytes(name, rest);
            drop(permit);
            return written;
        }
        if self.name.as_ref() != Some(name) {
            return Err(Error::new(Kind::Unexpected, format!("{name} was begun under another name")));
        }
        if !rest.is_empty() {
            self.send_part(rest)?;
        }
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        let completed = self.complete(&mut parts);
        if completed.is_err() {
            self.parts = Some(parts);
        }
        completed.map_err(|error| self.remote.failed("write", name, error))
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        for part in &parts.running {
            part.abort();
        }
        // What cannot be removed now is removed by the store's lifecycle rule for unfinished uploads.
        let _ = self.remote.run(parts.upload.abort());
    }
}
