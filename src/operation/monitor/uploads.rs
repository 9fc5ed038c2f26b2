//! What the monitor does with finished uploads.

use super::{Event, Monitor};
use crate::error::{Error, Kind, Result};
use crate::keys::Signers;
use crate::operation::change::add_targets::{self, AddTargetsRequest, NamedFiles};
use crate::operation::change::carry_out_before;
use crate::operation::drop_box::{Aside, DropBox, Guard, Noted, Took, Upload, superseded, took_place};
use crate::repository::Edit;
use std::path::Path;

impl Monitor<'_> {
    pub(super) fn empty_drop_box(&mut self) -> Result<()> {
        let Some(path) = &self.request.drop_box else { return Ok(()) };
        let mut drop_box = match self.drop_box.take().filter(|held| !held.is_replaced()) {
            Some(held) => held,
            None => match self.take_drop_box(path)? {
                Some(taken) => taken,
                None => return Ok(()),
            },
        };
        let emptied = self.empty(&mut drop_box);
        self.drop_box = Some(drop_box);
        emptied
    }

    /// Takes the drop box, or waits on standby.
    fn take_drop_box(&mut self, path: &Path) -> Result<Option<DropBox>> {
        let taken = DropBox::open(path, &self.request.prefix, self.request.limits, &self.request.state)?;
        match &taken {
            Some(drop_box) => {
                (self.log)(Event::Ready);
                if drop_box.guard() == Guard::OwnStateOnly {
                    (self.log)(Event::Unguarded);
                }
            }
            None if !self.standby => (self.log)(Event::Standby),
            None => {}
        }
        self.standby = taken.is_none();
        Ok(taken)
    }

    fn empty(&self, drop_box: &mut DropBox) -> Result<()> {
        let claimed = drop_box.claim()?;
        for (upload, failure) in &claimed.left_alone {
            (self.log)(Event::LeftAlone { upload, failure });
        }
        let mut uploads = Vec::new();
        for upload in claimed.uploads {
            match drop_box.read(&upload) {
                Ok(files) => uploads.push((upload, files)),
                Err(failure) => self.set_aside(drop_box, &upload, &failure)?,
            }
        }
        let (uploads, found_done) = self.without_done(drop_box, uploads)?;
        if claimed.cut_off || found_done {
            self.complete()?;
        }
        let mut postponed = None;
        for together in shares(uploads, self.request.at_once) {
            if let Err(failure) = self.publish(drop_box, together) {
                // Only what is one file's fault lets the others go on.
                if failure.input.is_none() {
                    return Err(failure);
                }
                postponed = Some(failure);
            }
        }
        // What earlier rounds published and did not get to.
        claimed.published.iter().for_each(|upload| self.remove(drop_box, upload));
        postponed.map_or(Ok(()), Err)
    }

    /// The uploads that are to be published, and whether there were others: those in a commit that took place although its
    /// monitor could not remember that.
    fn without_done(&self, drop_box: &mut DropBox, uploads: Vec<Filled>) -> Result<(Vec<Filled>, bool)> {
        if uploads.iter().all(|(upload, _)| drop_box.begun(upload).is_none()) {
            return Ok((uploads, false));
        }
        let mut present = self.publisher.load()?;
        let (mut left, mut done) = (Vec::new(), Vec::new());
        for (upload, files) in uploads {
            let took = match drop_box.begun(&upload) {
                Some(begun) => took_place(self.publisher, begun, &files, &mut present),
                None => Ok(Took::No),
            };
            match took {
                Ok(Took::No) => left.push((upload, files)),
                Ok(Took::Unknown) => self.set_aside(drop_box, &upload, &superseded(&upload))?,
                Ok(Took::Place) => done.push(upload),
                Err(error) => match refused(error, &[])? {
                    Some(refusal) => self.set_aside(drop_box, &upload, &refusal)?,
                    None => left.push((upload, files)),
                },
            }
        }
        drop_box.mark_published(&mut done)?;
        done.iter().for_each(|upload| self.remove(drop_box, upload));
        Ok((left, !done.is_empty()))
    }

    /// Does what follows a commit, such as plain names.
    fn complete(&self) -> Result<()> {
        self.publisher.begin_changes()?;
        self.publisher.commit(self.publisher.load()?, &Edit::default(), &Signers::new()).map(drop)?;
        Ok(())
    }

    /// Publishes uploads in one commit. If they cannot be published together, one that is at fault is set aside, and where
    /// that is unknown, each half is tried by itself.
    fn publish(&self, drop_box: &mut DropBox, mut uploads: Vec<(Upload, NamedFiles)>) -> Result<()> {
        let mut postponed = None;
        while !uploads.is_empty() {
            match self.commit(drop_box, &uploads) {
                Ok(None) => break,
                Ok(Some(refusal)) => match at_fault(drop_box, &uploads, &refusal) {
                    Some(at) => self.set_aside(drop_box, &uploads.remove(at).0, &refusal)?,
                    None => {
                        let second = uploads.split_off(uploads.len() / 2);
                        self.publish(drop_box, uploads)?;
                        uploads = second;
                    }
                },
                Err(failure) => {
                    // The store may have no space for this one. The others go on, however many have to wait: each one that does not
                    // fit leaves the commit, and is tried again with the next round.
                    let at = at_fault(drop_box, &uploads, &failure).filter(|_| failure.input.is_some());
                    match at {
                        Some(at) if uploads.len() > 1 => drop(uploads.remove(at)),
                        _ => return Err(failure),
                    }
                    postponed = Some(failure);
                }
            }
        }
        postponed.map_or(Ok(()), Err)
    }

    /// Commits uploads. What is wrong with them comes back as a value; what is wrong with anything else is an error.
    fn commit(&self, drop_box: &mut DropBox, uploads: &[(Upload, NamedFiles)]) -> Result<Option<Error>> {
        let mut files = NamedFiles::new();
        for (upload, named) in uploads {
            for (name, file) in named {
                if files.insert(name.clone(), file.clone()).is_some() {
                    (self.log)(Event::Overtaken { target: name.as_str(), by: &upload.name });
                }
            }
        }
        let request = AddTargetsRequest {
            files: Vec::new(),
            base: drop_box.path().to_owned(),
            prefix: self.request.prefix.clone(),
            sign: self.request.sign,
            only_changed: false,
            metadata_only: false,
        };
        let present = self.publisher.load()?;
        self.publisher.check_root(&present)?;
        let prepared = match add_targets::prepare_on(self.publisher, &request, files, present) {
            Err(error) => return refused(error, &[Kind::Invalid, Kind::Conflict]),
            Ok(prepared) => prepared,
        };
        let targets = prepared.plan.targets.len();
        self.publisher.shared.check_pause()?;
        // A worker's refusal is about what it was asked. A publisher that signs itself refuses single files at most: a
        // conflict with another publisher is settled by the next plan.
        let kinds: &[Kind] = if self.publisher.workers.is_some() { &[Kind::Invalid, Kind::Conflict] } else { &[] };
        let noted = Noted::new(drop_box, uploads.iter().map(|(upload, _)| upload).collect());
        let outcome = match carry_out_before(self.publisher, prepared, Some(&noted)) {
            Err(error) => {
                // A pause that began meanwhile is not about the uploads.
                self.publisher.shared.check_pause()?;
                return refused(error, kinds);
            }
            Ok(outcome) => outcome,
        };
        let mut published: Vec<Upload> = uploads.iter().map(|(upload, _)| upload.clone()).collect();
        drop_box.mark_published(&mut published)?;
        let uploads = published.iter().map(|upload| upload.name.as_str()).collect();
        (self.log)(Event::Published { uploads, targets, outcome: &outcome });
        published.iter().for_each(|upload| self.remove(drop_box, upload));
        Ok(None)
    }

    fn remove(&self, drop_box: &mut DropBox, upload: &Upload) {
        if let Err(failure) = drop_box.remove(upload) {
            (self.log)(Event::Kept { upload: &upload.name, failure: &failure });
        }
    }

    fn set_aside(&self, drop_box: &mut DropBox, upload: &Upload, failure: &Error) -> Result<()> {
        match drop_box.set_aside(upload, failure)? {
            Aside::At(to) => (self.log)(Event::SetAside { upload: &upload.name, to, failure }),
            Aside::LeftAlone(true) | Aside::Gone => (self.log)(Event::LeftAlone { upload: &upload.name, failure }),
            Aside::LeftAlone(false) => {}
        }
        Ok(())
    }
}

/// An upload and its files.
type Filled = (Upload, NamedFiles);

/// The upload that a failure is about: the one that holds the file, or the only one.
fn at_fault(drop_box: &DropBox, uploads: &[(Upload, NamedFiles)], failure: &Error) -> Option<usize> {
    match &failure.input {
        Some(file) => uploads.iter().position(|(upload, _)| drop_box.holds(upload, file)),
        None => (uploads.len() == 1).then_some(0),
    }
}

/// A failure of one of these kinds as a value, and one that is a single file's unless the store failed.
fn refused(failure: Error, kinds: &[Kind]) -> Result<Option<Error>> {
    let of_file = failure.input.is_some() && failure.kind != Kind::Storage;
    if of_file || kinds.contains(&failure.kind) { Ok(Some(failure)) } else { Err(failure) }
}

/// The uploads in shares of at most so many files, in their order.
fn shares(uploads: Vec<(Upload, NamedFiles)>, at_once: usize) -> Vec<Vec<(Upload, NamedFiles)>> {
    let mut shares: Vec<Vec<(Upload, NamedFiles)>> = Vec::new();
    let mut room = 0;
    for (upload, files) in uploads {
        match shares.last_mut() {
            Some(share) if files.len() <= room => {
                room -= files.len();
                share.push((upload, files));
            }
            _ => {
                room = at_once.saturating_sub(files.len());
                shares.push(vec![(upload, files)]);
            }
        }
    }
    shares
}
