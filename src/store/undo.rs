//! Reservations whose reply was lost are undone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::timeout::Timeout;
use super::{Lease, Reservation, Settlement, Store, StoreError, StoreErrorKind};
use crate::runtime::lock::lock;

/// The pause before the next pass; it doubles up to the longest one while the server cannot be
/// asked.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time that one try has, whatever connection the store was given. It has as long as
/// the callers of the store wait.
const TRY: Duration = Duration::from_secs(2);
/// After so many failures in a row a pass ends: the others would fare no better now.
const FAILURES: usize = 8;
/// How long after the server's first reply the reservation may still arrive, from the buffers of a
/// connection that was closed.
const LATE: Duration = Duration::from_secs(3);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many reservations are remembered. Above that, the oldest are left to lapse.
const MOST: usize = 10_000;

/// The reservations of one store that are to be undone, by one task for all, which runs while there
/// are any.
#[derive(Default)]
pub(super) struct Unreplied {
    state: Mutex<State>,
    timeout: Timeout,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    task: Option<JoinHandle<()>>,
}

struct Entry {
    lease: Lease,
    since: Instant,
    /// When the server first said that it knows nothing of the reservation.
    unknown_since: Option<Instant>,
}

impl State {
    fn push(&mut self, entry: Entry) {
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(entry);
    }
}

/// Begins without reservations. The callers of the store wait this long.
impl From<Timeout> for Unreplied {
    fn from(timeout: Timeout) -> Self {
        Self { state: Mutex::default(), timeout }
    }
}

impl Unreplied {
    fn add(self: &Arc<Self>, store: impl Store, lease: Lease) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let is_running = {
            let mut state = lock(&self.state);
            state.push(Entry { lease, since: Instant::now(), unknown_since: None });
            state.task.as_ref().is_some_and(|task| !task.is_finished())
        };
        if !is_running {
            // Outside of the guard, because a runtime that shuts down drops the task at once. Two
            // tasks may run for a moment, which does no harm.
            let task = runtime.spawn(Arc::clone(self).run(store));
            lock(&self.state).task = Some(task);
        }
    }

    async fn run(self: Arc<Self>, store: impl Store) {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            let failed = self.pass(&store).await;
            pause = if failed { (2 * pause).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            let mut state = lock(&self.state);
            if state.waiting.is_empty() {
                // A caller that adds one from here on finds no task.
                state.task = None;
                return;
            }
        }
    }

    /// Tries each once. Whether most of the tries failed.
    async fn pass(&self, store: &impl Store) -> bool {
        let mut failures = 0;
        let entries = lock(&self.state).waiting.len();
        for _ in 0..entries {
            let Some(mut entry) = lock(&self.state).waiting.pop_front() else { break };
            let released = timeout(self.timeout.get().max(TRY), store.release(&entry.lease)).await;
            let is_over = match released {
                Ok(Ok(Settlement::Applied)) => true,
                Ok(Ok(Settlement::LeaseLost)) => {
                    entry.unknown_since.get_or_insert_with(Instant::now).elapsed() > LATE
                }
                Ok(Err(_)) | Err(_) => entry.since.elapsed() > PATIENCE,
            };
            failures = if matches!(released, Ok(Ok(_))) { 0 } else { failures + 1 };
            if !is_over {
                lock(&self.state).push(entry);
            }
            if failures == FAILURES {
                break;
            }
        }
        failures > 0
    }
}

/// Undoes a reservation unless its reply comes.
///
/// No operation runs under a reservation without a reply. Its record would still look like an
/// attempt that was cut off: the key is taken until the lease lapses, and for good where abandoned
/// attempts are not run again. So the reservation is released as one that never began
/// ([`Lease::never_begun`]): what it found is put back.
pub(super) struct Undo<'a, S: Store + Clone> {
    store: &'a S,
    unreplied: &'a Arc<Unreplied>,
    first: &'a Lease,
    /// The lease of a later command than the first.
    next: Option<Box<Lease>>,
    /// Whether there is nothing to undo.
    has_replied: bool,
}

impl<'a, S: Store + Clone> Undo<'a, S> {
    pub(super) fn of(store: &'a S, unreplied: &'a Arc<Unreplied>, first: &'a Lease) -> Self {
        Self { store, unreplied, first, next: None, has_replied: false }
    }

    /// Notes the lease that the next command writes, before that command is sent. Every command
    /// before it has had its reply, and did not apply.
    pub(super) fn sends(&mut self, lease: &Lease) {
        self.next = Some(Box::new(lease.clone()));
    }

    /// Hears the reply. A command that was never sent, or was rejected, needs no undoing either.
    pub(super) fn replied(mut self, reply: &Result<Reservation, StoreError>) {
        let is_timeout = |error: &StoreError| error.kind() == StoreErrorKind::Timeout;
        self.has_replied = !reply.as_ref().is_err_and(is_timeout);
    }
}

impl<S: Store + Clone> Drop for Undo<'_, S> {
    fn drop(&mut self) {
        if !self.has_replied {
            let sent = self.next.as_deref().unwrap_or(self.first).clone();
            self.unreplied.add(self.store.clone(), sent.never_begun());
        }
    }
}
