//! A store that fails when told to, and counts its calls.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tower_idempotency::store::{Outcome, StorageKey};

use super::patiently;
use tower_idempotency::store::{
    DynStore, Lease, PendingRef, Record, Reservation, ReserveRequest, Settlement, Store,
    StoreError, StoreErrorKind,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Reserve,
    Complete,
    Fail,
    Release,
    Renew,
    /// A renewal for no time.
    GiveUp,
    Inspect,
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operation returns this kind of error.
    Error(StoreErrorKind),
    /// The operation returns this kind of error if it is to store a body.
    Body(StoreErrorKind),
    /// The operation never returns.
    Hang,
    /// The operation takes effect, but its reply is lost.
    Lost,
    /// The operation reaches the store when this fault is healed.
    Late,
}

type Forge = dyn Fn(&mut Outcome) + Send + Sync;

/// A store under a script: some of its operations fail, and every call is counted.
#[derive(Clone)]
pub(crate) struct Scripted {
    inner: DynStore,
    is_shared: bool,
    /// What another writer makes of a response.
    forge: Option<Arc<Forge>>,
    script: Arc<watch::Sender<Script>>,
}

#[derive(Default)]
struct Script {
    faults: Vec<(Operation, Fault)>,
    calls: Vec<Operation>,
}

impl Scripted {
    pub(crate) fn over(inner: DynStore) -> Self {
        Self { is_shared: inner.is_shared(), inner, forge: None, script: Arc::default() }
    }

    /// Changes each response before it is stored, as another writer of the store would.
    pub(crate) fn storing(self, forge: impl Fn(&mut Outcome) + Send + Sync + 'static) -> Self {
        Self { forge: Some(Arc::new(forge)), ..self }
    }

    fn stored(&self, outcome: &Outcome) -> Outcome {
        let mut stored = outcome.clone();
        if let Some(forge) = &self.forge {
            forge(&mut stored);
        }
        stored
    }

    /// As if other processes used it too.
    pub(crate) fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// Makes an operation fail from now on.
    pub(crate) fn fault(&self, operation: Operation, fault: Fault) {
        self.script.send_modify(|script| script.faults.push((operation, fault)));
    }

    /// Makes every operation work again.
    pub(crate) fn heal(&self) {
        self.script.send_modify(|script| script.faults.clear());
    }

    /// How often an operation was called.
    pub(crate) fn calls(&self, operation: Operation) -> usize {
        self.script.borrow().calls(operation)
    }

    /// Waits until an operation was called `count` times.
    pub(crate) async fn called(&self, operation: Operation, count: usize) {
        let mut script = self.script.subscribe();
        let called = |script: &Script| script.calls(operation) >= count;
        patiently(script.wait_for(called)).await.expect("self holds the sender");
    }

    async fn run<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fault = self.script.borrow().fault(operation);
        self.script.send_modify(|script| script.calls.push(operation));
        match fault {
            None => work.await,
            Some(Fault::Error(kind) | Fault::Body(kind)) => Err(StoreError::new(kind)),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Lost) => {
                work.await?;
                Err(StoreError::with_source(StoreErrorKind::Timeout, "the reply was lost"))
            }
            Some(Fault::Late) => {
                let mut script = self.script.subscribe();
                let is_healed = |script: &Script| script.fault(operation) != Some(Fault::Late);
                drop(script.wait_for(is_healed).await);
                work.await
            }
        }
    }
}

impl Script {
    fn calls(&self, operation: Operation) -> usize {
        self.calls.iter().filter(|call| **call == operation).count()
    }

    fn rejects_bodies(&self, operation: Operation) -> bool {
        matches!(self.fault(operation), Some(Fault::Body(_)))
    }

    fn fault(&self, operation: Operation) -> Option<Fault> {
        self.faults.iter().find(|fault| fault.0 == operation).map(|fault| fault.1)
    }
}

impl Store for Scripted {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.run(Operation::Reserve, self.inner.reserve(request)).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let outcome = &self.stored(outcome);
        let work = self.inner.complete(lease, outcome, retention);
        if outcome.bytes().is_empty() && self.script.borrow().rejects_bodies(Operation::Complete) {
            self.script.send_modify(|script| script.calls.push(Operation::Complete));
            return work.await;
        }
        self.run(Operation::Complete, work).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let outcome = outcome.map(|outcome| self.stored(outcome));
        self.run(Operation::Fail, self.inner.fail(lease, outcome.as_ref(), retention)).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.run(Operation::Release, self.inner.release(lease)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let operation = if lease.lease.is_zero() { Operation::GiveUp } else { Operation::Renew };
        self.run(operation, self.inner.renew(lease)).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.run(Operation::Inspect, self.inner.inspect(key)).await
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.run(Operation::Changed, self.inner.wait_for_change(seen, round, bound)).await
    }

    fn is_shared(&self) -> bool {
        self.is_shared
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
