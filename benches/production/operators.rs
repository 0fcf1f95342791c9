//! How long an operator waits for a list of what is stuck, and what the index for it costs:
//! `operators [RECORDS] [EXECUTIONS]`.
//!
//! Of ten thousand records, one failed, was abandoned, was not retained or runs. The others
//! succeeded. Then EXECUTIONS first executions come, without a vacuum. Each leaves dead entries in
//! the index, and the first list after them reads them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tower_idempotency::PostgresStore;
use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};
use tower_idempotency::store::{RecordLabel, Store};

use crate::postgres::{PostgresServer, acquired, outcome, request};

const WORKERS: usize = 16;

/// The responses have 192 bytes. `$1` is the number of records.
const FILL: &str = "
    INSERT INTO idempotency_records (
      key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at,
      response_status, response_headers, response_body, response_missing, namespace, route, scope
    )
    SELECT
      sha256(int8send(n)), CASE k WHEN 0 THEN 'failed' WHEN 1 THEN 'pending' WHEN 2 THEN 'pending' ELSE 'success' END,
      1, substr(sha256(int8send(-n)), 1, 16), substr(sha256(int8send(n + 1)) || '\\x01', 1, 33),
      CASE k WHEN 1 THEN now() - interval '1 hour' WHEN 2 THEN now() + interval '1 day' END,
      at, at + interval '200 ms', now() + interval '10 days' + n * interval '1 ms',
      CASE WHEN k IN (1, 2) THEN NULL WHEN k = 0 THEN 502 ELSE 201 END,
      CASE WHEN k NOT IN (1, 2) THEN convert_to(E'content-type: application/json\\n', 'UTF8') END,
      CASE k WHEN -1 THEN convert_to(repeat(md5(n::text), 6), 'UTF8') END,
      CASE k WHEN 0 THEN 'failure' WHEN 3 THEN 'too large' END,
      'payments', CASE n % 40000 WHEN 0 THEN 'POST /payments/{id}/refunds' ELSE 'POST /payments' END,
      substr(sha256(int8send(n % 1000)), 1, 16)
    FROM (
      SELECT n, CASE n % 10000 WHEN 0 THEN n / 10000 % 4 ELSE -1 END AS k, now() - interval '1 day' + n * interval '8 ms' AS at
      FROM generate_series(1, $1::bigint) AS n
    ) AS records";

/// Arguments: the number of records, and of executions. Default: 1,000,000 and 100,000.
pub(crate) async fn run(arguments: &[&str]) {
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |number| number.parse().expect("a number"))
    };
    let (records, executions) = (number(0, 1_000_000), number(1, 100_000));
    let server = PostgresServer::start_with(&[
        "fsync=on",
        "synchronous_commit=off",
        "shared_buffers=1GB",
        "max_wal_size=4GB",
    ]);
    let options = PgPoolOptions::new().max_connections(16).test_before_acquire(false);
    let pool = options.connect(&server.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let fill = sqlx::query(FILL).bind(i64::try_from(records).unwrap());
    fill.execute(&pool).await.unwrap();
    tell(&pool, "VACUUM ANALYZE idempotency_records").await;

    println!("{records} records, {:.1} GB", gigabytes(&pool).await);
    println!("{:46} {:>10} {:>10} {:>10}", "ms", "list", "of a route", "stats");
    lists(&store, "without the index").await;
    let begun = Instant::now();
    store.clone().operator_index().migrate().await.unwrap();
    let made = begun.elapsed();
    lists(&store, "with it").await;
    execute(&store, executions).await;
    lists(&store, &format!("after {executions} executions")).await;
    lists(&store, "the same lists again").await;
    let begun = Instant::now();
    tell(&pool, "VACUUM idempotency_records").await;
    let swept = begun.elapsed();
    lists(&store, "after a vacuum").await;
    println!("the index was made in {made:.1?}, and the vacuum took {swept:.1?}");
}

async fn tell(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn gigabytes(pool: &PgPool) -> f64 {
    let size = "SELECT pg_table_size('idempotency_records') / 1e9::float8";
    sqlx::query_scalar(size).fetch_one(pool).await.unwrap()
}

/// The page of a route is the last one that it has, so all that is stuck is read.
async fn lists(store: &PostgresStore, when: &str) {
    let stuck = ListFilter::new().state(StateFilter::Stuck);
    let of_route = stuck.clone().route("POST /payments/{id}/refunds".to_owned());
    let mut millis = Vec::new();
    for filter in [stuck, of_route] {
        let begun = Instant::now();
        let page = store.list(&ListRequest::new(filter)).await.unwrap();
        millis.push(begun.elapsed());
        assert!(!page.records.is_empty());
    }
    let begun = Instant::now();
    store.stats(None).await.unwrap();
    millis.push(begun.elapsed());
    let cell = |time: &Duration| format!("{:>10.1}", time.as_secs_f64() * 1000.0);
    println!("{when:46} {}", millis.iter().map(cell).collect::<Vec<_>>().join(" "));
}

async fn execute(store: &PostgresStore, executions: usize) {
    let label = Arc::new(RecordLabel::new("payments", "POST /payments"));
    let workers = (0..WORKERS).map(|worker| {
        let (store, label) = (store.clone(), Arc::clone(&label));
        tokio::spawn(async move {
            for number in (worker..executions).step_by(WORKERS) {
                let request = request(&format!("key-{number}")).label(Arc::clone(&label));
                let retention = Duration::from_hours(24);
                let lease = acquired(store.reserve(&request.retention(retention)).await.unwrap());
                let _ = store.complete(&lease, &outcome(201, 200), retention).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}
