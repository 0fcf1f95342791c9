use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use http::{HeaderName, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::service_fn;
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{ClientLayer, MemoryKeyStore, Operations};

use super::{Canned, Turn, ask, connections, post, quick};
use crate::support::{Gate, gated_stream, patiently};

fn request(method: &str, uri: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(uri).body(Full::from("order")).unwrap()
}

#[tokio::test]
async fn post_and_patch_get_a_uuid_of_version_7_and_are_retried() {
    for method in ["POST", "PATCH"] {
        let canned = Canned::turns([Turn::status(503)]);
        let (_server, uri) = canned.serve().await;
        ask(quick(), connections(), request(method, &uri)).await.unwrap().assert_done("done", 2);
        let asked = canned.asked();
        let key = asked[0].key();
        assert_eq!((key.len(), &key[14..15]), (36, "7"), "{key}");
        assert!(asked.iter().all(|asked| asked.head.method == method && asked.body == "order"));
    }
}

#[tokio::test]
async fn other_methods_get_no_key_and_pass_once_whatever_their_response() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "QUERY"] {
        let canned = Canned::turns([Turn::response(503, &[("x-should-retry", "true")], "")]);
        let (_server, uri) = canned.serve().await;
        let response = ask(quick(), connections(), request(method, &uri)).await.unwrap();
        assert_eq!(
            (response.status.as_u16(), response.disposition, response.attempts),
            (503, None, None),
            "{method}"
        );
        assert_eq!(canned.count(), 1, "{method}");
        assert_eq!(canned.asked()[0].keys(), [], "{method}");
    }
}

#[tokio::test]
async fn what_has_no_key_passes_as_it_comes() {
    let gate = Gate::new();
    let body = gated_stream("first", "second", gate.clone());
    let inner = service_fn(|request: Request<Body>| async {
        let mut body = request.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(first)))
    });
    let put = Request::put("/orders/1").body(body).unwrap();
    let response = patiently(ask(quick(), inner, put)).await.unwrap();
    assert_eq!(response.body, "first");
    gate.open();
}

#[tokio::test]
async fn every_attempt_has_the_same_key_and_bytes_and_every_operation_a_key_of_its_own() {
    let canned = Canned::turns([Turn::status(503), Turn::Fail, Turn::status(429), Turn::done()]);
    let (_server, uri) = canned.serve().await;
    let connections = connections();
    ask(quick(), connections.clone(), post(&uri)).await.unwrap().assert_done("done", 4);
    ask(quick(), connections, post(&uri)).await.unwrap().assert_done("done", 1);
    let asked = canned.asked();
    for attempt in &asked[..4] {
        assert_eq!(attempt.key(), asked[0].key());
        assert_eq!(attempt.body, "order");
        assert_eq!(attempt.head.uri, "/orders?by=card");
        assert_eq!(attempt.head.headers, asked[0].head.headers);
    }
    assert_ne!(asked[4].key(), asked[0].key());
}

#[tokio::test]
async fn a_key_that_is_there_is_used_as_it_is_whatever_the_method() {
    let layer = || quick().header(HeaderName::from_static("x-order-key")).structured_field();
    for method in ["POST", "GET", "DELETE"] {
        for name in ["x-idempotency-key", "idempotency-key", "x-order-key"] {
            for value in ["mine", "\"mine\""] {
                let canned = Canned::turns([Turn::status(503)]);
                let mut request = request(method, "/");
                request.headers_mut().insert(name, value.parse().unwrap());
                ask(layer(), canned.clone(), request).await.unwrap().assert_done("done", 2);
                for asked in canned.asked() {
                    assert_eq!(asked.keys(), [(name, value)], "{method}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_header_the_quotes_and_the_methods_can_be_chosen() {
    let canned = Canned::turns([]);
    let layer = || {
        quick().methods([Method::PUT]).key_with(|_, _| IdempotencyKey::parse(br#""a\"b""#).unwrap())
    };
    ask(layer(), canned.clone(), request("PUT", "/")).await.unwrap();
    let of_the_draft =
        layer().header(HeaderName::from_static("idempotency-key")).structured_field();
    ask(of_the_draft, canned.clone(), request("PUT", "/")).await.unwrap();
    ask(layer(), canned.clone(), request("POST", "/")).await.unwrap();
    let asked = canned.asked();
    assert_eq!(asked[0].keys(), [("x-idempotency-key", r#"a"b"#)]);
    assert_eq!(asked[1].keys(), [("idempotency-key", r#""a\"b""#)]);
    assert_eq!(asked[2].keys(), []);
}

#[tokio::test]
async fn a_key_function_is_called_once_for_an_operation_and_sees_all_of_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let layer = quick().key_with(move |head, body| {
        assert_eq!((head.uri.path(), &body[..]), ("/orders", &b"order"[..]));
        assert_eq!(head.headers["x-tenant"], "seven");
        let call = counter.fetch_add(1, Ordering::SeqCst);
        IdempotencyKey::parse(format!("call-{call}").as_bytes()).unwrap()
    });
    let canned = Canned::turns([Turn::Fail, Turn::status(500), Turn::status(503)]);
    let mut request = post("/orders");
    request.headers_mut().insert("x-tenant", "seven".parse().unwrap());
    ask(layer.clone(), canned.clone(), request.clone()).await.unwrap().assert_done("done", 4);
    assert!(canned.asked().iter().all(|asked| asked.key() == "call-0"));
    // Nor for one that has its key.
    request.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
    ask(layer, canned.clone(), request).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_key_of_an_operation_wins_and_there_are_never_two() {
    let operation = Operations::new(MemoryKeyStore::new()).begin("a").await.unwrap();
    let key = operation.key().as_str();
    let headers = [
        &[][..],
        &["x-idempotency-key"],
        &["idempotency-key"],
        &["x-idempotency-key", "idempotency-key"],
    ];
    let layers: [(ClientLayer, &str, String); 2] = [
        (quick(), "x-idempotency-key", key.to_owned()),
        (
            quick().header(HeaderName::from_static("x-order-key")).structured_field(),
            "x-order-key",
            format!("\"{key}\""),
        ),
    ];
    for (layer, name, value) in layers {
        for headers in headers {
            let canned = Canned::turns([Turn::status(503)]);
            let mut request = post("/");
            for header in headers {
                request.headers_mut().append(*header, "other".parse().unwrap());
                request.headers_mut().append(*header, "another".parse().unwrap());
            }
            request.headers_mut().append(name, "a third".parse().unwrap());
            operation.mark(&mut request);
            ask(layer.clone(), canned.clone(), request).await.unwrap().assert_done("done", 2);
            for asked in canned.asked() {
                assert_eq!(asked.keys(), [(name, &*value)], "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_begins_with_a_quote_comes_through_as_that_key() {
    for text in [r#""""#, r#""abc""#, r#""abc"#, r#""\"#] {
        let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
        let key = IdempotencyKey::parse(quoted.as_bytes()).unwrap();
        let operations = Operations::new(MemoryKeyStore::new());
        let operation = operations.begin_with_key("a", key.clone()).await.unwrap();
        let canned = Canned::turns([]);
        let (through, mut marked) = (post("/"), post("/"));
        let made = key.clone();
        ask(quick().key_with(move |_, _| made.clone()), canned.clone(), through).await.unwrap();
        operation.mark(&mut marked);
        let sent = marked.headers()["x-idempotency-key"].as_bytes();
        assert_eq!(IdempotencyKey::parse(sent).unwrap(), key, "{text}");
        assert_eq!(
            IdempotencyKey::parse(canned.asked()[0].key().as_bytes()).unwrap(),
            key,
            "{text}"
        );
    }
}
