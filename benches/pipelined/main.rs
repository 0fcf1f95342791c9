//! What a driver that can send several statements at once would bring to the PostgreSQL store.
//!
//! The store uses `sqlx`, which waits for the reply to each statement. The same statements run here
//! on `tokio-postgres` as well, through a network with a delay in each direction. This is a
//! measurement: the store has no such mode.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::pin::Pin;
use std::time::Duration;

mod delay;
mod driver;
// The other benchmark uses the rest of the module.
#[allow(dead_code)]
#[path = "../support/payments.rs"]
mod payments;
// The tests use the rest of the module.
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/postgres/mod.rs"]
mod postgres;

use driver::Driver;
use payments::{Payments, Turn, median};
use postgres::PostgresServer;

const CLIENTS: usize = 16;
const ROUNDS: usize = 7;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
type Work = (&'static str, fn(&'static Bench, usize) -> Boxed);

const WORKS: [Work; 5] = [
    ("its own BEGIN, INSERT, COMMIT", |bench, _| Box::pin(bench.payments.transaction())),
    ("transaction mode, first", |bench, _| Box::pin(bench.payments.first())),
    ("the same, pipelined", |bench, client| Box::pin(bench.drivers[client].attempt())),
    ("reserve and complete", |bench, _| Box::pin(bench.payments.reserve_and_complete())),
    ("the same, on the other driver", |bench, client| {
        Box::pin(bench.drivers[client].reserve_and_complete())
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
        // It lives as long as the tasks of all turns.
        let bench: &'static Bench = Box::leak(Box::new(Bench::new(port).await));
        let mut turns: [[Vec<Turn>; 2]; WORKS.len()] = Default::default();
        for round in 0..=ROUNDS {
            for ((_, work), turns) in WORKS.iter().zip(&mut turns) {
                for (clients, turns) in [1, CLIENTS].into_iter().zip(turns) {
                    let turn = Turn::run(clients, |client| work(bench, client)).await;
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
                1000.0 / median(alone.iter().map(|turn| turn.rate)),
                median(crowd.iter().map(|turn| turn.rate)),
                // The delaying proxy included.
                median(crowd.iter().map(|turn| turn.client)),
            );
        }
    }
}

struct Bench {
    payments: Payments,
    drivers: Vec<Driver>,
}

impl Bench {
    async fn new(port: u16) -> Self {
        let url = postgres::url(port);
        let payments = Payments::new(&url, CLIENTS, &format!("port-{port}")).await;
        let mut drivers = Vec::new();
        for _ in 0..CLIENTS {
            drivers.push(Driver::connect(&url).await);
        }
        Self { payments, drivers }
    }
}
