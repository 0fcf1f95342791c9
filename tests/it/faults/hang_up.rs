//! Over sockets, with processes that share a store: what one was cut off from telling, the other
//! tells.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::pair::Pair;
use crate::support::sandbox::{Sandbox, order, order_with};
use crate::support::{patiently, read_frame};

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// FIN: what is under way is still read.
    Closed,
    /// RST: nothing is.
    Reset,
}

fn hang_up(stream: TcpStream, end: End) {
    if end == End::Reset {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
}

/// Opens a connection and completes a first request on it, so that it stays alive.
async fn connect(sandbox: &Sandbox) -> TcpStream {
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_frame(&mut stream, "ok\n").await;
    stream
}

fn head(key: &str, length: usize, more: &str) -> String {
    format!(
        "POST /payments HTTP/1.1\r\nhost: localhost\r\nx-idempotency-key: {key}\r\n{more}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Draws a moment, a different one for every client of every run.
fn pause(up_to: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_millis(RandomState::new().hash_one(()) % up_to)
}

#[tokio::test]
async fn clients_that_hang_up_at_any_moment_of_an_attempt_find_its_response_at_the_other_process() {
    let pair = Pair::start(&["--lease", "2s"]).await;
    let order = order_with(json!({ "delay_ms": 200, "after_ms": 200 }));
    let body = order.to_string();
    let mut clients = JoinSet::new();
    for number in 0..24 {
        let mut stream = connect(&pair.one).await;
        let request = head(&format!("k{number}"), body.len(), "") + &body;
        stream.write_all(request.as_bytes()).await.unwrap();
        // Each key is one record; when there is one more, this one is reserved.
        patiently(async { while pair.redis.size() <= number {} }).await;
        let end = if number % 2 == 0 { End::Closed } else { End::Reset };
        clients.spawn(async move {
            tokio::time::sleep(pause(400)).await;
            hang_up(stream, end);
        });
    }
    clients.join_all().await;
    for number in 0..24 {
        let response = pair.next(&format!("k{number}"), &order).await;
        assert_eq!(response.status, 201);
        assert!(response.is_replay(), "the handler of {number} was stopped");
        assert_eq!(
            (&response.json()["attempt"], &response.json()["previous"]),
            (&json!(1), &json!(null))
        );
    }
    assert_eq!(pair.other.effects().await.len(), 24);
}

#[tokio::test]
async fn clients_that_hang_up_in_mid_upload_leave_no_record_and_no_effect() {
    let redis = crate::support::redis::RedisServer::start();
    let mut sandbox = Sandbox::start(&["--store", &redis.url()]).await;
    let body = order().to_string();
    for number in 0..24 {
        let mut stream = connect(&sandbox).await;
        let head = head(&format!("k{number}"), body.len(), "expect: 100-continue\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Said when the layer asks for the body.
        let mut go_on = [0; 25];
        patiently(stream.read_exact(&mut go_on)).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        let part = body.len() * number / 24;
        stream.write_all(&body.as_bytes()[..part]).await.unwrap();
        hang_up(stream, if number % 2 == 0 { End::Closed } else { End::Reset });
    }
    assert_eq!(sandbox.effects().await.len(), 0);
    // It ends when every connection has ended on its side too.
    sandbox.signal("TERM");
    assert_eq!(sandbox.ended().await.code(), Some(0));
    assert_eq!(redis.size(), 0);
}

#[tokio::test]
async fn a_client_that_comes_back_after_a_broken_upload_is_the_first() {
    let pair = Pair::start(&[]).await;
    let body = order().to_string();
    for end in [End::Closed, End::Reset] {
        let key = format!("{end:?}");
        let mut stream = connect(&pair.one).await;
        let request = head(&key, body.len(), "") + &body[..body.len() - 1];
        stream.write_all(request.as_bytes()).await.unwrap();
        hang_up(stream, end);
        let response = pair.other.pay(&key, &order()).await;
        assert_eq!((response.status.as_u16(), &response.json()["attempt"]), (201, &json!(1)));
        assert!(!response.is_replay());
    }
    assert_eq!(pair.other.effects().await.len(), 2);
}
