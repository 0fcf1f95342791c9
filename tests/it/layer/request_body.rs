//! The request body: all of it, within the limit, or nothing happens.

use axum::body::to_bytes;

use crate::support::{Effects, Server, app, counting, layer, post, send_bytes};

const LIMIT: usize = 1000;

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().max_request(LIMIT))).await;
    let whole = post("/").key("order-1001").body(vec![b'a'; LIMIT]);
    let first = whole.send(&server).await;
    first.assert_first(200, "run 1");
    whole.chunked().send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected_and_leaves_no_record() {
    let one_more = post("/").key("order-1001").body(vec![b'a'; LIMIT + 1]);
    for too_large in [one_more.clone(), one_more.chunked()] {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer().max_request(LIMIT))).await;

        too_large.send(&server).await.assert_rejected(413, "request_too_large");
        assert_eq!(effects.count(), 0);
        post("/").key("order-1001").body("mended").send(&server).await.assert_first(200, "run 1");
        assert_eq!(effects.attempts(), [(1, None)]);
    }
}

#[tokio::test]
async fn the_limit_is_one_mebibyte_unless_set() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let most = post("/").key("order-1001").body(vec![b'a'; 1 << 20]);
    most.chunked().send(&server).await.assert_first(200, "run 1");

    let one_more = post("/").key("order-1002").body(vec![b'a'; (1 << 20) + 1]);
    one_more.send(&server).await.assert_rejected(413, "request_too_large");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn the_handler_sees_the_body_and_the_head_as_they_were_sent() {
    let bodies: [Vec<u8>; 4] = [
        Vec::new(),
        b"\x00\xff\r\n\r\n0\r\n\r\n".to_vec(),
        (0..=255).cycle().take(70_000).collect(),
        vec![0],
    ];
    for (index, body) in bodies.iter().enumerate() {
        let effects = Effects::new();
        let router = app(&effects, |request| async move {
            to_bytes(request.into_body(), usize::MAX).await.unwrap()
        });
        let server = Server::start(router.layer(layer())).await;
        let call = post("/echo?a=%20b").header("X-Twice", "1").header("X-Twice", "2").body(body);

        for (key, call) in [("sized", call.clone()), ("chunked", call.chunked())] {
            let response = call.key(format!("{key}-{index}")).send(&server).await;
            assert_eq!(response.status, 200);
            assert!(response.body == *body, "{key} body {index} came out differently");
        }
        for head in effects.heads() {
            assert_eq!(head.uri, "/echo?a=%20b");
            assert_eq!(head.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["1", "2"]);
        }
        assert_eq!(effects.count(), 2);
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let upload = post("/").key("order-1001").body(vec![b'a'; 64 * 1024]);
    for upload in [upload.clone(), upload.chunked()] {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer())).await;
        let all = upload.bytes().len();

        for (index, length) in [all - 1, all / 2, 1000].into_iter().enumerate() {
            drop(upload.begin(&server, length).await);
            server.ended(index + 1).await;
            assert_eq!(effects.count(), 0);
        }
        upload.send(&server).await.assert_first(200, "run 1");
        assert_eq!(effects.attempts(), [(1, None)], "the cut uploads were no attempts");
    }
}

#[tokio::test]
async fn an_upload_that_ends_early_on_an_open_connection_is_rejected() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    // A chunk size that is not a number breaks the body; the connection can still carry a
    // response.
    let broken =
        String::from_utf8(post("/").key("order-1001").body("abc").chunked().bytes()).unwrap();
    let broken = broken.replace("1\r\nb\r\n", "what?\r\n");
    send_bytes(&server, broken).await.assert_rejected(400, "request_unreadable");
    assert_eq!(effects.count(), 0);
    post("/").key("order-1001").send(&server).await.assert_first(200, "run 1");
    assert_eq!(effects.attempts(), [(1, None)]);
}
