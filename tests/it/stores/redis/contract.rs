//! The promises of the Redis store, on a server and through the whole layer.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt;
use redis::{AsyncTypedCommands, Client};
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_idempotency::store::{Store, conformance};
use tower_idempotency::{IdempotencyLayer, OnFailed, RedisStore, Scope};

use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

/// Long enough for a busy machine, short enough to wait for.
const UNIT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract() {
    let server = RedisServer::start();
    conformance::run(&RedisStore::open(&server.url()).unwrap(), UNIT).await.assert_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_on_a_connection_of_the_callers_own() {
    let server = RedisServer::start();
    let client = Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    conformance::run(&RedisStore::with_connection(connection), UNIT).await.assert_success();
}

/// Told when the handler of `/pending` runs, which one test asks for.
static STARTED: Notify = Notify::const_new();

/// A handler that responds by the path: `/status/500`, `/bytes/16384`.
fn app(store: RedisStore) -> Router {
    app_with(store, |layer| layer)
}

fn app_with(
    store: RedisStore,
    set_up: impl FnOnce(IdempotencyLayer<RedisStore>) -> IdempotencyLayer<RedisStore>,
) -> Router {
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    Router::new()
        .route(
            "/status/{status}",
            post(|axum::extract::Path(status): axum::extract::Path<u16>| async move {
                StatusCode::from_u16(status).unwrap()
            }),
        )
        .route(
            "/bytes/{bytes}",
            post(|axum::extract::Path(bytes): axum::extract::Path<usize>| async move {
                "x".repeat(bytes)
            }),
        )
        .route(
            "/pending",
            post(|| async {
                STARTED.notify_one();
                std::future::pending::<()>().await;
            }),
        )
        .layer(set_up(layer))
}

async fn call(app: &Router, key: &str, path: &str) -> Response<Body> {
    let request = Request::post(path).header("x-idempotency-key", key).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

async fn code(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

fn is_replay(response: &Response<Body>) -> bool {
    response.headers().get("x-idempotent-result").is_some_and(|marker| marker == "true")
}

/// A server, a proxy that counts, and a store behind it that has connected and taught the server
/// its scripts.
async fn counted() -> (RedisServer, Proxy, RedisStore) {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = RedisStore::open(&proxy.url()).unwrap();
    let app = app_with(store.clone(), |layer| layer.namespace("warm-up"));
    call(&app, "a", "/status/201").await;
    // Bodies have a connection of their own.
    call(&app, "b", "/bytes/5000").await;
    proxy.round_trips();
    (server, proxy, store)
}

#[tokio::test]
async fn a_first_execution_takes_two_round_trips_and_every_retry_one() {
    let (_server, proxy, store) = counted().await;
    let app = app(store);

    assert_eq!(call(&app, "key", "/status/201").await.status(), 201);
    assert_eq!(proxy.round_trips(), 2, "first execution");

    assert!(is_replay(&call(&app, "key", "/status/201").await));
    assert_eq!(proxy.round_trips(), 1, "replay");

    let mismatch = call(&app, "key", "/status/200").await;
    assert_eq!(code(mismatch).await, "idempotency_key_reused");
    assert_eq!(proxy.round_trips(), 1, "mismatch");
}

#[tokio::test]
async fn a_request_in_flight_is_rejected_in_two_round_trips() {
    let (_server, proxy, store) = counted().await;
    let app = app(store);
    let (first, key) = (app.clone(), "key");
    let first = tokio::spawn(async move { call(&first, key, "/pending").await });
    STARTED.notified().await;
    proxy.round_trips();
    assert_eq!(code(call(&app, key, "/pending").await).await, "idempotency_key_in_flight");
    assert_eq!(proxy.round_trips(), 2, "reserve, age");
    first.abort();
}

#[tokio::test]
async fn a_failed_attempt_is_rejected_in_one_round_trip_and_run_again_in_three() {
    let (_server, proxy, store) = counted().await;
    let rejecting = app_with(store.clone(), |layer| layer.on_failed(OnFailed::Reject));

    assert_eq!(call(&rejecting, "key", "/status/500").await.status(), 500);
    assert_eq!(proxy.round_trips(), 2, "first execution");
    assert_eq!(
        code(call(&rejecting, "key", "/status/500").await).await,
        "idempotency_attempt_failed"
    );
    assert_eq!(proxy.round_trips(), 1, "rejection");

    // The first take-over teaches the server its script, which takes one more.
    call(&app(store.clone()), "key", "/status/500").await;
    proxy.round_trips();
    assert_eq!(call(&app(store), "key", "/status/500").await.status(), 500);
    assert_eq!(proxy.round_trips(), 3, "reserve, take over, fail");
}

#[tokio::test]
async fn a_large_response_is_completed_in_one_round_trip_and_replayed_in_two() {
    let (_server, proxy, store) = counted().await;
    let app = app(store);
    for bytes in [2049, 16 << 10, 1 << 20] {
        let path = format!("/bytes/{bytes}");
        call(&app, &path, &path).await;
        // The proxy may see a large pipeline in several pieces, but the server replies only to its
        // end.
        assert_eq!(proxy.round_trips(), 2, "first execution of {bytes} bytes");
        let replay = call(&app, &path, &path).await;
        assert!(is_replay(&replay));
        assert_eq!(replay.into_body().collect().await.unwrap().to_bytes(), "x".repeat(bytes));
        assert_eq!(proxy.round_trips(), 2, "replay of {bytes} bytes");
    }
}

#[tokio::test]
async fn a_server_that_lost_its_scripts_gets_them_again() {
    let server = RedisServer::start();
    let app = app(RedisStore::open(&server.url()).unwrap());
    for key in ["one", "two"] {
        assert_eq!(call(&app, key, "/bytes/4096").await.status(), 200);
        assert!(is_replay(&call(&app, key, "/bytes/4096").await));
        let mut connection = connect(&server).await;
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.unwrap();
    }
}

async fn connect(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn no_client_input_is_a_name_in_redis() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap().prefix("shop{1}:");
    let app = app_with(store, |layer| layer.namespace("name-of-space"));
    call(&app, "the-key-of-the-client", "/bytes/5000").await;
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("*").query_async(&mut connect(&server).await).await.unwrap();
    assert_eq!(names.len(), 2, "a record and a body");
    let is_record =
        |name: &&Vec<u8>| name.starts_with(b"shop1:") && name.len() == "shop1:".len() + 64;
    let record = names.iter().find(is_record).expect("braces are left out");
    let body = names.iter().find(|name| *name != record).unwrap();
    let name = [b"shop1:body:{", record.as_slice(), b"}"].concat();
    assert!(body.starts_with(&name), "one slot for both, and names that begin with the prefix");
    for name in &names {
        let name = String::from_utf8_lossy(name).into_owned();
        assert!(!name.contains("client") && !name.contains("space"), "{name}");
    }
}

#[tokio::test]
async fn every_record_and_every_body_expires() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let app = app_with(store, |layer| layer.retention(Duration::from_mins(1)));
    call(&app, "small", "/bytes/10").await;
    call(&app, "large", "/bytes/5000").await;
    call(&app, "failed", "/status/500").await;
    let mut connection = connect(&server).await;
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(names.len(), 4);
    for name in names {
        let left: i64 = redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        // A body outlives its record by a lease and two minutes.
        let most = if name.starts_with(b"idempotency:body:") { 190_000 } else { 60_000 };
        assert!((most - 10_000..=most).contains(&left), "{left} ms left");
    }
}

#[tokio::test]
async fn a_discarded_response_leaves_no_record() {
    let server = RedisServer::start();
    let app = app(RedisStore::open(&server.url()).unwrap());
    assert_eq!(call(&app, "key", "/status/422").await.status(), 422);
    let size: usize = redis::cmd("DBSIZE").query_async(&mut connect(&server).await).await.unwrap();
    assert_eq!(size, 0);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_never_run_again() {
    let server = RedisServer::start();
    let app = app(RedisStore::open(&server.url()).unwrap());
    let mut connection = connect(&server).await;
    call(&app, "key", "/status/201").await;
    let names: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let whole: Vec<u8> =
        redis::cmd("GET").arg(&names[0]).query_async(&mut connection).await.unwrap();
    let mut later_version = whole.clone();
    later_version[0] += 1;
    let mut unknown_status = whole.clone();
    unknown_status[1] = b'X';
    let cut = whole[..whole.len() - 1].to_vec();
    for damaged in [Vec::new(), b"hello".to_vec(), cut, later_version, unknown_status] {
        connection.set(&names[0], &damaged).await.unwrap();
        let rejected = call(&app, "key", "/status/201").await;
        assert_eq!(rejected.status(), 503);
        assert_eq!(code(rejected).await, "idempotency_store_unavailable");
        let stored: Vec<u8> =
            redis::cmd("GET").arg(&names[0]).query_async(&mut connection).await.unwrap();
        assert_eq!(stored, damaged, "it is left for inspection");
    }
    connection.del(&names[0]).await.unwrap();
    connection.rpush(&names[0], "a list").await.unwrap();
    assert_eq!(call(&app, "key", "/status/201").await.status(), 503);
}

#[tokio::test]
async fn a_response_whose_body_was_lost_is_rejected_and_not_run_again() {
    let server = RedisServer::start();
    let app = app(RedisStore::open(&server.url()).unwrap());
    call(&app, "key", "/bytes/5000").await;
    let mut connection = connect(&server).await;
    let bodies: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("*:body:*").query_async(&mut connection).await.unwrap();
    connection.del(&bodies).await.unwrap();
    assert_eq!(
        code(call(&app, "key", "/bytes/5000").await).await,
        "idempotency_result_not_retained"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_killed_every_request_is_rejected_in_time_and_service_resumes_by_itself() {
    let mut server = RedisServer::start();
    let timeout = Duration::from_millis(800);
    let store = RedisStore::open(&server.url()).unwrap();
    let app = app_with(store.clone(), |layer| layer.store_timeout(timeout));
    assert_eq!(call(&app, "before", "/status/201").await.status(), 201);

    server.kill();
    for round in 0..20 {
        let calls = (0..10).map(|number| {
            let app = app.clone();
            tokio::spawn(async move {
                let start = Instant::now();
                let rejected = call(&app, &format!("{round}-{number}"), "/status/201").await;
                (rejected, start.elapsed())
            })
        });
        for rejected in calls.collect::<Vec<_>>() {
            let (rejected, took) = rejected.await.unwrap();
            assert_eq!(rejected.status(), 503);
            assert!(rejected.headers().contains_key("retry-after"));
            assert!(took < timeout + Duration::from_millis(400), "{took:?}");
        }
    }
    assert!(store.ping().await.is_err());

    server.restart();
    let back = Instant::now();
    while call(&app, "after", "/status/201").await.status() != 201 {
        assert!(back.elapsed() < Duration::from_secs(2), "service has not resumed");
    }
    assert!(is_replay(&call(&app, "after", "/status/201").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_stopped_every_request_is_rejected_in_time() {
    let server = RedisServer::start();
    let timeout = Duration::from_millis(400);
    let app =
        app_with(RedisStore::open(&server.url()).unwrap(), |layer| layer.store_timeout(timeout));
    assert_eq!(call(&app, "before", "/status/201").await.status(), 201);

    server.stop();
    let start = Instant::now();
    assert_eq!(call(&app, "during", "/status/201").await.status(), 503);
    assert!(start.elapsed() < timeout + Duration::from_millis(400), "{:?}", start.elapsed());
    server.resume();

    assert!(is_replay(&call(&app, "before", "/status/201").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_silent_is_replaced_even_if_no_request_waits_for_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    // Shorter than the time that the connection gives the server for a reply.
    let app = app_with(RedisStore::open(&proxy.url()).unwrap(), |layer| {
        layer.store_timeout(Duration::from_millis(200))
    });
    assert_eq!(call(&app, "before", "/status/201").await.status(), 201);
    proxy.silence();
    resumes(&app).await;
}

/// Asks until there is service again.
async fn resumes(app: &Router) {
    let start = Instant::now();
    for number in 0.. {
        if call(app, &format!("after-{number}"), "/status/201").await.status() == 201 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(3), "service has not resumed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_from_the_first_does_not_lose_its_lease() {
    let server = RedisServer::start();
    let lease = Duration::from_millis(300);
    let (began, mut runs) = tokio::sync::mpsc::unbounded_channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let ends = std::sync::Arc::new(std::sync::Mutex::new(ends));
    let app = |blocks: bool| {
        let (began, ends) = (began.clone(), ends.clone());
        let handler = move || async move {
            began.send(()).unwrap();
            if blocks {
                let _ = ends.lock().unwrap().recv();
            }
            "done"
        };
        let store = RedisStore::open(&server.url()).unwrap();
        let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).lease(lease);
        Router::new().route("/", post(handler)).layer(layer)
    };
    let (one, other) = (app(true), app(false));
    let running = tokio::spawn(async move { call(&one, "k", "/").await.status() });
    runs.recv().await.unwrap();
    let start = Instant::now();
    while start.elapsed() < 4 * lease {
        assert_eq!(call(&other, "k", "/").await.status(), StatusCode::CONFLICT);
    }
    drop(end);
    assert_eq!(running.await.unwrap(), StatusCode::OK);
    assert!(runs.try_recv().is_err(), "it ran once");
}
