//! What the threads count in the capacity of the store.

use std::time::Duration;

use super::HOUR;
use super::given::{
    counted, in_two_shards, many_asks, response, response_bytes, store, without_body,
};
use super::threads::{acquire, explore, spawn};
use crate::store::memory::slot::SlotState;
use crate::store::{Reservation, Settlement, StoreErrorKind};

/// Each in a shard of its own, so that only the count can reject one.
#[test]
fn no_more_records_are_let_in_than_there_is_capacity_for() {
    let asks = many_asks();
    explore(move || {
        let store = store(2, 1);
        let [one, two] = in_two_shards(&store, &asks);
        let other = spawn(&store, &one, |store, one| {
            let reservation = store.reserve(one);
            assert!(store.capacity.records() <= 1);
            reservation
        });
        let mine = store.reserve(&two);
        assert!(store.capacity.records() <= 1);
        match (mine, other.join().unwrap()) {
            (Ok(Reservation::Acquired(lease)), Err(error))
            | (Err(error), Ok(Reservation::Acquired(lease))) => {
                assert_eq!(error.kind(), StoreErrorKind::Full);
                assert_eq!(store.capacity.records(), 1);
                assert_eq!(store.release(&lease).unwrap(), Settlement::Applied);
                assert_eq!((store.capacity.records(), store.capacity.bytes()), (0, 0));
            }
            (mine, other) => panic!("{mine:?} and {other:?}"),
        }
    });
}

/// Two shards count at the same time, and neither takes back what the other one has counted.
#[test]
fn the_counts_of_two_shards_add_up() {
    let asks = many_asks();
    explore(move || {
        let store = store(2, 10);
        let [one, two] = in_two_shards(&store, &asks);
        let first = acquire(&store, &one);
        assert_eq!(
            store.settle(&first, SlotState::Failed(Some(response())), HOUR).unwrap(),
            Settlement::Applied
        );
        let passing = spawn(&store, &one, |store, one| {
            let second = acquire(store, one);
            assert_eq!(store.release(&second).unwrap(), Settlement::Applied);
        });
        let lease = acquire(&store, &two);
        assert_eq!(
            store.settle(&lease, SlotState::Success(response()), HOUR).unwrap(),
            Settlement::Applied
        );
        passing.join().unwrap();
        assert_eq!(
            (store.capacity.records(), response_bytes(&store)),
            (2, counted(&response()) + counted(&without_body()))
        );
    });
}

/// One thread gives capacity back while another one asks for it. The count is right in the end.
#[test]
fn capacity_that_is_given_back_is_neither_lost_nor_given_twice() {
    let asks = many_asks();
    explore(move || {
        let store = store(2, 1);
        let [one, two] = in_two_shards(&store, &asks);
        let lease = acquire(&store, &one);
        let owner = spawn(&store, &lease, |store, lease| {
            assert_eq!(
                store.settle(lease, SlotState::Failed(Some(response())), Duration::ZERO).unwrap(),
                Settlement::Applied
            );
        });
        let admitted = match store.reserve(&two) {
            Ok(reservation) => usize::from(matches!(reservation, Reservation::Acquired(_))),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full);
                0
            }
        };
        owner.join().unwrap();
        store.sweep(&one.key, store.now());
        assert_eq!((store.capacity.records(), response_bytes(&store)), (admitted, 0));
    });
}
