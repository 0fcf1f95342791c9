//! The same on SQLite: how long a list takes, and the first executions per second with the index
//! and without it. `operators_lite [RECORDS]`.

use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tower_idempotency::SqliteStore;
use tower_idempotency::store::Store;
use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};

use crate::postgres::{acquired, outcome, request};

const WORKERS: usize = 16;
const EXECUTIONS: usize = 2_000;
const ROUNDS: usize = 7;

/// Argument: the number of records. Default: 1,000,000.
pub(crate) async fn run(arguments: &[&str]) {
    let records = arguments.first().map_or(1_000_000, |number| number.parse().expect("a number"));
    let directory = tempfile::tempdir().unwrap();
    let mut stores = Vec::new();
    for name in ["plain.db", "indexed.db"] {
        let path = directory.path().join(name);
        let store = SqliteStore::open(&path).await.unwrap();
        fill(&path, records).await;
        stores.push(store);
    }
    stores[1] = stores[1].clone().operator_index();
    stores[1].migrate().await.unwrap();
    let mut rates = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        for (store, rates) in stores.iter().zip(&mut rates) {
            rates.push(execute(store, round).await);
        }
    }
    let mut ratios: Vec<_> =
        rates[0].iter().zip(&rates[1]).map(|(plain, indexed)| indexed / plain).collect();
    ratios.sort_by(f64::total_cmp);
    println!("{records} records; {:14} {:>10} {:>10}", "", "per second", "list ms");
    for ((name, store), rates) in ["plain", "indexed"].into_iter().zip(&stores).zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let begun = Instant::now();
        let stuck = ListFilter::new().state(StateFilter::Stuck);
        assert!(!store.list(&ListRequest::new(stuck)).await.unwrap().records.is_empty());
        let millis = begun.elapsed().as_secs_f64() * 1000.0;
        println!("{name:32} {:>10.0} {millis:>10.1}", rates[ROUNDS / 2]);
    }
    println!(
        "indexed, of plain: {:.2} ({:.2} to {:.2})",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

async fn fill(path: &std::path::Path, records: u64) {
    let fill = format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {records})
         INSERT INTO idempotency_records (
             key, status, attempt, token, fingerprint, created_at, updated_at, expires_at, response_status,
             response_headers, response_body
         )
         SELECT randomblob(32), CASE n % 10000 WHEN 0 THEN 'failed' ELSE 'success' END, 1, randomblob(16),
                randomblob(33), datetime('now', '-1 day', 'subsec'), datetime('now', '-1 day', 'subsec'),
                '9999-12-31 23:59:59.999', 201, CAST('content-type: application/json' || char(10) AS BLOB),
                randomblob(192)
         FROM number"
    );
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    connection.execute(AssertSqlSafe(fill)).await.unwrap();
}

/// First executions per second.
async fn execute(store: &SqliteStore, round: usize) -> f64 {
    let begun = Instant::now();
    let workers = (0..WORKERS).map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in (worker..EXECUTIONS).step_by(WORKERS) {
                let request = request(&format!("key-{round}-{number}"));
                let lease = acquired(store.reserve(&request).await.unwrap());
                let retention = Duration::from_hours(24);
                let _ = store.complete(&lease, &outcome(201, 200), retention).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    f64::from(u32::try_from(EXECUTIONS).unwrap()) / begun.elapsed().as_secs_f64()
}
