//! The assertions for users' own tests: they pass where a retry is a replay, and say what is wrong
//! where it is not.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::{LocalSet, spawn_local};
use tower::{ServiceBuilder, service_fn};
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::testing::{one_effect, replays};
use tower_idempotency::{OnFailed, OnOutage, Scope, StoredResponse};

use crate::support::{Fault, Operation, Scripted, TestLayer, layer, layer_over, store};

fn request(key: &str) -> Request<Body> {
    Request::post("/").header("x-idempotency-key", key).body(Body::from("1200 EUR")).unwrap()
}

fn app<R: IntoResponse + Send>(
    layer: TestLayer,
    response: impl Fn() -> R + Clone + Send + Sync + 'static,
) -> Router {
    let handler = move || {
        let response = response();
        async move { response }
    };
    Router::new().route("/", post(handler.clone()).put(handler)).route_layer(layer)
}

/// The message of a panic, which names this file.
async fn failure<T: 'static>(assertion: impl Future<Output = T> + 'static) -> String {
    let ended = LocalSet::new().run_until(async { spawn_local(assertion).await }).await;
    let Err(ended) = ended else { panic!("the assertion passed") };
    *ended.into_panic().downcast().unwrap()
}

async fn failure_of(mut app: Router, request: Request<Body>) -> String {
    let text = failure(async move { replays(&mut app, request).await }).await;
    assert!(text.contains(file!()), "{text}");
    text
}

#[tokio::test]
async fn a_replay_passes_and_the_first_response_comes_back() {
    let mut app = app(layer(), || (StatusCode::CREATED, "paid"));
    let first = replays(&mut app, request("one")).await;
    assert_eq!((first.status(), &first.body()[..]), (StatusCode::CREATED, &b"paid"[..]));
    assert!(!first.headers().contains_key("x-idempotent-result"));
}

#[tokio::test]
async fn a_service_without_axum_passes() {
    let handler = service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, std::io::Error>(Response::new(request.into_body()))
    });
    let mut service = ServiceBuilder::new().layer(layer()).service(handler);
    let request = request("plain").map(|_| Full::from("1200 EUR"));
    assert_eq!(replays(&mut service, request).await.body(), "1200 EUR");
}

#[tokio::test]
async fn a_handler_that_runs_again_is_a_failure_that_says_what_to_check() {
    let bare = Router::new().route("/", post(async || "paid"));
    let text = failure_of(bare, request("none")).await;
    assert!(text.starts_with("the retry of POST / ran the handler again"), "{text}");
    assert!(text.contains("Is the layer on this route?"), "{text}");
    assert!(!text.contains("neither") && !text.contains("methods"), "{text}");

    let unkeyed = Request::post("/").body(Body::empty()).unwrap();
    assert!(failure_of(app(layer(), || "paid"), unkeyed).await.contains("neither `X-Idem"));

    let put = Request::put("/").header("idempotency-key", "put").body(Body::empty()).unwrap();
    assert!(failure_of(app(layer(), || "paid"), put).await.contains("PUT is not guarded"));

    let text = failure_of(app(layer(), || StatusCode::BAD_REQUEST), request("bad")).await;
    assert!(text.contains("400 Bad Request, which says that nothing happened"), "{text}");
    let text = failure_of(app(layer(), || StatusCode::BAD_GATEWAY), request("down")).await;
    assert!(text.contains("on_failed"), "{text}");
}

#[tokio::test]
async fn a_key_that_was_used_before_is_a_failure() {
    let mut app = app(layer(), || "paid");
    replays(&mut app, request("used")).await;
    assert!(failure_of(app, request("used")).await.contains("is a replay already"));
}

#[tokio::test]
async fn a_rejection_is_a_failure_with_its_code_and_a_cause() {
    let strict = app(layer().require_key(), || "paid");
    let unkeyed = Request::post("/").body(Body::empty()).unwrap();
    let text = failure_of(strict, unkeyed).await;
    assert!(text.contains("rejected the request with 400 Bad Request, `idempotency_key_missing`"));

    let nobody = app(layer().scope(|_| None::<Scope>), || "paid");
    assert!(failure_of(nobody, request("nobody")).await.contains("Is the authentication outside"));

    let withheld = app(layer().stored_response(StoredResponse::Nothing), || "paid");
    let text = failure_of(withheld, request("withheld")).await;
    assert!(text.contains("rejected the retry") && text.contains("max_response"), "{text}");

    let failed = app(layer().on_failed(OnFailed::Reject), || StatusCode::BAD_GATEWAY);
    assert!(failure_of(failed, request("failed")).await.contains("idempotency_attempt_failed"));
}

#[tokio::test]
async fn a_replay_that_differs_is_a_failure_that_shows_both() {
    let omitted = app(layer().stored_response(StoredResponse::Status), || "paid");
    assert!(failure_of(omitted, request("omitted")).await.contains("less than `Full`"));

    let count = Arc::new(AtomicUsize::new(0));
    let stamp = from_fn(move |request: AxumRequest, next: Next| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { next.run(request).await.map(|_| Body::from(format!("stamp {number}"))) }
    });
    let text = failure_of(app(layer(), || "paid").layer(stamp), request("stamped")).await;
    assert!(text.contains("first: \"stamp 0\"\n  retry: \"stamp 1\""), "{text}");

    let accept = from_fn(async |request: AxumRequest, next: Next| {
        let mut response = next.run(request).await;
        if response.headers().contains_key("x-idempotent-result") {
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        response
    });
    let text = failure_of(app(layer(), || "paid").layer(accept), request("accepted")).await;
    assert!(text.contains("the status 202 Accepted, and the first response 200 OK"), "{text}");
}

#[tokio::test]
async fn effects_are_counted_for_each_request() {
    async fn outcome(effects_of_first: usize, effects_of_retry: usize) -> String {
        let count = Arc::new(AtomicUsize::new(40));
        let (added, outside) = (Arc::clone(&count), Arc::clone(&count));
        let app = app(layer(), move || {
            added.fetch_add(effects_of_first, Ordering::Relaxed);
            "paid"
        });
        let calls = Arc::new(AtomicUsize::new(0));
        let outside = from_fn(move |request: AxumRequest, next: Next| {
            let is_retry = calls.fetch_add(1, Ordering::Relaxed) == 1;
            outside.fetch_add(if is_retry { effects_of_retry } else { 0 }, Ordering::Relaxed);
            next.run(request)
        });
        let mut app = app.layer(outside);
        failure(async move {
            one_effect(&mut app, request("counted"), async || count.load(Ordering::Relaxed)).await;
            panic!("{}", String::from("passed"));
        })
        .await
    }
    assert_eq!(outcome(1, 0).await, "passed");
    assert!(outcome(0, 0).await.starts_with("the first request had 0 effects"));
    assert!(outcome(2, 0).await.starts_with("the first request had 2 effects"));
    assert!(outcome(1, 3).await.contains("had 3 effects: is one of them outside"));
}

#[tokio::test]
async fn a_request_that_ran_while_the_store_was_down_is_a_failure_that_says_so() {
    let store = Scripted::over(store());
    store.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    let open = layer_over(DynStore::new(store.clone()));
    let mut app = app(open.on_outage(OnOutage::FailOpenRiskingDoubleEffects), || "paid");
    let text = failure(async move {
        let mut effects = -1;
        // The store is up again after the first request.
        let count = async || {
            effects += 1;
            if effects == 1 {
                store.heal();
            }
            effects
        };
        one_effect(&mut app, request("open"), count).await
    })
    .await;
    assert!(text.contains("the store is down, and `on_outage` lets"), "{text}");
}
