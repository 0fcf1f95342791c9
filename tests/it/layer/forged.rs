//! Records that this version would not have written: forged ones, and ones of an earlier version.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_idempotency::store::{DynStore, NotRetained, Outcome, StoredBody};
use tower_idempotency::{OnFailed, OnOutage};

use crate::support::{
    Effects, Scripted, Server, TestLayer, app, counting, http2_response, layer_over, post, store,
};

/// A layer over a store whose records were changed by another writer.
fn forged(forge: impl Fn(&mut Outcome) + Send + Sync + 'static) -> TestLayer {
    layer_over(DynStore::new(Scripted::over(store()).storing(forge)))
}

fn lines(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    lines.iter().map(line).collect()
}

#[tokio::test]
async fn a_replay_is_one_whole_message_whatever_headers_its_record_contains() {
    let hostile: [&[(&str, &str)]; 8] = [
        &[("content-length", "9999")],
        &[("content-length", "1")],
        &[("transfer-encoding", "chunked")],
        &[("transfer-encoding", "gzip, chunked"), ("content-length", "3")],
        &[("connection", "close, x-of-the-connection"), ("x-of-the-connection", "1")],
        &[("upgrade", "websocket"), ("connection", "upgrade")],
        &[
            ("set-cookie", "session=of-another"),
            ("set-cookie2", "1"),
            ("authorization", "Bearer 1"),
        ],
        &[
            ("x-idempotent-result", "false"),
            ("x-idempotent-body", "omitted"),
            ("x-should-retry", "true"),
        ],
    ];
    for given in hostile {
        let effects = Effects::new();
        let headers = lines(given);
        let guard = forged(move |outcome| {
            outcome.headers.extend(headers.clone());
            outcome.headers.insert("x-stored", HeaderValue::from_static("1"));
        });
        let server = Server::start(counting(&effects).layer(guard)).await;
        let call = post("/").key("order-1001");
        let first = call.send(&server).await;
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        assert_eq!(replay.header("content-length"), Some("5"), "{given:?}");
        assert_eq!(replay.header("x-stored"), Some("1"));
        for (name, value) in given {
            let is_own = matches!(*name, "content-length" | "connection" | "x-idempotent-result");
            assert!(is_own || replay.all(name).is_empty(), "{name}: {value} was replayed");
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn the_trailers_of_a_record_are_filtered_too() {
    let effects = Effects::new();
    let guard = forged(|outcome| {
        if let StoredBody::Whole { trailers, .. } = &mut outcome.body {
            let forged = lines(&[("set-cookie", "a=b"), ("content-length", "9"), ("x-sum", "1")]);
            *trailers = Some(Box::new(forged));
        }
    });
    let server = Server::start(counting(&effects).layer(guard)).await;
    http2_response(&server, "order-1001").await;
    let (_, replay) = http2_response(&server, "order-1001").await;
    assert_eq!(replay.trailers(), Some(&lines(&[("x-sum", "1")])));
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_request_id_that_no_layer_would_have_stored_is_not_replayed() {
    let long: &'static str = Box::leak("i".repeat(129).into_boxed_str());
    for id in ["two words", "", long, "\u{e9}"] {
        let effects = Effects::new();
        let guard = forged(move |outcome| {
            outcome.request_id = Some(HeaderValue::from_bytes(id.as_bytes()).unwrap());
        });
        let server = Server::start(counting(&effects).layer(guard)).await;
        let call = post("/").key("order-1001");
        let first = call.send(&server).await;
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        assert_eq!(
            (replay.header("x-request-id"), replay.header("x-original-request-id")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn a_status_that_is_none_of_http_is_a_damaged_record_and_nothing_runs() {
    for status in [100, 101, 199, 600, 999] {
        let status = StatusCode::from_u16(status).unwrap();
        for policy in [OnOutage::FailClosed, OnOutage::FailOpenRiskingDoubleEffects] {
            for handler in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
                let effects = Effects::new();
                let guard = forged(move |outcome| outcome.status = status);
                let guard = guard.on_outage(policy).on_failed(OnFailed::Replay);
                let router = app(&effects, move |_| async move { (handler, "done") });
                let server = Server::start(router.layer(guard)).await;
                let call = post("/").key("order-1001");
                assert_eq!(call.send(&server).await.status, handler.as_u16());
                call.send(&server).await.assert_rejected(503, "idempotency_store_unavailable");
                assert_eq!(effects.count(), 1, "{status} {policy:?}");
            }
        }
    }
}

/// A classifier may call any response a success.
#[tokio::test]
async fn a_status_that_cannot_be_replayed_is_never_stored_as_a_result() {
    use tower::{Layer, ServiceExt, service_fn};
    use tower_idempotency::{Attempt, PreviousAttempt, ResponseClass, ResponseDirective};

    for (status, says) in [(101, false), (600, false), (999, false), (600, true), (999, true)] {
        let effects = Effects::new();
        let guard = layer_over(store()).classify(|_| ResponseClass::Success);
        for number in 1..=2 {
            let ledger = effects.clone();
            let handler = service_fn(move |request: http::Request<axum::body::Body>| {
                ledger.add(request.into_parts().0);
                let mut response = http::Response::new(axum::body::Body::from("done"));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                if says {
                    response.extensions_mut().insert(ResponseDirective::success());
                }
                std::future::ready(Ok::<_, std::convert::Infallible>(response))
            });
            let request = http::Request::post("/").header("x-idempotency-key", "order-1001");
            let request = request.body(axum::body::Body::empty()).unwrap();
            let response = guard.layer(handler).oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            let head = &effects.heads()[number - 1];
            let previous = (number == 2).then_some(PreviousAttempt::Failed { status: None });
            assert_eq!(head.extensions.get::<Attempt>().unwrap().previous(), previous);
        }
    }
}

#[tokio::test]
async fn the_location_of_a_rejection_is_filtered_like_the_location_of_a_replay() {
    for (headers, expected) in [
        (lines(&[("location", "/payments/7")]), Some("/payments/7")),
        (lines(&[("location", "/payments/7"), ("connection", "location")]), None),
    ] {
        let effects = Effects::new();
        let guard = forged(move |outcome| {
            outcome.headers = headers.clone();
            outcome.body = StoredBody::NotRetained(NotRetained::TooLarge);
        });
        let server = Server::start(counting(&effects).layer(guard)).await;
        let call = post("/").key("order-1001");
        call.send(&server).await.assert_first(200, "run 1");
        let rejected = call.send(&server).await;
        rejected.assert_rejected(409, "idempotency_result_not_retained");
        assert_eq!(rejected.header("location"), expected);
    }
}
