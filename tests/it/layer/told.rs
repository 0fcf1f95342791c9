//! What is set up wrongly is told once, with the remedy; each guarded request is told at `debug`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post as to_post};
use http::{Request, StatusCode};
use tokio::sync::Notify;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;
use tower_idempotency::{JsonPointer, Rejection, Scope};

use crate::support::{Effects, Frames, Log, Server, app, call, layer, post};

/// Sends requests with different keys, each twice.
async fn send_pairs(server: &Server) {
    for number in 0..3 {
        for _ in 0..2 {
            post("/").key(format!("order-{number}")).send(server).await;
        }
    }
}

/// Each of these texts is in one line of the log, and no other warning of the layer is.
fn told_once(log: &Log, parts: &[&str]) {
    let lines = log.lines("tower_idempotency");
    let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
}

#[tokio::test]
async fn a_compression_inside_is_told_with_its_remedy() {
    let (log, _guard) = Log::warnings();
    let effects = Effects::new();
    let router = app(&effects, async |_| "a response that is long enough to compress".repeat(10))
        .layer(CompressionLayer::new())
        .layer(layer().scope(|_| Scope::new("acct_1")));
    let server = Server::start(router).await;
    for _ in 0..2 {
        for key in ["order-1001", "order-1002"] {
            post("/").key(key).header("accept-encoding", "gzip").send(&server).await;
        }
    }
    told_once(&log, &["compressed response is not stored", "outside of the idempotency layer"]);
}

#[tokio::test]
async fn a_streamed_response_is_told_with_its_remedy() {
    let (log, _guard) = Log::warnings();
    let stream = async |_| Response::new(Body::new(Frames::unknown(&[b"of unknown length"])));
    let router = app(&Effects::new(), stream).layer(layer().scope(|_| Scope::new("acct_1")));
    send_pairs(&Server::start(router).await).await;
    told_once(&log, &["its length is unknown", "collect the body, or send its length"]);
}

#[tokio::test]
async fn a_rejection_by_another_layer_inside_is_told_with_its_remedy() {
    let (log, _guard) = Log::warnings();
    let rejects = async |_| {
        let mut response = StatusCode::CONFLICT.into_response();
        let retry_after = std::time::Duration::from_secs(1);
        response.extensions_mut().insert(Rejection::InFlight { retry_after });
        response
    };
    let router = app(&Effects::new(), rejects).layer(layer().scope(|_| Scope::new("acct_1")));
    send_pairs(&Server::start(router).await).await;
    told_once(&log, &["rejection by another idempotency layer", "one store, namespace and secret"]);
}

#[tokio::test]
async fn two_layers_with_different_settings_on_one_route_are_told() {
    let (log, _guard) = Log::warnings();
    let of = |namespace: &str| layer().scope(|_| Scope::new("acct_1")).namespace(namespace);
    let router = app(&Effects::new(), async |_| "done").layer(of("inner")).layer(of("outer"));
    send_pairs(&Server::start(router).await).await;
    told_once(&log, &["attempt of another idempotency layer", "remove one of them"]);
}

#[tokio::test]
async fn a_setting_that_switches_a_part_of_the_layer_off_is_told_once() {
    let (log, _guard) = Log::warnings();
    let guard = layer().scope(|_| Scope::new("acct_1")).max_response(0);
    let router = app(&Effects::new(), async |_| "done");
    let server = Server::start(router.clone().layer(guard.clone()).layer(guard.clone())).await;
    send_pairs(&server).await;
    let says = ["`max_response` is 0: no response", "`IdempotencyLayer::max_response`"];
    told_once(&log, &says);
    // A clone tells of its own settings.
    let server = Server::start(router.layer(guard.max_in_flight(0))).await;
    send_pairs(&server).await;
    let lines = log.lines("switches a part of the layer off");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].contains("`max_in_flight` is 0: each new operation gets 503"), "{lines:#?}");
}

#[tokio::test]
async fn an_operation_that_is_not_a_request_is_told_of_such_a_setting_too() {
    use tower_idempotency::{Fingerprint, IdempotencyKey};

    let (log, _guard) = Log::warnings();
    let layer = layer().scope(|_| Scope::new("acct_1")).retention(std::time::Duration::ZERO);
    for key in [b"job-1", b"job-2"] {
        let (scope, key) = (Scope::new("acct_1"), IdempotencyKey::parse(key).unwrap());
        let fingerprint = Fingerprint::of_fields([b"job"]);
        let run = async |_| Ok::<_, std::convert::Infallible>("done".to_owned());
        layer.execute(&scope, &key, fingerprint, run).await.unwrap();
    }
    told_once(&log, &["`retention` is below 1s: a retry finds no record, and runs"]);
}

#[tokio::test]
async fn required_keys_on_a_method_that_is_not_guarded_are_told_once_for_each_method() {
    let (log, _guard) = Log::warnings();
    let router = Router::new()
        .route("/", to_post(async || "done").put(async || "done").delete(async || "done"))
        .route("/safe", get(async || "read"))
        .layer(layer().scope(|_| Scope::new("acct_1")).require_key());
    let server = Server::start(router).await;
    for _ in 0..2 {
        call("GET", "/safe").send(&server).await.assert_first(200, "read");
        call("PUT", "/").send(&server).await.assert_first(200, "done");
    }
    told_once(&log, &["PUT", "although keys are required", "IdempotencyLayer::methods"]);
    call("DELETE", "/").send(&server).await;
    assert_eq!(log.lines("although keys are required").len(), 2);
}

#[tokio::test]
async fn a_scope_that_is_the_credential_is_told() {
    let authorization = ("authorization", "Bearer token-of-alice");
    let cookies = ("cookie", "theme=dark; session=token-of-alice");
    for (scope, (header, value), is_told) in [
        ("Bearer token-of-alice", authorization, true),
        ("token-of-alice", authorization, true),
        ("7", authorization, false),
        ("token-of-alice", ("x-api-key", "token-of-alice"), true),
        ("token-of-alice", cookies, true),
        ("dark", ("x-tenant", "dark"), false),
    ] {
        let (log, _guard) = Log::warnings();
        let router =
            app(&Effects::new(), async |_| "done").layer(layer().scope(move |_| Scope::new(scope)));
        let server = Server::start(router).await;
        for key in ["order-1001", "order-1002"] {
            let pay = post("/").key(key).header(header, value);
            pay.send(&server).await.assert_first(200, "done");
        }
        let lines = log.lines("the scope is the credential of the request");
        assert_eq!(lines.len(), usize::from(is_told), "{scope}, {header}: {lines:?}");
        assert!(lines.iter().all(|line| !line.contains("alice")), "{lines:?}");
    }
}

/// A probe or a partner may authenticate in another way, and may be the first to come.
#[tokio::test]
async fn a_scope_that_is_the_credential_of_some_callers_is_told() {
    let (log, _guard) = Log::warnings();
    let router = app(&Effects::new(), async |_| "done").layer(layer().scope(|parts| {
        let credential = parts.headers.get("authorization")?.to_str().ok()?;
        Some(Scope::new(credential.strip_prefix("Bearer ").unwrap_or("the probe")))
    }));
    let server = Server::start(router).await;
    for (key, credential) in [("a", "Basic probe"), ("b", "Bearer alice"), ("c", "Bearer bob")] {
        let pay = post("/").key(key).header("authorization", credential);
        pay.send(&server).await.assert_first(200, "done");
    }
    told_once(&log, &["the scope is the credential of the request"]);
}

#[tokio::test]
async fn a_caller_with_a_credential_that_is_anonymous_is_told() {
    let (log, _guard) = Log::warnings();
    let router =
        app(&Effects::new(), async |_| "done").layer(layer().scope(|_| Scope::anonymous()));
    let server = Server::start(router).await;
    post("/").key("order-1001").header("cookie", "theme=dark").send(&server).await;
    assert_eq!(log.lines("a caller with a credential").len(), 0);
    for key in ["order-1002", "order-1003"] {
        let pay = post("/").key(key).header("authorization", "Bearer token-of-alice");
        pay.send(&server).await.assert_first(200, "done");
    }
    told_once(&log, &["a caller with a credential is anonymous", "authentication outside"]);
}

#[tokio::test]
async fn an_inner_layer_whose_settings_do_not_count_is_told() {
    let outer = layer().scope(|_| Scope::new("acct_1"));
    let inner = outer.clone().retention(std::time::Duration::from_hours(1));
    for (inner, is_told) in [(inner, true), (outer.clone(), false)] {
        let (log, _guard) = Log::warnings();
        let router = app(&Effects::new(), async |_| "done").layer(inner).layer(outer.clone());
        send_pairs(&Server::start(router).await).await;
        if is_told {
            told_once(&log, &["settings of the inner one do not count", "remove one of them"]);
        } else {
            assert_eq!(log.lines("tower_idempotency"), [""; 0]);
        }
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_stored_404_of_a_path_without_a_route_is_told() {
    let router = || Router::new().route("/here", to_post(async || StatusCode::NOT_FOUND));
    let guards = || layer().scope(|_| Scope::new("acct_1"));
    for (router, is_told) in
        [(router().layer(guards()), true), (router().route_layer(guards()), false)]
    {
        let (log, _guard) = Log::warnings();
        let server = Server::start(router).await;
        for (number, path) in ["/here", "/nowhere", "/elsewhere"].into_iter().enumerate() {
            let response = post(path).key(format!("order-{number}")).send(&server).await;
            assert_eq!(response.status, 404);
        }
        if is_told {
            told_once(&log, &["404 of a path without a route is stored", "Router::route_layer"]);
        } else {
            assert_eq!(log.lines("tower_idempotency"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_before_its_response_is_told() {
    use tower::ServiceExt;

    let (log, _guard) = Log::from(tracing::Level::INFO);
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handler = move |_| {
        let (begun, go_on) = (Arc::clone(&begins), Arc::clone(&goes_on));
        async move {
            begun.notify_one();
            go_on.notified().await;
            "done"
        }
    };
    let guards = layer().scope(|_| Scope::new("acct_1"));
    let router = app(&Effects::new(), handler).layer(guards.clone());
    let pay = |key| Request::post("/").header("x-idempotency-key", key).body(Body::empty());
    for key in ["order-1001", "order-1002"] {
        let request = pay(key).unwrap();
        let call = tokio::spawn(router.clone().oneshot(request));
        begun.notified().await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        go_on.notify_one();
    }
    guards.shutdown().await;
    let lines = log.lines("a caller has gone before its response");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("INFO") && lines[0].contains("put the timeout inside"), "{lines:?}");
}

#[tokio::test]
async fn each_guarded_request_is_one_event_and_sets_fields_of_its_span() {
    let (log, _guard) = Log::from(tracing::Level::DEBUG);
    let span = |request: &Request<Body>| {
        tracing::info_span!(
            "request",
            path = request.uri().path(),
            idempotency.key = tracing::field::Empty,
            idempotency.attempt = tracing::field::Empty,
            idempotency.outcome = tracing::field::Empty,
        )
    };
    let effects = Effects::new();
    let ledger = effects.clone();
    let fails_once = move |_| {
        let is_first = ledger.count() == 1;
        async move { if is_first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED } }
    };
    let router = app(&effects, fails_once)
        .layer(layer().scope(|_| Scope::new("acct_1")).require_key())
        .layer(TraceLayer::new_for_http().make_span_with(span).on_response(
            |_: &Response, _: std::time::Duration, _: &tracing::Span| tracing::info!("responded"),
        ));
    let server = Server::start(router).await;
    let pay = || post("/").key("order-1001");
    pay().send(&server).await;
    pay().send(&server).await;
    pay().send(&server).await;
    pay().body("another").send(&server).await;
    post("/").send(&server).await;

    let outcomes = ["executed", "executed", "replayed", "idempotency_key_reused"];
    let events = log.lines("guarded request ended");
    assert_eq!(events.len(), 5, "{events:#?}");
    for (event, outcome) in events.iter().zip(outcomes) {
        assert!(event.contains(&format!("outcome=\"{outcome}\"")), "{event}");
        assert!(!event.contains("order-1001"), "{event}");
    }
    let responded = log.lines("responded");
    for (line, fields) in responded.iter().zip([
        "idempotency.attempt=1 idempotency.outcome=\"executed\"",
        "idempotency.attempt=2 idempotency.outcome=\"executed\"",
        "idempotency.outcome=\"replayed\"",
        "idempotency.outcome=\"idempotency_key_reused\"",
        "idempotency.outcome=\"idempotency_key_missing\"",
    ]) {
        assert!(line.contains(fields), "{fields} in {line}");
    }
    assert!(
        responded[2].contains("idempotency.key=") && !responded[4].contains("idempotency.key=")
    );
}

/// What a handler that needs an attempt says to a request without one.
#[cfg(feature = "axum")]
async fn told_to(router: Router, request: Request<Body>) -> String {
    use tower::ServiceExt;

    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_missing_key_and_a_missing_layer_are_told_apart() {
    let router = || {
        Router::new().route(
            "/",
            to_post(async |_: tower_idempotency::Attempt| "done")
                .put(async |_: tower_idempotency::Attempt| ""),
        )
    };
    let to = |method: http::Method| Request::builder().method(method).uri("/").body(Body::empty());
    let without_layer = told_to(router(), to(http::Method::POST).unwrap()).await;
    assert!(without_layer.contains("no idempotency layer guards this request"), "{without_layer}");
    assert!(without_layer.contains("only the routes that were added before it"), "{without_layer}");
    let guarded = || router().layer(layer().scope(|_| Scope::new("acct_1")));
    let without_key = told_to(guarded(), to(http::Method::POST).unwrap()).await;
    assert!(
        without_key.contains("extract `Option<Attempt>`, or call `require_key`"),
        "{without_key}"
    );
    let unguarded = told_to(guarded(), to(http::Method::PUT).unwrap()).await;
    assert!(unguarded.contains("add the method by `IdempotencyLayer::methods`"), "{unguarded}");

    // The key of such a layer is in the body, so it looks there first.
    let pointer = tower_idempotency::JsonPointer::from_static("/key");
    let in_body = router().layer(layer().scope(|_| Scope::new("acct_1")).key_in_body(pointer));
    assert_eq!(told_to(in_body, to(http::Method::POST).unwrap()).await, without_key);
}

#[tokio::test]
async fn a_layer_that_can_guard_no_request_is_told_once() {
    let (log, _guard) = Log::warnings();
    let scoped = || layer().scope(|_| Scope::new("acct_1"));
    let by_body = scoped().headers([]).key_in_body(JsonPointer::from_static("/key"));
    let guarding = [scoped(), by_body];
    for layer in guarding {
        drop(app(&Effects::new(), async |_| "done").layer(layer));
    }
    assert_eq!(log.lines("tower_idempotency"), [""; 0]);
    for (layer, setting) in [(scoped().methods([]), "methods"), (scoped().headers([]), "headers")] {
        let (log, _guard) = Log::warnings();
        let router = app(&Effects::new(), async |_| "done").layer(layer.clone()).layer(layer);
        drop(router);
        let setter = format!("`IdempotencyLayer::{setting}`");
        told_once(&log, &["no request is guarded", &setter]);
    }
}
