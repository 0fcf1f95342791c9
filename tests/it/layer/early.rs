//! A request that is rejected before its body was read: the client gets the rejection all the same.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{
    Call, Effects, Frames, Gate, Server, TestLayer, counting, gated_stream, layer, patiently, post,
};

const MIB: usize = 1 << 20;

/// Requests with bodies of 8 MiB that are rejected, and what each gets.
fn rejected() -> [(TestLayer, Call, u16, &'static str); 4] {
    let upload = post("/").body(vec![b'a'; 8 * MIB]);
    let keyed = upload.clone().key("order-1001");
    [
        (layer(), keyed.clone(), 413, "request_too_large"),
        (layer(), keyed.chunked(), 413, "request_too_large"),
        (layer().require_key(), upload.clone(), 400, "idempotency_key_missing"),
        (layer(), upload.key("order 1001").chunked(), 400, "idempotency_key_invalid"),
    ]
}

#[tokio::test]
async fn a_client_that_writes_its_whole_body_first_gets_the_rejection() {
    for (guard, call, status, code) in rejected() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(guard)).await;
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        patiently(stream.write_all(&call.bytes())).await.expect("the server reads it to its end");
        call.finish(stream).await.assert_rejected(status, code);
        assert_eq!(effects.count(), 0);
    }
}

#[tokio::test]
async fn the_connection_carries_the_next_request() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let upload = post("/").key("order-1001").body(vec![b'a'; 8 * MIB]).bytes();
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\n";
    let stays = upload
        .strip_prefix(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        .unwrap();
    for part in [head, stays] {
        stream.write_all(part).await.unwrap();
    }
    stream.write_all(&post("/").key("order-1002").bytes()).await.unwrap();
    let mut responses = String::new();
    patiently(stream.read_to_string(&mut responses)).await.unwrap();
    let statuses: Vec<_> =
        responses.match_indices("HTTP/1.1 ").map(|(at, _)| &responses[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["413", "200"]);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_rejected_before_it_sends() {
    for (guard, call, status, code) in rejected() {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(guard)).await;
        let call = call.header("Expect", "100-Continue");
        let head = call.bytes().windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        // Of a body of unknown length some must be read, before it is known to be too large.
        if status == 413 && String::from_utf8_lossy(&call.bytes()[..head]).contains("chunked") {
            continue;
        }
        let stream = call.begin(&server, head).await;
        call.finish(stream).await.assert_rejected(status, code);
        assert_eq!(effects.count(), 0);
    }
}

#[tokio::test]
async fn over_http2_the_stream_ends_and_the_connection_stays() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for (length, status) in [(8 * MIB, 413), (8 * MIB, 413), (10, 200)] {
        let request = Request::post(format!("http://{}/", server.address()))
            .header("x-idempotency-key", "order-1001")
            .body(Full::new(Bytes::from(vec![b'a'; length])))
            .unwrap();
        let response = patiently(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(effects.count(), 1);
}

/// The status that a service gives without a server around it, and how long it took.
async fn given(router: &Router, key: &str, expects: bool, body: Body) -> (StatusCode, Duration) {
    let mut request = Request::post("/").header("x-idempotency-key", key);
    if expects {
        request = request.header("expect", "100-continue");
    }
    let begun = Instant::now();
    let response = patiently(router.clone().oneshot(request.body(body).unwrap())).await.unwrap();
    (response.status(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_is_rejected_after_five_seconds() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer().max_request(3));
    for key in ["order-1001", "order 1001"] {
        let body = gated_stream("first", "second", Gate::new());
        let (status, waited) = given(&router, key, false, body).await;
        assert!(status.is_client_error());
        assert_eq!(waited.as_secs(), 5, "{key}");
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_that_a_client_holds_back_or_that_is_too_long_to_drain() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer());
    // It panics if it is polled.
    let untouched =
        |length: usize| Body::new(Frames::unknown(&[]).announcing(length as u64).panicking());
    for key in ["order-1001", "order 1001"] {
        for (expects, length) in [(true, 8 * MIB), (false, 17 * MIB), (false, usize::MAX / 2)] {
            let (status, waited) = given(&router, key, expects, untouched(length)).await;
            assert!(status.is_client_error());
            assert_eq!(waited, Duration::ZERO);
        }
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_sixteen_mebibytes_are_read() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer().max_request(3));
    let frame = vec![b'a'; MIB];
    // One frame that is over the limit, sixteen that are drained, and one that is over the bound.
    let frames = || Frames::unknown(&[&*frame; 18]).panicking();
    assert_eq!(
        given(&router, "order-1001", false, Body::new(frames())).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    // Once it was asked to send, what the client waited for does not matter.
    assert_eq!(
        given(&router, "order-1001", true, Body::new(frames())).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(effects.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_a_layer_outside_ended_the_body_there_is_nothing_to_drain() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer());
    let over_its_limit = Limited::new(Frames::unknown(&[b"more than ten"]).panicking(), 10);
    let body = Body::new(over_its_limit.map_err(axum::Error::new));
    let (status, waited) = given(&router, "order-1001", false, body).await;
    assert_eq!((status, waited), (StatusCode::PAYLOAD_TOO_LARGE, Duration::ZERO));
    let broken = Body::new(Frames::unknown(&[b"begun"]).broken().panicking());
    let (status, waited) = given(&router, "order-1001", false, broken).await;
    assert_eq!((status, waited), (StatusCode::BAD_REQUEST, Duration::ZERO));
    assert_eq!(effects.count(), 0);
}
