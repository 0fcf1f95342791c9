//! For operators: shut a layer down, check its settings, and find and settle records.
//!
//! [`Operator`] lists the operations that are stuck or in doubt, shows what happened to one, and
//! settles it by hand.

use std::future::Future;

use crate::flow::shared::within;
use crate::layer::IdempotencyLayer;
use crate::record::key::{IdempotencyKey, Scope};
use crate::store::{Record, Store, StoreError};

mod check;
mod operator;

pub use crate::flow::events::{Event, EventKind, LeaseLoss, NotStored, Notice};
pub use crate::record::trace::{InvalidTraceContext, TraceContext};
pub use crate::store::{CheckItem, CheckResult};
pub use check::Checklist;
pub use operator::{
    Erased, InvalidResponse, InvalidText, Operator, OperatorError, Settle, Settled, ShownRecord,
};

impl<St: Store> IdempotencyLayer<St> {
    /// Stops new operations at once, and waits until the running ones have ended. It covers all
    /// clones of the layer, also clones with other settings.
    ///
    /// After the call the layer rejects these requests with 503 and `Retry-After`
    /// ([`Rejection::ShuttingDown`](crate::Rejection)):
    ///
    /// - Every guarded request that arrives after the call. Requests without a key still pass
    ///   through.
    /// - Every request that waits for the response of another one.
    /// - Every operation that waits for capacity of the inner service. It has not begun, so the
    ///   layer releases its record.
    ///
    /// The future is ready when every attempt has ended and its record is written. This includes
    /// attempts whose clients have hung up, and writes that are retried in the background.
    ///
    /// Then it waits until each subscriber of [`on_event`](Self::on_event) has been told everything.
    ///
    /// The shutdown has no time limit, because a handler may take any time. Put a
    /// [`timeout`](tokio::time::timeout) around it. Dropping the future does not undo the shutdown.
    ///
    /// Call it before the server stops accepting connections. Clients then learn from a 503 that
    /// they should use another instance:
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
        let ended = self.shared.running.shutdown();
        let drained = self.shared.observer.events.drained();
        async move {
            ended.await;
            drained.await;
        }
    }

    /// Succeeds if the store replies within the store timeout, for health checks. It changes nothing.
    ///
    /// # Errors
    ///
    /// If the store is down or does not reply in time.
    pub async fn ping(&self) -> Result<(), StoreError> {
        within(self.config.store_timeout, self.shared.store.ping()).await
    }

    /// Reads the record of a client's key: running, abandoned, succeeded or failed, the number of
    /// the attempt, and the stored response. `None` if the key is free. It changes nothing.
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
    /// If the store is down, if it does not reply within the store timeout, or if the record cannot
    /// be read or decrypted.
    pub async fn inspect(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        let config = &self.config;
        let key = config.storage_key(scope, key);
        let found = within(config.store_timeout, self.shared.store.inspect(&key)).await?;
        found.map(|record| config.unpack(&key, record)).transpose()
    }
}
