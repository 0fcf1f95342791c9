//! Reservations whose answer was lost are taken back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::time::{Instant, sleep};

use super::super::{ErrorKind, Lease, Reservation, Settlement, Store, StoreError};
use super::RedisStore;
use super::server::held;

/// The pause before the next try; it doubles up to the longest one while the server cannot be asked.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long after the reservation it may still arrive: what is in the buffers of a connection that was given up.
const LATE: Duration = Duration::from_secs(3);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many reservations are remembered; in a crowd beyond that, the oldest are left to lapse.
const MOST: usize = 10_000;

/// The reservations of one store that are to be taken back, by one task for all, which runs while there are any.
#[derive(Default)]
pub(super) struct Unanswered(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<(Lease, Instant)>,
    is_running: bool,
}

impl Unanswered {
    fn add<C>(self: &Arc<Self>, store: RedisStore<C>, first: Lease)
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut state = held(&self.0);
        if state.waiting.len() == MOST {
            state.waiting.pop_front();
        }
        state.waiting.push_back((first, Instant::now()));
        if !std::mem::replace(&mut state.is_running, true) {
            runtime.spawn(Arc::clone(self).run(store));
        }
    }

    async fn run<C>(self: Arc<Self>, store: RedisStore<C>)
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            let mut left = VecDeque::new();
            loop {
                let Some((first, since)) = held(&self.0).waiting.pop_front() else { break };
                match store.release(&first).await {
                    Ok(Settlement::Applied) => {}
                    Ok(Settlement::LeaseLost) if since.elapsed() > LATE => {}
                    Err(_) if since.elapsed() > PATIENCE => {}
                    Ok(Settlement::LeaseLost) => left.push_back((first, since)),
                    // The others would fare no better now.
                    Err(_) => {
                        left.push_back((first, since));
                        break;
                    }
                }
            }
            let mut state = held(&self.0);
            left.append(&mut state.waiting);
            state.waiting = left;
            if state.waiting.is_empty() {
                state.is_running = false;
                return;
            }
        }
    }
}

/// Takes a reservation back unless its answer comes.
///
/// Nobody runs an operation whose reservation was not answered. Left alone, its record would look like an attempt that
/// was cut off: the key would be taken until the lease lapses, and refused for good where abandoned attempts are not run
/// again. Only a first attempt is taken back. One that took over from another would take the memory of that one along.
pub(super) struct Undo<C: ConnectionLike + Clone + Send + Sync + 'static> {
    unanswered: Option<(RedisStore<C>, Lease)>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Undo<C> {
    pub(super) fn of(store: &RedisStore<C>, first: &Lease) -> Self {
        Self { unanswered: Some((store.clone(), first.clone())) }
    }

    /// Hears the answer. A command that was never sent, or was refused, needs no undoing either.
    pub(super) fn answered(mut self, answer: &Result<Reservation, StoreError>) {
        let unknown = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout);
        if !unknown {
            self.unanswered = None;
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Drop for Undo<C> {
    fn drop(&mut self) {
        if let Some((store, first)) = self.unanswered.take() {
            let unanswered = Arc::clone(&store.unanswered);
            unanswered.add(store, first);
        }
    }
}
