use crate::error::{Error, Kind, Result};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Work that may hang, such as a question to a server or a device, in a thread of its own.
pub(super) struct Pending<T> {
    since: Instant,
    answers: Receiver<T>,
}

impl<T: Send + 'static> Pending<T> {
    /// Begins the work.
    pub fn begin(work: impl FnOnce() -> T + Send + 'static) -> Result<Self> {
        let (answer, answers) = mpsc::channel();
        // The caller may have stopped listening if this took too long.
        let run = move || drop(answer.send(work()));
        std::thread::Builder::new()
            .name("bounded".into())
            .spawn(run)
            .map_err(|error| Error::new(Kind::Unexpected, "cannot start a thread").source(error))?;
        Ok(Self { since: Instant::now(), answers })
    }

    /// Waits until `patience` has passed since the beginning. After that the caller goes on without the result; the work is
    /// left alone and ends with the process.
    pub fn finish(self, patience: Duration) -> Result<T> {
        let late = |_| Error::new(Kind::Storage, format!("it took more than {} seconds", patience.as_secs()));
        self.answers.recv_timeout(patience.saturating_sub(self.since.elapsed())).map_err(late)
    }
}

/// Does such work, and waits for it.
pub(super) fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Pending::begin(work)?.finish(patience)
}
