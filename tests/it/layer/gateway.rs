//! Layers behind a layer: a rejection is never the result of the operation, wherever it comes from.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderName, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower_http::timeout::TimeoutLayer;
use tower_idempotency::store::{
    DynStore, NotRetained, RecordStatus, State, StoreErrorKind, StoredBody,
};
use tower_idempotency::{
    IdempotencyKey, OnFailed, PreviousAttempt, ResponseClass, ResponseDirective, Scope,
};

use crate::support::{
    Effects, Fault, Frames, Gate, Operation, Scripted, Server, TestLayer, app, counting, layer,
    layer_over, patiently, post, rejections, store,
};

const KEY: &str = "order-1001";

/// A gateway without a layer: it passes every request on to `service`.
fn passing_on(effects: &Effects, service: &Server) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let authority = service.address().to_string();
    app(effects, move |mut request| {
        let (client, authority) = (client.clone(), authority.clone());
        async move {
            let path = request.uri().path().to_owned();
            *request.uri_mut() = Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query(path)
                .build()
                .unwrap();
            client.request(request).await.unwrap().map(Body::new)
        }
    })
}

async fn status_of(guard: &TestLayer) -> Option<RecordStatus> {
    let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    let record = guard.inspect(&Scope::anonymous(), &key).await.unwrap();
    record.map(|record| record.status())
}

#[tokio::test]
async fn a_gateway_that_gave_up_waiting_gives_the_result_of_its_service_later() {
    let (done, gate) = (Effects::new(), Gate::new());
    let handler_gate = gate.clone();
    let pay = app(&done, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.passed().await;
            (StatusCode::CREATED, "paid")
        }
    });
    let service = Server::start(pay.layer(layer())).await;
    let passed_on = Effects::new();
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(300));
    let guard = layer();
    let router = passing_on(&passed_on, &service).layer(timeout).layer(guard.clone());
    let gateway = Server::start(router).await;
    let call = post("/payments").key(KEY).body("1200");

    call.send(&gateway).await.assert_first(504, "");
    for _ in 0..2 {
        let in_flight = call.send(&gateway).await;
        in_flight.assert_rejected(409, "idempotency_key_in_flight");
        assert_eq!(in_flight.header("retry-after"), Some("1"));
        // The attempt stays on record, and the key stays bound to its request.
        assert_eq!(status_of(&guard).await, Some(RecordStatus::Failed));
        let other = call.clone().body("1300").send(&gateway).await;
        other.assert_rejected(409, "idempotency_key_reused");
    }
    assert_eq!(passed_on.count(), 3);

    gate.open();
    let result = patiently(async {
        loop {
            let response = call.send(&gateway).await;
            if response.status != 409 {
                return response;
            }
        }
    });
    let result = result.await;
    result.assert_first(201, "paid");
    let runs = passed_on.count();
    call.send(&gateway).await.assert_replays(&result);
    assert_eq!((passed_on.count(), done.count()), (runs, 1));
    let attempts = passed_on.attempts();
    let timed_out = Some(PreviousAttempt::Failed { status: Some(StatusCode::GATEWAY_TIMEOUT) });
    assert_eq!(attempts[..3], [(1, None), (2, timed_out), (3, timed_out)]);
}

#[tokio::test]
async fn the_rejection_of_a_service_is_passed_on_each_time_and_leaves_no_record() {
    let done = Effects::new();
    let service = Server::start(counting(&done).layer(layer())).await;
    post("/").key(KEY).body("another request").send(&service).await.assert_first(200, "run 1");
    let passed_on = Effects::new();
    let guard = layer();
    let gateway = Server::start(passing_on(&passed_on, &service).layer(guard.clone())).await;
    for runs in 1..=2 {
        let response = post("/").key(KEY).body("body").send(&gateway).await;
        response.assert_rejected(409, "idempotency_key_reused");
        assert_eq!(status_of(&guard).await, None);
        assert_eq!(passed_on.count(), runs);
    }
    assert_eq!(passed_on.attempts(), [(1, None), (1, None)]);
}

/// A handler that gives the problem document of a rejection that it got from another process.
fn rejected(
    effects: &Effects,
    (code, status): (&str, u16),
    directive: ResponseDirective,
) -> Router {
    let problem = serde_json::json!({ "code": code, "status": status }).to_string();
    app(effects, move |_| {
        let problem = problem.clone();
        async move {
            // Through a proxy its length may be unknown.
            let frames = Frames::unknown(&[&problem.as_bytes()[..9], &problem.as_bytes()[9..]]);
            let mut response = Response::new(Body::new(frames));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let content_type = "application/problem+json; charset=utf-8".parse().unwrap();
            response.headers_mut().insert("content-type", content_type);
            response.headers_mut().insert("retry-after", 1.into());
            response.extensions_mut().insert(directive);
            response
        }
    })
}

#[tokio::test]
async fn no_classifier_or_directive_makes_a_rejection_a_result_but_a_handler_may_have_had_an_effect()
 {
    type Guard = fn() -> TestLayer;
    let guards: [(Guard, ResponseDirective); 6] = [
        (layer, ResponseDirective::new()),
        (|| layer().stripe(), ResponseDirective::new()),
        (|| layer().classify(|_| ResponseClass::Success), ResponseDirective::new()),
        (layer, ResponseDirective::success()),
        // The size limit for stored responses does not prevent the layer from reading a rejection.
        (|| layer().on_failed(OnFailed::Replay).max_response(1), ResponseDirective::failed()),
        (layer, ResponseDirective::abandoned()),
    ];
    for (index, (guard, directive)) in guards.into_iter().enumerate() {
        let rows = rejections();
        let cases =
            rows.iter().flat_map(|row| row.statuses.iter().map(move |status| (row, *status)));
        for (row, status) in cases {
            let effects = Effects::new();
            let guard = guard();
            let case = (&*row.code, status);
            let server =
                Server::start(rejected(&effects, case, directive).layer(guard.clone())).await;
            let response = post("/").key(KEY).send(&server).await;
            assert_eq!(
                (response.status, response.is_replay(), response.complete),
                (status, false, true)
            );
            assert!(response.text().contains(&row.code), "the client gets it whole");
            let expected = if directive == ResponseDirective::abandoned() {
                Some(RecordStatus::Pending)
            } else {
                (row.had_begun || directive == ResponseDirective::failed())
                    .then_some(RecordStatus::Failed)
            };
            assert_eq!(status_of(&guard).await, expected, "guard {index}, {}", row.code);
        }
    }
}

#[tokio::test]
async fn of_a_rejection_whose_operation_had_begun_the_status_alone_is_stored() {
    let begun: Vec<_> = rejections().into_iter().filter(|row| row.had_begun).collect();
    assert!(!begun.is_empty());
    for row in begun {
        let case @ (_, status) = (&*row.code, row.statuses[0]);
        let effects = Effects::new();
        let guard = layer().on_failed(OnFailed::Replay);
        let server =
            Server::start(rejected(&effects, case, ResponseDirective::new()).layer(guard.clone()))
                .await;
        let call = post("/").key(KEY);
        assert_eq!(call.send(&server).await.status, status);
        let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
        let record = guard.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
        let State::Failed(Some(outcome)) = record.state else { panic!("{:?}", record.state) };
        assert_eq!((outcome.status.as_u16(), outcome.headers.len()), (status, 0));
        assert_eq!(outcome.body, StoredBody::NotRetained(NotRetained::Failure));
        let retry = call.send(&server).await;
        assert_eq!(
            retry.assert_rejected(409, "idempotency_attempt_failed")["original_status"],
            status
        );
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_problem_of_the_application_is_its_own_result() {
    for case in [("insufficient_funds", 402), ("insufficient_funds", 404)] {
        let effects = Effects::new();
        let server =
            Server::start(rejected(&effects, case, ResponseDirective::new()).layer(layer())).await;
        let first = post("/").key(KEY).send(&server).await;
        assert_eq!(first.status, case.1);
        post("/").key(KEY).send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

/// A layer further in, with keys of its own, whose rejections do not look like any.
fn further_in(guard: TestLayer) -> TestLayer {
    guard
        .header(HeaderName::from_static("x-inner-key"))
        .rejection_response(|_| Response::new(bytes::Bytes::from_static(b"sorry")))
}

#[tokio::test]
async fn a_layer_further_in_is_recognized_by_the_rejection_in_the_extensions() {
    let effects = Effects::new();
    let guard = layer();
    let inner = further_in(layer().require_key());
    let server = Server::start(counting(&effects).layer(inner).layer(guard.clone())).await;
    let call = post("/").key(KEY);
    for _ in 0..2 {
        call.send(&server).await.assert_first(400, "sorry");
        assert_eq!(status_of(&guard).await, None);
    }
    call.clone()
        .header("X-Inner-Key", "a-key, a-key")
        .send(&server)
        .await
        .assert_first(400, "sorry");
    let first = call.header("X-Inner-Key", "inner-1001").send(&server).await;
    first.assert_first(200, "run 1");
    // Its 409 would otherwise be definitive.
    let reused =
        post("/").key("order-1002").header("X-Inner-Key", "inner-1001").body("another request");
    for _ in 0..2 {
        let response = reused.send(&server).await;
        assert_eq!((response.status, response.text(), response.is_replay()), (409, "sorry", false));
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn an_outage_and_a_shutdown_of_a_layer_further_in_are_not_the_result() {
    // A layer outside would otherwise replay them.
    let effects = Effects::new();
    let guard = layer().on_failed(OnFailed::Replay);
    let scripted = Scripted::over(store());
    let inner = further_in(layer_over(DynStore::new(scripted.clone())));
    let server = Server::start(counting(&effects).layer(inner.clone()).layer(guard.clone())).await;
    let call = post("/").key(KEY).header("X-Inner-Key", "inner-1001");
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        scripted.fault(Operation::Reserve, Fault::Error(kind));
        call.send(&server).await.assert_first(503, "sorry");
        assert_eq!(status_of(&guard).await, None);
    }
    scripted.heal();
    let first = call.send(&server).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);

    patiently(inner.shutdown()).await;
    let late = post("/").key("order-1002").header("X-Inner-Key", "inner-1002");
    for _ in 0..2 {
        late.send(&server).await.assert_first(503, "sorry");
    }
    assert_eq!(effects.count(), 1);
}
