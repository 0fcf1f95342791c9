//! The running operations, so that a shutdown can wait for them.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument;

/// The running guarded requests, including those whose clients have hung up, and the writes that
/// are retried in the background.
pub(crate) struct Running {
    /// Each running operation has a receiver.
    pub(crate) operations: Arc<watch::Sender<()>>,
    is_stopping: watch::Sender<bool>,
}

/// Counts as a running operation until it is dropped.
pub(crate) struct RunningToken {
    _receiver: watch::Receiver<()>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            operations: Arc::new(watch::Sender::new(())),
            is_stopping: watch::Sender::new(false),
        }
    }
}

impl Running {
    /// Counts a request until the token is dropped. `None` after the shutdown has begun.
    pub(crate) fn enter(&self) -> Option<RunningToken> {
        // The order matters. A shutdown that begins in between sees the token, or is seen here.
        let token = self.token();
        (!self.is_stopping()).then_some(token)
    }

    /// Runs a task that a shutdown waits for, in the caller's span.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token();
        let task = task.in_current_span();
        tokio::spawn(async move {
            let _token = token;
            task.await;
        });
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.is_stopping.borrow()
    }

    /// Waits for the shutdown to begin.
    pub(crate) async fn stopping(&self) {
        // The sender is borrowed, so it cannot be dropped meanwhile.
        let _ = self.is_stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// Begins the shutdown at once. The future waits until nothing runs.
    pub(crate) fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        self.is_stopping.send_replace(true);
        let operations = Arc::clone(&self.operations);
        async move { operations.closed().await }
    }

    fn token(&self) -> RunningToken {
        RunningToken { _receiver: self.operations.subscribe() }
    }
}
