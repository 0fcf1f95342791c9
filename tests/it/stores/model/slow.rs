//! A correct store that is slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tower_idempotency::MemoryStore;
use tower_idempotency::store::{
    Lease, Outcome, PendingRef, Record, Reservation, ReserveRequest, Settlement, StorageKey, Store,
    StoreError,
};

/// A memory store that delays every operation.
pub(crate) struct Slow {
    inner: MemoryStore,
    wait: Wait,
    lingers: bool,
}

enum Wait {
    /// The same for every operation.
    Each(Duration),
    /// Up to so long for every other operation; here is the number of operations.
    Some(Duration, AtomicU64),
}

impl Slow {
    /// Every operation waits so long.
    pub(crate) fn new(inner: MemoryStore, each: Duration) -> Self {
        Self { inner, wait: Wait::Each(each), lingers: false }
    }

    /// Every other operation waits up to so long, and records outlast their retention by 1.6 %, as
    /// those of PostgreSQL do.
    pub(super) fn lingering(inner: MemoryStore, longest: Duration) -> Self {
        Self { inner, wait: Wait::Some(longest, AtomicU64::new(0)), lingers: true }
    }

    async fn waits(&self) {
        let wait = match &self.wait {
            Wait::Each(wait) => *wait,
            Wait::Some(longest, operations) => {
                let number = operations.fetch_add(1, Ordering::Relaxed);
                // Spreads the numbers evenly, without a pattern that a walk could have too.
                let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
                if number % 2 == 0 {
                    Duration::ZERO
                } else {
                    *longest * u32::try_from(drawn).unwrap() / (1 << 16)
                }
            }
        };
        sleep(wait).await;
    }

    fn longer(&self, time: Duration) -> Duration {
        if self.lingers { time.saturating_add(time / 1000 * 16) } else { time }
    }
}

impl Store for Slow {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.waits().await;
        let mut asked = request.clone();
        asked.retention = self.longer(request.retention);
        let mut reservation = self.inner.reserve(&asked).await?;
        if let Reservation::Acquired(lease) = &mut reservation {
            lease.retention = request.retention;
        }
        Ok(reservation)
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.waits().await;
        self.inner.complete(lease, outcome, self.longer(retention)).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.waits().await;
        self.inner.fail(lease, outcome, self.longer(retention)).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.waits().await;
        self.inner.release(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.waits().await;
        let mut renewed = lease.clone();
        renewed.retention = self.longer(lease.retention);
        self.inner.renew(&renewed).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.waits().await;
        self.inner.inspect(key).await
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.inner.wait_for_change(seen, round, bound).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.waits().await;
        self.inner.ping().await
    }
}
