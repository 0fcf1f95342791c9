//! For every record in a store, a client gets one well-formed message without fields of another
//! connection or session.
#![no_main]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tower_idempotency::fuzzing;

/// Fields that belong to one connection, one message or one session.
const NEVER: [&str; 20] = [
    "transfer-encoding",
    "te",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "authorization",
    "authentication-info",
    "www-authenticate",
    "set-cookie",
    "set-cookie2",
    "clear-site-data",
    "alt-svc",
    "age",
    "server",
    "x-auth-token",
    "x-csrf-token",
    "x-xsrf-token",
];

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(Builder::new_current_thread().build().unwrap());
}

fuzz_target!(|frame: &[u8]| {
    let Some((response, body)) = fuzzing::response_of_record(frame) else { return };
    let response = Cell::new(Some(response));
    let message = RUNTIME.with_borrow_mut(|runtime| {
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let service = service_fn(|_| {
                let response = response.take().expect("one request");
                async { Ok::<_, Infallible>(response) }
            });
            let serving = async {
                let served = http1::Builder::new()
                    .max_headers(1 << 16)
                    .serve_connection(TokioIo::new(server), service)
                    .await;
                served.expect("the server could write the message");
            };
            let asking = async {
                let request =
                    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                client.write_all(request).await.unwrap();
                let mut message = Vec::new();
                client.read_to_end(&mut message).await.unwrap();
                message
            };
            tokio::join!(serving, asking).1
        })
    });
    check(&message, &body);
});

fn check(message: &[u8], body: &[u8]) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("the head ends");
    let (head, rest) = (&message[..end], &message[end + 4..]);
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().expect("a status line");
    let status: u16 =
        std::str::from_utf8(&first[9..12]).expect("digits").parse().expect("a status");
    assert!(first.starts_with(b"HTTP/1.1 ") && (200..600).contains(&status), "{status}");

    let (mut lengths, mut markers) = (Vec::new(), 0);
    for line in lines {
        assert!(!line.contains(&b'\r') && !line.contains(&0), "a line is one line");
        let colon = line.iter().position(|byte| *byte == b':').expect("a name");
        let name = std::str::from_utf8(&line[..colon]).expect("a name is ASCII");
        let value = line[colon + 1..].trim_ascii();
        assert!(!name.is_empty() && !name.contains(' '), "{name:?}");
        assert!(!NEVER.contains(&name), "{name} was replayed");
        match name {
            "content-length" => {
                lengths.push(std::str::from_utf8(value).unwrap().parse::<usize>().unwrap())
            }
            "connection" => assert_eq!(value, b"close"),
            "x-idempotent-result" => markers += usize::from(value == b"true"),
            "x-request-id" | "x-original-request-id" => {
                assert!((1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic));
            }
            "x-should-retry" => assert_eq!((status, value), (409, &b"false"[..])),
            _ => {}
        }
    }
    if matches!(status, 204 | 304) {
        assert!(rest.is_empty() && lengths.len() <= 1, "{status} has no body");
    } else {
        assert_eq!((lengths, rest), (vec![body.len()], body));
    }
    assert!(markers == 1 || status == 409, "a replay is marked");
}
