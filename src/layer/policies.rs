//! The policies, and how long things take. Limits are in `limits.rs`.

use std::time::Duration;

use super::IdempotencyLayer;
use crate::http::rejection::OnMismatch;
use crate::runtime::task::LONGEST_WAIT;
use crate::settings::{InFlight, OnAbandoned, OnFailed, OnOutage};
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets how long an attempt counts as alive without a renewal. Default: 10 s. No less than 3
    /// ms, no more than a year.
    ///
    /// A short lease makes a running operation look abandoned after a short pause of its process or
    /// of the store. A retry then runs beside it. Below 100 ms the layer logs a warning.
    ///
    /// The lease is renewed at each third while the handler runs, so a handler may take any time. A
    /// crash is noticed when the lease lapses.
    ///
    /// The next request then waits for one missed renewal, a third of the lease, and looks again.
    /// [`InFlight::Wait`] limits this wait too; a retry goes on where the request stopped waiting.
    /// The reason: a store judges leases by its own clock, and a clock may step forward. What
    /// remains: a step beyond the retention makes the record expire while its attempt runs.
    ///
    /// A handler that blocks its thread keeps its lease while another worker is free; on a
    /// current-thread runtime it does not.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set(|config| config.lease = lease.clamp(Duration::from_millis(3), LONGEST_WAIT))
    }

    /// Sets how long a response is stored. Default: 24 h. No less than 1 ms.
    ///
    /// A retry that comes later is a new operation, and so a second payment. Zero is not "no
    /// limit". Below 1 s the layer logs a warning.
    ///
    /// Clones share the store and have settings of their own, so each route can have its own
    /// retention. A handler can give one response its own by a
    /// [`ResponseDirective`](crate::ResponseDirective).
    ///
    /// Clones share the key space too: a key that was used on two routes is a mismatch. Give each
    /// route its own [`namespace`](Self::namespace):
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use axum::{Router, routing::post};
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// # async fn pay() {}
    /// # async fn quote() {}
    /// let guard = IdempotencyLayer::new(MemoryStore::new());
    /// let payments = guard.clone().namespace("payments").retention(Duration::from_hours(30 * 24));
    /// let quotes = guard.namespace("quotes").retention(Duration::from_mins(10));
    /// let app: Router = Router::new()
    ///     .route("/payments", post(pay).layer(payments))
    ///     .route("/quotes", post(quote).layer(quotes));
    /// ```
    ///
    /// On a route, `.layer(a).layer(b)` makes b the outer one, while
    /// `ServiceBuilder::new().layer(a).layer(b)` makes a the outer one. For a route with its own
    /// `TimeoutLayer` inside, use `ServiceBuilder::new().layer(guard).layer(timeout)`.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|config| config.retention = retention.max(Duration::from_millis(1)))
    }

    /// Sets how long each operation of the store may take. Default: 2 s. Zero is not "no limit": a
    /// store outside of the process then counts as down. Below 10 ms the layer logs a warning.
    ///
    /// A reservation that takes longer is rejected with 503. A response whose write takes longer
    /// is written again in the background. It goes to the client as soon as that succeeds, and
    /// after once more this time in any case.
    ///
    /// In transaction mode the client gets 503 `idempotency_commit_unconfirmed` instead, and the
    /// store rolls back unless it is already committing.
    ///
    /// The stores of this crate wait within this time:
    ///
    /// - Redis: all of it.
    /// - PostgreSQL: half for a connection, three quarters for the lock of a claim in transaction
    ///   mode, all of it for the whole operation.
    /// - SQLite: up to 100 ms less.
    ///
    /// Layers that share a store share the longest value for these waits.
    #[must_use]
    pub fn store_timeout(self, bound: Duration) -> Self {
        self.set(|config| config.store_timeout = bound)
    }

    /// Sets the response when the key is in flight. Default: [`InFlight::Reject`].
    #[must_use]
    pub fn in_flight(self, policy: InFlight) -> Self {
        self.set(|config| config.policies.in_flight = policy)
    }

    /// Sets the response to a retry of an attempt that failed. Default: [`OnFailed::Rerun`].
    #[must_use]
    pub fn on_failed(self, policy: OnFailed) -> Self {
        self.set(|config| config.policies.on_failed = policy)
    }

    /// Sets the response to a retry of an attempt that was cut off. Default:
    /// [`OnAbandoned::Rerun`].
    #[must_use]
    pub fn on_abandoned(self, policy: OnAbandoned) -> Self {
        self.set(|config| config.policies.on_abandoned = policy)
    }

    /// Sets the response to a request while the store is down. Default: [`OnOutage::FailClosed`].
    #[must_use]
    pub fn on_outage(self, policy: OnOutage) -> Self {
        self.set(|config| config.policies.on_outage = policy)
    }

    /// Sets the status when the key belongs to another request. Default: [`OnMismatch::Conflict`],
    /// 409.
    #[must_use]
    pub fn on_mismatch(self, status: OnMismatch) -> Self {
        self.set(|config| config.policies.on_mismatch = status)
    }

    /// Sets how many times the handler, or the operation of [`execute`](Self::execute), is called
    /// again after a conflict. Another transaction was then in the way of its own: a serialization
    /// failure or a deadlock. Each call has a new transaction.
    ///
    /// Transaction mode only. Default: 0, and the client gets 409 with `Retry-After`.
    ///
    /// The request is copied for it, its extensions included.
    ///
    /// [`guide::exactly_once`](crate::guide::exactly_once#conflicts) lists where the layer finds a
    /// conflict. [`Attempt::report_conflict`](crate::Attempt::report_conflict) tells it of others.
    #[must_use]
    pub fn retry_conflicts(self, times: u32) -> Self {
        self.set(|config| config.policies.retry_conflicts = times)
    }

    /// Sets what `Retry-After` says on a 409 in flight and on a 503, in whole seconds. Default: 1
    /// s, which is also the least.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.set(|config| config.policies.retry_after = after)
    }
}
