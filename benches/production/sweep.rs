//! The time that the sweepers take for expired records. In PostgreSQL a snapshot is open meanwhile.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use tower_idempotency::{PostgresStore, SqliteStore};

use crate::postgres::PostgresServer;

/// The batch size of the sweepers.
const BATCH: u32 = 500;

/// Argument: the number of records. Default: 1,000,000.
pub(crate) async fn run(arguments: &[&str]) {
    let records = arguments
        .first()
        .map_or(1_000_000, |records| records.parse().expect("a number of records"));
    println!(
        "{:34} {:>8} {:>18} {:>18} {:>9}",
        "", "batches", "first 10, ms each", "last 10, ms each", "total s"
    );
    row("PostgreSQL, open snapshot", &postgres(records).await);
    row("SQLite", &sqlite(records).await);
}

/// Prints the durations of the batches from their start times. The last time is the end.
fn row(name: &str, moments: &[Instant]) {
    let batches = moments.len() - 1;
    let each = |from: usize, to: usize| (moments[to] - moments[from]).as_secs_f64() * 1000.0 / 10.0;
    println!(
        "{name:34} {batches:>8} {:>18.1} {:>18.1} {:>9.1}",
        each(0, 10),
        each(batches - 10, batches),
        (moments[batches] - moments[0]).as_secs_f64()
    );
}

async fn postgres(records: u32) -> Vec<Instant> {
    let server =
        PostgresServer::start_with(&["fsync=on", "synchronous_commit=on", "shared_buffers=512MB"]);
    let beside = server.pool();
    server.store().migrate().await.unwrap();
    let fill = "INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, expires_at, response_status, \
                response_headers, response_body)
        SELECT decode(md5(n::text) || md5((-n)::text), 'hex'), 'success', 1, decode(md5(n::text), 'hex'), \
               decode(md5(n::text) || md5(n::text) || '00', 'hex'), now() - interval '1 day' + n * interval '1 ms', \
               201, '', convert_to(repeat('x', 100), 'UTF8')
        FROM generate_series(1, $1) AS n";
    sqlx::query(fill).bind(i64::from(records)).execute(&beside).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE idempotency_records").execute(&beside).await.unwrap();
    let mut snapshot = beside.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    sqlx::raw_sql("SELECT count(*) FROM idempotency_records")
        .execute(&mut *snapshot)
        .await
        .unwrap();

    // Each batch acquires the connection from the pool once.
    let moments = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&moments);
    let options = PgPoolOptions::new().max_connections(1).before_acquire(move |_, _| {
        taken.lock().unwrap().push(Instant::now());
        Box::pin(async { Ok(true) })
    });
    let pool = options.connect(&server.url()).await.unwrap();
    // The time to connect is not included.
    drop(pool.acquire().await.unwrap());
    moments.lock().unwrap().clear();
    let sweeper = tokio::spawn(PostgresStore::new(pool).sweep_every(Duration::from_hours(1)));
    // The last batch finds no rows.
    let all = usize::try_from(records.div_ceil(BATCH)).unwrap() + 1;
    while moments.lock().unwrap().len() < all {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sweeper.abort();
    moments.lock().unwrap().clone()
}

async fn sqlite(records: u32) -> Vec<Instant> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("idempotency.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let pool =
        SqlitePoolOptions::new().connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let fill = "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < ?1)
        INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, created_at, updated_at, expires_at, \
            response_status, response_headers, response_body)
        SELECT randomblob(32), 'success', 1, randomblob(16), randomblob(33), at, at, at, 201, x'', zeroblob(100)
        FROM (SELECT datetime('now', '-1 day', 'subsec', (n / 1000.0) || ' seconds') AS at FROM series)";
    sqlx::query(fill).bind(records).execute(&pool).await.unwrap();
    pool.close().await;
    let mut moments = vec![Instant::now()];
    while store.sweep(BATCH).await.unwrap() > 0 {
        moments.push(Instant::now());
    }
    moments
}
