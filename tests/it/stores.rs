//! The stores held to their contract by the conformance suite.

use std::time::Duration;

use tower_idempotency::MemoryStore;
use tower_idempotency::store::{DynStore, conformance};

const UNIT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_the_contract() {
    conformance::run(&MemoryStore::new(), UNIT).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_chosen_at_run_time_keeps_the_contract() {
    conformance::run(&DynStore::new(MemoryStore::new()), UNIT).await;
}

#[tokio::test(start_paused = true)]
async fn the_contract_does_not_depend_on_the_unit() {
    for unit in [Duration::from_millis(160), Duration::from_mins(10)] {
        conformance::run(&MemoryStore::new(), unit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_suite_can_be_spawned_and_its_checks_can_be_called_alone() {
    let store = MemoryStore::new();
    let run = tokio::spawn({
        let store = store.clone();
        async move { conformance::run(&store, UNIT).await }
    });
    conformance::of_many_contenders_one_acquires(&store, UNIT).await;
    conformance::a_late_writer_changes_nothing(&store, UNIT).await;
    run.await.unwrap();
}
