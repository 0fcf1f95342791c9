//! A pool that is smaller than the crowd.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tower_idempotency::PostgresStore;

use super::given::{Base, Pg};
use super::script::{Stage, app, ask, layer, persist};
use crate::support::postgres::pool;

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_refuses_in_time_and_goes_on_afterwards() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = PostgresStore::new(pool(base.server.port(), 2)).in_transaction();
    let app = app::<Pg, _>(layer(store).store_timeout(Duration::from_millis(500)), &stage);
    let mut clients = JoinSet::new();
    for client in 0..20 {
        let app = app.clone();
        clients.spawn(async move {
            let key = format!("{client:02}");
            let begun = Instant::now();
            let answer = ask(&app, &key, &format!("insert {key}; wait")).await;
            (answer, begun.elapsed())
        });
    }
    stage.entered(2).await;
    // Those that have a connection hold it; all others are refused.
    for _ in 0..18 {
        let (answer, took) = clients.join_next().await.unwrap().unwrap();
        answer.is_refused(503, "idempotency_store_unavailable");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    stage.gate.open();
    for (answer, _) in clients.join_all().await {
        answer.is_first(201, "attempt 1");
    }
    for client in 0..20 {
        let key = format!("{client:02}");
        assert_eq!(persist(&app, &key, &format!("insert {key}; wait")).await.status, 201);
    }
    assert_eq!((base.orders().await.len(), stage.runs()), (20, 20));
    base.at_rest().await;
}

/// With one connection, whoever took a second one would wait for ever.
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
    ask(&app, "ends", "sql COMMIT").await.is_refused(500, "idempotency_transaction_lost");
    ask(&app, "201", "insert pen").await.is_refused(409, "idempotency_key_reused");
    base.at_rest().await;
}
