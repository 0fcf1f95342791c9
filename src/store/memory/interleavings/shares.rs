//! What the threads count in the shares of scopes.

use super::HOUR;
use super::given::{counted, in_two_shards, many_asks, response, response_bytes, scope, store};
use super::threads::{acquire, explore, spawn};
use crate::store::memory::Inner;
use crate::store::memory::slot::SlotState;
use crate::store::{Reservation, ReserveRequest, Settlement, StoreErrorKind};

/// Two keys of one scope, each in a shard of its own, and capacity for one of them.
#[test]
fn no_more_records_of_a_scope_are_let_in_than_its_share_takes() {
    let scope = scope();
    let asks: Vec<_> = many_asks().into_iter().map(|ask| ReserveRequest { scope, ..ask }).collect();
    explore(move || {
        // A tenth of it is one record.
        let store = store(2, 10);
        let [one, two] = in_two_shards(&store, &asks);
        let other = spawn(&store, &one, Inner::reserve);
        let mine = store.reserve(&two);
        match (mine, other.join().unwrap()) {
            (Ok(Reservation::Acquired(lease)), Err(error))
            | (Err(error), Ok(Reservation::Acquired(lease))) => {
                assert_eq!(error.kind(), StoreErrorKind::ScopeFull);
                assert_eq!((store.capacity.records(), store.capacity.shares.len()), (1, 1));
                assert_eq!(store.release(&lease).unwrap(), Settlement::Applied);
                assert_eq!(
                    (store.capacity.records(), store.capacity.bytes(), store.capacity.shares.len()),
                    (0, 0, 0)
                );
            }
            (mine, other) => panic!("{mine:?} and {other:?}"),
        }
    });
}

/// The last record of a scope goes while another one comes.
#[test]
fn a_share_that_ends_does_not_take_a_new_record_along() {
    let scope = scope();
    let asks: Vec<_> = many_asks().into_iter().map(|ask| ReserveRequest { scope, ..ask }).collect();
    explore(move || {
        let store = store(2, 100);
        let [one, two] = in_two_shards(&store, &asks);
        let first = acquire(&store, &one);
        let owner = spawn(&store, &first, |store, first| {
            assert_eq!(store.release(first).unwrap(), Settlement::Applied);
        });
        let second = acquire(&store, &two);
        assert_eq!(
            store.settle(&second, SlotState::Success(response()), HOUR).unwrap(),
            Settlement::Applied
        );
        owner.join().unwrap();
        assert_eq!((store.capacity.records(), response_bytes(&store)), (1, counted(&response())));
        assert_eq!(store.capacity.shares.len(), 1);
        let expires = store.capacity.shares.of(scope).and_then(|share| share.next_expiry());
        assert!(expires.is_some_and(|expires| expires > HOUR / 2), "{expires:?}");
    });
}
