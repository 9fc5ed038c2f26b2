//! `publish monitor`: empties the drop box and signs again what is due, until a signal stops it. All uploads that are
//! ready become one commit. One that cannot be accepted is set aside, or left where it is, and never blocks the others: a
//! failure that is one file's names the file, and the rest is published without the upload that contains it.
//!
//! It may die at any instant: what it had claimed is processed again, and files that are targets already are no change. The
//! first thing after a commit is that its uploads are remembered as published, so no later fault publishes them again; what
//! was in a commit whose end is unknown is decided first (`drop_box/begun.rs`).

use super::change::add_targets::{self, AddTargetsRequest, NamedFiles};
use super::change::carry_out_before;
use super::drop_box::{Aside, DropBox, Guard, Noted, Took, Upload, superseded, took_place};
use super::queue::{self, Selection};
use super::refresh::RefreshRequest;
use super::{Outcome, Publisher, refresh};
use crate::broker::QueueState;
use crate::error::{Error, Kind, Result};
use crate::keys::Signers;
use crate::names::RoleName;
use crate::repository::Edit;
use crate::tree::Limits;
use chrono::{DateTime, Utc};
use notify::{RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What the monitor does.
#[derive(Clone, Debug)]
pub struct MonitorRequest {
    /// The drop box, if there is one to empty.
    pub drop_box: Option<PathBuf>,
    /// Stands before every name.
    pub prefix: String,
    /// Give each target an OpenPGP signature.
    pub sign: bool,
    /// How often the drop box is looked at, whatever the file system reports.
    pub scan: Duration,
    /// How often it is seen whether a role is due.
    pub refresh: Duration,
    /// The consistent snapshots that the config wishes for.
    pub consistent_snapshot: Option<bool>,
    /// Most targets in one commit.
    pub at_once: usize,
    /// How much one upload may hold.
    pub limits: Limits,
    /// A directory of this monitor alone, for its lock and what it remembers of the drop box.
    pub state: PathBuf,
}

/// Why the monitor returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal has stopped it.
    Stopped,
    /// A signal requested a new read of its config.
    Reload,
}

/// The events of the monitor.
#[derive(Debug)]
pub enum Event<'a> {
    /// It has the drop box and watches it.
    Ready,
    /// No lock in the drop box keeps out monitors with other state directories.
    Unguarded,
    /// Another monitor has the drop box; this one is on standby.
    Standby,
    /// Work is paused, or resumed.
    Paused(bool),
    /// It looked, and all is as it should be.
    Alive,
    /// When each role expires.
    Expiries(Vec<(&'static str, DateTime<Utc>)>),
    /// The state of the workers' queues.
    Queues(Vec<QueueState>),
    /// Uploads were published.
    Published {
        /// Their names, in order.
        uploads: Vec<&'a str>,
        /// How many targets changed.
        targets: usize,
        /// What the commit did.
        outcome: &'a Outcome,
    },
    /// Of two equal names in two uploads the later one counts.
    Overtaken {
        /// The target.
        target: &'a str,
        /// The upload whose file counts.
        by: &'a str,
    },
    /// An upload was set aside.
    SetAside {
        /// Its name.
        upload: &'a str,
        /// Where it is now.
        to: PathBuf,
        /// Why.
        failure: &'a Error,
    },
    /// Something in the drop box stays where it is and is not published.
    LeftAlone {
        /// Its name, or that of the entry.
        upload: &'a str,
        /// Why.
        failure: &'a Error,
    },
    /// A published upload cannot be removed and stays.
    Kept {
        /// Its name.
        upload: &'a str,
        /// Why.
        failure: &'a Error,
    },
    /// Roles were signed again.
    Refreshed {
        /// Which.
        roles: Vec<RoleName>,
    },
    /// Something failed and is tried again.
    Trouble {
        /// What it was about: `drop box`, `refresh` or `pause flag`.
        job: &'static str,
        /// Why.
        failure: &'a Error,
        /// Whether the round before failed for the same reason.
        again: bool,
    },
}

/// Runs until `stop` or `reload`.
pub fn run(publisher: &Publisher, request: &MonitorRequest, stop: &AtomicBool, reload: &AtomicBool, log: &dyn Fn(Event<'_>)) -> End {
    let mut monitor = Monitor::new(publisher, request, log);
    let (_watcher, changes) = watch(request);
    loop {
        if stop.load(Ordering::Relaxed) {
            return End::Stopped;
        }
        if reload.swap(false, Ordering::Relaxed) {
            return End::Reload;
        }
        monitor.round();
        wait(&changes, request.scan, stop, reload);
    }
}

/// One round: everything that is ready now, and what is due now.
pub fn once(publisher: &Publisher, request: &MonitorRequest, log: &dyn Fn(Event<'_>)) {
    Monitor::new(publisher, request, log).round();
}

/// Reports when something was renamed in the drop box. Network file systems report nothing: the scans find what is there.
fn watch(request: &MonitorRequest) -> (Option<notify::RecommendedWatcher>, Receiver<()>) {
    let (tell, changes) = channel();
    let watcher = request.drop_box.as_ref().and_then(|path| {
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| event.kind.is_modify() || event.kind.is_create()) {
                let _ = tell.send(());
            }
        };
        let mut watcher = notify::recommended_watcher(handler).ok()?;
        watcher.watch(path, RecursiveMode::NonRecursive).ok()?;
        Some(watcher)
    });
    (watcher, changes)
}

/// Waits for the next scan, for an event, or for a signal to stop.
fn wait(changes: &Receiver<()>, scan: Duration, stop: &AtomicBool, reload: &AtomicBool) {
    let deadline = Instant::now() + scan;
    while !stop.load(Ordering::Relaxed)
        && !reload.load(Ordering::Relaxed)
        && let Some(left) = deadline.checked_duration_since(Instant::now())
    {
        match changes.recv_timeout(left.min(Duration::from_millis(200))) {
            Ok(()) => {
                // More may come along with it.
                std::thread::sleep(Duration::from_millis(20));
                while changes.try_recv().is_ok() {}
                return;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left.min(Duration::from_millis(200))),
        }
    }
}

struct Monitor<'a> {
    publisher: &'a Publisher,
    request: &'a MonitorRequest,
    log: &'a dyn Fn(Event<'_>),
    drop_box: Option<DropBox>,
    standby: bool,
    paused: bool,
    next_refresh: Instant,
    /// What each job failed for in the last round.
    told: BTreeMap<&'static str, String>,
}

impl<'a> Monitor<'a> {
    fn new(publisher: &'a Publisher, request: &'a MonitorRequest, log: &'a dyn Fn(Event<'_>)) -> Self {
        let next_refresh = Instant::now();
        Self { publisher, request, log, drop_box: None, standby: false, paused: false, next_refresh, told: BTreeMap::new() }
    }

    /// What fails is reported and tried again with the next round.
    fn round(&mut self) {
        // Without the flag it is unknown whether work is wanted: nothing is written, and that is not reported as a pause.
        let flag = self.pause_flag();
        let paused = match flag {
            Ok(pause) => pause,
            Err(failure) => {
                self.ended("pause flag", Err(failure));
                return;
            }
        };
        self.ended("pause flag", Ok(()));
        if paused != self.paused {
            self.paused = paused;
            (self.log)(Event::Paused(paused));
        }
        if paused {
            (self.log)(Event::Alive);
            return;
        }
        let mut well = true;
        if Instant::now() >= self.next_refresh {
            let refreshed = self.refresh();
            if refreshed.is_ok() {
                self.next_refresh = Instant::now() + self.request.refresh;
            }
            well &= self.ended("refresh", refreshed);
        }
        let emptied = self.empty_drop_box();
        well &= self.ended("drop box", emptied);
        if well {
            (self.log)(Event::Alive);
        }
    }

    /// Whether work is paused.
    fn pause_flag(&self) -> Result<bool> {
        match self.publisher.shared.pause()? {
            Some(pause) if pause.unreadable => Err(Error::invalid(
                "the pause flag has content that cannot be read; nothing is published until `publish resume` removes it",
            )),
            pause => Ok(pause.is_some()),
        }
    }

    /// Reports what failed; gives whether nothing did.
    fn ended(&mut self, job: &'static str, result: Result<()>) -> bool {
        let Err(failure) = result else {
            self.told.remove(job);
            return true;
        };
        let why = failure.with_cause();
        let again = self.told.get(job) == Some(&why);
        (self.log)(Event::Trouble { job, failure: &failure, again });
        self.told.insert(job, why);
        false
    }

    fn refresh(&self) -> Result<()> {
        if self.publisher.workers.is_some() {
            (self.log)(Event::Queues(queue::queue(self.publisher, &Selection::None)?.queues));
        }
        let wish = RefreshRequest { consistent_snapshot: self.request.consistent_snapshot, ..RefreshRequest::default() };
        let mut prepared = refresh::prepare(self.publisher, wish)?;
        if !prepared.plan.empty {
            let roles = prepared.plan.due.iter().map(|due| due.role.clone()).collect();
            refresh::carry_out(self.publisher, prepared)?;
            (self.log)(Event::Refreshed { roles });
            prepared = refresh::prepare(self.publisher, wish)?;
        }
        (self.log)(Event::Expiries(prepared.expiries()?));
        Ok(())
    }

    fn empty_drop_box(&mut self) -> Result<()> {
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
