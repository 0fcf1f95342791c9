//! A reservation whose answer was lost is taken back.

use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::time::{Instant, sleep};

use super::super::{ErrorKind, Lease, Reservation, Store, StoreError};
use super::RedisStore;

/// The pause before the reservation is taken back; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes a reservation back unless its answer has come.
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
        let (Some((store, first)), Ok(runtime)) =
            (self.unanswered.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            // When the lease has lapsed, the next request takes the record over by itself.
            let lapses = Instant::now() + first.lease;
            let mut pause = PAUSE;
            while Instant::now() < lapses {
                sleep(pause).await;
                pause *= 2;
                if store.release(&first).await.is_ok() {
                    return;
                }
            }
        });
    }
}
