//! Isolation that is set, or that the server has by default: real serialization failures are found,
//! and no others.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use sqlx::Postgres;
use tokio::task::JoinSet;
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::store::{Identifier, TxError};
use tower_idempotency::{PostgresStore, PostgresTxStore, Tx};

use super::script::{Stage, app, ask, asking, layer};
use crate::support::databases::{Base, Pg};
use crate::support::postgres::{PostgresServer, pool};

/// A server whose transactions are serializable unless they are told otherwise.
async fn strict() -> Pg {
    Pg::on(PostgresServer::start_with(&["default_transaction_isolation=serializable"])).await
}

/// All handlers have inserted before one of them commits.
async fn attempts_on_distinct_keys_at_once(base: &Pg, store: PostgresTxStore) {
    let layer = layer(store);
    for round in 0..3 {
        let stage = Stage::new();
        let app = app::<Pg, _>(layer.clone(), &stage);
        let clients: Vec<_> = (0..10)
            .map(|client| {
                let key = format!("key-{round}-{client}");
                asking(&app, &key, &format!("insert {key}; wait"))
            })
            .collect();
        stage.entered(10).await;
        stage.gate.open();
        for client in clients {
            client.await.unwrap().is_first(201, "attempt 1");
        }
    }
    assert_eq!(base.orders().await.len(), 30);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_keys_do_not_conflict_in_serializable_transactions() {
    let base = Pg::start().await;
    attempts_on_distinct_keys_at_once(&base, base.tx_store().isolation(Isolation::Serializable))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_keys_do_not_conflict_where_the_server_is_serializable_by_default() {
    let base = strict().await;
    attempts_on_distinct_keys_at_once(&base, base.tx_store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_keys_do_not_conflict_in_repeatable_read_transactions() {
    let base = Pg::start().await;
    attempts_on_distinct_keys_at_once(&base, base.tx_store().isolation(Isolation::RepeatableRead))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_keys_do_not_conflict_in_lease_mode_where_the_server_is_serializable_by_default() {
    let base = strict().await;
    let router = Router::new().route("/", post(async || "done")).layer(layer(base.server.store()));
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let router = router.clone();
        clients.spawn(async move {
            for request in 0..25 {
                ask(&router, &format!("{client}-{request}"), "").await.is_first(200, "done");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(base.records().await.len(), 400);
}

/// Reads what the other one writes, so that no order of the two explains both.
async fn skew(
    State(stage): State<Stage>,
    mut tx: Tx<Postgres>,
    body: String,
) -> Result<StatusCode, TxError> {
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut *tx).await?;
    stage.wait().await;
    sqlx::query("INSERT INTO orders VALUES ($1)").bind(body).execute(&mut *tx).await?;
    Ok(StatusCode::CREATED)
}

/// How many of two that skew are committed.
async fn committed_of_two_that_skew(base: &Pg, store: PostgresTxStore) -> usize {
    let stage = Stage::new();
    let router = Router::new().route("/", post(skew)).layer(layer(store)).with_state(stage.clone());
    let clients = ["a", "b"].map(|key| asking(&router, key, key));
    stage.entered(2).await;
    stage.gate.open();
    for client in clients {
        let response = client.await.unwrap();
        if response.status != 201 {
            response.is_in_flight();
        }
    }
    base.at_rest().await;
    base.orders().await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_that_the_server_has_by_default_protects_a_handler() {
    let base = strict().await;
    let before = base.tx_store();
    // The second one is past the transaction from which the store learns.
    for _ in 0..2 {
        assert_eq!(committed_of_two_that_skew(&base, before.clone()).await, 1);
        base.ask("DELETE FROM orders").await;
        base.ask("DELETE FROM idempotency_records").await;
    }
    let loose = base.tx_store().isolation(Isolation::ReadCommitted);
    assert_eq!(committed_of_two_that_skew(&base, loose).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_taken_over_or_replayed_in_serializable_transactions() {
    for (base, isolation) in
        [(Pg::start().await, Some(Isolation::Serializable)), (strict().await, None)]
    {
        let stage = Stage::new();
        let store = || match isolation {
            Some(isolation) => base.tx_store().isolation(isolation),
            None => base.tx_store(),
        };
        let one = app::<Pg, _>(layer(store()), &stage);
        ask(&one, "key", "insert book; status 500").await.is_first(500, "attempt 1");
        let second = ask(&one, "key", "insert book; status 500").await;
        second.is_first(500, "attempt 2 after Failed { status: Some(500) }");
        // One that knows nothing yet of the server.
        let other = app::<Pg, _>(layer(store()), &stage);
        ask(&other, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
        let third = ask(&other, "key", "insert book; status 500").await;
        third.is_first(500, "attempt 3 after Failed { status: Some(500) }");
        ask(&one, "new", "insert book").await.is_first(201, "attempt 1");
        assert!(ask(&other, "new", "insert book").await.is_replay);
        assert_eq!(base.orders().await, ["book"]);
        base.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_the_same_whether_its_schema_is_named_or_not() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = |schema: Option<&str>| {
        let store = PostgresStore::new(pool(base.server.port(), 4));
        let store = match schema {
            Some(schema) => store.schema(Identifier::new(schema).unwrap()),
            None => store,
        };
        app::<Pg, _>(layer(store.in_transaction()), &stage)
    };
    let (one, other) = (store(None), store(Some("public")));
    let first = asking(&one, "key", "insert book; wait");
    stage.entered(1).await;
    ask(&other, "key", "insert book; wait").await.is_in_flight();
    stage.gate.open();
    first.await.unwrap().is_first(201, "attempt 1");
    assert_eq!((stage.runs(), base.orders().await.len()), (1, 1));
    // A handler that failed is remembered under the same locks.
    ask(&other, "failed", "status 500").await.is_first(500, "attempt 1");
    ask(&one, "failed", "status 500")
        .await
        .is_first(500, "attempt 2 after Failed { status: Some(500) }");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_not_begun_where_its_response_could_not_be_stored() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let one = app::<Pg, _>(layer(base.tx_store()), &stage);
    ask(&one, "key", "insert book").await.is_first(201, "attempt 1");
    base.ask("ALTER DATABASE postgres SET default_transaction_read_only = on").await;
    let other = app::<Pg, _>(layer(base.tx_store()), &stage);
    assert!(ask(&other, "key", "insert book").await.is_replay);
    ask(&other, "new", "insert book").await.is_rejected(503, "idempotency_store_unavailable");
    assert_eq!(stage.runs(), 1);
}
