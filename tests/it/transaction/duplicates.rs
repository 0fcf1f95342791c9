//! The same request again, while the first one runs: in the same process, and in another one.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::{InFlight, PostgresStore};

use super::script::{ScriptResponse, Stage, app, ask, asking, layer, persist};
use crate::support::databases::{Base, Pg};
use crate::support::postgres::pool;
use crate::support::wire::Wire;

on_both! {
    a_duplicate_in_flight_is_rejected_and_another_request_is_a_mismatch
    a_duplicate_that_waits_gets_the_response
    of_many_duplicates_through_two_stores_one_runs
    retries_that_come_at_once_to_a_process_that_has_not_seen_the_key_are_all_replays
}

async fn a_duplicate_in_flight_is_rejected_and_another_request_is_a_mismatch<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let first = asking(&app, "key", "insert book; wait");
    stage.entered(1).await;
    for _ in 0..3 {
        ask(&app, "key", "insert book; wait").await.is_in_flight();
        ask(&app, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    }
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    stage.gate.open();
    first.await.unwrap().is_first(201, "attempt 1");
    assert_eq!((stage.runs(), base.orders().await), (1, vec!["book".into()]));
    base.at_rest().await;
}

/// PostgreSQL only. SQLite has one writer at a time, and its writes are invisible. A request from
/// another process waits meanwhile, and is told that the store is unavailable.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_rejects_a_duplicate_in_flight_and_knows_another_request() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let one = app::<Pg, _>(layer(base.store().await), &stage);
    let other = app::<Pg, _>(layer(base.store().await), &stage);
    let first = asking(&one, "key", "insert book; wait");
    stage.entered(1).await;
    for _ in 0..3 {
        ask(&other, "key", "insert book; wait").await.is_in_flight();
        ask(&other, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    }
    stage.gate.open();
    let first = first.await.unwrap();
    ask(&other, "key", "insert book; wait").await.replays(&first);
    base.at_rest().await;
}

async fn a_duplicate_that_waits_gets_the_response<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let waiting = || InFlight::Wait(Duration::from_secs(30));
    let one = app::<B, _>(layer(base.store().await).in_flight(waiting()), &stage);
    let first = asking(&one, "key", "insert book; wait");
    stage.entered(1).await;
    let duplicates: Vec<_> = (0..5).map(|_| asking(&one, "key", "insert book; wait")).collect();
    ask(&one, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    stage.gate.open();
    let first = first.await.unwrap();
    first.is_first(201, "attempt 1");
    for duplicate in duplicates {
        duplicate.await.unwrap().replays(&first);
    }
    assert_eq!((stage.runs(), base.orders().await), (1, vec!["book".into()]));
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_that_waits_in_another_process_gets_the_response() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let one = app::<Pg, _>(layer(base.store().await), &stage);
    let waiting = InFlight::Wait(Duration::from_secs(30));
    let other = app::<Pg, _>(layer(base.store().await).in_flight(waiting), &stage);
    let first = asking(&one, "key", "insert book; wait");
    stage.entered(1).await;
    let duplicates: Vec<_> = (0..5).map(|_| asking(&other, "key", "insert book; wait")).collect();
    ask(&other, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    stage.gate.open();
    let first = first.await.unwrap();
    for duplicate in duplicates {
        duplicate.await.unwrap().replays(&first);
    }
    assert_eq!(stage.runs(), 1);
}

async fn all_at_once(apps: &[axum::Router], requests: usize) -> Vec<ScriptResponse> {
    let mut clients = JoinSet::new();
    for client in 0..requests {
        let app = apps[client % apps.len()].clone();
        clients.spawn(async move { ask(&app, "key", "insert book").await });
    }
    clients.join_all().await
}

async fn of_many_duplicates_through_two_stores_one_runs<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let apps = [
        app::<B, _>(layer(base.store().await), &stage),
        app::<B, _>(layer(base.store().await), &stage),
    ];
    let responses = all_at_once(&apps, 200).await;
    for response in &responses {
        match response.status {
            201 => assert_eq!(response.text, "attempt 1"),
            503 => response.is_rejected(503, "idempotency_store_unavailable"),
            _ => response.is_in_flight(),
        }
    }
    let firsts = responses.iter().filter(|response| response.status == 201 && !response.is_replay);
    assert_eq!((firsts.count(), stage.runs()), (1, 1));
    assert_eq!(base.orders().await, ["book"]);
    for app in &apps {
        assert!(ask(app, "key", "insert book").await.is_replay);
    }
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_duplicates_in_snapshots_one_is_committed() {
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let (base, stage) = (Pg::start().await, Stage::new());
        let app = async || app::<Pg, _>(layer(base.tx_store().isolation(isolation)), &stage);
        let apps = [app().await, app().await];
        let responses = all_at_once(&apps, 200).await;
        for response in responses.iter().filter(|response| response.status != 201) {
            response.is_in_flight();
        }
        assert_eq!(
            responses
                .iter()
                .filter(|response| response.status == 201 && !response.is_replay)
                .count(),
            1
        );
        assert!(persist(&apps[1], "key", "insert book").await.is_replay);
        assert_eq!(
            (base.orders().await, base.records().await),
            (vec!["book".into()], vec!["success".to_owned()])
        );
        base.at_rest().await;
    }
}

async fn retries_that_come_at_once_to_a_process_that_has_not_seen_the_key_are_all_replays<
    B: Base,
>() {
    let (base, stage) = (B::start().await, Stage::new());
    let first = ask(&app::<B, _>(layer(base.store().await), &stage), "key", "insert book").await;
    for _ in 0..10 {
        let fresh = app::<B, _>(layer(base.store().await), &stage);
        for response in all_at_once(&[fresh], 8).await {
            response.replays(&first);
        }
    }
    assert_eq!(stage.runs(), 1);
    base.at_rest().await;
}

/// The process itself knows enough to reject them.
#[tokio::test(flavor = "multi_thread")]
async fn duplicates_of_a_running_request_ask_the_database_nothing() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let wire = Wire::start(base.server.port()).await;
    let store = PostgresStore::new(pool(wire.port(), 20)).in_transaction();
    let app = app::<Pg, _>(layer(store), &stage);
    let first = asking(&app, "key", "insert book; wait");
    stage.entered(1).await;
    let before = wire.seen().requests;
    assert!(before > 0);
    let mut clients = JoinSet::new();
    for _ in 0..500 {
        let app = app.clone();
        clients.spawn(async move { ask(&app, "key", "insert book; wait").await });
    }
    for response in clients.join_all().await {
        response.is_in_flight();
    }
    assert_eq!(wire.seen().requests, before);
    stage.gate.open();
    first.await.unwrap().is_first(201, "attempt 1");
    assert_eq!((stage.runs(), base.orders().await), (1, vec!["book".into()]));
}

/// Two requests that are the same, in two processes, race for their key while it is freed again and
/// again. Neither is ever told that the other is another request.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_race_for_a_key_are_never_told_of_another_request() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let app = app::<Pg, _>(layer(base.store().await), &stage);
        let status = ["422", "500"][client % 2];
        clients.spawn(async move {
            for _ in 0..60 {
                let response = ask(&app, status, &format!("insert book; status {status}")).await;
                if response.status == 409 {
                    response.is_in_flight();
                }
            }
        });
    }
    clients.join_all().await;
    assert!(base.orders().await.is_empty());
    base.at_rest().await;
}

/// A request that only looks locks the key for a moment, and releases it before its client has the
/// response.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_leaves_the_key_to_the_next_process_at_once() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let one = app::<Pg, _>(layer(base.store().await), &stage);
    ask(&one, "key", "insert book; status 500").await.is_first(500, "attempt 1");
    for attempt in 2..40 {
        let other = app::<Pg, _>(layer(base.store().await), &stage);
        ask(&other, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
        let next = ask(&one, "key", "insert book; status 500").await;
        next.is_first(500, &format!("attempt {attempt} after Failed {{ status: Some(500) }}"));
    }
}
