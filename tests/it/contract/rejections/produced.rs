//! For each kind of rejection, a layer and a request that it rejects in this way.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use tower_idempotency::store::{
    DynStore, Lease, OpenTransaction, Outcome, Record, Reservation, ReserveRequest, Settlement,
    StorageKey, Store, StoreError, StoreErrorKind,
};
use tower_idempotency::{OnAbandoned, OnFailed, OnMismatch, QuotaExceeded};

use super::{request, send};
use crate::support::{
    self, Effects, Fault, Frames, Gate, Operation, Scripted, TestLayer, app, gated, store,
};

/// A layer, and its response to a request that it rejects in this way. `tune` changes the settings
/// of the layer before those that the rejection needs.
pub(super) async fn by(
    variant: &str,
    status: u16,
    content_type: &'static str,
    tune: impl Fn(TestLayer) -> TestLayer,
) -> (TestLayer, Response<Body>) {
    let layer = || tune(support::layer());
    let layer_over = |store| tune(support::layer_over(store));
    let keyed = |body: Body| {
        request(content_type).header("x-idempotency-key", "order-1001").body(body).unwrap()
    };
    let order = || keyed(Body::from("order"));
    let once = async |layer: TestLayer, request| {
        let response = send(&done(layer.clone()), request).await;
        (layer, response)
    };
    let again = async |layer: TestLayer, app: Router| {
        let app = app.layer(layer.clone());
        send(&app, order()).await;
        (layer, send(&app, order()).await)
    };
    match variant {
        "KeyMissing" => {
            once(layer().require_key(), request(content_type).body(Body::empty()).unwrap()).await
        }
        "KeyInvalid" => {
            let invalid = request(content_type).header("x-idempotency-key", "order 1001");
            once(layer(), invalid.body(Body::empty()).unwrap()).await
        }
        "RequestUnreadable" => {
            once(layer(), keyed(Body::new(Frames::unknown(&[b"or"]).broken()))).await
        }
        "RequestTooLarge" => once(layer().max_request(1), order()).await,
        "RequestTimeout" => {
            once(layer().body_timeout(Duration::from_millis(1)), keyed(Body::new(Stalled))).await
        }
        "KeyReused" => {
            let layer = layer().on_mismatch(match status {
                409 => OnMismatch::Conflict,
                422 => OnMismatch::UnprocessableContent,
                400 => OnMismatch::BadRequest,
                other => panic!("no setting gives {other}"),
            });
            let app = done(layer.clone());
            send(&app, order()).await;
            (layer, send(&app, keyed(Body::from("another order"))).await)
        }
        "ScopeMissing" => once(layer().scope(|_| None), order()).await,
        "InFlight" => {
            let (effects, gate, layer) = (Effects::new(), Gate::new(), layer());
            let app = gated(&effects, &gate).layer(layer.clone());
            let first = tokio::spawn({
                let (app, order) = (app.clone(), order());
                async move { send(&app, order).await }
            });
            effects.reached(1).await;
            let second = send(&app, order()).await;
            gate.open();
            assert_eq!(first.await.unwrap().status(), 200);
            (layer, second)
        }
        "ResultNotRetained" => again(layer().max_response(1), handler()).await,
        "OutcomeUnknown" => {
            let store = Misbehaving { inner: store(), at: At::Reserve };
            let layer = layer_over(DynStore::new(store)).on_abandoned(OnAbandoned::Reject);
            once(layer.lease(Duration::from_millis(3)), order()).await
        }
        "AttemptFailed" => {
            let fails = app(&Effects::new(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
            again(layer().on_failed(OnFailed::Reject), fails).await
        }
        "TooManyInFlight" => once(layer().max_in_flight(0), order()).await,
        "QuotaExceeded" => {
            let exceeded = QuotaExceeded::new(Duration::from_secs(1));
            once(layer().quota(move |_| Err::<(), _>(exceeded)), order()).await
        }
        "ShuttingDown" => {
            let layer = layer();
            layer.shutdown().await;
            once(layer, order()).await
        }
        "StoreUnavailable" => {
            let scripted = Scripted::over(store());
            scripted.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
            once(layer_over(DynStore::new(scripted)), order()).await
        }
        "CommitUnconfirmed" => {
            once(layer_over(uncommitted(StoreErrorKind::Timeout)), order()).await
        }
        "TransactionLost" => {
            once(layer_over(uncommitted(StoreErrorKind::TransactionLost)), order()).await
        }
        variant => panic!(
            "no test makes the layer give `Rejection::{variant}`: add how it is produced to \
             tests/it/contract/rejections/produced.rs"
        ),
    }
}

fn handler() -> Router {
    app(&Effects::new(), async |_| "done")
}

fn done(layer: TestLayer) -> Router {
    handler().layer(layer)
}

/// A store in transaction mode whose commits fail.
pub(super) fn uncommitted(kind: StoreErrorKind) -> DynStore {
    DynStore::new(Misbehaving { inner: store(), at: At::Commit(kind) })
}

/// A body that never comes.
struct Stalled;

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A store in which the first request meets what else takes a crash or a database.
struct Misbehaving {
    inner: DynStore,
    at: At,
}

enum At {
    /// The key belongs to an attempt that was cut off.
    Reserve,
    /// It is in transaction mode, and the commit fails.
    Commit(StoreErrorKind),
}

impl Store for Misbehaving {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let mut reservation = self.inner.reserve(request).await?;
        match (&self.at, &mut reservation) {
            (At::Commit(_), Reservation::Acquired(lease)) => {
                lease.transaction = Some(OpenTransaction::new(Arc::new(())));
            }
            (At::Reserve, Reservation::Acquired(lease)) => {
                // Its process was killed.
                tokio::time::sleep(lease.lease * 2).await;
                return self.inner.reserve(request).await;
            }
            _ => {}
        }
        Ok(reservation)
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        match self.at {
            At::Commit(kind) => Err(StoreError::new(kind)),
            At::Reserve => self.inner.complete(lease, outcome, retention).await,
        }
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

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
