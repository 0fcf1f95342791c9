//! Services inside the layer have capacity for requests that run, and for no others.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_idempotency::{IdempotencyKey, InFlight, Scope};

use crate::support::{Arrived, Effects, Gate, Server, app, layer, patiently, post, service};

/// A handler that waits at the gate if its path is `/slow`.
fn slow_or_quick(
    effects: &Effects,
    gate: &Gate,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let gate = gate.clone();
    service(effects, move |request: Request| {
        let gate = gate.clone();
        async move {
            if request.uri().path() == "/slow" {
                gate.passed().await;
            }
            (StatusCode::CREATED, "done")
        }
    })
}

/// axum gives requests the body that a layer needs.
async fn serve<S>(service: S) -> Server
where
    S: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Server::start(Router::new().fallback_service(service)).await
}

#[tokio::test]
async fn duplicates_and_replays_do_not_wait_for_the_only_place_inside() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let stack = ServiceBuilder::new().layer(layer()).layer(ConcurrencyLimitLayer::new(1));
    let server = serve(stack.service(slow_or_quick(&effects, &gate))).await;
    let finished = post("/quick").key("order-1001").send(&server).await;
    finished.assert_first(201, "done");

    let slow = post("/slow").key("order-1002");
    let running = slow.begin(&server, usize::MAX).await;
    effects.reached(2).await;
    slow.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    post("/quick").key("order-1001").send(&server).await.assert_replays(&finished);
    let other = post("/quick").key("order-1001").body("other");
    other.send(&server).await.assert_rejected(409, "idempotency_key_reused");
    gate.open();
    slow.finish(running).await.assert_first(201, "done");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn retries_that_wait_for_a_slow_response_hold_up_no_other_operation() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let layer = arrived.counted(layer().in_flight(InFlight::Wait(Duration::from_mins(1))));
    let stack = ServiceBuilder::new().layer(layer).layer(GlobalConcurrencyLimitLayer::new(3));
    let server = serve(stack.service(slow_or_quick(&effects, &gate))).await;
    let slow = post("/slow").key("order-1001");
    let running = slow.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let retries = [slow.begin(&server, usize::MAX).await, slow.begin(&server, usize::MAX).await];
    arrived.reached(3).await;

    post("/quick").key("order-1002").send(&server).await.assert_first(201, "done");
    gate.open();
    let first = slow.finish(running).await;
    for retry in retries {
        slow.finish(retry).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn what_runs_waits_for_a_place_guarded_or_not() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let stack =
        ServiceBuilder::new().layer(arrived.counted(layer())).layer(ConcurrencyLimitLayer::new(1));
    let server = serve(stack.service(slow_or_quick(&effects, &gate))).await;
    let slow = post("/slow").key("order-1001");
    let running = slow.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let quick = post("/quick").key("order-1002");
    let waiting = quick.begin(&server, usize::MAX).await;
    arrived.reached(2).await;
    let unguarded = post("/quick");
    let passing = unguarded.begin(&server, usize::MAX).await;
    // It has reserved its key, and waits for the place.
    quick.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    assert_eq!(effects.count(), 1);
    gate.open();
    slow.finish(running).await.assert_first(201, "done");
    quick.finish(waiting).await.assert_first(201, "done");
    unguarded.finish(passing).await.assert_first(201, "done");
    assert_eq!(effects.count(), 3);
}

#[tokio::test]
async fn a_shutdown_ends_the_wait_for_a_place_and_the_operation_never_began() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let layer = arrived.counted(layer());
    let stack = ServiceBuilder::new().layer(layer.clone()).layer(ConcurrencyLimitLayer::new(1));
    let server = serve(stack.service(slow_or_quick(&effects, &gate))).await;
    let slow = post("/slow").key("order-1001");
    let running = slow.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let waits = post("/quick").key("order-1002");
    let waiting = waits.begin(&server, usize::MAX).await;
    arrived.reached(2).await;
    let shutdown = layer.shutdown();
    waits.finish(waiting).await.assert_rejected(503, "idempotency_shutting_down");
    gate.open();
    slow.finish(running).await.assert_first(201, "done");
    patiently(shutdown).await;
    assert_eq!(effects.count(), 1);
    let key = IdempotencyKey::parse(b"order-1002").unwrap();
    assert!(layer.inspect(&Scope::anonymous(), &key).await.unwrap().is_none());
}

/// A service that fails to become ready until it is healed.
#[derive(Clone)]
struct Ailing<S>(S, Arc<AtomicBool>);

impl<S: Service<Request, Error = Infallible, Future: Send + 'static>> Service<Request>
    for Ailing<S>
{
    type Response = S::Response;
    type Error = &'static str;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, &'static str>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.1.load(Ordering::Relaxed) {
            return self.0.poll_ready(cx).map_err(|never| match never {});
        }
        Poll::Ready(Err("not ready"))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let called = self.0.call(request);
        Box::pin(async move { called.await.map_err(|never| match never {}) })
    }
}

#[tokio::test]
async fn an_operation_whose_service_did_not_become_ready_never_began() {
    let effects = Effects::new();
    let healed = Arc::new(AtomicBool::new(false));
    let inner = app(&effects, |_| async { "done" });
    let guarded = layer().layer(Ailing(inner, Arc::clone(&healed)));
    let request =
        || Request::post("/").header("x-idempotency-key", "order-1001").body("".into()).unwrap();
    assert_eq!(guarded.clone().oneshot(request()).await.unwrap_err(), "not ready");
    healed.store(true, Ordering::Relaxed);
    let response = patiently(guarded.oneshot(request())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(effects.attempts(), [(1, None)]);
}
