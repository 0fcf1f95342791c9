//! The quota of new keys for each scope, on every store and in both modes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use http::StatusCode;
use tower_idempotency::store::{Conflict, DynStore};
use tower_idempotency::{
    Attempt, ExecuteError, Fingerprint, IdempotencyKey, InFlight, MemoryStore, Rejection, Scope,
};

use crate::support::given::{Kind, over_every_store};
use crate::support::{
    Call, Effects, Gate, Operation, Scripted, Server, TestLayer, WireResponse, app, gated,
    layer_over, patiently, post,
};

over_every_store! {
    new_keys_above_the_quota_are_rejected_and_all_else_is_served
    an_operation_outside_of_http_counts_too
}

fn limited(guard: TestLayer, keys: u32) -> TestLayer {
    let tenant = |parts: &http::request::Parts| Scope::new(parts.headers["x-tenant"].as_bytes());
    guard.namespace("quota").scope(tenant).new_keys_per_minute(NonZeroU32::new(keys).unwrap())
}

fn by(tenant: &str, path: &str, key: &str) -> Call {
    post(path).key(key).header("X-Tenant", tenant)
}

/// A number in the path is the status. `/mended` is a 500 first and then a 200.
fn stage(effects: &Effects) -> Router {
    app(effects, |request| async move {
        let attempt = request.extensions().get::<Attempt>().map_or(1, Attempt::number);
        match &request.uri().path()[1..] {
            "mended" if attempt == 1 => StatusCode::INTERNAL_SERVER_ERROR,
            "mended" => StatusCode::OK,
            status => StatusCode::from_u16(status.parse().unwrap()).unwrap(),
        }
    })
}

#[track_caller]
fn is_exceeded(response: &WireResponse, longest: u64) {
    response.assert_rejected(429, "idempotency_quota_exceeded");
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=longest).contains(&seconds), "{seconds}");
}

/// A quota of three is one new key every 20 s, once the first three are used.
async fn new_keys_above_the_quota_are_rejected_and_all_else_is_served(kind: Kind) {
    let (given, effects) = (kind.start().await, Effects::new());
    let guard = limited(given.layer().await, 3);
    let server = Server::start(stage(&effects).layer(guard.clone())).await;
    let first = by("alice", "/201", "order-1001").send(&server).await;
    first.assert_first(201, "");
    by("alice", "/mended", "order-1002").send(&server).await.assert_first(500, "");
    by("alice", "/201", "order-1003").send(&server).await.assert_first(201, "");

    for _ in 0..2 {
        is_exceeded(&by("alice", "/201", "order-1004").send(&server).await, 20);
        by("alice", "/201", "order-1001").send(&server).await.assert_replays(&first);
        let other = by("alice", "/201", "order-1001").body("other").send(&server).await;
        other.assert_rejected(409, "idempotency_key_reused");
    }
    let key = IdempotencyKey::parse(b"order-1004").unwrap();
    let record = guard.inspect(&Scope::new("alice"), &key).await.unwrap();
    assert!(record.is_none(), "a rejected key is free: {record:?}");
    by("bob", "/201", "order-1001").send(&server).await.assert_first(201, "");
    assert_eq!(effects.count(), 4);
}

async fn an_operation_outside_of_http_counts_too(kind: Kind) {
    let given = kind.start().await;
    let layer = limited(given.layer().await, 3);
    let run = |account: &'static str, number: usize| {
        let layer = layer.clone();
        async move {
            let key = IdempotencyKey::parse(format!("message-{number}").as_bytes()).unwrap();
            let what = Fingerprint::of_fields([b"payout"]);
            let operation = |_: Attempt| async { Ok::<_, String>("paid".to_owned()) };
            layer.execute(&Scope::new(account), &key, what, operation).await
        }
    };
    for number in 0..3 {
        assert!(!run("acct_1", number).await.unwrap().is_replay);
    }
    let rejected = run("acct_1", 3).await.unwrap_err();
    let ExecuteError::Rejected(Rejection::QuotaExceeded { retry_after }) = rejected else {
        panic!("{rejected:?}");
    };
    assert!(retry_after <= Duration::from_secs(20), "{retry_after:?}");
    assert!(run("acct_1", 0).await.unwrap().is_replay);
    assert!(!run("acct_2", 0).await.unwrap().is_replay);
}

/// An attempt that failed in an exhausted scope may run again, and only that.
async fn a_retry_of_a_failed_attempt_is_run_above_the_quota(kind: Kind) {
    let (given, effects) = (kind.start().await, Effects::new());
    let server = Server::start(stage(&effects).layer(limited(given.layer().await, 1))).await;
    by("alice", "/mended", "order-1001").send(&server).await.assert_first(500, "");
    for _ in 0..2 {
        is_exceeded(&by("alice", "/mended", "order-1002").send(&server).await, 60);
    }
    let mended = by("alice", "/mended", "order-1001").send(&server).await;
    mended.assert_first(200, "");
    by("alice", "/mended", "order-1001").send(&server).await.assert_replays(&mended);
    assert_eq!(effects.count(), 2);
}

/// In transaction mode a failure is rolled back, so its key is new again.
mod leasing {
    use super::a_retry_of_a_failed_attempt_is_run_above_the_quota;
    use crate::support::given::over_every_store_that_leases;

    over_every_store_that_leases! { a_retry_of_a_failed_attempt_is_run_above_the_quota }
}

fn memory() -> DynStore {
    DynStore::new(MemoryStore::new())
}

#[tokio::test]
async fn a_retry_of_a_failed_attempt_does_not_count() {
    let effects = Effects::new();
    let server = Server::start(stage(&effects).layer(limited(layer_over(memory()), 2))).await;
    by("alice", "/mended", "order-1001").send(&server).await.assert_first(500, "");
    by("alice", "/mended", "order-1001").send(&server).await.assert_first(200, "");
    by("alice", "/201", "order-1002").send(&server).await.assert_first(201, "");
    is_exceeded(&by("alice", "/201", "order-1003").send(&server).await, 30);
}

/// The quota is used up while a request runs; its duplicate waits for it all the same.
#[tokio::test]
async fn a_duplicate_in_flight_is_served_above_the_quota() {
    let (effects, gate, scripted) = (Effects::new(), Gate::new(), Scripted::over(memory()));
    let guard = layer_over(DynStore::new(scripted.clone()))
        .in_flight(InFlight::Wait(Duration::from_mins(1)));
    let server = Server::start(gated(&effects, &gate).layer(limited(guard, 1))).await;
    let call = by("alice", "/", "order-1001");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    is_exceeded(&by("alice", "/", "order-1002").send(&server).await, 60);
    let duplicate = call.begin(&server, usize::MAX).await;
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "done");
    call.finish(duplicate).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

/// Ten looks for each key of the quota, and then none but one every six seconds.
#[tokio::test]
async fn an_exhausted_scope_is_looked_up_a_bounded_number_of_times() {
    let (effects, scripted) = (Effects::new(), Scripted::over(memory()));
    let guard = limited(layer_over(DynStore::new(scripted.clone())), 1);
    let server = Server::start(stage(&effects).layer(guard)).await;
    by("alice", "/201", "order-0").send(&server).await.assert_first(201, "");
    for number in 1..200 {
        is_exceeded(&by("alice", "/201", &format!("order-{number}")).send(&server).await, 60);
    }
    let looks = scripted.calls(Operation::Inspect);
    assert!((10..=20).contains(&looks), "{looks}");
    assert_eq!(scripted.calls(Operation::Reserve), 2);
    by("bob", "/201", "order-0").send(&server).await.assert_first(201, "");
    assert_eq!(effects.count(), 2);
}

/// A conflict runs the operation of one request again, and the key is still one new key.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_runs_again_after_a_conflict_counts_once() {
    let (given, effects) = (Kind::SqliteInTransaction.start().await, Effects::new());
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        move |_| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut response = StatusCode::CREATED.into_response();
                if run < 3 {
                    response.extensions_mut().insert(Conflict);
                }
                response
            }
        }
    };
    let guard = limited(given.layer().await, 2).retry_conflicts(5);
    let server = Server::start(app(&effects, handler).layer(guard)).await;
    let first = patiently(by("alice", "/", "order-1001").send(&server)).await;
    first.assert_first(201, "");
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    by("alice", "/", "order-1002").send(&server).await.assert_first(201, "");
    is_exceeded(&by("alice", "/", "order-1003").send(&server).await, 30);
}
