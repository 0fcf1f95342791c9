//! Many requests that wait for the response of one: how long the replays take, and what they cost.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::Redis;
use super::support::process::{OTHER_CORE, Server, flush, quantile};
use super::table::Table;

const MIB: f64 = 1_048_576.0;
const COLUMNS: [&str; 9] = [
    "store",
    "waiters",
    "executions",
    "replays",
    "median replay ms",
    "last replay ms",
    "CPU µs per waiter",
    "and per second of waiting",
    "peak MiB",
];

pub(crate) fn run(most: usize) {
    let redis = Redis::start(&["taskset", "-c", OTHER_CORE]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut table = Table::new("hot", &COLUMNS);
    let url = redis.url();
    for (store, stack) in [("memory", "hot memory"), ("Redis", &format!("hot {url}"))] {
        for waiters in [most / 100, most / 10, most] {
            flush(&redis);
            let mut cells = vec![store.to_owned(), waiters.to_string()];
            cells.extend(runtime.block_on(wait(stack, waiters)));
            table.row(cells);
        }
    }
    table.write();
}

async fn wait(stack: &str, waiters: usize) -> [String; 7] {
    let server = Server::start(&["--serve", stack]);
    let address = &server.address;
    let before = server.process.cpu();
    let first = send(address).await;
    while call(address, "/runs").await != "1" {
        tokio::task::yield_now().await;
    }
    let mut streams = Vec::with_capacity(waiters);
    for _ in 0..waiters {
        streams.push(send(address).await);
    }
    while call(address, "/arrivals").await != (waiters + 1).to_string() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waiting = while_they_wait(&server).await / waiters as f64;
    let end = Instant::now();
    call(address, "/end").await;
    let responses: Vec<_> =
        streams.into_iter().map(|stream| tokio::spawn(response(stream))).collect();
    let (mut times, mut replays) = (Vec::new(), 0);
    for task in responses {
        let (at, text) = task.await.unwrap();
        assert!(text.starts_with("HTTP/1.1 201"), "{text}");
        replays += u32::from(text.contains("x-idempotent-result: true"));
        times.push((at - end).as_secs_f64() * 1e3);
    }
    assert!(response(first).await.1.starts_with("HTTP/1.1 201"));
    let cpu = (server.process.cpu() - before) / waiters as f64;
    [
        call(address, "/runs").await,
        replays.to_string(),
        format!("{:.0}", quantile(&mut times, 0.5)),
        format!("{:.0}", quantile(&mut times, 1.0)),
        format!("{cpu:.0}"),
        format!("{waiting:.1}"),
        format!("{:.0}", server.process.peak_bytes() / MIB),
    ]
}

/// The CPU time of a second in which all wait, in microseconds.
async fn while_they_wait(server: &Server) -> f64 {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.process.cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.process.cpu() - before
}

async fn send(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST /payments HTTP/1.1\r\nHost: localhost\r\nX-Idempotency-Key: hot-key\r\nContent-Length: 200\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{request}{}", "b".repeat(200)).as_bytes()).await.unwrap();
    stream
}

/// When the response was complete, and its text.
async fn response(mut stream: TcpStream) -> (Instant, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    (Instant::now(), text)
}

/// The body of the response to a request without a key.
async fn call(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (_, text) = response(stream).await;
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}
