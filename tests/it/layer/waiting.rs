//! How much is held for requests that wait.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_idempotency::InFlight;

use crate::support::{Effects, Gate, Server, TestLayer, WireResponse, gated, layer, post};

const MIB: usize = 1 << 20;

/// One request runs, and `waiters` others wait for its response under limits. Those that may not
/// wait get their 409 while it runs; the number of these is what the limits leave over.
async fn too_many(waiters: usize, rejected: usize, limits: impl Fn(TestLayer) -> TestLayer) {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = limits(layer().in_flight(InFlight::Wait(Duration::from_mins(1))));
    let server = Server::start(gated(&effects, &gate).layer(layer)).await;
    let call = post("/").key("order-1001").body(vec![b'x'; MIB]);
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;

    let mut waiting = JoinSet::new();
    for _ in 0..waiters {
        let (call, stream) = (call.clone(), call.begin(&server, usize::MAX).await);
        waiting.spawn(async move { call.finish(stream).await });
    }
    for _ in 0..rejected {
        let response: WireResponse = waiting.join_next().await.unwrap().unwrap();
        response.assert_rejected(409, "idempotency_key_in_flight");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert_eq!(waiting.len(), waiters - rejected);
    gate.open();
    let first = call.finish(running).await;
    while let Some(response) = waiting.join_next().await {
        response.unwrap().assert_replays(&first);
    }
    assert_eq!(effects.count(), 1);

    // What they held is given back.
    call.send(&server).await.assert_replays(&first);
}

#[tokio::test]
async fn no_more_requests_wait_than_the_limit_says() {
    too_many(6, 4, |layer| layer.max_waiting(2)).await;
    too_many(2, 2, |layer| layer.max_waiting(0)).await;
}

#[tokio::test]
async fn the_bodies_of_waiting_requests_take_no_more_bytes_than_the_limit_says() {
    too_many(6, 3, |layer| layer.max_held_bytes(4 * MIB - 1)).await;
    too_many(70, 6, |layer| layer).await;
}
