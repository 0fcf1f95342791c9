//! A process killed while it captures a response that has come in part. The sandbox has its
//! responses whole, so the process is this test itself.

use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tower_idempotency::store::DynStore;
use tower_idempotency::{Attempt, IdempotencyLayer, RedisStore};

use crate::support::redis::RedisServer;
use crate::support::{Effects, Server, app, patiently};

const URL: &str = "CRASH_TEST_REDIS";
const STALLS: &str = "CRASH_TEST_STALLS";

/// Ten bytes in two frames. It says so when the second one is asked for, and that one never comes
/// if it stalls.
struct TwoFrames {
    given: usize,
    stalls: bool,
}

impl http_body::Body for TwoFrames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.given == 1 {
            println!("\nat the second frame");
            if self.stalls {
                return Poll::Pending;
            }
        }
        self.given += 1;
        let frame = (self.given <= 2).then(|| Ok(Frame::data(Bytes::from_static(b"half-"))));
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(10 - 5 * self.given.min(2) as u64)
    }
}

#[tokio::test]
#[ignore = "a process that another test starts and kills"]
async fn serves_responses_of_two_frames() {
    let Ok(url) = std::env::var(URL) else { return };
    let stalls = std::env::var(STALLS).is_ok();
    let router = app(&Effects::new(), move |request| async move {
        let attempt = request.extensions().get::<Attempt>().unwrap();
        println!("\nran attempt {} after {:?}", attempt.number(), attempt.previous());
        Body::new(TwoFrames { given: 0, stalls })
    });
    let store = DynStore::new(RedisStore::open(&url).unwrap());
    let layer = IdempotencyLayer::new(store).namespace("crash").lease(Duration::from_millis(300));
    let server = Server::start(router.layer(layer)).await;
    println!("\nlistening on {}", server.address());
    std::future::pending::<()>().await;
}

/// The process above.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Process {
    async fn start(redis: &RedisServer, stalls: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "faults::crash::capture::serves_responses_of_two_frames";
        command.args(["--ignored", "--nocapture", "--exact", test]).env(URL, redis.url());
        if stalls {
            command.env(STALLS, "1");
        }
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines, address: String::new() };
        process.address = process.says("listening on ").await;
        process
    }

    /// Waits for a line that begins so, and gives the rest of it.
    async fn says(&mut self, beginning: &str) -> String {
        let look = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the process has ended");
                if let Some(rest) = line.strip_prefix(beginning) {
                    return rest.to_owned();
                }
            }
        };
        patiently(look).await
    }
}

/// Sends the one request of this test, and reads until the server closes; empty if it was killed.
async fn post(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: localhost\r\nx-idempotency-key: k\r\nconnection: close\r\n\
                   content-length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    let _ = patiently(stream.read_to_string(&mut response)).await;
    response
}

#[tokio::test]
async fn at_await_4_the_work_is_done_and_the_next_attempt_knows_of_one_that_was_cut_off() {
    let redis = RedisServer::start();
    let mut one = Process::start(&redis, true).await;
    let mut other = Process::start(&redis, false).await;

    let address = one.address.clone();
    let first = async {
        assert_eq!(one.says("ran attempt ").await, "1 after None");
        one.says("at the second frame").await;
        one.child.kill().await.unwrap();
    };
    let request = post(&address);
    let (response, ()) = tokio::join!(request, first);
    assert_eq!(response, "", "a client must not see a response that was not stored");
    assert_eq!(redis.statuses(), ["P"]);

    let second = loop {
        let response = post(&other.address).await;
        if !response.contains("idempotency_key_in_flight") {
            break response;
        }
    };
    assert_eq!(other.says("ran attempt ").await, "2 after Some(Abandoned)");
    assert!(
        second.starts_with("HTTP/1.1 200") && second.ends_with("\r\n\r\nhalf-half-"),
        "{second}"
    );
    assert_eq!(redis.statuses(), ["S"]);
    let replay = post(&other.address).await;
    assert!(
        replay.contains("x-idempotent-result: true") && replay.ends_with("half-half-"),
        "{replay}"
    );
}
