//! The key from a member of the body, and from headers of any name.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::HeaderName;
use tower_idempotency::{Attempt, JsonPointer};

use crate::support::{Call, Effects, Server, TestLayer, app, call, counting, layer, post};

const POINTER: JsonPointer = JsonPointer::from_static("/idempotency_key");

fn in_body() -> TestLayer {
    layer().key_in_body(POINTER)
}

async fn start(effects: &Effects, guard: TestLayer) -> Server {
    Server::start(counting(effects).layer(guard)).await
}

/// The key that each run was told, if any.
fn keys(effects: &Effects) -> Vec<Option<String>> {
    let key = |head: &http::request::Parts| {
        Some(head.extensions.get::<Attempt>()?.key().as_str().to_owned())
    };
    effects.heads().iter().map(key).collect()
}

#[tokio::test]
async fn a_member_of_the_body_is_the_key() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let bodies = [
        r#"{"idempotency_key":"order-1001","amount":1200}"#,
        r#"{"amount":1200, "idempotency_key" : "order-1002"}"#,
        r#"{"idempotency_key":"order\u002d1003"}"#,
        r#"{"\u0069dempotency_key":"order-1004"}"#,
    ];
    for (index, body) in bodies.iter().enumerate() {
        // With a content type or without, for a handler may not look at it either.
        for call in [post("/").body(body), post("/").body(body).chunked()] {
            let retry = call.send(&server).await;
            assert_eq!(retry.text(), format!("run {}", index + 1));
        }
    }
    let expected =
        ["order-1001", "order-1002", "order-1003", "order-1004"].map(|key| Some(key.to_owned()));
    assert_eq!(keys(&effects), expected);
}

#[tokio::test]
async fn it_is_the_same_key_as_in_a_header() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let body = r#"{"idempotency_key":"order-1001"}"#;
    let first = post("/").body(body).send(&server).await;
    first.assert_first(200, "run 1");
    post("/").key("order-1001").body(body).send(&server).await.assert_replays(&first);
    post("/").key("\"order-1001\"").body(body).send(&server).await.assert_replays(&first);
    let other = post("/").key("order-1001").body(r#"{"amount":1}"#).send(&server).await;
    other.assert_rejected(409, "idempotency_key_reused");
    // In a body, quotes are part of the key.
    let quoted = post("/").body(r#"{"idempotency_key":"\"order-1001\""}"#).send(&server).await;
    quoted.assert_first(200, "run 2");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_header_and_the_body_that_differ_are_rejected() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let body = r#"{"idempotency_key":"order-1001"}"#;
    for (name, key) in [("X-Idempotency-Key", "order-1002"), ("Idempotency-Key", "ORDER-1001")] {
        let response = post("/").header(name, key).body(body).send(&server).await;
        response.assert_rejected(400, "idempotency_key_invalid");
    }
    post("/")
        .key("")
        .body(body)
        .send(&server)
        .await
        .assert_rejected(400, "idempotency_key_invalid");
    assert_eq!(effects.count(), 0);
}

/// Bodies that have no key.
fn without() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "{}",
        "null",
        "[]",
        "\"order-1001\"",
        r#"{"idempotency_key":null}"#,
        r#"{"Idempotency_Key":"order-1001"}"#,
        r#"{"nested":{"idempotency_key":"order-1001"}}"#,
        r#"[{"idempotency_key":"order-1001"}]"#,
        "idempotency_key=order-1001",
        r#"{"idempotency_key":"order-1001""#,
        r#"{"idempotency_key":"order-1001"} and more"#,
        "{'idempotency_key':'order-1001'}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn a_body_without_the_member_passes_through_unguarded_with_every_byte() {
    for body in without() {
        let effects = Effects::new();
        let echo = app(&effects, |request: Request| async move {
            to_bytes(request.into_body(), usize::MAX).await.unwrap()
        });
        let server = Server::start(echo.layer(in_body().mark_original())).await;
        for call in [post("/").body(&body), post("/").body(&body).chunked()] {
            let response = call.send(&server).await;
            assert_eq!((response.status, response.header("x-idempotent-result")), (200, None));
            assert!(response.body == body);
        }
        assert_eq!(keys(&effects), [None, None], "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn a_body_without_the_member_is_rejected_where_a_key_is_required() {
    let effects = Effects::new();
    let server = start(&effects, in_body().require_key()).await;
    for body in without() {
        post("/").body(body).send(&server).await.assert_rejected(400, "idempotency_key_missing");
    }
    assert_eq!(effects.count(), 0);
    post("/").body(r#"{"idempotency_key":"a"}"#).send(&server).await.assert_first(200, "run 1");
    post("/").key("b").body("no JSON").send(&server).await.assert_first(200, "run 2");
}

/// A handler that skips members which it does not know takes such bodies, so they must not pass by
/// as if they had no key.
#[tokio::test]
async fn a_body_that_is_json_but_more_than_the_layer_reads_is_rejected_and_never_passes() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for memo in [b"1e999".as_slice(), br#""\ud83d""#, b"\"\xff\"", deep.as_bytes()] {
        let body = [br#"{"idempotency_key":"order-1001","memo":"#, memo, b"}"].concat();
        for call in [post("/").body(&body), post("/").key("order-1001").body(&body)] {
            call.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
        }
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_member_that_is_not_a_key_is_rejected_and_never_passes() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let long = "k".repeat(256);
    let values = [
        "1001",
        "true",
        "{}",
        "[\"order-1001\"]",
        "\"\"",
        &format!("\"{long}\""),
        "\"bestellung-ü\"",
        "\"order 1001\"",
        r#""order\n1001""#,
        r#""order\u00001001""#,
        r#""order\u00fc1001""#,
    ];
    for value in values {
        let body = format!(r#"{{"idempotency_key":{value}}}"#);
        let response = post("/").body(&body).send(&server).await;
        response.assert_rejected(400, "idempotency_key_invalid");
        assert!(!response.text().contains("1001"), "the key is echoed: {}", response.text());
        // A header does not make up for it.
        let response = post("/").key("order-1001").body(&body).send(&server).await;
        response.assert_rejected(400, "idempotency_key_invalid");
    }
    assert_eq!(effects.count(), 0);
    let longest = format!(r#"{{"idempotency_key":"{}"}}"#, "k".repeat(255));
    post("/").body(longest).send(&server).await.assert_first(200, "run 1");
    assert!(keys(&effects)[0].is_some());
}

#[tokio::test]
async fn duplicate_members_are_rejected_wherever_they_are() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let bodies = [
        r#"{"idempotency_key":"a","idempotency_key":"b"}"#,
        r#"{"idempotency_key":"a","idempotency_key":"a"}"#,
        r#"{"idempotency_key":null,"idempotency_key":"a"}"#,
        r#"{"idempotency_key":"a","idempotency_key":null}"#,
        r#"{"idempotency_key":"a","\u0069dempotency_key":"b"}"#,
        r#"{"idempotency_key":"a","amount":1,"amount":2}"#,
        r#"{"idempotency_key":"a","nested":[{"x":1,"x":1}]}"#,
        r#"{"amount":1,"amount":2}"#,
    ];
    for body in bodies {
        for call in [post("/").body(body), post("/").key("a").body(body)] {
            call.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
        }
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_pointer_may_lead_into_the_body() {
    let cases = [
        ("/meta/key", r#"{"meta":{"key":"order-1001"}}"#),
        ("/items/1/key", r#"{"items":[{},{"key":"order-1001"}]}"#),
        ("/a~1b/m~0n", r#"{"a/b":{"m~n":"order-1001"}}"#),
        ("/", r#"{"":"order-1001"}"#),
        ("", r#""order-1001""#),
    ];
    for (pointer, body) in cases {
        let effects = Effects::new();
        let server = start(&effects, layer().key_in_body(JsonPointer::new(pointer).unwrap())).await;
        let first = post("/").body(body).send(&server).await;
        first.assert_first(200, "run 1");
        post("/").body(body).send(&server).await.assert_replays(&first);
        assert_eq!(keys(&effects), [Some("order-1001".to_owned())], "{pointer}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected_with_a_key_or_without() {
    let effects = Effects::new();
    let server = start(&effects, in_body().max_request(40)).await;
    let over = format!(r#"{{"idempotency_key":"order-1001"{}}}"#, " ".repeat(40));
    for body in [over.as_str(), &"x".repeat(41)] {
        for call in [post("/").body(body), post("/").body(body).chunked()] {
            call.send(&server).await.assert_rejected(413, "request_too_large");
        }
    }
    assert_eq!(effects.count(), 0);
    // The body of an unguarded request is not read.
    call("PUT", "/").body("x".repeat(41)).send(&server).await.assert_first(200, "run 1");
}

#[tokio::test]
async fn the_handler_sees_the_same_bytes_and_type() {
    let effects = Effects::new();
    let echo = app(&effects, |request: axum::http::Request<Body>| async move {
        to_bytes(request.into_body(), usize::MAX).await.unwrap()
    });
    let server = Server::start(echo.layer(in_body())).await;
    let body = "\n {\"idempotency_key\" : \"order-1001\",\r\n\t\"a\":1.0e0, \"b\":\"\\u00e9\"} \n";
    let first = post("/").body(body).send(&server).await;
    first.assert_first(200, body);
    post("/").body(body).chunked().send(&server).await.assert_replays(&first);
    assert_eq!(keys(&effects), [Some("order-1001".to_owned())]);
}

#[tokio::test]
async fn the_key_is_never_taken_from_the_url_the_query_or_a_cookie() {
    let effects = Effects::new();
    let server = start(&effects, in_body()).await;
    let places: [Call; 3] = [
        post("/idempotency_key/order-1001").body("{}"),
        post("/?idempotency_key=order-1001").body("{}"),
        post("/")
            .header("Cookie", "idempotency_key=order-1001; /idempotency_key=order-1001")
            .body("{}"),
    ];
    for place in &places {
        for _ in 0..2 {
            assert!(!place.send(&server).await.is_replay());
        }
    }
    assert_eq!(keys(&effects), vec![None; 6]);
}

#[tokio::test]
async fn headers_may_have_any_names_and_must_agree() {
    let effects = Effects::new();
    let names = ["x-request-key", "idempotency-key", "x-old-key"].map(HeaderName::from_static);
    let server = start(&effects, layer().headers(names)).await;
    let first = post("/").header("X-Request-Key", "order-1001").send(&server).await;
    first.assert_first(200, "run 1");
    for name in ["Idempotency-Key", "X-Old-Key"] {
        post("/").header(name, "order-1001").send(&server).await.assert_replays(&first);
    }
    let all = post("/").header("X-Old-Key", "\"order-1001\"").header("X-Request-Key", "order-1001");
    all.send(&server).await.assert_replays(&first);
    let rejected = [
        post("/").header("X-Old-Key", "order-1001").header("X-Request-Key", "order-1002"),
        post("/").header("X-Old-Key", "order-1001").header("X-Old-Key", "order-1001"),
        post("/").header("X-Old-Key", "order-1001").header("Idempotency-Key", "two words"),
    ];
    for call in rejected {
        call.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
    }
    assert_eq!(effects.count(), 1);
    // Headers that are not named do not carry keys.
    for run in 2..=3 {
        post("/")
            .header("X-Idempotency-Key", "order-1001")
            .send(&server)
            .await
            .assert_first(200, &format!("run {run}"));
    }
}

#[tokio::test]
async fn no_headers_at_all_leave_the_body_alone_to_have_the_key() {
    let effects = Effects::new();
    let server = start(&effects, in_body().headers([])).await;
    let body = r#"{"idempotency_key":"order-1001"}"#;
    let first = post("/").key("another").body(body).send(&server).await;
    first.assert_first(200, "run 1");
    post("/").body(body).send(&server).await.assert_replays(&first);
    assert_eq!(keys(&effects), [Some("order-1001".to_owned())]);
}
