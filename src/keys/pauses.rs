use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// The pauses between so many tries to reach a key service: they grow, and differ between processes.
pub(super) fn pauses(tries: usize) -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_delay(Duration::from_secs(4));
    growing.with_jitter().with_max_times(tries.saturating_sub(1)).build()
}
