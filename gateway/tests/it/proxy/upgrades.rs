//! Connections that become something else than HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::gateway::{Gateway, PAYMENTS, until};
use super::raw::{Raw, in_time};
use super::upstream::{Upstream, ok};

/// A server of `WebSocket`s: it sends each message back, and closes when it is told a code.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let told = message.to_text().ok().and_then(|text| text.strip_prefix("close "));
                    if let Some(code) = told {
                        let code = CloseCode::from(code.parse::<u16>().unwrap());
                        let _ =
                            socket.close(Some(CloseFrame { code, reason: "told".into() })).await;
                    } else if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

async fn open(gateway: &Gateway) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("ws://{}/chat", gateway.address);
    in_time("a WebSocket opens", client_async(request, stream)).await.unwrap().0
}

#[tokio::test]
async fn ten_thousand_messages_go_each_way_in_little_memory() {
    let gateway = Gateway::before(echo().await).await;
    let socket = open(&gateway).await;
    let idle = gateway.memory("VmRSS");
    let (mut sender, mut receiver) = socket.split();
    let message = |number: usize| {
        let text = format!("{number} ").repeat(1 + number % 300);
        if number.is_multiple_of(2) {
            Message::text(text)
        } else {
            Message::binary(text.into_bytes())
        }
    };
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            sender.send(message(number)).await.unwrap();
        }
        sender
    });
    for number in 0..10_000 {
        let found = in_time("a message comes", receiver.next()).await.unwrap().unwrap();
        assert_eq!(found, message(number), "{number}");
    }
    drop(sending.await.unwrap());
    let more = gateway.memory("VmHWM") - idle;
    println!("{more} KiB more for 10,000 messages each way");
    assert!(more < 64 << 10, "{more} KiB");
}

#[tokio::test]
async fn either_side_closes_first_and_the_code_arrives() {
    let gateway = Gateway::before(echo().await).await;
    for code in [1000, 1001, 1008, 1011, 4000] {
        let mut socket = open(&gateway).await;
        socket.send(Message::text(format!("close {code}"))).await.unwrap();
        let close = in_time("a close comes", socket.next()).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = close else { panic!("{close:?}") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, "told"));
        assert!(in_time("the end", socket.next()).await.is_none());

        let mut socket = open(&gateway).await;
        let frame = CloseFrame { code: CloseCode::from(code), reason: "by client".into() };
        socket.close(Some(frame)).await.unwrap();
        let close = in_time("a close comes back", socket.next()).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = close else { panic!("{close:?}") };
        assert_eq!(u16::from(frame.code), code);
    }
}

/// An upstream that changes to a protocol of its own, and sends back what it gets.
async fn switching() -> Upstream {
    Upstream::start(|_, mut raw| async move {
        let head = raw.head().await.unwrap();
        if !head.has("upgrade") {
            raw.send(ok("plain")).await;
            return;
        }
        raw.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\nX-A: 1\r\n\r\nfirst ").await;
        loop {
            let bytes = raw.some().await;
            if bytes.is_empty() {
                break;
            }
            raw.try_send(bytes).await;
        }
        raw.send("last").await;
    })
    .await
}

const UPGRADE: &str = "Host: a\r\nUpgrade: echo\r\nConnection: keep-alive, Upgrade\r\n";

async fn tunnel(gateway: &Gateway, early: &str) -> Raw {
    let mut client = gateway.connect().await;
    client.send(format!("GET /a HTTP/1.1\r\n{UPGRADE}\r\n{early}")).await;
    let head = client.head().await.unwrap();
    assert_eq!(
        (head.status(), head.get("upgrade"), head.get("x-a")),
        (101, Some("echo"), Some("1"))
    );
    assert_eq!(head.get("connection"), Some("upgrade"));
    assert_eq!(client.bytes(6).await, b"first ");
    client
}

#[tokio::test]
async fn a_tunnel_carries_any_bytes_and_each_side_can_end_for_itself() {
    let upstream = switching().await;
    let gateway = Gateway::before(upstream.address).await;
    // Bytes that look like a request that the gateway would reject, and one that it would guard.
    for bytes in [
        "POST /payments/a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /payments/a HTTP/1.1\r\nHost: a\r\n\r\n",
        "\0\r\n\r\nGET",
        "GET / HT",
    ] {
        let mut client = tunnel(&gateway, "").await;
        client.send(bytes).await;
        assert_eq!(client.bytes(bytes.len()).await, bytes.as_bytes());
        client.finish().await;
        // The other direction is still open.
        assert_eq!(client.rest().await, b"last", "{bytes:?}");
    }
    // A client that does not wait for the response.
    let mut client = tunnel(&gateway, "GET / early").await;
    assert_eq!(client.bytes(11).await, b"GET / early");
    client.reset();
}

#[tokio::test]
async fn an_upstream_that_refuses_is_heard_and_the_connection_goes_on() {
    let upstream = Upstream::responding(|request| {
        let status = if request.head.has("upgrade") { "426 Upgrade Required" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nX-Why: a\r\nContent-Length: 2\r\n\r\nno").into_bytes()
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    for _ in 0..3 {
        let response = client.ask(format!("GET /a HTTP/1.1\r\n{UPGRADE}\r\n")).await;
        assert_eq!((response.status(), response.text()), (426, "no".to_owned()));
        assert_eq!(response.head.get("x-why"), Some("a"));
        assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    }
}

#[tokio::test]
async fn no_upgrade_evades_a_guard() {
    let upstream = switching().await;
    let gateway = Gateway::before(upstream.address).await;
    // The route needs a key, whatever else the request asks for.
    let post = format!("POST /payments/a HTTP/1.1\r\n{UPGRADE}Content-Length: 0\r\n\r\n");
    let response = gateway.connect().await.ask(&post).await;
    assert_eq!(response.status(), 400, "{response:?}");
    let keyed = post.replace("Host: a\r\n", "Host: a\r\nIdempotency-Key: k\r\n");
    let response = gateway.connect().await.ask(&keyed).await;
    assert_eq!((response.status(), response.text()), (200, "plain".to_owned()));
    // In a tunnel of HTTP/2 each request would go past the routes.
    for protocol in ["h2c", "H2C", "h2c, echo", "echo, h2c", "HTTP/2.0", "TLS/1.0"] {
        let request = format!(
            "GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\
             Connection: Upgrade, HTTP2-Settings\r\n\r\n"
        );
        let response = gateway.connect().await.ask(request).await;
        assert_eq!((response.status(), response.text()), (200, "plain".to_owned()), "{protocol}");
    }
    // These do not ask in the way that counts.
    for lines in
        ["Upgrade: echo\r\n", "Connection: Upgrade\r\n", "Upgrade: \r\nConnection: Upgrade\r\n"]
    {
        let response =
            gateway.connect().await.ask(format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
        assert_eq!(response.text(), "plain", "{lines}");
    }
    let old = format!("GET /a HTTP/1.0\r\n{UPGRADE}\r\n");
    assert_eq!(gateway.connect().await.ask(old).await.text(), "plain");
    assert!(!upstream.heard().to_lowercase().contains("http2-settings"));
}

#[tokio::test]
async fn an_idle_tunnel_ends_and_one_that_moves_does_not() {
    let upstream = switching().await;
    let gateway = Gateway::with(upstream.address, "timeouts = { upgraded = \"600ms\" }", "").await;
    let (mut moving, mut idle) = (tunnel(&gateway, "").await, tunnel(&gateway, "").await);
    let ended = tokio::spawn(async move { idle.rest().await });
    for _ in 0..20 {
        moving.send("a").await;
        assert_eq!(moving.bytes(1).await, b"a");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    in_time("the idle one ends", ended).await.unwrap();
    moving.send("b").await;
    assert_eq!(moving.bytes(1).await, b"b");
}

#[tokio::test]
async fn a_drain_waits_for_tunnels_and_then_cuts_them_off() {
    let upstream = switching().await;
    for (drain, is_patient) in [("20s", true), ("300ms", false)] {
        let top = format!("timeouts = {{ drain = \"{drain}\" }}");
        let mut gateway = Gateway::with(upstream.address, &top, PAYMENTS).await;
        let mut client = tunnel(&gateway, "").await;
        gateway.signal("TERM");
        until("it takes no connection", || std::net::TcpStream::connect(gateway.address).is_err())
            .await;
        if is_patient {
            client.send("still").await;
            assert_eq!(client.bytes(5).await, b"still");
            client.finish().await;
            assert_eq!(client.rest().await, b"last");
        } else {
            client.rest().await;
        }
        assert!(gateway.end().await);
        assert_eq!(gateway.log().contains("the time to drain is over"), !is_patient);
    }
}

#[tokio::test]
async fn tunnels_count_as_connections() {
    let upstream = switching().await;
    let gateway = Gateway::with(upstream.address, "limits = { connections = 2 }", "").await;
    let tunnels = [tunnel(&gateway, "").await, tunnel(&gateway, "").await];
    // The third waits until one of them has ended.
    let mut client = gateway.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = tokio::spawn(async move { client.response().await.text() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!response.is_finished(), "a tunnel holds no place");
    drop(tunnels);
    assert_eq!(in_time("the third is served", response).await.unwrap(), "plain");
}
