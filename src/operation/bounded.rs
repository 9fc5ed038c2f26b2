use crate::failure::{Failure, Kind, Result};
use std::sync::mpsc;
use std::time::Duration;

/// Does work that may hang, such as a question to a server or a device. After `patience` the caller goes on without it; the
/// work is left alone and ends with the process.
pub(super) fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (tell, told) = mpsc::channel();
    // The caller may have stopped listening if this took too long.
    let run = move || drop(tell.send(work()));
    std::thread::Builder::new()
        .name("bounded".into())
        .spawn(run)
        .map_err(|error| Failure::new(Kind::Unexpected, "cannot start a thread").source(error))?;
    told.recv_timeout(patience).map_err(|_| Failure::new(Kind::Storage, format!("it took more than {} seconds", patience.as_secs())))
}
