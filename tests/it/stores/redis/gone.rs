//! Records that Redis has lost while their operations ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower_idempotency::store::{
    Lease, Outcome, Record, Reservation, ReserveRequest, Settlement, State, StorageKey, Store,
    StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, RedisStore, Scope};

use crate::support::redis::RedisServer;
use crate::support::{Gate, patiently, with};

#[tokio::test]
async fn a_response_is_stored_though_the_server_was_flushed_while_the_handler_ran() {
    for bytes in [10, 5_000] {
        let server = RedisServer::start();
        let store = RedisStore::open(&server.url()).unwrap();
        let (runs, entered, gate) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)), Gate::new());
        let handler = {
            let (runs, entered, gate) = (Arc::clone(&runs), Arc::clone(&entered), gate.clone());
            move || async move {
                runs.fetch_add(1, Ordering::SeqCst);
                entered.add_permits(1);
                gate.passed().await;
                (StatusCode::CREATED, "x".repeat(bytes))
            }
        };
        let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
        let app = Router::new().route("/", post(handler)).layer(layer);

        let first = tokio::spawn(call(app.clone()));
        patiently(entered.acquire()).await.unwrap().forget();
        server.clear();
        assert_eq!(server.size(), 0);
        gate.open();
        assert_eq!(whole(first.await.unwrap()).await, (StatusCode::CREATED, bytes, false));

        assert_eq!(whole(call(app).await).await, (StatusCode::CREATED, bytes, true));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

async fn call(app: Router) -> Response<Body> {
    let request = Request::post("/").header("idempotency-key", "order-1001").body(Body::empty());
    app.oneshot(request.unwrap()).await.unwrap()
}

/// Status, length, and whether it was a replay.
async fn whole(response: Response<Body>) -> (StatusCode, usize, bool) {
    let is_replay =
        response.headers().get("x-idempotent-result").is_some_and(|marker| marker == "true");
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes().len(), is_replay)
}

fn outcome(status: StatusCode, byte: u8) -> Outcome {
    let body = StoredBody::Whole { bytes: vec![byte; 5_000].into(), trailers: None };
    Outcome::new(status, body)
}

async fn acquire(store: &RedisStore) -> Lease {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let request = ReserveRequest::new(
        StorageKey::derive(None, "gone", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_mins(1))
    .retention(Duration::from_mins(2));
    match store.reserve(&request).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

#[tokio::test]
async fn a_body_that_outlived_its_record_is_replaced_by_the_next_write() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let lease = acquire(&store).await;
    let first = outcome(StatusCode::CREATED, b'1');
    let settled = store.complete(&lease, &first, Duration::from_millis(1)).await.unwrap();
    assert_eq!(settled, Settlement::Applied);
    patiently(async { while store.inspect(&lease.key).await.unwrap().is_some() {} }).await;
    assert_eq!(server.size(), 1, "the body of the first write");

    let (second, retention) = (outcome(StatusCode::ACCEPTED, b'2'), Duration::from_hours(2));
    assert_eq!(store.complete(&lease, &second, retention).await.unwrap(), Settlement::Applied);
    let record = store.inspect(&lease.key).await.unwrap().unwrap();
    assert!(matches!(record.state, State::Success(found) if found == second));

    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let bodies: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("idempotency:body:*").query(&mut connection).unwrap();
    let left: u128 = redis::cmd("PTTL").arg(&bodies).query(&mut connection).unwrap();
    assert!(left > retention.as_millis(), "the body outlives its record, but has {left} ms left");
}

async fn connect(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Puts a field at the end of the record, or at `at`, as a later version of the crate writes it. An
/// even tag is one that other versions may leave out.
async fn add_a_field(server: &RedisServer, at: Option<usize>) -> Vec<u8> {
    let mut connection = connect(server).await;
    let names: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let [name] = &names[..] else { panic!("not one record: {names:?}") };
    let mut frame: Vec<u8> =
        redis::cmd("GET").arg(name).query_async(&mut connection).await.unwrap();
    let at = at.unwrap_or(frame.len());
    frame.splice(at..at, *b"\0\x05\x02\x03two");
    redis::cmd("SET")
        .arg(name)
        .arg(&frame)
        .arg("KEEPTTL")
        .exec_async(&mut connection)
        .await
        .unwrap();
    frame
}

async fn frame(server: &RedisServer) -> Vec<u8> {
    let mut connection = connect(server).await;
    let names: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    redis::cmd("GET").arg(&names[0]).query_async(&mut connection).await.unwrap()
}

/// Two versions of the crate may share a store while a service is updated.
#[tokio::test]
async fn a_record_with_a_field_of_a_later_version_is_renewed_taken_over_settled_and_read() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let first = acquire(&store).await;
    let later = add_a_field(&server, None).await;
    assert_eq!(store.renew(&first).await.unwrap(), Settlement::Applied);
    assert_eq!(frame(&server).await, later, "the same times leave the record as it is");

    let brief = with(first.clone(), |lease| lease.lease = Duration::from_millis(1));
    assert_eq!(store.renew(&brief).await.unwrap(), Settlement::Applied);
    add_a_field(&server, None).await;
    patiently(async {
        let abandoned = |record: Record| matches!(record.state, State::Pending { abandoned: true });
        while !store.inspect(&first.key).await.unwrap().is_some_and(abandoned) {}
    })
    .await;
    let second = acquire(&store).await;
    assert_eq!((second.attempt, second.replaces), (2, Some(first.token)));

    add_a_field(&server, None).await;
    let stored = Outcome::new(StatusCode::CREATED, StoredBody::Omitted);
    assert_eq!(
        store.complete(&second, &stored, Duration::from_mins(1)).await.unwrap(),
        Settlement::Applied
    );
    // Behind version, status, token, fingerprint and attempt.
    add_a_field(&server, Some(18 + Fingerprint::LEN + 4)).await;
    let found = store.inspect(&first.key).await.unwrap().unwrap();
    assert!(matches!(found.state, State::Success(found) if found == stored));
}
