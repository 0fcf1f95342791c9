//! What the threads do, and what they find.

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use crate::store::memory::Inner;
use crate::store::{Lease, PendingRef, Record, Reservation, ReserveRequest, State};

pub(super) fn explore(threads: impl Fn() + Sync + Send + 'static) {
    loom::model(threads);
}

/// Runs on the store, with a copy of what it works with.
pub(super) fn spawn<G: Clone + 'static, T: 'static>(
    store: &Arc<Inner>,
    given: &G,
    run: impl FnOnce(&Inner, &G) -> T + 'static,
) -> thread::JoinHandle<T> {
    let (store, given) = (Arc::clone(store), given.clone());
    thread::spawn(move || run(&store, &given))
}

pub(super) fn acquire(store: &Inner, ask: &ReserveRequest) -> Lease {
    match store.reserve(ask).unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

pub(super) fn found(reservation: Reservation) -> Record {
    match reservation {
        Reservation::Found(record) => record,
        Reservation::Acquired(lease) => panic!("nothing was found: {lease:?}"),
    }
}

pub(super) fn winner_and_loser(one: Reservation, two: Reservation) -> (Lease, Record) {
    match (one, two) {
        (Reservation::Acquired(lease), Reservation::Found(record))
        | (Reservation::Found(record), Reservation::Acquired(lease)) => (lease, record),
        both => panic!("one should have won: {both:?}"),
    }
}

/// Reserves and waits by turns, as the layer does. A wait without an end is a deadlock, which loom
/// reports.
pub(super) fn await_the_end(store: &Inner, ask: &ReserveRequest) -> Reservation {
    loop {
        match store.reserve(ask).unwrap() {
            Reservation::Found(Record { state: State::Pending { .. }, token, .. }) => {
                let seen = PendingRef::new(ask.key, token);
                // A lease that was given up before the wait has lapsed.
                if let Some((settled, lapses)) = store.wait(&seen, store.now())
                    && lapses > store.now()
                {
                    block_on(settled);
                }
            }
            end => return end,
        }
    }
}
