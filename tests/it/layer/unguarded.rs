//! What passes through, and how little of it is touched.

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::{
    Call, Effects, Gate, Server, app, call, counting, gated_stream, layer, patch, post, read_frame,
};

#[tokio::test]
async fn other_methods_pass_untouched() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().require_key())).await;
    let methods = ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "QUERY"];
    for method in methods {
        let call = call(method, "/").key("order-1001").header("X-Idempotent-Result", "true");
        for _ in 0..2 {
            let response = call.send(&server).await;
            assert_eq!((response.status, response.is_replay()), (200, false), "{method}");
        }
    }
    assert_eq!(effects.count(), 2 * methods.len());
    for head in effects.heads() {
        assert_eq!(head.headers["x-idempotency-key"], "order-1001");
        assert_eq!(head.headers["x-idempotent-result"], "true", "untouched is untouched");
    }
    assert_eq!(effects.attempts(), [], "an unguarded request is no attempt");
}

#[tokio::test]
async fn a_malformed_key_does_not_matter_where_none_is_looked_for() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    call("GET", "/").key("").send(&server).await.assert_first(200, "run 1");
    call("PUT", "/").key("a").key("b").send(&server).await.assert_first(200, "run 2");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn post_and_patch_are_guarded() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for (index, call) in
        [post("/").key("order-1001"), patch("/").key("order-1002")].iter().enumerate()
    {
        let first = call.send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        call.send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn the_guarded_methods_can_be_chosen() {
    let effects = Effects::new();
    let layer = layer().methods([Method::PUT, Method::from_bytes(b"CHARGE").unwrap()]);
    let server = Server::start(counting(&effects).layer(layer)).await;

    for (method, key) in [("PUT", "order-1001"), ("CHARGE", "order-1002")] {
        let first = call(method, "/").key(key).send(&server).await;
        call(method, "/").key(key).send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 2);
    for _ in 0..2 {
        assert!(!post("/").key("order-1003").send(&server).await.is_replay());
    }
    assert_eq!(effects.count(), 4);
}

#[tokio::test]
async fn a_request_without_a_key_passes_through() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    post("/").body("same").send(&server).await.assert_first(200, "run 1");
    post("/").body("same").send(&server).await.assert_first(200, "run 2");
    assert_eq!(effects.attempts(), []);
}

#[tokio::test]
async fn a_request_that_claims_to_be_a_replay_is_none() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let claims = |call: Call| {
        call.header("X-Idempotent-Result", "true").header("x-idempotent-result", "false")
    };

    claims(post("/").key("order-1001")).send(&server).await.assert_first(200, "run 1");
    claims(post("/")).send(&server).await.assert_first(200, "run 2");
    for head in effects.heads() {
        assert!(!head.headers.contains_key("x-idempotent-result"), "{head:?}");
    }
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn an_unguarded_upload_reaches_the_handler_frame_by_frame() {
    for start in [call("GET", "/").key("order-1001"), post("/")] {
        let effects = Effects::new();
        let (seen, mut frames) = mpsc::unbounded_channel();
        let router = app(&effects, move |request| {
            let seen = seen.clone();
            async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    seen.send(frame.unwrap().into_data().unwrap()).unwrap();
                }
            }
        });
        let server = Server::start(router.layer(layer())).await;

        // An empty chunked body ends with these five bytes; instead of them come two chunks, one by
        // one.
        let start = start.chunked();
        let head = start.bytes().len() - b"0\r\n\r\n".len();
        let mut stream = start.begin(&server, head).await;
        stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
        assert_eq!(frames.recv().await.unwrap(), "first");
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(frames.recv().await.unwrap(), "second");
        assert_eq!(start.finish(stream).await.status, 200);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_response_of_unknown_length_reaches_the_client_frame_by_frame() {
    for call in [post("/").key("order-1001"), post("/"), call("GET", "/")] {
        let effects = Effects::new();
        let gate = Gate::new();
        let handler_gate = gate.clone();
        let router = app(&effects, move |_| {
            let gate = handler_gate.clone();
            async move { (StatusCode::ACCEPTED, gated_stream("first", "second", gate)) }
        });
        let server = Server::start(router.layer(layer())).await;

        let mut stream = call.begin(&server, usize::MAX).await;
        read_frame(&mut stream, "first").await;
        gate.open();
        read_frame(&mut stream, "second").await;
        assert_eq!(effects.count(), 1);
    }
}
