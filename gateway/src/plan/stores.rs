//! The stores of a gateway, which stay open from one plan to the next.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinHandle;
use tower_idempotency::store::DynStore;
use tower_idempotency::{IdempotencyLayer, MemoryStore, PostgresStore, RedisStore, SqliteStore};

const POSTGRES_CONNECTIONS: u32 = 16;
/// Half of the layer's default timeout, so that a late connection can still be used.
const ACQUIRE: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_mins(1);
/// How long to wait before another try to make the table.
const PAUSE: Duration = Duration::from_secs(2);

const FORMS: &str = "a store is redis://HOST:PORT (or rediss, redis+cluster, redis+sentinel), \
                     postgres://…, sqlite:PATH or memory";

/// The open stores, by their addresses.
#[derive(Default)]
pub(crate) struct Stores(HashMap<String, Opened>);

/// A store whose records stay where they are when the file changes.
struct Opened {
    layer: IdempotencyLayer<DynStore>,
    upkeep: Option<JoinHandle<()>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(upkeep) = &self.upkeep {
            upkeep.abort();
        }
    }
}

impl Stores {
    /// A layer over the store with this address.
    ///
    /// # Errors
    ///
    /// If the address is malformed, or an SQLite file cannot be opened. The text contains no password.
    pub(super) async fn open(&mut self, url: &str) -> Result<IdempotencyLayer<DynStore>, String> {
        if let Some(opened) = self.0.get(url) {
            return Ok(opened.layer.clone());
        }
        let (store, upkeep) = open(url).await?;
        let layer = IdempotencyLayer::new(store);
        self.0.insert(url.to_owned(), Opened { layer: layer.clone(), upkeep });
        Ok(layer)
    }

    /// Closes all but these, and returns them.
    pub(super) fn keep(&mut self, urls: &[String]) -> Vec<IdempotencyLayer<DynStore>> {
        self.0.retain(|url, _| urls.contains(url));
        self.0.values().map(|opened| opened.layer.clone()).collect()
    }
}

async fn open(url: &str) -> Result<(DynStore, Option<JoinHandle<()>>), String> {
    if url == "memory" {
        return Ok((DynStore::new(MemoryStore::new()), None));
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        let store = SqliteStore::open(path).await.map_err(|error| told(&error))?;
        let upkeep = tokio::spawn(store.sweep_every(SWEEP));
        return Ok((DynStore::new(store), Some(upkeep)));
    }
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => {
            let options: PgConnectOptions =
                url.parse().map_err(|error: sqlx::Error| told(&error))?;
            // The text of a statement may contain a response.
            let options =
                options.application_name("tower-idempotency-gateway").disable_statement_logging();
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .connect_lazy_with(options);
            let store = PostgresStore::new(pool);
            let upkeep = tokio::spawn(keep_up(store.clone()));
            Ok((DynStore::new(store), Some(upkeep)))
        }
        Some(_) => {
            let store =
                RedisStore::open(url).map_err(|error| format!("{}; {FORMS}", told(&error)))?;
            Ok((DynStore::new(store), None))
        }
        None => Err(FORMS.to_owned()),
    }
}

/// Makes the table as soon as the server can be reached, and sweeps it.
async fn keep_up(store: PostgresStore) {
    while let Err(error) = store.migrate().await {
        tracing::warn!(
            error = %told(&error),
            "the table of the store cannot be made: guarded requests get 503 until it can"
        );
        tokio::time::sleep(PAUSE).await;
    }
    store.sweep_every(SWEEP).await;
}

fn told(error: &(dyn std::error::Error + 'static)) -> String {
    crate::proxy::chain(error)
}
