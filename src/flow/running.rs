//! What runs, so that a shutdown can wait for it.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

/// The guarded requests under way, those whose clients have hung up included, and the writes that are repeated in the
/// background.
#[derive(Default)]
pub(crate) struct Running {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Running {
    /// Counts one more request in, until the token is dropped; none once the shutdown has begun.
    pub(crate) fn enter(&self) -> Option<TaskTrackerToken> {
        // Counted before the look: a shutdown that begins in between sees the count, or is seen.
        let token = self.tracker.token();
        (!self.tracker.is_closed()).then_some(token)
    }

    /// Runs a task that a shutdown waits for, in the caller's span.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task.in_current_span());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.tracker.is_closed()
    }

    /// Waits for the shutdown to begin.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Begins the shutdown at once; the future waits until nothing runs any more.
    pub(crate) fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        self.tracker.close();
        self.stopping.cancel();
        let tracker = self.tracker.clone();
        async move { tracker.wait().await }
    }
}
