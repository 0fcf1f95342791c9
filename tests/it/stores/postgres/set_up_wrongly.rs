//! What the store says when its pool, its role or its database is the wrong one: enough to correct
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;
use tower_idempotency::store::{Identifier, Store, StoreError, StoreErrorKind};
use tower_idempotency::{IdempotencyLayer, PostgresStore, Scope};

use crate::support::paying::{pay, unavailable};
use crate::support::postgres::{PostgresServer, free_port, request};

const OUTAGE: StoreErrorKind = StoreErrorKind::Unavailable;
const WRONG: StoreErrorKind = StoreErrorKind::Configuration;

/// It says each of these words, without its sources.
#[track_caller]
fn says(error: &StoreError, kind: StoreErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error:?}");
    }
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

async fn run(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(pool).await.unwrap();
}

/// A pool that has not connected yet.
fn lazy(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(3).connect_lazy_with(options)
}

fn options_of(server: &PostgresServer) -> PgConnectOptions {
    server.url().parse().unwrap()
}

fn at(port: u16) -> PgConnectOptions {
    format!("postgres://me:hunter2@127.0.0.1:{port}/shop").parse().unwrap()
}

/// What the first request is told, in both modes.
async fn first(store: &PostgresStore) -> [StoreError; 2] {
    let in_transaction = store.clone().in_transaction();
    [
        store.reserve(&request("first")).await.unwrap_err(),
        in_transaction.reserve(&request("second")).await.unwrap_err(),
    ]
}

async fn checked(store: impl Store) -> Result<(), StoreError> {
    IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).check().await.map(drop)
}

/// What a check says, in both modes.
async fn both_checked(store: &PostgresStore) -> [StoreError; 2] {
    [
        checked(store.clone()).await.unwrap_err(),
        checked(store.clone().in_transaction()).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_right_that_the_role_lacks_is_named_with_the_statement_that_grants_it() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    run(&pool, "CREATE ROLE \"poor one\" LOGIN").await;
    let store = PostgresStore::new(lazy(options_of(&server).username("poor one")));
    for (granted, missing) in [
        ("", "SELECT, INSERT, UPDATE, DELETE"),
        ("SELECT", "INSERT, UPDATE, DELETE"),
        ("SELECT, INSERT", "UPDATE, DELETE"),
        ("SELECT, INSERT, UPDATE", "DELETE"),
    ] {
        if !granted.is_empty() {
            run(&pool, &format!("GRANT {granted} ON idempotency_records TO \"poor one\"")).await;
        }
        let grant = format!("GRANT {missing} ON \"idempotency_records\" TO \"poor one\"");
        let who = "the role \"poor one\" may not use the table \"idempotency_records\"";
        for error in both_checked(&store).await {
            says(&error, WRONG, &[who, &grant]);
        }
        if missing != "DELETE" {
            for error in first(&store).await {
                says(&error, WRONG, &[who, "INSERT, UPDATE"]);
            }
        }
    }
    run(&pool, "GRANT DELETE ON idempotency_records TO \"poor one\"").await;
    checked(store.clone()).await.unwrap();
    checked(store.in_transaction()).await.unwrap();
}

#[tokio::test]
async fn in_transaction_mode_no_handler_runs_whose_response_the_role_may_not_write() {
    let server = PostgresServer::start_migrated();
    run(&server.pool(), "CREATE ROLE poor LOGIN; GRANT SELECT ON idempotency_records TO poor")
        .await;
    let store = PostgresStore::new(lazy(options_of(&server).username("poor"))).in_transaction();
    let runs = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&runs);
    let handler = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        "done"
    };
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    let app = Router::new().route("/", post(handler)).layer(layer);
    assert_eq!(pay(&app, "order-1001", 10).await, unavailable());
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_schema_that_the_role_may_not_use_is_named() {
    let server = PostgresServer::start();
    let pool = server.pool();
    let schema = || Identifier::new("Shop").unwrap();
    server.store().schema(schema()).migrate().await.unwrap();
    run(&pool, "CREATE ROLE poor LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
    let limited = PostgresStore::new(lazy(options_of(&server).username("poor")));
    let with_schema = limited.clone().schema(schema());
    let usage = "GRANT USAGE ON SCHEMA \"Shop\" TO \"poor\"";
    for error in both_checked(&with_schema).await.into_iter().chain(first(&with_schema).await) {
        says(&error, WRONG, &["\"Shop\".\"idempotency_records\"", usage]);
    }
    let missing = "the table \"idempotency_records\" is not found in the database \"postgres\"";
    for error in both_checked(&limited).await.into_iter().chain(first(&limited).await) {
        says(&error, WRONG, &[missing, "`PostgresStore::migrate`", "role \"poor\"", "GRANT USAGE"]);
    }
    let create = "GRANT USAGE, CREATE ON SCHEMA public TO \"poor\"";
    let rejected = limited.migrate().await.unwrap_err();
    says(&rejected, WRONG, &["the role \"poor\" may not make the table", create, "::migration`"]);
    let elsewhere = limited.schema(Identifier::new("elsewhere").unwrap()).in_transaction();
    let rejected = elsewhere.migrate().await.unwrap_err();
    let create = "GRANT CREATE ON DATABASE \"postgres\" TO \"poor\"";
    says(&rejected, WRONG, &["may not make the table \"elsewhere\"", create]);
}

#[tokio::test]
async fn a_database_and_a_role_that_the_server_does_not_know_are_named() {
    let server = PostgresServer::start();
    let place = format!("cannot connect to PostgreSQL at {}:{}", HOST, server.port());
    let store = PostgresStore::new(lazy(options_of(&server).database("nodb")));
    for error in both_checked(&store).await.into_iter().chain(first(&store).await) {
        says(&error, WRONG, &[&place, "the database \"nodb\" does not exist"]);
    }
    let store =
        PostgresStore::new(lazy(options_of(&server).username("nobody").password("hunter2")));
    for error in both_checked(&store).await.into_iter().chain(first(&store).await) {
        says(&error, WRONG, &[&place, "rejects the role \"nobody\" or its password"]);
    }
}

const HOST: &str = "127.0.0.1";

#[tokio::test]
async fn a_lazy_pool_whose_address_is_wrong_does_not_only_blame_the_pool() {
    let port = free_port();
    let store = PostgresStore::new(lazy(at(port))).acquire_timeout(Duration::from_millis(300));
    let place = format!("PostgreSQL at 127.0.0.1:{port} accepts none");
    for error in first(&store).await {
        says(&error, OUTAGE, &[&place, "`max_connections` is 3", "`IdempotencyLayer::check`"]);
    }
    let place = format!("cannot connect to PostgreSQL at 127.0.0.1:{port}");
    says(&checked(store).await.unwrap_err(), OUTAGE, &[&place]);
}

#[tokio::test]
async fn a_server_of_something_else_is_told_from_postgres_by_a_check() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, Router::new()).into_future());
    let place = format!("cannot connect to PostgreSQL at 127.0.0.1:{port}");
    let error = checked(PostgresStore::new(lazy(at(port)))).await.unwrap_err();
    says(&error, WRONG, &[&place, "what listens there speaks another protocol, HTTP"]);
    #[cfg(feature = "redis")]
    {
        let redis = crate::support::redis::RedisServer::start();
        let error = checked(PostgresStore::new(lazy(at(redis.port())))).await.unwrap_err();
        says(&error, WRONG, &["what listens there speaks another protocol, that of Redis"]);
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_an_outage_and_is_named() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            open.push(socket);
        }
    });
    let error = checked(PostgresStore::new(lazy(at(port)))).await.unwrap_err();
    let place =
        format!("cannot connect to PostgreSQL at 127.0.0.1:{port}: it did not reply within");
    says(&error, OUTAGE, &[&place]);
    accepting.abort();
}

#[tokio::test]
async fn tls_that_the_server_does_not_accept_is_told() {
    let server = PostgresServer::start();
    let store = PostgresStore::new(lazy(options_of(&server).ssl_mode(PgSslMode::Require)));
    let words = if cfg!(feature = "postgres-tls-rustls") {
        "the server has none"
    } else {
        "the feature `postgres-tls-rustls`"
    };
    for error in both_checked(&store).await.into_iter().chain(first(&store).await) {
        says(&error, WRONG, &["cannot connect to PostgreSQL at", "`sslmode` asks for TLS", words]);
    }
}

#[tokio::test]
async fn a_store_in_transaction_mode_makes_its_table_and_sweeps_it() {
    let server = PostgresServer::start();
    let store = server.store().in_transaction();
    store.migrate().await.unwrap();
    run(
        &server.pool(),
        "INSERT INTO idempotency_records (key, status, token, fingerprint, attempt, expires_at) \
         VALUES ('\\x00', 'failed', '\\x00', '\\x00', 1, now() - interval '2 hours')",
    )
    .await;
    let sweeping = tokio::spawn(store.sweep_every(Duration::from_hours(1)));
    let swept = async {
        let count = "SELECT count(*) FROM idempotency_records";
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&server.pool()).await.unwrap() > 0 {}
    };
    crate::support::patiently(swept).await;
    sweeping.abort();
}
