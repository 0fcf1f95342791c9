//! Requests from pages of another origin: `guide::browsers`.

use axum::Router;
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_idempotency::{EXPOSE_HEADERS, StoredResponse};

use crate::support::{Effects, Gate, Server, WireResponse, call, counting, gated, layer, post};

const PAGE: &str = "https://shop.example";

/// The setting of the guide.
fn documented() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static(PAGE)])
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, HeaderName::from_static("x-idempotency-key")])
        .expose_headers(EXPOSE_HEADERS)
}

/// The headers of a response that the page's script may read, beside those open to every script.
fn exposed(response: &WireResponse) -> Vec<String> {
    let names = response.header("access-control-expose-headers").unwrap_or_default();
    names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[track_caller]
fn assert_readable(response: &WireResponse, names: &[&str]) {
    assert_eq!(response.header("access-control-allow-origin"), Some(PAGE));
    let exposed = exposed(response);
    for name in names {
        assert!(response.header(name).is_some(), "the response has no {name}");
        assert!(
            exposed.iter().any(|exposed| exposed == name),
            "{name} is not exposed: {exposed:?}"
        );
    }
}

#[tokio::test]
async fn with_the_documented_setting_a_page_can_read_the_marker_and_the_request_ids() {
    let effects = Effects::new();
    let app = counting(&effects)
        .layer(layer())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(documented());
    let server = Server::start(app).await;
    let payment = post("/payments").key("order-1001").header("Origin", PAGE);
    let first = payment.send(&server).await;
    assert_readable(&first, &["x-request-id"]);
    let replay = payment.send(&server).await;
    assert_readable(&replay, &["x-idempotent-result", "x-request-id", "x-original-request-id"]);
    assert_eq!(replay.header("x-original-request-id"), first.header("x-request-id"));
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn with_the_documented_setting_a_page_can_read_what_a_rejection_advises() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(gated(&effects, &gate).layer(layer()).layer(documented())).await;
    let payment = post("/payments").key("order-1001").header("Origin", PAGE);
    let first = payment.begin(&server, usize::MAX).await;
    effects.reached(1).await;

    let in_flight = payment.send(&server).await;
    in_flight.assert_rejected(409, "idempotency_key_in_flight");
    assert_readable(&in_flight, &["retry-after"]);
    let reused = payment.clone().body("another").send(&server).await;
    reused.assert_rejected(409, "idempotency_key_reused");
    assert_readable(&reused, &["x-should-retry"]);

    gate.open();
    payment.finish(first).await.assert_first(200, "done");
}

#[tokio::test]
async fn with_the_documented_setting_a_page_can_read_that_a_body_was_left_out() {
    let effects = Effects::new();
    let app = counting(&effects)
        .layer(layer().stored_response(StoredResponse::Status))
        .layer(documented());
    let server = Server::start(app).await;
    let payment = post("/payments").key("order-1001").header("Origin", PAGE);
    payment.send(&server).await.assert_first(200, "run 1");
    let replay = payment.send(&server).await;
    assert_readable(&replay, &["x-idempotent-result", "x-idempotent-body"]);
    assert!(replay.body.is_empty());
}

#[tokio::test]
async fn a_preflight_that_allows_the_key_header_reaches_no_handler() {
    let effects = Effects::new();
    let server =
        Server::start(counting(&effects).layer(layer().require_key()).layer(documented())).await;
    let preflight = call("OPTIONS", "/payments")
        .header("Origin", PAGE)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type,x-idempotency-key")
        .send(&server)
        .await;
    assert_eq!(preflight.status, 200);
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("x-idempotency-key"), "{allowed}");
    assert_eq!(preflight.header("x-idempotent-result"), None);
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_preflight_is_not_touched_and_rejections_can_be_read_across_origins() {
    let stacks: [fn(Router) -> Router; 2] = [
        |router| router.layer(layer().require_key()).layer(CorsLayer::permissive()),
        |router| router.layer(CorsLayer::permissive()).layer(layer().require_key()),
    ];
    for (stack, readable) in stacks.into_iter().zip([true, false]) {
        let effects = Effects::new();
        let server = Server::start(stack(counting(&effects))).await;
        let preflight = call("OPTIONS", "/payments")
            .header("Origin", "https://shop.example")
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "x-idempotency-key");
        for _ in 0..2 {
            let response = preflight.send(&server).await;
            assert_eq!(response.status, 200);
            assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        }
        assert_eq!(effects.count(), 0);

        let from_page =
            |key: &str| post("/payments").key(key).header("Origin", "https://shop.example");
        let first = from_page("order-1001").send(&server).await;
        let replay = from_page("order-1001").send(&server).await;
        replay.assert_replays(&first);
        assert_eq!(replay.header("access-control-allow-origin"), Some("*"));
        let rejected = from_page("order 1001").send(&server).await;
        rejected.assert_rejected(400, "idempotency_key_invalid");
        assert_eq!(rejected.header("access-control-allow-origin").is_some(), readable);
        assert_eq!(effects.count(), 1);
    }
}
