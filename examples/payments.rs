//! A payments server whose `POST /payments` is safe to retry.
//!
//! `cargo run --example payments` stores its records in memory. With `--features redis` and
//! `REDIS_URL` they are in Redis: they survive a restart, and other processes share them.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tower_idempotency::store::Store;
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, Scope};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match std::env::var("REDIS_URL") {
        Ok(url) => serve(redis_store(&url)?).await,
        Err(_) => serve(MemoryStore::new()).await,
    }
}

async fn serve(store: impl Store) -> Result<(), Box<dyn Error>> {
    let layer = IdempotencyLayer::new(store).namespace("payments").scope(scope).require_key();
    // The layer that is added last is the outermost: a request is authenticated before the layer
    // sees it.
    let app = Router::new()
        .route("/payments", post(pay))
        .route_layer(layer.clone())
        .route_layer(from_fn(authenticate));

    let listen = std::env::args().nth(1).or_else(|| std::env::var("LISTEN").ok());
    let listener =
        tokio::net::TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    let url = format!("http://{}/payments", listener.local_addr()?);
    println!("Try this twice:\ncurl -i {url} -H 'Authorization: Bearer token-of-alice' \\");
    println!("  -H 'X-Idempotency-Key: order-1001' --json '{ORDER}'");
    let drained = async move {
        stop_signal().await;
        layer.shutdown().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(drained).await?;
    Ok(())
}

const ORDER: &str = r#"{"amount":1200,"currency":"EUR","to":"acct_2"}"#;

/// Returns when the process should end: at SIGTERM, which orchestrators send, or at Ctrl-C.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The account that sends a request, after its token was verified.
#[derive(Clone, Copy)]
struct Account(u32);

/// The tokens of all accounts. A client that refreshes its token stays the same account.
const TOKENS: [(&str, Account); 3] = [
    ("Bearer token-of-alice", Account(1)),
    ("Bearer new-token-of-alice", Account(1)),
    ("Bearer token-of-bob", Account(2)),
];

/// Rejects a request without the token of an account.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let credential = request.headers().get(header::AUTHORIZATION);
    let Some((_, account)) =
        TOKENS.into_iter().find(|(token, _)| credential.is_some_and(|sent| sent == *token))
    else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(account);
    next.run(request).await
}

/// Two accounts may use the same key, because each has a scope of its own.
fn scope(parts: &Parts) -> Option<Scope> {
    let Account(id) = parts.extensions.get()?;
    Some(Scope::new(id.to_be_bytes()))
}

#[derive(Deserialize, Serialize)]
struct Order {
    amount: u64,
    currency: String,
    to: String,
    /// Delays the payment, so that a second request can find the first in flight.
    #[serde(default, skip_serializing)]
    delay_ms: u64,
}

#[derive(Serialize)]
struct Payment {
    id: String,
    #[serde(flatten)]
    order: Order,
    attempt: u32,
}

/// Runs once for each key. A real one asks its payment provider first if `attempt.is_in_doubt()`,
/// and gives the provider `attempt.downstream_key("charge")`.
async fn pay(attempt: Attempt, Json(order): Json<Order>) -> impl IntoResponse {
    tokio::time::sleep(Duration::from_millis(order.delay_ms)).await;
    let id = format!("pay_{:016x}", RandomState::new().hash_one(&order.to));
    let location = [(header::LOCATION, format!("/payments/{id}"))];
    let attempt = attempt.number();
    (StatusCode::CREATED, location, Json(Payment { id, order, attempt }))
}

#[cfg(feature = "redis")]
fn redis_store(url: &str) -> Result<impl Store, Box<dyn Error>> {
    Ok(tower_idempotency::RedisStore::open(url)?)
}

#[cfg(not(feature = "redis"))]
fn redis_store(_: &str) -> Result<MemoryStore, Box<dyn Error>> {
    Err("REDIS_URL is set, but this example was built without Redis: add `--features redis`".into())
}
