//! The future combinators of the flow.
//!
//! They are written by hand, because an `async fn` around another future stores its argument twice.
//! Every guarded request would copy the sum.

use std::any::Any;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tracing::Instrument;

/// The longest wait for anything. A longer one would overflow clocks.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

/// Runs `operation` to its end, even if the returned future is dropped.
///
/// When `operation` first has to wait, it becomes a task of its own, in the caller's span. An
/// operation that never waits cannot be interrupted, and needs no task.
pub(crate) fn own_task<T: Send + 'static>(
    operation: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    let mut operation = Box::pin(operation);
    async move {
        if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx))).await {
            return ended;
        }
        match tokio::spawn(operation.in_current_span()).await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down, and it drops this task too.
            Err(_) => pending().await,
        }
    }
}

/// How a call ended. The caller's task ends in the same way.
pub(crate) enum Caught<T, E> {
    Completed(T),
    Erred(E),
    Panicked(Box<dyn Any + Send>),
}

pin_project! {
    /// Waits for `call`, and turns its panic into a value.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        call: F,
    }
}

pub(crate) fn catch_panic<F>(call: F) -> CatchPanic<F> {
    CatchPanic { call }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for CatchPanic<F> {
    type Output = Caught<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.project().call;
        // The future is not polled again after a panic, so its inconsistent state is never seen.
        match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Poll::Ready(Caught::Completed(value)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Caught::Erred(error)),
            Err(panic) => Poll::Ready(Caught::Panicked(panic)),
        }
    }
}
