//! Which stores the settings choose, and their tables.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, PgPool, Postgres, Sqlite};
use tokio::time::timeout;
use tower_idempotency::store::{DynStore, StoreError};
use tower_idempotency::{MemoryStore, PostgresStore, RedisStore, SqliteStore};

use crate::error::with_causes;
use crate::orders;
use crate::settings::Settings;

const SWEEP: Duration = Duration::from_mins(5);

/// The store of the records of payments. It does not connect yet.
pub(crate) fn payments(settings: &Settings) -> Result<DynStore, String> {
    let wrong = |error: StoreError| format!("REDIS_URL: {}", with_causes(&error));
    Ok(match &settings.redis_url {
        Some(url) => DynStore::new(RedisStore::open(url).map_err(wrong)?),
        None => DynStore::new(MemoryStore::new()),
    })
}

/// Orders on one of the databases.
pub(crate) struct Orders {
    pub(crate) store: DynStore,
    pub(crate) routes: Router,
    /// Deletes expired rows. Redis and the memory store need no sweep.
    pub(crate) sweep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

pub(crate) async fn orders(settings: &Settings) -> Result<Orders, Box<dyn Error>> {
    if let Some(url) = &settings.database_url {
        let store = PostgresStore::new(connect(url).await?);
        let (routes, sweep) = (orders::routes::<Postgres>(), Box::pin(store.sweep_every(SWEEP)));
        return Ok(Orders { store: DynStore::new(store.in_transaction()), routes, sweep });
    }
    // The file belongs to this service, so its tables can be made at each start.
    let store = SqliteStore::open(&settings.sqlite_file).await?;
    let options = SqliteConnectOptions::new().filename(&settings.sqlite_file);
    options.connect().await?.execute(include_str!("orders/sqlite.sql")).await?;
    let (routes, sweep) = (orders::routes::<Sqlite>(), Box::pin(store.sweep_every(SWEEP)));
    Ok(Orders { store: DynStore::new(store.in_transaction()), routes, sweep })
}

/// Makes the tables in PostgreSQL. A step of the deployment: the service itself needs no right to
/// create.
pub(crate) async fn migrate(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let pool = connect(settings.database_url.as_deref().ok_or("DATABASE_URL is not set")?).await?;
    PostgresStore::new(pool.clone()).migrate().await?;
    pool.execute(include_str!("orders/postgres.sql")).await?;
    Ok(())
}

/// Connects once, because a pool retries and then hides the cause. Each running order holds one
/// connection.
async fn connect(url: &str) -> Result<PgPool, String> {
    let options: PgConnectOptions =
        url.parse().map_err(|error| format!("DATABASE_URL: {error}"))?;
    let server = format!("DATABASE_URL, {}:{}", options.get_host(), options.get_port());
    let connected = timeout(Duration::from_secs(5), options.connect()).await;
    let connected = connected.map_err(|_| format!("{server}: it does not reply"))?;
    connected.map_err(|error| format!("{server}: {error}"))?;
    Ok(PgPoolOptions::new().max_connections(16).connect_lazy_with(options))
}
