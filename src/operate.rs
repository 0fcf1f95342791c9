//! What the people who run a service do with a layer: end it, look after a key, and check its settings.

use std::future::Future;

use crate::flow::shared::within;
use crate::layer::IdempotencyLayer;
use crate::record::key::{IdempotencyKey, Scope};
use crate::store::{Record, Store, StoreError};

mod check;

pub use check::{CheckItem, CheckResult, Checklist};

impl<St: Store> IdempotencyLayer<St> {
    /// Begins nothing new from now on, and waits for what runs. It covers all clones of the layer,
    /// those with other settings too.
    ///
    /// Every guarded request that comes after the call, or waits for another one's answer, is refused with 503 and
    /// `Retry-After` ([`Rejection::ShuttingDown`](crate::Rejection)); those without a key still pass through. The future
    /// is ready when every attempt has ended and is settled: those whose clients have hung up too, and answers that are
    /// still being written. An operation that waits for capacity of the inner service has not begun: its record is released
    /// and its client gets the 503. The shutdown has no bound of its own, because a handler may take any time; put a
    /// [`timeout`](tokio::time::timeout) around it. To drop the future does not undo the shutdown.
    ///
    /// Call it before the server closes its door, so that clients learn from a 503 that they should ask elsewhere:
    ///
    /// ```
    /// # async fn run(app: axum::Router, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// let layer = IdempotencyLayer::new(MemoryStore::new());
    /// let app = app.route_layer(layer.clone());
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         let _ = tokio::signal::ctrl_c().await;
    ///         layer.shutdown().await;
    ///     })
    ///     .await
    /// # }
    /// ```
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + use<St> {
        self.shared.running.shutdown()
    }

    /// Tells what stands under a client's key: running, abandoned, succeeded or failed, which attempt, and the answer
    /// that was kept. `None` if the key is free. It changes nothing.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// # use tower_idempotency::store::StoreError;
    /// use tower_idempotency::store::State;
    /// use tower_idempotency::{IdempotencyKey, Scope};
    ///
    /// # async fn look(layer: IdempotencyLayer<MemoryStore>, key: IdempotencyKey) -> Result<(), StoreError> {
    /// match layer.inspect(&Scope::new("acct_2"), &key).await? {
    ///     None => println!("free"),
    ///     Some(record) => match record.state {
    ///         State::Pending { abandoned: true } => println!("attempt {} was cut off", record.attempt),
    ///         _ => println!("attempt {}: {}", record.attempt, record.status()),
    ///     },
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store is down, does not answer within the store timeout, or holds a record that cannot be read or
    /// decrypted.
    pub async fn inspect(&self, scope: &Scope, key: &IdempotencyKey) -> Result<Option<Record>, StoreError> {
        let config = &self.config;
        let key = config.storage_key(scope, key);
        let found = within(config.store_timeout, self.shared.store.inspect(&key)).await?;
        found.map(|record| config.unpack(&key, record)).transpose()
    }
}
