//! The PostgreSQL store while others hold locks.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tower_idempotency::store::{Reservation, Store, StoreErrorKind};
use tower_idempotency::{Fingerprint, PostgresStore};

use crate::support::postgres::crowd::{Mode, POOL, crowd};
use crate::support::postgres::{PostgresServer, acquired, outcome, request};
use crate::support::{patiently, with};

/// The store timeout to reserve, the limit of the handler, the store timeout to settle, and what a
/// busy machine adds.
const BOUND: Duration = Duration::from_millis(2_000 + 500 + 2_000 + 3_000);

async fn backend(pool: &PgPool) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(pool).await.unwrap()
}

async fn one_connection(server: &PostgresServer) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect(&server.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_statement_waits_holds_its_place_until_the_server_replies() {
    let server = PostgresServer::start_migrated();
    let pool = one_connection(&server).await;
    let store = PostgresStore::new(pool.clone());
    let before = backend(&pool).await;
    let mut holder = server.pool().begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE idempotency_records").execute(&mut *holder).await.unwrap();
    let request = request("key");
    let reserved = tokio::time::timeout(Duration::from_millis(200), store.reserve(&request)).await;
    assert!(reserved.is_err(), "the table is locked");
    // The next one is told in time, and makes no other connection.
    let rejected = patiently(store.reserve(&request)).await.unwrap_err();
    assert_eq!(
        (rejected.kind(), pool.size(), pool.num_idle()),
        (StoreErrorKind::Unavailable, 1, 0)
    );
    holder.rollback().await.unwrap();
    assert_eq!(backend(&pool).await, before);
    // The reservation that was carried out late is taken back.
    patiently(async { while store.inspect(&request.key).await.unwrap().is_some() {} }).await;
}

/// Every transaction that begins from here on may only read.
async fn takes_no_writes(pool: &PgPool) {
    for statement in
        ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"]
    {
        sqlx::raw_sql(statement).execute(pool).await.unwrap();
    }
    let seen = "SELECT current_setting('default_transaction_read_only') = 'on'";
    patiently(async {
        while !sqlx::query_scalar::<_, bool>(seen).fetch_one(pool).await.unwrap() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_while_the_server_takes_no_writes() {
    let server = PostgresServer::start_migrated();
    let pool = one_connection(&server).await;
    let before = server.store();
    let (done, running) = (request("done"), request("running"));
    let lease = acquired(before.reserve(&done).await.unwrap());
    let _ = before.complete(&lease, &outcome(201, 10), Duration::from_mins(1)).await.unwrap();
    acquired(before.reserve(&running).await.unwrap());
    takes_no_writes(&pool).await;

    // Of a process that has not seen the records before.
    let leasing = PostgresStore::new(pool.clone());
    let in_transaction = PostgresStore::new(pool.clone()).in_transaction();
    let another =
        with(done.clone(), |request| request.fingerprint = Fingerprint::of_fields(["another"]));
    for stored in [&done, &another, &running] {
        let reserved = [leasing.reserve(stored).await, in_transaction.reserve(stored).await];
        assert!(
            reserved.iter().all(|reserved| matches!(reserved, Ok(Reservation::Found(_)))),
            "{reserved:?}"
        );
    }
    let rejected = leasing.reserve(&request("new")).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Unavailable);
}

async fn a_lock_uses_up_no_connections(mode: Mode) {
    let seen = crowd(mode, Duration::from_secs(3)).await;
    let most = i64::from(POOL) + 2;
    assert!(seen.table <= most && seen.row <= most, "{seen:?}");
    assert!(seen.longest < BOUND, "{seen:?}");
    assert!(seen.keys > 0);
    assert_eq!(seen.payments, [1], "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_uses_up_no_connections_in_lease_mode() {
    a_lock_uses_up_no_connections(Mode::Lease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_uses_up_no_connections_in_transaction_mode() {
    a_lock_uses_up_no_connections(Mode::Transaction).await;
}
