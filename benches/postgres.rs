//! The cost of the PostgreSQL store and of transaction mode, compared with a handler that does only
//! its business write.
//!
//! Sixteen clients run in a closed loop on a pool of sixteen connections. The server has `fsync`
//! and `synchronous_commit` on. The types of work take turns. Ratios are taken within a round, and
//! medians are printed.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::pin::Pin;

// The other benchmark uses the rest of the module.
#[allow(dead_code)]
#[path = "support/payments.rs"]
mod payments;
// The tests use the rest of the module.
#[allow(dead_code, unused_imports)]
#[path = "../tests/it/support/postgres/mod.rs"]
mod postgres;

use payments::{Payments, Turn, median};
use postgres::PostgresServer;

const CLIENTS: usize = 16;
const ROUNDS: usize = 15;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
type Work = (&'static str, fn(&'static Payments) -> Boxed);

const WORKS: [Work; 7] = [
    ("one INSERT, autocommitted", |payments| Box::pin(payments.insert())),
    ("its own BEGIN, INSERT, COMMIT", |payments| Box::pin(payments.transaction())),
    ("reserve and complete without a business write", |payments| {
        Box::pin(payments.reserve_and_complete())
    }),
    ("the same with the index for operators", |payments| {
        Box::pin(payments.reserve_and_complete_indexed())
    }),
    ("replay", |payments| Box::pin(payments.replay())),
    ("transaction mode, first", |payments| Box::pin(payments.first())),
    ("transaction mode, replay", |payments| Box::pin(payments.replay_of_transaction())),
];

#[tokio::main]
async fn main() {
    // Cargo passes its own flags. This benchmark ignores them.
    let server = PostgresServer::start_with(&["fsync=on", "synchronous_commit=on"]);
    let payments = Payments::new(&server.url(), CLIENTS, "key").await;
    // It lives as long as the tasks of all turns.
    let payments: &'static Payments = Box::leak(Box::new(payments));

    let mut turns: [Vec<Turn>; WORKS.len()] = Default::default();
    for round in 0..=ROUNDS {
        for ((_, work), turns) in WORKS.iter().zip(&mut turns) {
            let turn = Turn::run(CLIENTS, |_| work(payments)).await;
            // The first round prepares the statements.
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    println!(
        "{:46} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "per second", "of INSERT", "of its own", "client us", "server us"
    );
    for ((name, _), work) in WORKS.iter().zip(&turns) {
        let of = |figure: fn(&Turn) -> f64| median(work.iter().map(figure));
        let ratio =
            |of: usize| median(work.iter().zip(&turns[of]).map(|(turn, of)| turn.rate / of.rate));
        println!(
            "{name:46} {:>10.0} {:>10.2} {:>10.2} {:>10.0} {:>10.0}",
            of(|turn| turn.rate),
            ratio(0),
            ratio(1),
            of(|turn| turn.client),
            of(|turn| turn.server)
        );
    }
}
