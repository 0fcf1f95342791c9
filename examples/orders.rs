//! Orders that are placed exactly once. PostgreSQL commits four things together or not at all: the
//! order, the stock that it takes, its idempotency key and its response.
//!
//! ```text
//! DATABASE_URL=postgres://localhost/shop cargo run --example orders --features postgres
//!
//! token='Authorization: Bearer token-of-alice'
//! order() { curl -i localhost:3000/orders -H "$token" -H 'X-Idempotency-Key: order-1001' --json "$1"; }
//! order '{"item":"book","quantity":2}'    # 201: of ten books, eight are left
//! order '{"item":"book","quantity":2}'    # the same 201, a replay: still eight
//! order '{"item":"book","quantity":3}'    # 409 idempotency_key_reused: another order, the same key
//! token='Authorization: Bearer new-token-of-alice'
//! order '{"item":"book","quantity":2}'    # the same 201: a new token of the same account
//!
//! psql postgres://localhost/shop -c 'SELECT * FROM orders' -c 'SELECT * FROM stock'
//! ```

use std::error::Error;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde::Deserialize;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool, Postgres};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tower_idempotency::store::TxError;
use tower_idempotency::{IdempotencyLayer, PostgresStore, Scope, Tx};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Each running order holds one connection. An order that gets none in time gets 503.
    let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect(&std::env::var("DATABASE_URL")?).await?;
    set_up(&pool).await?;

    let store = PostgresStore::new(pool);
    store.migrate().await?;
    // Deletes expired records. Without it the table only grows.
    tokio::spawn(store.sweep_every(Duration::from_mins(5)));
    let layer = IdempotencyLayer::new(store.in_transaction())
        .namespace("orders")
        .scope(scope)
        .require_key();
    // The layer that is added last is the outermost: a request is authenticated before the layer
    // sees it.
    let app = Router::new()
        .route("/orders", post(place))
        .route_layer(layer.clone())
        .route_layer(from_fn(authenticate));

    let listen = std::env::var("LISTEN");
    let listener =
        tokio::net::TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let drained = async move {
        stop_signal().await;
        layer.shutdown().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(drained).await?;
    Ok(())
}

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

/// Creates the two tables of the shop. [`PostgresStore::migrate`] creates the table of records.
async fn set_up(pool: &PgPool) -> Result<(), sqlx::Error> {
    let tables = "
        CREATE TABLE IF NOT EXISTS orders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL, quantity integer NOT NULL
        );
        CREATE TABLE IF NOT EXISTS stock (item text PRIMARY KEY, quantity integer NOT NULL);
        INSERT INTO stock VALUES ('book', 10) ON CONFLICT DO NOTHING";
    pool.execute(tables).await.map(drop)
}

#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u16,
}

/// Writes in the transaction of the attempt. A response below 400 commits it. Any other response, a
/// panic or the end of the process rolls it back.
async fn place(
    mut tx: Tx<Postgres>,
    Json(order): Json<Order>,
) -> Result<impl IntoResponse, Rejected> {
    let quantity = i32::from(order.quantity);
    let id: i64 =
        sqlx::query_scalar("INSERT INTO orders (item, quantity) VALUES ($1, $2) RETURNING id")
            .bind(&order.item)
            .bind(quantity)
            .fetch_one(&mut *tx)
            .await?;
    let taken =
        sqlx::query("UPDATE stock SET quantity = quantity - $2 WHERE item = $1 AND quantity >= $2")
            .bind(&order.item)
            .bind(quantity)
            .execute(&mut *tx)
            .await?;
    if taken.rows_affected() == 0 {
        return Err(Rejected::SoldOut);
    }
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "item": order.item, "quantity": quantity }))))
}

enum Rejected {
    /// 409: the response is stored and replayed, and the order is rolled back.
    SoldOut,
    /// 500, or 409 with `Retry-After` after a conflict with another transaction.
    Database(TxError),
}

impl From<sqlx::Error> for Rejected {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        match self {
            Self::SoldOut => (StatusCode::CONFLICT, "not enough is left\n").into_response(),
            Self::Database(error) => error.into_response(),
        }
    }
}
