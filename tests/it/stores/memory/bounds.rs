//! What the memory store promises beyond the contract: bounds, and waking without polling.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Barrier;
use tokio::time::Instant;
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, PendingRef, Record, Reservation, ReserveRequest, RetryFailed,
    Settlement, State, StorageKey, Store, StoreErrorKind, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, MemoryStore, Scope};

const HOUR: Duration = Duration::from_hours(1);

// Bounds

#[tokio::test(start_paused = true)]
async fn a_full_store_rejects_new_keys_until_a_record_expires() {
    let store = MemoryStore::new().max_records(100);
    let leases = acquire_all(&store, 0..100).await;
    for (lease, number) in leases.iter().zip(0_u64..) {
        let retention = if number == 37 { HOUR } else { 3 * HOUR };
        complete(&store, lease, &outcome(20), retention).await;
    }

    for number in 100..200 {
        assert_full(&store, number).await;
    }
    tokio::time::advance(HOUR / 2).await;
    assert_full(&store, 100).await;
    tokio::time::advance(HOUR).await;
    acquire(&store, 100).await;
    assert_full(&store, 101).await;
    assert_eq!(store.records(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_takes_a_new_key_after_a_release() {
    let store = MemoryStore::new().max_records(2);
    let leases = acquire_all(&store, 0..2).await;
    assert_full(&store, 2).await;
    release(&store, &leases[0]).await;
    acquire(&store, 2).await;
    assert_full(&store, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_store_serves_the_records_it_has() {
    let store = MemoryStore::new().max_records(1);
    let lease = acquire(&store, 0).await;
    assert!(matches!(find(&store, 0).await.state, State::Pending { abandoned: false }));
    assert_eq!(store.renew(&lease).await.unwrap(), Settlement::Applied);
    let settlement = store.fail(&lease, None, HOUR).await.unwrap();
    assert_eq!(settlement, Settlement::Applied);

    // Taking a record over needs no new place.
    let again = request(0).retry_failed(RetryFailed::Any);
    let Reservation::Acquired(lease) = store.reserve(&again).await.unwrap() else {
        panic!("a failed record should be taken over in a full store too");
    };
    complete(&store, &lease, &outcome(1 << 20), HOUR).await;
    assert_success(&find(&store, 0).await, &outcome(1 << 20));
    assert_eq!(store.records(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_live_record_is_ever_evicted() {
    const LIVE: u64 = 1000;
    let store = MemoryStore::new().max_records(1000);
    for lease in acquire_all(&store, 0..LIVE).await {
        complete(&store, &lease, &outcome_of(&lease), HOUR).await;
    }
    for number in LIVE..10 * LIVE {
        assert_full(&store, number).await;
    }
    tokio::time::advance(HOUR.mul_f64(0.999)).await;
    for number in 0..LIVE {
        let record = find(&store, number).await;
        let State::Success(found) = record.state else {
            panic!("record {number} should still be a success");
        };
        assert_eq!(found.bytes(), request(number).key.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn the_bound_in_bytes_is_exact() {
    let record = {
        let store = MemoryStore::new();
        acquire(&store, 0).await;
        store.bytes()
    };
    let outcome = outcome(5000);
    let response = {
        let store = MemoryStore::new();
        complete(&store, &acquire(&store, 0).await, &outcome, HOUR).await;
        store.bytes() - record
    };
    assert!((5000..=outcome.encode().len()).contains(&(response + 224)), "{response}");

    for (spare, fits) in [(0, true), (1, true), (-1, false)] {
        let store = MemoryStore::new();
        let lease = acquire(&store, 0).await;
        complete(&store, &lease, &outcome, HOUR).await;
        assert_eq!(store.bytes(), record + response);

        let store = store.max_bytes((2 * record + response).checked_add_signed(spare).unwrap());
        if fits {
            acquire(&store, 1).await;
        }
        assert_full(&store, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_does_not_fit_is_rejected_and_one_without_its_body_is_not() {
    let store = MemoryStore::new();
    let record = {
        acquire(&store, 0).await;
        store.bytes()
    };
    let store = MemoryStore::new().max_bytes(record);
    let lease = acquire(&store, 0).await;
    for large in [outcome(1 << 20), outcome(300)] {
        let rejected = store.complete(&lease, &large, HOUR).await;
        assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Full);
        let rejected = store.fail(&lease, Some(&large), HOUR).await;
        assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Full);
        assert!(matches!(find(&store, 0).await.state, State::Pending { abandoned: false }));
    }
    let bare = Outcome::new(StatusCode::CREATED, StoredBody::NotRetained(NotRetained::Rejected));
    complete(&store, &lease, &bare, HOUR).await;
    assert_success(&find(&store, 0).await, &bare);
    assert_full(&store, 1).await;

    tokio::time::advance(HOUR).await;
    acquire(&store, 1).await;
}

/// Each of many attempts that run at once may still store a response.
#[tokio::test(start_paused = true)]
async fn what_is_in_flight_does_not_take_the_store_above_its_limit() {
    const MOST: usize = 16 << 20;
    let store = MemoryStore::new().max_bytes(MOST);
    let mut whole = 0;
    for lease in acquire_all(&store, 0..512).await {
        match store.complete(&lease, &outcome(1 << 20), HOUR).await {
            Ok(settlement) => {
                assert_eq!(settlement, Settlement::Applied);
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Full),
        }
        assert!(store.bytes() <= MOST, "{}", store.bytes());
    }
    assert_eq!(whole, 15, "512 records take some of it");
}

#[tokio::test(start_paused = true)]
async fn one_key_in_endless_use_does_not_grow_the_store() {
    let store = MemoryStore::new();
    release(&store, &acquire(&store, 0).await).await;
    assert_eq!((store.records(), store.bytes()), (0, 0));

    let failed = request(1).retry_failed(RetryFailed::Any);
    for _ in 0..100_000 {
        let lease = acquire(&store, 0).await;
        assert_eq!(store.records(), 1);
        release(&store, &lease).await;
    }
    assert_eq!((store.records(), store.bytes()), (0, 0));
    for _ in 0..10_000 {
        let Reservation::Acquired(lease) = store.reserve(&failed).await.unwrap() else {
            panic!("a failed record should be taken over");
        };
        let _ = store.fail(&lease, Some(&outcome(1000)), HOUR).await.unwrap();
    }
    let once = store.bytes();
    let Reservation::Acquired(lease) = store.reserve(&failed).await.unwrap() else {
        panic!("a failed record should be taken over");
    };
    assert!(store.bytes() < once, "the response that was replaced should no longer count");
    release(&store, &lease).await;
    assert_eq!(store.records(), 1, "a later attempt puts back what it took over");
    assert!(store.bytes() <= once, "without its response");
}

#[tokio::test(start_paused = true)]
async fn nothing_remains_of_expired_records_once_their_keys_are_met() {
    let store = MemoryStore::new();
    for lease in acquire_all(&store, 0..300).await {
        let _ = match lease.token.as_bytes()[15] % 3 {
            0 => store.complete(&lease, &outcome(300), HOUR).await.unwrap(),
            1 => store.fail(&lease, Some(&outcome(30)), HOUR).await.unwrap(),
            _ => Settlement::Applied,
        };
    }
    tokio::time::advance(3 * HOUR).await;
    for number in 0..300 {
        release(&store, &acquire(&store, number).await).await;
    }
    assert_eq!((store.records(), store.bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn expired_records_go_as_other_keys_come() {
    let store = MemoryStore::new();
    acquire_all(&store, 0..1000).await;
    tokio::time::advance(3 * HOUR).await;
    // Each new key takes up to two expired ones away, so twice as many as there are shards and
    // records will do.
    for number in 1000..4000 {
        release(&store, &acquire(&store, number).await).await;
    }
    assert_eq!((store.records(), store.bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn expired_records_free_capacity_for_as_many_new_keys() {
    let store = MemoryStore::new().max_records(200);
    for lease in acquire_all(&store, 0..200).await {
        complete(&store, &lease, &outcome(30), HOUR).await;
    }
    assert_full(&store, 200).await;
    tokio::time::advance(HOUR).await;
    acquire_all(&store, 200..400).await;
    assert_full(&store, 400).await;
    assert_eq!(store.records(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_retention_for_ever_does_not_overflow() {
    let store = MemoryStore::new();
    let for_ever = request(0).lease(Duration::MAX).retention(Duration::MAX);
    let Reservation::Acquired(lease) = store.reserve(&for_ever).await.unwrap() else {
        panic!("the key should be free");
    };
    tokio::time::advance(1000 * HOUR).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Settlement::Applied);
    complete(&store, &lease, &outcome(1), Duration::MAX).await;
    tokio::time::advance(1000 * HOUR).await;
    assert_success(&find(&store, 0).await, &outcome(1));
}

// Threads

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_one_contender_acquires_each_key() {
    const CONTENDERS: usize = 8;
    let store = MemoryStore::new();
    let start = Arc::new(Barrier::new(CONTENDERS));
    let contenders = (0..CONTENDERS).map(|_| {
        let (store, start) = (store.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            let mut acquired = Vec::new();
            for number in 0..2000 {
                start.wait().await;
                if let Reservation::Acquired(lease) = store.reserve(&request(number)).await.unwrap()
                {
                    acquired.push(lease);
                }
            }
            acquired
        })
    });
    let contenders: Vec<_> = contenders.collect();
    let mut keys: Vec<StorageKey> = Vec::new();
    for contender in contenders {
        keys.extend(contender.await.unwrap().iter().map(|lease| lease.key));
    }
    assert_eq!(keys.len(), 2000, "each key should be acquired by exactly one contender");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 2000);
    assert_eq!(store.records(), 2000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_the_bound_is_never_exceeded() {
    let store = MemoryStore::new().max_records(500);
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut admitted = 0;
                for number in 0..1000 {
                    match store.reserve(&request(thread * 1000 + number)).await {
                        Ok(_) => admitted += 1,
                        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Full),
                    }
                    assert!(store.records() <= 500);
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for thread in threads {
        admitted += thread.await.unwrap();
    }
    assert_eq!(admitted, 500);
}

// Waiting

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_in_the_moment_of_completion() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    woken_at_once_by(&store, &lease, complete(&store, &lease, &outcome(1), HOUR)).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_in_the_moment_of_failure() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    woken_at_once_by(&store, &lease, async {
        let _ = store.fail(&lease, None, HOUR).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_in_the_moment_of_release() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    woken_at_once_by(&store, &lease, release(&store, &lease)).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_when_the_lease_lapses_and_not_before() {
    let store = MemoryStore::new();
    let brief = request(0).lease(Duration::from_secs(10));
    let Reservation::Acquired(lease) = store.reserve(&brief).await.unwrap() else {
        panic!("the key should be free");
    };
    let start = Instant::now();
    store.wait_for_change(&seen(&lease), 0, HOUR).await.unwrap();
    assert!(start.elapsed() >= brief.lease);
    assert!(start.elapsed() <= brief.lease + Duration::from_millis(1), "{:?}", start.elapsed());
    assert!(matches!(find(&store, 0).await.state, State::Pending { abandoned: true }));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_waits_no_longer_than_its_bound() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    let start = Instant::now();
    store.wait_for_change(&seen(&lease), 0, Duration::from_secs(5)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_are_all_woken() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    let waiters: Vec<_> = (0..1000)
        .map(|_| {
            let (store, seen) = (store.clone(), seen(&lease));
            tokio::spawn(async move {
                store.wait_for_change(&seen, 0, HOUR).await.unwrap();
                assert!(matches!(find(&store, 0).await.state, State::Success(_)));
            })
        })
        .collect();
    let start = Instant::now();
    tokio::task::yield_now().await;
    complete(&store, &lease, &outcome(1), HOUR).await;
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_caller_waits_for_a_record_that_was_settled_before() {
    let store = MemoryStore::new();
    let start = Instant::now();

    let completed = acquire(&store, 0).await;
    complete(&store, &completed, &outcome(1), HOUR).await;
    store.wait_for_change(&seen(&completed), 0, HOUR).await.unwrap();

    let released = acquire(&store, 1).await;
    release(&store, &released).await;
    store.wait_for_change(&seen(&released), 0, HOUR).await.unwrap();

    // Another attempt is pending under the key that was waited for.
    let _second = acquire(&store, 1).await;
    store.wait_for_change(&seen(&released), 0, HOUR).await.unwrap();

    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_when_an_abandoned_record_is_taken_over() {
    let store = MemoryStore::new();
    let lease = acquire(&store, 0).await;
    let waiter = tokio::spawn({
        let (store, seen) = (store.clone(), seen(&lease));
        async move { store.wait_for_change(&seen, 0, 10 * HOUR).await.unwrap() }
    });
    tokio::task::yield_now().await;
    tokio::time::advance(HOUR).await;
    let eager = request(0).retry_abandoned(true);
    let reservation = store.reserve(&eager).await.unwrap();
    assert!(matches!(reservation, Reservation::Acquired(Lease { attempt: 2, .. })));
    let start = Instant::now();
    waiter.await.unwrap();
    assert!(start.elapsed() <= Duration::from_millis(1));
}

/// Asserts that a waiter with a bound of an hour resolves when `change` is made, without any time
/// having passed.
async fn woken_at_once_by(store: &MemoryStore, lease: &Lease, change: impl Future<Output = ()>) {
    let start = Instant::now();
    let seen = seen(lease);
    let change = async {
        // The waiter is polled first; a moment later it waits.
        tokio::task::yield_now().await;
        change.await;
    };
    let (waited, ()) = tokio::join!(biased; store.wait_for_change(&seen, 0, HOUR), change);
    waited.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "a waiter should be woken, not left to its bound");
}

// Words of these tests

fn request(number: u64) -> ReserveRequest {
    let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/orders", &HeaderMap::new(), &[], b"{}"),
    )
    .lease(HOUR)
    .retention(2 * HOUR)
    .retry_failed(RetryFailed::Never)
    .retry_abandoned(false)
}

fn outcome(size: usize) -> Outcome {
    with_body(Bytes::from(vec![b'x'; size]))
}

/// A response that no other record has.
fn outcome_of(lease: &Lease) -> Outcome {
    with_body(Bytes::copy_from_slice(lease.key.as_bytes()))
}

fn with_body(bytes: Bytes) -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::Whole { bytes, trailers: None })
}

async fn acquire(store: &MemoryStore, number: u64) -> Lease {
    match store.reserve(&request(number)).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => {
            panic!("key {number} should be free, but there is {record:?}")
        }
    }
}

async fn acquire_all(store: &MemoryStore, numbers: std::ops::Range<u64>) -> Vec<Lease> {
    let mut leases = Vec::new();
    for number in numbers {
        leases.push(acquire(store, number).await);
    }
    leases
}

async fn find(store: &MemoryStore, number: u64) -> Record {
    match store.reserve(&request(number)).await.unwrap() {
        Reservation::Found(record) => record,
        Reservation::Acquired(_) => panic!("there should be a record under key {number}"),
    }
}

async fn complete(store: &MemoryStore, lease: &Lease, outcome: &Outcome, retention: Duration) {
    let settlement = store.complete(lease, outcome, retention).await.unwrap();
    assert_eq!(settlement, Settlement::Applied);
}

async fn release(store: &MemoryStore, lease: &Lease) {
    assert_eq!(store.release(lease).await.unwrap(), Settlement::Applied);
}

async fn assert_full(store: &MemoryStore, number: u64) {
    let rejected = store.reserve(&request(number)).await;
    let kind = rejected.expect_err("a full store should reject a new key").kind();
    assert_eq!(kind, StoreErrorKind::Full);
}

fn assert_success(record: &Record, outcome: &Outcome) {
    assert!(matches!(&record.state, State::Success(found) if found == outcome));
}

fn seen(lease: &Lease) -> PendingRef {
    PendingRef::new(lease.key, lease.token)
}
