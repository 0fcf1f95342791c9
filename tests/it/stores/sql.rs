//! The rules of records in both databases, in lease mode and in transaction mode, through the whole
//! layer.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;
use tower_idempotency::store::{Store, StoreErrorKind};
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, PostgresStore};

use crate::support::databases::{Base, Lite, Pg};
use crate::support::postgres::{PostgresServer, outcome, request};
use crate::support::{Frames, patiently};
use crate::transaction::script::{ScriptResponse, Stage, ask, asking, layer};

/// Responds with the status that the body names for the number of the attempt: `503 429 201`. After
/// `wait` in the body, the last of them waits at the gate.
async fn run(State(stage): State<Stage>, attempt: Attempt, script: String) -> (StatusCode, String) {
    let statuses: Vec<u16> = script.split(' ').filter_map(|word| word.parse().ok()).collect();
    let number = attempt.number() as usize;
    if script.ends_with("wait") && number == statuses.len() {
        stage.wait().await;
    }
    let before =
        attempt.previous().map_or(String::new(), |previous| format!(" after {previous:?}"));
    (StatusCode::from_u16(statuses[number - 1]).unwrap(), format!("attempt {number}{before}"))
}

fn app<S: Store>(store: S, stage: &Stage) -> Router {
    Router::new().route("/", post(run)).layer(layer(store)).with_state(stage.clone())
}

macro_rules! in_both_databases_and_modes {
    ($($name:ident)*) => {
        mod postgres {
            use super::{Base, Pg};
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                let base = Pg::start().await;
                super::$name(&base, base.leasing().await).await;
            })*
        }
        mod postgres_in_transaction {
            use super::{Base, Pg};
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                let base = Pg::start().await;
                super::$name(&base, base.store().await).await;
            })*
        }
        mod sqlite {
            use super::{Base, Lite};
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                let base = Lite::start().await;
                super::$name(&base, base.leasing().await).await;
            })*
        }
        mod sqlite_in_transaction {
            use super::{Base, Lite};
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                let base = Lite::start().await;
                super::$name(&base, base.store().await).await;
            })*
        }
    };
}

in_both_databases_and_modes! {
    an_attempt_in_which_nothing_happened_does_not_erase_the_failure_before_it
    an_attempt_in_which_nothing_happened_does_not_erase_the_abandoned_one_before_it
    header_bytes_are_replayed_as_they_were_and_sensitive_ones_as_such
    a_response_is_stored_though_the_retention_of_its_record_is_over
}

async fn an_attempt_in_which_nothing_happened_does_not_erase_the_failure_before_it<B: Base>(
    base: &B,
    store: impl Store,
) {
    let app = app(store, &Stage::new());
    let script = "503 429 422 201";
    ask(&app, "key", script).await.is_first(503, "attempt 1");
    ask(&app, "key", script).await.is_first(429, "attempt 2 after Failed { status: Some(503) }");
    is_bound(base, &app, "failed 2").await;
    ask(&app, "key", script).await.is_first(422, "attempt 3 after Failed { status: Some(503) }");
    is_bound(base, &app, "failed 3").await;
    let last = ask(&app, "key", script).await;
    last.is_first(201, "attempt 4 after Failed { status: Some(503) }");
    ask(&app, "key", script).await.replays(&last);
    base.at_rest().await;
}

async fn an_attempt_in_which_nothing_happened_does_not_erase_the_abandoned_one_before_it<
    B: Base,
>(
    base: &B,
    store: impl Store,
) {
    let app = app(store, &Stage::new());
    let script = "503 429 422 201";
    ask(&app, "key", script).await.is_first(503, "attempt 1");
    // It is abandoned as a process is that ends: nothing renews its lease.
    let abandon = "UPDATE idempotency_records SET status = 'pending', lease_until = updated_at, \
                   response_status = NULL, response_headers = NULL, response_missing = NULL";
    base.ask(abandon).await;
    ask(&app, "key", script).await.is_first(429, "attempt 2 after Abandoned");
    is_bound(base, &app, "pending 2").await;
    ask(&app, "key", script).await.is_first(422, "attempt 3 after Abandoned");
    is_bound(base, &app, "pending 3").await;
    ask(&app, "key", script).await.is_first(201, "attempt 4 after Abandoned");
    base.at_rest().await;
}

/// The record is there, and another request does not get its key.
async fn is_bound<B: Base>(base: &B, app: &Router, record: &str) {
    let found =
        base.ask("SELECT status || ' ' || CAST(attempt AS text) FROM idempotency_records").await;
    assert_eq!(found, [record]);
    ask(app, "key", "201").await.is_rejected(409, "idempotency_key_reused");
}

/// Bytes beyond ASCII, in a value that is sensitive and in one that is not.
fn given_headers() -> HeaderMap {
    let mut sensitive = HeaderValue::from_bytes(b"caf\xe9 \xff").unwrap();
    sensitive.set_sensitive(true);
    let plain = HeaderValue::from_bytes("caf\u{e9} \u{20ac}\\'$1".as_bytes()).unwrap();
    let (one, other) = (HeaderName::from_static("x-one"), HeaderName::from_static("x-other"));
    HeaderMap::from_iter([(one.clone(), sensitive), (one, plain.clone()), (other, plain)])
}

async fn with_headers() -> Response {
    let body = Frames::known(&[b"the body"]).trailers(given_headers());
    let mut response = (StatusCode::CREATED, Body::new(body)).into_response();
    response.headers_mut().extend(given_headers());
    response.headers_mut().insert("x-request-id", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    response
}

/// What a client gets, with whether a value is sensitive.
async fn headers(app: &Router) -> (bool, Vec<(HeaderValue, bool)>, Vec<(HeaderValue, bool)>) {
    let request =
        Request::post("/").header("x-idempotency-key", "key").body(Body::empty()).unwrap();
    let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    assert_eq!(head.status, 201);
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap();
    let values = |headers: &HeaderMap| {
        let values = ["x-one", "x-other"].into_iter().flat_map(|name| headers.get_all(name));
        values.map(|value| (value.clone(), value.is_sensitive())).collect()
    };
    let is_replay = head.headers.get("x-idempotent-result").is_some_and(|marker| marker == "true");
    (is_replay, values(&head.headers), values(&trailers))
}

async fn are_replayed<S: Store>(layer: IdempotencyLayer<S>) {
    let app = Router::new().route("/", post(with_headers)).layer(layer);
    let (is_replay, first, trailers) = headers(&app).await;
    assert!(!is_replay && first.len() == 3 && trailers.len() == 3);
    for _ in 0..2 {
        assert_eq!(headers(&app).await, (true, first.clone(), trailers.clone()));
    }
}

async fn header_bytes_are_replayed_as_they_were_and_sensitive_ones_as_such<B: Base>(
    base: &B,
    store: impl Store,
) {
    are_replayed(layer(store)).await;
    base.at_rest().await;
}

#[tokio::test]
async fn header_bytes_are_replayed_from_memory_as_they_were_and_sensitive_ones_as_such() {
    are_replayed(layer(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_bytes_are_stored_in_a_database_of_another_encoding() {
    let server = PostgresServer::start_with_templates();
    let create = "CREATE DATABASE cyrillic ENCODING 'WIN1251' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    sqlx::raw_sql(create).execute(&server.pool()).await.unwrap();
    let options = server.pool().connect_options().as_ref().clone().database("cyrillic");
    for (number, is_prepared) in [(1, true), (2, false)] {
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        let encoding: String =
            sqlx::query_scalar("SHOW server_encoding").fetch_one(&pool).await.unwrap();
        assert_eq!(encoding, "WIN1251");
        for mode in ["lease", "transaction"] {
            let table =
                tower_idempotency::store::Identifier::new(format!("{mode}_{number}")).unwrap();
            let store = PostgresStore::new(pool.clone()).table(table);
            let store = if is_prepared { store } else { store.persistent(false) };
            store.migrate().await.unwrap();
            if mode == "lease" {
                are_replayed(layer(store)).await;
            } else {
                are_replayed(layer(store.in_transaction())).await;
            }
        }
    }
}

async fn a_response_is_stored_though_the_retention_of_its_record_is_over<B: Base>(
    base: &B,
    store: impl Store,
) {
    let brief =
        |key| request(key).lease(Duration::from_millis(1)).retention(Duration::from_millis(2));
    for (key, status) in [("completed", 201), ("failed", 500)] {
        let lease = crate::support::postgres::acquired(store.reserve(&brief(key)).await.unwrap());
        // Longer than the retention.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (stored, retention) = (outcome(status, 10), Duration::from_mins(1));
        let settled = match status {
            201 => store.complete(&lease, &stored, retention).await,
            _ => store.fail(&lease, Some(&stored), retention).await,
        };
        assert_eq!(settled.unwrap(), tower_idempotency::store::Settlement::Applied);
        let found = store.inspect(&lease.key).await.unwrap().unwrap();
        assert_eq!((found.attempt, found.token), (1, lease.token));
    }
    base.at_rest().await;
}

/// What becomes of a record while its handler runs.
#[derive(Clone, Copy, PartialEq)]
enum Gone {
    Deleted,
    Expired,
}

async fn responds_without_its_record<B: Base>(
    base: &B,
    app: &Router,
    stage: &Stage,
    script: &str,
    gone: Gone,
) -> ScriptResponse {
    let running = asking(app, "key", script);
    stage.entered(1).await;
    match gone {
        Gone::Deleted => drop(base.ask("DELETE FROM idempotency_records").await),
        Gone::Expired => base.expire().await,
    }
    stage.gate.open();
    patiently(running).await.unwrap()
}

async fn a_response_is_stored_though_its_record_is_gone<B: Base>(
    base: &B,
    store: impl Store + Clone,
) {
    for gone in [Gone::Deleted, Gone::Expired] {
        let stage = Stage::new();
        let app = app(store.clone(), &stage);
        let first = responds_without_its_record(base, &app, &stage, "201 wait", gone).await;
        first.is_first(201, "attempt 1");
        ask(&app, "key", "201 wait").await.replays(&first);
        base.ask("DELETE FROM idempotency_records").await;

        // A failure too, and the number and the fingerprint of a later attempt.
        let stage = Stage::new();
        let app = self::app(store.clone(), &stage);
        ask(&app, "key", "500 503 wait").await.is_first(500, "attempt 1");
        let second = responds_without_its_record(base, &app, &stage, "500 503 wait", gone).await;
        second.is_first(503, "attempt 2 after Failed { status: Some(500) }");
        is_bound(base, &app, "failed 2").await;
        base.ask("DELETE FROM idempotency_records").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_stored_though_its_record_is_gone_from_postgres() {
    let base = Pg::start().await;
    a_response_is_stored_though_its_record_is_gone(&base, base.leasing().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_stored_though_its_record_is_gone_from_sqlite() {
    let base = Lite::start().await;
    a_response_is_stored_though_its_record_is_gone(&base, base.leasing().await).await;
}

/// In SQLite nothing else writes while a transaction is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_committed_though_the_record_before_it_is_gone_from_postgres() {
    let base = Pg::start().await;
    a_response_is_stored_though_its_record_is_gone(&base, base.tx_store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_response_is_not_a_fault_of_the_handler_on_postgres() {
    let base = Pg::start().await;
    base.ask("ALTER TABLE idempotency_records ADD CHECK (octet_length(response_body) < 5)").await;
    a_rejected_response_is_not_a_fault_of_the_handler(&base, base.tx_store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_response_is_not_a_fault_of_the_handler_on_sqlite() {
    let base = Lite::start().await;
    let reject = "CREATE TRIGGER reject BEFORE UPDATE ON idempotency_records WHEN length(NEW.response_body) >= 5 \
                  BEGIN SELECT RAISE(ABORT, 'too long'); END";
    base.ask(reject).await;
    a_rejected_response_is_not_a_fault_of_the_handler(&base, base.store().await).await;
}

/// Its effects and its response are there together, or not at all.
async fn a_rejected_response_is_not_a_fault_of_the_handler<B: Base>(
    base: &B,
    store: impl Store + Clone,
) {
    let app = crate::transaction::script::app::<B, _>(layer(store.clone()), &Stage::new());
    for _ in 0..2 {
        ask(&app, "key", "insert book").await.is_rejected(503, "idempotency_commit_unconfirmed");
        assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    }
    base.at_rest().await;

    for status in [201, 404] {
        let lease =
            crate::support::postgres::acquired(store.reserve(&request("direct")).await.unwrap());
        for _ in 0..2 {
            let rejected =
                store.complete(&lease, &outcome(status, 10), Duration::from_mins(1)).await;
            assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Rejected);
        }
        base.at_rest().await;
    }
}
