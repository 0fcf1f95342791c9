//! Connections between two operations of the store.
//!
//! The driver pings the server when a connection returns to its pool, and the connection holds its
//! place meanwhile. So after an operation that ended cleanly, the store leaves the connection here
//! for the next operation. It goes back after [`IDLE`], and at once if the pool has no other one
//! for the application. Under load on a full pool it goes back after [`BUSY`]. Only statements of
//! the store run on it, so the hooks of the pool see the session as before.

use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::sqlx::{PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::runtime::lock::lock;
use crate::store::sql::pooled::Pooled;

/// How long a connection waits for the next operation.
const IDLE: Duration = Duration::from_millis(10);
/// How long a connection serves one operation after another while the pool has no other one.
const BUSY: Duration = Duration::from_millis(20);
/// How long it does so at most. Only the pool closes a connection that is too old.
const LONGEST: Duration = Duration::from_secs(1);
/// How often the spare connections are looked at. A pool that is closed waits for them.
const TICK: Duration = Duration::from_millis(5);

/// A clone is the same set of connections.
#[derive(Clone, Default)]
pub(super) struct Spares(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// The one that was used last comes last, and is taken first.
    spares: Vec<Spare>,
    is_watched: bool,
}

/// A connection whose last statement ended cleanly.
pub(super) struct Spare {
    pub(super) connection: Pooled<Postgres>,
    /// When it was taken out of the pool.
    pub(super) taken: Instant,
    /// When its last statement ended.
    pub(super) since: Instant,
}

impl Spares {
    pub(super) fn take(&self, pool: &PgPool) -> Option<Spare> {
        // A closed pool has an error of its own.
        if pool.is_closed() { None } else { lock(&self.0.state).spares.pop() }
    }

    /// Leaves a connection for the next operation, or returns it to the pool.
    pub(super) fn leave(&self, spare: Spare, pool: &PgPool) {
        let is_needed = has_none_left(pool);
        let longest = if is_needed { BUSY } else { LONGEST };
        let Ok(runtime) = Handle::try_current() else { return };
        if pool.is_closed() || spare.taken.elapsed() > longest {
            return;
        }
        let mut state = lock(&self.0.state);
        state.spares.push(spare);
        if !mem::replace(&mut state.is_watched, true) {
            let watched =
                Watched { shared: Arc::clone(&self.0), pool: pool.clone(), is_over: false };
            runtime.spawn(watched.watch());
        } else if is_needed {
            self.0.wake.notify_one();
        }
    }
}

/// Whether the next caller has to wait for a connection of the pool.
fn has_none_left(pool: &PgPool) -> bool {
    pool.num_idle() == 0 && pool.size() >= pool.options().get_max_connections()
}

/// Returns connections to the pool until there is none left here. A runtime that shuts down drops it
/// before that, and it returns all of them.
struct Watched {
    shared: Arc<Shared>,
    pool: PgPool,
    is_over: bool,
}

impl Watched {
    async fn watch(mut self) {
        loop {
            // An operation that is about to begin comes first.
            yield_now().await;
            self.is_over = self.return_some();
            if self.is_over {
                return;
            }
            let _ = timeout(TICK, self.shared.wake.notified()).await;
        }
    }

    /// Returns whether none is left.
    fn return_some(&self) -> bool {
        let all = self.pool.is_closed() || has_none_left(&self.pool);
        let mut state = lock(&self.shared.state);
        let is_due = |spare: &mut Spare| all || spare.since.elapsed() >= IDLE;
        let due: Vec<_> = state.spares.extract_if(.., is_due).collect();
        let is_empty = state.spares.is_empty();
        state.is_watched = !is_empty;
        drop(state);
        drop(due);
        is_empty
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_over {
            let left = mem::take(&mut *lock(&self.shared.state));
            drop(left);
        }
    }
}
