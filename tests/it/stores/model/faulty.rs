//! Stores with faults that only a sequence of steps brings out.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tower_idempotency::MemoryStore;
use tower_idempotency::store::{
    Lease, Outcome, PendingRef, Record, Reservation, ReserveRequest, RetryFailed, Settlement,
    StorageKey, Store, StoreError, Token,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// By no more than a millisecond.
    LapsesTooLate,
    TakesOverAnyFailureWhereOneWasMeant,
    RenewsTheLeaseAndNotTheRetention,
    SettlesForAnyToken,
    DeletesOnEveryRelease,
    PutsBackWithoutTheNumber,
    ForgetsWhatIsGone,
    InspectionRestartsTheLease,
    WaitRestartsTheLease,
}

use Fault::*;

use crate::support::with;

pub(super) const FAULTS: [Fault; 9] = [
    LapsesTooLate,
    TakesOverAnyFailureWhereOneWasMeant,
    RenewsTheLeaseAndNotTheRetention,
    SettlesForAnyToken,
    DeletesOnEveryRelease,
    PutsBackWithoutTheNumber,
    ForgetsWhatIsGone,
    InspectionRestartsTheLease,
    WaitRestartsTheLease,
];

/// A memory store with one fault.
pub(super) struct Faulty {
    fault: Fault,
    inner: MemoryStore,
    /// The newest lease of each key.
    leases: Mutex<HashMap<StorageKey, Lease>>,
    /// When the record of each attempt was first to expire.
    expiries: Mutex<HashMap<Token, Instant>>,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            fault,
            inner: MemoryStore::new(),
            leases: Mutex::default(),
            expiries: Mutex::default(),
        }
    }

    fn lapsing(&self, lease: Duration) -> Duration {
        let late =
            if self.fault == LapsesTooLate { Duration::from_millis(1) } else { Duration::ZERO };
        lease.saturating_add(late)
    }

    /// The lease that the store takes this one for.
    fn understood(&self, lease: &Lease) -> Lease {
        match self.leases.lock().unwrap().get(&lease.key) {
            Some(newest) if self.fault == SettlesForAnyToken => newest.clone(),
            _ => lease.clone(),
        }
    }

    /// A look at a pending record, which starts its lease anew if that is the fault.
    async fn looks(&self, key: &StorageKey, fault: Fault) -> Result<(), StoreError> {
        let newest = self.leases.lock().unwrap().get(key).cloned();
        if let (Some(lease), true) = (newest, self.fault == fault) {
            let _ = self.inner.renew(&lease).await?;
        }
        Ok(())
    }
}

impl Store for Faulty {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let mut asked = request.clone().lease(self.lapsing(request.lease));
        if let (TakesOverAnyFailureWhereOneWasMeant, RetryFailed::Only(_)) =
            (self.fault, request.retry_failed)
        {
            asked.retry_failed = RetryFailed::Any;
        }
        let mut reservation = self.inner.reserve(&asked).await?;
        if let Reservation::Acquired(lease) = &mut reservation {
            lease.lease = request.lease;
            self.leases.lock().unwrap().insert(lease.key, lease.clone());
            if let Some(expires) = Instant::now().checked_add(lease.retention) {
                self.expiries.lock().unwrap().insert(lease.token, expires);
            }
        }
        Ok(reservation)
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        if self.fault == ForgetsWhatIsGone && self.inner.inspect(&lease.key).await?.is_none() {
            return Ok(Settlement::LeaseLost);
        }
        self.inner.complete(&self.understood(lease), outcome, retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.inner.fail(&self.understood(lease), outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let lease = self.understood(lease);
        let released = match self.fault {
            DeletesOnEveryRelease => with(lease, |lease| lease.previous = None),
            PutsBackWithoutTheNumber => with(lease, |lease| lease.attempt = 1),
            _ => lease,
        };
        self.inner.release(&released).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let mut renewed = self.understood(lease);
        renewed.lease = self.lapsing(renewed.lease);
        if self.fault == RenewsTheLeaseAndNotTheRetention
            && let Some(expires) = self.expiries.lock().unwrap().get(&lease.token)
        {
            renewed.retention = expires.saturating_duration_since(Instant::now());
        }
        self.inner.renew(&renewed).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.looks(key, InspectionRestartsTheLease).await?;
        self.inner.inspect(key).await
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.looks(&seen.key, WaitRestartsTheLease).await?;
        self.inner.wait_for_change(seen, round, bound).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn opens_in_outage(&self) -> bool {
        self.inner.opens_in_outage()
    }

    fn limits_scopes(&self) -> bool {
        self.inner.limits_scopes()
    }

    fn opens_transactions(&self) -> bool {
        self.inner.opens_transactions()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
