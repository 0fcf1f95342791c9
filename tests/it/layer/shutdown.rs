//! Layers that are shut down while requests run.

use std::time::Duration;

use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{InFlight, OnOutage};

use crate::support::{
    Arrived, Effects, Fault, Gate, Operation, Scripted, Server, counting, gated, layer, layer_over,
    layers_of_two_processes, patiently, post, store,
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_shutdown_begins_nothing_new_and_waits_for_what_runs() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer().retry_after(Duration::from_secs(3));
    let server = Server::start(gated(&effects, &gate).layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;

    let mut shutdown = tokio_test::task::spawn(layer.shutdown());
    assert!(shutdown.poll().is_pending());
    for key in ["order-1001", "order-1002"] {
        let rejected = post("/").key(key).send(&server).await;
        rejected.assert_rejected(503, "idempotency_shutting_down");
        assert_eq!(rejected.header("retry-after"), Some("3"));
    }
    assert!(shutdown.poll().is_pending());
    gate.open();
    call.finish(running).await.assert_first(200, "done");
    patiently(shutdown).await;
    post("/").send(&server).await.assert_first(200, "done");
    assert_eq!(effects.count(), 2, "the one that ran, and the one without a key");
}

#[tokio::test]
async fn a_shutdown_takes_effect_when_it_is_called_and_is_not_undone() {
    let effects = Effects::new();
    let layer = layer().on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    let server = Server::start(counting(&effects).layer(layer.clone())).await;
    drop(layer.shutdown());
    post("/")
        .key("order-1001")
        .send(&server)
        .await
        .assert_rejected(503, "idempotency_shutting_down");
    patiently(layer.shutdown()).await;
    post("/")
        .key("order-1001")
        .send(&server)
        .await
        .assert_rejected(503, "idempotency_shutting_down");
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_shutdown_waits_for_a_handler_whose_client_has_hung_up() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer();
    let server = Server::start(gated(&effects, &gate).layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    drop(running);
    server.ended(1).await;

    let mut shutdown = tokio_test::task::spawn(layer.shutdown());
    assert!(shutdown.poll().is_pending());
    gate.open();
    patiently(shutdown).await;
}

#[tokio::test]
async fn requests_that_only_wait_for_a_response_are_rejected_at_once() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let layer = arrived.counted(layer().in_flight(InFlight::Wait(MINUTE)));
    let server = Server::start(gated(&effects, &gate).layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let running = call.begin(&server, usize::MAX).await;
    let waiting = call.begin(&server, usize::MAX).await;
    arrived.reached(2).await;

    let shutdown = layer.shutdown();
    let (one, other) = (call.finish(running), call.finish(waiting));
    let mut responses = tokio_test::task::spawn(async { tokio::join!(one, other) });
    assert!(responses.poll().is_pending());
    gate.open();
    let (one, other) = patiently(responses).await;
    let (rejected, first) = if one.status == 503 { (one, other) } else { (other, one) };
    rejected.assert_rejected(503, "idempotency_shutting_down");
    first.assert_first(200, "done");
    patiently(shutdown).await;
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_a_response_that_is_still_being_written() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone()));
    let server = Server::start(counting(&effects).layer(layer.clone())).await;
    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    post("/").key("order-1001").send(&server).await.assert_first(200, "run 1");

    let mut shutdown = tokio_test::task::spawn(layer.shutdown());
    assert!(shutdown.poll().is_pending());
    store.heal();
    patiently(shutdown).await;
    let calls = store.calls(Operation::Complete);
    assert!(calls >= 2, "it was written {calls} times");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_the_lease_for_a_store_that_stays_down() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone())).lease(Duration::from_millis(60));
    let server = Server::start(counting(&effects).layer(layer.clone())).await;
    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    post("/").key("order-1001").send(&server).await.assert_first(200, "run 1");
    let started = std::time::Instant::now();
    patiently(layer.shutdown()).await;
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
}

#[tokio::test]
async fn no_member_of_a_line_begins_anything_when_its_first_has_left_because_of_the_shutdown() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let store = Scripted::over(store());
    let [one, other] =
        layers_of_two_processes(&store).map(|layer| layer.in_flight(InFlight::Wait(MINUTE)));
    let other = arrived.counted(other);
    let running = Server::start(gated(&effects, &gate).layer(one)).await;
    let waiting = Server::start(gated(&effects, &gate).layer(other.clone())).await;
    let call = post("/").key("order-1001");
    let first = call.begin(&running, usize::MAX).await;
    effects.reached(1).await;
    let mut line = Vec::new();
    for _ in 0..5 {
        line.push(call.begin(&waiting, usize::MAX).await);
    }
    arrived.reached(5).await;
    store.called(Operation::Changed, 1).await;

    let shutdown = other.shutdown();
    for waiter in line {
        call.finish(waiter).await.assert_rejected(503, "idempotency_shutting_down");
    }
    patiently(shutdown).await;
    assert_eq!(store.calls(Operation::Reserve), 2, "the running one, and the first of the line");
    gate.open();
    call.finish(first).await.assert_first(200, "done");
    assert_eq!(effects.count(), 1);
}
