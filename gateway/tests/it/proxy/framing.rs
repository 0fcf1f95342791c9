//! No message has two readings: what is ambiguous never reaches the upstream, or the client.

use super::gateway::Gateway;
use super::upstream::{Upstream, ok};

/// What a request smuggler wants the upstream to see.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\nX: ";

#[tokio::test]
async fn an_ambiguous_request_never_reaches_the_upstream() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::before(upstream.address).await;
    let lines = [
        // Two lengths.
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 6, 6",
        "Content-Length: 6,7",
        "Content-Length: 7\r\nTransfer-Encoding: chunked\r\nContent-Length: 7",
        // Lengths that one parser reads and another does not.
        "Content-Length: +6",
        "Content-Length: -6",
        "Content-Length: 0x6",
        "Content-Length: 6 6",
        "Content-Length: 6.0",
        "Content-Length: six",
        "Content-Length: ",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: \u{b}6",
        // Other encodings, and other ways to write the one.
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: \u{0}chunked",
        "Transfer-Encoding: ",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding\u{b}: chunked",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "X: a\n Transfer-Encoding: chunked",
        "X: a\r\n Transfer-Encoding: chunked",
        "X: a\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding\r\n: chunked",
        "Content-Length : 6",
        "Content-Length\u{0}: 6",
        // Ends of lines.
        "X: a\nContent-Length: 6",
        "X: a\rContent-Length: 6",
        "X: a\r\r\nContent-Length: 6",
        "X: a\u{0}b\r\nContent-Length: 6",
        "X: a\rb",
        "X a",
        ": a",
        "X(: a",
        "",
    ];
    for line in lines {
        for after in ["0\r\n\r\n", "1\r\na\r\n0\r\n\r\n"] {
            let request =
                format!("POST /first HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{after}{HIDDEN}");
            // An empty line ends the head. What follows it is another request, and not one of HTTP.
            let expected = if line.is_empty() { &[200, 400][..] } else { &[400][..] };
            let mut client = gateway.connect().await;
            client.send(&request).await;
            for status in expected {
                assert_eq!(client.response().await.status(), *status, "{request:?}");
            }
            assert!(client.is_closed().await, "{request:?}");
            let bytes = upstream.heard();
            assert!(!bytes.contains("hidden"), "{request:?}: {bytes}");
        }
    }
}

#[tokio::test]
async fn a_broken_chunked_body_ends_the_connection_and_nothing_after_it_is_a_request() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::before(upstream.address).await;
    let bodies = [
        "ffffffffffffffff1\r\n",
        "10000000000000000\r\n",
        "-1\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1_0\r\n",
        "\r\n",
        "g\r\n",
        "1\na\n0\n\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\nX: a\n\r\n",
        "0\r\n\rX\n",
        "1\ra\r\n0\r\n\r\n",
    ];
    for target in ["/first", "/payments/first"] {
        for body in bodies {
            let mut client = gateway.connect().await;
            let head = format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: \
                 chunked\r\n\r\n"
            );
            client.send(format!("{head}{body}{HIDDEN}\r\n\r\n")).await;
            let response = client.rest().await;
            let responses = String::from_utf8_lossy(&response).matches("HTTP/1.1 ").count();
            assert!(responses <= 1, "{target} {body:?}: {}", String::from_utf8_lossy(&response));
            let bytes = upstream.heard();
            let hidden = bytes.lines().any(|line| line.starts_with("GET /hidden"));
            assert!(!hidden, "{target} {body:?}: {bytes}");
        }
    }
}

#[tokio::test]
async fn the_upstream_gets_one_length_in_its_plain_form() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    for length in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 0000000005"] {
        for target in ["/a", "/payments/a"] {
            let request = format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {}\r\n{length}\r\n\r\nhello",
                length.len()
            );
            assert_eq!(client.ask(request).await.status(), 200);
        }
    }
    let heard = upstream.heard();
    let lengths: Vec<_> =
        heard.lines().filter(|line| line.to_lowercase().starts_with("content-length")).collect();
    assert_eq!(lengths, ["content-length: 5"; 4], "{heard}");
}

#[tokio::test]
async fn a_request_has_one_host() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::with(upstream.address, "hosts = [\"shop.example\"]", "").await;
    let bad = [
        "Host: shop.example\r\nHost: shop.example",
        "X: a",
        "Host: shop.example, b",
        "Host: user@shop.example",
        "Host: shop.example/a",
        "Host: shop.example?a",
        "Host: shop.example#a",
        "Host: shop.example\\a",
        "Host: shop.example\tb",
    ];
    for (host, version, status) in bad.map(|host| (host, "1.1", 400)).into_iter().chain([
        ("Host: shop.example", "1.1", 200),
        ("Host: SHOP.example.:8080", "1.1", 200),
        ("Host: shop.example", "1.0", 200),
        ("Host: other.example", "1.1", 421),
        ("Host: shop.example.other", "1.1", 421),
        ("Host:", "1.1", 421),
        ("X: a", "1.0", 421),
    ]) {
        let request = format!("GET /a HTTP/{version}\r\n{host}\r\n\r\n");
        let response = gateway.connect().await.ask(&request).await;
        assert_eq!(response.status(), status, "{request:?}");
        if status != 200 {
            response.code();
        }
    }
    for line in upstream.heard().lines().filter(|line| line.to_lowercase().starts_with("host:")) {
        assert!(line.to_lowercase().starts_with("host: shop.example"), "{line}");
    }
}

#[tokio::test]
async fn the_target_in_absolute_form_says_the_host() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::with(upstream.address, "hosts = [\"a\"]", "").await;
    for (target, host, status, path) in [
        ("http://a/b?c", "a", 200, "/b?c"),
        ("http://a:80/b", "other", 200, "/b"),
        ("http://a", "a", 200, "/"),
        ("https://a/b", "a", 200, "/b"),
        ("http://other/b", "a", 421, ""),
        ("http://user@a/b", "a", 400, ""),
        ("a:80", "a", 400, ""),
        ("a", "a", 400, ""),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = gateway.connect().await.ask(&request).await;
        assert_eq!(response.status(), status, "{request:?} {response:?}");
        if status == 200 {
            assert_eq!(response.text(), path, "{request:?}");
        }
    }
    let request = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    assert_eq!(gateway.connect().await.ask(request).await.code(), "method_not_supported");
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let response = gateway.connect().await.ask(request).await;
    assert_eq!((response.status(), response.text()), (200, "*".to_owned()));
    let heard = upstream.heard();
    for line in heard.lines().filter(|line| line.to_lowercase().starts_with("host:")) {
        assert!(["host: a", "host: a:80"].contains(&line), "{line}");
    }
}

/// Responses that two clients could read in two ways, or that are none.
const WRONG: [&str; 25] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
    "hello",
];

#[tokio::test]
async fn an_ambiguous_response_never_reaches_the_client() {
    for (number, wrong) in WRONG.iter().enumerate() {
        let upstream = Upstream::start(move |_, mut raw| async move {
            while raw.request().await.is_some() {
                // If the gateway took it for a response, this would be one to another client.
                raw.send(wrong).await;
                raw.try_send(ok("split")).await;
                raw.finish().await;
            }
        })
        .await;
        let gateway = Gateway::before(upstream.address).await;
        for target in ["/a", "/payments/a"] {
            let request = format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n"
            );
            let mut client = gateway.connect().await;
            let response = client.ask(&request).await;
            assert_eq!(response.status(), 502, "{number} {target} {wrong:?}: {response:?}");
            assert_eq!(response.code(), "upstream_no_response", "{wrong:?}");
            assert!(!response.text().contains("split"), "{wrong:?}");
            // The connection is not used again.
            assert_eq!(client.ask("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 502);
        }
        assert_eq!(upstream.connections(), 4, "{wrong:?}");
    }
}

#[tokio::test]
async fn bytes_after_a_response_are_no_response_to_the_next_request() {
    let upstream = Upstream::start(|number, mut raw| async move {
        while raw.request().await.is_some() {
            let mut bytes = ok(&number.to_string());
            bytes.extend(ok("split"));
            raw.try_send(bytes).await;
        }
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        let response = client.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_ne!(response.text(), "split");
    }
}
