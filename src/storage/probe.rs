//! Finds out what a store really does, by doing it: on objects of its own that it removes again.

use super::{Conditions, Storage};
use crate::error::{Error, Kind, Result};
use crate::names::ObjectName;
use std::sync::Barrier;
use std::time::SystemTime;

/// Writers in each round of the race.
const RACERS: usize = 8;

/// Names for one run of the probe.
pub struct Probe<'s> {
    storage: &'s dyn Storage,
    unique: String,
}

impl<'s> Probe<'s> {
    /// A probe with unused names.
    pub fn new(storage: &'s dyn Storage) -> Result<Self> {
        let mut random = [0_u8; 8];
        openssl::rand::rand_bytes(&mut random).map_err(|error| Error::new(Kind::Unexpected, "no randomness").source(error))?;
        Ok(Self { storage, unique: hex::encode(random) })
    }

    /// An object of this probe.
    pub fn name(&self, name: &str) -> ObjectName {
        ObjectName::probe(&self.unique, name)
    }

    /// The store's time, from an object that is new.
    pub fn clock(&self) -> Result<SystemTime> {
        let name = self.name("clock");
        self.storage.put(&name, b"clock")?;
        let there = self.storage.stat(&name)?;
        self.storage.delete(&name)?;
        let lost = || Error::new(Kind::Storage, format!("{} lost an object that it had just taken", self.storage.location()));
        Ok(there.ok_or_else(lost)?.modified)
    }

    /// Whether creating what exists and swapping what has changed are refused, and what must succeed does.
    pub fn conditions(&self) -> Result<Conditions> {
        let name = self.name("conditions");
        let answer = self.try_conditions(&name);
        self.storage.delete(&name)?;
        answer
    }

    fn try_conditions(&self, name: &ObjectName) -> Result<Conditions> {
        let refuses = |what: &str| {
            Error::new(Kind::Storage, format!("{} refuses to {what}", self.storage.location()))
                .hint("nothing can be published there; a proxy in between may be changing the requests")
        };
        if !self.storage.create(name, b"first")? {
            return Err(refuses("create an object that is not there"));
        }
        if self.storage.create(name, b"second")? {
            return Ok(Conditions::Ignored);
        }
        let gone = || Error::new(Kind::Storage, format!("{} lost an object that it had just taken", self.storage.location()));
        let first = self.storage.get(name, 64)?.ok_or_else(gone)?;
        if !self.storage.compare_and_swap(name, Some(&first.token), b"third")? {
            return Err(refuses("replace an object by its ETag"));
        }
        if self.storage.compare_and_swap(name, Some(&first.token), b"fourth")? {
            return Ok(Conditions::Ignored);
        }
        let last = self.storage.get(name, 64)?.ok_or_else(gone)?;
        if last.bytes == b"third" { Ok(Conditions::Enforced) } else { Ok(Conditions::Ignored) }
    }

    /// Lets eight writers create one object, `rounds` times over; how many rounds did not have exactly one winner.
    pub fn race(&self, rounds: usize) -> Result<usize> {
        let mut bad = 0;
        for round in 0..rounds {
            let name = self.name(&format!("race-{round}"));
            let start = Barrier::new(RACERS);
            let won: Vec<Result<bool>> = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS)
                    .map(|racer| {
                        let (name, start) = (&name, &start);
                        scope.spawn(move || {
                            start.wait();
                            self.storage.create(name, racer.to_string().as_bytes())
                        })
                    })
                    .collect();
                racers.into_iter().map(|racer| racer.join().unwrap_or(Ok(false))).collect()
            });
            self.storage.delete(&name)?;
            let won = won.into_iter().collect::<Result<Vec<bool>>>()?;
            bad += usize::from(won.into_iter().filter(|won| *won).count() != 1);
        }
        Ok(bad)
    }
}
