//! The promises of a store, on a file and in other settings.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;
use tower_idempotency::SqliteStore;
use tower_idempotency::store::{
    Lease, Outcome, Record, Reservation, ReserveRequest, Settlement, StorageKey, Store, StoreError,
    conformance,
};

use super::given::{File, request};

/// Long enough for a busy machine, short enough to wait for.
const UNIT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract() {
    let file = File::new();
    conformance::run(&file.open().await, UNIT).await.assert_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_in_memory_on_one_connection_of_the_callers_own() {
    let pool =
        SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::with_pool(pool);
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await.assert_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_file_meet_the_contract_together() {
    let file = File::new();
    let stores = [file.open().await, file.open().await];
    conformance::run(&InTurn { stores, calls: AtomicUsize::new(0) }, UNIT).await.assert_success();
}

/// Two stores as two processes have them, asked in turn.
struct InTurn {
    stores: [SqliteStore; 2],
    calls: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &SqliteStore {
        &self.stores[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

impl Store for InTurn {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.next().reserve(request).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.next().complete(lease, outcome, retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.next().fail(lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.next().release(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.next().renew(lease).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.next().inspect(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.next().ping().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_concurrent_reservations_in_two_stores_one_acquires() {
    let file = File::new();
    let stores = [file.open().await, file.open().await];
    let calls: Vec<_> = (0..500)
        .map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move { store.reserve(&request("one")).await.unwrap() })
        })
        .collect();
    let mut tokens = Vec::new();
    let mut acquired = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Reservation::Acquired(lease) => acquired.push(lease.token),
            Reservation::Found(record) => tokens.push(record.token),
        }
    }
    assert_eq!(acquired.len(), 1);
    assert!(tokens.iter().all(|token| *token == acquired[0]), "a caller found another record");
    assert_eq!(file.size().await, 1);
}
