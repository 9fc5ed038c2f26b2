use super::{Object, Source, Storage, Stored, Token, Upload};
use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A store in memory, for tests and for trying things out.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<ObjectName, Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    bytes: Vec<u8>,
    generation: u64,
    modified: SystemTime,
}

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Held>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(objects: &mut BTreeMap<ObjectName, Held>, name: &ObjectName, bytes: Vec<u8>) -> Result<()> {
    name.check()?;
    let generation = objects.get(name).map_or(1, |held| held.generation + 1);
    objects.insert(name.clone(), Held { bytes, generation, modified: SystemTime::now() });
    Ok(())
}

impl Held {
    fn token(&self) -> Token {
        Token(self.generation.to_le_bytes().to_vec())
    }
}

impl Source for Memory {
    fn location(&self) -> String {
        "memory".into()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        name.check()?;
        let objects = self.objects();
        let Some(held) = objects.get(name) else { return Ok(None) };
        check_limit(name, held.bytes.len() as u64, limit)?;
        Ok(Some(Object { bytes: held.bytes.clone(), token: held.token() }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.objects().get(name).map(|held| Box::new(Cursor::new(held.bytes.clone())) as Box<dyn Read + Send>))
    }
}

impl Storage for Memory {
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let mut objects = self.objects();
        let free = !objects.contains_key(name);
        if free {
            write(&mut objects, name, bytes.to_vec())?;
        }
        Ok(free)
    }

    fn compare_and_swap(&self, name: &ObjectName, expected: Option<&Token>, bytes: &[u8]) -> Result<bool> {
        let mut objects = self.objects();
        let same = objects.get(name).map(Held::token).as_ref() == expected;
        if same {
            write(&mut objects, name, bytes.to_vec())?;
        }
        Ok(same)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        write(&mut self.objects(), name, bytes.to_vec())
    }

    fn begin(&self, _known: Option<(&ObjectName, u64)>) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(Pending { memory: self, bytes: Vec::new() }))
    }

    fn copy(&self, from: &ObjectName, to: &ObjectName, _content: Option<&[u8]>) -> Result<()> {
        let mut objects = self.objects();
        let bytes = objects.get(from).map(|held| held.bytes.clone());
        let bytes = bytes.ok_or_else(|| Error::new(Kind::NotFound, format!("cannot copy {from}: it is not there")))?;
        write(&mut objects, to, bytes)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Stored>> {
        Ok(self.objects().get(name).map(|held| stored(name, held)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        Ok(self.objects().iter().filter(|(name, _)| name.as_str().starts_with(prefix)).map(|(name, held)| stored(name, held)).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn clock(&self) -> Result<Option<SystemTime>> {
        Ok(Some(SystemTime::now()))
    }
}

fn stored(name: &ObjectName, held: &Held) -> Stored {
    Stored { name: name.clone(), length: held.bytes.len() as u64, modified: held.modified }
}

/// Refuses an object longer than the caller is willing to read.
pub(super) fn check_limit(name: &ObjectName, length: u64, limit: u64) -> Result<()> {
    if length <= limit {
        return Ok(());
    }
    Err(Error::new(Kind::Untrusted, format!("{name} has {length} bytes; no more than {limit} are read")))
}

struct Pending<'m> {
    memory: &'m Memory,
    bytes: Vec<u8>,
}

impl Upload for Pending<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<()> {
        write(&mut self.memory.objects(), name, self.bytes)
    }
}
