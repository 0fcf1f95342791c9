//! The layer among others: routers, middleware on both sides, limits, and services without axum.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing};
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
#[cfg(feature = "axum")]
use tower_idempotency::Attempt;
use tower_idempotency::{IdempotencyLayer, InFlight, OnFailed, RequestBody};
use tracing_subscriber::registry::LookupSpan;

use crate::support::{Effects, Gate, Server, app, layer, patiently, post, service, store};

/// A router with one route, whose handler enters its run and responds with its number.
fn payments(effects: &Effects) -> Router {
    let ledger = effects.clone();
    let response = move |_| {
        let run = ledger.count();
        async move { format!("run {run}") }
    };
    Router::new().route_service("/payments", service(effects, response))
}

#[tokio::test]
async fn as_a_layer_of_the_router_it_guards_every_route_and_the_fallback() {
    let effects = Effects::new();
    let router = payments(&effects).fallback(|| async { StatusCode::NOT_FOUND });
    let server = Server::start(router.layer(layer())).await;

    let first = post("/payments").key("order-1001").send(&server).await;
    first.assert_first(200, "run 1");
    post("/payments").key("order-1001").send(&server).await.assert_replays(&first);
    let missing = post("/nowhere").key("order-1002").send(&server).await;
    missing.assert_first(404, "");
    post("/nowhere").key("order-1002").send(&server).await.assert_replays(&missing);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn as_a_layer_of_routes_it_leaves_unknown_paths_alone() {
    let effects = Effects::new();
    let server = Server::start(payments(&effects).route_layer(layer().require_key())).await;

    post("/payments").send(&server).await.assert_rejected(400, "idempotency_key_missing");
    let first = post("/payments").key("order-1001").send(&server).await;
    post("/payments").key("order-1001").send(&server).await.assert_replays(&first);
    for _ in 0..2 {
        post("/nowhere").key("order-1002").send(&server).await.assert_first(404, "");
    }
    post("/nowhere").send(&server).await.assert_first(404, "");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn as_a_layer_of_one_route_it_leaves_the_others_alone() {
    let effects = Effects::new();
    let handler = |run: &Effects| {
        let run = run.clone();
        routing::post(async move |request: Request| run.add(request.into_parts().0))
    };
    let guarded = handler(&effects).layer(layer());
    let router = Router::new().route("/payments", guarded).route("/search", handler(&effects));
    let server = Server::start(router).await;

    let first = post("/payments").key("order-1001").send(&server).await;
    post("/payments").key("order-1001").send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
    for _ in 0..2 {
        post("/search").key("order-1001").send(&server).await.assert_first(200, "");
    }
    assert_eq!(effects.count(), 3);
}

/// Every way to lay one layer around, or inside of, two nested routers with the same routes.
#[cfg(feature = "axum")]
fn nested(effects: &Effects) -> [(&'static str, Router); 5] {
    let two = |inner: Router| Router::new().nest("/v1", inner.clone()).nest("/v2", inner);
    let service = layer().layer(payments(effects));
    [
        ("inside", two(payments(effects).layer(layer()))),
        ("on the routes inside", two(payments(effects).route_layer(layer()))),
        ("outside", two(payments(effects)).layer(layer())),
        ("two levels down", Router::new().nest("/api", two(payments(effects).layer(layer())))),
        (
            "around a nested service",
            Router::new().nest_service("/v1", service.clone()).nest_service("/v2", service),
        ),
    ]
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn nested_routers_with_the_same_inner_path_are_told_apart() {
    let effects = Effects::new();
    for (index, (place, router)) in nested(&effects).into_iter().enumerate() {
        let server = Server::start(router).await;
        let prefix = if place == "two levels down" { "/api" } else { "" };
        let to = |version: &str| post(&format!("{prefix}/{version}/payments")).key("order-1001");

        let first = to("v1").send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        to("v2").send(&server).await.assert_rejected(409, "idempotency_key_reused");
        to("v1").send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), index + 1, "{place}");
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn the_request_is_the_same_at_each_position_of_the_layer() {
    let effects = Effects::new();
    let layer = layer();
    let inside = Router::new().nest("/v1", payments(&effects).layer(layer.clone()));
    let outside = Router::new().nest("/v1", payments(&effects)).layer(layer.clone());
    let around = ServiceBuilder::new()
        .map_request(|request: http::Request<Incoming>| request.map(axum::body::Body::new))
        .layer(layer)
        .service(Router::new().nest("/v1", payments(&effects)));
    let call = post("/v1/payments?a=1").key("order-1001").body("amount=1200");

    let first = call.send(&Server::start(inside).await).await;
    first.assert_first(200, "run 1");
    call.send(&Server::start(outside).await).await.assert_replays(&first);
    call.send(&Server::start(around).await).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn middleware_of_axum_works_on_both_sides() {
    async fn note(effects: Effects, request: Request, next: Next) -> Response {
        let (head, body) = request.into_parts();
        effects.add(head.clone());
        next.run(Request::from_parts(head, body)).await
    }
    let (outer, inner, effects) = (Effects::new(), Effects::new(), Effects::new());
    let [outside, inside] = [&outer, &inner].map(|effects| {
        let effects = effects.clone();
        from_fn(move |request: Request, next: Next| note(effects.clone(), request, next))
    });
    let stack = ServiceBuilder::new().layer(outside).layer(layer()).layer(inside);
    let server = Server::start(payments(&effects).layer(stack)).await;
    let call = post("/payments").key("order-1001").body("amount=1200");

    let first = call.send(&server).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);
    post("/payments").key("").send(&server).await.assert_rejected(400, "idempotency_key_invalid");
    assert_eq!((outer.count(), inner.count(), effects.count()), (3, 1, 1));
    assert_eq!(inner.attempts(), [(1, None)], "a service inside can see the attempt");
}

#[tokio::test]
async fn traces_and_request_ids_work_around_it() {
    let effects = Effects::new();
    let id = HeaderName::from_static("x-request-id");
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(id.clone(), MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::new(id))
        .layer(layer())
        .layer(TraceLayer::new_for_http());
    let server = Server::start(payments(&effects).layer(stack)).await;
    let call = post("/payments").key("order-1001");

    let first = call.send(&server).await;
    first.assert_first(200, "run 1");
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.header("x-original-request-id"), first.header("x-request-id"));
    assert_ne!(replay.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_timeout_outside_responds_to_the_client_and_does_not_stop_the_handler() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.passed().await;
            "done"
        }
    });
    let router = router.layer(layer().in_flight(InFlight::Wait(Duration::from_mins(1))));
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(20));
    let impatient = Server::start(router.clone().layer(timeout)).await;
    let patient = Server::start(router).await;
    let call = post("/payments").key("order-1001");

    for _ in 0..2 {
        assert_eq!(call.send(&impatient).await.status, 504);
        effects.reached(1).await;
    }
    let retry = call.begin(&patient, usize::MAX).await;
    gate.open();
    let response = call.finish(retry).await;
    assert_eq!((response.status, response.text(), response.is_replay()), (200, "done", true));
    assert_eq!(effects.attempts(), [(1, None)]);
}

#[tokio::test]
async fn a_body_limit_outside_is_stored() {
    let over = post("/payments").key("order-1001").body("more than ten");
    for (over, rejected_here) in [(over.clone(), false), (over.chunked(), true)] {
        let effects = Effects::new();
        let router = payments(&effects).layer(layer()).layer(RequestBodyLimitLayer::new(10));
        let server = Server::start(router).await;

        // A body that announces its length does not get past that limit; one of unknown length
        // breaks off at it.
        let rejected = over.send(&server).await;
        assert_eq!(rejected.status, 413);
        if rejected_here {
            rejected.assert_rejected(413, "request_too_large");
        }
        assert_eq!(effects.count(), 0);
        post("/payments")
            .key("order-1001")
            .body("ten")
            .send(&server)
            .await
            .assert_first(200, "run 1");
        assert_eq!(effects.attempts(), [(1, None)], "no record was left");
    }
}

#[tokio::test]
async fn the_default_body_limit_of_axum_still_applies() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = Router::new().route(
        "/payments",
        // The body is read by an extractor, which heeds the limit; the ledger is written after
        // that.
        routing::post(async move |head: http::request::Parts, body: Bytes| {
            ledger.add(head);
            body
        }),
    );
    let limit = DefaultBodyLimit::max(10);
    let routers = [
        router.clone().layer(limit).layer(layer()),
        router.layer(layer()).layer(DefaultBodyLimit::max(10)),
    ];
    for (index, router) in routers.into_iter().enumerate() {
        let server = Server::start(router).await;
        let over = post("/payments").key("order-1001").body("more than ten");
        for over in [over.clone(), over.chunked()] {
            let rejected = over.send(&server).await;
            assert_eq!((rejected.status, rejected.is_replay()), (413, false));
        }
        assert_eq!(effects.count(), index);
        let mended = post("/payments").key("order-1001").body("just ten b").send(&server).await;
        mended.assert_first(200, "just ten b");
        assert_eq!(effects.count(), index + 1);
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn the_attempt_is_an_extractor() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let must =
        async move |attempt: Attempt| format!("{} {}", attempt.key().as_str(), attempt.number());
    let may = async move |attempt: Option<Attempt>, request: Request| {
        ledger.add(request.into_parts().0);
        format!("{:?}", attempt.map(|attempt| attempt.number()))
    };
    let router =
        Router::new().route("/must", routing::post(must)).route("/may", routing::post(may));
    let server = Server::start(router.layer(layer())).await;

    post("/must").key("\"order-1001\"").send(&server).await.assert_first(200, "order-1001 1");
    assert_eq!(post("/must").send(&server).await.status, 500);
    post("/may").key("order-1002").send(&server).await.assert_first(200, "Some(1)");
    post("/may").send(&server).await.assert_first(200, "None");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_service_of_hyper_without_axum_is_guarded() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let handler = service_fn(move |request: http::Request<RequestBody<Incoming>>| {
        let ledger = ledger.clone();
        async move {
            let (head, body) = request.into_parts();
            ledger.add(head);
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            Ok::<_, std::io::Error>(http::Response::new(Full::new(body)))
        }
    });
    let stack = ServiceBuilder::new()
        .map_request(|request: http::Request<Incoming>| request.map(RequestBody::new))
        .layer(layer())
        .service(handler);
    let server = Server::start(stack).await;

    for call in
        [post("/").key("order-1001").body("one"), post("/").key("order-1002").body("two").chunked()]
    {
        let first = call.send(&server).await;
        assert_eq!((first.status, first.is_replay()), (200, false));
        call.send(&server).await.assert_replays(&first);
        call.body("other").send(&server).await.assert_rejected(409, "idempotency_key_reused");
    }
    post("/").body("unguarded").chunked().send(&server).await.assert_first(200, "unguarded");
    assert_eq!(effects.count(), 3);
}

fn request(key: &str) -> Request {
    Request::post("/").header("x-idempotency-key", key).body(axum::body::Body::empty()).unwrap()
}

/// A service that insists on being polled ready before each call.
struct Strict {
    effects: Effects,
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { effects: self.effects.clone(), ready: false }
    }
}

impl Service<Request> for Strict {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        self.effects.add(request.into_parts().0);
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let effects = Effects::new();
    let mut service = layer().layer(Strict { effects: effects.clone(), ready: false });
    for key in ["order-1001", "order-1002", "order 1003", "order-1001", "order-1004"] {
        service.ready().await.unwrap().call(request(key)).await.unwrap();
        let unguarded = Request::get("/").body(axum::body::Body::empty()).unwrap();
        service.ready().await.unwrap().call(unguarded).await.unwrap();
    }
    assert_eq!(effects.count(), 3 + 5);
}

#[tokio::test]
async fn each_route_may_have_a_policy_of_its_own_over_one_store() {
    let effects = Effects::new();
    let ours = store();
    let layer =
        |policy| IdempotencyLayer::new(ours.clone()).namespace("per route").on_failed(policy);
    let failing = || service(&effects, |_| async { StatusCode::BAD_GATEWAY });
    let router = Router::new()
        .route("/rerun", routing::post_service(failing()).layer(layer(OnFailed::Rerun)))
        .route("/reject", routing::post_service(failing()).layer(layer(OnFailed::Reject)));
    let server = Server::start(router).await;
    for (path, second, code) in
        [("/rerun", 502, None), ("/reject", 409, Some("idempotency_attempt_failed"))]
    {
        let call = post(path).key(format!("order{}", path.replace('/', "-")));
        assert_eq!(call.send(&server).await.status, 502);
        let retry = call.send(&server).await;
        assert_eq!(retry.status, second);
        if let Some(code) = code {
            retry.assert_rejected(409, code);
        }
    }
    assert_eq!(effects.count(), 3);
    // One store and one namespace: a key is used up for both routes.
    post("/reject")
        .key("order-rerun")
        .send(&server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
}

#[tokio::test]
async fn the_handler_runs_in_the_span_of_its_request_also_after_its_client_has_hung_up() {
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());
    let (effects, gate) = (Effects::new(), Gate::new());
    let (sender, mut spans) = tokio::sync::mpsc::unbounded_channel();
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let (gate, sender) = (handler_gate.clone(), sender.clone());
        async move {
            gate.passed().await;
            sender.send(scope()).unwrap();
        }
    });
    let server = Server::start(router.layer(layer()).layer(TraceLayer::new_for_http())).await;
    let connection = post("/").key("order-1001").begin(&server, usize::MAX).await;
    effects.reached(1).await;
    drop(connection);
    server.ended(1).await;
    gate.open();
    assert_eq!(patiently(spans.recv()).await.unwrap(), ["idempotency", "request"]);
}

/// The names of the current span and of those around it.
fn scope() -> Vec<&'static str> {
    let current = tracing::Span::current().id().unwrap();
    tracing::dispatcher::get_default(|dispatch| {
        let spans = dispatch.downcast_ref::<tracing_subscriber::Registry>().unwrap();
        spans.span(&current).unwrap().scope().map(|span| span.name()).collect()
    })
}
