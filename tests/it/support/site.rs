//! A store that several processes share, by its URL.

use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tower_idempotency::store::DynStore;
use tower_idempotency::{PostgresStore, RedisStore, SqliteStore};

use super::postgres::PostgresServer;
use super::redis::RedisServer;

/// Keeps the server of a store alive, and tells where it is.
pub(crate) enum Site {
    Redis(RedisServer),
    Postgres(PostgresServer),
    Sqlite(TempDir),
}

impl Site {
    pub(crate) fn redis() -> Self {
        Self::Redis(RedisServer::start())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(PostgresServer::start_migrated())
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Postgres(server) => server.url(),
            Self::Sqlite(directory) => format!("sqlite:{}", directory.path().join("db").display()),
        }
    }
}

/// Opens the store, as each process does.
pub(crate) async fn open(url: &str) -> DynStore {
    match url.split_once(':') {
        Some(("redis", _)) => DynStore::new(RedisStore::open(url).unwrap()),
        Some(("sqlite", path)) => DynStore::new(SqliteStore::open(path).await.unwrap()),
        _ => {
            let pool = PgPoolOptions::new().max_connections(6).connect(url).await.unwrap();
            let store = PostgresStore::new(pool);
            store.migrate().await.unwrap();
            DynStore::new(store)
        }
    }
}
