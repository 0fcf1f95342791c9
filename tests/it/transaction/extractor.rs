//! Handlers that ask for a transaction which is not to be had.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use sqlx::{Postgres, Sqlite};
use tower::ServiceExt;
use tower_idempotency::store::TransactionError;
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, Tx};

use super::misuse::Log;
use super::script::layer;
use crate::support::Log as Warnings;
use crate::support::databases::{Base, Lite, Pg};

async fn status(router: Router) -> u16 {
    let request =
        Request::post("/").header("x-idempotency-key", "key").body(Body::empty()).unwrap();
    router.oneshot(request).await.unwrap().status().as_u16()
}

async fn one(_: Tx<Postgres>) {}

async fn two(_: Tx<Postgres>, _: Tx<Postgres>) {}

async fn other(_: Tx<Sqlite>) {}

#[tokio::test]
async fn a_transaction_that_is_taken_twice_is_an_error_that_the_log_explains() {
    Log::start();
    let base = Pg::start().await;
    let router = Router::new().route("/", post(two)).layer(layer(base.tx_store()));
    assert_eq!(status(router).await, 500);
    Log::tells("is taken, and was not given back");
    base.at_rest().await;
}

#[tokio::test]
async fn without_transactions_of_this_database_it_is_an_error_that_the_log_explains() {
    Log::start();
    let (pg, lite) = (Pg::start().await, Lite::start().await);
    assert_eq!(status(Router::new().route("/", post(one))).await, 500);
    Log::tells("no idempotency layer guards this request");
    let routers = [
        Router::new().route("/", post(one)).layer(layer(MemoryStore::new())),
        Router::new().route("/", post(one)).layer(layer(pg.server.store())),
        Router::new().route("/", post(one)).layer(layer(lite.store().await)),
        Router::new().route("/", post(other)).layer(layer(pg.tx_store())),
    ];
    for router in routers {
        assert_eq!(status(router).await, 500);
        Log::tells("does not run in a transaction of this database");
    }
    pg.at_rest().await;
    lite.at_rest().await;
}

/// As middleware and handler do, one after the other.
#[tokio::test]
async fn a_transaction_that_was_given_back_can_be_taken_again_until_the_attempt_has_ended() {
    let pg = Pg::start().await;
    let (sender, mut attempts) = tokio::sync::mpsc::unbounded_channel();
    let router = Router::new().route(
        "/",
        post(async move |attempt: Attempt| {
            for item in ["book", "pen"] {
                let mut tx = attempt.transaction::<Postgres>().unwrap();
                assert_eq!(attempt.transaction::<Postgres>().unwrap_err(), TransactionError::Taken);
                Pg::run(&mut tx, format!("INSERT INTO orders VALUES ('{item}')")).await.unwrap();
            }
            sender.send(attempt).unwrap();
        }),
    );
    assert_eq!(status(router.layer(layer(pg.tx_store()))).await, 200);
    assert_eq!(pg.orders().await, ["book", "pen"]);
    let attempt = attempts.recv().await.unwrap();
    assert_eq!(attempt.transaction::<Postgres>().unwrap_err(), TransactionError::Ended);
    pg.at_rest().await;
}

#[tokio::test]
async fn a_client_without_keys_does_not_flood_the_log() {
    let (log, _guard) = Warnings::warnings();
    let keyless = IdempotencyLayer::new(MemoryStore::new());
    let router = Router::new().route("/", post(one)).layer(keyless);
    for _ in 0..3 {
        let request = Request::post("/").body(Body::empty()).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 500);
    }
    assert_eq!(log.lines("could not get its transaction").len(), 1);
}
