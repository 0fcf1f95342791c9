//! Orders that are placed exactly once: the order, the stock that it takes, its idempotency key and its answer are
//! committed together in PostgreSQL, or not at all.
//!
//! ```text
//! DATABASE_URL=postgres://localhost/shop cargo run --example orders --features postgres
//!
//! token='Authorization: Bearer token-of-alice'
//! order() { curl -i localhost:3000/orders -H "$token" -H 'X-Idempotency-Key: order-1001' --json "$1"; }
//! order '{"item":"book","quantity":2}'    # 201, and ten books are now eight
//! order '{"item":"book","quantity":2}'    # the same 201, with X-Idempotent-Result: true; still eight
//! order '{"item":"book","quantity":3}'    # 409 idempotency_key_reused: the key stands for another order
//! token='Authorization: Bearer new-token-of-alice'
//! order '{"item":"book","quantity":2}'    # the same 201: the token is new, the account is the same
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
use tower_idempotency::store::TxError;
use tower_idempotency::{IdempotencyLayer, PostgresStore, Scope, Tx};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Each order that is being placed holds one connection; one that gets none within this time is told 503.
    let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect(&std::env::var("DATABASE_URL")?).await?;
    set_up(&pool).await?;

    let store = PostgresStore::new(pool);
    store.migrate().await?;
    tokio::spawn(store.sweep_every(Duration::from_mins(5)));
    let layer = IdempotencyLayer::new(store.in_transaction()).namespace("orders").scope(scope).require_key();
    // The layer that is added last is the outermost: a request is authenticated before the layer
    // sees it.
    let app = Router::new()
        .route("/orders", post(place))
        .route_layer(layer.clone())
        .route_layer(from_fn(authenticate));

    let listen = std::env::var("LISTEN");
    let listener = tokio::net::TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let drained = async move {
        let _ = tokio::signal::ctrl_c().await;
        layer.shutdown().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(drained).await?;
    Ok(())
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

/// Two accounts may use the same key: each has a scope of its own. No request without an account
/// gets here.
fn scope(parts: &Parts) -> Scope {
    match parts.extensions.get::<Account>() {
        Some(Account(id)) => Scope::new(id.to_be_bytes()),
        None => Scope::anonymous(),
    }
}

/// Two tables of the shop, beside that of the store, which [`PostgresStore::migrate`] makes.
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

/// Writes in the transaction of the attempt. An answer below 400 commits it; any other one, a panic or the end of the
/// process rolls it back.
async fn place(mut tx: Tx<Postgres>, Json(order): Json<Order>) -> Result<impl IntoResponse, Refused> {
    let quantity = i32::from(order.quantity);
    let id: i64 = sqlx::query_scalar("INSERT INTO orders (item, quantity) VALUES ($1, $2) RETURNING id")
        .bind(&order.item)
        .bind(quantity)
        .fetch_one(&mut *tx)
        .await?;
    let taken = sqlx::query("UPDATE stock SET quantity = quantity - $2 WHERE item = $1 AND quantity >= $2")
        .bind(&order.item)
        .bind(quantity)
        .execute(&mut *tx)
        .await?;
    if taken.rows_affected() == 0 {
        return Err(Refused::SoldOut);
    }
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "item": order.item, "quantity": quantity }))))
}

enum Refused {
    /// 409, which is kept and replayed, while the order that was written before is rolled back.
    SoldOut,
    /// 500; or 409 with `Retry-After` if another transaction was in the way.
    Database(TxError),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::SoldOut => (StatusCode::CONFLICT, "not enough of it is left\n").into_response(),
            Self::Database(error) => error.into_response(),
        }
    }
}
