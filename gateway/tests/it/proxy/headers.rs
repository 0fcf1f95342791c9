//! Headers: those of one hop end here, and all others pass as they are.

use super::gateway::{Gateway, PAYMENTS, until};
use super::raw::{Head, Message};
use super::upstream::{Upstream, ok};

/// The head that an upstream gets.
async fn told(gateway: &Gateway, upstream: &Upstream, lines: &str) -> Head {
    let before = upstream.heard().len();
    let request =
        format!("GET /a?b=/../c%2f HTTP/1.1\r\nHost: shop.example:8080\r\n{lines}\r\n\r\n");
    let response = gateway.connect().await.ask(&request).await;
    assert_eq!(response.status(), 200, "{request:?}: {response:?}");
    head(&upstream.heard()[before..])
}

fn head(text: &str) -> Head {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let line = |line: &str| {
        line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    Head { first, headers: lines.map_while(line).collect() }
}

async fn start(top: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_, mut raw| async move {
        while raw.request().await.is_some() {
            raw.send(ok("a")).await;
            // One connection for each, so that the bytes of two requests do not mix.
            raw.finish().await;
        }
    })
    .await;
    let gateway = Gateway::with(upstream.address, top, PAYMENTS).await;
    (upstream, gateway)
}

#[tokio::test]
async fn headers_of_one_hop_end_at_the_gateway() {
    let (upstream, gateway) = start("").await;
    let of_one_hop = [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic YTpi",
        "TE: trailers",
        "TE: gzip",
        "Trailer: X-Sum",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABk",
    ];
    for line in of_one_hop {
        let head = told(&gateway, &upstream, line).await;
        let name = line.split(':').next().unwrap().to_lowercase();
        let passes = name == "trailer";
        assert_eq!(head.has(&name), passes, "{line}: {head:?}");
        assert!(!head.has("connection"), "{line}: {head:?}");
    }
    for connection in [
        "Connection: close, X-Hop",
        "Connection: X-Hop",
        "Connection: keep-alive\r\nConnection: x-hop",
        "Connection: \"quoted\", ,, X-HOP ,",
    ] {
        let head =
            told(&gateway, &upstream, &format!("{connection}\r\nX-Hop: 1\r\nX-End: 1")).await;
        assert!(!head.has("x-hop") && !head.has("connection") && head.has("x-end"), "{head:?}");
    }
    let kept = "Host, Content-Length, Cookie, Authorization, X-Forwarded-For, Forwarded";
    let lines =
        format!("Connection: {kept}\r\nCookie: a=b\r\nAuthorization: c\r\nContent-Length: 0");
    let head = told(&gateway, &upstream, &lines).await;
    for name in ["host", "cookie", "authorization", "x-forwarded-for"] {
        assert!(head.has(name), "{name}: {head:?}");
    }
}

#[tokio::test]
async fn all_other_headers_pass_in_their_order_and_so_does_the_target() {
    let (upstream, gateway) = start("").await;
    let lines = "X-A: 1\r\nX-B: 1\r\nX-A: 2\r\nX-A: \r\nX-A: 3, 4\r\nAccept-Encoding: gzip, br\r\nX-B: \u{e9}\u{20ac}\r\n\
         If-None-Match: \"a\"\r\nRange: bytes=0-1\r\nCache-Control: no-cache";
    let head = told(&gateway, &upstream, lines).await;
    assert_eq!(head.first, "GET /a?b=/../c%2f HTTP/1.1");
    assert_eq!(head.all("x-a"), ["1", "2", "", "3, 4"]);
    assert_eq!(head.all("x-b"), ["1", "\u{e9}\u{20ac}"]);
    for (name, value) in [
        ("accept-encoding", "gzip, br"),
        ("if-none-match", "\"a\""),
        ("range", "bytes=0-1"),
        ("cache-control", "no-cache"),
        ("host", "shop.example:8080"),
        ("via", "1.1 tower-idempotency-gateway"),
    ] {
        assert_eq!(head.get(name), Some(value), "{head:?}");
    }
    let head = told(&gateway, &upstream, "Via: 1.0 first").await;
    assert_eq!(head.all("via").join(", "), "1.0 first, 1.1 tower-idempotency-gateway");
}

#[tokio::test]
async fn a_client_cannot_say_what_the_gateway_says() {
    let (upstream, gateway) = start("").await;
    let reserved = [
        "X-Idempotency-Attempt",
        "X_Idempotency_Attempt",
        "x-idempotency_attempt",
        "X-Idempotency-In-Doubt",
        "X_IDEMPOTENCY_IN_DOUBT",
        "X-Idempotency-Previous",
        "X-Idempotency-Downstream-Key",
        "X_Idempotency_Key",
        "Idempotency_Key",
        "X_Forwarded_For",
        "X-Forwarded_For",
        "X_Real_Ip",
        "X-Real-Ip",
        "X-Real-IP",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Forwarded-Something",
    ];
    for name in reserved {
        let head = told(&gateway, &upstream, &format!("{name}: forged")).await;
        assert!(!format!("{head:?}").contains("forged"), "{name}: {head:?}");
        let post = format!(
            "POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {name}-k\r\n{name}: forged\r\nContent-Length: 0\r\n\r\n"
        );
        let before = upstream.heard().len();
        let response = gateway.connect().await.ask(&post).await;
        assert_eq!(response.status(), 200, "{name}: {response:?}");
        assert!(!upstream.heard()[before..].contains("forged"), "{name}");
    }
}

#[tokio::test]
async fn as_many_hops_are_believed_as_the_file_says() {
    let said = "X-Forwarded-For: 203.0.113.1, 198.51.100.1\r\nX-Forwarded-For: 198.51.100.2\r\n\
                X-Forwarded-Proto: https\r\nX-Forwarded-Host: before.example\r\nForwarded: for=203.0.113.1, for=198.51.100.2";
    for (hops, chain, proto, host, forwarded) in [
        (0, "127.0.0.1", "http", "shop.example:8080", "for=127.0.0.1"),
        (
            1,
            "198.51.100.2, 127.0.0.1",
            "https",
            "before.example",
            "for=198.51.100.2, for=127.0.0.1",
        ),
        (
            2,
            "198.51.100.1, 198.51.100.2, 127.0.0.1",
            "https",
            "before.example",
            "for=203.0.113.1, for=198.51.100.2, for=127.0.0.1",
        ),
    ] {
        let (upstream, gateway) =
            start(&format!("forwarded = {{ trusted_hops = {hops}, forwarded = true }}")).await;
        let head = told(&gateway, &upstream, said).await;
        assert_eq!(head.all("x-forwarded-for"), [chain]);
        assert_eq!(head.all("x-forwarded-proto"), [proto]);
        assert_eq!(head.all("x-forwarded-host"), [host]);
        let told = head.get("forwarded").unwrap();
        assert!(
            told.starts_with(&format!("{forwarded};host=\"shop.example:8080\";proto=\"http\"")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn headers_of_a_response_pass_but_those_of_one_hop() {
    let upstream = Upstream::responding(|_| {
        b"HTTP/1.1 200 Fine\r\nContent-Encoding: gzip\r\nSet-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nX-A: 2\r\n\
          Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
          Proxy-Connection: close\r\nUpgrade: h2c\r\nX-Idempotency-Directive: success\r\nServer: s\r\nDate: d\r\n\
          Content-Length: 4\r\n\r\n\x1f\x8b\x00\xff".to_vec()
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    for target in ["/a", "/payments/a"] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n"
        );
        let response = gateway.connect().await.ask(request).await;
        let head = &response.head;
        assert_eq!(response.body, b"\x1f\x8b\x00\xff");
        assert_eq!(head.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(head.all("x-a"), ["1", "2"]);
        for (name, value) in
            [("content-encoding", "gzip"), ("server", "s"), ("date", "d"), ("content-length", "4")]
        {
            assert_eq!(head.all(name), [value], "{head:?}");
        }
        for name in [
            "x-hop",
            "keep-alive",
            "proxy-authenticate",
            "proxy-connection",
            "upgrade",
            "x-idempotency-directive",
            "connection",
        ] {
            assert!(!head.has(name), "{target} {name}: {head:?}");
        }
    }
}

#[tokio::test]
async fn limits_have_their_statuses() {
    let (upstream, gateway) =
        start("limits = { head = \"16KiB\", headers = 20, body = \"1KiB\" }").await;
    let get = |lines: &str| format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    let many = "X: a\r\n".repeat(30);
    for (request, status) in [
        (get(&format!("X: {}", "a".repeat(10 << 10))), 200),
        (get(&format!("X: {}", "a".repeat(20 << 10))), 431),
        (get(&format!("X: {}", "a".repeat(2 << 20))), 431),
        (get(many.trim_end()), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20 << 10)), 431),
        (
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}",
                "a".repeat(1024)
            ),
            200,
        ),
        (
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
                "a".repeat(1025)
            ),
            413,
        ),
    ] {
        let mut client = gateway.connect().await;
        // The gateway responds before it has read all, and closes.
        client.try_send(&request).await;
        let response = client.try_response().await;
        let found = response.as_ref().map(Message::status);
        assert!(
            found == Some(status) || status == 431 && found == Some(414),
            "{}: {response:?}",
            &request[..60]
        );
    }
    // A body that announces too many bytes is rejected before it is read.
    let mut client = gateway.connect().await;
    let head =
        "POST /large HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n";
    let response = client.ask(head).await;
    assert_eq!((response.status(), response.code()), (413, "request_too_large".to_owned()));
    assert!(!upstream.heard().contains("/large"));
}

#[tokio::test]
async fn more_headers_than_the_check_of_lengths_expects_do_not_evade_it() {
    let upstream = Upstream::telling().await;
    let gateway =
        Gateway::with(upstream.address, "limits = { headers = 2000, head = \"256KiB\" }", "").await;
    let many = "X: a\r\n".repeat(1000);
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    assert_eq!(gateway.connect().await.ask(request).await.status(), 200);
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\n{many}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    assert_eq!(gateway.connect().await.ask(request).await.status(), 400);
}

#[tokio::test]
async fn a_client_that_takes_too_long_is_cut_off() {
    let (upstream, gateway) = start("timeouts = { head = \"400ms\", idle = \"400ms\" }").await;
    for sent in ["", "G", "GET /a HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let mut client = gateway.connect().await;
        client.send(sent).await;
        // It may be told why.
        let said = client.rest().await;
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{sent:?}: {}", String::from_utf8_lossy(&said));
    }
    // Neither is a second request waited for.
    let mut client = gateway.connect().await;
    assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    client.try_send("GET /a HTTP/1.1\r\nHost: a\r\n").await;
    client.rest().await;
    // A byte now and then does not help.
    let mut client = gateway.connect().await;
    client.send("GET /a HTTP/1.1\r\n").await;
    let mut lines = 0;
    while client.try_send("X: a\r\n").await {
        lines += 1;
        assert!(lines < 200, "a head without an end is still read");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(upstream.connections(), 1);
    for target in ["/a", "/payments/a"] {
        let mut client = gateway.connect().await;
        client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nh")).await;
        let response = client.response().await;
        assert_eq!(response.status(), 400, "{target} {response:?}");
        assert!(client.is_closed().await, "{target}");
    }
    until("the upstream has no open request", || !upstream.heard().contains("/payments")).await;
}
