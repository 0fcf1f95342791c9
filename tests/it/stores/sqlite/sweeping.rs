//! Expired records are deleted, and no others.

use std::time::Duration;

use tower_idempotency::SqliteStore;
use tower_idempotency::store::Store;

use super::given::{File, RETENTION, outcome, reserve, writing};
use crate::support::patiently;

/// As many records as named that have expired, and one that has not.
async fn filled(file: &File, expired: usize) -> SqliteStore {
    let store = file.open().await;
    let lease = reserve(&store, "live").await;
    let _ = store.complete(&lease, &outcome(10_000), RETENTION).await.unwrap();
    add_expired(file, expired).await;
    store
}

async fn add_expired(file: &File, count: usize) {
    // Far enough in the past that no clock matters.
    file.run(&format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
         INSERT INTO idempotency_records
             (key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at)
         SELECT randomblob(32), 'pending', 1, randomblob(16), randomblob(33), '2001-01-01 00:00:00.000',
                '2001-01-01 00:00:00.000', '2001-01-01 00:00:00.000', '2002-01-01 00:00:00.000'
         FROM number"
    ))
    .await;
}

#[tokio::test]
async fn a_sweep_takes_what_has_expired_in_batches_and_nothing_else() {
    let file = File::new();
    let store = filled(&file, 25).await;
    let pending = reserve(&store, "pending").await;
    for (swept, left) in [(10, 17), (10, 7), (5, 2), (0, 2)] {
        assert_eq!(store.sweep(10).await.unwrap(), swept);
        assert_eq!(file.size().await, left);
    }
    assert!(store.inspect(&pending.key).await.unwrap().is_some());
    assert_eq!(store.sweep(0).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sweepers_take_each_record_once() {
    let file = File::new();
    filled(&file, 300).await;
    let mut sweeps = Vec::new();
    for _ in 0..10 {
        let store = file.open().await;
        sweeps.push(tokio::spawn(async move {
            let mut swept = 0;
            loop {
                match store.sweep(7).await.unwrap() {
                    0 => return swept,
                    some => swept += some,
                }
            }
        }));
    }
    let mut swept = 0;
    for sweep in sweeps {
        swept += sweep.await.unwrap();
    }
    assert_eq!((swept, file.size().await), (300, 1));
}

#[tokio::test]
async fn the_sweeper_goes_on_sweeping_also_after_an_error() {
    let file = File::new();
    let store = filled(&file, 1200).await;
    let writer = writing(&file).await;
    let sweeper = tokio::spawn(store.sweep_every(Duration::from_millis(20)));
    // They queue for one connection: by the time that two of these have given up, the sweeper has
    // too.
    for _ in 0..2 {
        assert!(store.sweep(1).await.is_err());
    }
    drop(writer);
    patiently(async { while file.size().await > 1 {} }).await;
    add_expired(&file, 3).await;
    patiently(async { while file.size().await > 1 {} }).await;
    assert!(!sweeper.is_finished());
    sweeper.abort();
}
