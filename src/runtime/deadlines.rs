//! Ends waits that last too long, with one timer for all of them.
//!
//! With a timer of tokio for each wait, a short wait costs less than its timer. The timer is put
//! into the wheel of the runtime and taken out again. If it is due before all others, the idle
//! thread of the runtime is woken to learn of it.
//!
//! Here the waits stand in the order of their deadlines, and a task sleeps until the first one. If
//! that wait has ended by then, the task sleeps until the next one. So it wakes about once per
//! bound, and not once per wait.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem::replace;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
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
    task: JoinHandle<()>,
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
    fn begin(bound: Duration, waker: &Waker) -> Self {
        let shard = SHARD.with(|shard| *shard);
        let handle = Handle::current();
        let runtime = handle.id();
        let at = Instant::now() + bound.min(LONGEST_WAIT);
        let mut queues = lock(&QUEUES[shard]);
        let queue = match queues.iter().position(|queue| queue.runtime == runtime) {
            Some(present) => &mut queues[present],
            None => {
                // Those of runtimes that have ended.
                queues.retain(|queue| !queue.task.is_finished());
                queues.push(Queue::new(shard, &handle));
                let last = queues.len() - 1;
                &mut queues[last]
            }
        };
        let key = (at, queue.begun);
        queue.begun += 1;
        queue.waits.insert(key, waker.clone());
        if queue.wakes.is_none_or(|wakes| at < wakes) {
            queue.wakes = Some(at);
            queue.earlier.notify_one();
        }
        Self { shard, runtime, key }
    }

    /// Whether the deadline has passed. If it has not, `waker` is called then.
    fn is_over(&self, waker: &Waker) -> bool {
        let former = self.in_queue(|queue| {
            let waiting = queue.waits.get_mut(&self.key)?;
            Some((!waiting.will_wake(waker)).then(|| replace(waiting, waker.clone())))
        });
        former.is_none()
    }

    /// Changes the queue. What is returned is dropped outside of the lock, because a waker may drop
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
    fn new(shard: usize, handle: &Handle) -> Self {
        let earlier = Arc::<Notify>::default();
        let task = handle.spawn(run(shard, handle.id(), Arc::clone(&earlier)));
        let waits = BTreeMap::new();
        Self { runtime: handle.id(), waits, begun: 0, wakes: None, earlier, task }
    }

    /// Takes out the waits whose deadline has passed.
    fn expired(&mut self, now: Instant) -> BTreeMap<Key, Waker> {
        let later = self.waits.split_off(&(now, u64::MAX));
        let expired = replace(&mut self.waits, later);
        self.wakes = self.waits.first_key_value().map(|((at, _), _)| *at);
        expired
    }
}

/// Wakes the waits of one queue at their deadlines.
async fn run(shard: usize, runtime: Id, earlier: Arc<Notify>) {
    loop {
        let (expired, wakes) = {
            let mut queues = lock(&QUEUES[shard]);
            let Some(queue) = queues.iter_mut().find(|queue| queue.runtime == runtime) else {
                return;
            };
            (queue.expired(Instant::now()), queue.wakes)
        };
        expired.into_values().for_each(Waker::wake);
        match wakes {
            Some(wakes) => tokio::select! {
                () = sleep_until(wakes) => {}
                () = earlier.notified() => {}
            },
            None => earlier.notified().await,
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
        match this.wait {
            None => *this.wait = Some(Wait::begin(*this.bound, cx.waker())),
            Some(wait) if wait.is_over(cx.waker()) => return Poll::Ready(None),
            Some(_) => {}
        }
        Poll::Pending
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

/// Limits the time of an operation. If it does not end in time, the output is that of `late`.
///
/// This is no `async fn`, because that would store the operation twice.
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
