//! A key in flight is found by one command, and its age by a second one. What happens in between.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{HeaderMap, Method, Request, StatusCode};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_idempotency::store::{
    Lease, Outcome, Reservation, ReserveRequest, State, StorageKey, Store, StoredBody,
};
use tower_idempotency::{
    Fingerprint, IdempotencyKey, IdempotencyLayer, OnOutage, RedisStore, Scope,
};

use crate::support::patiently;
use crate::support::redis::RedisServer;

/// What happens before the age of a record is asked for.
#[derive(Clone)]
enum Event {
    /// The attempt stores its response.
    Completes(RedisStore, Lease),
    /// The attempt says that nothing happened.
    Releases(RedisStore, Lease),
    /// The connection breaks.
    Breaks,
}

/// A connection on which the event happens.
#[derive(Clone)]
struct Between {
    connection: MultiplexedConnection,
    event: Event,
}

impl Between {
    async fn store(server: &RedisServer, event: Event) -> RedisStore {
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        RedisStore::with_connection(Self { connection, event })
    }
}

impl ConnectionLike for Between {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let asks_for_the_age =
                pipeline.get_packed_pipeline().windows(4).any(|window| window == b"PTTL");
            if asks_for_the_age {
                let settled = match &self.event {
                    Event::Completes(store, lease) => {
                        store.complete(lease, &paid(), Duration::from_mins(1)).await
                    }
                    Event::Releases(store, lease) => store.release(lease).await,
                    Event::Breaks => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
                };
                // A later look finds no lease to settle any more.
                let _ = settled.unwrap();
            }
            self.connection.req_packed_commands(pipeline, offset, count).await
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

fn request() -> ReserveRequest {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "in-flight", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
}

fn paid() -> Outcome {
    let body = StoredBody::Whole { bytes: "paid".into(), trailers: None };
    Outcome::new(StatusCode::CREATED, body)
}

/// Leaves an abandoned attempt alone, so that its age is asked for.
fn again() -> ReserveRequest {
    request().retry_abandoned(false)
}

async fn in_flight(server: &RedisServer) -> (RedisStore, Lease) {
    let store = RedisStore::open(&server.url()).unwrap();
    match store.reserve(&request()).await.unwrap() {
        Reservation::Acquired(lease) => (store, lease),
        found @ Reservation::Found(_) => panic!("{found:?}"),
    }
}

#[tokio::test]
async fn a_record_that_is_settled_meanwhile_is_found_with_its_response() {
    let server = RedisServer::start();
    let (store, lease) = in_flight(&server).await;
    let between = Between::store(&server, Event::Completes(store, lease)).await;
    match between.reserve(&again()).await.unwrap() {
        Reservation::Found(record) => {
            assert!(matches!(&record.state, State::Success(outcome) if *outcome == paid()));
        }
        acquired @ Reservation::Acquired(_) => panic!("{acquired:?}"),
    }
}

#[tokio::test]
async fn a_key_that_is_released_meanwhile_is_acquired() {
    let server = RedisServer::start();
    let (store, lease) = in_flight(&server).await;
    let between = Between::store(&server, Event::Releases(store, lease)).await;
    let acquired = between.reserve(&again()).await.unwrap();
    assert!(matches!(acquired, Reservation::Acquired(lease) if lease.attempt == 1));
}

#[tokio::test]
async fn a_key_that_was_found_in_flight_does_not_run_although_an_outage_follows() {
    let server = RedisServer::start();
    let (runs, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let began = Arc::new(Notify::new());
    let handler = {
        let (runs, go_on, began) = (Arc::clone(&runs), Arc::clone(&go_on), Arc::clone(&began));
        async move || {
            runs.fetch_add(1, Ordering::SeqCst);
            began.notify_one();
            go_on.notified().await;
            "paid"
        }
    };
    let app = |store: RedisStore| {
        let layer = IdempotencyLayer::new(store).on_outage(OnOutage::FailOpenRiskingDoubleEffects);
        Router::new().route("/", post(handler.clone())).layer(layer)
    };
    let pay = || {
        let request = Request::post("/").header("idempotency-key", "order-1001");
        request.body(Body::empty()).unwrap()
    };
    let first = tokio::spawn(app(RedisStore::open(&server.url()).unwrap()).oneshot(pay()));
    patiently(began.notified()).await;
    let second = app(Between::store(&server, Event::Breaks).await).oneshot(pay());
    assert_eq!(patiently(second).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    go_on.notify_one();
    assert_eq!(patiently(first).await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
