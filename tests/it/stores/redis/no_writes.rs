//! A server that takes no writes for now goes on serving what it has.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::post;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use redis::Client;
use tower::ServiceExt;
use tower_idempotency::store::{Lease, Reservation, Settlement, State, Store, StoreErrorKind};
use tower_idempotency::{IdempotencyLayer, OnFailed, RedisStore, Scope};

use crate::support::redis::traffic::{RETENTION, request, response};
use crate::support::redis::{RedisServer, until};
use crate::support::{Gate, patiently};

/// Why a server takes no writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Memory,
    Replicas,
    Disk,
}

impl Cause {
    const ALL: [Self; 3] = [Self::Memory, Self::Replicas, Self::Disk];

    fn begin(self, server: &RedisServer) {
        match self {
            Self::Memory => server.tell::<()>("CONFIG SET maxmemory 1"),
            Self::Replicas => server.tell::<()>("CONFIG SET min-replicas-to-write 1"),
            Self::Disk => {
                std::fs::remove_dir_all(server.directory()).unwrap();
                redis_save_points(server, "3600 1000000");
                server.tell::<()>("BGSAVE");
                until("a failed snapshot", || {
                    server.tell::<String>("INFO persistence").contains("rdb_last_bgsave_status:err")
                });
            }
        }
    }

    fn end(self, server: &RedisServer) {
        match self {
            Self::Memory => server.tell::<()>("CONFIG SET maxmemory 0"),
            Self::Replicas => server.tell::<()>("CONFIG SET min-replicas-to-write 0"),
            Self::Disk => server.tell::<()>("CONFIG SET stop-writes-on-bgsave-error no"),
        }
    }

    fn kind(self) -> StoreErrorKind {
        if self == Self::Replicas { StoreErrorKind::Unavailable } else { StoreErrorKind::Full }
    }
}

/// Its value contains a space.
fn redis_save_points(server: &RedisServer, points: &str) {
    let mut connection = Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg(&["SET", "save", points]).exec(&mut connection).unwrap();
}

fn app(store: RedisStore, on_failed: OnFailed) -> Router {
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).on_failed(on_failed);
    let response = async |Path((status, bytes)): Path<(u16, usize)>| {
        (StatusCode::from_u16(status).unwrap(), "x".repeat(bytes))
    };
    Router::new()
        .route("/{status}/{bytes}", post(response))
        .route("/pending", post(std::future::pending::<()>))
        .layer(layer)
}

async fn call(app: &Router, key: &str, path: &str) -> Response<Body> {
    let request = Request::post(path).header("idempotency-key", key).body(Body::empty());
    patiently(app.clone().oneshot(request.unwrap())).await.unwrap()
}

async fn code(app: &Router, key: &str, path: &str) -> String {
    let body = call(app, key, path).await.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

async fn is_replayed(app: &Router, key: &str, path: &str) -> bool {
    let response = call(app, key, path).await;
    response.status() == 201
        && response.headers().get("x-idempotent-result").is_some_and(|marker| marker == "true")
}

/// Stored responses are served, and requests that need a write are rejected.
async fn serves(server: &RedisServer, store: RedisStore, cause: Cause) {
    let (rerunning, rejecting) =
        (app(store.clone(), OnFailed::Rerun), app(store, OnFailed::Reject));
    for (key, path) in [("small", "/201/10"), ("large", "/201/5000"), ("failed", "/500/10")] {
        call(&rerunning, key, path).await;
    }
    let running = tokio::spawn({
        let app = rerunning.clone();
        async move { call(&app, "pending", "/pending").await.status() }
    });
    until("four records", || server.statuses().len() == 4);

    cause.begin(server);
    assert!(is_replayed(&rerunning, "small", "/201/10").await, "{cause:?}");
    assert!(is_replayed(&rerunning, "large", "/201/5000").await, "{cause:?}");
    for (app, key, path, rejection) in [
        (&rerunning, "small", "/201/11", "idempotency_key_reused"),
        (&rerunning, "pending", "/201/11", "idempotency_key_reused"),
        (&rerunning, "pending", "/pending", "idempotency_key_in_flight"),
        (&rejecting, "failed", "/500/10", "idempotency_attempt_failed"),
        // These would write.
        (&rerunning, "failed", "/500/10", "idempotency_store_unavailable"),
        (&rerunning, "new", "/201/10", "idempotency_store_unavailable"),
    ] {
        assert_eq!(code(app, key, path).await, rejection, "{cause:?}: {key} {path}");
    }

    cause.end(server);
    assert_eq!(call(&rerunning, "new", "/201/10").await.status(), 201, "{cause:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_and_only_what_would_write_is_rejected() {
    for cause in Cause::ALL {
        let server = RedisServer::start();
        let store = RedisStore::open(&server.url()).unwrap();
        serves(&server, store, cause).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_a_connection_of_the_callers_own() {
    for cause in Cause::ALL {
        let server = RedisServer::start();
        let client = Client::open(server.url()).unwrap();
        let store =
            RedisStore::with_connection(client.get_multiplexed_async_connection().await.unwrap());
        serves(&server, store, cause).await;
    }
}

async fn acquire(store: &RedisStore, key: &str) -> Lease {
    match store.reserve(&request(key)).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_operation_is_rejected_with_the_cause() {
    for cause in Cause::ALL {
        let server = RedisServer::start();
        let store = RedisStore::open(&server.url()).unwrap();
        let failed = acquire(&store, "failed").await;
        assert_eq!(store.fail(&failed, None, RETENTION).await.unwrap(), Settlement::Applied);
        cause.begin(&server);
        for key in ["new", "failed"] {
            let rejected = store.reserve(&request(key)).await.unwrap_err();
            assert_eq!(rejected.kind(), cause.kind(), "{cause:?}: {rejected:?}");
        }
        assert_eq!(server.size(), 1, "nothing was written");
    }
}

/// Of those that run when the memory is used up.
#[tokio::test(flavor = "multi_thread")]
async fn at_maxmemory_attempts_are_renewed_and_ended() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let outcome = |bytes: usize| response("x".repeat(bytes));
    let [small, gone, failed, released] = ["small", "gone", "failed", "released"];
    let (small, gone) = (acquire(&store, small).await, acquire(&store, gone).await);
    let (failed, released) = (acquire(&store, failed).await, acquire(&store, released).await);
    let large = acquire(&store, "large").await;
    assert_eq!(store.release(&gone).await.unwrap(), Settlement::Applied);
    // The next attempt puts this one back.
    let before = acquire(&store, "put-back").await;
    assert_eq!(
        store.fail(&before, Some(&outcome(10)), RETENTION).await.unwrap(),
        Settlement::Applied
    );
    let again = acquire(&store, "put-back").await;

    Cause::Memory.begin(&server);
    for lease in [&small, &failed, &released, &large, &again] {
        assert_eq!(store.renew(lease).await.unwrap(), Settlement::Applied);
    }
    for lease in [&small, &gone] {
        assert_eq!(
            store.complete(lease, &outcome(2048), RETENTION).await.unwrap(),
            Settlement::Applied
        );
        let record = store.inspect(&lease.key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Success(found) if found == outcome(2048)));
    }
    assert_eq!(store.fail(&failed, None, RETENTION).await.unwrap(), Settlement::Applied);
    assert_eq!(store.release(&released).await.unwrap(), Settlement::Applied);
    assert_eq!(store.release(&again).await.unwrap(), Settlement::Applied);
    let record = store.inspect(&again.key).await.unwrap().unwrap();
    assert_eq!((record.attempt, record.token), (2, before.token));
    assert!(matches!(record.state, State::Failed(Some(_))));

    // A large one has to wait, and nothing of it is written.
    let rejected = store.complete(&large, &outcome(5_000), RETENTION).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Full, "{rejected:?}");
    let record = store.inspect(&large.key).await.unwrap().unwrap();
    assert!(matches!(record.state, State::Pending { abandoned: false }), "{record:?}");
    Cause::Memory.end(&server);
    assert_eq!(
        store.complete(&large, &outcome(5_000), RETENTION).await.unwrap(),
        Settlement::Applied
    );
}

/// The whole way: a payment that runs when the memory is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_runs_when_the_memory_is_used_up_is_replayed_and_not_run_again() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let lease = Duration::from_millis(600);
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).lease(lease);
    let (began, mut runs) = tokio::sync::mpsc::unbounded_channel();
    let gate = Gate::new();
    let handler = {
        let gate = gate.clone();
        move || async move {
            began.send(()).unwrap();
            gate.passed().await;
            StatusCode::CREATED
        }
    };
    let app = Router::new().route("/", post(handler)).layer(layer);
    let first = tokio::spawn({
        let app = app.clone();
        async move { call(&app, "key", "/").await.status() }
    });
    patiently(runs.recv()).await.unwrap();
    Cause::Memory.begin(&server);
    // Longer than the lease.
    let renewed = std::time::Instant::now();
    while renewed.elapsed() < 3 * lease {
        assert_eq!(code(&app, "key", "/").await, "idempotency_key_in_flight");
    }
    gate.open();
    assert_eq!(first.await.unwrap(), StatusCode::CREATED);
    assert!(is_replayed(&app, "key", "/").await);
    Cause::Memory.end(&server);
    assert!(is_replayed(&app, "key", "/").await);
    assert!(runs.try_recv().is_err(), "it ran once");
}
