//! Section 2: the response.

use std::time::Duration;

use axum::body::Body;
use axum::middleware::from_fn;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{
    InFlight, OnAbandoned, OnFailed, Rejection, ResponseDirective, StoredResponse,
};

use super::{CutOff, KEY, by_path, record_of, rejected, responding};
use crate::support::{
    Arrived, Effects, Fault, Frames, Gate, Operation, Scripted, Server, TestLayer, WireResponse,
    counting, gated, http2_response, layer, layer_over, post, store,
};

/// The headers of a rejection that no retry will change.
const FOR_GOOD: [Option<&str>; 3] = [None, Some("false"), None];
/// The headers of a rejection that a retry may change.
const FOR_NOW: [Option<&str>; 3] = [Some("1"), None, None];

type MakeResponse = fn() -> Response<Body>;

fn created() -> Response<Body> {
    let response = Response::builder().status(201).header("Location", "/payments/7");
    response.header("Content-Type", "application/json").body(Body::from("{\"id\":7}")).unwrap()
}

#[tokio::test]
async fn first_execution_is_the_handlers_own_and_marked_only_if_asked_for() {
    for (guard, mark) in [(layer(), None), (layer().mark_original(), Some("false"))] {
        let effects = Effects::new();
        let server = Server::start(responding(&effects, created).layer(guard)).await;
        let first = post("/").key(KEY).header("X-Request-Id", "request-1").send(&server).await;
        assert_eq!((first.status, first.text(), first.complete), (201, "{\"id\":7}", true));
        assert_eq!(first.header("x-idempotent-result"), mark);
        assert_eq!(first.header("location"), Some("/payments/7"));
        assert_eq!(first.header("content-type"), Some("application/json"));
        let absent = [
            "retry-after",
            "x-should-retry",
            "x-request-id",
            "x-original-request-id",
            "x-idempotent-body",
        ];
        for absent in absent {
            assert_eq!(first.header(absent), None, "{absent}");
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn retry_of_a_finished_request_has_its_status_headers_and_both_request_ids() {
    let effects = Effects::new();
    let response = || {
        let response = Response::builder().status(201).header("Location", "/payments/7");
        response
            .header("Link", "<1>")
            .header("X-Other", "x")
            .header("Link", "<2>")
            .body(Body::from("done"))
            .unwrap()
    };
    let server = Server::start(responding(&effects, response).layer(layer())).await;
    let call = post("/").key(KEY).body("body");
    let first = call.clone().header("X-Request-Id", "request-1").send(&server).await;
    first.assert_first(201, "done");

    let asks = [(Some("request-2"), "request-2"), (None, "request-1")];
    for (own, expected) in asks {
        let retry = own.map_or(call.clone(), |own| call.clone().header("X-Request-Id", own));
        let replay = retry.send(&server).await;
        replay.assert_replays(&first);
        assert_eq!(replay.header("x-request-id"), Some(expected));
        assert_eq!(replay.header("x-original-request-id"), Some("request-1"));
        assert_eq!(replay.header("location"), Some("/payments/7"));
        assert_eq!(replay.header("x-other"), Some("x"));
        assert_eq!(replay.all("link"), ["<1>", "<2>"]);
        assert_eq!(replay.header("content-length"), Some("4"));
        for absent in ["retry-after", "x-should-retry", "x-idempotent-body"] {
            assert_eq!(replay.header(absent), None, "{absent}");
        }
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn same_key_other_fingerprint_is_409_and_no_retry_will_help() {
    let effects = Effects::new();
    let server = Server::start(responding(&effects, created).layer(layer())).await;
    let first = post("/").key(KEY).body("one").send(&server).await;
    for _ in 0..2 {
        let other = post("/").key(KEY).body("two").send(&server).await;
        assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
    }
    post("/").key(KEY).body("one").send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);

    // Nor is a record of a failure open to another request.
    let effects = Effects::new();
    let server = Server::start(by_path(&effects).layer(layer())).await;
    assert_eq!(post("/500").key(KEY).send(&server).await.status, 500);
    let other = post("/500").key(KEY).body("two").send(&server).await;
    assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn same_key_other_fingerprint_is_told_while_the_first_is_in_flight() {
    for policy in [InFlight::Reject, InFlight::Wait(Duration::from_mins(1))] {
        let (effects, gate) = (Effects::new(), Gate::new());
        let server = Server::start(gated(&effects, &gate).layer(layer().in_flight(policy))).await;
        let call = post("/").key(KEY).body("one");
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(1).await;
        let other = post("/").key(KEY).body("two").send(&server).await;
        assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
        gate.open();
        call.finish(running).await.assert_first(200, "done");
        assert_eq!(effects.count(), 1);
    }
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn same_key_other_fingerprint_is_422_in_the_ietf_profile() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().ietf())).await;
    let of = |body: &str| post("/").header("Idempotency-Key", format!("\"{KEY}\"")).body(body);
    let first = of("one").send(&server).await;
    first.assert_first(200, "run 1");
    assert_eq!(rejected(&of("two").send(&server).await, 422, "idempotency_key_reused"), FOR_GOOD);
    of("one").send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn same_key_same_fingerprint_in_flight_is_409_and_says_when_to_ask_again() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(gated(&effects, &gate).layer(layer())).await;
    let call = post("/").key(KEY).body("one");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    for _ in 0..2 {
        let retry = call.send(&server).await;
        assert_eq!(rejected(&retry, 409, "idempotency_key_in_flight"), FOR_NOW);
    }
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "done");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn same_key_same_fingerprint_in_flight_waits_up_to_a_bound_and_replays() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let guard = arrived.counted(layer().in_flight(InFlight::Wait(Duration::from_mins(1))));
    let server = Server::start(gated(&effects, &gate).layer(guard)).await;
    let call = post("/").key(KEY).body("one");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let waiting = call.begin(&server, usize::MAX).await;
    arrived.reached(2).await;
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "done");
    call.finish(waiting).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);

    let (effects, gate) = (Effects::new(), Gate::new());
    let impatient = layer().in_flight(InFlight::Wait(Duration::from_millis(20)));
    let server = Server::start(gated(&effects, &gate).layer(impatient)).await;
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    assert_eq!(rejected(&call.send(&server).await, 409, "idempotency_key_in_flight"), FOR_NOW);
    gate.open();
    call.finish(running).await.assert_first(200, "done");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn missing_key_where_required_is_400() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().require_key())).await;
    let response = post("/").body("body").send(&server).await;
    assert_eq!(rejected(&response, 400, "idempotency_key_missing"), [None; 3]);
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn malformed_key_is_400() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for key in ["", "two words", "\"unclosed", "bestellung-ü", &"k".repeat(256)] {
        let response = post("/").key(key).body("body").send(&server).await;
        assert_eq!(rejected(&response, 400, "idempotency_key_invalid"), [None; 3]);
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn request_body_over_the_limit_is_413() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().max_request(4))).await;
    let response = post("/").key(KEY).body("12345").send(&server).await;
    assert_eq!(rejected(&response, 413, "request_too_large"), [None; 3]);
    assert_eq!(effects.count(), 0);
}

fn over(scripted: &Scripted) -> TestLayer {
    layer_over(DynStore::new(scripted.clone()))
}

#[tokio::test]
async fn store_down_is_503_and_nothing_runs() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full, StoreErrorKind::Corrupt] {
        let effects = Effects::new();
        let scripted = Scripted::over(store());
        let server = Server::start(counting(&effects).layer(over(&scripted))).await;
        scripted.fault(Operation::Reserve, Fault::Error(kind));
        let response = post("/").key(KEY).send(&server).await;
        assert_eq!(rejected(&response, 503, "idempotency_store_unavailable"), FOR_NOW);
        assert_eq!(effects.count(), 0);
        scripted.heal();
        post("/").key(KEY).send(&server).await.assert_first(200, "run 1");
    }
}

#[tokio::test]
async fn store_too_slow_is_503_within_the_store_timeout() {
    let effects = Effects::new();
    let scripted = Scripted::over(store());
    let bound = Duration::from_millis(50);
    let server =
        Server::start(counting(&effects).layer(over(&scripted).store_timeout(bound))).await;
    scripted.fault(Operation::Reserve, Fault::Hang);
    let begun = std::time::Instant::now();
    let response = post("/").key(KEY).send(&server).await;
    assert_eq!(rejected(&response, 503, "idempotency_store_unavailable"), FOR_NOW);
    // The store never replies, so only the timeout can have ended the request. The upper bound
    // allows for a busy machine.
    assert!(begun.elapsed() >= bound && begun.elapsed() < Duration::from_secs(30));
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn finished_but_the_response_was_not_stored_is_409_with_its_status_and_location() {
    let too_large = || created().map(|_| Body::from(vec![b'x'; 101]));
    let streamed = || created().map(|_| Body::new(Frames::unknown(&[b"one", b"two"])));
    let cases: [(MakeResponse, TestLayer); 3] = [
        (too_large, layer().max_response(100)),
        (streamed, layer()),
        (
            created,
            layer().stored_response(StoredResponse::Nothing).store_headers([header::LOCATION]),
        ),
    ];
    for (response, guard) in cases {
        let effects = Effects::new();
        let server = Server::start(responding(&effects, response).layer(guard.clone())).await;
        let first = post("/").key(KEY).send(&server).await;
        assert_eq!((first.status, first.complete), (201, true));
        assert_eq!(first.header("location"), Some("/payments/7"));
        for _ in 0..2 {
            let retry = post("/").key(KEY).send(&server).await;
            let headers = rejected(&retry, 409, "idempotency_result_not_retained");
            assert_eq!(headers, [None, Some("false"), Some("/payments/7")]);
            assert_eq!(
                retry.assert_rejected(409, "idempotency_result_not_retained")["original_status"],
                201
            );
        }
        assert_eq!(effects.count(), 1);
        assert_eq!(record_of(&guard, KEY).await.unwrap().status().to_string(), "success");
    }
}

#[tokio::test]
async fn a_response_of_unknown_length_is_replayed_if_it_is_read_to_its_end() {
    let read = || {
        let mut response = created().map(|_| Body::new(Frames::unknown(&[b"one", b"two"])));
        response.extensions_mut().insert(ResponseDirective::new().read_to_its_end());
        response
    };
    for (guard, is_stored) in [(layer().max_response(6), true), (layer().max_response(5), false)] {
        let effects = Effects::new();
        let server = Server::start(responding(&effects, read).layer(guard)).await;
        let first = post("/").key(KEY).send(&server).await;
        first.assert_first(201, "onetwo");
        let retry = post("/").key(KEY).send(&server).await;
        if is_stored {
            retry.assert_replays(&first);
        } else {
            retry.assert_rejected(409, "idempotency_result_not_retained");
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn finished_but_the_response_was_not_stored_has_no_location_if_there_was_none() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().max_response(1))).await;
    post("/").key(KEY).send(&server).await.assert_first(200, "run 1");
    let retry = post("/").key(KEY).send(&server).await;
    assert_eq!(rejected(&retry, 409, "idempotency_result_not_retained"), FOR_GOOD);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn an_earlier_attempt_was_cut_off_and_policy_says_not_to_run_again() {
    let call = post("/200").key(KEY);
    let cut = CutOff::of(&call).await;
    let effects = Effects::new();
    let guard = cut.layer.on_abandoned(OnAbandoned::Reject);
    let server = Server::start(by_path(&effects).layer(guard)).await;
    for _ in 0..2 {
        let response = call.send(&server).await;
        assert_eq!(rejected(&response, 409, "idempotency_outcome_unknown"), FOR_GOOD);
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn an_earlier_attempt_failed_and_policy_says_not_to_run_again() {
    for (path, first) in [("/500", 500), ("/panic", 0)] {
        let effects = Effects::new();
        let guard = layer().on_failed(OnFailed::Reject);
        let server = Server::start(by_path(&effects).layer(guard)).await;
        let call = post(path).key(KEY);
        assert_eq!(call.send(&server).await.status, first);
        for _ in 0..2 {
            let response = call.send(&server).await;
            assert_eq!(rejected(&response, 409, "idempotency_attempt_failed"), FOR_GOOD);
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn every_rejection_is_rendered_by_rejection_response_if_it_is_set() {
    let effects = Effects::new();
    let guard = layer().require_key().rejection_response(|rejection| {
        let text = Bytes::from(format!("sorry: {}", rejection.code()));
        Response::builder().status(200).header("Content-Type", "text/plain").body(text).unwrap()
    });
    let server = Server::start(counting(&effects).layer(guard)).await;
    post("/").key(KEY).send(&server).await.assert_first(200, "run 1");
    let rejections = [
        (post("/"), 400, "idempotency_key_missing", None),
        (post("/").key("two words"), 400, "idempotency_key_invalid", None),
        (post("/").key(KEY).body("other"), 409, "idempotency_key_reused", Some("false")),
    ];
    for (call, status, code, should_retry) in rejections {
        let response = call.send(&server).await;
        assert_eq!((response.status, response.text()), (status, &*format!("sorry: {code}")));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.header("x-should-retry"), should_retry);
        assert_eq!(response.header("retry-after"), None);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn every_rejection_is_in_the_extensions_and_none_echoes_the_key() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let guard = layer().require_key().max_request(10);
    // A layer outside shows what it finds.
    let router = gated(&effects, &gate).layer(guard).layer(from_fn(
        async |request: axum::extract::Request, next: axum::middleware::Next| {
            let mut response = next.run(request).await;
            if let Some(rejection) = response.extensions().get::<Rejection>() {
                let code = HeaderValue::from_static(rejection.code());
                response.headers_mut().insert("x-seen-outside", code);
            }
            response
        },
    ));
    let server = Server::start(router).await;
    let call = post("/").key(KEY).body("one");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let rejections = [
        (post("/"), 400, "idempotency_key_missing"),
        (post("/").key("a-key, a-key"), 400, "idempotency_key_invalid"),
        (post("/").key(KEY).body("more than ten"), 413, "request_too_large"),
        (post("/").key(KEY).body("two"), 409, "idempotency_key_reused"),
        (call.clone(), 409, "idempotency_key_in_flight"),
    ];
    for (call, status, code) in rejections {
        let response = call.send(&server).await;
        // That the key is in none of them is asserted there.
        rejected(&response, status, code);
        assert_eq!(response.header("x-seen-outside"), Some(code));
    }
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "done");
    assert_eq!(first.header("x-seen-outside"), None);
    assert_eq!(effects.count(), 1);
}

/// A response with every header that is never stored, and one that is.
fn with_headers() -> Response<Body> {
    let response = Response::builder()
        .header("Set-Cookie", "session=of-the-first")
        .header("Connection", "X-Of-The-Connection")
        .header("X-Of-The-Connection", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic")
        .header("TE", "trailers")
        .header("Upgrade", "other")
        .header("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
        .header("WWW-Authenticate", "Basic")
        .header("Server", "first")
        .header("X-Should-Retry", "true")
        .header("X-Stored", "1");
    response.body(Body::from("done")).unwrap()
}

const NEVER: [&str; 10] = [
    "set-cookie",
    "x-of-the-connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "upgrade",
    "www-authenticate",
    "server",
    "transfer-encoding",
    "x-should-retry",
];

#[tokio::test]
async fn never_stored_or_replayed_are_cookies_and_headers_of_one_connection_or_response() {
    let effects = Effects::new();
    let guard = layer();
    let server = Server::start(responding(&effects, with_headers).layer(guard.clone())).await;
    let first = post("/").key(KEY).send(&server).await;
    first.assert_first(200, "done");
    assert_eq!(first.header("set-cookie"), Some("session=of-the-first"));
    let replay = post("/").key(KEY).send(&server).await;
    // A response that sets a cookie is guarded like any other.
    replay.assert_replays(&first);
    assert_eq!(effects.count(), 1);
    for name in NEVER {
        assert!(replay.all(name).is_empty(), "{name}");
    }
    assert_eq!(replay.header("x-stored"), Some("1"));
    assert_ne!(replay.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(replay.all("content-length"), ["4"], "its own, once");

    let record = record_of(&guard, KEY).await.unwrap();
    let tower_idempotency::store::State::Success(outcome) = record.state else {
        panic!("{record:?}")
    };
    let stored: Vec<_> = outcome.headers.keys().map(header::HeaderName::as_str).collect();
    assert_eq!(stored, ["x-stored"]);
}

#[tokio::test]
async fn never_stored_or_replayed_can_be_changed_by_an_allow_or_a_deny_list() {
    let effects = Effects::new();
    let allowing = layer()
        .store_headers([header::SET_COOKIE, "x-should-retry".parse().unwrap()])
        .exclude_headers(["x-stored".parse().unwrap()]);
    let server = Server::start(responding(&effects, with_headers).layer(allowing)).await;
    let first = post("/").key(KEY).send(&server).await;
    let replay = post("/").key(KEY).send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.header("set-cookie"), Some("session=of-the-first"));
    assert_eq!(replay.header("x-stored"), None);
    assert_eq!(replay.header("server"), None);
    assert_eq!(replay.header("x-should-retry"), None, "no list can have it stored");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn replays_are_byte_exact_whether_binary_empty_or_of_many_frames() {
    let bodies: [(u16, MakeResponse); 4] = [
        (204, || Response::builder().status(204).body(Body::empty()).unwrap()),
        (200, || Response::new(Body::from((0..=255).cycle().take(100_000).collect::<Vec<u8>>()))),
        (200, || Response::new(Body::from("\r\n\r\n0\r\n\r\n"))),
        (201, || {
            let many =
                Response::new(Body::new(Frames::known(&[b"one", b"", b"\xff\x00", b"three"])));
            let (mut head, body) = many.into_parts();
            head.status = StatusCode::CREATED;
            Response::from_parts(head, body)
        }),
    ];
    for (status, response) in bodies {
        let effects = Effects::new();
        let server = Server::start(responding(&effects, response).layer(layer())).await;
        let first = post("/").key(KEY).send(&server).await;
        assert_eq!((first.status, first.is_replay(), first.complete), (status, false, true));
        for _ in 0..2 {
            let replay = post("/").key(KEY).send(&server).await;
            replay.assert_replays(&first);
            assert_eq!(replay.header("content-length"), first.header("content-length"));
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn replays_are_byte_exact_with_their_trailers() {
    let effects = Effects::new();
    let mut trailers = HeaderMap::new();
    trailers.append("x-checksum", HeaderValue::from_static("a"));
    trailers.append("x-checksum", HeaderValue::from_static("b"));
    let sent = trailers.clone();
    let response =
        move || Response::new(Body::new(Frames::known(&[b"one", b"two"]).trailers(sent.clone())));
    let server = Server::start(responding(&effects, response).layer(layer())).await;
    for marker in [None, Some("true")] {
        let (head, body) = http2_response(&server, KEY).await;
        assert_eq!(
            head.headers.get("x-idempotent-result").map(|value| value.to_str().unwrap()),
            marker
        );
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "onetwo");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_replay_is_available_as_soon_as_the_client_has_its_first_response() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for round in 0..50 {
        let call = post("/").key(format!("order-{round}"));
        let first: WireResponse = call.send(&server).await;
        call.send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 50);
}
