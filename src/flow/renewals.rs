//! The renewals of all leases of a layer: one task with a queue, and a watchdog outside of the runtime.
//!
//! A handler may block its thread. Then the task can be stuck on that thread, and so can the timers
//! of the runtime: tokio lets one idle worker drive them, and the worker that blocks may have been
//! that one. The [`watchdog`] is a thread of its own. It finds a renewal that is late and spawns it
//! from outside, which wakes another worker.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::lock::lock;

mod watchdog;

/// A lease that must be renewed while its attempt runs.
pub(crate) trait Renew: Send + Sync + 'static {
    /// Does what is due now, and tells when to call again; `None` if there is nothing more to do.
    fn renew(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Option<Instant>> + Send>>;
}

/// The leases of one layer. Dropping it ends the renewals.
#[derive(Default)]
pub(crate) struct Renewals {
    queue: Arc<Queue>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    leases: Mutex<Leases>,
    /// A lease is due earlier than the task expects.
    earlier: Notify,
}

#[derive(Default)]
struct Leases {
    due: BinaryHeap<Reverse<Due>>,
    /// When the task wakes by itself; `None` if it only waits to be told.
    wakes: Option<Instant>,
    /// How many places the heap had left after the last look for ended attempts.
    live: usize,
}

/// When a lease is due. An attempt that has ended leaves its place behind until then.
struct Due {
    at: Instant,
    lease: Weak<dyn Renew>,
    /// Where the attempt runs. The connections of its store belong to that runtime.
    runtime: Handle,
}

impl Renewals {
    /// Calls `lease` at `at` and whenever it asks for, until it has been dropped.
    pub(crate) fn add(&self, at: Instant, lease: &Arc<impl Renew>) {
        let lease: Weak<dyn Renew> = Arc::downgrade(lease) as Weak<dyn Renew>;
        let runtime = Handle::current();
        let mut task = lock(&self.task);
        if task.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            // The first lease, or the runtime that the task belonged to is gone.
            let queue = Arc::clone(&self.queue);
            *task = Some(AbortOnDropHandle::new(runtime.spawn(queue.run())));
            watchdog::watch(&self.queue);
        }
        drop(task);
        self.queue.add(Due { at, lease, runtime });
    }
}

impl Queue {
    fn add(&self, due: Due) {
        let mut leases = lock(&self.leases);
        let at = due.at;
        leases.push(due);
        if leases.wakes.is_some_and(|wakes| wakes <= at) {
            return;
        }
        leases.wakes = Some(at);
        drop(leases);
        self.earlier.notify_one();
        watchdog::look();
    }

    async fn run(self: Arc<Self>) {
        loop {
            let wakes = self.renew_due(Instant::now());
            let due = async {
                match wakes {
                    Some(wakes) => sleep_until(wakes).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Spawns the renewals that are due, and tells when the next one is.
    fn renew_due(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut leases = lock(&self.leases);
        while let Some(Due { lease, runtime, .. }) = leases.pop(now) {
            let Some(lease) = lease.upgrade() else {
                continue;
            };
            let queue = Arc::clone(self);
            let again = (Arc::downgrade(&lease), runtime.clone());
            runtime.spawn(async move {
                if let Some(at) = lease.renew().await {
                    let (lease, runtime) = again;
                    queue.add(Due { at, lease, runtime });
                }
            });
        }
        leases.wakes = leases.next();
        leases.wakes
    }
}

impl Leases {
    fn push(&mut self, due: Due) {
        self.due.push(Reverse(due));
        // Under a long lease the places of ended attempts must not add up.
        if self.due.len() > 2 * self.live + 64 {
            self.due.retain(|Reverse(due)| due.lease.strong_count() > 0);
            self.live = self.due.len();
        }
    }

    /// When the next lease is due. The places of attempts that have ended go.
    fn next(&mut self) -> Option<Instant> {
        while let Some(Reverse(due)) = self.due.peek() {
            if due.lease.strong_count() > 0 {
                return Some(due.at);
            }
            self.due.pop();
        }
        None
    }

    fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.due.pop().map(|Reverse(due)| due)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests;
