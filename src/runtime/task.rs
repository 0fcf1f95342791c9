//! The future combinators of the flow.
//!
//! They are written by hand, because an `async fn` around another future stores its argument twice.
//! Every guarded request would copy the sum.

use std::any::Any;
use std::future::Future;
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// The longest wait for anything. A longer one would overflow clocks.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

/// How far an operation has got, as it says itself. A clone is the same stage.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stage(Arc<AtomicU8>);

const ENDS_WITH_CALLER: u8 = 0;
const OUTLIVES_CALLER: u8 = 1;
const HAS_BEGUN: u8 = 2;

impl Stage {
    /// From here on the operation runs to its end, even if its caller goes.
    pub(crate) fn outlives_caller(&self) {
        self.0.store(OUTLIVES_CALLER, Ordering::Relaxed);
    }

    /// From here on it may have effects, so it needs a task of its own when it waits.
    pub(crate) fn begins(&self) {
        self.0.store(HAS_BEGUN, Ordering::Relaxed);
    }

    pub(crate) fn ends_with_caller(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENDS_WITH_CALLER
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HAS_BEGUN
    }
}

/// Runs `operation` to its end, even if the returned future is dropped.
///
/// It runs in the caller's task until it has begun and has to wait. Then it becomes a task of its
/// own, in the caller's span. If the caller goes before that, a task takes it over. So a request
/// that is replayed or rejected needs no task, and neither does an operation that never waits.
pub(crate) fn own_task<F>(operation: F, stage: Stage) -> OwnTask<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    OwnTask { place: Place::Here(Box::pin(operation)), stage, waiting: None }
}

/// The future of [`own_task`].
pub(crate) struct OwnTask<F: Future<Output: Send> + Send + 'static> {
    place: Place<F>,
    stage: Stage,
    /// Where the operation goes if its caller does. `None` before it has waited.
    waiting: Option<(Handle, Span)>,
}

enum Place<F: Future> {
    Here(Pin<Box<F>>),
    There(JoinHandle<F::Output>),
    Ended,
}

impl<F: Future<Output: Send> + Send + 'static> Future for OwnTask<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Taken out, because an operation that panics must not be polled again.
        let mut task = match replace(&mut this.place, Place::Ended) {
            Place::Here(mut operation) => {
                if let Poll::Ready(ended) = operation.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
                if !this.stage.has_begun() {
                    this.waiting.get_or_insert_with(|| (Handle::current(), Span::current()));
                    this.place = Place::Here(operation);
                    return Poll::Pending;
                }
                tokio::spawn(operation.in_current_span())
            }
            Place::There(task) => task,
            Place::Ended => return Poll::Pending,
        };
        match Pin::new(&mut task).poll(cx) {
            Poll::Ready(Ok(ended)) => Poll::Ready(ended),
            Poll::Ready(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down, and it drops this task too.
            Poll::Ready(Err(_)) => Poll::Pending,
            Poll::Pending => {
                this.place = Place::There(task);
                Poll::Pending
            }
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for OwnTask<F> {
    fn drop(&mut self) {
        if let Place::Here(operation) = replace(&mut self.place, Place::Ended)
            && let Some((runtime, span)) = self.waiting.take()
            && !self.stage.ends_with_caller()
        {
            runtime.spawn(operation.instrument(span));
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

#[cfg(test)]
mod tests;
