//! The space of the records in PostgreSQL, and the number of updates within a page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPoolOptions;
use tower_idempotency::PostgresStore;
use tower_idempotency::store::Store;

use crate::postgres::{PostgresServer, acquired, outcome, request};

const WORKERS: u32 = 16;
const BODY: usize = 200;

/// Arguments: the number of records, and the fill factor of the table. Default: 96,000, and the
/// fill factor of the migration.
pub(crate) async fn run(arguments: &[&str]) {
    let records =
        arguments.first().map_or(96_000, |records| records.parse().expect("a number of records"));
    let server =
        PostgresServer::start_with(&["fsync=on", "synchronous_commit=off", "shared_buffers=256MB"]);
    let options = PgPoolOptions::new().max_connections(WORKERS).test_before_acquire(false);
    let pool = options.connect(&server.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let beside = server.pool();
    if let Some(factor) = arguments.get(1) {
        let set = format!("ALTER TABLE idempotency_records SET (fillfactor = {factor})");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&beside).await.unwrap();
    }
    let next = Arc::new(AtomicU64::new(0));
    let workers =
        (0..WORKERS).map(|_| tokio::spawn(work(store.clone(), Arc::clone(&next), records)));
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    // A connection reports its statistics when it ends.
    pool.close().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let figures =
        "SELECT n_tup_upd, n_tup_hot_upd, n_dead_tup, pg_relation_size('idempotency_records_pkey'),
            pg_relation_size('idempotency_records_expires_at'), pg_table_size('idempotency_records')
        FROM pg_stat_user_tables WHERE relname = 'idempotency_records'";
    let (updated, hot, dead, key, expires, heap): (i64, i64, i64, i64, i64, i64) =
        sqlx::query_as(figures).fetch_one(&beside).await.unwrap();
    let each = |bytes: i64| bytes / i64::try_from(records).unwrap();
    println!(
        "{:>9} {:>7} {:>10} {:>14} {:>14} {:>13} {:>22}",
        "records",
        "HOT %",
        "dead rows",
        "key B/row",
        "expires B/row",
        "indexes B/row",
        "table B/row, body 200 B"
    );
    println!(
        "{records:>9} {:>7} {dead:>10} {:>14} {:>14} {:>13} {:>22}",
        format!("{}.{}", hot * 100 / updated, hot * 1000 / updated % 10),
        each(key),
        each(expires),
        each(key + expires),
        each(heap)
    );
}

async fn work(store: PostgresStore, next: Arc<AtomicU64>, records: u64) {
    let retention = Duration::from_hours(24);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= records {
            return;
        }
        let request = request(&number.to_string()).retention(retention);
        let lease = acquired(store.reserve(&request).await.unwrap());
        let _ = store.complete(&lease, &outcome(201, BODY), retention).await.unwrap();
    }
}
