//! The running operations, so that a shutdown can wait for them.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

/// The running guarded requests, including those whose clients have hung up, and the writes that
/// are retried in the background.
#[derive(Default)]
pub(crate) struct Running {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Running {
    /// Counts a request until the token is dropped. `None` after the shutdown has begun.
    pub(crate) fn enter(&self) -> Option<TaskTrackerToken> {
        // The order matters. A shutdown that begins in between sees the token, or is seen here.
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

    /// Begins the shutdown at once. The future waits until nothing runs.
    pub(crate) fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        self.tracker.close();
        self.stopping.cancel();
        let tracker = self.tracker.clone();
        async move { tracker.wait().await }
    }
}
