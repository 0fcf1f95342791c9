//! Two processes on one file of SQLite in transaction mode: `sqlite [SECONDS]`.
//!
//! Each process runs clients in a closed loop for SECONDS (default 60). Every request has a new
//! key, and its handler inserts one row and takes some milliseconds. So one of the processes nearly
//! always has the file locked.

// The figures are for people to read.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Sqlite};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_idempotency::store::TxError;
use tower_idempotency::{IdempotencyLayer, Scope, SqliteStore, Tx};

const PROCESSES: usize = 2;

/// The number of clients per process, and the milliseconds that a handler takes.
const ROWS: [(usize, u64); 3] = [(8, 5), (16, 5), (4, 100)];

/// The first argument of a process that the benchmark starts.
const CLIENTS: &str = "clients";

pub(crate) async fn run(arguments: &[&str]) {
    match arguments {
        [CLIENTS, path, clients, handler, seconds] => {
            let seconds = seconds.parse().unwrap();
            be_clients(path, clients.parse().unwrap(), handler.parse().unwrap(), seconds).await;
        }
        [] => table(60).await,
        [seconds] => table(seconds.parse().unwrap()).await,
        _ => panic!("sqlite [SECONDS]"),
    }
}

async fn table(seconds: u64) {
    println!("{PROCESSES} processes on one file, transaction mode, {seconds} s");
    println!(
        "{:9} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} {:>18}",
        "clients",
        "handler",
        "201",
        "503",
        "other",
        "503 %",
        "p50 ms",
        "p99 ms",
        "max ms",
        "one row per key"
    );
    for (clients, handler) in ROWS {
        row(clients, handler, seconds).await;
    }
}

async fn row(clients: usize, handler: u64, seconds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let mut beside = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("CREATE TABLE orders (item TEXT NOT NULL)").execute(&mut beside).await.unwrap();

    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(Process::start(path.to_str().unwrap(), clients, handler, seconds).await);
    }
    for process in &mut processes {
        process.go().await;
    }
    let mut all = Figures::default();
    for process in processes {
        all.add(process.figures().await);
    }
    all.latencies.sort_unstable();
    let at = |part: f64| {
        let place = (part * all.latencies.len() as f64) as usize;
        all.latencies[place.min(all.latencies.len() - 1)] as f64 / 1000.0
    };
    let rows = sqlx::query_as::<_, (i64, i64)>("SELECT count(*), count(DISTINCT item) FROM orders");
    let (rows, keys) = rows.fetch_one(&mut beside).await.unwrap();
    let is_sound = rows == keys && rows as usize == all.created;
    println!(
        "{:9} {:>7} {:>7} {:>7} {:>7} {:>7.2} {:>8.1} {:>8.1} {:>8.1} {:>18}",
        format!("{clients} + {clients}"),
        format!("{handler} ms"),
        all.created,
        all.unavailable,
        all.other,
        100.0 * all.unavailable as f64 / all.latencies.len() as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        if is_sound { format!("yes ({rows})") } else { format!("NO ({rows} rows)") }
    );
}

#[derive(Default)]
struct Figures {
    created: usize,
    unavailable: usize,
    other: usize,
    /// In microseconds.
    latencies: Vec<u64>,
}

impl Figures {
    fn count(&mut self, status: StatusCode, latency: Duration) {
        match status {
            StatusCode::CREATED => self.created += 1,
            StatusCode::SERVICE_UNAVAILABLE => self.unavailable += 1,
            _ => self.other += 1,
        }
        self.latencies.push(latency.as_micros() as u64);
    }

    fn add(&mut self, other: Self) {
        self.created += other.created;
        self.unavailable += other.unavailable;
        self.other += other.other;
        self.latencies.extend(other.latencies);
    }
}

/// A child process.
struct Process(Child);

impl Process {
    /// Starts a process, and waits until it has opened the file.
    async fn start(path: &str, clients: usize, handler: u64, seconds: u64) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["sqlite", CLIENTS, path])
            .args([clients.to_string(), handler.to_string(), seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = Self(child.unwrap());
        let mut ready = [0];
        let stdout = process.0.stdout.as_mut().unwrap();
        tokio::io::AsyncReadExt::read_exact(stdout, &mut ready).await.unwrap();
        process
    }

    async fn go(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    }

    async fn figures(mut self) -> Figures {
        let mut figures = Figures::default();
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((status, micros)) = line.split_once(' ') {
                let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
                figures.count(status, Duration::from_micros(micros.parse().unwrap()));
            }
        }
        assert!(self.0.wait().await.unwrap().success());
        figures
    }
}

/// Sends requests until the time is over. Then prints the status and the microseconds of each.
async fn be_clients(path: &str, clients: usize, handler: u64, seconds: u64) {
    let store = SqliteStore::open(path).await.unwrap().in_transaction();
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).require_key();
    let order = move |tx, item| order(tx, item, Duration::from_millis(handler));
    let app = Router::new().route("/", post(order)).layer(layer);
    println!();
    let mut go = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut go).await.unwrap();

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        tasks.spawn(be_client(app.clone(), client, end));
    }
    for (status, latency) in tasks.join_all().await.into_iter().flatten() {
        println!("{} {}", status.as_u16(), latency.as_micros());
    }
}

async fn be_client(app: Router, client: usize, end: Instant) -> Vec<(StatusCode, Duration)> {
    let process = std::process::id();
    let mut samples = Vec::new();
    while Instant::now() < end {
        let key = format!("{process}-{client}-{}", samples.len());
        let request =
            Request::post("/").header("x-idempotency-key", &key).body(Body::from(key)).unwrap();
        let begun = Instant::now();
        let response = app.clone().oneshot(request).await.unwrap();
        samples.push((response.status(), begun.elapsed()));
    }
    samples
}

async fn order(mut tx: Tx<Sqlite>, item: String, takes: Duration) -> Result<StatusCode, TxError> {
    sqlx::query("INSERT INTO orders (item) VALUES (?1)").bind(item).execute(&mut *tx).await?;
    tokio::time::sleep(takes).await;
    Ok(StatusCode::CREATED)
}
