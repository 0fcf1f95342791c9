//! One thread for the whole process that starts the renewals that no runtime has started in time.

use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Queue;
use crate::runtime::lock::lock;

/// How late a renewal may be before the watchdog starts it. A busy runtime is rarely later.
const SLACK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Watchdog {
    watched: Mutex<Watched>,
    woken: Condvar,
}

#[derive(Default)]
struct Watched {
    queues: Vec<Weak<Queue>>,
    /// Whether a lease is due earlier than the thread expects.
    look: bool,
}

static WATCHDOG: LazyLock<Watchdog> = LazyLock::new(|| {
    let spawned =
        thread::Builder::new().name("idempotency-watchdog".into()).spawn(|| WATCHDOG.run());
    if let Err(error) = spawned {
        tracing::warn!(
            %error,
            "the watchdog thread for leases did not start: a handler that blocks its thread may \
             lose its lease; raise the limit of threads"
        );
    }
    Watchdog::default()
});

/// Watches the leases of a queue until the queue is dropped.
pub(super) fn watch(queue: &Arc<Queue>) {
    let queues = &mut lock(&WATCHDOG.watched).queues;
    // A queue is added again when its runtime has ended.
    if !queues.iter().any(|watched| watched.as_ptr() == Arc::as_ptr(queue)) {
        queues.push(Arc::downgrade(queue));
    }
}

/// Wakes the thread, because a lease is due earlier than before.
pub(super) fn look() {
    lock(&WATCHDOG.watched).look = true;
    WATCHDOG.woken.notify_one();
}

impl Watchdog {
    fn run(&self) {
        let mut watched = lock(&self.watched);
        loop {
            watched.look = false;
            let now = Instant::now();
            let next = watched.renew_late(now);
            let bound = next
                .map_or(Duration::MAX, |next| next.max(now + SLACK).saturating_duration_since(now));
            let is_idle = |watched: &mut Watched| !watched.look;
            let waited = self.woken.wait_timeout_while(watched, bound, is_idle);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            // Limits the rate, however many leases are due earlier.
            thread::sleep(SLACK / 4);
            watched = lock(&self.watched);
        }
    }
}

impl Watched {
    /// Spawns the renewals that are late, and returns when to look again.
    fn renew_late(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        self.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            next = [next, queue.renew_late(now)].into_iter().flatten().min();
            true
        });
        next
    }
}

impl Queue {
    /// Tokio's clock is the system's clock, unless a test has paused it. A renewal that is
    /// spawned too early under a paused clock finds that it is not due.
    fn renew_late(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let late = |at: tokio::time::Instant| at.into_std() + SLACK;
        let next = lock(&self.leases).next().map(late)?;
        if next > now {
            return Some(next);
        }
        self.renew_due(tokio::time::Instant::from_std(now)).map(late)
    }
}
