//! A layer inside of another one, on every store and in both modes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::routing::post;
use axum::{Router, body};
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_idempotency::store::DynStore;
use tower_idempotency::{IdempotencyLayer, InFlight, Scope};

use crate::support::given::{Kind, over_every_store};

over_every_store! { a_nested_layer_passes_the_request_through }

fn layer(store: &DynStore, in_flight: InFlight) -> IdempotencyLayer<DynStore> {
    let layer = IdempotencyLayer::new(store.clone()).namespace("nested").in_flight(in_flight);
    layer.scope(|_| Scope::anonymous()).store_timeout(Duration::from_secs(10))
}

/// The inner layer is a clone of the outer one, or has only its store in common with it.
async fn a_nested_layer_passes_the_request_through(kind: Kind) {
    let given = kind.start().await;
    let store = given.store().await;
    let mut number = 0;
    for in_flight in [InFlight::Reject, InFlight::Wait(Duration::from_mins(1))] {
        let outer = layer(&store, in_flight);
        for inner in [outer.clone(), layer(&store, in_flight)] {
            number += 1;
            let runs = Arc::new(AtomicUsize::new(0));
            let handler = {
                let runs = Arc::clone(&runs);
                move || {
                    let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    async move { (StatusCode::CREATED, format!("run {run}")) }
                }
            };
            let app =
                Router::new().route("/cards", post(handler)).layer(inner).layer(outer.clone());
            for is_replay in [false, true] {
                let request =
                    Request::post("/cards").header("x-idempotency-key", format!("card-{number}"));
                let response =
                    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                assert_eq!(response.status(), StatusCode::CREATED);
                assert_eq!(response.headers().contains_key("x-idempotent-result"), is_replay);
                let text = body::to_bytes(response.into_body(), 100).await.unwrap();
                assert_eq!(text, "run 1");
            }
            assert_eq!(runs.load(Ordering::SeqCst), 1);
        }
    }
}
