//! Messages of every form, from clients and upstreams of each version.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::gateway::{Gateway, PAYMENTS, file, until};
use super::raw::in_time;
use super::upstream::{Upstream, ok};

const KEYED: &str = "Host: a\r\nIdempotency-Key: k\r\n";

#[tokio::test]
async fn a_response_without_a_body_passes_as_it_is() {
    let upstream = Upstream::responding(|request| {
        let head = &request.head.first;
        let status = head.split(['/', ' ']).nth(2).unwrap();
        match status {
            "204" | "304" => format!("HTTP/1.1 {status} X\r\nETag: \"a\"\r\n\r\n").into(),
            "205" => b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "length304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n".to_vec(),
            _ if head.starts_with("HEAD") && status == "chunked" => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
            }
            _ if head.starts_with("HEAD") => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n".to_vec()
            }
            _ => ok("after"),
        }
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    for (request, first, length) in [
        ("GET /204", "HTTP/1.1 204 ", None),
        ("GET /304", "HTTP/1.1 304 ", None),
        ("GET /205", "HTTP/1.1 205 ", Some("0")),
        ("GET /length304", "HTTP/1.1 304 ", None),
        ("HEAD /200", "HTTP/1.1 200 ", Some("700")),
        ("HEAD /chunked", "HTTP/1.1 200 ", None),
    ] {
        client.send(format!("{request} HTTP/1.1\r\n{KEYED}\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(head.first.starts_with(first), "{request}: {head:?}");
        assert_eq!(head.get("content-length"), length, "{request}: {head:?}");
        // The next response follows it directly.
        let after = client.ask(format!("GET /a HTTP/1.1\r\n{KEYED}\r\n")).await;
        assert_eq!(after.text(), "after", "{request}");
    }
    assert_eq!(upstream.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn the_upstream_is_not_asked_to_continue_and_the_client_is_when_the_body_is_wanted() {
    let upstream = Upstream::responding(|request| ok(&request.text())).await;
    let gateway = Gateway::before(upstream.address).await;
    for target in ["/a", "/payments/a"] {
        let head = |lines: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\n{lines}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            )
        };
        let mut client = gateway.connect().await;
        client.send(head("Idempotency-Key: k\r\n")).await;
        assert_eq!(client.head().await.unwrap().first, "HTTP/1.1 100 Continue");
        assert_eq!(client.ask("hello").await.text(), "hello");
        // A replay needs the body, too: it is compared.
        client.send(head("Idempotency-Key: k\r\n")).await;
        assert_eq!(client.head().await.unwrap().first, "HTTP/1.1 100 Continue");
        assert_eq!(client.ask("hello").await.text(), "hello");
    }
    // The gateway does not read the body of a request that it rejects by its head.
    let head =
        "POST /payments/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(gateway.connect().await.ask(head).await.status(), 400);
    assert!(!upstream.heard().to_lowercase().contains("expect"));
    // And if nothing can be sent to the upstream, it is not wanted either.
    upstream.stop();
    let gateway = Gateway::before("127.0.0.1:1".parse().unwrap()).await;
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(gateway.connect().await.ask(head).await.code(), "upstream_unreachable");
}

#[tokio::test]
async fn a_response_follows_those_that_only_inform() {
    let upstream = Upstream::responding(|_| {
        let inform = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                      HTTP/1.1 100 Continue\r\n\r\n";
        [inform.as_bytes(), &ok("final")].concat()
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    for target in ["/a", "/payments/a"] {
        let mut client = gateway.connect().await;
        let request = format!("POST {target} HTTP/1.1\r\n{KEYED}Content-Length: 0\r\n\r\n");
        client.send(&request).await;
        let mut response = client.response().await;
        while response.status() < 200 {
            response = client.response().await;
        }
        assert_eq!((response.status(), response.text()), (200, "final".to_owned()));
    }
}

#[tokio::test]
async fn connections_of_clients_stay_open_or_close_as_they_say() {
    let upstream = Upstream::responding(|request| match request.head.first.as_str() {
        "GET /chunked HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
                .to_vec()
        }
        first => ok(first.split(' ').nth(1).unwrap()),
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    for (version, connection, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
    ] {
        let mut client = gateway.connect().await;
        let request = format!("GET /a HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        assert_eq!(client.ask(&request).await.text(), "/a");
        if stays {
            assert_eq!(client.ask(&request).await.text(), "/a");
        } else {
            assert!(client.is_closed().await, "{version} {connection}");
        }
    }
    // A client of HTTP/1.0 knows no chunks: the end of the connection ends the body.
    let mut client = gateway.connect().await;
    let response = client.ask("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(!response.head.has("transfer-encoding"), "{response:?}");
    assert_eq!(response.text(), "abc");
    // The upstream speaks HTTP/1.1, which needs a host.
    let name = format!("host: {}", upstream.address);
    assert!(upstream.heard().to_lowercase().contains(&name), "{}", upstream.heard());
    // Requests in one go have their responses in their order.
    let mut client = gateway.connect().await;
    let request = |number: usize| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send((0..50).map(request).collect::<Vec<_>>().concat()).await;
    for number in 0..50 {
        assert_eq!(client.response().await.text(), format!("/{number}"));
    }
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    for number in 0..200 {
        let request = match number % 2 {
            0 => "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            _ => format!(
                "POST /payments/a HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {number}\r\nContent-Length: 1\r\n\r\na"
            ),
        };
        assert_eq!(client.ask(request).await.status(), 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let upstream = Upstream::responding(|request| {
        let told = format!("{:?}", request.trailers);
        format!(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{told}\r\n0\r\nX-Sum: 7\r\n\r\n",
            told.len()
        )
        .into_bytes()
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Total\r\n\
                   Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Total: 9\r\n\r\n";
    let response = client.ask(request).await;
    assert_eq!(response.text(), "[(\"x-total\", \"9\")]");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    // They say nothing of where the message ends or goes.
    let request = request.replace("X-Total: 9", "Content-Length: 5\r\nHost: b\r\nX-Total: 9");
    let response = client.ask(request).await;
    assert!(!response.text().contains("host"), "{response:?}");
    assert!(!response.text().contains("content-length"), "{response:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_an_unguarded_request_and_not_a_guarded_one() {
    for (target, before_head) in
        [("/a", true), ("/a", false), ("/payments/a", true), ("/payments/a", false)]
    {
        let (sent, mut sending) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Upstream::start(move |_, mut raw| {
            let sent = sent.clone();
            async move {
                if raw.request().await.is_none() {
                    return;
                }
                if !before_head {
                    raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
                }
                sent.send("begun").unwrap();
                // An unguarded request ends here, and a guarded one goes on.
                if target == "/a" {
                    raw.rest().await;
                    sent.send("cut off").unwrap();
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                let rest = if before_head {
                    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhelloworld"
                } else {
                    "world"
                };
                assert!(raw.try_send(rest).await);
                sent.send("whole").unwrap();
                raw.rest().await;
            }
        })
        .await;
        let gateway = Gateway::before(upstream.address).await;
        let mut client = gateway.connect().await;
        let request = format!("POST {target} HTTP/1.1\r\n{KEYED}Content-Length: 1\r\n\r\na");
        client.send(&request).await;
        assert_eq!(in_time("a request comes", sending.recv()).await, Some("begun"));
        if !before_head && target == "/a" {
            client.head().await.unwrap();
        }
        drop(client);
        let expected = if target == "/a" { "cut off" } else { "whole" };
        assert_eq!(in_time(target, sending.recv()).await, Some(expected));
        if target != "/a" {
            // Its response is there for the next attempt.
            let mut response = gateway.connect().await.ask(&request).await;
            while response.status() == 409 {
                response = gateway.connect().await.ask(&request).await;
            }
            assert_eq!(response.text(), "helloworld");
            assert_eq!(upstream.connections(), 1);
        }
    }
}

/// A server that tells what it was sent, with trailers.
async fn serve_http2() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(tell)));
        }
    });
    address
}

async fn tell(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = format!("{:?}", body.trailers());
    let authority = head.uri.authority().map(ToString::to_string);
    let told = format!(
        "{} {} {authority:?} {:?} {trailers} {:?}",
        head.method,
        head.uri.path(),
        head.headers,
        body.to_bytes()
    );
    let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let length = told.len();
    let mut frames = vec![Ok(Frame::data(Bytes::from(told)))];
    let mut response = Response::builder().status(StatusCode::CREATED);
    if head.uri.path() == "/a" {
        frames.push(Ok(Frame::trailers(sum)));
        response = response.header("trailer", "x-sum");
    } else {
        // A response with trailers is not stored.
        response = response.header("content-length", length);
    }
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(response.header("set-cookie", "a=1").header("set-cookie", "b=2").body(body).unwrap())
}

/// Sends a request by HTTP/2.
async fn ask_http2(
    gateway: &Gateway,
    request: Request<Full<Bytes>>,
) -> (http::response::Parts, Bytes, Option<HeaderMap>) {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (head, body) =
        in_time("a response", client.send_request(request)).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (head, body.to_bytes(), trailers)
}

fn http2_request(gateway: &Gateway, target: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{target}", gateway.address))
        .header("idempotency-key", "k")
        .header("te", "trailers")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::from("hello"))
        .unwrap()
}

#[tokio::test]
async fn a_client_of_http_2_has_an_upstream_of_either_version() {
    let http1 = Upstream::telling().await;
    let http2 = serve_http2().await;
    for target in ["/a", "/payments/a"] {
        let gateway = Gateway::before(http1.address).await;
        let before = http1.heard().len();
        let (head, body, _) = ask_http2(&gateway, http2_request(&gateway, target)).await;
        assert_eq!(
            (head.status, head.version, &*body),
            (StatusCode::OK, Version::HTTP_2, target.as_bytes())
        );
        let bytes = http1.heard()[before..].to_lowercase();
        assert!(bytes.contains(&format!("host: {}\r\n", gateway.address)), "{bytes}");
        assert!(bytes.contains("via: 2 tower-idempotency-gateway"), "{bytes}");
        assert!(
            bytes.contains("cookie: a=1; b=2\r\n") && bytes.contains("content-length: 5\r\n"),
            "{bytes}"
        );

        let upstream = format!("{{ url = \"http://{http2}\", http2 = true }}");
        let gateway = Gateway::start(&file(&upstream, "", PAYMENTS)).await;
        let (head, body, trailers) = ask_http2(&gateway, http2_request(&gateway, target)).await;
        let told = String::from_utf8_lossy(&body);
        assert_eq!(head.status, StatusCode::CREATED, "{told}");
        assert!(
            told.contains("\"te\": \"trailers\"") && told.contains(&http2.to_string()),
            "{told}"
        );
        assert!(!told.contains("\"host\"") && told.ends_with("b\"hello\""), "{told}");
        if target == "/a" {
            assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
            assert_eq!(trailers.unwrap()["x-sum"], "7");
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_has_an_upstream_of_http_2() {
    let http2 = serve_http2().await;
    let upstream = format!("{{ url = \"http://{http2}\", http2 = true }}");
    let gateway = Gateway::start(&file(&upstream, "", PAYMENTS)).await;
    let mut client = gateway.connect().await;
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: a\r\n\
                   Trailer: X-Total\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Total: 9\r\n\r\n";
    let response = client.ask(request).await;
    assert_eq!(response.status(), 201);
    assert!(response.text().contains("{\"x-total\": \"9\"}"), "{}", response.text());
    for gone in ["x-hop", "keep-alive", "connection", "transfer-encoding"] {
        assert!(!response.text().contains(gone), "{gone}: {}", response.text());
    }
    assert_eq!(response.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    let request = format!("POST /payments/a HTTP/1.1\r\n{KEYED}Content-Length: 1\r\n\r\na");
    let response = client.ask(&request).await;
    assert_eq!(response.status(), 201);
    assert!(response.text().contains("x-idempotency-attempt"));
    assert_eq!(client.ask(&request).await.text(), response.text());
}

#[tokio::test]
async fn http_2_has_the_same_limits_and_rules() {
    let upstream = Upstream::telling().await;
    let gateway = Gateway::with(upstream.address, "limits = { headers = 20 }", PAYMENTS).await;
    let many = (0..30).fold(http2_request(&gateway, "/a"), |mut request, number| {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        request.headers_mut().insert(name, "a".parse().unwrap());
        request
    });
    assert_eq!(
        ask_http2(&gateway, many).await.0.status,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let mut other_host = http2_request(&gateway, "/a");
    other_host.headers_mut().insert("host", "other".parse().unwrap());
    assert_eq!(ask_http2(&gateway, other_host).await.0.status, StatusCode::BAD_REQUEST);
    let mut forged = http2_request(&gateway, "/a");
    forged.headers_mut().insert("x_idempotency_attempt", "forged".parse().unwrap());
    assert_eq!(ask_http2(&gateway, forged).await.0.status, StatusCode::OK);
    assert!(!upstream.heard().contains("forged"));
    until("nothing else comes", || upstream.connections() == 1).await;
}
