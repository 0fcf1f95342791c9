//! A pool that is smaller than the crowd.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tower_idempotency::{InFlight, OnOutage, PostgresStore};

use super::script::{Stage, app, ask, asking, layer, persist};
use crate::support::databases::{Base, Pg};
use crate::support::postgres::pool;

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_rejects_in_time_and_goes_on_afterwards() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = PostgresStore::new(pool(base.server.port(), 2)).in_transaction();
    let app = app::<Pg, _>(layer(store).store_timeout(Duration::from_millis(500)), &stage);
    let mut clients = JoinSet::new();
    for client in 0..20 {
        let app = app.clone();
        clients.spawn(async move {
            let key = format!("{client:02}");
            let begun = Instant::now();
            let response = ask(&app, &key, &format!("insert {key}; wait")).await;
            (response, begun.elapsed())
        });
    }
    stage.entered(2).await;
    // Requests that have a connection hold it; all others are rejected.
    for _ in 0..18 {
        let (response, took) = clients.join_next().await.unwrap().unwrap();
        response.is_rejected(503, "idempotency_store_unavailable");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    stage.gate.open();
    for (response, _) in clients.join_all().await {
        response.is_first(201, "attempt 1");
    }
    for client in 0..20 {
        let key = format!("{client:02}");
        assert_eq!(persist(&app, &key, &format!("insert {key}; wait")).await.status, 201);
    }
    assert_eq!((base.orders().await.len(), stage.runs()), (20, 20));
    base.at_rest().await;
}

on_both! {
    a_slow_attempt_does_not_open_the_layer_for_other_keys
    a_duplicate_of_an_attempt_that_has_the_only_connection_is_told_without_one
}

async fn a_slow_attempt_does_not_open_the_layer_for_other_keys<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let layer = layer(base.store_of_one().await)
        .store_timeout(Duration::from_millis(300))
        .on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    let app = app::<B, _>(layer, &stage);
    let slow = asking(&app, "slow", "insert book; wait");
    stage.entered(1).await;
    for _ in 0..2 {
        ask(&app, "other", "insert pen").await.is_rejected(503, "idempotency_store_unavailable");
    }
    assert_eq!(stage.runs(), 1);
    stage.gate.open();
    slow.await.unwrap().is_first(201, "attempt 1");
}

async fn a_duplicate_of_an_attempt_that_has_the_only_connection_is_told_without_one<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let store = base.store_of_one().await;
    let one = app::<B, _>(layer(store.clone()), &stage);
    let waiting = InFlight::Wait(Duration::from_secs(30));
    let other = app::<B, _>(layer(store.clone()).in_flight(waiting), &stage);
    // A key that the process has known before looks like that of a replay.
    ask(&one, "key", "insert pen").await.is_first(201, "attempt 1");
    base.expire().await;

    let first = asking(&one, "key", "insert book; wait");
    stage.entered(1).await;
    let begun = Instant::now();
    for _ in 0..3 {
        ask(&one, "key", "insert book; wait").await.is_in_flight();
        ask(&one, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    }
    // Less than one wait for the connection.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let duplicates: Vec<_> = (0..3).map(|_| asking(&other, "key", "insert book; wait")).collect();
    stage.gate.open();
    let first = first.await.unwrap();
    first.is_first(201, "attempt 1");
    for duplicate in duplicates {
        duplicate.await.unwrap().replays(&first);
    }
    ask(&one, "key", "insert book; wait").await.replays(&first);
    assert_eq!((stage.runs(), base.orders().await), (2, vec!["book".into(), "pen".into()]));
    base.at_rest().await;
}

/// With one connection, a request that took a second one would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_uses_no_more_than_one_connection() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = PostgresStore::new(pool(base.server.port(), 1)).in_transaction();
    let app = app::<Pg, _>(layer(store), &stage);
    for status in [201, 404, 422, 500] {
        let script = format!("insert book; status {status}");
        ask(&app, &status.to_string(), &script).await.is_first(status, "attempt 1");
        assert_eq!(ask(&app, &status.to_string(), &script).await.status, status);
    }
    ask(&app, "ends", "sql COMMIT").await.is_rejected(500, "idempotency_transaction_lost");
    ask(&app, "201", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    base.at_rest().await;
}
