//! The counts of records and shares, over any history.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest};
use crate::record::outcome::{Outcome, StoredBody};
use crate::store::{Reservation, StoreErrorKind};

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
enum Step {
    ReserveRequest { key: u8, lapsed: bool },
    Complete { late: usize, bytes: usize, retention: u64 },
    Fail { late: usize, bytes: usize, retention: u64 },
    Release { late: usize },
    Renew { late: usize },
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![Just(0), Just(300), Just(3000)];
    let retention = prop_oneof![Just(1_u64), Just(90), Just(4000)];
    prop_oneof![
        4 => (0..12_u8, any::<bool>()).prop_map(|(key, lapsed)| Step::ReserveRequest { key, lapsed }),
        2 => (0..4_usize, bytes.clone(), retention.clone())
            .prop_map(|(late, bytes, retention)| Step::Complete { late, bytes, retention }),
        2 => (0..4_usize, bytes, retention)
            .prop_map(|(late, bytes, retention)| Step::Fail { late, bytes, retention }),
        1 => (0..4_usize).prop_map(|late| Step::Release { late }),
        1 => (0..4_usize).prop_map(|late| Step::Renew { late }),
        1 => prop_oneof![Just(1_u64), Just(61), Just(700)].prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// Three keys for each of four scopes.
fn ask(number: u8, lease: Duration) -> ReserveRequest {
    let scope = match number % 4 {
        0 => ScopeDigest::UNSET,
        1 => ScopeDigest::ANONYMOUS,
        tenant => ScopeDigest::of(None, &Scope::new([tenant])),
    };
    let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .scope(scope)
    .lease(lease)
    .retention(20 * MINUTE)
}

fn response(bytes: usize) -> Outcome {
    Outcome::new(
        StatusCode::OK,
        StoredBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None },
    )
}

async fn run(store: &MemoryStore, steps: Vec<Step>) {
    let mut leases = VecDeque::new();
    for step in steps {
        let lease = |late: usize| leases.get(late).cloned();
        match step {
            Step::ReserveRequest { key, lapsed } => {
                let lease = if lapsed { Duration::ZERO } else { MINUTE };
                if let Ok(Reservation::Acquired(lease)) = store.reserve(&ask(key, lease)).await {
                    leases.push_front(lease);
                    leases.truncate(4);
                }
            }
            Step::Complete { late, bytes, retention } => {
                if let Some(lease) = lease(late) {
                    let retention = Duration::from_secs(retention);
                    let _ = store.complete(&lease, &response(bytes), retention).await;
                }
            }
            Step::Fail { late, bytes, retention } => {
                if let Some(lease) = lease(late) {
                    let (response, retention) = (response(bytes), Duration::from_secs(retention));
                    let _ = store.fail(&lease, (bytes > 0).then_some(&response), retention).await;
                }
            }
            Step::Release { late } => {
                if let Some(lease) = lease(late) {
                    let _ = store.release(&lease).await.unwrap();
                }
            }
            Step::Renew { late } => {
                if let Some(lease) = lease(late) {
                    let _ = store.renew(&lease).await.unwrap();
                }
            }
            Step::Pass { seconds } => tokio::time::advance(Duration::from_secs(seconds)).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_counts_when_all_records_have_gone(steps in prop::collection::vec(step(), 0..80)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let store = MemoryStore::new().max_records(12).max_bytes(12 << 10).scope_share(40);
            run(&store, steps).await;
            tokio::time::advance(120 * MINUTE).await;
            sweep(&store);
            assert_eq!((store.records(), store.bytes(), store.0.capacity.shares.len()), (0, 0, 0));
        });
    }
}

/// Takes out all that has expired. One request takes out a part.
fn sweep(store: &MemoryStore) {
    let key = ask(0, MINUTE).key;
    loop {
        let before = store.records();
        store.0.sweep(&key, store.0.now());
        let swept = before - store.records();
        assert!(swept <= search::MOST_SWEPT);
        if swept == 0 {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_scopes_leaves_nothing() {
    let store = MemoryStore::new();
    for number in 0..20_000_u32 {
        let scope = ScopeDigest::of(None, &Scope::new(number.to_be_bytes()));
        let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
        let key = StorageKey::derive(None, "tests", &Scope::anonymous(), &key);
        let reservation =
            store.reserve(&ReserveRequest { key, scope, ..ask(0, MINUTE) }).await.unwrap();
        assert!(matches!(reservation, Reservation::Acquired(_)));
    }
    assert_eq!(store.0.capacity.shares.len(), 20_000);
    tokio::time::advance(30 * MINUTE).await;
    sweep(&store);
    assert_eq!((store.records(), store.bytes(), store.0.capacity.shares.len()), (0, 0, 0));
}

// Shares

fn tenant(name: &str) -> ScopeDigest {
    ScopeDigest::of(None, &Scope::new(name))
}

fn of(scope: ScopeDigest, number: usize) -> ReserveRequest {
    let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
    let scope_name = Scope::new(format!("{scope:?}"));
    ReserveRequest { key: StorageKey::derive(None, "", &scope_name, &key), scope, ..ask(0, MINUTE) }
}

async fn acquire(store: &MemoryStore, request: &ReserveRequest) -> Lease {
    match store.reserve(request).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

/// Why a new key is rejected, and when it is worth another request.
async fn rejected(
    store: &MemoryStore,
    request: &ReserveRequest,
) -> (StoreErrorKind, Option<Duration>) {
    let error = store.reserve(request).await.unwrap_err();
    (error.kind(), error.said_retry_after())
}

#[tokio::test(start_paused = true)]
async fn a_scope_above_its_share_is_rejected_until_its_next_record_expires() {
    let store = MemoryStore::new().max_records(30);
    let (alice, bob) = (tenant("alice"), tenant("bob"));
    // One of them expires sooner, and a release leaves a stale place in the queue.
    let released = acquire(&store, &of(alice, 9)).await;
    let _ = store.release(&released).await.unwrap();
    tokio::time::advance(10 * MINUTE).await;
    for number in 0..3 {
        let lease = acquire(&store, &of(alice, number)).await;
        let retention = if number == 1 { 7 * MINUTE } else { 60 * MINUTE };
        let _ = store.complete(&lease, &response(10), retention).await.unwrap();
    }
    let next = Some(7 * MINUTE);
    assert_eq!(rejected(&store, &of(alice, 4)).await, (StoreErrorKind::ScopeFull, next));
    acquire(&store, &of(bob, 4)).await;
    // What it has is served.
    assert!(matches!(store.reserve(&of(alice, 0)).await.unwrap(), Reservation::Found(_)));

    tokio::time::advance(Duration::from_millis(7 * 60_000 - 300)).await;
    let soon = Some(Duration::from_secs(1));
    assert_eq!(rejected(&store, &of(alice, 4)).await, (StoreErrorKind::ScopeFull, soon));
    tokio::time::advance(Duration::from_millis(300)).await;
    acquire(&store, &of(alice, 4)).await;
    assert_eq!(
        rejected(&store, &of(alice, 5)).await,
        (StoreErrorKind::ScopeFull, Some(20 * MINUTE))
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_store_tells_when_its_next_record_expires() {
    let store = MemoryStore::new().max_records(40);
    for number in 0..40 {
        let lease = acquire(&store, &of(ScopeDigest::UNSET, number)).await;
        let retention = if number == 37 { 7 * MINUTE } else { 60 * MINUTE };
        let _ = store.complete(&lease, &response(10), retention).await.unwrap();
    }
    let full = rejected(&store, &of(tenant("alice"), 0)).await;
    assert_eq!(full, (StoreErrorKind::Full, Some(7 * MINUTE)));
    tokio::time::advance(7 * MINUTE).await;
    acquire(&store, &of(tenant("alice"), 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_has_to_fit_into_the_share_of_its_scope() {
    let store = MemoryStore::new().max_bytes(100 << 10);
    let (alice, bob) = (tenant("alice"), tenant("bob"));
    let leases = [acquire(&store, &of(alice, 0)).await, acquire(&store, &of(alice, 1)).await];
    let _ = store.complete(&leases[0], &response(6 << 10), MINUTE).await.unwrap();
    let error = store.complete(&leases[1], &response(6 << 10), MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ScopeFull);
    let error = store.fail(&leases[1], Some(&response(6 << 10)), MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ScopeFull);
    let bob = acquire(&store, &of(bob, 0)).await;
    assert_eq!(
        store.complete(&bob, &response(6 << 10), MINUTE).await.unwrap(),
        Settlement::Applied
    );
    // The record before has expired, and nothing has met it since.
    tokio::time::advance(MINUTE).await;
    let settled = store.complete(&leases[1], &response(6 << 10), MINUTE).await.unwrap();
    assert_eq!(settled, Settlement::Applied);
}

/// The limits have rejected every new key by then, and the operation has run.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_is_written_over_the_limits_but_its_body_is_not() {
    let store = MemoryStore::new().max_records(10);
    let alice = tenant("alice");
    let brief = ReserveRequest { retention: MINUTE, ..of(alice, 0) };
    let lease = acquire(&store, &brief).await;
    tokio::time::advance(MINUTE).await;
    acquire(&store, &of(alice, 1)).await;
    let store = store.max_bytes(10 * claim::RECORD);
    let error = store.complete(&lease, &response(1000), MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ScopeFull);
    assert_eq!(store.complete(&lease, &response(10), MINUTE).await.unwrap(), Settlement::Applied);
    assert_eq!((store.records(), store.bytes()), (2, 2 * claim::RECORD));
    tokio::time::advance(60 * MINUTE).await;
    sweep(&store);
    assert_eq!((store.records(), store.bytes(), store.0.capacity.shares.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_not_told_apart_may_use_the_whole_store() {
    let store = MemoryStore::new().max_records(100);
    for number in 0..100 {
        acquire(&store, &of(ScopeDigest::UNSET, number)).await;
    }
    assert_eq!(store.0.capacity.shares.len(), 0);
    assert_eq!(rejected(&store, &of(ScopeDigest::UNSET, 100)).await.0, StoreErrorKind::Full);
}

#[tokio::test(start_paused = true)]
async fn the_shares_are_those_that_were_set() {
    let used = async |store: &MemoryStore, scope| {
        let mut used = 0;
        while store.reserve(&of(scope, used)).await.is_ok() {
            used += 1;
        }
        used
    };
    let store = MemoryStore::new().max_records(1000);
    assert_eq!(used(&store, tenant("alice")).await, 100);
    assert_eq!(used(&store, ScopeDigest::ANONYMOUS).await, 10);
    let store = MemoryStore::new().max_records(1000).scope_share(25).anonymous_share(5);
    assert_eq!(used(&store, tenant("alice")).await, 250);
    assert_eq!(used(&store, ScopeDigest::ANONYMOUS).await, 50);
    for (percent, records) in [(0, 1), (100, 20), (255, 20)] {
        let store = MemoryStore::new().max_records(20).scope_share(percent);
        assert_eq!(used(&store, tenant("alice")).await, records);
    }
    let store = MemoryStore::new().max_records(usize::MAX).max_bytes(usize::MAX);
    assert!(acquire(&store, &of(tenant("alice"), 0)).await.attempt == 1);
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_record_stays_ten_minutes_and_never_less_than_two_leases() {
    let store = MemoryStore::new();
    let lives = async |lease: Duration, completes: bool| {
        let request =
            ReserveRequest { lease, retention: 600 * MINUTE, ..of(ScopeDigest::ANONYMOUS, 0) };
        let acquired = acquire(&store, &request).await;
        if completes {
            let _ = store.complete(&acquired, &response(10), 600 * MINUTE).await.unwrap();
        }
        let start = Instant::now();
        while store.inspect(&request.key).await.unwrap().is_some() {
            tokio::time::advance(MINUTE).await;
        }
        start.elapsed()
    };
    for completes in [false, true] {
        assert_eq!(lives(MINUTE, completes).await, 10 * MINUTE);
        assert_eq!(lives(20 * MINUTE, completes).await, 40 * MINUTE);
    }
    let _ = store.clone().anonymous_retention(30 * MINUTE);
    assert_eq!(lives(MINUTE, true).await, 30 * MINUTE);
    let request = ReserveRequest { retention: 600 * MINUTE, ..of(tenant("alice"), 0) };
    acquire(&store, &request).await;
    tokio::time::advance(599 * MINUTE).await;
    assert!(store.inspect(&request.key).await.unwrap().is_some());
}

// Growth

/// A map that doubles moves all its entries while others wait for its lock.
#[tokio::test]
async fn no_map_that_doubles_moves_more_than_a_five_hundredth_of_all_records() {
    const RECORDS: usize = 100_000;
    let store = MemoryStore::new();
    let (mut of_records, mut of_scopes) = (Doublings::default(), Doublings::default());
    for number in 0..RECORDS {
        let request = of(tenant(&format!("tenant-{number}")), number);
        let lease = acquire(&store, &request).await;
        of_records.see(store.0.index(&lease.key), store.0.shard(&lease.key).map_size());
        let shares_of_store = &store.0.capacity.shares;
        let share = shares_of_store.of(lease.scope).unwrap();
        of_scopes.see(shares_of_store.index(lease.scope), share.map_size());
    }
    for doublings in [of_records, of_scopes] {
        assert!(doublings.most_moved >= 28, "the maps have grown: {}", doublings.most_moved);
        assert!(doublings.most_moved <= RECORDS / 500, "{} at once", doublings.most_moved);
    }
}

/// The maps that grow, by their index.
#[derive(Default)]
struct Doublings {
    capacities: std::collections::HashMap<usize, usize>,
    most_moved: usize,
}

impl Doublings {
    /// Sees a map after an insertion.
    fn see(&mut self, index: usize, (len, capacity): (usize, usize)) {
        let before = self.capacities.insert(index, capacity);
        if before.is_some_and(|before| before != capacity) {
            self.most_moved = self.most_moved.max(len - 1);
        }
    }
}
