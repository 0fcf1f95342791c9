//! Renews all leases of a layer: one task with a queue, and a watchdog outside of the runtime.
//!
//! A handler may block its thread. The task can then be stuck on that thread. The timers of the
//! runtime can be stuck too, because tokio lets one idle worker drive them, and that worker may be
//! the blocked one. The [`watchdog`] is a separate thread. It spawns late renewals from outside,
//! which wakes another worker.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::runtime::lock::lock;

mod watchdog;

/// A lease that must be renewed while its attempt runs.
pub(crate) trait Renew: Send + Sync + 'static {
    /// Renews the lease if that is due, and returns when to call again. `None` ends the renewals.
    fn renew(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Option<Instant>> + Send>>;
}

/// The leases of one layer. Dropping it ends the renewals.
#[derive(Default)]
pub(crate) struct Renewals {
    queue: Arc<Queue>,
    task: Mutex<Option<JoinHandle<()>>>,
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
    /// When the task wakes by itself. `None` if it waits for a notification.
    wakes: Option<Instant>,
    /// How many entries the heap had after the last removal of ended attempts.
    live: usize,
}

/// When a lease is due. The entry of an ended attempt can remain until then.
struct Due {
    at: Instant,
    lease: Weak<dyn Renew>,
    /// The runtime of the attempt. The connections of its store belong to that runtime.
    runtime: Handle,
}

impl Renewals {
    /// Renews `lease` at `at`, and then at the instants that it returns, until it is dropped.
    pub(crate) fn add(&self, at: Instant, lease: &Arc<impl Renew>) {
        let lease: Weak<dyn Renew> = Arc::downgrade(lease) as Weak<dyn Renew>;
        let runtime = Handle::current();
        let mut task = lock(&self.task);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            // This is the first lease, or the runtime of the task has ended.
            let queue = Arc::clone(&self.queue);
            *task = Some(runtime.spawn(queue.run()));
            watchdog::watch(&self.queue);
        }
        drop(task);
        self.queue.add(Due { at, lease, runtime });
    }
}

impl Drop for Renewals {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
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

    /// Spawns the renewals that are due, and returns when the next one is due.
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
        // A wake-up that was set stays, though its attempt has ended. Otherwise each attempt that is
        // alone would wake the task.
        let set = leases.wakes.filter(|wakes| *wakes > now);
        leases.wakes = leases.next().or(set);
        leases.wakes
    }
}

impl Leases {
    fn push(&mut self, due: Due) {
        self.due.push(Reverse(due));
        // With a long lease, the entries of ended attempts must not accumulate.
        if self.due.len() > 2 * self.live + 64 {
            self.due.retain(|Reverse(due)| due.lease.strong_count() > 0);
            self.live = self.due.len();
        }
    }

    /// When the next lease is due. Removes the entries of ended attempts before it.
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
