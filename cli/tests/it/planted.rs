//! Records in every state, which tests plant in a store.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tower_idempotency::operate::Operator;
use tower_idempotency::store::operator::RecordState;
use tower_idempotency::store::{
    DynStore, Lease, NotRetained, Outcome, RecordLabel, Reservation, ReserveRequest, Settlement,
    State, StorageKey, Store, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, Scope};

pub(crate) const NAMESPACE: &str = "payments";
/// The scope of all records.
pub(crate) const SCOPE: &str = "alice";

/// Long enough for a busy machine.
const LEASE: Duration = Duration::from_mins(5);
/// Lapses at once.
const SHORT: Duration = Duration::from_millis(1);
const RETENTION: Duration = Duration::from_hours(24);

/// A store, and what it takes to plant records.
pub(crate) struct Site {
    pub(crate) store: DynStore,
    pub(crate) operator: Operator<DynStore>,
}

impl Site {
    pub(crate) fn on(store: DynStore) -> Self {
        let layer = IdempotencyLayer::new(store.clone()).namespace(NAMESPACE);
        Self { operator: layer.operator("test").unwrap(), store }
    }

    /// The record of a client's key.
    pub(crate) fn key(&self, name: &str) -> StorageKey {
        self.operator
            .storage_key(&Scope::new(SCOPE), &IdempotencyKey::parse(name.as_bytes()).unwrap())
    }

    /// Its first digits.
    pub(crate) fn digits(&self, name: &str) -> String {
        self.key(name).to_string()
    }

    pub(crate) fn request(&self, key: StorageKey) -> ReserveRequest {
        ReserveRequest::new(key, Fingerprint::of_fields(["pay"]))
            .scope(self.operator.scope_digest(&Scope::new(SCOPE)))
            .lease(LEASE)
            .retention(RETENTION)
            .label(Arc::new(RecordLabel::new(NAMESPACE, "POST /payments/{id}/refunds")))
    }

    pub(crate) async fn reserve(&self, request: &ReserveRequest) -> Lease {
        match self.store.reserve(request).await.unwrap() {
            Reservation::Acquired(lease) => lease,
            Reservation::Found(found) => panic!("the key is free, but there is {found:?}"),
        }
    }

    pub(crate) async fn in_flight(&self, name: &str) -> Lease {
        self.reserve(&self.request(self.key(name))).await
    }

    pub(crate) async fn abandoned(&self, name: &str) {
        drop(self.cut_off(name).await);
    }

    /// An abandoned record, and the lease that its attempt had.
    pub(crate) async fn cut_off(&self, name: &str) -> Lease {
        let lease = self.reserve(&self.request(self.key(name)).lease(SHORT)).await;
        while self.state(name).await != Some(RecordState::Abandoned) {
            tokio::time::sleep(SHORT).await;
        }
        lease
    }

    pub(crate) async fn failed(&self, name: &str) {
        let lease = self.in_flight(name).await;
        let failed = self.store.fail(&lease, Some(&response(502, "down")), RETENTION).await;
        assert_eq!(failed.unwrap(), Settlement::Applied);
    }

    pub(crate) async fn succeeded(&self, name: &str, outcome: &Outcome) {
        let lease = self.in_flight(name).await;
        self.complete(&lease, outcome).await;
    }

    pub(crate) async fn complete(&self, lease: &Lease, outcome: &Outcome) {
        let done = self.store.complete(lease, outcome, RETENTION).await;
        assert_eq!(done.unwrap(), Settlement::Applied);
    }

    /// One record in each state, the oldest first. `pass` lets so many seconds pass.
    pub(crate) async fn every_state<F: Future<Output = ()>>(&self, pass: impl Fn(u64) -> F) {
        self.abandoned("cut-off").await;
        pass(60).await;
        self.failed("failed").await;
        pass(60).await;
        self.in_flight("running").await;
        pass(61).await;
        self.succeeded("paid", &response(201, r#"{"paid":true}"#)).await;
        pass(1).await;
        self.succeeded("large", &not_retained(StatusCode::OK, NotRetained::TooLarge)).await;
        pass(10).await;
    }

    /// `None`: the key is free.
    pub(crate) async fn state(&self, name: &str) -> Option<RecordState> {
        let shown = self.operator.show(&self.key(name)).await.unwrap();
        shown.record.map(|record| record.state)
    }

    /// The response that is stored.
    pub(crate) async fn stored(&self, name: &str) -> Outcome {
        let record = self.store.inspect(&self.key(name)).await.unwrap().unwrap();
        match record.state {
            State::Success(outcome) => outcome,
            other => panic!("no response: {other:?}"),
        }
    }
}

pub(crate) fn response(status: u16, body: &str) -> Outcome {
    let bytes = body.to_owned().into();
    let status = StatusCode::from_u16(status).unwrap();
    Outcome::new(status, StoredBody::Whole { bytes, trailers: None })
}

pub(crate) fn not_retained(status: StatusCode, reason: NotRetained) -> Outcome {
    Outcome::new(status, StoredBody::NotRetained(reason))
}
