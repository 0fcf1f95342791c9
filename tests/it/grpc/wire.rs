//! Calls as they go over the wire, every header, byte and trailer of them.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::{ServiceBuilder, service_fn};
use tower_idempotency::{OnFailed, RequestBody};

use super::bank;
use crate::support::{Effects, Frames, Server, TestLayer, layer, patiently};

/// The head of a response, and its body with trailers. A response that ended with its head has the
/// mark [`Ended`].
type Wire = (http::response::Parts, Collected<Bytes>);

#[derive(Clone)]
struct Ended;

/// Sends a message of no bytes.
async fn send(server: &Server, key: &str, content_type: &str) -> Wire {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}/bank.Transfers/Send", server.address()))
        .header("content-type", content_type)
        .header("te", "trailers")
        .header("x-idempotency-key", key)
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .unwrap();
    let exchange = async {
        let (mut head, body) = client.send_request(request).await.unwrap().into_parts();
        if body.is_end_stream() {
            head.extensions.insert(Ended);
        }
        (head, body.collect().await.unwrap())
    };
    patiently(exchange).await
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
    };
    lines.iter().map(line).fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}

/// Starts a server whose handler responds with these headers and frames.
async fn responding(
    layer: TestLayer,
    effects: &Effects,
    head: HeaderMap,
    frames: impl Fn() -> Frames + Clone + Send + Sync + 'static,
) -> Server {
    let effects = effects.clone();
    let handler = service_fn(move |request: Request<RequestBody<Incoming>>| {
        effects.add(request.into_parts().0);
        let mut response = Response::new(frames());
        *response.headers_mut() = head.clone();
        std::future::ready(Ok::<_, std::io::Error>(response))
    });
    let stack = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(layer);
    Server::start(stack.service(handler)).await
}

/// The headers of a response without those that belong to one response.
fn lasting(mut headers: HeaderMap) -> HeaderMap {
    for name in ["date", "x-idempotent-result"] {
        headers.remove(name);
    }
    headers
}

#[tokio::test]
async fn every_header_byte_and_trailer_is_replayed() {
    let effects = Effects::new();
    let head = headers(&[
        ("content-type", "application/grpc+proto"),
        ("grpc-encoding", "identity"),
        ("x-account", "acct_2"),
        ("x-account", "acct_1"),
        ("x-proof-bin", "AAECAwQ"),
    ]);
    let trailers = headers(&[
        ("grpc-status", "5"),
        ("grpc-message", "no such account %E2%98%B9"),
        ("grpc-status-details-bin", "CAUSB25vIHN1Y2g"),
        ("x-hint", "second"),
        ("x-hint", "first"),
        ("x-trace-bin", "/w"),
        ("x-trace-bin", ""),
    ]);
    let sent = trailers.clone();
    let frames = move || Frames::unknown(&[b"\0\0\0\0\x03a", b"", b"\xffb"]).trailers(sent.clone());
    let server = responding(layer(), &effects, head.clone(), frames).await;

    let first = send(&server, "order-1001", "application/grpc+proto").await;
    let replay = send(&server, "order-1001", "application/grpc+proto").await;
    assert_eq!(replay.0.headers["x-idempotent-result"], "true");
    for (head_seen, body) in [first, replay] {
        assert_eq!(head_seen.status, 200);
        let mut seen = lasting(head_seen.headers);
        seen.remove("content-length");
        assert_eq!(seen, head);
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), &b"\0\0\0\0\x03a\xffb"[..]);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_of_trailers_only_is_replayed_as_one() {
    let effects = Effects::new();
    let head = headers(&[
        ("content-type", "application/grpc"),
        ("grpc-status", "6"),
        ("grpc-message", "it is there"),
        ("x-hint-bin", "AQI"),
    ]);
    let server = responding(layer(), &effects, head.clone(), || Frames::known(&[])).await;
    for _ in 0..2 {
        let (head_seen, body) = send(&server, "order-1001", "application/grpc").await;
        // A client takes it for one by this, and may retry it only then (gRFC A6).
        assert!(head_seen.extensions.get::<Ended>().is_some());
        assert_eq!(lasting(head_seen.headers), head, "no content-length either");
        assert!(body.trailers().is_none() && body.to_bytes().is_empty());
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_without_a_status_or_without_an_end_is_a_failure() {
    let ok = headers(&[("grpc-status", "0")]);
    let unreadable = headers(&[("grpc-status", "zero")]);
    let endings: [fn(HeaderMap) -> Frames; 2] = [
        |trailers| Frames::unknown(&[b"message"]).trailers(trailers),
        |_| Frames::unknown(&[b"message"]),
    ];
    for (ending, trailers, runs) in
        [(endings[0], ok.clone(), 1), (endings[0], unreadable, 2), (endings[1], ok, 2)]
    {
        let effects = Effects::new();
        let head = headers(&[("content-type", "application/grpc")]);
        let server = responding(layer(), &effects, head, move || ending(trailers.clone())).await;
        for _ in 0..2 {
            let (_, body) = send(&server, "order-1001", "application/grpc").await;
            assert_eq!(body.to_bytes(), "message");
        }
        assert_eq!(effects.count(), runs);
    }
}

#[tokio::test]
async fn a_response_that_is_not_grpc_is_judged_as_one_over_http() {
    // Of a handler that takes what comes, a limit, an authentication that know nothing of gRPC.
    for (status, runs, replayed) in
        [(201, 1, true), (413, 2, false), (401, 2, false), (503, 2, false)]
    {
        let effects = Effects::new();
        let ledger = effects.clone();
        let handler = service_fn(move |request: Request<RequestBody<Incoming>>| {
            ledger.add(request.into_parts().0);
            let response =
                Response::builder().status(status).header("content-type", "application/json");
            std::future::ready(response.body(Full::new(Bytes::from_static(b"{}"))))
        });
        let stack = ServiceBuilder::new()
            .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
            .layer(layer());
        let server = Server::start(stack.service(handler)).await;
        send(&server, "order-1001", "application/grpc").await;
        let (head, body) = send(&server, "order-1001", "application/grpc").await;
        assert_eq!((head.status.as_u16(), body.to_bytes()), (status, Bytes::from_static(b"{}")));
        assert_eq!(
            (head.headers.contains_key("x-idempotent-result"), effects.count()),
            (replayed, runs)
        );
    }
}

#[tokio::test]
async fn a_failure_that_is_to_be_replayed_is_stored_with_its_trailers() {
    let effects = Effects::new();
    let trailers = headers(&[("grpc-status", "14"), ("grpc-message", "try later")]);
    let sent = trailers.clone();
    let head = headers(&[("content-type", "application/grpc")]);
    let frames = move || Frames::unknown(&[]).trailers(sent.clone());
    let server = responding(layer().on_failed(OnFailed::Replay), &effects, head, frames).await;
    for replayed in [false, true] {
        let (head, body) = send(&server, "order-1001", "application/grpc").await;
        assert_eq!(head.headers.contains_key("x-idempotent-result"), replayed);
        assert_eq!(body.trailers(), Some(&trailers));
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_rejection_has_trailers_only_and_the_content_type_of_the_request() {
    let effects = Effects::new();
    let server = bank::counting(layer(), &effects).await;
    for (content_type, expected) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc+proto"),
        ("application/grpc+json;charset=utf-8", "application/grpc+json"),
    ] {
        let (head, body) = send(&server, "order 1001", content_type).await;
        assert!(
            head.extensions.get::<Ended>().is_some()
                && !head.headers.contains_key("content-length")
        );
        assert_eq!(
            (head.status.as_u16(), &head.headers["grpc-status"]),
            (200, &"3".parse().unwrap())
        );
        assert_eq!(head.headers.get_all("content-type").iter().collect::<Vec<_>>(), [expected]);
        assert!(head.headers["grpc-message"].to_str().unwrap().starts_with("Not a key: "));
        assert!(body.trailers().is_none() && body.to_bytes().is_empty());
    }
    // gRPC-Web has its status in its body; the code that translates it is outside of the layer.
    for content_type in ["application/grpc-web", "application/grpc-web+proto", "application/json"] {
        let (head, _) = send(&server, "order 1001", content_type).await;
        assert_eq!(head.status, 400);
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert!(!head.headers.contains_key("grpc-status"));
    }
    assert_eq!(effects.count(), 0);
}
