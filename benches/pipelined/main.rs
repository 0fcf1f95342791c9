//! What a driver that can send several statements at once would bring to the PostgreSQL store.
//!
//! The store uses `sqlx`, which waits for the reply to each statement. The same statements run here
//! on `tokio-postgres` as well, through a network with a delay in each direction. This is a
//! measurement: the store has no such mode.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Postgres};
use tower_idempotency::store::{
    Outcome, Reservation, ReserveRequest, StorageKey, Store, StoredBody,
};
use tower_idempotency::{
    Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, PostgresStore, PostgresTxStore, Scope,
};

mod delay;
mod driver;
// The tests use the rest of the module.
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/postgres/mod.rs"]
mod postgres;

use driver::Driver;
use postgres::PostgresServer;

const CLIENTS: usize = 16;
const TURN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 7;
const RETENTION: Duration = Duration::from_hours(24);

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
type Work = (&'static str, fn(Arc<Bench>, usize) -> Boxed);

const WORKS: [Work; 5] = [
    ("its own BEGIN, INSERT, COMMIT", |bench, _| {
        Box::pin(async move { bench.transaction().await })
    }),
    ("transaction mode, first", |bench, _| Box::pin(async move { bench.first().await })),
    ("the same, pipelined", |bench, client| {
        Box::pin(async move { bench.drivers[client].attempt().await })
    }),
    ("reserve and complete", |bench, _| {
        Box::pin(async move { bench.reserve_and_complete().await })
    }),
    ("the same, on the other driver", |bench, client| {
        Box::pin(async move { bench.drivers[client].reserve_and_complete().await })
    }),
];

#[tokio::main]
async fn main() {
    let server = PostgresServer::start_with(&["fsync=on", "synchronous_commit=on"]);
    println!(
        "{:8} {:32} {:>12} {:>12} {:>12}",
        "delay ms", "", "ms for one", "per second", "client us"
    );
    for delay in [0, 1, 2] {
        let port = match delay {
            0 => server.port(),
            _ => delay::delayed(server.port(), Duration::from_millis(delay)).await,
        };
        let bench = Arc::new(Bench::new(port).await);
        let mut turns: [[Vec<Turn>; 2]; WORKS.len()] = Default::default();
        for round in 0..=ROUNDS {
            for (work, turns) in WORKS.iter().zip(&mut turns) {
                for (clients, turns) in [1, CLIENTS].into_iter().zip(turns) {
                    let turn = turn(&bench, clients, work.1).await;
                    // The first round prepares the statements.
                    if round > 0 {
                        turns.push(turn);
                    }
                }
            }
        }
        for ((name, _), [alone, crowd]) in WORKS.iter().zip(&turns) {
            println!(
                "{delay:8} {name:32} {:>12.2} {:>12.0} {:>12.0}",
                1000.0 / median(alone, |turn| turn.rate),
                median(crowd, |turn| turn.rate),
                median(crowd, |turn| turn.cpu),
            );
        }
    }
}

struct Turn {
    /// The number per second.
    rate: f64,
    /// The CPU time of this process per operation in microseconds, the delaying proxy included.
    cpu: f64,
}

async fn turn(bench: &Arc<Bench>, clients: usize, work: fn(Arc<Bench>, usize) -> Boxed) -> Turn {
    let (before, begun) = (cpu(), Instant::now());
    let done = Arc::new(AtomicU64::new(0));
    let clients = (0..clients).map(|client| {
        let (bench, done) = (Arc::clone(bench), Arc::clone(&done));
        tokio::spawn(async move {
            while begun.elapsed() < TURN {
                work(Arc::clone(&bench), client).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let times = f64::from(u32::try_from(done.load(Ordering::Relaxed)).unwrap());
    Turn { rate: times / begun.elapsed().as_secs_f64(), cpu: (cpu() - before) / times }
}

/// The CPU time of this process so far, in microseconds. A tick is 10 ms on Linux.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, figures) = stat.rsplit_once(") ").unwrap();
    let ticks = figures.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() * 10_000.0
}

fn median(turns: &[Turn], figure: fn(&Turn) -> f64) -> f64 {
    let mut figures: Vec<_> = turns.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Bench {
    pool: PgPool,
    store: PostgresStore,
    layer: IdempotencyLayer<PostgresTxStore>,
    drivers: Vec<Driver>,
    number: AtomicU64,
}

impl Bench {
    async fn new(port: u16) -> Self {
        let url = postgres::url(port);
        let connections = CLIENTS.try_into().unwrap();
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = options.connect(&url).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                     amount bigint NOT NULL, receiver text NOT NULL, at timestamptz NOT NULL DEFAULT now())";
        sqlx::query(table).execute(&pool).await.unwrap();
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let layer = IdempotencyLayer::new(store.clone().in_transaction());
        let mut drivers = Vec::new();
        for _ in 0..CLIENTS {
            drivers.push(Driver::connect(&url).await);
        }
        let number = AtomicU64::new(u64::from(port) << 32);
        Self { pool, store, layer, drivers, number }
    }

    fn key(&self) -> IdempotencyKey {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        IdempotencyKey::parse(format!("key-{number}").as_bytes()).unwrap()
    }

    async fn transaction(&self) {
        let mut transaction = self.pool.begin().await.unwrap();
        pay(&mut transaction).await;
        transaction.commit().await.unwrap();
    }

    async fn first(&self) {
        let pay = |attempt: Attempt| async move {
            pay(&mut attempt.transaction::<Postgres>().unwrap()).await;
            Ok::<_, std::convert::Infallible>("x".repeat(200))
        };
        let fingerprint = Fingerprint::of_fields(["pay"]);
        let done = self.layer.execute(&Scope::anonymous(), &self.key(), fingerprint, pay).await;
        assert!(!done.unwrap().is_replay);
    }

    async fn reserve_and_complete(&self) {
        let request = ReserveRequest::new(
            StorageKey::derive(None, "bench", &Scope::anonymous(), &self.key()),
            Fingerprint::of_fields(["pay"]),
        )
        .lease(Duration::from_secs(10))
        .retention(RETENTION);
        match self.store.reserve(&request).await.unwrap() {
            Reservation::Acquired(lease) => {
                let _ = self.store.complete(&lease, &outcome(), RETENTION).await.unwrap();
            }
            Reservation::Found(_) => panic!("the key is new"),
        }
    }
}

async fn pay(connection: &mut PgConnection) {
    let insert = sqlx::query("INSERT INTO payments (amount, receiver) VALUES ($1, $2)");
    insert.bind(1200_i64).bind("acct_2").execute(connection).await.unwrap();
}

fn outcome() -> Outcome {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let body = StoredBody::Whole { bytes: vec![b'x'; 200].into(), trailers: None };
    Outcome::new(http::StatusCode::CREATED, body).headers(headers)
}
