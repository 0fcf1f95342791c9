//! A store of each kind, and an operation to run over it.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_idempotency::store::DynStore;
use tower_idempotency::{
    Attempt, ExecuteError, Executed, Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore, RedisStore,
    Scope,
};

use crate::support::redis::RedisServer;
use crate::transaction::given::{Base, Lite, Pg};

/// A store, and what it needs to live.
pub(crate) trait Given: Send + Sized {
    async fn start() -> Self;

    async fn store(&self) -> DynStore;

    async fn layer(&self) -> IdempotencyLayer<DynStore> {
        IdempotencyLayer::new(self.store().await).store_timeout(Duration::from_secs(10))
    }
}

pub(crate) struct Memory(DynStore);

impl Given for Memory {
    async fn start() -> Self {
        Self(DynStore::new(MemoryStore::new()))
    }

    async fn store(&self) -> DynStore {
        self.0.clone()
    }
}

pub(crate) struct Redis(RedisServer);

impl Given for Redis {
    async fn start() -> Self {
        Self(RedisServer::start())
    }

    async fn store(&self) -> DynStore {
        DynStore::new(RedisStore::open(&self.0.url()).unwrap())
    }
}

/// A database whose store leases.
pub(crate) struct Leasing<B>(B);

impl<B: Base> Given for Leasing<B> {
    async fn start() -> Self {
        Self(B::start().await)
    }

    async fn store(&self) -> DynStore {
        DynStore::new(self.0.leasing().await)
    }
}

impl Given for Pg {
    async fn start() -> Self {
        <Self as Base>::start().await
    }

    async fn store(&self) -> DynStore {
        DynStore::new(Base::store(self).await)
    }
}

impl Given for Lite {
    async fn start() -> Self {
        <Self as Base>::start().await
    }

    async fn store(&self) -> DynStore {
        DynStore::new(Base::store(self).await)
    }
}

/// Runs an operation under the key `message`; `what` says what it is. It runs once at most.
pub(crate) async fn execute<T, F>(
    layer: &IdempotencyLayer<DynStore>,
    what: &str,
    operation: impl FnOnce(Attempt) -> F + Send + 'static,
) -> Result<Executed<T>, ExecuteError<String>>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: Future<Output = Result<T, String>> + Send,
{
    let key = IdempotencyKey::parse(b"message").unwrap();
    let fingerprint = Fingerprint::of_fields([what.as_bytes()]);
    let mut operation = Some(operation);
    let once = move |attempt| (operation.take().expect("it runs once"))(attempt);
    layer.execute(&Scope::new("account"), &key, fingerprint, once).await
}
