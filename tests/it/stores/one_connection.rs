//! A correct store that serves one operation after another, as on one connection.

use std::time::Duration;

use tokio::sync::Mutex;
use tower_idempotency::MemoryStore;
use tower_idempotency::store::conformance::{self, FailureKind};
use tower_idempotency::store::{
    Lease, Outcome, Record, Reservation, ReserveRequest, Settlement, StorageKey, Store, StoreError,
};

use super::model::slow::Slow;

const UNIT: Duration = Duration::from_secs(1);

struct OneConnection {
    inner: Slow,
    line: Mutex<()>,
}

impl OneConnection {
    /// Every operation takes so long.
    fn new(each: Duration) -> Self {
        Self { inner: Slow::new(MemoryStore::new(), each), line: Mutex::new(()) }
    }
}

/// Checks that were late beside the others run again, and then are in time.
#[tokio::test(start_paused = true)]
async fn a_store_with_one_connection_passes_with_a_unit_of_50_operations() {
    conformance::run(&OneConnection::new(UNIT / 50), UNIT).await.assert_success();
}

#[tokio::test(start_paused = true)]
async fn no_check_says_of_a_store_with_a_slow_connection_that_it_breaks_a_promise() {
    for each in [75, 100, 150, 200] {
        let report = conformance::run(&OneConnection::new(Duration::from_millis(each)), UNIT).await;
        let broken = report.failures().iter().find(|failure| failure.kind() != FailureKind::Late);
        assert!(broken.is_none(), "at {each} ms an operation: {}", broken.unwrap());
    }
}

impl Store for OneConnection {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.reserve(request).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.complete(lease, outcome, retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.fail(lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.release(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.renew(lease).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let _turn = self.line.lock().await;
        self.inner.inspect(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let _turn = self.line.lock().await;
        self.inner.ping().await
    }
}
