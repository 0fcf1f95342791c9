//! The server under load: one handler, bare or behind the layer.

use std::io::Write;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_idempotency::store::{
    Lease, Outcome, Record, Reservation, ReserveRequest, Settlement, StorageKey, Store, StoreError,
    Token,
};
use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};

#[derive(Deserialize)]
pub(crate) struct Payment {
    amount: u64,
    currency: String,
    customer_id: String,
}

#[derive(Serialize)]
pub(crate) struct Receipt {
    id: u64,
    amount: u64,
    currency: String,
    customer_id: String,
    note: String,
}

#[derive(Deserialize)]
pub(crate) struct Requested {
    #[serde(default = "usual_response")]
    response: usize,
}

/// The bytes of a response, unless the query sets another size.
fn usual_response() -> usize {
    300
}

pub(crate) const LOCATION: (HeaderName, &str) = (header::LOCATION, "/payments/4f1c2a90");

async fn pay(Query(wanted): Query<Requested>, Json(payment): Json<Payment>) -> Response {
    (StatusCode::CREATED, [LOCATION], Json(receipt(&wanted, payment))).into_response()
}

/// The receipt of the wanted size.
pub(crate) fn receipt(wanted: &Requested, payment: Payment) -> Receipt {
    let mut receipt = Receipt {
        id: payment.amount,
        amount: payment.amount,
        currency: payment.currency,
        customer_id: payment.customer_id,
        note: String::new(),
    };
    let rest = serde_json::to_vec(&receipt).unwrap().len();
    receipt.note = "n".repeat(wanted.response.saturating_sub(rest));
    receipt
}

/// Accepts any body, to measure only buffering and fingerprint.
async fn swallow(body: Bytes) -> StatusCode {
    assert!(!body.is_empty());
    StatusCode::NO_CONTENT
}

/// The handlers without the layer.
pub(crate) fn bare() -> Router {
    Router::new().route("/payments", post(pay)).route("/swallow", post(swallow))
}

/// Serves until the process is killed. The first line of its output is the address.
pub(crate) fn serve(stack: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let app = match stack {
            "bare" => bare(),
            "from_fn" => bare().layer(from_fn(|request, next: Next| next.run(request))),
            "nothing" => bare().layer(layer(Nothing)),
            // The whole load uses one scope.
            "memory" => bare().layer(layer(MemoryStore::new().scope_share(100))),
            #[cfg(feature = "redis")]
            url => bare().layer(layer(tower_idempotency::RedisStore::open(url).unwrap())),
            #[cfg(not(feature = "redis"))]
            other => panic!("unknown stack {other}"),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        axum::serve(listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap()), app).await.unwrap();
    });
}

/// A store that accepts every reservation and stores nothing. The rest is the cost of buffering and
/// fingerprint.
struct Nothing;

impl Store for Nothing {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        Ok(Reservation::Acquired(Lease::first(request, Token::new([0; 16]))))
    }

    async fn complete(
        &self,
        _: &Lease,
        _: &Outcome,
        _: Duration,
    ) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        _: &Lease,
        _: Option<&Outcome>,
        _: Duration,
    ) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn release(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn renew(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn inspect(&self, _: &StorageKey) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn layer<S: Store>(store: S) -> IdempotencyLayer<S> {
    IdempotencyLayer::new(store).scope(|_| Scope::new("bench"))
}
