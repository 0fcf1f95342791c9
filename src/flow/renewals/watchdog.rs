//! One thread for the whole process, which finds the renewals that no runtime has made in time.

use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Queue;
use crate::runtime::lock::lock;

/// How late a renewal may be before the watchdog makes it. A busy runtime is not much later.
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
    let spawned = thread::Builder::new().name("idempotency-watchdog".into()).spawn(|| WATCHDOG.run());
    if let Err(error) = spawned {
        tracing::warn!(%error, "no watchdog for leases: a handler that blocks its thread may lose its lease");
    }
    Watchdog::default()
});

/// Looks after the leases of a queue until it is dropped.
pub(super) fn watch(queue: &Arc<Queue>) {
    let queues = &mut lock(&WATCHDOG.watched).queues;
    // It comes again where a runtime has ended.
    if !queues.iter().any(|watched| watched.as_ptr() == Arc::as_ptr(queue)) {
        queues.push(Arc::downgrade(queue));
    }
}

/// Has the thread look again, because a lease is due earlier than before.
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
            let bound =
                next.map_or(Duration::MAX, |next| next.max(now + SLACK).saturating_duration_since(now));
            let is_idle = |watched: &mut Watched| !watched.look;
            let waited = self.woken.wait_timeout_while(watched, bound, is_idle);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            // No more often than that, however many leases are due earlier.
            thread::sleep(SLACK / 4);
            watched = lock(&self.watched);
        }
    }
}

impl Watched {
    /// Spawns the renewals that are late, and tells when to look again.
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
    /// tokio's clock is that of the system, unless a test has paused it. What is spawned by mistake under a paused clock
    /// finds that it is not due.
    fn renew_late(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let late = |at: tokio::time::Instant| at.into_std() + SLACK;
        let next = lock(&self.leases).next().map(late)?;
        if next > now {
            return Some(next);
        }
        self.renew_due(tokio::time::Instant::from_std(now)).map(late)
    }
}
