//! How long the callers of a store wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The default of the layer. It counts for a store without a layer, too.
const DEFAULT: Duration = Duration::from_secs(2);

/// The longest time that a caller waits for one operation
/// ([`Store::set_timeout`](super::Store::set_timeout)). A clone is the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeout(Arc<AtomicU64>);

impl Timeout {
    /// Raises the time; the first call sets it.
    pub(super) fn raise(&self, timeout: Duration) {
        let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX).max(1);
        self.0.fetch_max(micros, Ordering::Relaxed);
    }

    /// How long an operation may take.
    pub(super) fn get(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => DEFAULT,
            micros => Duration::from_micros(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_that_a_layer_sets_counts() {
        let timeout = Timeout::default();
        assert_eq!(timeout.get(), DEFAULT);
        timeout.raise(Duration::from_millis(200));
        assert_eq!(timeout.get(), Duration::from_millis(200));
        timeout.clone().raise(Duration::from_secs(5));
        timeout.raise(Duration::from_secs(1));
        assert_eq!(timeout.get(), Duration::from_secs(5));
        timeout.raise(Duration::MAX);
        assert_eq!(timeout.get(), Duration::from_micros(u64::MAX));
    }
}
