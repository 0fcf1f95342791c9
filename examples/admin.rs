//! A payments server, and a page for its operators on a listener of its own.
//!
//! `cargo run --features admin --example admin` says what to open and what to send. The payment
//! provider of this example times out when a payment goes to `acct_slow`: the operation is then in
//! doubt, and an operator decides. One payment is stuck from the start, because the process that
//! made it has ended.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_idempotency::admin::Admin;
use tower_idempotency::{
    Attempt, IdempotencyLayer, MemoryStore, OnAbandoned, OnFailed, ResponseDirective, Scope,
    StoredResponse,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    die_in_the_middle_of_a_payment(&store).await;

    let layer = layer(store);
    let admin = Admin::new(&layer, operator)
        .challenge(HeaderValue::from_static("Basic realm=\"operators\""));
    // In production the operators' listener is in a network that clients cannot reach.
    let operators = Router::new().nest("/idempotency", admin.router());
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let address = |index: usize, default| arguments.get(index).map_or(default, String::as_str);
    let listener = TcpListener::bind(address(0, "127.0.0.1:3000")).await?;
    let internal = TcpListener::bind(address(1, "127.0.0.1:3001")).await?;

    println!("Open http://{}/idempotency as ana, password `night`.", internal.local_addr()?);
    println!("Send this before and after you settle it:");
    println!("curl -i http://{}/payments -H 'Authorization: acct_1' \\", listener.local_addr()?);
    println!(
        "  -H 'X-Idempotency-Key: order-1001' --json '{{\"amount\":1200,\"to\":\"acct_slow\"}}'"
    );
    tokio::try_join!(
        axum::serve(listener, payments(layer, Arc::default())).into_future(),
        axum::serve(internal, operators).into_future(),
    )?;
    Ok(())
}

/// An operation in doubt is not run again until an operator says so.
fn layer(store: MemoryStore) -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(store)
        .namespace("payments")
        .scope(scope)
        .require_key()
        .label_records()
        .lease(Duration::from_secs(2))
        .on_failed(OnFailed::Reject)
        .on_abandoned(OnAbandoned::Reject)
}

/// A real service verifies a token here.
fn scope(parts: &Parts) -> Option<Scope> {
    parts.headers.get(header::AUTHORIZATION).map(Scope::new)
}

/// The operator of a request by HTTP Basic. A real service asks its own directory, in a layer
/// outside of the routes.
fn operator(parts: &Parts) -> Option<String> {
    let credentials = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = STANDARD.decode(credentials.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (name, password) = pair.split_once(':')?;
    let is_known = matches!((name, password), ("ana" | "ben", "night"));
    is_known.then(|| name.to_owned())
}

fn payments(layer: IdempotencyLayer<MemoryStore>, begun: Arc<Notify>) -> Router {
    Router::new()
        .route("/payments", post(pay))
        .route("/payments/{id}/refunds", post(pay))
        .route_layer(layer)
        .with_state(begun)
}

#[derive(Deserialize)]
struct Order {
    amount: u64,
    to: String,
}

async fn pay(
    State(begun): State<Arc<Notify>>,
    attempt: Attempt,
    Json(order): Json<Order>,
) -> Response {
    begun.notify_one();
    match order.to.as_str() {
        "acct_slow" => StatusCode::GATEWAY_TIMEOUT.into_response(),
        // It runs until its process ends.
        "acct_never" => pending().await,
        // The response is not stored, as if it were too large.
        "acct_secret" => {
            let nothing = ResponseDirective::new().stored_response(StoredResponse::Nothing);
            (StatusCode::CREATED, nothing, "paid").into_response()
        }
        to => {
            let number = attempt.number();
            let paid = json!({ "amount": order.amount, "to": to, "attempt": number });
            (StatusCode::CREATED, Json(paid)).into_response()
        }
    }
}

/// Plays another process, which ends while its handler runs.
async fn die_in_the_middle_of_a_payment(store: &MemoryStore) {
    let begun = Arc::new(Notify::new());
    let app = payments(layer(store.clone()), Arc::clone(&begun));
    let request = Request::post("/payments")
        .header(header::AUTHORIZATION, "acct_1")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-idempotency-key", "order-1000")
        .body(Body::from(json!({ "amount": 900, "to": "acct_never" }).to_string()));
    let other = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build();
    let (Ok(request), Ok(other)) = (request, other) else { return };
    other.spawn(app.oneshot(request));
    begun.notified().await;
    other.shutdown_background();
}
