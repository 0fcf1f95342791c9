//! Stores whose methods for operators are wrong in one way each. The suite names the check that
//! finds it.

use std::time::Duration;

use tower_idempotency::MemoryStore;
use tower_idempotency::store::conformance;
use tower_idempotency::store::operator::{
    Becomes, Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage,
};
use tower_idempotency::store::{
    Lease, Outcome, PendingRef, Record, Reservation, ReserveRequest, Settlement, StorageKey, Store,
    StoreError,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Whatever the record is now, it is changed.
    ChangesWhatHasMovedOn,
    /// The new record has the token of the attempt, which can still write.
    FencesNothing,
    /// The same change a second time is one that has moved on.
    KnowsNoChangeAgain,
    ForgetsTheHistory,
    ListsTwice,
    /// A renewal since the operator looked does not count.
    IgnoresRenewals,
}

/// A memory store with one fault.
struct Faulty {
    inner: MemoryStore,
    fault: Option<Fault>,
}

impl Faulty {
    /// The same intervention on the record as it is now.
    async fn on_what_is_there(&self, change: &Intervention) -> Result<Intervened, StoreError> {
        let now = self.inner.show(&change.seen.key).await?.record;
        let Some(now) = now else { return self.inner.intervene(change).await };
        let change = Intervention::new(
            now,
            change.becomes.clone(),
            change.entry.clone(),
            change.audit_retention,
        );
        self.inner.intervene(&change).await
    }
}

impl Store for Faulty {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.inner.reserve(request).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.inner.complete(lease, outcome, retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.inner.fail(lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.inner.release(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.inner.renew(lease).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
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

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let mut page = self.inner.list(request).await?;
        if self.fault == Some(Fault::ListsTwice) {
            page.records.extend(page.records.clone());
        }
        Ok(page)
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        let shown = self.inner.show(key).await?;
        match self.fault {
            Some(Fault::ForgetsTheHistory) => Ok(Shown::new(shown.record, Vec::new())),
            _ => Ok(shown),
        }
    }

    async fn intervene(&self, change: &Intervention) -> Result<Intervened, StoreError> {
        match self.fault {
            Some(Fault::ChangesWhatHasMovedOn) => self.on_what_is_there(change).await,
            Some(Fault::IgnoresRenewals) => {
                let now = self.inner.show(&change.seen.key).await?.record;
                match now {
                    Some(now) if now.token == change.seen.token => {
                        self.on_what_is_there(change).await
                    }
                    _ => self.inner.intervene(change).await,
                }
            }
            Some(Fault::FencesNothing) if matches!(change.becomes, Becomes::Ended { .. }) => {
                let mut change = change.clone();
                change.entry.id = change.seen.token;
                self.inner.intervene(&change).await
            }
            Some(Fault::KnowsNoChangeAgain) => match self.inner.intervene(change).await? {
                Intervened::AlreadyApplied => Ok(Intervened::Moved(None)),
                other => Ok(other),
            },
            _ => self.inner.intervene(change).await,
        }
    }

    async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.inner.stats(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// The checks that fail.
async fn found(fault: Option<Fault>) -> Vec<&'static str> {
    let store = Faulty { inner: MemoryStore::new(), fault };
    let report = conformance::run(&store, Duration::from_secs(1)).await;
    report.failures().iter().map(|failure| failure.check().name()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_suite_finds_each_fault_of_the_methods_for_operators() {
    assert_eq!(found(None).await, Vec::<&str>::new());
    for (fault, check) in [
        (Fault::ChangesWhatHasMovedOn, "an_intervention_leaves_a_record_that_has_moved_on"),
        (Fault::FencesNothing, "an_intervention_fences_the_attempt"),
        (Fault::KnowsNoChangeAgain, "an_intervention_applies_once_and_leaves_an_entry"),
        (Fault::ForgetsTheHistory, "an_intervention_applies_once_and_leaves_an_entry"),
        (Fault::ListsTwice, "a_list_has_each_record_once"),
        (
            Fault::IgnoresRenewals,
            "an_intervention_on_an_abandoned_record_leaves_one_that_was_renewed",
        ),
    ] {
        let found = found(Some(fault)).await;
        assert!(found.contains(&check), "{fault:?} is found by {found:?}");
    }
}
