//! A store of each kind, and an operation to run over it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_idempotency::store::DynStore;
use tower_idempotency::{
    Attempt, ExecuteError, Executed, Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore,
    RedisStore, Scope,
};

use super::databases::{Base, Lite, Pg};
use super::redis::RedisServer;

/// The same checks over each store that leases.
macro_rules! over_every_store_that_leases {
    ($($name:ident)*) => {
        $crate::support::given::over! { memory Memory $($name)* }
        $crate::support::given::over! { redis Redis $($name)* }
        $crate::support::given::over! { postgres Postgres $($name)* }
        $crate::support::given::over! { sqlite Sqlite $($name)* }
    };
}

/// The same checks over each store, in both modes.
macro_rules! over_every_store {
    ($($name:ident)*) => {
        $crate::support::given::over_every_store_that_leases! { $($name)* }
        $crate::support::given::over! { postgres_in_transaction PostgresInTransaction $($name)* }
        $crate::support::given::over! { sqlite_in_transaction SqliteInTransaction $($name)* }
    };
}

/// The checks over one kind of store, in a module of their own.
macro_rules! over {
    ($module:ident $kind:ident $($name:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name($crate::support::given::Kind::$kind).await;
                }
            )*
        }
    };
}

pub(crate) use {over, over_every_store, over_every_store_that_leases};

/// The kinds of store, in both modes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Memory,
    Redis,
    Postgres,
    Sqlite,
    PostgresInTransaction,
    SqliteInTransaction,
}

impl Kind {
    pub(crate) async fn start(self) -> Given {
        match self {
            Self::Memory => Given::Memory(DynStore::new(MemoryStore::new())),
            Self::Redis => Given::Redis(RedisServer::start()),
            Self::Postgres => Given::Postgres(Pg::start().await),
            Self::Sqlite => Given::Sqlite(Lite::start().await),
            Self::PostgresInTransaction => Given::PostgresInTransaction(Pg::start().await),
            Self::SqliteInTransaction => Given::SqliteInTransaction(Lite::start().await),
        }
    }
}

/// A store, and what it needs to live. It is one type for all kinds, because a generic test would
/// be compiled once for each of them.
pub(crate) enum Given {
    Memory(DynStore),
    Redis(RedisServer),
    Postgres(Pg),
    Sqlite(Lite),
    PostgresInTransaction(Pg),
    SqliteInTransaction(Lite),
}

impl Given {
    pub(crate) async fn store(&self) -> DynStore {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Redis(server) => DynStore::new(RedisStore::open(&server.url()).unwrap()),
            Self::Postgres(pg) => DynStore::new(pg.leasing().await),
            Self::Sqlite(lite) => DynStore::new(lite.leasing().await),
            Self::PostgresInTransaction(pg) => DynStore::new(pg.store().await),
            Self::SqliteInTransaction(lite) => DynStore::new(lite.store().await),
        }
    }

    pub(crate) async fn layer(&self) -> IdempotencyLayer<DynStore> {
        layer_over(self.store().await)
    }
}

/// A layer over a database in transaction mode.
pub(crate) async fn in_transaction<B: Base>(base: &B) -> IdempotencyLayer<DynStore> {
    layer_over(DynStore::new(base.store().await))
}

fn layer_over(store: DynStore) -> IdempotencyLayer<DynStore> {
    IdempotencyLayer::new(store).store_timeout(Duration::from_secs(10))
}

type Operation<T> = Box<dyn FnOnce(Attempt) -> Running<T> + Send>;
type Running<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Runs an operation under the key `message`; `what` says what it is. It runs once at most.
pub(crate) async fn execute<T, F>(
    layer: &IdempotencyLayer<DynStore>,
    what: &str,
    operation: impl FnOnce(Attempt) -> F + Send + 'static,
) -> Result<Executed<T>, ExecuteError<String>>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    execute_boxed(layer, what, Box::new(move |attempt| Box::pin(operation(attempt)))).await
}

/// Compiled for each `T` only. The protocol around an operation is much code, and so is its task.
async fn execute_boxed<T>(
    layer: &IdempotencyLayer<DynStore>,
    what: &str,
    operation: Operation<T>,
) -> Result<Executed<T>, ExecuteError<String>>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let key = IdempotencyKey::parse(b"message").unwrap();
    let fingerprint = Fingerprint::of_fields([what.as_bytes()]);
    let mut operation = Some(operation);
    let once = move |attempt| (operation.take().expect("it runs once"))(attempt);
    layer.execute(&Scope::new("account"), &key, fingerprint, once).await
}
