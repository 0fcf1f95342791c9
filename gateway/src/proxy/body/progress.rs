//! When a body was last seen to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The time of the last part of a body.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    since: Instant,
    millis: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn now() -> Self {
        Self { since: Instant::now(), millis: Arc::default() }
    }

    pub(super) fn note(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Ends when the body has not moved for so long.
    pub(crate) async fn stands_still(&self, bound: Duration) {
        loop {
            let last = self.since + Duration::from_millis(self.millis.load(Ordering::Relaxed));
            if last + bound <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(last + bound).await;
        }
    }
}
