//! The promises of the PostgreSQL store, on a server and through the whole layer.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use sqlx::{PgPool, Row};
use tower::ServiceExt;
use tower_idempotency::store::{
    Identifier, Lease, Reservation, ReserveRequest, RetryFailed, Settlement, Store, conformance,
};
use tower_idempotency::{IdempotencyLayer, PostgresStore, PreviousAttempt, Scope};

use crate::support::postgres::{PgBouncer, PostgresServer, acquired, outcome, pool, request};
use crate::support::{patiently, with};

/// Long enough for a busy machine, short enough to wait for.
const UNIT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract() {
    let server = PostgresServer::start_migrated();
    conformance::run(&server.store(), UNIT).await.assert_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_without_prepared_statements() {
    let server = PostgresServer::start_migrated();
    conformance::run(&server.store().persistent(false), UNIT).await.assert_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_through_a_pooler_that_hands_out_connections_by_transaction() {
    let server = PostgresServer::start();
    let bouncer = PgBouncer::before(&server);
    let store = PostgresStore::new(pool(bouncer.port(), 20)).persistent(false);
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await.assert_success();
    store.sweep(100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_in_a_schema_and_a_table_of_the_callers_own() {
    let server = PostgresServer::start();
    let name = |name| Identifier::new(name).unwrap();
    let store = server.store().schema(name("Shop")).table(name("Select"));
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await.assert_success();
    store.sweep(100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_where_all_transactions_are_serializable_and_bytes_are_escaped()
 {
    let server = PostgresServer::start_with(&[
        "default_transaction_isolation=serializable",
        "bytea_output=escape",
        "standard_conforming_strings=off",
    ]);
    let store = server.store().persistent(false);
    store.migrate().await.unwrap();
    conformance::run(&store, UNIT).await.assert_success();
}

/// A server that counts statements.
async fn counting() -> (PostgresServer, PgPool) {
    let server = PostgresServer::start_with(&["shared_preload_libraries=pg_stat_statements"]);
    let pool = server.pool();
    sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&pool).await.unwrap();
    PostgresStore::new(pool.clone()).migrate().await.unwrap();
    (server, pool)
}

/// How many statements had to do with the table since the last look.
async fn statements(pool: &PgPool) -> i64 {
    let count = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE '%idempotency_records%'
         AND query NOT LIKE '%pg_stat_statements%'";
    let count = sqlx::query_scalar(count).fetch_one(pool).await.unwrap();
    sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(pool).await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_concurrent_reservations_one_acquires_and_each_takes_one_statement() {
    let (_server, pool) = counting().await;
    let store = PostgresStore::new(pool.clone());
    statements(&pool).await;
    let (lease, found) = race(&store, &request("one-key"), 500).await;
    assert_eq!((lease.attempt, lease.previous, found), (1, None, 499));
    assert_eq!(statements(&pool).await, 500);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_records")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 1);
}

/// Lets as many contenders reserve at once, and tells of the only winner, and how many have found
/// its record.
async fn race(
    store: &PostgresStore,
    request: &ReserveRequest,
    contenders: usize,
) -> (Lease, usize) {
    let reserve = |_| {
        let (store, request) = (store.clone(), request.clone());
        tokio::spawn(async move { store.reserve(&request).await.unwrap() })
    };
    let racing: Vec<_> = (0..contenders).map(reserve).collect();
    let (mut leases, mut found) = (Vec::new(), Vec::new());
    for contender in racing {
        match patiently(contender).await.unwrap() {
            Reservation::Acquired(lease) => leases.push(lease),
            Reservation::Found(record) => found.push(record.token),
        }
    }
    assert_eq!(leases.len(), 1, "one acquires");
    assert!(found.iter().all(|token| *token == leases[0].token), "the others find its record");
    (leases.remove(0), found.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_contenders_one_takes_over_and_is_told_of_the_attempt_before() {
    let server = PostgresServer::start_migrated();
    let store = server.store();
    let brief = request("k").lease(Duration::from_nanos(1));
    for round in 0..20 {
        let key = |kind: &str| request(&format!("{kind}-{round}"));

        let failed = key("failed");
        let first = acquired(store.reserve(&failed).await.unwrap());
        let stored = outcome(502, 10_000);
        assert_eq!(
            store.fail(&first, Some(&stored), first.retention).await.unwrap(),
            Settlement::Applied
        );
        let only = failed.clone().retry_failed(RetryFailed::Only(first.token));
        let (second, _) = race(&store, &only, 50).await;
        let previous = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
        assert_eq!((second.attempt, second.previous), (2, Some(previous)));
        assert_eq!(store.fail(&second, None, first.retention).await.unwrap(), Settlement::Applied);
        let (third, _) = race(&store, &failed, 50).await;
        assert_eq!(
            (third.attempt, third.previous),
            (3, Some(PreviousAttempt::Failed { status: None }))
        );

        let abandoned = key("abandoned").lease(brief.lease);
        acquired(store.reserve(&abandoned).await.unwrap());
        // Longer than the lease that was rounded up to a millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (second, _) = race(&store, &key("abandoned"), 50).await;
        assert_eq!((second.attempt, second.previous), (2, Some(PreviousAttempt::Abandoned)));

        let expired = abandoned.retention(brief.lease);
        let expired = with(expired, |request| request.key = key("expired").key);
        acquired(store.reserve(&expired).await.unwrap());
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (first, _) = race(&store, &key("expired"), 50).await;
        assert_eq!((first.attempt, first.previous), (1, None));
    }
}

/// A handler that responds by the path: `/status/500`.
fn app(store: PostgresStore) -> Router {
    let response = |axum::extract::Path(status): axum::extract::Path<u16>| async move {
        (StatusCode::from_u16(status).unwrap(), [("x-ray", "no")], "the response")
    };
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    Router::new().route("/status/{status}", post(response)).layer(layer)
}

async fn call(app: &Router, key: &str, path: &str) -> StatusCode {
    let request = Request::post(path).header("x-idempotency-key", key).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn a_first_execution_takes_two_statements_and_every_retry_and_every_rejection_one() {
    let (_server, pool) = counting().await;
    let app = app(PostgresStore::new(pool.clone()));
    statements(&pool).await;

    assert_eq!(call(&app, "key", "/status/201").await, 201);
    assert_eq!(statements(&pool).await, 2, "first execution");
    assert_eq!(call(&app, "key", "/status/201").await, 201);
    assert_eq!(statements(&pool).await, 1, "replay");
    assert_eq!(call(&app, "key", "/status/200").await, 409);
    assert_eq!(statements(&pool).await, 1, "mismatch");

    assert_eq!(call(&app, "failing", "/status/500").await, 500);
    assert_eq!(statements(&pool).await, 2, "an attempt that fails");
    assert_eq!(call(&app, "failing", "/status/500").await, 500);
    assert_eq!(statements(&pool).await, 3, "and the next attempt, which takes its record over");
}

#[tokio::test]
async fn a_reservation_that_finds_a_record_writes_nothing() {
    // Nothing else in the server writes to its log, either.
    let server = PostgresServer::start_with(&["wal_level=minimal", "max_wal_senders=0"]);
    let store = server.store();
    store.migrate().await.unwrap();
    let [done, running, failed] = ["done", "running", "failed"].map(request);
    let lease = acquired(store.reserve(&done).await.unwrap());
    assert_eq!(
        store.complete(&lease, &outcome(201, 5000), lease.retention).await.unwrap(),
        Settlement::Applied
    );
    acquired(store.reserve(&running).await.unwrap());
    let lease = acquired(store.reserve(&failed).await.unwrap());
    assert_eq!(store.fail(&lease, None, lease.retention).await.unwrap(), Settlement::Applied);
    let failed = failed.retry_failed(RetryFailed::Never);

    let pool = server.pool();
    let written = || async {
        let end =
            sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(&pool).await;
        let end: String = end.unwrap();
        end
    };
    let before = written().await;
    for _ in 0..20 {
        for request in [&done, &running, &failed] {
            assert!(matches!(store.reserve(request).await.unwrap(), Reservation::Found(_)));
        }
    }
    assert_eq!(written().await, before);
}

#[tokio::test]
async fn a_record_is_a_row_that_a_person_can_read() {
    let server = PostgresServer::start_migrated();
    let app = app(server.store());
    call(&app, "the-key-of-the-client", "/status/201").await;
    call(&app, "failing", "/status/503").await;
    call(&app, "failing", "/status/503").await;

    let rows = "SELECT status, attempt, response_status, response_headers, response_body,
            expires_at - updated_at BETWEEN '23:59:59' AND '24:23:03' AS is_stored_for_a_day, r::text AS whole
        FROM idempotency_records AS r ORDER BY created_at";
    let rows = sqlx::query(rows).fetch_all(&server.pool()).await.unwrap();
    let [success, failed] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!(success.get::<&str, _>("status"), "success");
    assert_eq!(success.get::<i64, _>("attempt"), 1);
    assert_eq!(success.get::<i32, _>("response_status"), 201);
    assert!(String::from_utf8_lossy(success.get("response_headers")).contains("x-ray: no\n"));
    assert_eq!(success.get::<&[u8], _>("response_body"), b"the response");
    assert!(success.get::<bool, _>("is_stored_for_a_day"));
    assert!(!success.get::<&str, _>("whole").contains("the-key"), "no input of a client is a key");
    assert_eq!(failed.get::<&str, _>("status"), "failed");
    assert_eq!(failed.get::<i64, _>("attempt"), 2);
}
