use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::timeout;
use tower_idempotency::PostgresStore;

use crate::args::{Args, POSTGRES_CONNECTIONS};
use crate::ledger::postgres::Payments;
use crate::problem::Problem;
use crate::server;

/// The longest wait for a connection at the start.
const START: Duration = Duration::from_secs(5);
const SWEEP: Duration = Duration::from_mins(1);

pub(crate) async fn serve(url: &str, args: &Args) -> Result<(), Problem> {
    // The store detects a lost connection itself, so a test before each operation is not needed.
    let pool = pool().test_before_acquire(false);
    let (store, _) = open(pool, url, args).await?;
    server::serve(store, args.ledger()?, args).await
}

pub(crate) async fn serve_in_transaction(url: &str, args: &Args) -> Result<(), Problem> {
    let (store, pool) = open(pool(), url, args).await?;
    let ledger = Payments::open(pool).await.map_err(|error| unusable(args, &error))?;
    server::serve(store.in_transaction(), ledger, args).await
}

fn pool() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS)
}

async fn open(
    pool: PgPoolOptions,
    url: &str,
    args: &Args,
) -> Result<(PostgresStore, PgPool), Problem> {
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
        let why = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        Problem::Misused(format!("--store {}: {why}", args.store))
    })?;
    // A pool would retry until its timeout, and not report the cause of the failure.
    let reached = timeout(START, async { options.connect().await?.close().await }).await;
    let reached =
        reached.map_err(|_| Problem::Failed(format!("--store {}: no response", args.store)))?;
    reached.map_err(|error| unusable(args, &error))?;

    // A late connection must leave enough time to use it. The store closes a connection when its
    // operation times out. Under load that would happen to nearly all connections, and the pool
    // would never recover from an outage.
    let pool = pool.acquire_timeout(args.store_timeout / 2).connect_lazy_with(options);
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.map_err(|error| unusable(args, &error))?;
    tokio::spawn(store.sweep_every(SWEEP));
    Ok((store, pool))
}

fn unusable(args: &Args, error: &dyn std::error::Error) -> Problem {
    Problem::failed(format_args!("--store {}", args.store), error)
}
