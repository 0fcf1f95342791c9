//! A layer inside of another one.

use std::time::Duration;

use axum::Router;
use axum::routing::post_service;
use http::StatusCode;
use tower_http::timeout::TimeoutLayer;
use tower_idempotency::{Attempt, IdempotencyKey, InFlight, Scope};

use crate::support::{
    Effects, Server, TestLayer, app, layer, layers_of_two_processes, patiently, post, service,
    store,
};

fn waiting(layer: TestLayer) -> TestLayer {
    layer.in_flight(InFlight::Wait(Duration::from_mins(1)))
}

/// Two requests: the handler runs once, and the second one is a replay.
async fn guards_once(router: Router) {
    let server = Server::start(router).await;
    let call = post("/cards").key("order-1001");
    let first = call.send(&server).await;
    first.assert_first(201, "done");
    call.send(&server).await.assert_replays(&first);
    post("/cards")
        .key("order-1001")
        .body("other")
        .send(&server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
}

fn handler(effects: &Effects) -> axum::routing::MethodRouter {
    post_service(service(effects, |_| async { (StatusCode::CREATED, "done") }))
}

#[tokio::test]
async fn a_route_may_have_settings_of_its_own_inside_of_the_same_layer() {
    for both in [layer(), waiting(layer())] {
        let effects = Effects::new();
        let cards = handler(&effects).layer(both.clone().retention(Duration::from_hours(1)));
        guards_once(Router::new().route("/cards", cards).route_layer(both)).await;
        assert_eq!(effects.attempts(), [(1, None)]);
    }
}

#[tokio::test]
async fn two_layers_that_share_a_store_and_a_namespace_guard_an_operation_once() {
    for settings in [|layer| layer, waiting] {
        let effects = Effects::new();
        let [outer, inner] = layers_of_two_processes(&store()).map(settings);
        guards_once(
            Router::new().route("/cards", handler(&effects).layer(inner)).route_layer(outer),
        )
        .await;
        assert_eq!(effects.attempts(), [(1, None)]);
    }
}

#[tokio::test]
async fn the_inner_layer_may_know_the_operation_by_another_fingerprint() {
    let effects = Effects::new();
    let outer = layer();
    let inner = outer.clone().fingerprint_headers([http::header::USER_AGENT]);
    guards_once(Router::new().route("/cards", handler(&effects).layer(inner)).route_layer(outer))
        .await;
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn two_layers_with_a_store_or_a_namespace_each_guard_it_twice() {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let same_name = [(); 2].map(|()| layer().namespace("of both"));
    let [outer, inner] = layers_of_two_processes(&store());
    let same_store = [outer.namespace("of the outer one"), inner.namespace("of the inner one")];
    for [outer, inner] in [same_name, same_store] {
        let effects = Effects::new();
        let app = app(&effects, |_| async { (StatusCode::CREATED, "done") });
        guards_once(app.layer(inner.clone()).layer(outer.clone())).await;
        assert_eq!(effects.attempts(), [(1, None)]);
        for layer in [outer, inner] {
            assert!(layer.inspect(&Scope::anonymous(), &key).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_nested_request_takes_no_second_place_under_a_limit() {
    for both in [layer(), waiting(layer())] {
        let effects = Effects::new();
        let both = both.max_in_flight(1);
        let app = app(&effects, |_| async { (StatusCode::CREATED, "done") });
        guards_once(app.layer(both.clone()).layer(both)).await;
        assert_eq!(effects.attempts(), [(1, None)]);
    }
}

/// A handler that a timeout has cut off must not go on, or it has its effect beside the next
/// attempt.
#[tokio::test]
async fn a_nested_request_ends_with_its_caller() {
    let same_store = layers_of_two_processes(&store());
    let same_layer = layer();
    for [outer, inner] in [[same_layer.clone(), same_layer], same_store] {
        let effects = Effects::new();
        let (dropped, mut is_dropped) = tokio::sync::mpsc::unbounded_channel::<()>();
        let router = app(&effects, move |request| {
            let dropped = dropped.clone();
            async move {
                if request.extensions().get::<Attempt>().unwrap().number() == 1 {
                    let _held = dropped;
                    std::future::pending::<()>().await;
                }
                (StatusCode::CREATED, "done")
            }
        });
        let timeout =
            TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(50));
        let server = Server::start(router.layer(inner).layer(timeout).layer(outer)).await;
        let call = post("/cards").key("order-1001");
        assert_eq!(call.send(&server).await.status, 504);
        assert_eq!(is_dropped.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Empty));
        call.send(&server).await.assert_first(201, "done");
        drop(server);
        assert_eq!(patiently(is_dropped.recv()).await, None, "the first handler is gone");
        assert_eq!(effects.attempts().len(), 2);
    }
}
