//! A file that is full, that takes no writes, or whose table is missing, is not an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tower_idempotency::store::{Store, StoreErrorKind, TxError};
use tower_idempotency::{Attempt, IdempotencyLayer, OnOutage, Scope, SqliteStore, Tx};

use super::given::{File, request};
use crate::support::paying::{pay, unavailable};

/// A layer that opens in an outage, and counts its runs. The path says how large a response is.
fn app(store: impl Store) -> (Router, Arc<AtomicUsize>) {
    let runs = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&runs);
    let handler =
        async move |attempt: Attempt, bytes: String| -> Result<(StatusCode, String), TxError> {
            counter.fetch_add(1, Ordering::SeqCst);
            if let Ok(mut tx) = attempt.transaction() {
                let tx: &mut Tx<sqlx::Sqlite> = &mut tx;
                sqlx::query("INSERT INTO orders VALUES ('book')").execute(&mut **tx).await?;
            }
            Ok((StatusCode::CREATED, "x".repeat(bytes.parse().unwrap())))
        };
    let layer = IdempotencyLayer::new(store)
        .scope(|_| Scope::anonymous())
        .on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    (Router::new().route("/", post(handler)).layer(layer), runs)
}

/// A pool whose file may grow by so many pages.
async fn limited(file: &File, pages: i64) -> SqlitePool {
    drop(file.open().await);
    file.run("CREATE TABLE orders (item TEXT)").await;
    let used: i64 = file.run("PRAGMA page_count").await[0].get(0);
    let options = file.options().pragma("max_page_count", (used + pages).to_string());
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

#[tokio::test]
async fn at_a_full_file_a_large_response_is_not_retained_and_a_new_key_opens_nothing() {
    let file = File::new();
    let store = SqliteStore::with_pool(limited(&file, 4).await);
    let (app, runs) = app(store.clone());
    assert_eq!(pay(&app, "order-1001", 900_000).await.0, 201);
    for _ in 0..2 {
        assert_eq!(
            pay(&app, "order-1001", 900_000).await,
            (409, "idempotency_result_not_retained".to_owned())
        );
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // Now the file is filled by what still fits.
    let mut paid = 1;
    while pay(&app, &format!("filler-{paid}"), 1_000).await.0 == 201 {
        paid += 1;
    }
    assert_eq!(store.reserve(&request("new")).await.unwrap_err().kind(), StoreErrorKind::Full);
    for _ in 0..3 {
        assert_eq!(pay(&app, "new", 10).await, unavailable());
    }
    assert_eq!(runs.load(Ordering::SeqCst), paid);
    assert_eq!(pay(&app, "order-1001", 900_000).await.0, 409);
}

#[tokio::test]
async fn in_transaction_mode_nothing_is_left_of_an_attempt_that_does_not_fit() {
    let file = File::new();
    let store = SqliteStore::with_pool(limited(&file, 4).await).in_transaction();
    let (app, runs) = app(store);
    for run in 1..=2 {
        assert_eq!(
            pay(&app, "order-1001", 900_000).await,
            (503, "idempotency_commit_unconfirmed".to_owned())
        );
        assert_eq!(runs.load(Ordering::SeqCst), run);
        assert!(file.run("SELECT * FROM orders").await.is_empty());
    }
    assert_eq!(pay(&app, "order-1001", 900_000).await.0, 503);
    assert_eq!(pay(&app, "order-1002", 10).await.0, 201);
    assert_eq!(file.run("SELECT * FROM orders").await.len(), 1);
}

#[tokio::test]
async fn a_file_that_takes_no_writes_opens_nothing() {
    let file = File::new();
    drop(file.open().await);
    let options = file.options().pragma("query_only", "ON");
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    opens_nothing(SqliteStore::with_pool(pool)).await;
}

#[tokio::test]
async fn a_missing_table_opens_nothing() {
    let file = File::new();
    let pool = SqlitePoolOptions::new().connect_with(file.options()).await.unwrap();
    opens_nothing(SqliteStore::with_pool(pool)).await;
}

async fn opens_nothing(store: SqliteStore) {
    assert_eq!(
        store.reserve(&request("key")).await.unwrap_err().kind(),
        StoreErrorKind::Configuration
    );
    let in_transaction = store.clone().in_transaction();
    for (app, runs) in [app(store), app(in_transaction)] {
        for _ in 0..2 {
            assert_eq!(pay(&app, "order-1001", 10).await, unavailable());
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}
