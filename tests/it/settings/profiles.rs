//! The profiles: each row of their tables is asserted here.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tower::ServiceExt;

use crate::support::{
    Call, Effects, Gate, Server, TestLayer, app, call, counting, gated, layer, post,
};

/// A server that responds with the status in the path, or panics at `/panic`.
async fn by_path(effects: &Effects, guard: TestLayer) -> Server {
    let router = app(effects, |request| async move {
        match &request.uri().path()[1..] {
            "panic" => panic!("as it was told to"),
            status => (StatusCode::from_u16(status.parse().unwrap()).unwrap(), "response"),
        }
    });
    Server::start(router.layer(guard)).await
}

fn keyed(path: &str, key: &str) -> Call {
    post(path).header("Idempotency-Key", format!("\"{key}\""))
}

/// Asserts that both headers carry the key, and that both at once must agree.
async fn either_header_carries_the_key_in(guard: TestLayer) {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(guard)).await;
    let key = "\"order-1001\"";
    let first = post("/").header("X-Idempotency-Key", key).send(&server).await;
    first.assert_first(200, "run 1");
    post("/").header("X-Idempotency-Key", key).send(&server).await.assert_replays(&first);
    post("/").header("Idempotency-Key", key).send(&server).await.assert_replays(&first);
    keyed("/", "order-1001")
        .header("X-Idempotency-Key", key)
        .send(&server)
        .await
        .assert_replays(&first);
    let both = keyed("/", "order-1001").header("X-Idempotency-Key", "\"order-1002\"");
    both.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
    assert_eq!(effects.count(), 1);
}

/// Asserts that a retry in flight gets a 409 with `Retry-After`.
async fn in_flight_is_a_conflict(guard: TestLayer) {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(gated(&effects, &gate).layer(guard)).await;
    let call = keyed("/", "order-1001");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let retry = call.send(&server).await;
    retry.assert_rejected(409, "idempotency_key_in_flight");
    assert_eq!(retry.header("retry-after"), Some("1"));
    gate.open();
    let first = call.finish(running).await;
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

/// With tokio's clock paused: a response is stored for 24 hours and no longer.
async fn is_stored_for_a_day(guard: TestLayer) {
    let effects = Effects::new();
    let router: Router = counting(&effects).layer(guard);
    let ask = async || {
        let request = Request::post("/")
            .header("idempotency-key", "\"order-1001\"")
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap().headers().contains_key("x-idempotent-result")
    };
    assert!(!ask().await);
    tokio::time::advance(Duration::from_secs(24 * 3600 - 1)).await;
    assert!(ask().await);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(!ask().await);
}

#[cfg(feature = "strict-keys")]
mod ietf {
    use http::HeaderName;
    use tower_idempotency::{OnFailed, OnMismatch, Scope};

    use super::*;

    #[tokio::test]
    async fn either_header_carries_the_key() {
        either_header_carries_the_key_in(layer().ietf()).await;
    }

    #[tokio::test]
    async fn its_value_is_a_structured_field_string() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().ietf())).await;
        for value in ["order-1001", "1001", ":b3JkZXI=:", "\"order-1001", "\"\"", ""] {
            let response = post("/").header("Idempotency-Key", value).send(&server).await;
            response.assert_rejected(400, "idempotency_key_invalid");
        }
        assert_eq!(effects.count(), 0);
    }

    #[tokio::test]
    async fn it_is_in_a_request_once() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().ietf())).await;
        let twice = keyed("/", "order-1001").header("Idempotency-Key", "\"order-1001\"");
        twice.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
        assert_eq!(effects.count(), 0);
    }

    #[tokio::test]
    async fn another_payload_is_422_and_so_is_another_method_path_query_or_content_type() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().ietf())).await;
        let first = keyed("/p", "order-1001").body("one").send(&server).await;
        first.assert_first(200, "run 1");
        let key = "\"order-1001\"";
        let others = [
            keyed("/p", "order-1001").body("two"),
            call("PATCH", "/p").header("Idempotency-Key", key).body("one"),
            keyed("/q", "order-1001").body("one"),
            keyed("/p?a=1", "order-1001").body("one"),
            keyed("/p", "order-1001").header("Content-Type", "text/plain").body("one"),
        ];
        for other in others {
            let response = other.send(&server).await;
            response.assert_rejected(422, "idempotency_key_reused");
            assert_eq!(response.header("x-should-retry"), Some("false"));
        }
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_expires_after_a_day() {
        is_stored_for_a_day(layer().ietf()).await;
    }

    #[tokio::test]
    async fn the_other_responses_from_200_to_499_are_stored_and_5xx_runs_again() {
        let effects = Effects::new();
        let server = by_path(&effects, layer().ietf()).await;
        for status in [200, 204, 302, 400, 401, 403, 404, 409, 412, 422, 425, 428, 429, 499] {
            let before = effects.count();
            let call = keyed(&format!("/{status}"), &format!("order-{status}"));
            let first = call.send(&server).await;
            assert_eq!((first.status, first.is_replay()), (status, false));
            call.send(&server).await.assert_replays(&first);
            assert_eq!(effects.count(), before + 1);
        }
        for path in ["/500", "/503", "/panic", "/408", "/307", "/308", "/511"] {
            let before = effects.count();
            for _ in 0..2 {
                assert!(!keyed(path, path).send(&server).await.is_replay());
            }
            assert_eq!(effects.count(), before + 2);
        }
    }

    #[tokio::test]
    async fn a_setter_that_comes_after_it_still_counts() {
        let effects = Effects::new();
        let guard = layer()
            .ietf()
            .on_failed(OnFailed::Replay)
            .on_mismatch(OnMismatch::Conflict)
            .header(HeaderName::from_static("x-key"));
        let server = by_path(&effects, guard).await;
        let call = post("/500").header("X-Key", "\"order-1001\"");
        let first = call.send(&server).await;
        call.send(&server).await.assert_replays(&first);
        call.body("other").send(&server).await.assert_rejected(409, "idempotency_key_reused");
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test]
    async fn a_concurrent_retry_gets_a_conflict() {
        in_flight_is_a_conflict(layer().ietf()).await;
    }

    #[tokio::test]
    async fn a_missing_key_is_400_where_one_is_required() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().ietf())).await;
        post("/").send(&server).await.assert_first(200, "run 1");
        let server = Server::start(counting(&effects).layer(layer().ietf().require_key())).await;
        post("/").send(&server).await.assert_rejected(400, "idempotency_key_missing");
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test]
    async fn errors_are_problems_that_link_to_their_documentation() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().ietf().require_key())).await;
        keyed("/", "order-1001").body("one").send(&server).await;
        let rejections = [
            (post("/"), 400, "idempotency_key_missing", "KeyMissing"),
            (
                post("/").header("Idempotency-Key", "bare"),
                400,
                "idempotency_key_invalid",
                "KeyInvalid",
            ),
            (keyed("/", "order-1001").body("two"), 422, "idempotency_key_reused", "KeyReused"),
        ];
        for (call, status, code, page) in rejections {
            let problem = call.send(&server).await.assert_rejected(status, code);
            assert!(
                problem["type"].as_str().unwrap().ends_with(&format!("#variant.{page}")),
                "{problem}"
            );
        }
    }

    #[tokio::test]
    async fn composite_keys_separate_clients() {
        let effects = Effects::new();
        let guard =
            layer().ietf().scope(|parts| Scope::new(parts.headers["authorization"].as_bytes()));
        let server = Server::start(counting(&effects).layer(guard)).await;
        for (index, client) in ["alice", "bob"].into_iter().enumerate() {
            let call = keyed("/", "order-1001").header("Authorization", client);
            let first = call.send(&server).await;
            first.assert_first(200, &format!("run {}", index + 1));
            call.send(&server).await.assert_replays(&first);
        }
        assert_eq!(effects.count(), 2);
    }
}

mod stripe {
    use bytes::Bytes;
    use http::{Method, Response};
    use tower_idempotency::OnFailed;

    use super::*;

    #[tokio::test]
    async fn the_header_is_idempotency_key_up_to_255_characters() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().stripe())).await;
        let longest = "k".repeat(255);
        let first = post("/").header("Idempotency-Key", &longest).send(&server).await;
        first.assert_first(200, "run 1");
        keyed("/", &longest).send(&server).await.assert_replays(&first);
        for value in ["k".repeat(256), String::new(), "bestellung-ü".into()] {
            let response = post("/").header("Idempotency-Key", value).send(&server).await;
            response.assert_rejected(400, "idempotency_key_invalid");
        }
        assert_eq!(effects.count(), 1);
        post("/").header("X-Idempotency-Key", &longest).send(&server).await.assert_replays(&first);
    }

    #[tokio::test]
    async fn either_header_carries_the_key() {
        either_header_carries_the_key_in(layer().stripe()).await;
    }

    #[tokio::test]
    async fn post_alone_takes_keys() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().stripe())).await;
        for method in ["GET", "DELETE", "PUT", "PATCH"] {
            for _ in 0..2 {
                let response =
                    call(method, "/").header("Idempotency-Key", "order-1001").send(&server).await;
                assert_eq!((response.status, response.is_replay()), (200, false));
            }
        }
        assert_eq!(effects.count(), 8);
        let first = keyed("/", "order-1001").send(&server).await;
        keyed("/", "order-1001").send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 9);
    }

    #[tokio::test]
    async fn the_first_status_and_body_are_stored_whether_it_succeeds_or_fails() {
        let effects = Effects::new();
        let server = by_path(&effects, layer().stripe()).await;
        for (index, status) in
            [200, 201, 302, 402, 403, 404, 409, 422, 500, 502, 503].into_iter().enumerate()
        {
            let call = keyed(&format!("/{status}"), &format!("order-{status}"));
            let first = call.send(&server).await;
            first.assert_first(status, "response");
            for _ in 0..2 {
                let replay = call.send(&server).await;
                replay.assert_replays(&first);
                assert_eq!(replay.header("idempotent-replayed"), Some("true"));
            }
            assert_eq!(effects.count(), index + 1, "{status}");
        }
    }

    #[tokio::test]
    async fn an_attempt_that_left_no_response_is_rejected() {
        let effects = Effects::new();
        let server = by_path(&effects, layer().stripe()).await;
        let call = keyed("/panic", "order-1001");
        assert_eq!(call.send(&server).await.status, 0);
        for _ in 0..2 {
            call.send(&server).await.assert_rejected(409, "idempotency_attempt_failed");
        }
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test]
    async fn failed_validation_401_429_and_responses_without_a_result_are_not_stored() {
        let effects = Effects::new();
        let server = by_path(&effects, layer().stripe()).await;
        for (index, status) in [400, 401, 429, 307, 308, 511].into_iter().enumerate() {
            let key = format!("order-{status}");
            for _ in 0..2 {
                keyed(&format!("/{status}"), &key)
                    .send(&server)
                    .await
                    .assert_first(status, "response");
            }
            keyed("/200", &key).body("corrected").send(&server).await.assert_first(200, "response");
            assert_eq!(effects.count(), 3 * (index + 1));
        }
    }

    #[tokio::test]
    async fn a_replay_has_idempotent_replayed_beside_our_own_marker() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().stripe())).await;
        let call = keyed("/", "order-1001").body("one");
        let first = call.send(&server).await;
        assert_eq!(first.header("idempotent-replayed"), None);
        let replay = call.send(&server).await;
        assert_eq!(replay.header("idempotent-replayed"), Some("true"));
        assert_eq!(replay.header("x-idempotent-result"), Some("true"));
        let rejected = call.body("two").send(&server).await;
        assert_eq!(rejected.header("idempotent-replayed"), None, "a rejection is not a replay");
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test]
    async fn other_parameters_under_the_key_are_400() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().stripe())).await;
        keyed("/", "order-1001").body("one").send(&server).await.assert_first(200, "run 1");
        let other = keyed("/", "order-1001").body("two").send(&server).await;
        other.assert_rejected(400, "idempotency_key_reused");
        assert_eq!(
            (other.header("x-should-retry"), other.header("retry-after")),
            (Some("false"), None)
        );
        assert_eq!(effects.count(), 1);
    }

    #[tokio::test]
    async fn a_concurrent_retry_is_409() {
        in_flight_is_a_conflict(layer().stripe()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn keys_go_after_a_day() {
        is_stored_for_a_day(layer().stripe()).await;
    }

    #[tokio::test]
    async fn errors_are_problem_documents_unless_rejection_response_replaces_them() {
        let effects = Effects::new();
        let guard = layer().stripe().require_key();
        let server = Server::start(counting(&effects).layer(guard.clone())).await;
        post("/").send(&server).await.assert_rejected(400, "idempotency_key_missing");
        let as_stripe = guard.rejection_response(|rejection| {
            let error = serde_json::json!({"error": {"type": "idempotency_error", "code": rejection.code()}});
            Response::new(Bytes::from(error.to_string()))
        });
        let server = Server::start(counting(&effects).layer(as_stripe)).await;
        let response = post("/").send(&server).await;
        let error: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            (response.status, &error["error"]["code"]),
            (400, &"idempotency_key_missing".into())
        );
        assert_eq!(effects.count(), 0);
    }

    #[tokio::test]
    async fn a_setter_that_comes_after_it_still_counts() {
        let effects = Effects::new();
        let guard = layer().stripe().on_failed(OnFailed::Rerun).methods([Method::PUT]);
        let server = by_path(&effects, guard).await;
        for attempt in 1..=2 {
            let call = call("PUT", "/500").header("Idempotency-Key", "order-1001");
            call.send(&server).await.assert_first(500, "response");
            assert_eq!(effects.attempts().len(), attempt);
        }
    }
}
