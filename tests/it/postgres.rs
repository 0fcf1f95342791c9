//! The PostgreSQL store against real servers.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt;
use sqlx::{PgPool, Row};
use tower::ServiceExt;
use tower_idempotency::store::{Identifier, Rerun, Reservation, Reserve, conformance};
use tower_idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyLayer, PostgresStore, Previous, Scope, StorageKey, Store,
};

use crate::support::postgres::{PgBouncer, PostgresServer, pool};

/// Long enough that a busy machine keeps up, short enough to wait for.
const UNIT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract() {
    let server = PostgresServer::start_migrated();
    conformance::run(&server.store(), UNIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract_without_prepared_statements() {
    let server = PostgresServer::start_migrated();
    conformance::run(&server.store().unprepared(), UNIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract_through_a_pooler_that_hands_out_connections_by_transaction() {
    let server = PostgresServer::start();
    let bouncer = PgBouncer::before(&server);
    let store = PostgresStore::new(pool(bouncer.port(), 20)).unprepared();
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await;
    store.sweep(100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract_in_a_schema_and_a_table_of_the_callers_own() {
    let server = PostgresServer::start();
    let name = |name| Identifier::new(name).unwrap();
    let store = server.store().schema(name("Shop")).table(name("Select"));
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await;
    store.sweep(100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract_where_all_transactions_are_serializable_and_bytes_are_escaped() {
    let server = PostgresServer::start_with(&[
        "default_transaction_isolation=serializable",
        "bytea_output=escape",
        "standard_conforming_strings=off",
    ]);
    let store = server.store().unprepared();
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await;
}
