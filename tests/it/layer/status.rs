//! Which responses are definitive, which leave no record, and what becomes of failed attempts.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_idempotency::{OnFailed, PreviousAttempt, ResponseClass};

use crate::support::{Effects, Frames, Server, TestLayer, app, counting, layer, post};

/// The statuses after which a key is free: nothing happened.
const DISCARDED: [u16; 24] = [
    307, 308, 400, 401, 403, 405, 406, 407, 411, 412, 413, 414, 415, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 511,
];

fn panics() -> StatusCode {
    panic!("the handler panics, as it was told to");
}

/// A server that responds with the status in the path.
async fn of_path(effects: &Effects, layer: TestLayer) -> Server {
    let router = app(effects, |request| async move {
        let status = request.uri().path()[1..].parse().unwrap();
        StatusCode::from_u16(status).unwrap()
    });
    Server::start(router.layer(layer)).await
}

#[tokio::test]
async fn definitive_responses_are_replayed() {
    let effects = Effects::new();
    let server = of_path(&effects, layer()).await;
    let definitive = (200..500).filter(|status| *status != 408 && !DISCARDED.contains(status));
    for (index, status) in definitive.enumerate() {
        let call = post(&format!("/{status}")).key(format!("order-{status}"));
        let first = call.send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), index + 1, "{status}");
    }
}

#[tokio::test]
async fn a_response_that_says_nothing_happened_leaves_the_key_for_a_corrected_request() {
    let effects = Effects::new();
    let server = of_path(&effects, layer()).await;
    for status in DISCARDED {
        let call = post(&format!("/{status}")).key(format!("order-{status}"));
        for _ in 0..2 {
            let response = call.send(&server).await;
            assert_eq!((response.status, response.is_replay()), (status, false));
        }
        let mended = post("/201").key(format!("order-{status}")).body("mended");
        let first = mended.send(&server).await;
        first.assert_first(201, "");
        mended.send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 3 * DISCARDED.len());
    assert!(
        effects.attempts().iter().all(|attempt| *attempt == (1, None)),
        "no record, no attempt"
    );
}

/// A server whose handler responds with 409 and the headers in the path:
/// `/retry-after=1/x-should-retry=true`.
async fn conflicting(effects: &Effects, layer: TestLayer) -> Server {
    let router = app(effects, |request| async move {
        let mut response = Response::builder().status(409);
        for line in request.uri().path().split('/').filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once('=').unwrap();
            response = response.header(name, value);
        }
        response.body(Body::from("not now")).unwrap()
    });
    Server::start(router.layer(layer)).await
}

#[tokio::test]
async fn a_conflict_is_definitive_unless_it_says_ask_again() {
    let mut rules = vec![layer(), layer().classify(ResponseClass::by_ietf), layer().stripe()];
    // A custom classifier replaces this too.
    rules.push(layer().classify(|head| ResponseClass::of(head.status)));
    let last = rules.len() - 1;
    for (index, layer) in rules.into_iter().enumerate() {
        let effects = Effects::new();
        let server = conflicting(&effects, layer).await;
        for (path, asks_again) in [
            ("/", false),
            ("/retry-after=1", true),
            ("/retry-after=Wed, 21 Oct 2026 07:28:00 GMT".replace(' ', "%20").as_str(), true),
            ("/x-should-retry=true", true),
            ("/x-should-retry=TRUE", true),
            ("/x-should-retry=false", false),
            ("/x-should-retry=perhaps", false),
            ("/retry-after=1/x-should-retry=false", false),
        ] {
            let before = effects.count();
            let call = post(path).key(path);
            call.send(&server).await.assert_first(409, "not now");
            let second = call.send(&server).await;
            assert_eq!(second.is_replay(), !asks_again || index == last, "{path}, rule {index}");
            let runs = effects.attempts()[before..].to_vec();
            assert!(
                runs.iter().all(|attempt| *attempt == (1, None)),
                "no record, no attempt: {runs:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_failed_attempt_runs_again_and_knows_of_the_one_before() {
    let effects = Effects::new();
    let server = of_path(&effects, layer()).await;
    for status in [408, 500, 501, 502, 503, 504, 599] {
        let before = effects.count();
        let call = post(&format!("/{status}")).key(format!("order-{status}"));
        for _ in 0..3 {
            let response = call.send(&server).await;
            assert_eq!((response.status, response.is_replay()), (status, false));
        }
        let failed = Some(PreviousAttempt::Failed { status: StatusCode::from_u16(status).ok() });
        assert_eq!(effects.attempts()[before..], [(1, None), (2, failed), (3, failed)]);
    }
}

#[tokio::test]
async fn an_attempt_that_succeeds_after_a_failed_one_is_replayed() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let run = ledger.count();
        async move { if run == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED } }
    });
    let server = Server::start(router.layer(layer())).await;
    let call = post("/").key("order-1001");
    call.send(&server).await.assert_first(503, "");
    let second = call.send(&server).await;
    second.assert_first(201, "");
    call.send(&server).await.assert_replays(&second);
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_failure_may_be_replayed() {
    let effects = Effects::new();
    let router =
        app(&effects, |_| async { (StatusCode::BAD_GATEWAY, [("x-why", "bank")], "no bank") });
    let server = Server::start(router.layer(layer().on_failed(OnFailed::Replay))).await;
    let call = post("/").key("order-1001");

    let first = call.send(&server).await;
    first.assert_first(502, "no bank");
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.header("x-why"), Some("bank"));
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_failure_without_a_response_to_replay_is_rejected() {
    let bodies: [fn() -> Body; 2] =
        [|| Body::from("too large to store"), || Body::new(Frames::unknown(&[b"streamed"]))];
    for body in bodies {
        let effects = Effects::new();
        let router = app(&effects, move |_| async move { (StatusCode::BAD_GATEWAY, body()) });
        let server =
            Server::start(router.layer(layer().on_failed(OnFailed::Replay).max_response(8))).await;
        let call = post("/").key("order-1001");

        assert_eq!(call.send(&server).await.status, 502);
        let problem = call.send(&server).await.assert_rejected(409, "idempotency_attempt_failed");
        assert_eq!(problem["original_status"], 502);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_failed_response_is_not_stored_where_failures_run_again() {
    let effects = Effects::new();
    let layer = layer();
    let router = || app(&effects, |_| async { (StatusCode::BAD_GATEWAY, "no bank") });
    let server = Server::start(router().layer(layer.clone())).await;
    let replaying = Server::start(router().layer(layer.on_failed(OnFailed::Replay))).await;
    let call = post("/").key("order-1001");

    call.send(&server).await.assert_first(502, "no bank");
    let problem = call.send(&replaying).await.assert_rejected(409, "idempotency_attempt_failed");
    assert_eq!(problem["original_status"], 502);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_failure_may_be_rejected() {
    let effects = Effects::new();
    let server = of_path(&effects, layer().on_failed(OnFailed::Reject)).await;
    let call = post("/502").key("order-1001");

    call.send(&server).await.assert_first(502, "");
    for _ in 0..2 {
        let problem = call.send(&server).await.assert_rejected(409, "idempotency_attempt_failed");
        assert_eq!(problem["original_status"], 502);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_panic_is_recorded_and_raised_again() {
    let effects = Effects::new();
    let router = app(&effects, |_| async { panics() });
    let router = router.layer(layer()).layer(CatchPanicLayer::new());
    let server = Server::start(router).await;
    let call = post("/").key("order-1001");

    for _ in 0..2 {
        let response = call.send(&server).await;
        assert_eq!((response.status, response.is_replay()), (500, false));
        assert!(
            response.text().contains("anicked"),
            "the text is CatchPanic's: {}",
            response.text()
        );
    }
    let failed = Some(PreviousAttempt::Failed { status: None });
    assert_eq!(effects.attempts(), [(1, None), (2, failed)]);
}

#[tokio::test]
async fn a_panic_that_is_not_caught_cuts_the_connection_as_it_does_without_the_layer() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let run = ledger.count();
        async move { if run == 1 { panics() } else { StatusCode::OK } }
    });
    let server = Server::start(router.layer(layer())).await;
    let call = post("/").key("order-1001");

    assert_eq!(call.send(&server).await.status, 0, "no response");
    call.send(&server).await.assert_first(200, "");
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn a_panic_of_the_body_is_a_failed_attempt() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let first = ledger.count() == 1;
        async move {
            if first {
                return Body::new(Frames::known(&[b"cut "]).announcing(9).panicking());
            }
            Body::from("whole")
        }
    });
    let server = Server::start(router.layer(layer())).await;
    let call = post("/").key("order-1001");

    assert_eq!(call.send(&server).await.status, 0, "no response");
    let second = call.send(&server).await;
    second.assert_first(200, "whole");
    call.send(&server).await.assert_replays(&second);
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn a_panic_of_the_classifier_is_a_failed_attempt() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let layer = layer().classify(move |_| {
        assert!(ledger.count() > 1, "the classify panics, as it was told to");
        ResponseClass::Success
    });
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");

    assert_eq!(call.send(&server).await.status, 0, "no response");
    let second = call.send(&server).await;
    second.assert_first(200, "run 2");
    call.send(&server).await.assert_replays(&second);
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn after_a_panic_there_is_nothing_to_replay_and_policy_may_reject_to_run_again() {
    for policy in [OnFailed::Reject, OnFailed::Replay] {
        let effects = Effects::new();
        let router = app(&effects, |_| async { panics() });
        let server = Server::start(router.layer(layer().on_failed(policy))).await;
        let call = post("/").key("order-1001");
        assert_eq!(call.send(&server).await.status, 0);
        let problem = call.send(&server).await.assert_rejected(409, "idempotency_attempt_failed");
        assert_eq!(problem.get("original_status"), None);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_recorded_and_returned() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let service = layer().layer(service_fn(move |request: Request<Body>| {
        ledger.add(request.into_parts().0);
        async { Err::<Response<Body>, _>(std::io::Error::other("no bank")) }
    }));
    let request = || {
        Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty()).unwrap()
    };

    for _ in 0..2 {
        let error: std::io::Error = service.clone().oneshot(request()).await.unwrap_err();
        assert_eq!(error.to_string(), "no bank");
    }
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn a_classifier_replaces_the_rule() {
    let effects = Effects::new();
    let layer = layer().classify(|response| match response.status.as_u16() {
        200 => ResponseClass::Failed,
        201 if !response.headers.contains_key("x-definitive") => ResponseClass::Discard,
        _ => ResponseClass::Success,
    });
    let server = of_path(&effects, layer).await;

    for (status, again) in [(200, true), (201, true), (400, false), (422, false), (500, false)] {
        let call = post(&format!("/{status}")).key(format!("order-{status}"));
        assert_eq!(call.send(&server).await.status, status);
        assert_eq!(call.send(&server).await.is_replay(), !again, "{status}");
    }
    let failed = Some(PreviousAttempt::Failed { status: Some(StatusCode::OK) });
    assert_eq!(effects.attempts()[..4], [(1, None), (2, failed), (1, None), (1, None)]);
    assert_eq!(effects.count(), 7);
}

#[tokio::test]
async fn a_response_is_gone_when_its_retention_is_over() {
    let effects = Effects::new();
    let retention = Duration::from_millis(1);
    let server = Server::start(counting(&effects).layer(layer().retention(retention))).await;
    let call = post("/").key("order-1001");
    call.send(&server).await.assert_first(200, "run 1");
    tokio::time::sleep(2 * retention).await;
    call.send(&server).await.assert_first(200, "run 2");
    assert_eq!(effects.attempts(), [(1, None), (1, None)]);
}
