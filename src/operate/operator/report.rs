//! The gauges of a layer and its store.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Operator;
use crate::flow::telemetry::{self, gauges};
use crate::store::operator::Stats;
use crate::store::{Store, StoreError, StoreErrorKind};

/// How long the store may take to count a part of its records.
const BOUND: Duration = Duration::from_mins(1);
/// The shortest pause between two rounds.
const SHORTEST: Duration = Duration::from_millis(10);

impl<St: Store> Operator<St> {
    /// Sets the gauges of the `metrics` facade now and then every `interval`, until the
    /// [shutdown](crate::IdempotencyLayer::shutdown). Spawn the future. If the store fails, this is
    /// logged and counted, and the next round goes on.
    ///
    /// What runs and waits is of this process. What is in the store is of all, so one process is
    /// enough for it. Each round reads all records ([`stats`](Self::stats)), so with millions of
    /// them take minutes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// # async fn run(layer: IdempotencyLayer<MemoryStore>) -> Result<(), Box<dyn std::error::Error>> {
    /// tokio::spawn(layer.operator("metrics")?.report_every(Duration::from_secs(15)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<St> {
        let operator = self.clone();
        async move {
            let mut is_supported = true;
            while !operator.shared.running.is_stopping() {
                operator.report_process();
                if is_supported {
                    is_supported = operator.report_store().await;
                }
                tokio::select! {
                    () = sleep(interval.max(SHORTEST)) => {}
                    () = operator.shared.running.stopping() => {}
                }
            }
        }
    }

    fn report_process(&self) {
        let running = self.shared.running.operations.receiver_count();
        let waiting = self.shared.observer.waiting.load(Ordering::Relaxed);
        gauges::of_process(running.saturating_sub(waiting), waiting);
    }

    /// Returns whether the store can count its records.
    async fn report_store(&self) -> bool {
        let error = match self.all_stats().await {
            Ok(stats) => {
                gauges::of_store(&stats);
                return true;
            }
            Err(error) => error,
        };
        telemetry::store_error(None, "stats", error.kind());
        let (is_supported, source) = (error.kind() != StoreErrorKind::Unsupported, error.source());
        if is_supported {
            tracing::warn!(
                %error, source,
                "records not counted: the gauges of the store are old until it replies"
            );
        } else {
            tracing::warn!("the store does not count its records: it has no gauges");
        }
        is_supported
    }

    async fn all_stats(&self) -> Result<Stats, StoreError> {
        let (mut stats, mut after) = (Stats::default(), None);
        loop {
            let page = match timeout(BOUND, self.stats(after.as_ref())).await {
                Ok(page) => page?,
                Err(_) => return Err(StoreError::new(StoreErrorKind::Timeout)),
            };
            stats += page.stats;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(stats),
            }
        }
    }
}
