//! `publish monitor`: empties the drop box and signs again what is due, until a signal stops it. All uploads that are
//! ready become one commit. One that cannot be accepted is set aside, or left where it is, and never blocks the others: a
//! failure that is one file's names the file, and the rest is published without the upload that contains it.
//!
//! It may die at any instant: what it had claimed is processed again, and files that are targets already are no change. The
//! first thing after a commit is that its uploads are remembered as published, so no later fault publishes them again; what
//! was in a commit whose end is unknown is decided first (`drop_box/begun.rs`).

mod event;
mod uploads;

pub use event::{End, Event, MonitorRequest};

use crate::error::{Error, Result};
use crate::operation::drop_box::DropBox;
use crate::operation::queue::{self, Selection};
use crate::operation::refresh::RefreshRequest;
use crate::operation::{Publisher, refresh};
use notify::{RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

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
    let (sender, changes) = channel();
    let watcher = request.drop_box.as_ref().and_then(|path| {
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| event.kind.is_modify() || event.kind.is_create()) {
                let _ = sender.send(());
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
    reported: BTreeMap<&'static str, String>,
}

impl<'a> Monitor<'a> {
    fn new(publisher: &'a Publisher, request: &'a MonitorRequest, log: &'a dyn Fn(Event<'_>)) -> Self {
        let next_refresh = Instant::now();
        Self { publisher, request, log, drop_box: None, standby: false, paused: false, next_refresh, reported: BTreeMap::new() }
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
            self.reported.remove(job);
            return true;
        };
        let why = failure.with_cause();
        let again = self.reported.get(job) == Some(&why);
        (self.log)(Event::Trouble { job, failure: &failure, again });
        self.reported.insert(job, why);
        false
    }

    fn refresh(&self) -> Result<()> {
        if self.publisher.workers.is_some() {
            (self.log)(Event::Queues(queue::queue(self.publisher, &Selection::None)?.queues));
        }
        let request = RefreshRequest { consistent_snapshot: self.request.consistent_snapshot, ..RefreshRequest::default() };
        let mut prepared = refresh::prepare(self.publisher, request)?;
        if !prepared.plan.empty {
            let roles = prepared.plan.due.iter().map(|due| due.role.clone()).collect();
            refresh::carry_out(self.publisher, prepared)?;
            (self.log)(Event::Refreshed { roles });
            prepared = refresh::prepare(self.publisher, request)?;
        }
        (self.log)(Event::Expiries(prepared.expiries()?));
        Ok(())
    }
}
