use super::{Config, LONGEST};
use crate::error::{Error, Result};
use crate::operation::monitor::MonitorRequest;
use crate::tree::Limits;
use std::net::SocketAddr;
use std::time::Duration;

impl Config {
    /// What the monitor is to do.
    pub fn monitor(&self) -> Result<MonitorRequest> {
        let seconds = |key: &str, value: f64| {
            let least = Duration::from_millis(100);
            let span = Duration::try_from_secs_f64(value).ok().filter(|span| *span >= least && span.as_secs() <= LONGEST);
            span.ok_or_else(|| Error::invalid(format!("`monitor.{key}` is {value}; it is a number of seconds from 0.1 to {LONGEST}")))
        };
        Ok(MonitorRequest {
            drop_box: self.monitor.drop_box.as_deref().map(|path| self.path(path)),
            prefix: self.monitor.prefix.clone(),
            sign: self.monitor.sign,
            scan: seconds("scan", self.monitor.scan)?,
            refresh: seconds("refresh", self.monitor.refresh)?,
            consistent_snapshot: self.consistent_snapshot,
            at_once: self.workers.targets_per_request,
            limits: Limits { bytes: self.monitor.upload_bytes, entries: self.monitor.upload_files, depth: self.monitor.upload_depth },
            state: Some(self.state_directory()).filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| ".".into()),
        })
    }

    /// Where the monitor serves its health and metrics.
    pub fn monitor_listen(&self) -> Option<SocketAddr> {
        self.monitor.listen
    }
}
