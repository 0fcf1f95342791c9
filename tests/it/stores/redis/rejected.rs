//! What Redis rejects for good, and what it rejects for the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, Reservation, ReserveRequest, Settlement, State, StorageKey, Store,
    StoreError, StoreErrorKind, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, RedisStore, Scope};

use crate::support::Log;
use crate::support::redis::RedisServer;

const RETENTION: Duration = Duration::from_mins(1);

fn request(key: &str) -> ReserveRequest {
    let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "rejected", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_mins(1))
    .retention(Duration::from_mins(2))
}

async fn acquire(store: &RedisStore, key: &str) -> Lease {
    match store.reserve(&request(key)).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

fn outcome(bytes: usize) -> Outcome {
    let body = StoredBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None };
    Outcome::new(StatusCode::CREATED, body)
}

fn not_retained() -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::NotRetained(NotRetained::TooLarge))
}

fn tell(server: &RedisServer, words: &str) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut words = words.split(' ');
    redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).exec(&mut connection).unwrap();
}

/// A store whose user may use these names.
fn limited_to(server: &RedisServer, names: &str) -> RedisStore {
    tell(server, &format!("ACL SETUSER limited on >secret {names} +@all"));
    RedisStore::open(&server.url().replace("://", "://limited:secret@")).unwrap()
}

#[tokio::test]
async fn a_body_that_the_user_may_not_write_is_rejected_and_the_record_can_be_written_without_it() {
    let server = RedisServer::start();
    // The names of records, and not those of bodies.
    let store = limited_to(&server, "~idempotency:[0-9a-f][0-9a-f]*");
    for known in [false, true] {
        let small = acquire(&store, &format!("small-{known}")).await;
        let large = acquire(&store, &format!("large-{known}")).await;
        if known {
            assert_eq!(
                store.complete(&small, &outcome(10), RETENTION).await.unwrap(),
                Settlement::Applied
            );
        }
        for _ in 0..2 {
            let rejected = store.complete(&large, &outcome(5_000), RETENTION).await.unwrap_err();
            assert_eq!(rejected.kind(), StoreErrorKind::Configuration, "{rejected:?}");
            let rejected = store.fail(&large, Some(&outcome(5_000)), RETENTION).await.unwrap_err();
            assert_eq!(rejected.kind(), StoreErrorKind::Configuration, "{rejected:?}");
        }
        let without = not_retained();
        assert_eq!(store.complete(&large, &without, RETENTION).await.unwrap(), Settlement::Applied);
        let record = store.inspect(&large.key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Success(found) if found == without));
    }
}

/// On one thread, whose log is its own.
#[tokio::test]
async fn a_response_whose_body_is_rejected_is_stored_without_it_at_once_and_the_log_says_what_to_do()
 {
    let (log, _guard) = Log::warnings();
    let server = RedisServer::start();
    let store = limited_to(&server, "~idempotency:[0-9a-f][0-9a-f]*");
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready((
                StatusCode::CREATED,
                [("location", "/payments/1")],
                "x".repeat(5_000),
            ))
        }
    };
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    let app = Router::new().route("/", post(handler)).layer(layer);
    let call = async || {
        let request =
            Request::post("/").header("idempotency-key", "order-1001").body(Body::empty());
        app.clone().oneshot(request.unwrap()).await.unwrap()
    };
    let first = call().await;
    assert_eq!(first.status(), StatusCode::CREATED);
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes().len(), 5_000);
    let retry = call().await;
    assert_eq!(
        (retry.status(), &retry.headers()["location"]),
        (StatusCode::CONFLICT, &"/payments/1".parse().unwrap())
    );
    let problem = retry.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&problem).contains("idempotency_result_not_retained"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let lines = log.lines("the store rejects the response");
    assert!(
        matches!(&lines[..], [line] if line.contains("RedisStore") && line.contains("NoPerm")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_user_of_the_prefix_stores_large_responses_too_and_a_retry_is_a_replay() {
    let server = RedisServer::start();
    let store = limited_to(&server, "~idempotency:*");
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready((StatusCode::CREATED, "x".repeat(5_000)))
        }
    };
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    let app = Router::new().route("/", post(handler)).layer(layer);
    for _ in 0..2 {
        let request =
            Request::post("/").header("idempotency-key", "order-1001").body(Body::empty());
        let response = app.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 5_000);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_that_is_longer_than_the_server_takes_is_rejected() {
    let server = RedisServer::start();
    tell(&server, "CONFIG SET proto-max-bulk-len 1048576");
    let store = RedisStore::open(&server.url()).unwrap();
    let lease = acquire(&store, "long").await;
    let rejected = store.complete(&lease, &outcome(1_048_577), RETENTION).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Rejected, "{rejected:?}");
    let settled = store.complete(&lease, &not_retained(), RETENTION).await.unwrap();
    assert_eq!(settled, Settlement::Applied);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_for_the_moment_rejects_nothing_for_good() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let moments = [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ];
    for (begin, end) in moments {
        for bytes in [10, 5_000] {
            let lease = acquire(&store, &format!("{begin} {bytes}").replace(' ', "-")).await;
            tell(&server, begin);
            let completed = store.complete(&lease, &outcome(bytes), RETENTION).await;
            let kind = match begin {
                // A small response is stored all the same.
                "CONFIG SET maxmemory 1" if bytes == 10 => None,
                "CONFIG SET maxmemory 1" => Some(StoreErrorKind::Full),
                _ => Some(StoreErrorKind::Unavailable),
            };
            assert_eq!(
                completed.as_ref().err().map(StoreError::kind),
                kind,
                "{begin}: {completed:?}"
            );
            tell(&server, end);
            let settled = crate::support::patiently(async {
                loop {
                    if let Ok(settled) = store.complete(&lease, &outcome(bytes), RETENTION).await {
                        break settled;
                    }
                }
            });
            assert_eq!(settled.await, Settlement::Applied);
            let record = store.inspect(&lease.key).await.unwrap().unwrap();
            assert!(
                matches!(record.state, State::Success(found) if found == outcome(bytes)),
                "{begin}"
            );
        }
    }
}
