//! A database that stops, ends, or is cut off in the middle of an attempt.

use std::time::Duration;

use sqlx::Executor;
use tokio::task::JoinSet;
use tower_idempotency::PostgresStore;

use super::script::{Stage, app, ask, asking, layer, persist};
use crate::support::databases::{Base, Pg};
use crate::support::postgres::pool;
use crate::support::wire::{State, Way, Wire};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_given_up_leaves_no_transaction_and_the_key_free() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = PostgresStore::new(pool(base.server.port(), 4)).in_transaction();
    let app = app::<Pg, _>(layer(store).store_timeout(SHORT), &stage);
    assert_eq!(persist(&app, "before", "insert before").await.status, 201);
    base.server.stop();
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let app = app.clone();
        clients.spawn(async move { ask(&app, &client.to_string(), "insert book").await });
    }
    for response in clients.join_all().await {
        response.is_rejected(503, "idempotency_store_unavailable");
    }
    base.server.resume();
    for client in 0..4 {
        assert_eq!(persist(&app, &client.to_string(), "insert book").await.status, 201);
    }
    assert_eq!(stage.runs(), 5);
    base.at_rest().await;
}

/// However much of a reservation got through, and however much of its reply is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_whose_reply_is_lost_leaves_no_transaction_and_the_key_free() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let wire = Wire::start(base.server.port()).await;
    let store = PostgresStore::new(pool(wire.port(), 4)).in_transaction();
    let app = app::<Pg, _>(layer(store).store_timeout(SHORT), &stage);
    for (round, way) in [Way::Lose, Way::Sever, Way::Hold].into_iter().enumerate() {
        let key = round.to_string();
        assert_eq!(
            persist(&app, &format!("before {round}").replace(' ', "-"), "insert pen").await.status,
            201
        );
        wire.set(State::Open { requests: Way::Pass, replies: way });
        let rejected = ask(&app, &key, "insert book").await;
        rejected.is_rejected(503, "idempotency_store_unavailable");
        wire.set(State::FINE);
        assert_eq!(persist(&app, &key, "insert book").await.text, "attempt 1");
    }
    base.at_rest().await;
    assert_eq!((base.orders().await.len(), stage.runs()), (6, 6));
}

/// The commit waits for a trigger, which waits for the test.
async fn slow_commit(base: &Pg) -> sqlx::PgConnection {
    let mut holder = base.connect().await;
    let trigger = "
        CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON orders
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold();
        SELECT pg_advisory_lock(1)";
    holder.execute(trigger).await.unwrap();
    holder
}

const COMMITTING: &str = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_is_unconfirmed_and_its_retry_gets_the_response() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let wire = Wire::start(base.server.port()).await;
    let app =
        app::<Pg, _>(layer(PostgresStore::new(pool(wire.port(), 4)).in_transaction()), &stage);
    let mut holder = slow_commit(&base).await;
    let first = asking(&app, "key", "insert book");
    base.until(COMMITTING, 1).await;
    wire.set(State::Open { requests: Way::Pass, replies: Way::Sever });
    holder.execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    first.await.unwrap().is_rejected(503, "idempotency_commit_unconfirmed");
    wire.set(State::FINE);
    let retry = persist(&app, "key", "insert book").await;
    assert_eq!((retry.status, &*retry.text, retry.is_replay), (201, "attempt 1", true));
    assert_eq!((base.orders().await, stage.runs()), (vec!["book".into()], 1));
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_takes_too_long_is_unconfirmed_and_its_key_is_in_flight_until_it_is_over() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.tx_store()).store_timeout(Duration::from_secs(1)), &stage);
    let mut holder = slow_commit(&base).await;
    ask(&app, "key", "insert book").await.is_rejected(503, "idempotency_commit_unconfirmed");
    ask(&app, "key", "insert book").await.is_in_flight();
    holder.execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    let retry = persist(&app, "key", "insert book").await;
    assert_eq!((retry.status, retry.is_replay, stage.runs()), (201, true, 1));
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_handlers_run_has_each_row_once_in_the_end() {
    let (mut base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.tx_store()), &stage);
    let keys: Vec<_> = (0..10).map(|client| format!("order-{client}")).collect();
    let clients: Vec<_> = keys
        .iter()
        .map(|key| asking(&app, key, &format!("insert {key}; wait; insert {key}")))
        .collect();
    stage.entered(10).await;
    base.server.kill();
    stage.gate.open();
    for client in clients {
        let response = client.await.unwrap();
        assert!([500, 503].contains(&response.status), "{response:?}");
    }
    base.server.restart();
    assert!(base.orders().await.is_empty());
    for key in &keys {
        let script = format!("insert {key}; wait; insert {key}");
        let response = persist(&app, key, &script).await;
        assert_eq!((response.status, &*response.text), (201, "attempt 1"));
    }
    assert_eq!((base.orders().await.len(), base.records().await.len()), (20, 10));
    base.at_rest().await;
}
