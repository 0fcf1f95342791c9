//! What a handler sets for its transaction also applies to the write of the response.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use sqlx::{Executor, Postgres};
use tower_idempotency::store::Identifier;
use tower_idempotency::{PostgresStore, Tx};

use super::misuse::Log;
use super::script::{Stage, app, ask, layer};
use crate::support::databases::{Base, Pg};

/// A role for row-level security, which may write orders and knows nothing of the records.
async fn with_role() -> Pg {
    let base = Pg::start().await;
    let role =
        "CREATE ROLE app_user; GRANT ALL ON orders TO app_user; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON orders USING (true) WITH CHECK (item LIKE 'own%')";
    base.connect().await.execute(role).await.unwrap();
    base
}

#[tokio::test]
async fn a_role_that_may_not_write_the_records_is_told_to_the_log_and_nothing_is_committed() {
    Log::start();
    let (base, stage) = (with_role().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = "sql SET LOCAL ROLE app_user; insert own book";
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("set it back before the handler returns (`SET LOCAL ROLE`)");
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    base.at_rest().await;
    // The layer writes these after the rollback, which has reset the role.
    for status in [404, 422, 500] {
        let script = format!("{script}; status {status}");
        ask(&app, &status.to_string(), &script).await.is_first(status, "attempt 1");
    }
    assert_eq!(base.records().await, ["failed", "success"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_resets_its_role_is_committed_and_so_is_one_whose_role_is_granted_the_table()
{
    let (base, stage) = (with_role().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = "sql SET LOCAL ROLE app_user; insert own book";
    ask(&app, "not-own", "sql SET LOCAL ROLE app_user; insert book").await.is_first(500, "");
    ask(&app, "reset", &format!("{script}; sql RESET ROLE")).await.is_first(201, "attempt 1");
    base.ask("GRANT SELECT, INSERT, UPDATE ON idempotency_records TO app_user").await;
    ask(&app, "granted", script).await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["own book", "own book"]);
    assert_eq!(base.records().await, ["failed", "success", "success"]);
    base.at_rest().await;
}

/// Two schemas, each with a table of records.
async fn with_tenants() -> Pg {
    let base = Pg::start().await;
    let tenant = base.server.store().schema(Identifier::new("tenant").unwrap());
    tenant.migrate().await.unwrap();
    base.ask("CREATE SCHEMA empty").await;
    base
}

#[tokio::test]
async fn a_search_path_that_leads_to_other_records_or_to_none_is_told_to_the_log() {
    Log::start();
    let (base, stage) = (with_tenants().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    for schema in ["tenant", "empty"] {
        let script = format!("insert book; sql SET LOCAL search_path = {schema}");
        ask(&app, schema, &script).await.is_rejected(500, "idempotency_transaction_lost");
        Log::tells("has changed `search_path`");
        assert!(base.orders().await.is_empty());
        ask(&app, &format!("{schema}-failed"), &format!("{script}; status 500"))
            .await
            .is_first(500, "attempt 1");
    }
    assert_eq!(base.records().await, ["failed", "failed"]);
    assert!(base.ask("SELECT status FROM tenant.idempotency_records").await.is_empty());
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_change_the_search_path_if_the_store_knows_its_schema() {
    let (base, stage) = (with_tenants().await, Stage::new());
    let store = PostgresStore::new(base.server.pool()).schema(Identifier::new("public").unwrap());
    let app = app::<Pg, _>(layer(store.in_transaction()), &stage);
    for schema in ["tenant", "empty"] {
        let script = format!("insert book; sql SET LOCAL search_path = {schema}");
        ask(&app, schema, &script).await.is_first(201, "attempt 1");
        assert!(ask(&app, schema, &script).await.is_replay);
    }
    assert_eq!(base.records().await, ["success", "success"]);
    base.at_rest().await;
}

#[tokio::test]
async fn a_transaction_that_its_handler_has_made_read_only_is_told_to_the_log() {
    Log::start();
    let (base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = "sql SET TRANSACTION READ ONLY";
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("has made its transaction read only");
    ask(&app, "failed", &format!("{script}; status 500")).await.is_first(500, "attempt 1");
    ask(&app, "key", "insert book").await.is_first(201, "attempt 1");
    assert_eq!(base.records().await, ["failed", "success"]);
    base.at_rest().await;
}

/// The records are locked when the response is to be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_of_the_handler_that_ends_the_write_of_the_response_is_a_503_and_the_retry_runs()
{
    let base = Pg::start().await;
    let layer = layer(base.store().await);
    for setting in ["lock_timeout", "statement_timeout"] {
        let stage = Stage::new();
        let app = app::<Pg, _>(layer.clone(), &stage);
        let mut other = base.connect().await;
        let locked = async {
            stage.entered(1).await;
            other.execute("BEGIN; LOCK TABLE idempotency_records IN SHARE MODE").await.unwrap();
            stage.gate.open();
        };
        let script = format!("insert {setting}; sql SET LOCAL {setting} = '50ms'; wait");
        let (rejected, ()) = tokio::join!(ask(&app, setting, &script), locked);
        rejected.is_rejected(503, "idempotency_commit_unconfirmed");
        other.execute("ROLLBACK").await.unwrap();
        assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    }
    base.at_rest().await;
}

/// A deferred constraint that is violated when the handler returns.
const UNKNOWN_SHOP: &str = "sql INSERT INTO shelves VALUES (1)";

async fn with_shelves() -> Pg {
    let base = Pg::start().await;
    let tables = "CREATE TABLE shops (id integer PRIMARY KEY);
        CREATE TABLE shelves (shop integer REFERENCES shops (id) DEFERRABLE INITIALLY DEFERRED)";
    base.connect().await.execute(tables).await.unwrap();
    base
}

#[tokio::test]
async fn a_deferred_constraint_that_is_violated_is_told_to_the_log_and_the_retry_runs() {
    Log::start();
    let (base, stage) = (with_shelves().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = format!("insert book; {UNKNOWN_SHOP}");
    ask(&app, "key", &script).await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("`SET CONSTRAINTS ALL IMMEDIATE` before the handler returns");
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    base.ask("INSERT INTO shops VALUES (1)").await;
    ask(&app, "key", &script).await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_checks_its_deferred_constraints_can_respond_with_a_4xx() {
    let base = with_shelves().await;
    let handler = async |mut tx: Tx<Postgres>| {
        tx.execute("INSERT INTO shelves VALUES (1)").await.unwrap();
        match tx.execute("SET CONSTRAINTS ALL IMMEDIATE").await {
            Ok(_) => StatusCode::CREATED,
            Err(error) if error.as_database_error().unwrap().is_foreign_key_violation() => {
                StatusCode::NOT_FOUND
            }
            Err(error) => panic!("{error}"),
        }
    };
    let router = Router::new().route("/", post(handler)).layer(layer(base.store().await));
    assert_eq!(ask(&router, "key", "").await.status, 404);
    assert!(ask(&router, "key", "").await.is_replay);
    assert_eq!(base.records().await, ["success"]);
    base.at_rest().await;
}
