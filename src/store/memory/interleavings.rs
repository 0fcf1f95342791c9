//! Every interleaving of a few threads over the store's own code, by loom: see `.ci/run` for how to
//! run them.
//!
//! A lease lapses either at once or in an hour, so that the clock decides nothing.

use std::time::Duration;

use loom::future::block_on;

use super::slot::SlotState;
use crate::store::{
    Lease, PendingRef, PreviousAttempt, Record, Reservation, ReserveRequest, Settlement, State,
};

mod capacity;
mod given;
mod shares;
pub(super) mod sync;
mod threads;

use given::{ask, counted, response, response_bytes, store};
use threads::{acquire, await_the_end, explore, found, spawn, winner_and_loser};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn of_two_contenders_one_acquires() {
    let ask = ask("key", HOUR);
    explore(move || {
        let store = store(1, 10);
        let other = spawn(&store, &ask, |store, ask| store.reserve(ask).unwrap());
        let mine = store.reserve(&ask).unwrap();
        let (lease, found) = winner_and_loser(mine, other.join().unwrap());
        assert_eq!((lease.attempt, lease.token), (1, found.token));
        assert!(matches!(found.state, State::Pending { abandoned: false }));
        assert_eq!(store.capacity.records(), 1);
    });
}

#[test]
fn of_two_contenders_one_takes_over_a_failed_record() {
    let ask = ask("key", HOUR);
    explore(move || {
        let store = store(1, 10);
        let first = acquire(&store, &ask);
        assert_eq!(
            store.settle(&first, SlotState::Failed(Some(response())), HOUR).unwrap(),
            Settlement::Applied
        );
        let other = spawn(&store, &ask, |store, ask| store.reserve(ask).unwrap());
        let mine = store.reserve(&ask).unwrap();
        let (lease, found) = winner_and_loser(mine, other.join().unwrap());
        assert_eq!((lease.attempt, lease.token), (2, found.token));
        assert_eq!(
            response_bytes(&store),
            0,
            "the response of the failed attempt was released once"
        );
    });
}

#[test]
fn a_waiter_hears_of_a_completed_record() {
    explore(completed_under_waiters(1));
}

/// With up to three preemptions; without a bound it takes too long.
#[test]
fn all_waiters_hear_of_a_completed_record() {
    let mut some = loom::model::Builder::new();
    some.preemption_bound = Some(3);
    some.check(completed_under_waiters(2));
}

fn completed_under_waiters(waiters: usize) -> impl Fn() + Sync + Send + 'static {
    let ask = ask("key", HOUR);
    move || {
        let store = store(1, 10);
        let lease = acquire(&store, &ask);
        let waiters: Vec<_> = (0..waiters).map(|_| spawn(&store, &ask, await_the_end)).collect();
        assert_eq!(
            store.settle(&lease, SlotState::Success(response()), HOUR).unwrap(),
            Settlement::Applied
        );
        for waiter in waiters {
            let found = found(waiter.join().unwrap());
            assert!(matches!(found.state, State::Success(_)));
        }
    }
}

#[test]
fn a_waiter_hears_of_a_released_record() {
    let ask = ask("key", HOUR);
    explore(move || {
        let store = store(1, 10);
        let lease = acquire(&store, &ask);
        let waiter = spawn(&store, &ask, await_the_end);
        assert_eq!(store.release(&lease).unwrap(), Settlement::Applied);
        let Reservation::Acquired(next) = waiter.join().unwrap() else {
            panic!("the key was free");
        };
        assert_eq!((next.attempt, next.previous), (1, None));
        assert_eq!(store.capacity.records(), 1);
    });
}

/// A later attempt is released. The failed record is there again, and the waiter takes it over.
#[test]
fn a_waiter_hears_of_a_record_that_was_put_back() {
    let ask = ask("key", HOUR);
    explore(move || {
        let store = store(1, 10);
        let first = acquire(&store, &ask);
        assert_eq!(
            store.settle(&first, SlotState::Failed(Some(response())), HOUR).unwrap(),
            Settlement::Applied
        );
        let second = acquire(&store, &ask);
        let waiter = spawn(&store, &ask, await_the_end);
        assert_eq!(store.release(&second).unwrap(), Settlement::Applied);
        let Reservation::Acquired(third) = waiter.join().unwrap() else {
            panic!("the failed record was there");
        };
        assert_eq!((third.attempt, third.replaces), (3, Some(first.token)));
        assert_eq!((store.capacity.records(), response_bytes(&store)), (1, 0));
    });
}

/// The waiter knows of a lease of an hour, which the attempt gives up.
#[test]
fn a_waiter_hears_of_a_lease_that_was_given_up() {
    let ask = ask("key", HOUR);
    explore(move || {
        let store = store(1, 10);
        let lease = acquire(&store, &ask);
        let waiter = spawn(&store, &ask, await_the_end);
        assert_eq!(store.renew(&lease.given_up()).unwrap(), Settlement::Applied);
        let Reservation::Acquired(next) = waiter.join().unwrap() else {
            panic!("the record was abandoned");
        };
        assert_eq!((next.attempt, next.previous), (2, Some(PreviousAttempt::Abandoned)));
        assert_eq!(store.capacity.records(), 1);
    });
}

/// The record of a late owner is put back while that owner writes: it comes too early or in time.
#[test]
fn a_late_settling_write_and_a_put_back_exclude_each_other() {
    let (lapsed, ask) = (ask("key", Duration::ZERO), ask("key", HOUR));
    explore(move || {
        let store = store(1, 10);
        let late = acquire(&store, &lapsed);
        let next = acquire(&store, &ask);
        let owner = spawn(&store, &late, |store, late| {
            store.settle(late, SlotState::Success(response()), HOUR).unwrap()
        });
        assert_eq!(store.release(&next).unwrap(), Settlement::Applied);
        let (settlement, bytes) = (owner.join().unwrap(), response_bytes(&store));
        match (settlement, store.reserve(&ask).unwrap()) {
            (
                Settlement::Applied,
                Reservation::Found(Record { state: State::Success(_), token, .. }),
            ) => {
                assert_eq!((token, bytes), (late.token, counted(&response())));
            }
            (Settlement::LeaseLost, Reservation::Acquired(third)) => {
                assert_eq!((third.attempt, third.replaces), (3, Some(late.token)));
                assert_eq!(bytes, 0);
            }
            (settlement, reservation) => panic!("{settlement:?} and {reservation:?}"),
        }
    });
}

/// A request waits for an attempt, which is then taken over. It did not wait for the new attempt.
#[test]
fn a_waiter_hears_that_the_record_was_taken_over() {
    let (lapsed, ask) = (ask("key", Duration::ZERO), ask("key", HOUR));
    explore(move || {
        let store = store(1, 10);
        let lease = acquire(&store, &lapsed);
        let seen = PendingRef::new(lease.key, lease.token);
        let waiter = spawn(&store, &ask, move |store, ask| {
            if let Some((changed, _)) = store.wait(&seen, store.now()) {
                block_on(changed);
            }
            // The attempt that was waited for is over: a look finds the next one.
            found(store.reserve(ask).unwrap())
        });
        let next = acquire(&store, &ask);
        assert_eq!(next.previous, Some(PreviousAttempt::Abandoned));
        assert_eq!(waiter.join().unwrap().token, next.token);
    });
}

#[test]
fn a_late_settling_write_and_a_take_over_exclude_each_other() {
    let (lapsed, ask) = (ask("key", Duration::ZERO), ask("key", HOUR));
    explore(move || {
        let store = store(1, 10);
        let late = acquire(&store, &lapsed);
        let owner = spawn(&store, &late, |store, late| {
            store.settle(late, SlotState::Success(response()), HOUR).unwrap()
        });
        let reservation = store.reserve(&ask).unwrap();
        match (owner.join().unwrap(), reservation) {
            (
                Settlement::Applied,
                Reservation::Found(Record { state: State::Success(_), token, .. }),
            ) => {
                assert_eq!(token, late.token);
                assert_eq!(response_bytes(&store), counted(&response()));
            }
            (Settlement::LeaseLost, Reservation::Acquired(next)) => {
                assert_eq!((next.attempt, next.previous), (2, Some(PreviousAttempt::Abandoned)));
                assert_eq!(found(store.reserve(&ask).unwrap()).token, next.token);
                assert_eq!(response_bytes(&store), 0);
            }
            (settlement, reservation) => panic!("{settlement:?} and {reservation:?}"),
        }
    });
}

#[test]
fn a_late_heartbeat_and_a_take_over_exclude_each_other() {
    let (lapsed, ask) = (ask("key", Duration::ZERO), ask("key", HOUR));
    explore(move || {
        let store = store(1, 10);
        let late = Lease { lease: HOUR, ..acquire(&store, &lapsed) };
        let owner = spawn(&store, &late, |store, late| store.renew(late).unwrap());
        let reservation = store.reserve(&ask).unwrap();
        match (owner.join().unwrap(), reservation) {
            (Settlement::Applied, Reservation::Found(Record { attempt: 1, .. }))
            | (Settlement::LeaseLost, Reservation::Acquired(Lease { attempt: 2, .. })) => {}
            (settlement, reservation) => panic!("{settlement:?} and {reservation:?}"),
        }
    });
}

/// The record expires, and its late owner meets it as well as a newcomer: one of them has the key
/// then, and the expired record is counted out once.
#[test]
fn an_expired_record_is_counted_out_once() {
    let (expired, ask) =
        (ReserveRequest { retention: Duration::ZERO, ..ask("key", HOUR) }, ask("key", HOUR));
    explore(move || {
        let store = store(1, 1);
        let late = acquire(&store, &expired);
        let owner = spawn(&store, &late, |store, late| {
            store.settle(late, SlotState::Success(response()), HOUR).unwrap()
        });
        let reservation = store.reserve(&ask);
        let bytes = match (owner.join().unwrap(), reservation.unwrap()) {
            (Settlement::LeaseLost, Reservation::Acquired(Lease { attempt: 1, .. })) => 0,
            (Settlement::Applied, Reservation::Found(Record { state: State::Success(_), .. })) => {
                counted(&response())
            }
            (settlement, reservation) => panic!("{settlement:?} and {reservation:?}"),
        };
        assert_eq!((store.capacity.records(), response_bytes(&store)), (1, bytes));
    });
}
