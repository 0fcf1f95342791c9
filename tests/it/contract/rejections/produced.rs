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
    Effects, Fault, Frames, Gate, Operation, Scripted, TestLayer, app, gated, layer, layer_over,
    store,
};

/// The response of a layer that rejects a request in this way.
pub(super) async fn response(
    variant: &str,
    status: u16,
    content_type: &'static str,
) -> Response<Body> {
    let keyed = |body: Body| {
        request(content_type).header("x-idempotency-key", "order-1001").body(body).unwrap()
    };
    let order = || keyed(Body::from("order"));
    let once = async |layer: TestLayer, request| send(&done(layer), request).await;
    let again = async |app: Router| {
        send(&app, order()).await;
        send(&app, order()).await
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
            let app = done(layer().on_mismatch(match status {
                409 => OnMismatch::Conflict,
                422 => OnMismatch::UnprocessableContent,
                400 => OnMismatch::BadRequest,
                other => panic!("no setting gives {other}"),
            }));
            send(&app, order()).await;
            send(&app, keyed(Body::from("another order"))).await
        }
        "ScopeMissing" => once(layer().scope(|_| None), order()).await,
        "InFlight" => {
            let (effects, gate) = (Effects::new(), Gate::new());
            let app = gated(&effects, &gate).layer(layer());
            let first = tokio::spawn({
                let (app, order) = (app.clone(), order());
                async move { send(&app, order).await }
            });
            effects.reached(1).await;
            let second = send(&app, order()).await;
            gate.open();
            assert_eq!(first.await.unwrap().status(), 200);
            second
        }
        "ResultNotRetained" => again(done(layer().max_response(1))).await,
        "OutcomeUnknown" => {
            let store = Misbehaving { inner: store(), at: At::Reserve };
            let layer = layer_over(DynStore::new(store)).on_abandoned(OnAbandoned::Reject);
            once(layer.lease(Duration::from_millis(3)), order()).await
        }
        "AttemptFailed" => {
            let fails = app(&Effects::new(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
            again(fails.layer(layer().on_failed(OnFailed::Reject))).await
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
        "CommitUnconfirmed" => once(uncommitted(StoreErrorKind::Timeout), order()).await,
        "TransactionLost" => once(uncommitted(StoreErrorKind::TransactionLost), order()).await,
        variant => panic!(
            "no test makes the layer give `Rejection::{variant}`: add how it is produced to \
             tests/it/contract/rejections/produced.rs"
        ),
    }
}

fn done(layer: TestLayer) -> Router {
    app(&Effects::new(), async |_| "done").layer(layer)
}

/// A layer in transaction mode whose commits fail.
fn uncommitted(kind: StoreErrorKind) -> TestLayer {
    layer_over(DynStore::new(Misbehaving { inner: store(), at: At::Commit(kind) }))
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
