//! The limits: how much the layer takes of one request, and at one time. What a response may take
//! is in `responses.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::IdempotencyLayer;
use crate::record::key::Scope;
use crate::settings::{QuotaExceeded, QuotaGuard};
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the largest request body in bytes; above it the response is 413. Default: 1 MiB. At 0,
    /// each request with a body gets 413, and the layer logs a warning.
    ///
    /// Over HTTP/1.1 the layer first reads and drops the rest of the body, up to 16 MiB or for 5 s.
    /// A client that sends more may see a broken connection in place of the 413.
    #[must_use]
    pub fn max_request(self, bytes: usize) -> Self {
        self.set(|config| config.max_request = bytes)
    }

    /// Sets how long the layer waits for the next bytes of a request body. Default: 30 s. After
    /// this time the response is 408 ([`Rejection::RequestTimeout`](crate::Rejection)), nothing was
    /// done, and the connection is closed over HTTP/1.1.
    ///
    /// A body that makes progress is not cut off, however long it takes. Lower it where clients are
    /// near, and raise it for clients on bad networks.
    ///
    /// Zero is not "no limit": each body that is not there at once gets 408. Below 10 ms the layer
    /// logs a warning.
    ///
    /// # The order of layers
    ///
    /// The layer reads the whole body of a request with a key before it asks the inner service for
    /// capacity. So an upload that never ends holds nothing inside: no permit of a
    /// `ConcurrencyLimit`, no place in a buffer, no operation in flight.
    ///
    /// A request that passes through is not read. It takes its permit inside at once, and its
    /// handler reads the body as it comes. So four uploads without a key that never end hold all of
    /// `ConcurrencyLimit(4)`. These requests pass through: those without a key, and those with a
    /// method that is not guarded.
    ///
    /// - Put a layer that limits the pauses of a body outside of this one, for example
    ///   `RequestBodyTimeoutLayer` of tower-http. It covers the requests that pass through.
    /// - Limit the total time of a connection in the server or proxy. No layer here ends a body
    ///   that comes byte by byte.
    /// - Set [`require_key`](Self::require_key) where every guarded operation needs a key. A
    ///   request without a key is then rejected before anything inside is asked.
    /// - Limit the connections, or the rate of one client, outside of this layer. The bodies that
    ///   are being read take up to [`max_request`](Self::max_request) bytes each.
    /// - Put limits on what the handlers use, such as connections of a database, inside of this
    ///   layer. Replays and rejections take none of it.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use std::time::Duration;
    /// use tower::ServiceBuilder;
    /// use tower::limit::ConcurrencyLimitLayer;
    ///
    /// let stack = ServiceBuilder::new()
    ///     .layer(
    ///         IdempotencyLayer::new(MemoryStore::new())
    ///             .body_timeout(Duration::from_secs(10))
    ///             .require_key(),
    ///     )
    ///     .layer(ConcurrencyLimitLayer::new(4));
    /// # drop(stack);
    /// ```
    #[must_use]
    pub fn body_timeout(self, patience: Duration) -> Self {
        self.set(|config| config.body_timeout = patience)
    }

    /// Sets how many operations may be in flight at one time, in this process and over all clones
    /// of this layer that are made after this call. Default: any number. No more than
    /// [`Semaphore::MAX_PERMITS`]. At 0, each new operation gets 503, and the layer logs a warning.
    ///
    /// Above the limit a new operation is rejected with 503 and `Retry-After`
    /// ([`Rejection::TooManyInFlight`](crate::Rejection)). A retry whose response is stored still
    /// gets it. An operation is in flight until its record is settled, also without its client.
    ///
    /// In transaction mode the layer does not see what is in flight, so a retry of it is rejected
    /// with 503 too.
    #[must_use]
    pub fn max_in_flight(self, operations: usize) -> Self {
        let limit = Semaphore::new(operations.min(Semaphore::MAX_PERMITS));
        if operations == 0 {
            // It never has a permit, and tells that apart from one that has none left.
            limit.close();
        }
        self.set(|config| config.in_flight_limit = Some(Arc::new(limit)))
    }

    /// Sets how many requests may wait at one time, in this process and over all clones of this
    /// layer that are made after this call. Default: 1,000.
    ///
    /// A request waits for the response of another one under
    /// [`InFlight::Wait`](crate::InFlight::Wait), or for a missed renewal (see
    /// [`lease`](Self::lease)). Above the limit it gets the 409 of
    /// [`InFlight::Reject`](crate::InFlight::Reject) at once. One scope may have a tenth of them,
    /// and at least one. At 0, no request waits.
    #[must_use]
    pub fn max_waiting(self, requests: usize) -> Self {
        self.set(|config| config.budgets.set_max_waiting(requests))
    }

    /// Sets how many bytes may be held at one time, in this process and over all clones of this
    /// layer that are made after this call. Default: 64 MiB. It counts for the bodies of requests
    /// that wait, and once more for responses whose write is retried. One scope may have a tenth of
    /// each, or one body that is larger.
    ///
    /// Above the limit a request does not wait and gets the 409 of
    /// [`InFlight::Reject`](crate::InFlight::Reject). A response is stored without its body: a
    /// retry gets 409 `idempotency_result_not_retained`. At 0, no body is held.
    ///
    /// Requests that run are not counted: [`max_in_flight`](Self::max_in_flight) bounds them.
    #[must_use]
    pub fn max_held_bytes(self, bytes: usize) -> Self {
        self.set(|config| config.budgets.set_max_bytes(bytes))
    }

    /// Asks a quota before an operation begins, with the scope of its request. Default: none.
    ///
    /// The layer holds the value of the quota until the record is settled, and then drops it. So a
    /// guard that counts down when it is dropped counts what one tenant has in flight. An error of
    /// the quota rejects the request with 429 and `Retry-After`
    /// ([`Rejection::QuotaExceeded`](crate::Rejection)).
    ///
    /// The quota is asked before the store. So retries take from it, and a waiting request takes
    /// each time that it looks again. A rejected request is looked up in the store once: if it has
    /// its response already it gets that, because a replay takes no capacity. So a scope above its
    /// quota still costs one query for each request. Bound that by
    /// [`QuotaExceeded::without_look`](crate::QuotaExceeded::without_look).
    ///
    /// A quota for new keys alone is `new_keys_per_minute` (feature `quota`), which bounds these
    /// looks itself.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    /// use tower_idempotency::{QuotaExceeded, Scope};
    ///
    /// struct Running(Scope, Arc<Mutex<HashMap<Scope, usize>>>);
    ///
    /// impl Drop for Running {
    ///     fn drop(&mut self) {
    ///         if let Some(running) = self.1.lock().unwrap().get_mut(&self.0) {
    ///             *running -= 1;
    ///         }
    ///     }
    /// }
    ///
    /// let tenants = Arc::new(Mutex::new(HashMap::new()));
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).quota(move |scope| {
    ///     let mut running = tenants.lock().unwrap();
    ///     let running = running.entry(scope.clone()).or_insert(0);
    ///     if *running == 8 {
    ///         return Err(QuotaExceeded::new(Duration::from_secs(1)));
    ///     }
    ///     *running += 1;
    ///     Ok(Running(scope.clone(), Arc::clone(&tenants)))
    /// });
    /// ```
    #[must_use]
    pub fn quota<P: Send + Sync + 'static>(
        self,
        quota: impl Fn(&Scope) -> Result<P, QuotaExceeded> + Send + Sync + 'static,
    ) -> Self {
        let quota = move |scope: &Scope| quota(scope).map(|given| Box::new(given) as QuotaGuard);
        self.set(|config| config.quota = Some(Arc::new(quota)))
    }
}
