//! Handlers and claims that wait for locks of others, on PostgreSQL.

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres};
use tokio::time::{sleep, timeout};
use tower_idempotency::store::Store;
use tower_idempotency::{PostgresStore, Tx};

use super::script::{ask, asking, layer, persist};
use crate::support::databases::{Base, Pg};
use crate::support::patiently;

/// The limit of a handler for one statement.
const LIMIT: Duration = Duration::from_millis(100);

/// Updates the row that is locked, and gives up after the limit; then ends as the body says.
async fn update(mut tx: Tx<Postgres>, then: String) -> (StatusCode, String) {
    let update = sqlx::raw_sql(
        "INSERT INTO orders VALUES ('book'); UPDATE orders SET item = item WHERE item = 'locked'",
    );
    match (timeout(LIMIT, update.execute(&mut *tx)).await, &*then) {
        (Ok(updated), _) => {
            updated.unwrap();
            (StatusCode::CREATED, "updated".to_owned())
        }
        (Err(_), "panic") => panic!("as it was told to"),
        (Err(_), status) => (status.parse().unwrap(), "too late".to_owned()),
    }
}

fn app(store: impl Store) -> Router {
    Router::new().route("/", post(update)).layer(layer(store))
}

/// Locks a row until it is dropped or committed.
async fn lock(base: &Pg) -> PgConnection {
    let mut holder = base.connect().await;
    holder.execute("INSERT INTO orders VALUES ('locked')").await.unwrap();
    holder.execute("BEGIN; SELECT FROM orders WHERE item = 'locked' FOR UPDATE").await.unwrap();
    holder
}

const WAITING: &str = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread")]
async fn a_504_from_a_handler_whose_statement_waits_for_a_lock_rolls_back_and_frees_the_key() {
    let base = Pg::start().await;
    let app = app(base.tx_store());
    let mut holder = lock(&base).await;
    for _ in 0..2 {
        let late = ask(&app, "key", "504").await;
        assert_eq!((late.status, &*late.text), (504, "too late"));
        // At once, and not when the lock is given back.
        assert_eq!(base.records().await, ["failed"]);
        base.until(WAITING, 0).await;
    }
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(ask(&app, "key", "504").await.status, 201);
    assert_eq!(base.orders().await, ["book", "locked"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_whose_statement_waits_for_a_lock_rolls_back_and_frees_the_key() {
    let base = Pg::start().await;
    let app = app(base.tx_store());
    let mut holder = lock(&base).await;
    assert!(asking(&app, "key", "panic").await.unwrap_err().is_panic());
    assert_eq!(base.records().await, ["failed"]);
    base.until(WAITING, 0).await;
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(ask(&app, "key", "panic").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_comes_before_the_statement_has_ended_is_not_committed() {
    let base = Pg::start().await;
    let router = |timeout| {
        Router::new().route("/", post(update)).layer(layer(base.tx_store()).store_timeout(timeout))
    };
    let app = router(Duration::from_millis(500));
    let mut holder = lock(&base).await;
    ask(&app, "key", "200").await.is_rejected(503, "idempotency_commit_unconfirmed");
    // Nothing can come of it any more.
    base.until(WAITING, 0).await;
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(persist(&router(Duration::from_secs(10)), "key", "200").await.text, "updated");
    assert_eq!(base.orders().await, ["book", "locked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_meets_no_statement_of_others() {
    let base = Pg::start().await;
    let pool = PgPoolOptions::new().max_connections(3).connect(&base.server.url()).await.unwrap();
    let app = app(PostgresStore::new(pool.clone()).in_transaction());
    let _holder = lock(&base).await;
    let late = tokio::spawn(async move {
        for number in 0..12 {
            let [one, other] =
                [0, 1].map(|client| asking(&app, &format!("{number}-{client}"), "504"));
            assert_eq!((one.await.unwrap().status, other.await.unwrap().status), (504, 504));
        }
    });
    let mut others = 0;
    while !late.is_finished() {
        sqlx::raw_sql("SELECT pg_sleep(0.002)").execute(&pool).await.unwrap();
        others += 1;
    }
    patiently(late).await.unwrap();
    assert!(others > 12, "{others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_connection_left_for_the_cancellation_it_is_made_up_for() {
    let base = Pg::start_with(&["max_connections=6", "superuser_reserved_connections=0"]).await;
    let pool = PgPoolOptions::new().max_connections(2).connect(&base.server.url()).await.unwrap();
    let app = app(PostgresStore::new(pool.clone()).in_transaction());
    let mut holder = lock(&base).await;
    let first = asking(&app, "key", "504");
    base.until(WAITING, 1).await;
    let mut crowd = Vec::new();
    while let Ok(connection) = PgConnection::connect(&base.server.url()).await {
        crowd.push(connection);
    }
    sleep(Duration::from_millis(600)).await;
    assert!(!first.is_finished(), "the lock is held, and the server is full");
    drop(crowd);
    assert_eq!(patiently(first).await.unwrap().status, 504);
    assert_eq!(base.records().await, ["failed"]);
    holder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_for_a_locked_table_ends_by_itself_and_its_connection_is_used_again() {
    let base = Pg::start().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&base.server.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone()).in_transaction();
    let app = Router::new()
        .route("/", post(update))
        .layer(layer(store).store_timeout(Duration::from_secs(2)));
    let backend = || async {
        sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&pool).await.unwrap()
    };
    let before = backend().await;
    let mut holder = base.connect().await;
    holder.execute("BEGIN; LOCK TABLE idempotency_records").await.unwrap();
    ask(&app, "key", "504").await.is_rejected(503, "idempotency_store_unavailable");
    base.until(WAITING, 0).await;
    assert_eq!(backend().await, before, "while the table is locked");
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(ask(&app, "key", "504").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_with_the_lock_timeout_of_its_own_session() {
    async fn tell(mut tx: Tx<Postgres>) -> String {
        sqlx::query_scalar("SELECT current_setting('lock_timeout')")
            .fetch_one(&mut *tx)
            .await
            .unwrap()
    }
    let base = Pg::start().await;
    let options = || base.server.url().parse::<PgConnectOptions>().unwrap();
    for (options, told) in [(options(), "0"), (options().options([("lock_timeout", "7s")]), "7s")] {
        let pool = PgPool::connect_lazy_with(options);
        let app = Router::new()
            .route("/", post(tell))
            .layer(layer(PostgresStore::new(pool.clone()).in_transaction()));
        assert_eq!(ask(&app, told, "").await.text, told);
        let after: String = sqlx::query_scalar("SELECT current_setting('lock_timeout')")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(after, told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_in_time_is_not_cancelled_however_long_its_statement_took() {
    async fn slow(mut tx: Tx<Postgres>) -> &'static str {
        sqlx::raw_sql("SELECT pg_sleep(0.6); INSERT INTO orders VALUES ('book')")
            .execute(&mut *tx)
            .await
            .unwrap();
        "slow"
    }
    let base = Pg::start().await;
    let app = Router::new().route("/", post(slow)).layer(layer(base.tx_store()));
    let start = Instant::now();
    assert_eq!(ask(&app, "key", "").await.text, "slow");
    assert!(start.elapsed() >= Duration::from_millis(600));
    assert_eq!(base.orders().await, ["book"]);
}
