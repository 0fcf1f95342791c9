//! The load that waiters put on a store that they share with other processes.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use redis::Client;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_idempotency::{InFlight, RedisStore};

use crate::support::redis::RedisServer;
use crate::support::{Arrived, Effects, Gate, gated, layers_of_two_processes, patiently};

const WAITERS: usize = 1000;

/// How often a key was reserved or looked up, by this process or another. Each time takes one
/// `SET`, and so does the stored response.
async fn looks(server: &RedisServer) -> u64 {
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let info: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_set:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

async fn pay(router: Router) -> (StatusCode, bool, Vec<u8>) {
    let request =
        Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let replayed = response.headers().contains_key("x-idempotent-result");
    let status = response.status();
    (status, replayed, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Sends all the requests, a few at a time. While a thousand are sent at once, no task reads the
/// store's reply, and the layer gives the store up.
async fn crowd(router: &Router, arrived: &Arrived) -> JoinSet<(StatusCode, bool, Vec<u8>)> {
    let mut requests = JoinSet::new();
    for sent in 1..=WAITERS {
        requests.spawn(pay(router.clone()));
        if sent % 20 == 0 {
            arrived.reached(sent).await;
        }
    }
    requests
}

#[tokio::test]
async fn a_thousand_waiters_in_another_process_ask_no_more_often_than_one() {
    let server = RedisServer::start();
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let router = gated(&effects, &gate);
    // Each has a connection of its own, as two processes have.
    let [one, _] = layers_of_two_processes(&RedisStore::open(&server.url()).unwrap());
    let [other, _] = layers_of_two_processes(&RedisStore::open(&server.url()).unwrap());
    let [one, other] = [one, other].map(|layer| {
        layer
            .namespace("payments")
            .in_flight(InFlight::Wait(Duration::from_mins(1)))
            .max_waiting(10 * WAITERS)
    });
    let other = router.clone().layer(arrived.counted(other));
    let running = tokio::spawn(pay(router.layer(one)));
    effects.reached(1).await;
    let before = looks(&server).await;

    let start = Instant::now();
    let waiters = crowd(&other, &arrived).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (looked, seconds) = (looks(&server).await - before, start.elapsed().as_secs() + 1);
    // The first pauses are shorter: five looks more.
    let most = 6 + 4 * seconds;
    assert!((2..=most).contains(&looked), "{looked} looks in {seconds} s");

    gate.open();
    let (status, replayed, body) = running.await.unwrap();
    assert_eq!((status, replayed), (StatusCode::OK, false));
    for response in patiently(waiters.join_all()).await {
        assert_eq!(response, (StatusCode::OK, true, body.clone()));
    }
    let after = looks(&server).await - before;
    assert!(after <= looked + 3, "{after} looks in all: the response was read more than once");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn waiters_beside_the_running_request_do_not_ask_at_all() {
    let server = RedisServer::start();
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let router = gated(&effects, &gate);
    let [layer, _] = layers_of_two_processes(&RedisStore::open(&server.url()).unwrap());
    let layer = arrived
        .counted(layer.in_flight(InFlight::Wait(Duration::from_mins(1))).max_waiting(10 * WAITERS));
    let router = router.layer(layer);
    let requests = crowd(&router, &arrived).await;
    effects.reached(1).await;
    gate.open();
    let responses = patiently(requests.join_all()).await;
    assert_eq!(responses.iter().filter(|(_, replayed, _)| !replayed).count(), 1);
    assert!(responses.iter().all(|(status, _, body)| *status == 200 && body == b"done"));
    assert_eq!(looks(&server).await, 2, "one to reserve the key and one to store the response");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn waiters_that_come_and_go_ask_no_more_often_than_those_that_stay() {
    let server = RedisServer::start();
    let (effects, gate) = (Effects::new(), Gate::new());
    let router = gated(&effects, &gate);
    let [one, _] = layers_of_two_processes(&RedisStore::open(&server.url()).unwrap());
    let [other, _] = layers_of_two_processes(&RedisStore::open(&server.url()).unwrap());
    let brief = InFlight::Wait(Duration::from_millis(500));
    let [one, other] = [one, other].map(|layer| layer.namespace("payments").in_flight(brief));
    let running = tokio::spawn(pay(router.clone().layer(one)));
    effects.reached(1).await;
    let before = looks(&server).await;

    let other = router.layer(other);
    let start = Instant::now();
    let mut waiters = JoinSet::new();
    while start.elapsed() < Duration::from_secs(3) {
        waiters.spawn(pay(other.clone()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let count = waiters.len();
    let rejected = patiently(waiters.join_all()).await;
    assert!(rejected.iter().all(|(status, _, _)| *status == StatusCode::CONFLICT));
    let (looked, seconds) = (looks(&server).await - before, start.elapsed().as_secs() + 1);
    assert!(looked <= 6 + 5 * seconds, "{looked} looks of {count} waiters in {seconds} s");
    gate.open();
    running.await.unwrap();
    assert_eq!(effects.count(), 1);
}
