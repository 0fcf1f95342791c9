//! Ends waits that last too long, with one timer for all of them.
//!
//! With a timer of tokio for each wait, a short wait costs less than its timer. The timer is put
//! into the wheel of the runtime and taken out again. If it is due before all others, the idle
//! thread of the runtime is woken to learn of it.
//!
//! Here a map has the waits in the order of their deadlines, and a task sleeps until the first one.
//! If that wait has ended by then, the task sleeps until the next one. So it wakes about once per
//! bound, and not once per wait.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::lock::lock;
use super::task::LONGEST_WAIT;

/// Threads share a lock only if there are more of them.
const SHARDS: usize = 16;

static QUEUES: [Mutex<Vec<Queue>>; SHARDS] = [const { Mutex::new(Vec::new()) }; SHARDS];

thread_local! {
    /// The shard of this thread.
    static SHARD: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// The waits of one runtime. Another runtime has its own, because its threads may be blocked.
struct Queue {
    runtime: Id,
    waits: BTreeMap<Key, Waker>,
    begun: u64,
    /// When the task wakes by itself. `None` if it waits for a notification.
    wakes: Option<Instant>,
    /// A wait ends earlier than the task expects.
    earlier: Arc<Notify>,
}

/// The deadline of a wait, and its number, because several may have one deadline.
type Key = (Instant, u64);

/// A wait that has a deadline. Dropping it ends the wait.
struct Wait {
    shard: usize,
    runtime: Id,
    key: Key,
}

impl Wait {
    /// `None` if the runtime is shutting down, so that nothing would end the wait.
    fn until(at: Instant, waker: &Waker) -> Option<Self> {
        let shard = SHARD.with(|shard| *shard);
        let handle = Handle::current();
        let runtime = handle.id();
        let mut queues = lock(&QUEUES[shard]);
        if !queues.iter().any(|queue| queue.runtime == runtime) {
            let queue = Queue::of(runtime);
            let earlier = Arc::clone(&queue.earlier);
            queues.push(queue);
            drop(queues);
            // If the runtime is shutting down, this removes the queue at once.
            handle.spawn(run(Removal { shard, runtime }, earlier));
            queues = lock(&QUEUES[shard]);
        }
        let queue = queues.iter_mut().find(|queue| queue.runtime == runtime)?;
        let key = (at, queue.begun);
        queue.begun += 1;
        queue.waits.insert(key, waker.clone());
        if queue.wakes.is_none_or(|wakes| at < wakes) {
            queue.wakes = Some(at);
            queue.earlier.notify_one();
        }
        Some(Self { shard, runtime, key })
    }

    /// Whether the deadline has passed, or nothing would end the wait. If not, `waker` is called
    /// then.
    fn is_over(&mut self, waker: &Waker) -> bool {
        let former = self.in_queue(|queue| {
            let waiting = queue.waits.get_mut(&self.key)?;
            Some((!waiting.will_wake(waker)).then(|| replace(waiting, waker.clone())))
        });
        if former.is_some() {
            return false;
        }
        let (at, _) = self.key;
        if Instant::now() >= at {
            return true;
        }
        // The runtime that the wait began in has ended.
        match Self::until(at, waker) {
            Some(again) => {
                *self = again;
                false
            }
            None => true,
        }
    }

    /// Changes the queue. The caller drops the result outside of the lock, because a waker may drop
    /// a task, and with it another wait.
    fn in_queue<T>(&self, change: impl FnOnce(&mut Queue) -> Option<T>) -> Option<T> {
        let mut queues = lock(&QUEUES[self.shard]);
        queues.iter_mut().find(|queue| queue.runtime == self.runtime).and_then(change)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.in_queue(|queue| queue.waits.remove(&self.key));
    }
}

impl Queue {
    fn of(runtime: Id) -> Self {
        let waits = BTreeMap::new();
        Self { runtime, waits, begun: 0, wakes: None, earlier: Arc::default() }
    }

    /// Takes out the waits whose deadline has passed.
    fn expired(&mut self, now: Instant) -> BTreeMap<Key, Waker> {
        let later = self.waits.split_off(&(now, u64::MAX));
        let expired = replace(&mut self.waits, later);
        self.wakes = self.waits.first_key_value().map(|((at, _), _)| *at);
        expired
    }
}

/// Wakes the waits of one queue at their deadlines. It runs as long as its runtime.
async fn run(queue: Removal, earlier: Arc<Notify>) {
    loop {
        let (expired, wakes) = {
            let mut queues = lock(&QUEUES[queue.shard]);
            let Some(queue) = queues.iter_mut().find(|other| other.runtime == queue.runtime) else {
                return;
            };
            (queue.expired(Instant::now()), queue.wakes)
        };
        wake(expired);
        match wakes {
            Some(wakes) => tokio::select! {
                () = sleep_until(wakes) => {}
                () = earlier.notified() => {}
            },
            None => earlier.notified().await,
        }
    }
}

/// A waker that panics must not hold up the waits of others.
fn wake(waits: BTreeMap<Key, Waker>) {
    for waker in waits.into_values() {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Removes the queue of a runtime when it is dropped, and wakes the waits that are left in it.
struct Removal {
    shard: usize,
    runtime: Id,
}

impl Drop for Removal {
    fn drop(&mut self) {
        let removed = {
            let mut queues = lock(&QUEUES[self.shard]);
            let found = queues.iter().position(|queue| queue.runtime == self.runtime);
            found.map(|found| queues.swap_remove(found))
        };
        if let Some(removed) = removed {
            wake(removed.waits);
        }
    }
}

pin_project! {
    /// Waits for `operation`, but no longer than `bound` from its first poll that is pending.
    pub(crate) struct Within<F> {
        #[pin]
        operation: F,
        bound: Duration,
        wait: Option<Wait>,
    }
}

/// Limits the time of an operation. The clock is read only if the operation does not end at once.
pub(crate) fn within<F>(bound: Duration, operation: F) -> Within<F> {
    Within { operation, bound, wait: None }
}

impl<F: Future> Future for Within<F> {
    /// `None` if the operation has not ended in time.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.operation.poll(cx) {
            *this.wait = None;
            return Poll::Ready(Some(output));
        }
        let is_over = if let Some(wait) = this.wait {
            wait.is_over(cx.waker())
        } else {
            let at = Instant::now() + (*this.bound).min(LONGEST_WAIT);
            *this.wait = Wait::until(at, cx.waker());
            this.wait.is_none()
        };
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }
}

pin_project! {
    /// The future of [`in_time`].
    pub(crate) struct InTime<F: Future> {
        #[pin]
        within: Within<F>,
        late: fn() -> F::Output,
    }
}

/// Limits the time of an operation. If it does not end in time, `late` makes the output.
///
/// This is not an `async fn`, because that would store the operation twice.
pub(crate) fn in_time<F: Future>(
    bound: Duration,
    operation: F,
    late: fn() -> F::Output,
) -> InTime<F> {
    InTime { within: within(bound, operation), late }
}

impl<F: Future> Future for InTime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.within.poll(cx).map(|ended| ended.unwrap_or_else(this.late))
    }
}

#[cfg(test)]
mod tests;
