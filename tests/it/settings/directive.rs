//! The handler's directive for its own response.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn;
use http::{Request, Response, StatusCode};
use tower::ServiceExt;
use tower_idempotency::{OnFailed, PreviousAttempt, ResponseDirective, StoredResponse};

use crate::support::{Effects, Server, TestLayer, WireResponse, app, layer, post};

const KEY: &str = "order-1001";

/// A server whose handler gives the same directive each time, and numbers its responses.
async fn saying(
    effects: &Effects,
    guard: TestLayer,
    status: u16,
    directive: ResponseDirective,
) -> Server {
    let ledger = effects.clone();
    let router = app(effects, move |_| {
        let run = ledger.count();
        async move {
            let mut response = Response::new(Body::from(format!("run {run}")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(directive);
            response
        }
    });
    Server::start(router.layer(guard)).await
}

async fn twice(server: &Server) -> [WireResponse; 2] {
    let call = post("/").key(KEY).body("body");
    [call.send(server).await, call.send(server).await]
}

#[tokio::test]
async fn success_is_stored_whatever_the_status() {
    for status in [200, 302, 400, 401, 422, 429, 500, 503] {
        let effects = Effects::new();
        let server = saying(&effects, layer(), status, ResponseDirective::success()).await;
        let [first, second] = twice(&server).await;
        first.assert_first(status, "run 1");
        second.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn failed_runs_again_whatever_the_status() {
    for status in [200, 201, 404, 422] {
        let effects = Effects::new();
        let server = saying(&effects, layer(), status, ResponseDirective::failed()).await;
        let [first, second] = twice(&server).await;
        first.assert_first(status, "run 1");
        second.assert_first(status, "run 2");
        let previous =
            PreviousAttempt::Failed { status: Some(StatusCode::from_u16(status).unwrap()) };
        assert_eq!(effects.attempts(), [(1, None), (2, Some(previous))]);
    }
}

#[tokio::test]
async fn failed_obeys_the_policy_on_failures() {
    let effects = Effects::new();
    let server =
        saying(&effects, layer().on_failed(OnFailed::Replay), 200, ResponseDirective::failed())
            .await;
    let [first, second] = twice(&server).await;
    first.assert_first(200, "run 1");
    second.assert_replays(&first);
    let effects = Effects::new();
    let server =
        saying(&effects, layer().on_failed(OnFailed::Reject), 200, ResponseDirective::failed())
            .await;
    let [first, second] = twice(&server).await;
    first.assert_first(200, "run 1");
    assert_eq!(second.assert_rejected(409, "idempotency_attempt_failed")["original_status"], 200);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn discard_leaves_the_key_free_whatever_the_status() {
    for status in [200, 201, 404, 500] {
        let effects = Effects::new();
        let server = saying(
            &effects,
            layer().on_failed(OnFailed::Reject),
            status,
            ResponseDirective::discard(),
        )
        .await;
        let [first, second] = twice(&server).await;
        first.assert_first(status, "run 1");
        second.assert_first(status, "run 2");
        // Another request may have the key, because nothing happened.
        post("/").key(KEY).body("corrected").send(&server).await.assert_first(status, "run 3");
        assert_eq!(effects.attempts(), [(1, None); 3]);
    }
}

#[tokio::test]
async fn new_leaves_the_meaning_of_the_response_to_its_status() {
    for (status, runs) in [(200, 1), (404, 1), (422, 2), (500, 2)] {
        let effects = Effects::new();
        let directive = ResponseDirective::new()
            .retention(Duration::from_mins(1))
            .stored_response(StoredResponse::Full);
        let server = saying(&effects, layer(), status, directive).await;
        let [_, second] = twice(&server).await;
        assert_eq!(second.is_replay(), runs == 1, "{status}");
        assert_eq!(effects.count(), runs);
    }
}

#[tokio::test]
async fn the_last_word_is_the_only_one() {
    // `ResponseDirective::success().stored_response(…)` sets both. A directive that replaces
    // another one takes nothing over from it.
    let both = ResponseDirective::success()
        .stored_response(StoredResponse::Status)
        .retention(Duration::from_mins(1));
    assert_eq!(
        both,
        ResponseDirective::success()
            .retention(Duration::from_mins(1))
            .stored_response(StoredResponse::Status)
    );
    assert_ne!(both, ResponseDirective::success());
    let effects = Effects::new();
    let server = saying(&effects, layer(), 500, both).await;
    let [first, second] = twice(&server).await;
    first.assert_first(500, "run 1");
    assert_eq!((second.status, second.text(), second.is_replay()), (500, "", true));
    assert_eq!(second.header("x-idempotent-body"), Some("omitted"));
}

#[tokio::test]
async fn the_directive_does_not_reach_the_layers_outside() {
    let effects = Effects::new();
    let router = app(&effects, |_| async {
        let mut response = Response::new(Body::from("done"));
        response.extensions_mut().insert(ResponseDirective::success());
        response
    });
    let show = from_fn(async |request: axum::extract::Request, next: axum::middleware::Next| {
        let mut response = next.run(request).await;
        let seen = response.extensions().get::<ResponseDirective>().is_some();
        response
            .headers_mut()
            .insert("x-seen", http::HeaderValue::from_static(if seen { "yes" } else { "no" }));
        response
    });
    let server = Server::start(router.layer(layer()).layer(show)).await;
    for _ in 0..2 {
        assert_eq!(post("/").key(KEY).send(&server).await.header("x-seen"), Some("no"));
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_layer_outside_judges_for_itself() {
    // What the handler tells the layer next to it is not told to one that guards a larger
    // operation.
    let effects = Effects::new();
    let inner = layer().header(http::HeaderName::from_static("x-inner-key"));
    let router = app(&effects, |_| async {
        let mut response = Response::new(Body::from("done"));
        response.extensions_mut().insert(ResponseDirective::discard());
        response
    });
    let server = Server::start(router.layer(inner).layer(layer())).await;
    let call = post("/").key(KEY).header("X-Inner-Key", "inner-1001");
    let first = call.send(&server).await;
    first.assert_first(200, "done");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn as_a_part_of_an_axum_response() {
    let effects = Effects::new();
    let discards = app(&effects, |_| async { (ResponseDirective::discard(), StatusCode::CREATED) });
    let server = Server::start(discards.layer(layer())).await;
    let [first, second] = twice(&server).await;
    first.assert_first(201, "");
    second.assert_first(201, "");
    assert_eq!(effects.attempts(), [(1, None); 2]);

    let effects = Effects::new();
    let fails = app(&effects, |_| async { (StatusCode::OK, ResponseDirective::failed(), "done") });
    let server = Server::start(fails.layer(layer())).await;
    let [first, second] = twice(&server).await;
    first.assert_first(200, "done");
    second.assert_first(200, "done");
    assert_eq!(
        effects.attempts()[1].1,
        Some(PreviousAttempt::Failed { status: Some(StatusCode::OK) })
    );
}

/// With tokio's clock paused, by which the memory store judges.
#[tokio::test(start_paused = true)]
async fn retention_of_one_response_overrides_the_retention_of_the_layer() {
    let minutes = |minutes: u64| Duration::from_mins(minutes);
    let cases = [
        (ResponseDirective::new().retention(minutes(1)), 200, minutes(60), minutes(1)),
        (ResponseDirective::success().retention(minutes(600)), 500, minutes(60), minutes(600)),
        (ResponseDirective::new(), 200, minutes(60), minutes(60)),
        (ResponseDirective::failed().retention(minutes(1)), 200, minutes(60), minutes(1)),
    ];
    for (directive, status, of_layer, expected) in cases {
        let effects = Effects::new();
        let guard = layer().retention(of_layer).on_failed(OnFailed::Replay);
        let router: Router = app(&effects, move |_| async move {
            let mut response = Response::new(Body::from("done"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(directive);
            response
        });
        let router = router.layer(guard);
        let ask = async || {
            let request =
                Request::post("/").header("x-idempotency-key", KEY).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            response.headers().contains_key("x-idempotent-result")
        };
        assert!(!ask().await);
        tokio::time::advance(expected.saturating_sub(Duration::from_secs(1))).await;
        assert!(ask().await, "{directive:?} was gone too early");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!ask().await, "{directive:?} was stored too long");
        assert_eq!(effects.count(), 2);
    }
}
