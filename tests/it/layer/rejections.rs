//! The form of rejections. Other tests assert that each one has a whole problem document.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::{JsonPointer, KeyError, OnMismatch, Rejection};

use crate::support::{Effects, Server, counting, layer, post};

#[tokio::test]
async fn rejection_response_can_replace_all_but_what_clients_act_on() {
    let effects = Effects::new();
    let layer = layer().max_request(10).max_response(4).rejection_response(|rejection| {
        let text = Bytes::from(format!("sorry: {}", rejection.code()));
        Response::builder().status(200).header("Content-Type", "text/plain").body(text).unwrap()
    });
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");
    call.send(&server).await.assert_first(200, "run 1");

    let too_large = post("/").key("order-1002").body("more than ten");
    let invalid = post("/").key("order 1001");
    let rejections = [
        (call.clone(), 409, "idempotency_result_not_retained", Some("false")),
        (call.body("other"), 409, "idempotency_key_reused", Some("false")),
        (too_large, 413, "request_too_large", None),
        (invalid, 400, "idempotency_key_invalid", None),
    ];
    for (call, status, code, should_retry) in rejections {
        let response = call.send(&server).await;
        assert_eq!((response.status, response.text()), (status, &*format!("sorry: {code}")));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.header("x-should-retry"), should_retry);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn rejection_response_cannot_ask_for_a_retry_that_is_of_no_use() {
    let effects = Effects::new();
    let layer = layer().rejection_response(|rejection| {
        let mut response = rejection.render();
        response.headers_mut().insert("Retry-After", 60.into());
        response
    });
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");
    call.send(&server).await.assert_first(200, "run 1");

    let rejected = call.body("other").send(&server).await;
    rejected.assert_rejected(409, "idempotency_key_reused");
    assert_eq!(rejected.header("retry-after"), None);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn the_rejection_is_in_the_extensions_for_the_layers_outside() {
    let effects = Effects::new();
    let service = counting(&effects).layer(layer().require_key().max_request(10).max_response(4));
    let send = async |key: Option<&str>, body: &'static str| {
        let mut request = Request::post("/");
        if let Some(key) = key {
            request = request.header("x-idempotency-key", key);
        }
        let response =
            service.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        (response.status(), response.extensions().get::<Rejection>().cloned())
    };

    assert_eq!(send(Some("order-1001"), "one").await, (StatusCode::OK, None));
    let rejections = [
        (Some("order-1001"), "two", Rejection::KeyReused { status: OnMismatch::Conflict }),
        (None, "", key_missing()),
        (Some("order 1001"), "", Rejection::KeyInvalid(KeyError::NotVisibleAscii)),
        (Some("order-1002"), "more than ten", Rejection::RequestTooLarge { limit: Some(10) }),
        (
            Some("order-1001"),
            "one",
            Rejection::ResultNotRetained { original_status: StatusCode::OK, location: None },
        ),
    ];
    for (key, body, expected) in rejections {
        assert_eq!(send(key, body).await, (expected.status(), Some(expected)));
    }
    assert_eq!(effects.count(), 1);
}

fn key_missing() -> Rejection {
    let headers = ["x-idempotency-key", "idempotency-key"].map(HeaderName::from_static);
    Rejection::KeyMissing { headers: headers.into(), member: None }
}

#[tokio::test]
async fn a_missing_key_is_told_where_the_layer_looks_for_one() {
    let of_clients = "in the header `x-idempotency-key` or `idempotency-key`. Send one";
    let pointer = JsonPointer::from_static("/key");
    for (layer, place) in [
        (layer(), of_clients),
        (
            layer().header(HeaderName::from_static("x-request-key")),
            "in the header `x-request-key`.",
        ),
        (layer().headers([]).key_in_body(pointer), "in the member `/key` of a JSON body."),
    ] {
        let server = Server::start(counting(&Effects::new()).layer(layer.require_key())).await;
        let response = post("/").send(&server).await;
        let problem = response.assert_rejected(400, "idempotency_key_missing");
        assert!(problem["detail"].as_str().unwrap().contains(place), "{problem}");
    }
}

#[tokio::test]
async fn a_replay_carries_no_rejection() {
    let effects = Effects::new();
    let service = counting(&effects).layer(layer());
    for result in [false, true] {
        let request =
            Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty());
        let response = service.clone().oneshot(request.unwrap()).await.unwrap();
        assert!(response.extensions().get::<Rejection>().is_none());
        assert_eq!(response.headers().contains_key("x-idempotent-result"), result);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "run 1");
    }
    assert_eq!(effects.count(), 1);
}
