//! What a PostgreSQL server rejects is not an outage, and what is one still opens a layer that is
//! set to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use sqlx::{AssertSqlSafe, PgPool, Postgres};
use tower_idempotency::store::{Store, StoreErrorKind, TxError};
use tower_idempotency::{Attempt, IdempotencyLayer, OnOutage, PostgresStore, Scope};

use crate::support::paying::{pay, unavailable};
use crate::support::postgres::{PostgresServer, request};

/// A layer that opens in an outage, and counts its runs. The body says how large a response is.
fn app(store: impl Store) -> (Router, Arc<AtomicUsize>) {
    let runs = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&runs);
    let handler =
        async move |attempt: Attempt, bytes: String| -> Result<(StatusCode, String), TxError> {
            counter.fetch_add(1, Ordering::SeqCst);
            if let Ok(mut tx) = attempt.transaction::<Postgres>() {
                sqlx::query("INSERT INTO orders VALUES ('book')").execute(&mut *tx).await?;
            }
            Ok((StatusCode::CREATED, "x".repeat(bytes.parse().unwrap())))
        };
    let layer = IdempotencyLayer::new(store)
        .scope(|_| Scope::anonymous())
        .on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    (Router::new().route("/", post(handler)).layer(layer), runs)
}

async fn run(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(pool).await.unwrap();
}

/// Has writes of records fail with a code, from now on.
async fn fail_with(pool: &PgPool, code: &str, when: &str) {
    run(
        pool,
        &format!(
            "CREATE OR REPLACE FUNCTION failing() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER failing BEFORE INSERT OR UPDATE ON idempotency_records \
             FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION failing()"
        ),
    )
    .await;
}

#[tokio::test]
async fn only_a_server_that_cannot_serve_for_now_opens_a_layer() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    for (kind, codes) in [
        (StoreErrorKind::Full, &["53100", "53200", "53400", "58030"][..]),
        (StoreErrorKind::Rejected, &["22P02", "23514", "54000"]),
        (
            StoreErrorKind::Configuration,
            &["42501", "42703", "42883", "28000", "3D000", "0A000", "26000", "42P05"],
        ),
        (StoreErrorKind::Conflict, &["40001", "40P01"]),
        // A lock, a cancelled statement and used up connections can be the work of clients.
        (StoreErrorKind::Unavailable, &["55P03", "57014", "53300"]),
        (StoreErrorKind::Unavailable, &["57P01", "57P03", "08006", "25006", "XX000"]),
    ] {
        for code in codes {
            fail_with(&pool, code, "true").await;
            let rejected = store.reserve(&request("key")).await.unwrap_err();
            assert_eq!(rejected.kind(), kind, "{code}: {rejected:?}");
            let (app, runs) = app(store.clone());
            let opens =
                kind == StoreErrorKind::Unavailable && !["55P03", "57014", "53300"].contains(code);
            for _ in 0..3 {
                assert_eq!(
                    pay(&app, "order-1001", 10).await.0,
                    if opens { 201 } else { 503 },
                    "{code}"
                );
            }
            assert_eq!(runs.load(Ordering::SeqCst), if opens { 3 } else { 0 }, "{code}");
        }
    }
}

#[tokio::test]
async fn a_response_that_a_full_disk_does_not_take_is_not_retained_and_does_not_run_again() {
    let server = PostgresServer::start_migrated();
    fail_with(&server.pool(), "53100", "octet_length(NEW.response_body) > 1000").await;
    let (app, runs) = app(server.store());
    assert_eq!(pay(&app, "order-1001", 900_000).await.0, 201);
    for _ in 0..2 {
        assert_eq!(
            pay(&app, "order-1001", 900_000).await,
            (409, "idempotency_result_not_retained".to_owned())
        );
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn in_transaction_mode_nothing_is_left_of_an_attempt_that_a_full_disk_does_not_take() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    run(&pool, "CREATE TABLE orders (item text)").await;
    let count = "SELECT count(*) FROM orders";
    let orders = async || sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap();
    fail_with(&pool, "53100", "octet_length(NEW.response_body) > 1000").await;
    let (app, _) = app(server.store().in_transaction());
    for _ in 0..2 {
        assert_eq!(
            pay(&app, "order-1001", 900_000).await,
            (503, "idempotency_commit_unconfirmed".to_owned())
        );
        assert_eq!(orders().await, 0);
    }
    run(&pool, "DROP TRIGGER failing ON idempotency_records").await;
    assert_eq!(pay(&app, "order-1001", 900_000).await.0, 201);
    assert_eq!(orders().await, 1);
}

#[tokio::test]
async fn a_server_that_is_not_set_up_opens_nothing() {
    let server = PostgresServer::start_with_templates();
    let pool = server.pool();
    for statement in [
        "CREATE ROLE clerk LOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    ] {
        run(&pool, statement).await;
    }
    let at = |url: String| PostgresStore::new(PgPool::connect_lazy(&url).unwrap());
    let url = server.url();
    let database = url.rsplit('/').next().unwrap();
    let elsewhere = |name: &str| format!("{}{name}", url.strip_suffix(database).unwrap());
    let as_user = |url: &str, user: &str| url.replace("postgres@", &format!("{user}@"));
    let missing = server.store();
    for (what, store) in [
        ("no table", missing.clone()),
        ("no role", at(as_user(&url, "nobody"))),
        ("no database", at(elsewhere("missing"))),
        ("no right to connect", at(as_user(&elsewhere("closed"), "clerk"))),
    ] {
        opens_nothing(what, store).await;
    }
    missing.migrate().await.unwrap();
    opens_nothing("no right to the table", at(as_user(&url, "clerk"))).await;
}

async fn opens_nothing(what: &str, store: PostgresStore) {
    let rejected = store.reserve(&request("key")).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Configuration, "{what}: {rejected:?}");
    let in_transaction = store.clone().in_transaction();
    for (app, runs) in [app(store), app(in_transaction)] {
        for _ in 0..2 {
            assert_eq!(pay(&app, "order-1001", 10).await, unavailable(), "{what}");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0, "{what}");
    }
}
