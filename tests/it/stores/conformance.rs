//! The conformance suite on stores that are correct: fast, slow, shared, and full.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tower_idempotency::MemoryStore;
use tower_idempotency::store::conformance::{self, Check, FailureKind, Promise};
use tower_idempotency::store::{DynStore, Store};

use super::model::slow::Slow;

const UNIT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_memory_store_meets_the_contract() {
    conformance::run(&MemoryStore::new(), UNIT).await.assert_success();
}

#[tokio::test(start_paused = true)]
async fn a_store_chosen_at_run_time_meets_the_contract() {
    conformance::run(&DynStore::new(MemoryStore::new()), UNIT).await.assert_success();
}

#[tokio::test(start_paused = true)]
async fn a_store_behind_an_arc_meets_the_contract() {
    conformance::run(&Arc::new(MemoryStore::new()), UNIT).await.assert_success();
}

#[tokio::test(start_paused = true)]
async fn the_contract_does_not_depend_on_the_unit() {
    for unit in [Duration::from_millis(160), Duration::from_mins(10)] {
        conformance::run(&MemoryStore::new(), unit).await.assert_success();
    }
}

/// Each check as a test of its own, as an author of a store has them.
mod each_check {
    use super::{MemoryStore, UNIT};

    tower_idempotency::conformance_tests! {
        #[tokio::test(start_paused = true)]
        run(MemoryStore::new(), UNIT);
    }
}

#[tokio::test(start_paused = true)]
async fn checks_run_side_by_side_and_in_any_order_on_one_store() {
    let store = MemoryStore::new();
    let mut checks: Vec<_> = conformance::checks().collect();
    checks.reverse();
    let run = |check: Check, store: MemoryStore| async move { check.run(&store, UNIT).await };
    let running: Vec<_> =
        checks.into_iter().map(|check| tokio::spawn(run(check, store.clone()))).collect();
    for check in running {
        check.await.unwrap().unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_promise_has_a_check_and_every_check_a_name_of_its_own() {
    let promises = conformance::checks().filter_map(|check| check.promise()).map(Promise::number);
    let promises: std::collections::BTreeSet<_> = promises.collect();
    assert_eq!(promises, (1..=10).collect());
    for check in conformance::checks() {
        assert_eq!(Check::named(check.name()), Some(check));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_passes_with_a_unit_of_four_operations() {
    let store = Slow::new(MemoryStore::new(), Duration::from_millis(300));
    let report = conformance::run(&store, Duration::from_millis(1200)).await;
    report.assert_success();
    assert_eq!(report.slowest(), Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_store_too_slow_for_the_unit_is_said_to_be_so_at_once() {
    let store = Slow::new(MemoryStore::new(), Duration::from_millis(1200));
    let start = Instant::now();
    let report = conformance::run(&store, Duration::from_millis(150)).await;
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let [failure] = report.failures() else { panic!("{report}") };
    assert_eq!(failure.kind(), FailureKind::Late);
    assert_eq!(failure.promise(), None);
    let text = report.to_string();
    assert!(
        text.contains("an operation took 1.2s at a unit of 150ms; take a unit of 4.8s or more"),
        "{text}"
    );
    assert_eq!(report.not_run().len(), conformance::checks().count() - 1);
}

/// A check alone does not know how fast the store is. What it cannot judge it does not call broken.
#[tokio::test(start_paused = true)]
async fn no_check_says_of_a_slow_store_that_it_breaks_a_promise() {
    let mut late = 0;
    for check in conformance::checks() {
        let store = Slow::new(MemoryStore::new(), Duration::from_millis(1200));
        if let Err(failure) = check.run(&store, Duration::from_millis(150)).await {
            assert_eq!(failure.kind(), FailureKind::Late, "{failure}");
            late += 1;
        }
    }
    assert!(late > 20, "only {late} checks were too late");
}

#[tokio::test(start_paused = true)]
async fn an_operation_without_an_end_is_given_up() {
    let store = Slow::new(MemoryStore::new(), Duration::from_hours(1));
    let report = conformance::run(&store, UNIT).await;
    assert_eq!(report.failures()[0].kind(), FailureKind::Late, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_run_leaves_nothing_behind() {
    let store = MemoryStore::new();
    conformance::run(&store, UNIT).await.assert_success();
    let (records, bytes) = (store.records(), store.bytes());
    println!("{records} records, {bytes} bytes");
    assert!(bytes < 1 << 20, "{records} records of {bytes} bytes were left");
    // The longest retention of a response.
    tokio::time::sleep(8 * UNIT).await;
    // A store without capacity removes what has expired before it rejects a key.
    let full = store.clone().max_records(0);
    Check::named("a_first_reserve_acquires").unwrap().run(&full, UNIT).await.unwrap_err();
    assert_eq!(store.records(), 0);
}

/// A store with a limit rejects keys above it, and still has those below.
#[tokio::test(start_paused = true)]
async fn a_full_store_passes_the_check_of_eviction() {
    let check = Check::named("a_live_record_is_never_evicted").unwrap();
    let store = MemoryStore::new().max_records(20);
    check.run(&store, UNIT).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(store.records(), 0);
    store.ping().await.unwrap();
}
