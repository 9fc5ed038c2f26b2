//! `publish monitor`: empties the drop box and signs again what is due, until it is told to stop. All uploads that are
//! ready become one commit; one that cannot be accepted is set aside and never blocks the others. It may die at any
//! instant: what it had claimed is processed again, and files that are targets already are no change.

use super::add_targets::{self, AddTargetsRequest, NamedFiles};
use super::drop_box::{DropBox, Upload};
use super::queue::{self, Selection};
use super::refresh::RefreshRequest;
use super::{Outcome, Workspace, refresh};
use crate::broker::QueueState;
use crate::failure::{Failure, Kind};
use chrono::{DateTime, Utc};
use notify::{RecursiveMode, Watcher};
use std::path::PathBuf;
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
    /// How often the drop box is looked at, whatever the file system tells.
    pub scan: Duration,
    /// How often it is seen whether a role is due.
    pub refresh: Duration,
    /// The consistent snapshots that the config wishes for.
    pub consistent_snapshot: Option<bool>,
    /// Most targets in one commit.
    pub at_once: usize,
}

/// Why the monitor returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// It was told to read its config again.
    Reload,
}

/// What the monitor tells.
#[derive(Debug)]
pub enum Event<'a> {
    /// It has the drop box and watches it.
    Ready,
    /// Another monitor has the drop box; this one stands by.
    Standby,
    /// Work is paused, or goes on.
    Paused(bool),
    /// It looked, and all is as it should be.
    Alive,
    /// When each role expires.
    Expiries(Vec<(&'static str, DateTime<Utc>)>),
    /// How the workers' queues stand.
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
        failure: &'a Failure,
    },
    /// Roles were signed again.
    Refreshed {
        /// Which.
        roles: Vec<&'static str>,
    },
    /// Something failed and is tried again.
    Trouble {
        /// What it was about: `drop box` or `refresh`.
        job: &'static str,
        /// Why.
        failure: &'a Failure,
    },
}

/// Runs until `stop` or `reload`.
pub fn run(
    workspace: &Workspace,
    request: &MonitorRequest,
    stop: &AtomicBool,
    reload: &AtomicBool,
    log: &dyn Fn(Event<'_>),
) -> anyhow::Result<End> {
    let mut monitor = Monitor { workspace, request, log, drop_box: None, standby: false, paused: false, next_refresh: Instant::now() };
    let (_watcher, changes) = watch(request);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(End::Stopped);
        }
        if reload.swap(false, Ordering::Relaxed) {
            return Ok(End::Reload);
        }
        monitor.round()?;
        wait(&changes, request.scan, stop, reload);
    }
}

/// One round: everything that is ready now, and what is due now.
pub fn once(workspace: &Workspace, request: &MonitorRequest, log: &dyn Fn(Event<'_>)) -> anyhow::Result<()> {
    Monitor { workspace, request, log, drop_box: None, standby: false, paused: false, next_refresh: Instant::now() }.round()
}

/// Tells when something was renamed in the drop box. Network file systems tell nothing: the scans find what is there.
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

/// Waits for the next scan, or for news, or for being told to stop.
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
    workspace: &'a Workspace,
    request: &'a MonitorRequest,
    log: &'a dyn Fn(Event<'_>),
    drop_box: Option<DropBox>,
    standby: bool,
    paused: bool,
    next_refresh: Instant,
}

impl Monitor<'_> {
    /// An error is one that no later round can mend.
    fn round(&mut self) -> anyhow::Result<()> {
        let paused = self.workspace.shared.pause().map(|pause| pause.is_some()).unwrap_or(true);
        if paused != self.paused {
            self.paused = paused;
            (self.log)(Event::Paused(paused));
        }
        if paused {
            (self.log)(Event::Alive);
            return Ok(());
        }
        let mut well = true;
        if Instant::now() >= self.next_refresh {
            match self.refresh() {
                Ok(()) => self.next_refresh = Instant::now() + self.request.refresh,
                Err(error) => well &= self.trouble("refresh", error)?,
            }
        }
        if let Err(error) = self.empty_drop_box() {
            well &= self.trouble("drop box", error)?;
        }
        if well {
            (self.log)(Event::Alive);
        }
        Ok(())
    }

    /// Tells what failed; it is tried again with the next round.
    fn trouble(&self, job: &'static str, error: anyhow::Error) -> anyhow::Result<bool> {
        let failure = error.downcast::<Failure>()?;
        (self.log)(Event::Trouble { job, failure: &failure });
        Ok(false)
    }

    fn refresh(&self) -> anyhow::Result<()> {
        if self.workspace.workers.is_some() {
            (self.log)(Event::Queues(queue::queue(self.workspace, &Selection::None)?.queues));
        }
        let wish = RefreshRequest { consistent_snapshot: self.request.consistent_snapshot, ..RefreshRequest::default() };
        let mut plan = refresh::plan(self.workspace, wish)?;
        if !plan.empty {
            let roles = plan.due.iter().map(|due| due.role).collect();
            refresh::apply(self.workspace, plan)?;
            (self.log)(Event::Refreshed { roles });
            plan = refresh::plan(self.workspace, wish)?;
        }
        (self.log)(Event::Expiries(plan.expiries()?));
        Ok(())
    }

    fn empty_drop_box(&mut self) -> anyhow::Result<()> {
        let Some(path) = &self.request.drop_box else { return Ok(()) };
        if self.drop_box.is_none() {
            self.drop_box = DropBox::open(path, &self.request.prefix)?;
            let standby = self.drop_box.is_none();
            if !standby {
                (self.log)(Event::Ready);
            } else if !self.standby {
                (self.log)(Event::Standby);
            }
            self.standby = standby;
        }
        let Some(drop_box) = &mut self.drop_box else { return Ok(()) };
        let claimed = drop_box.claim()?;
        let Some(drop_box) = &self.drop_box else { return Ok(()) };
        let mut uploads = Vec::new();
        for upload in claimed {
            match drop_box.read(&upload) {
                Ok(files) => uploads.push((upload, files)),
                Err(failure) => self.set_aside(drop_box, &upload, &failure)?,
            }
        }
        for together in shares(uploads, self.request.at_once) {
            self.publish(drop_box, together)?;
        }
        Ok(())
    }

    /// Publishes uploads in one commit. If they cannot be published together, each is alone, and whichever cannot be
    /// accepted alone is set aside.
    fn publish(&self, drop_box: &DropBox, uploads: Vec<(Upload, NamedFiles)>) -> anyhow::Result<()> {
        let refusal = match self.commit(drop_box, &uploads)? {
            None => return Ok(()),
            Some(refusal) => refusal,
        };
        if let [(upload, _)] = uploads.as_slice() {
            return self.set_aside(drop_box, upload, &refusal).map_err(Into::into);
        }
        uploads.into_iter().try_for_each(|upload| self.publish(drop_box, vec![upload]))
    }

    /// Commits uploads. What is wrong with them comes back as a value; what is wrong with anything else is an error.
    fn commit(&self, drop_box: &DropBox, uploads: &[(Upload, NamedFiles)]) -> anyhow::Result<Option<Failure>> {
        let mut files = NamedFiles::new();
        for (upload, named) in uploads {
            for (name, file) in named {
                if files.insert(name.clone(), file.clone()).is_some() {
                    (self.log)(Event::Overtaken { target: name, by: &upload.name });
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
        let present = self.workspace.load()?;
        self.workspace.check_root(&present)?;
        let plan = match add_targets::plan_on(self.workspace, &request, files, present) {
            Err(error) => return refused(error, &[Kind::Invalid, Kind::Conflict]),
            Ok(plan) => plan,
        };
        let targets = plan.targets.len();
        self.workspace.shared.check_pause()?;
        // A worker's refusal is about what it was asked; a publisher that signs itself has nobody to refuse it.
        let kinds: &[Kind] = if self.workspace.workers.is_some() { &[Kind::Invalid, Kind::Conflict] } else { &[Kind::Conflict] };
        let outcome = match add_targets::apply(self.workspace, plan) {
            Err(error) => return refused(error, kinds),
            Ok(outcome) => outcome,
        };
        for (upload, _) in uploads {
            drop_box.remove(upload)?;
        }
        let uploads = uploads.iter().map(|(upload, _)| upload.name.as_str()).collect();
        (self.log)(Event::Published { uploads, targets, outcome: &outcome });
        Ok(None)
    }

    fn set_aside(&self, drop_box: &DropBox, upload: &Upload, failure: &Failure) -> crate::failure::Result<()> {
        let to = drop_box.set_aside(upload, failure)?;
        (self.log)(Event::SetAside { upload: &upload.name, to, failure });
        Ok(())
    }
}

/// A failure of one of these kinds as a value.
fn refused(error: anyhow::Error, kinds: &[Kind]) -> anyhow::Result<Option<Failure>> {
    let failure = error.downcast::<Failure>()?;
    if kinds.contains(&failure.kind) { Ok(Some(failure)) } else { Err(failure.into()) }
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
