//! `/healthz` and `/metrics` of the monitor.

use super::connections::Limited;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Label = [(&'static str, String); 1];

/// What the monitor counts and when it was last well.
pub(super) struct Metrics {
    registry: Registry,
    /// Uploads in the drop box, by result: published or failed.
    pub uploads: Family<Label, Counter>,
    /// Targets that changed.
    pub targets: Counter,
    /// Times that something failed and had to be tried again, by job.
    pub failures: Family<Label, Counter>,
    /// Commits that started again because of another publisher.
    pub conflicts: Counter,
    /// When a job last did something, in seconds since 1970.
    pub last_success: Family<Label, Gauge>,
    /// Whether work is paused.
    pub paused: Gauge,
    expiry: Family<Label, Gauge>,
    waiting: Family<Label, Gauge>,
    workers: Family<Label, Gauge>,
    expiries: BTreeMap<&'static str, DateTime<Utc>>,
    alive: Instant,
    /// What failed since it was last well.
    pub trouble: Option<String>,
    patience: Duration,
}

/// The metrics that the log and the server share.
pub(super) type Shared = Arc<Mutex<Metrics>>;

impl Metrics {
    /// A monitor that was not heard of for `patience` is unwell.
    pub fn new(patience: Duration) -> Shared {
        let mut registry = Registry::with_prefix("publish");
        let (uploads, failures, last_success) = (Family::default(), Family::default(), Family::default());
        let (expiry, waiting, workers) = (Family::default(), Family::default(), Family::default());
        let (targets, conflicts, paused) = (Counter::default(), Counter::default(), Gauge::default());
        registry.register("uploads", "Uploads in the drop box, by result", Family::clone(&uploads));
        registry.register("targets", "Targets that changed", Counter::clone(&targets));
        registry.register("failures", "Failures that were tried again", Family::clone(&failures));
        registry.register("conflicts", "Commits that started again because of another publisher", Counter::clone(&conflicts));
        registry.register("last_success_timestamp_seconds", "When a job last succeeded", Family::clone(&last_success));
        registry.register("paused", "Whether work is paused", Gauge::clone(&paused));
        registry.register("role_expiry_seconds", "Seconds until a role expires", Family::clone(&expiry));
        registry.register("queue_waiting", "Requests that wait in a queue", Family::clone(&waiting));
        registry.register("queue_workers", "Workers connected to a queue", Family::clone(&workers));
        let (alive, expiries) = (Instant::now(), BTreeMap::new());
        Arc::new(Mutex::new(Self {
            registry,
            uploads,
            targets,
            failures,
            conflicts,
            last_success,
            paused,
            expiry,
            waiting,
            workers,
            expiries,
            alive,
            trouble: None,
            patience,
        }))
    }

    /// All is well now.
    pub fn alive(&mut self) {
        self.alive = Instant::now();
        self.trouble = None;
    }

    /// A job succeeded now.
    pub fn succeeded(&self, job: &str) {
        self.last_success.get_or_create(&[("job", job.to_owned())]).set(Utc::now().timestamp());
    }

    /// When the roles expire.
    pub fn expire(&mut self, expiries: &[(&'static str, DateTime<Utc>)]) {
        self.expiries.extend(expiries.iter().copied());
    }

    /// The state of a queue.
    pub fn queue(&self, name: &str, waiting: u32, workers: u32) {
        let label = [("queue", name.to_owned())];
        self.waiting.get_or_create(&label).set(i64::from(waiting));
        self.workers.get_or_create(&label).set(i64::from(workers));
    }

    fn text(&self) -> String {
        for (role, expires) in &self.expiries {
            self.expiry.get_or_create(&[("role", (*role).to_owned())]).set((*expires - Utc::now()).num_seconds());
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Why the monitor is unwell, if it is.
    fn unwell(&self) -> Option<String> {
        if let Some((role, expires)) = self.expiries.iter().find(|(_, expires)| **expires < Utc::now()) {
            return Some(format!("{role} expired on {}", crate::metadata::format_expiry(*expires)));
        }
        let silent = self.alive.elapsed();
        let why = self.trouble.as_deref().unwrap_or("no scan of the drop box was finished");
        (silent > self.patience).then(|| format!("for {} s: {why}", silent.as_secs()))
    }
}

/// Serves until the process ends.
pub(super) fn serve(address: SocketAddr, metrics: Shared) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let router = Router::new().route("/metrics", get(show)).route("/healthz", get(health)).with_state(metrics);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(Limited::new(listener), router).await
        })
    });
    Ok(bound)
}

async fn show(State(metrics): State<Shared>) -> Response {
    let text = metrics.lock().unwrap_or_else(PoisonError::into_inner).text();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn health(State(metrics): State<Shared>) -> Response {
    match metrics.lock().unwrap_or_else(PoisonError::into_inner).unwell() {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
