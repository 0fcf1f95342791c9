//! How much of a response is stored, and which headers.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use tower_idempotency::{OnFailed, ResponseDirective, Scope, StoredResponse};

use crate::support::{
    Effects, Frames, Server, TestLayer, WireResponse, app, http2_response, layer, post,
};

const KEY: &str = "order-1001";

type MakeResponse = fn() -> Response<Body>;

fn created() -> Response<Body> {
    Response::builder()
        .status(201)
        .header("Location", "/cards/7")
        .header("Content-Type", "text/plain")
        .header("ETag", "\"of-the-card\"")
        .header("Cache-Control", "no-store")
        .header("Vary", "Origin")
        .header("Access-Control-Allow-Origin", "https://shop.example")
        .header("X-Secret", "4242")
        .body(Body::from("a card number"))
        .unwrap()
}

fn empty() -> Response<Body> {
    Response::builder().status(204).header("X-Secret", "4242").body(Body::empty()).unwrap()
}

fn streamed() -> Response<Body> {
    created().map(|_| Body::new(Frames::unknown(&[b"a card ", b"number"])))
}

fn failed() -> Response<Body> {
    Response::builder()
        .status(503)
        .header("Retry-After", "7")
        .header("X-Secret", "4242")
        .body(Body::from("down"))
        .unwrap()
}

/// Sends one request twice; returns both responses, and asserts that the handler ran once.
async fn twice(guard: TestLayer, response: MakeResponse) -> [WireResponse; 2] {
    let effects = Effects::new();
    let router = app(&effects, move |_| async move { response() });
    let server = Server::start(router.layer(guard)).await;
    let call = post("/").key(KEY).body("body").header("X-Request-Id", "request-1");
    let first = call.send(&server).await;
    assert!(first.complete && first.header("x-idempotent-body").is_none() && !first.is_replay());
    let second = call.send(&server).await;
    assert_eq!(effects.count(), 1);
    [first, second]
}

/// Asserts a replay that has this status and body, and says whether a body was left out. It has
/// these headers, those that every response of the server has, and no others.
#[track_caller]
fn is_replay(
    replay: &WireResponse,
    status: u16,
    text: &str,
    omitted: bool,
    headers: &[(&str, &str)],
) {
    assert!(replay.is_replay() && replay.complete, "{replay:?}");
    assert_eq!((replay.status, replay.text()), (status, text));
    assert_eq!(replay.header("x-idempotent-body"), omitted.then_some("omitted"), "{replay:?}");
    for (name, value) in headers {
        assert_eq!(replay.header(name), Some(*value), "{name} in {replay:?}");
    }
    let every =
        ["content-length", "date", "connection", "x-idempotent-result", "x-idempotent-body"];
    let ids = ["x-request-id", "x-original-request-id"];
    for name in ids {
        assert_eq!(replay.header(name), Some("request-1"));
    }
    let known: Vec<_> = headers.iter().map(|(name, _)| *name).chain(every).chain(ids).collect();
    let others: Vec<_> = replay.names().into_iter().filter(|name| !known.contains(name)).collect();
    assert!(others.is_empty(), "{others:?} were stored");
}

/// Those of [`created`] that say nothing of the card.
const HARMLESS: [(&str, &str); 3] = [
    ("cache-control", "no-store"),
    ("vary", "Origin"),
    ("access-control-allow-origin", "https://shop.example"),
];

#[tokio::test]
async fn full_stores_status_headers_and_body() {
    let [first, replay] = twice(layer().stored_response(StoredResponse::Full), created).await;
    let headers = [
        &HARMLESS[..],
        &[
            ("location", "/cards/7"),
            ("content-type", "text/plain"),
            ("etag", "\"of-the-card\""),
            ("x-secret", "4242"),
        ],
    ];
    is_replay(&replay, 201, first.text(), false, &headers.concat());
    let [_, replay] = twice(layer(), empty).await;
    is_replay(&replay, 204, "", false, &[("x-secret", "4242")]);
}

#[tokio::test]
async fn status_stores_the_status_and_headers_that_reveal_nothing() {
    let [first, replay] = twice(layer().stored_response(StoredResponse::Status), created).await;
    assert_eq!(first.text(), "a card number", "the first response is the handler's own");
    is_replay(&replay, 201, "", true, &HARMLESS);
    assert_eq!(replay.header("content-length"), Some("0"));
}

#[tokio::test]
async fn status_leaves_nothing_out_of_an_empty_response() {
    let [_, replay] = twice(layer().stored_response(StoredResponse::Status), empty).await;
    is_replay(&replay, 204, "", false, &[]);
    let nothing: MakeResponse = || Response::new(Body::empty());
    let [_, replay] = twice(layer().stored_response(StoredResponse::Status), nothing).await;
    is_replay(&replay, 200, "", false, &[]);
}

#[tokio::test]
async fn status_replays_what_full_could_not_store() {
    for (guard, response) in
        [(layer(), streamed as MakeResponse), (layer().max_response(4), created)]
    {
        let [first, retry] = twice(guard.clone(), response).await;
        assert_eq!(first.text(), "a card number");
        retry.assert_rejected(409, "idempotency_result_not_retained");

        let [first, replay] =
            twice(layer().max_response(4).stored_response(StoredResponse::Status), response).await;
        assert_eq!(first.text(), "a card number");
        is_replay(&replay, 201, "", true, &HARMLESS);
    }
}

#[tokio::test]
async fn status_stores_as_little_of_a_failure() {
    let guard = || layer().on_failed(OnFailed::Replay);
    let [_, replay] = twice(guard(), failed).await;
    is_replay(&replay, 503, "down", false, &[("retry-after", "7"), ("x-secret", "4242")]);
    let [_, replay] = twice(guard().stored_response(StoredResponse::Status), failed).await;
    is_replay(&replay, 503, "", true, &[("retry-after", "7")]);
    let [_, retry] = twice(guard().stored_response(StoredResponse::Nothing), failed).await;
    let problem = retry.assert_rejected(409, "idempotency_attempt_failed");
    assert_eq!(problem["original_status"], 503);
}

#[tokio::test]
async fn status_leaves_trailers_out_too() {
    let effects = Effects::new();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("of-the-card"));
    let router = app(&effects, move |_| {
        let body = Body::new(Frames::known(&[]).trailers(trailers.clone()));
        async { Response::new(body) }
    });
    let server = Server::start(router.layer(layer().stored_response(StoredResponse::Status))).await;
    let (head, body) = http2_response(&server, KEY).await;
    assert!(head.headers.get("x-idempotent-body").is_none() && body.trailers().is_some());
    let (head, body) = http2_response(&server, KEY).await;
    assert_eq!(head.headers["x-idempotent-result"], "true");
    assert_eq!(head.headers["x-idempotent-body"], "omitted", "the trailers were left out");
    assert_eq!(body.trailers(), None);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn nothing_rejects_a_retry_even_of_an_empty_response() {
    for (response, status) in [(created as MakeResponse, 201), (empty, 204), (streamed, 201)] {
        let [first, retry] =
            twice(layer().stored_response(StoredResponse::Nothing), response).await;
        assert_eq!(first.status, status);
        let problem = retry.assert_rejected(409, "idempotency_result_not_retained");
        assert_eq!(problem["original_status"], status);
        assert_eq!(retry.header("location"), None, "it must not be stored");
        assert_eq!(retry.header("x-idempotent-body"), None);
    }
}

#[tokio::test]
async fn what_is_not_stored_is_not_in_the_record() {
    for (stored, body) in
        [(StoredResponse::Status, "Omitted"), (StoredResponse::Nothing, "NotRetained(Withheld)")]
    {
        let guard = layer().stored_response(stored);
        twice(guard.clone(), created).await;
        let key = tower_idempotency::IdempotencyKey::parse(KEY.as_bytes()).unwrap();
        let record = guard.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
        let text = format!("{record:?}");
        assert!(text.contains(body), "{text}");
        for secret in ["card", "4242"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[tokio::test]
async fn a_directive_says_how_much_of_one_response_is_stored() {
    let less: MakeResponse = || {
        let mut response = created();
        response
            .extensions_mut()
            .insert(ResponseDirective::new().stored_response(StoredResponse::Status));
        response
    };
    let [_, replay] = twice(layer(), less).await;
    is_replay(&replay, 201, "", true, &HARMLESS);
    let more: MakeResponse = || {
        let mut response = created();
        response
            .extensions_mut()
            .insert(ResponseDirective::new().stored_response(StoredResponse::Full));
        response
    };
    for stored in [StoredResponse::Status, StoredResponse::Nothing] {
        let [first, replay] = twice(layer().stored_response(stored), more).await;
        replay.assert_replays(&first);
        assert_eq!(replay.header("x-secret"), Some("4242"));
    }
    let none: MakeResponse = || {
        let mut response = created();
        response
            .extensions_mut()
            .insert(ResponseDirective::success().stored_response(StoredResponse::Nothing));
        response
    };
    let [_, retry] = twice(layer(), none).await;
    retry.assert_rejected(409, "idempotency_result_not_retained");
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[tokio::test]
async fn store_headers_adds_to_what_is_stored() {
    let guard = layer()
        .stored_response(StoredResponse::Status)
        .store_headers([header::LOCATION])
        .store_headers([header::ETAG]);
    let [_, replay] = twice(guard, created).await;
    let added = [&HARMLESS[..], &[("location", "/cards/7"), ("etag", "\"of-the-card\"")]].concat();
    is_replay(&replay, 201, "", true, &added);
    let guard = layer().stored_response(StoredResponse::Nothing).store_headers([header::LOCATION]);
    let [_, retry] = twice(guard, created).await;
    retry.assert_rejected(409, "idempotency_result_not_retained");
    assert_eq!(retry.header("location"), Some("/cards/7"));
}

#[tokio::test]
async fn store_only_headers_stores_these_and_no_others() {
    let guard = || layer().store_only_headers([header::LOCATION]);
    let [first, replay] = twice(guard(), created).await;
    is_replay(&replay, 201, first.text(), false, &[("location", "/cards/7")]);
    let [_, replay] = twice(guard().store_headers([header::ETAG]), created).await;
    is_replay(
        &replay,
        201,
        first.text(),
        false,
        &[("location", "/cards/7"), ("etag", "\"of-the-card\"")],
    );
    // The list applies to whole responses: it does not bring back headers that less than a whole
    // response leaves out. `store_headers` does.
    let [_, replay] = twice(guard().stored_response(StoredResponse::Status), created).await;
    is_replay(&replay, 201, "", true, &[]);
    let [_, replay] = twice(
        guard().stored_response(StoredResponse::Status).store_headers([header::LOCATION]),
        created,
    )
    .await;
    is_replay(&replay, 201, "", true, &[("location", "/cards/7")]);
    let [_, replay] = twice(layer().store_only_headers([]), created).await;
    is_replay(&replay, 201, first.text(), false, &[]);
}

#[tokio::test]
async fn exclude_headers_comes_before_whatever_else_is_said() {
    let guard = layer()
        .store_only_headers([header::LOCATION, name("x-secret")])
        .store_headers([header::ETAG, name("x-secret")])
        .exclude_headers([name("x-secret")])
        .exclude_headers([header::ETAG]);
    let [first, replay] = twice(guard, created).await;
    assert_eq!(first.header("x-secret"), Some("4242"));
    is_replay(&replay, 201, first.text(), false, &[("location", "/cards/7")]);
}

#[tokio::test]
async fn headers_that_frame_a_message_can_never_be_stored() {
    let response: MakeResponse = || {
        Response::builder()
            .header("Connection", "X-Named")
            .header("X-Named", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "close")
            .header("Proxy-Authenticate", "Basic")
            .header("TE", "trailers")
            .header("Upgrade", "other")
            .header("X-Idempotent-Result", "false")
            .header("X-Idempotent-Body", "omitted")
            .header("X-Original-Request-Id", "forged")
            .header("Set-Cookie", "session=1")
            .body(Body::from("done"))
            .unwrap()
    };
    let framing = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "te",
        "upgrade",
        "transfer-encoding",
        "content-length",
        "x-idempotent-result",
        "x-idempotent-body",
        "x-original-request-id",
        "x-request-id",
        "x-named",
        "set-cookie",
    ]
    .map(name);
    let effects = Effects::new();
    let guards = [
        layer().store_headers(framing.clone()),
        layer().store_only_headers(framing.clone()).store_headers(framing),
    ];
    for (index, guard) in guards.into_iter().enumerate() {
        let server =
            Server::start(app(&effects, move |_| async move { response() }).layer(guard)).await;
        post("/").key(KEY).send(&server).await;
        let replay = post("/").key(KEY).send(&server).await;
        assert_eq!((replay.status, replay.text(), replay.complete), (200, "done", true));
        assert_eq!(replay.all("x-idempotent-result"), ["true"]);
        assert_eq!(replay.header("set-cookie"), Some("session=1"), "of these alone it can be said");
        assert_eq!(replay.all("content-length"), ["4"]);
        let gone =
            ["keep-alive", "proxy-connection", "proxy-authenticate", "te", "upgrade", "x-named"];
        for gone in
            gone.into_iter().chain(["x-idempotent-body", "x-original-request-id", "x-request-id"])
        {
            assert_eq!(replay.header(gone), None, "{gone}");
        }
        assert_eq!(effects.count(), index + 1);
    }
}

#[cfg(feature = "repr-digest")]
mod digest {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Base64 of RFC 4648, written out anew: the test is not to trust the code that it tests.
    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= chunk.len() { letter.into() } else { '=' });
            }
        }
        text
    }

    #[tokio::test]
    async fn digest_adds_the_digest_of_the_body() {
        // The example of RFC 9530, appendix A, with its line feed.
        let example: MakeResponse = || Response::new(Body::from("{\"hello\": \"world\"}\n"));
        let [_, replay] = twice(layer().stored_response(StoredResponse::Digest), example).await;
        let digest = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        is_replay(&replay, 200, "", true, &[("repr-digest", digest)]);

        let [first, replay] = twice(layer().stored_response(StoredResponse::Digest), created).await;
        assert_eq!(first.header("repr-digest"), None, "the first response is the handler's own");
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(&first.body)));
        is_replay(&replay, 201, "", true, &[&HARMLESS[..], &[("repr-digest", &digest)]].concat());
    }

    #[tokio::test]
    async fn digest_has_none_of_a_body_that_was_empty_or_not_captured() {
        let [_, replay] = twice(layer().stored_response(StoredResponse::Digest), empty).await;
        is_replay(&replay, 204, "", false, &[]);
        let [_, replay] = twice(layer().stored_response(StoredResponse::Digest), streamed).await;
        is_replay(&replay, 201, "", true, &HARMLESS);
        let [_, replay] =
            twice(layer().stored_response(StoredResponse::Digest).max_response(4), created).await;
        is_replay(&replay, 201, "", true, &HARMLESS);
    }

    #[tokio::test]
    async fn the_handlers_own_digest_is_stored_instead() {
        fn with_digest(mut response: Response<Body>) -> Response<Body> {
            let digest = HeaderValue::from_static("sha-512=:b3du:");
            response.headers_mut().insert("repr-digest", digest);
            response
        }
        let own: MakeResponse = || with_digest(streamed());
        // Of a stream, too.
        let stored: MakeResponse = || with_digest(created());
        for own in [stored, own] {
            let [_, replay] = twice(layer().stored_response(StoredResponse::Digest), own).await;
            let headers = [&HARMLESS[..], &[("repr-digest", "sha-512=:b3du:")]].concat();
            is_replay(&replay, 201, "", true, &headers);
        }
        // With less it is not, because a digest says something of the body.
        let [_, replay] = twice(layer().stored_response(StoredResponse::Status), own).await;
        is_replay(&replay, 201, "", true, &HARMLESS);
    }

    #[tokio::test]
    async fn exclude_headers_comes_before_the_digest_too() {
        let guard = || {
            layer().stored_response(StoredResponse::Digest).exclude_headers([name("repr-digest")])
        };
        let own: MakeResponse = || {
            let mut response = created();
            response
                .headers_mut()
                .insert("repr-digest", HeaderValue::from_static("sha-512=:b3du:"));
            response
        };
        for response in [own, created] {
            let [_, replay] = twice(guard(), response).await;
            is_replay(&replay, 201, "", true, &HARMLESS);
        }
    }

    #[tokio::test]
    async fn digest_of_a_failure_that_is_replayed() {
        let [first, replay] = twice(
            layer().stored_response(StoredResponse::Digest).on_failed(OnFailed::Replay),
            failed,
        )
        .await;
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(&first.body)));
        is_replay(&replay, 503, "", true, &[("retry-after", "7"), ("repr-digest", &digest)]);
    }
}
