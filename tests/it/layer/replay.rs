//! The retry of a finished request: the same response, byte for byte, and nothing that was not
//! meant for it.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::PreviousAttempt;

use crate::support::{
    Effects, Frames, Server, TestLayer, WireResponse, app, counting, http2_response, layer, post,
};

/// A server whose handler gives this response each time.
async fn responding(
    effects: &Effects,
    layer: TestLayer,
    response: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Server {
    let router = app(effects, move |_| {
        let response = response();
        async move { response }
    });
    Server::start(router.layer(layer)).await
}

#[tokio::test]
async fn a_retry_gets_the_original_response_marked_as_a_replay() {
    let effects = Effects::new();
    let server = responding(&effects, layer(), || {
        let response = Response::builder().status(201).header("Location", "/payments/7");
        response.header("Content-Type", "application/json").body(Body::from("{\"id\":7}")).unwrap()
    })
    .await;
    let call = post("/payments").key("order-1001").body("amount=1200");

    let first = call.send(&server).await;
    first.assert_first(201, "{\"id\":7}");
    for _ in 0..3 {
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        assert_eq!(replay.header("location"), Some("/payments/7"));
        assert_eq!(replay.header("content-type"), Some("application/json"));
        assert_eq!(replay.header("content-length"), Some("8"));
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_replay_is_there_as_soon_as_the_first_response_is() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for round in 0..100 {
        let call = post("/").key(format!("order-{round}"));
        let first = call.send(&server).await;
        call.send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 100);
}

#[tokio::test]
async fn first_responses_are_marked_only_if_asked_for() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().mark_original())).await;
    let call = post("/").key("order-1001");
    let first = call.send(&server).await;
    assert_eq!(first.header("x-idempotent-result"), Some("false"));
    call.send(&server).await.assert_replays(&first);
    assert_eq!(
        post("/").send(&server).await.header("x-idempotent-result"),
        None,
        "no key, no mark"
    );
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn headers_with_several_values_are_all_replayed_in_their_order() {
    let effects = Effects::new();
    let server = responding(&effects, layer(), || {
        let response = Response::builder()
            .header("Link", "</1>; rel=next")
            .header("X-Other", "between")
            .header("Link", "</2>; rel=prev")
            .header("Link", "</1>; rel=next")
            .header("X-Bytes", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("X-Empty", "");
        response.body(Body::empty()).unwrap()
    })
    .await;
    let call = post("/").key("order-1001");

    let first = call.send(&server).await;
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.all("link"), ["</1>; rel=next", "</2>; rel=prev", "</1>; rel=next"]);
    for name in ["x-other", "x-bytes", "x-empty"] {
        assert_eq!(replay.header(name), first.header(name), "{name}");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn thirty_thousand_values_of_one_header_are_replayed() {
    const VALUES: u32 = 30_000;
    let effects = Effects::new();
    let service = app(&effects, |_| async {
        let mut headers = HeaderMap::new();
        for value in 0..VALUES {
            headers.append("link", value.into());
        }
        (headers, "many")
    });
    let service = service.layer(layer());
    for replayed in [false, true] {
        let request =
            Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty());
        let response = service.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().contains_key("x-idempotent-result"), replayed);
        let links = response.headers().get_all("link").iter();
        assert!(links.eq((0..VALUES).map(HeaderValue::from).collect::<Vec<_>>().iter()));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "many");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn what_belongs_to_one_response_or_one_connection_is_not_replayed() {
    let effects = Effects::new();
    let server = responding(&effects, layer(), || {
        let response = Response::builder()
            .header("Set-Cookie", "session=of-the-first")
            .header("Set-Cookie", "more=of-the-first")
            .header("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("Server", "first")
            .header("WWW-Authenticate", "Basic")
            .header("Proxy-Authenticate", "Basic")
            .header("Keep-Alive", "timeout=5")
            .header("Connection", "close, X-Of-The-Connection")
            .header("Connection", "x-second-line")
            .header("X-Of-The-Connection", "1")
            .header("X-Second-Line", "1")
            .header("X-Idempotent-Result", "perhaps")
            .header("X-Stored", "1");
        response.body(Body::from("done")).unwrap()
    })
    .await;
    let call = post("/").key("order-1001");

    let first = call.send(&server).await;
    assert_eq!(first.all("set-cookie").len(), 2, "the first response is the handler's own");
    assert_eq!(first.header("x-of-the-connection"), Some("1"));
    // A response that sets a cookie is guarded like any other.
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.header("x-stored"), Some("1"));
    let gone = ["set-cookie", "server", "www-authenticate", "proxy-authenticate", "keep-alive"];
    for name in gone.into_iter().chain(["x-of-the-connection", "x-second-line"]) {
        assert!(replay.all(name).is_empty(), "{name} was replayed");
    }
    assert_ne!(replay.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(effects.count(), 1);
}

/// Headers of one response. A list may name them; nothing else has them replayed.
const OF_ONE_RESPONSE: [&str; 20] = [
    "set-cookie",
    "set-cookie2",
    "date",
    "age",
    "server",
    "alt-svc",
    "clear-site-data",
    "www-authenticate",
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
    "dpop-nonce",
    "replay-nonce",
    "x-access-token",
    "x-auth-token",
    "x-refresh-token",
    "x-session-token",
    "x-csrf-token",
    "x-xsrf-token",
];

fn with_headers(names: &'static [&'static str]) -> Response<Body> {
    let mut response = Response::new(Body::from("done"));
    for name in names {
        response.headers_mut().insert(*name, HeaderValue::from_static("of the first"));
    }
    response
}

#[tokio::test]
async fn tokens_challenges_and_stale_facts_are_replayed_only_if_a_list_names_them() {
    let named = || OF_ONE_RESPONSE.map(HeaderName::from_static);
    let guards = [
        (layer(), false),
        (layer().store_headers(named()), true),
        (layer().store_only_headers(named()), true),
        (layer().store_headers(named()).exclude_headers(named()), false),
    ];
    for (guard, is_replayed) in guards {
        let effects = Effects::new();
        let server = responding(&effects, guard, || with_headers(&OF_ONE_RESPONSE)).await;
        let call = post("/").key("order-1001");
        let first = call.send(&server).await;
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        for name in OF_ONE_RESPONSE {
            assert_eq!(
                first.all(name),
                ["of the first"],
                "the first response is the handler's own"
            );
            assert_eq!(replay.all(name) == ["of the first"], is_replayed, "{name} of {replay:?}");
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn no_list_has_advice_on_retries_or_framing_replayed() {
    let names = ["x-should-retry", "keep-alive", "x-request-id", "x-idempotent-body"];
    let effects = Effects::new();
    let guard = layer().store_headers(names.map(HeaderName::from_static));
    let server = responding(&effects, guard, || {
        let mut response = with_headers(&["x-should-retry", "keep-alive", "x-idempotent-body"]);
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("true"));
        response
    })
    .await;
    let call = post("/").key("order-1001");
    let first = call.send(&server).await;
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    for name in names {
        assert_eq!(replay.header(name), None);
    }
    assert_eq!(effects.count(), 1);
}

type Lines = &'static [(&'static str, &'static str)];

fn with_lines(lines: Lines) -> Response<Body> {
    let mut response = Response::new(Body::from("done"));
    for (name, value) in lines {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

/// The first response had its time; a replay has a new `Date`.
#[tokio::test]
async fn no_cache_takes_a_replay_for_a_new_response() {
    const FRESHNESS: [&str; 5] =
        ["cache-control", "expires", "pragma", "cdn-cache-control", "surrogate-control"];
    const TOMORROW: &str = "Sat, 28 Nov 2026 12:00:00 GMT";
    let cases: [(Lines, Lines); 9] = [
        (&[("cache-control", "public, max-age=3600")], &[("cache-control", "no-store")]),
        (&[("expires", TOMORROW)], &[("cache-control", "no-store")]),
        (&[("expires", TOMORROW), ("pragma", "x")], &[("cache-control", "no-store")]),
        (
            &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=3600")],
            &[("cache-control", "no-store")],
        ),
        (&[("surrogate-control", "max-age=3600")], &[("cache-control", "no-store")]),
        (
            &[("cache-control", "max-age=1"), ("cache-control", "public")],
            &[("cache-control", "no-store")],
        ),
        // What says so already stays byte for byte, and nothing is added to what says nothing.
        (&[("cache-control", "private, No-Store")], &[("cache-control", "private, No-Store")]),
        (
            &[("cache-control", "no-store"), ("pragma", "no-cache")],
            &[("cache-control", "no-store"), ("pragma", "no-cache")],
        ),
        (&[], &[]),
    ];
    for (given, expected) in cases {
        let effects = Effects::new();
        let server = responding(&effects, layer(), move || with_lines(given)).await;
        let call = post("/").key("order-1001");
        let first = call.send(&server).await;
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        for name in FRESHNESS {
            let values = |lines: Lines| -> Vec<_> {
                lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect()
            };
            assert_eq!(first.all(name), values(given));
            assert_eq!(replay.all(name), values(expected), "{name} of {given:?}");
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn cache_control_is_replayed_as_it_was_if_a_list_names_it() {
    let effects = Effects::new();
    let guard = layer().store_headers([header::CACHE_CONTROL]);
    let lines: Lines = &[("cache-control", "private, max-age=60")];
    let server = responding(&effects, guard, move || with_lines(lines)).await;
    let call = post("/").key("order-1001");
    let first = call.send(&server).await;
    let replay = call.send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.all("cache-control"), ["private, max-age=60"]);
}

#[tokio::test]
async fn trailers_that_frame_route_or_authenticate_are_not_replayed() {
    let effects = Effects::new();
    let sent = [
        "set-cookie",
        "authorization",
        "host",
        "content-encoding",
        "content-type",
        "x-should-retry",
        "x-request-id",
        "cache-control",
        "x-dropped",
        "content-digest",
        "x-checksum",
    ];
    let guard = layer().exclude_headers([HeaderName::from_static("x-dropped")]);
    let server = responding(&effects, guard, move || {
        let lines = sent.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
        let trailers = HeaderMap::from_iter(lines);
        Response::new(Body::new(Frames::known(&[b"done"]).trailers(trailers)))
    })
    .await;
    let (_, first) = http2_response(&server, "order-1001").await;
    assert_eq!(
        first.trailers().unwrap().len(),
        sent.len(),
        "the first response is the handler's own"
    );
    let (head, replay) = http2_response(&server, "order-1001").await;
    assert_eq!(head.headers["x-idempotent-result"], "true");
    let names: Vec<_> = replay.trailers().unwrap().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-digest", "x-checksum"]);
    assert_eq!(effects.count(), 1);
}

static LARGE: [u8; 100_000] = [0xff; 100_000];

#[tokio::test]
async fn the_body_is_replayed_byte_for_byte() {
    let bodies: [&'static [u8]; 4] =
        [b"", b"\x00\x01\xfe\xff\x80\r\n\r\n", "żółć".as_bytes(), &LARGE];
    for body in bodies {
        let effects = Effects::new();
        let server = responding(&effects, layer(), move || Response::new(Body::from(body))).await;
        let call = post("/").key("order-1001");

        let first = call.send(&server).await;
        assert!(first.body == body);
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_response_without_content_is_replayed_and_not_run_again() {
    for status in [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED] {
        let effects = Effects::new();
        let server = responding(&effects, layer(), move || {
            Response::builder().status(status).body(Body::empty()).unwrap()
        })
        .await;
        let call = post("/").key("order-1001");
        let first = call.send(&server).await;
        assert_eq!(first.status, status.as_u16());
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn every_frame_of_a_known_length_is_replayed() {
    let effects = Effects::new();
    let server = responding(&effects, layer(), || {
        Response::new(Body::new(Frames::known(&[b"one,", b"", b"two,", b"three"])))
    })
    .await;
    let call = post("/").key("order-1001");
    let first = call.send(&server).await;
    first.assert_first(200, "one,two,three");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn trailers_are_replayed() {
    let bodies: [&[&[u8]]; 2] = [&[b"one,", b"two"], &[]];
    for frames in bodies {
        let effects = Effects::new();
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", HeaderValue::from_static("0"));
        trailers.append("x-checksum", HeaderValue::from_static("a"));
        trailers.append("x-checksum", HeaderValue::from_static("b"));
        let sent = trailers.clone();
        let server = responding(&effects, layer(), move || {
            Response::new(Body::new(Frames::known(frames).trailers(sent.clone())))
        })
        .await;

        for result in [None, Some("true")] {
            let (head, body) = http2_response(&server, "order-1001").await;
            assert_eq!(
                head.headers.get("x-idempotent-result").map(|value| value.to_str().unwrap()),
                result
            );
            assert_eq!(body.trailers(), Some(&trailers), "{result:?}");
            assert_eq!(body.to_bytes(), frames.concat());
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_replay_tells_the_id_of_its_own_request_and_of_the_original() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let call = post("/").key("order-1001");
    let ids = |response: &WireResponse| {
        ["x-request-id", "x-original-request-id"]
            .map(|name| response.header(name).map(str::to_owned))
    };

    let first = call.clone().header("X-Request-Id", "first").send(&server).await;
    assert_eq!(ids(&first), [None, None], "the first response is the handler's own");
    let second = call.clone().header("X-Request-Id", "second").send(&server).await;
    assert_eq!(ids(&second), [Some("second".into()), Some("first".into())]);
    let without = call.send(&server).await;
    assert_eq!(ids(&without), [Some("first".into()), Some("first".into())]);

    let never = post("/").key("order-1002");
    never.send(&server).await;
    assert_eq!(ids(&never.send(&server).await), [None, None]);
    let late = never.header("X-Request-Id", "late").send(&server).await;
    assert_eq!(ids(&late), [Some("late".into()), None]);
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_request_id_is_stored_only_if_it_is_visible_ascii_of_128_bytes_at_most() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let longest = "i".repeat(128);
    let ids: [(&[u8], bool); 6] = [
        (longest.as_bytes(), true),
        (&[b'i'; 129], false),
        (&[b'i'; 8_000], false),
        (b"caf\xe9", false),
        (b"two words", false),
        (b"", false),
    ];
    for (index, (id, is_stored)) in ids.into_iter().enumerate() {
        let call = post("/").key(format!("order-{index}"));
        let first = call.clone().header("X-Request-Id", id).send(&server).await;
        let replay = call.send(&server).await;
        replay.assert_replays(&first);
        let expected = is_stored.then_some(&*longest);
        assert_eq!(replay.header("x-original-request-id"), expected, "{}", id.escape_ascii());
        assert_eq!(replay.header("x-request-id"), expected);
        // The handler sees it as it came.
        assert_eq!(effects.heads()[index].headers["x-request-id"].as_bytes(), id);
    }
}

#[tokio::test]
async fn a_response_with_an_id_that_is_not_stored_goes_to_the_client_unchanged() {
    let effects = Effects::new();
    let id = "i".repeat(129);
    let sent = id.clone();
    let server = responding(&effects, layer(), move || {
        Response::builder().header("X-Request-Id", &sent).body(Body::from("done")).unwrap()
    })
    .await;
    let first = post("/").key("order-1001").send(&server).await;
    first.assert_first(200, "done");
    assert_eq!(first.header("x-request-id"), Some(&*id));
    let replay = post("/").key("order-1001").send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(
        (replay.header("x-request-id"), replay.header("x-original-request-id")),
        (None, None)
    );
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn an_id_that_the_response_carries_is_the_original_one() {
    let effects = Effects::new();
    let server = responding(&effects, layer(), || {
        let response = Response::builder().header("X-Request-Id", "of-the-handler");
        response.header("X-Original-Request-Id", "of-another-service").body(Body::empty()).unwrap()
    })
    .await;
    let call = post("/").key("order-1001");

    call.clone().header("X-Request-Id", "first").send(&server).await;
    let replay = call.header("X-Request-Id", "second").send(&server).await;
    assert_eq!(replay.header("x-request-id"), Some("second"));
    assert_eq!(replay.header("x-original-request-id"), Some("of-the-handler"));
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_of_exactly_the_limit_is_stored() {
    let effects = Effects::new();
    let server = responding(&effects, layer().max_response(1000), || {
        Response::new(Body::from(vec![b'a'; 1000]))
    })
    .await;
    let call = post("/").key("order-1001");
    let first = call.send(&server).await;
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_that_cannot_be_stored_reaches_the_client_and_its_operation_is_never_run_again()
{
    let frame: &'static [u8] = &[b'a'; 400];
    let bodies: [fn(&'static [u8]) -> Body; 5] = [
        |frame| Body::from([frame, frame, frame].concat()),
        |frame| Body::new(Frames::known(&[frame, frame, frame])),
        |frame| Body::new(Frames::unknown(&[frame, frame, frame])),
        |_| Body::new(Frames::unknown(&[])),
        |frame| Body::new(Frames::unknown(&[&frame[..1]])),
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let effects = Effects::new();
        let server = responding(&effects, layer().max_response(1000), move || {
            let response = Response::builder().status(201).header("Location", "/payments/7");
            response.header("Set-Cookie", "a=b").body(body(frame)).unwrap()
        })
        .await;
        let call = post("/").key("order-1001");

        let first = call.send(&server).await;
        assert_eq!((first.status, first.complete), (201, true));
        let expected = [1200, 1200, 1200, 0, 1][index];
        assert!(first.body == vec![b'a'; expected], "body {index} was changed");
        assert_eq!(first.header("location"), Some("/payments/7"));
        assert_eq!(first.header("x-idempotent-result"), None);
        for _ in 0..2 {
            let retry = call.send(&server).await;
            let problem = retry.assert_rejected(409, "idempotency_result_not_retained");
            assert_eq!(problem["original_status"], 201);
            assert_eq!(retry.header("location"), Some("/payments/7"));
            assert!(retry.all("set-cookie").is_empty());
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_response_without_a_location_is_rejected_without_one() {
    let effects = Effects::new();
    let server =
        responding(&effects, layer().max_response(1), || Response::new(Body::from("too large")))
            .await;
    let call = post("/").key("order-1001");
    call.send(&server).await.assert_first(200, "too large");
    let retry = call.send(&server).await;
    assert_eq!(
        retry.assert_rejected(409, "idempotency_result_not_retained")["original_status"],
        200
    );
    assert_eq!(retry.header("location"), None);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failed_attempt_and_breaks_off_for_the_client_too() {
    let effects = Effects::new();
    let router =
        app(&effects, |_| async { Body::new(Frames::known(&[b"half"]).announcing(8).broken()) });
    let router = router.layer(layer());
    for _ in 0..2 {
        let request =
            Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty());
        let mut response = router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let half = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(half.into_data().unwrap(), "half");
        assert!(response.body_mut().frame().await.unwrap().is_err());
    }
    let failed = PreviousAttempt::Failed { status: None };
    assert_eq!(effects.attempts(), [(1, None), (2, Some(failed))]);

    // Over a socket the client can tell, too, that it has not got all of it.
    let server = Server::start(router).await;
    assert!(!post("/").key("order-1002").send(&server).await.complete);
    assert_eq!(effects.count(), 3);
}

#[tokio::test]
async fn a_body_that_is_longer_than_announced_is_handed_on_whole_and_not_stored() {
    let effects = Effects::new();
    let router = app(&effects, |_| async {
        Body::new(Frames::known(&[b"long", b"er, ", b"much"]).announcing(2))
    });
    let router = router.layer(layer().max_response(6));
    let request = || {
        Request::post("/").header("x-idempotency-key", "order-1001").body(Body::empty()).unwrap()
    };

    let first = router.clone().oneshot(request()).await.unwrap();
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "longer, much");
    assert_eq!(router.oneshot(request()).await.unwrap().status(), StatusCode::CONFLICT);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_marker_that_the_handler_sets_does_not_turn_a_first_response_into_a_replay() {
    let effects = Effects::new();
    let app =
        app(&effects, |_| async { ([("x-idempotent-result", "true")], "from a service behind") });
    let server = Server::start(app.layer(layer())).await;
    let first = post("/payments").key("order-1001").send(&server).await;
    first.assert_first(200, "from a service behind");
    assert_eq!(first.header("x-idempotent-result"), None);
    post("/payments").key("order-1001").send(&server).await.assert_replays(&first);
}
