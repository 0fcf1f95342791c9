//! Every store is held to every row of the tables of the guide `statuses`.

// The contract tests have the same tables and sweep, and use the rest of them.
#[allow(dead_code)]
#[path = "../contract/statuses/cases.rs"]
mod cases;
#[path = "../contract/statuses/sweep.rs"]
mod sweep;
#[allow(dead_code)]
#[path = "../contract/statuses/table.rs"]
mod table;

use self::sweep::{After, sweep};
use crate::support::given::Kind;

async fn holds(kind: Kind, afters: &'static [After]) {
    let given = kind.start().await;
    sweep(given.store().await, cases::all(), afters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_redis() {
    holds(Kind::Redis, &[After::Nothing, After::Abandoned]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_postgres() {
    holds(Kind::Postgres, &[After::Nothing, After::Abandoned]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_sqlite() {
    holds(Kind::Sqlite, &[After::Nothing, After::Abandoned]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_postgres_in_transaction() {
    holds(Kind::PostgresInTransaction, &[After::Nothing, After::Failed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_sqlite_in_transaction() {
    holds(Kind::SqliteInTransaction, &[After::Nothing, After::Failed]).await;
}
