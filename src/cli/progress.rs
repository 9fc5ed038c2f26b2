use super::arguments::{Global, When};
use super::log::log_event;
use super::output::{Output, is_dumb};
use crate::error::Message;
use crate::repository::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a long step without a terminal reports its progress.
const EVERY: Duration = Duration::from_secs(30);

/// Bars on a terminal, plain lines otherwise, on stderr.
pub(super) struct Shown {
    output: Output,
    bars: bool,
    step: Mutex<Step>,
    files: AtomicU64,
    bytes: AtomicU64,
}

struct Step {
    bar: Option<ProgressBar>,
    name: String,
    files: u64,
    size: u64,
    said: Instant,
}

impl Shown {
    /// As `--progress` requests.
    pub fn new(global: &Global, output: &Output) -> Self {
        let bars = match global.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => std::io::stderr().is_terminal() && !output.is_silent() && !is_dumb(),
        };
        let step = Step { bar: None, name: String::new(), files: 0, size: 0, said: Instant::now() };
        Self { output: output.clone(), bars, step: Mutex::new(step), files: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn step(&self) -> std::sync::MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Shown {
    fn phase(&self, what: &str) {
        let mut step = self.step();
        if let Some(bar) = step.bar.take() {
            bar.finish_and_clear();
        }
        step.name = what.to_owned();
        if self.bars {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Until the amount of work is known.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style.tick_chars("|/-\\ "));
            }
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            step.bar = Some(bar);
        } else {
            self.output.status(what);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.step().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn expect(&self, files: u64, bytes: u64) {
        let mut step = self.step();
        (step.files, step.size, step.said) = (files, bytes, Instant::now());
        self.files.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        if let Some(bar) = &step.bar {
            let template = template(width(), files);
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix("0");
            bar.set_length(bytes);
        }
    }

    fn bytes(&self, count: u64) {
        let done = self.bytes.fetch_add(count, Ordering::Relaxed) + count;
        let mut step = self.step();
        if let Some(bar) = &step.bar {
            bar.set_position(done);
        } else if step.said.elapsed() >= EVERY {
            step.said = Instant::now();
            let size = super::text::size;
            self.output.status(&format!(
                "{}: {} of {}, {} of {} files",
                step.name,
                size(done),
                size(step.size),
                self.files.load(Ordering::Relaxed),
                step.files
            ));
        }
    }

    fn file(&self) {
        let done = self.files.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.step().bar {
            bar.set_prefix(done.to_string());
        }
    }

    fn status(&self, line: &str) {
        match &self.step().bar {
            Some(bar) => bar.suspend(|| self.output.status(line)),
            None => self.output.status(line),
        }
    }

    fn warning(&self, line: &Message) {
        match &self.step().bar {
            Some(bar) => bar.suspend(|| self.output.warning(line)),
            None => self.output.warning(line),
        }
    }
}

/// The columns of the terminal.
fn width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col)
}

/// What fits: a bar that wraps leaves its lines behind.
fn template(width: u16, files: u64) -> String {
    match width {
        100.. => format!("{{msg}} {{bar:24}} {{bytes}}/{{total_bytes}}, {{prefix}}/{files} files, {{bytes_per_sec}}, {{eta}} left"),
        80.. => format!("{{msg}} {{bar:16}} {{bytes}}/{{total_bytes}}, {{prefix}}/{files} files, {{eta}} left"),
        50.. => format!("{{msg}} {{bar:12}} {{percent}} %, {{prefix}}/{files} files"),
        _ => "{msg} {percent} %".into(),
    }
}

/// Services show no progress; their warnings go to the log.
pub(super) struct Logged(pub Output);

impl Progress for Logged {
    fn phase(&self, _: &str) {}
    fn expect(&self, _: u64, _: u64) {}
    fn bytes(&self, _: u64) {}
    fn file(&self) {}
    fn status(&self, _: &str) {}

    fn warning(&self, line: &Message) {
        log_event(&self.0, "warning", "warning", json!({"what": line}));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = self.step().bar.take() {
            bar.finish_and_clear();
        }
    }
}
