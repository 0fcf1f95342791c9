//! Response bodies that do not end.

use std::time::Duration;

use axum::body::Body;
use tokio::io::AsyncReadExt;

use crate::support::{Effects, Gate, Server, app, gated_whole, layer, patiently, post, read_frame};

fn stalling(effects: &Effects, gate: &Gate) -> axum::Router {
    let gate = gate.clone();
    app(effects, move |_| {
        let body: Body = gated_whole("first half, ", "second half", gate.clone());
        async { body }
    })
}

#[tokio::test]
async fn a_body_that_stalls_goes_to_the_client_as_it_comes_and_is_not_retained() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer().capture_timeout(Duration::from_millis(50));
    let server = Server::start(stalling(&effects, &gate).layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let mut client = call.begin(&server, usize::MAX).await;
    read_frame(&mut client, "first half, ").await;
    // The record is settled before the client sees a byte, and the shutdown has nothing to wait
    // for.
    let rejected = call.send(&server).await;
    assert_eq!(
        rejected.assert_rejected(409, "idempotency_result_not_retained")["original_status"],
        200
    );
    patiently(layer.shutdown()).await;
    gate.open();
    let mut rest = String::new();
    patiently(client.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("second half"), "{rest}");
    assert_eq!(effects.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_slow_but_ends_within_the_bound_is_replayed() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(stalling(&effects, &gate).layer(layer())).await;
    let call = post("/").key("order-1001");
    let client = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    gate.open();
    let first = call.finish(client).await;
    first.assert_first(200, "first half, second half");
    call.send(&server).await.assert_replays(&first);
}
