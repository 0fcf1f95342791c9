//! Uploads that stop in the middle: they hold nothing inside of the layer, and they end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tower_idempotency::JsonPointer;

use crate::support::{
    Call, Effects, Gate, Server, TestLayer, app, counting, gated_stream, layer, patiently, post,
};

const PLACES: usize = 4;

/// A handler that reads its body, with four places for requests that run.
fn four_places(effects: &Effects) -> Router {
    let router = app(effects, |request: axum::extract::Request| async move {
        match request.into_body().collect().await {
            Ok(body) => (StatusCode::CREATED, body.to_bytes()),
            Err(_) => (StatusCode::BAD_REQUEST, Bytes::new()),
        }
    });
    router.layer(GlobalConcurrencyLimitLayer::new(PLACES))
}

/// The head of an upload and a part of its body, on as many connections as there are places.
async fn uploads_that_never_end(server: &Server, call: &Call) -> Vec<TcpStream> {
    let bytes = call.bytes();
    let mut uploads = Vec::new();
    for _ in 0..PLACES {
        uploads.push(call.begin(server, bytes.len() - 3).await);
    }
    uploads
}

#[tokio::test]
async fn uploads_that_never_end_hold_no_place_inside_of_the_layer() {
    let in_body = || layer().key_in_body(JsonPointer::from_static("/key"));
    let upload = post("/").body(r#"{"key":"slow-1001","amount":1200}"#);
    let cases: [(TestLayer, Call); 6] = [
        (layer(), upload.clone().key("slow-1001")),
        (layer(), upload.clone().key("slow-1001").chunked()),
        (layer(), upload.clone().key("slow-1001").header("Expect", "100-continue")),
        (layer().max_in_flight(PLACES), upload.clone().key("slow-1001")),
        (in_body(), upload.clone()),
        // Without a key it is rejected, and drained for a while.
        (layer().require_key(), upload),
    ];
    for (number, (guard, upload)) in cases.into_iter().enumerate() {
        let effects = Effects::new();
        let server = Server::start(four_places(&effects).layer(guard)).await;
        let _uploads = uploads_that_never_end(&server, &upload).await;
        let honest = post("/").key("honest-1001").body("{}");
        honest.send(&server).await.assert_first(201, "{}");
        assert_eq!(effects.count(), 1, "case {number}");
    }
}

/// A request that passes through is not read, so it has its place before its body has come.
#[tokio::test]
async fn a_time_limit_outside_of_the_layer_covers_uploads_that_pass_through() {
    let effects = Effects::new();
    let outside = RequestBodyTimeoutLayer::new(Duration::from_millis(100));
    let router = four_places(&effects).layer(layer()).layer(outside);
    let server = Server::start(router).await;
    let upload = post("/").body("without a key");
    let uploads = uploads_that_never_end(&server, &upload).await;
    effects.reached(PLACES).await;
    post("/").key("honest-1001").body("{}").send(&server).await.assert_first(201, "{}");
    for stream in uploads {
        assert_eq!(upload.finish(stream).await.status, 400);
    }
}

#[tokio::test]
async fn a_body_that_stops_is_a_408_that_closes_the_connection_and_may_be_sent_again() {
    let effects = Effects::new();
    let guard = layer().body_timeout(Duration::from_millis(100));
    let server = Server::start(counting(&effects).layer(guard)).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Idempotency-Key: order-1001\r\nContent-Length: 4\r\n\r\nbo";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    patiently(stream.read_to_string(&mut response)).await.unwrap();
    server.ended(1).await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    let lower = response.to_ascii_lowercase();
    for line in ["connection: close\r\n", "x-should-retry: true\r\n"] {
        assert!(lower.contains(line), "{response}");
    }
    assert!(response.contains(r#""code":"request_timeout""#), "{response}");
    assert_eq!(effects.count(), 0);
    post("/").key("order-1001").body("body").send(&server).await.assert_first(200, "run 1");
}

#[tokio::test]
async fn over_http2_the_connection_stays() {
    let effects = Effects::new();
    let guard = layer().body_timeout(Duration::from_millis(100));
    let server = Server::start(counting(&effects).layer(guard)).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let bodies = [gated_stream("first", "second", Gate::new()), Body::from("body")];
    for (body, status) in bodies.into_iter().zip([408, 200]) {
        let request = Request::post(format!("http://{}/", server.address()))
            .header("x-idempotency-key", "order-1001")
            .body(body)
            .unwrap();
        let response = patiently(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(!response.headers().contains_key("connection"));
    }
    assert_eq!(effects.count(), 1);
}

/// The status that a service gives without a server around it, and the seconds that it took.
async fn given(guard: TestLayer, body: Body) -> (StatusCode, u64) {
    let router = counting(&Effects::new()).layer(guard);
    let request = Request::post("/").header("x-idempotency-key", "order-1001").body(body).unwrap();
    let begun = Instant::now();
    let response = router.oneshot(request).await.unwrap();
    (response.status(), begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn half_a_minute_without_progress_is_the_default_bound() {
    let stopped = || gated_stream("first", "second", Gate::new());
    assert_eq!(given(layer(), stopped()).await, (StatusCode::REQUEST_TIMEOUT, 30));
    let patient = layer().body_timeout(Duration::from_secs(90));
    assert_eq!(given(patient, stopped()).await, (StatusCode::REQUEST_TIMEOUT, 90));
}

/// A body that gives each frame after a pause.
struct Slowly {
    frames: mpsc::Receiver<&'static str>,
}

impl http_body::Body for Slowly {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames
            .poll_recv(cx)
            .map(|frame| frame.map(|frame| Ok(Frame::data(Bytes::from(frame)))))
    }
}

fn slowly(given: &'static [&'static str], pause: Duration) -> Body {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        for frame in given {
            tokio::time::sleep(pause).await;
            let _ = sender.send(*frame).await;
        }
    });
    Body::new(Slowly { frames })
}

#[tokio::test(start_paused = true)]
async fn progress_starts_the_time_anew_and_an_empty_frame_is_none() {
    let pause = Duration::from_secs(20);
    assert_eq!(given(layer(), slowly(&["a", "b", "c", "d"], pause)).await, (StatusCode::OK, 80));
    assert_eq!(
        given(layer(), slowly(&["a", "", "", "d"], pause)).await,
        (StatusCode::REQUEST_TIMEOUT, 50)
    );
}
