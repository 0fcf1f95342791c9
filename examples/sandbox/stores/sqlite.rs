use std::error::Error;
use std::time::Duration;

use tower_idempotency::SqliteStore;

use crate::args::Args;
use crate::ledger::sqlite::Payments;
use crate::problem::Problem;
use crate::server;

const SWEEP: Duration = Duration::from_mins(1);

pub(crate) async fn serve(path: &str, args: &Args) -> Result<(), Problem> {
    let store = open(path, args).await?;
    server::serve(store, args.ledger()?, args).await
}

pub(crate) async fn serve_in_transaction(path: &str, args: &Args) -> Result<(), Problem> {
    let store = open(path, args).await?;
    let ledger = Payments::open(path).await.map_err(|error| unusable(args, &error))?;
    server::serve(store.in_transaction(), ledger, args).await
}

async fn open(path: &str, args: &Args) -> Result<SqliteStore, Problem> {
    let store = SqliteStore::open(path).await.map_err(|error| unusable(args, &error))?;
    tokio::spawn(store.sweep_every(SWEEP));
    Ok(store)
}

fn unusable(args: &Args, error: &dyn Error) -> Problem {
    Problem::failed(format_args!("--store {}", args.store), error)
}
