//! The work of the benchmarks on PostgreSQL, and what a turn of it costs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Postgres};
use tower_idempotency::store::{
    Identifier, Outcome, Reservation, ReserveRequest, StorageKey, Store, StoredBody,
};
use tower_idempotency::{
    Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, PostgresStore, PostgresTxStore, Scope,
};

/// How long a turn of one type of work takes.
const TURN: Duration = Duration::from_millis(500);
/// The number of keys that are retried.
const REPEATED: u64 = 64;
const RETENTION: Duration = Duration::from_hours(24);

/// What one turn has cost.
pub(crate) struct Turn {
    /// The number per second.
    pub(crate) rate: f64,
    /// The CPU time of this process and of the server per operation, in microseconds.
    pub(crate) client: f64,
    pub(crate) server: f64,
}

impl Turn {
    /// Runs one type of work in a closed loop with so many clients. `work` gets the number of its
    /// client.
    pub(crate) async fn run<F>(
        clients: usize,
        work: impl Fn(usize) -> F + Copy + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (before, begun) = (cpu(), Instant::now());
        let done = Arc::new(AtomicU64::new(0));
        let clients = (0..clients).map(|client| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                while begun.elapsed() < TURN {
                    work(client).await;
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
        Self { rate, client: (after.0 - before.0) / times, server: (after.1 - before.1) / times }
    }
}

/// The CPU time so far of this process and of all PostgreSQL processes, in microseconds. A tick is
/// 10 ms on Linux.
fn cpu() -> (f64, f64) {
    let own = std::process::id().to_string();
    let (mut client, mut server) = (0.0, 0.0);
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let Some((name, figures)) = stat.rsplit_once(") ") else { continue };
        let ticks =
            figures.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        let time = ticks.sum::<f64>() * 10_000.0;
        if process.file_name() == *own {
            client += time;
        } else if name.ends_with("(postgres") {
            server += time;
        }
    }
    (client, server)
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A business write, alone and behind the store in both of its modes.
pub(crate) struct Payments {
    pool: PgPool,
    store: PostgresStore,
    /// The same in a table with the index for operators.
    indexed: PostgresStore,
    layer: IdempotencyLayer<PostgresTxStore>,
    /// The keys of several of these in one database begin with different names.
    name: String,
    number: AtomicU64,
}

impl Payments {
    /// Makes the tables, unless they are there.
    pub(crate) async fn new(url: &str, connections: usize, name: &str) -> Self {
        let connections = connections.try_into().unwrap();
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = options.connect(url).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                     amount bigint NOT NULL, receiver text NOT NULL, at timestamptz NOT NULL DEFAULT now())";
        sqlx::query(table).execute(&pool).await.unwrap();
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let indexed = Identifier::new("indexed_records").unwrap();
        let indexed = PostgresStore::new(pool.clone()).table(indexed).operator_index();
        indexed.migrate().await.unwrap();
        let layer = IdempotencyLayer::new(store.clone().in_transaction());
        let number = AtomicU64::new(REPEATED);
        let payments = Self { pool, store, indexed, layer, name: name.to_owned(), number };
        for number in 0..REPEATED {
            payments.finish(number).await;
            payments.execute(number).await;
        }
        payments
    }

    fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    fn key(&self, number: u64) -> IdempotencyKey {
        IdempotencyKey::parse(format!("{}-{number}", self.name).as_bytes()).unwrap()
    }

    pub(crate) async fn insert(&self) {
        pay(&mut self.pool.acquire().await.unwrap()).await;
    }

    pub(crate) async fn transaction(&self) {
        let mut transaction = self.pool.begin().await.unwrap();
        pay(&mut transaction).await;
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn reserve_and_complete(&self) {
        self.finish(self.number()).await;
    }

    pub(crate) async fn reserve_and_complete_indexed(&self) {
        self.finish_in(&self.indexed, self.number()).await;
    }

    async fn finish(&self, number: u64) {
        self.finish_in(&self.store, number).await;
    }

    async fn finish_in(&self, store: &PostgresStore, number: u64) {
        match self.reserve_in(store, number).await {
            Reservation::Acquired(lease) => {
                let _ = store.complete(&lease, &outcome(), RETENTION).await.unwrap();
            }
            Reservation::Found(_) => panic!("the key is new"),
        }
    }

    pub(crate) async fn replay(&self) {
        match self.reserve_in(&self.store, self.number() % REPEATED).await {
            Reservation::Found(_) => {}
            Reservation::Acquired(_) => panic!("the key already has a response"),
        }
    }

    async fn reserve_in(&self, store: &PostgresStore, number: u64) -> Reservation {
        let key = StorageKey::derive(None, "lease", &Scope::anonymous(), &self.key(number));
        let request = ReserveRequest::new(key, Fingerprint::of_fields(["pay"]))
            .lease(Duration::from_secs(10))
            .retention(RETENTION);
        store.reserve(&request).await.unwrap()
    }

    pub(crate) async fn first(&self) {
        assert!(!self.execute(self.number()).await, "the key is new");
    }

    pub(crate) async fn replay_of_transaction(&self) {
        assert!(self.execute(self.number() % REPEATED).await, "the key already has a response");
    }

    /// Runs the whole protocol, from the key to the response. Returns whether it was a replay.
    async fn execute(&self, number: u64) -> bool {
        let pay = |attempt: Attempt| async move {
            pay(&mut attempt.transaction::<Postgres>().unwrap()).await;
            Ok::<_, std::convert::Infallible>("x".repeat(200))
        };
        let (key, fingerprint) = (self.key(number), Fingerprint::of_fields(["pay"]));
        self.layer.execute(&Scope::anonymous(), &key, fingerprint, pay).await.unwrap().is_replay
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
