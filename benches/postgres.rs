//! The cost of the PostgreSQL store and of transaction mode, compared with a handler that does only
//! its business write.
//!
//! Sixteen clients run in a closed loop on a pool of sixteen connections. The server has `fsync`
//! and `synchronous_commit` on. The types of work take turns. Ratios are taken within a round, and
//! medians are printed.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
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

// The tests use the rest of the module.
#[allow(dead_code, unused_imports)]
#[path = "../tests/it/support/postgres/mod.rs"]
mod postgres;

use postgres::PostgresServer;

const CLIENTS: u32 = 16;
const TURN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 15;
/// The number of keys that are retried.
const REPEATED: u64 = 64;

type Work = (&'static str, fn(Arc<Bench>) -> futures::Boxed);

#[tokio::main]
async fn main() {
    // Cargo passes its own flags. This benchmark ignores them.
    let server = PostgresServer::start_with(&["fsync=on", "synchronous_commit=on"]);
    let options = PgPoolOptions::new().max_connections(CLIENTS).test_before_acquire(false);
    let pool = options.connect(&server.url()).await.unwrap();
    let bench = Arc::new(Bench::new(pool).await);

    let works: [Work; 6] = [
        ("one INSERT, autocommitted", |bench| Box::pin(async move { bench.insert().await })),
        ("its own BEGIN, INSERT, COMMIT", |bench| {
            Box::pin(async move { bench.transaction().await })
        }),
        ("reserve and complete without a business write", |bench| {
            Box::pin(async move { bench.reserve_and_complete().await })
        }),
        ("replay", |bench| Box::pin(async move { bench.replay().await })),
        ("transaction mode, first", |bench| Box::pin(async move { bench.first().await })),
        ("transaction mode, replay", |bench| {
            Box::pin(async move { bench.replay_of_transaction().await })
        }),
    ];
    let mut turns: [Vec<Turn>; 6] = Default::default();
    for round in 0..=ROUNDS {
        for (work, turns) in works.iter().zip(&mut turns) {
            let turn = turn(&bench, work.1).await;
            // The first round prepares the statements.
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    println!(
        "{:38} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "per second", "of INSERT", "of its own", "client us", "server us"
    );
    for ((name, _), work) in works.iter().zip(&turns) {
        let of = |figure: fn(&Turn) -> f64| median(work.iter().map(figure).collect());
        let ratio = |of: usize| {
            median(work.iter().zip(&turns[of]).map(|(turn, of)| turn.rate / of.rate).collect())
        };
        println!(
            "{name:38} {:>10.0} {:>10.2} {:>10.2} {:>10.0} {:>10.0}",
            of(|turn| turn.rate),
            ratio(0),
            ratio(1),
            of(|turn| turn.client),
            of(|turn| turn.server)
        );
    }
}

struct Turn {
    /// The number per second.
    rate: f64,
    /// The CPU time of this process and of the server per operation, in microseconds.
    client: f64,
    server: f64,
}

/// The CPU time so far of this process and of all PostgreSQL processes, in microseconds.
fn cpu() -> (f64, f64) {
    let own = std::process::id().to_string();
    let (mut client, mut server) = (0.0, 0.0);
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let Some((name, figures)) = stat.rsplit_once(") ") else { continue };
        let ticks =
            figures.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        // A tick is 10 ms on Linux.
        let time = ticks.sum::<f64>() * 10_000.0;
        if process.file_name() == *own {
            client += time;
        } else if name.ends_with("(postgres") {
            server += time;
        }
    }
    (client, server)
}

mod futures {
    use std::pin::Pin;

    pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
}

async fn turn<F: Future<Output = ()> + Send + 'static>(
    bench: &Arc<Bench>,
    work: fn(Arc<Bench>) -> F,
) -> Turn {
    let before = cpu();
    let begun = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|_| {
        let (bench, done) = (Arc::clone(bench), Arc::clone(&done));
        tokio::spawn(async move {
            while begun.elapsed() < TURN {
                work(Arc::clone(&bench)).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let times = f64::from(u32::try_from(done.load(Ordering::Relaxed)).unwrap());
    let rate = times / begun.elapsed().as_secs_f64();
    let after = cpu();
    Turn { rate, client: (after.0 - before.0) / times, server: (after.1 - before.1) / times }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Bench {
    pool: PgPool,
    store: PostgresStore,
    layer: IdempotencyLayer<PostgresTxStore>,
    number: AtomicU64,
}

impl Bench {
    async fn new(pool: PgPool) -> Self {
        let table = "CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint NOT NULL, \
                     receiver text NOT NULL, at timestamptz NOT NULL DEFAULT now())";
        sqlx::query(table).execute(&pool).await.unwrap();
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let layer = IdempotencyLayer::new(store.clone().in_transaction());
        let bench = Self { pool, store, layer, number: AtomicU64::new(REPEATED) };
        for number in 0..REPEATED {
            bench.finish(number).await;
            bench.execute(number).await;
        }
        bench
    }

    fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    async fn insert(&self) {
        pay(&mut self.pool.acquire().await.unwrap()).await;
    }

    async fn transaction(&self) {
        let mut transaction = self.pool.begin().await.unwrap();
        pay(&mut transaction).await;
        transaction.commit().await.unwrap();
    }

    async fn reserve_and_complete(&self) {
        self.finish(self.number()).await;
    }

    async fn finish(&self, number: u64) {
        match self.store.reserve(&reserve(number)).await.unwrap() {
            Reservation::Acquired(lease) => {
                let _ = self.store.complete(&lease, &outcome(), RETENTION).await.unwrap();
            }
            Reservation::Found(_) => panic!("the key is new"),
        }
    }

    async fn replay(&self) {
        match self.store.reserve(&reserve(self.number() % REPEATED)).await.unwrap() {
            Reservation::Found(_) => {}
            Reservation::Acquired(_) => panic!("the key already has a response"),
        }
    }

    async fn first(&self) {
        self.execute(self.number()).await;
    }

    async fn replay_of_transaction(&self) {
        assert!(self.execute(self.number() % REPEATED).await, "the key already has a response");
    }

    /// Runs the whole protocol, from the key to the response. Returns whether it was a replay.
    async fn execute(&self, number: u64) -> bool {
        let key = IdempotencyKey::parse(format!("transaction-{number}").as_bytes()).unwrap();
        let pay = |attempt: Attempt| async move {
            pay(&mut attempt.transaction::<Postgres>().unwrap()).await;
            Ok::<_, std::convert::Infallible>("x".repeat(200))
        };
        let fingerprint = Fingerprint::of_fields(["pay"]);
        self.layer.execute(&Scope::anonymous(), &key, fingerprint, pay).await.unwrap().is_replay
    }
}

const RETENTION: Duration = Duration::from_hours(24);

async fn pay(connection: &mut PgConnection) {
    let insert = sqlx::query("INSERT INTO payments (amount, receiver) VALUES ($1, $2)");
    insert.bind(1200_i64).bind("acct_2").execute(connection).await.unwrap();
}

fn reserve(number: u64) -> ReserveRequest {
    let key = IdempotencyKey::parse(format!("lease-{number}").as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "bench", &Scope::anonymous(), &key),
        Fingerprint::of_fields(["pay"]),
    )
    .lease(Duration::from_secs(10))
    .retention(RETENTION)
}

fn outcome() -> Outcome {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let body = StoredBody::Whole { bytes: vec![b'x'; 200].into(), trailers: None };
    Outcome::new(http::StatusCode::CREATED, body).headers(headers)
}
