use crate::error::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` for every item on so many threads, each with a state of its own, and stops at the first failure. The
/// answers are in the order of `items`.
pub(crate) fn each<T: Sync, S, R: Send>(
    items: &[T],
    threads: usize,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&T, &mut S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = || -> Result<()> {
        let mut state = state()?;
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item, &mut state).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, items.len().max(1))).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Unexpected, "a working thread panicked"))))
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
