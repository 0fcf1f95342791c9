//! Where reservations and responses are stored: the [`Store`] trait, its words, and the stores.
//!
#![doc = include_str!("store/writing.md")]

use std::future::Future;
use std::time::Duration;

pub(crate) mod check;
mod conflict;
#[cfg(feature = "conformance")]
pub mod conformance;
mod dynamic;
mod error;
pub(crate) mod lease;
#[cfg(any(feature = "redis", feature = "postgres"))]
mod listener;
pub mod memory;
mod open_transaction;
pub mod operator;
pub(crate) mod pack;
mod record;
#[cfg(feature = "redis")]
pub mod redis;
mod reserve;
mod shared;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod sql;
#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
mod timeout;
mod token;
#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
mod undo;

pub use crate::record::frame::DecodeError;
pub use crate::record::key::{ScopeDigest, StorageKey};
pub use crate::record::label::RecordLabel;
pub use crate::record::outcome::{NotRetained, Outcome, StoredBody};
pub use check::{CheckItem, CheckResult};
pub use conflict::{Conflict, MaybeConflict};
pub use dynamic::DynStore;
pub use error::{StoreError, StoreErrorKind};
pub(crate) use lease::PreviousAttempt;
#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
use lease::millis;
pub use lease::{Lease, Settlement};
pub(crate) use open_transaction::Lent;
pub use open_transaction::OpenTransaction;
use operator::{Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage};
pub use record::{Record, RecordStatus, State};
#[cfg(all(fuzzing, feature = "redis"))]
pub(crate) use redis::fuzzing;
pub use reserve::{PendingRef, Reservation, ReserveRequest, RetryFailed};
#[cfg(feature = "postgres")]
pub use sql::postgres;
#[cfg(feature = "sqlite")]
pub use sql::sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sql::table::{Identifier, InvalidIdentifier};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sql::tx::{TransactionError, TxError};
pub use token::Token;

/// Stores one record for each storage key. See the [module](self) for what an implementation
/// promises.
///
/// # Cancel safety
///
/// A call that is dropped may have taken effect, as when the connection is lost. The stores of this
/// crate undo a dropped `reserve`: they release it as never begun. A reservation that was not
/// undone becomes abandoned when its lease lapses.
///
/// # No `dyn Store`
///
/// For a store that is chosen at run time, use a [`DynStore`]. The bounds `Self: Sized` are there
/// so that the compiler says this about an `Arc<dyn Store>`. An implementation leaves them out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store: it does not implement `Store`",
    label = "is not a store",
    note = "to choose a store at run time, put each choice into a \
            `tower_idempotency::store::DynStore`: `DynStore::new(store)`",
    note = "a URL, a pool or a connection goes into a store, for example `RedisStore::open(url)` \
            or `PostgresStore::new(pool)`"
)]
pub trait Store: Send + Sync + 'static {
    /// Acquires the key for a new attempt, or returns the record that is there.
    fn reserve(
        &self,
        request: &ReserveRequest,
    ) -> impl Future<Output = Result<Reservation, StoreError>> + Send
    where
        Self: Sized;

    /// Makes the record `success` and stores the response for `retention`. Writes the record if it
    /// is gone and the key is free.
    fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send
    where
        Self: Sized;

    /// Makes the record `failed` for `retention`, with the failed response if there was one. Writes
    /// the record if it is gone and the key is free.
    fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send
    where
        Self: Sized;

    /// Ends an attempt in which nothing happened. After a first attempt the record is deleted and
    /// the key is free. After a later one the record becomes what [`Lease::put_back`] says: what it
    /// was before, with the token that it had then and the number of this attempt. It stays for
    /// [`Lease::retention`]. Its owner from then may be late: a `complete` or `fail` under that
    /// token then leaves the number as it is.
    fn release(&self, lease: &Lease) -> impl Future<Output = Result<Settlement, StoreError>> + Send
    where
        Self: Sized;

    /// Starts the lease and the retention of the pending record anew.
    ///
    /// A lease of zero ([`Lease::lease`]) has lapsed at once: the attempt gives it up, and the
    /// record is abandoned for every request from then on. This wakes the waiters.
    fn renew(&self, lease: &Lease) -> impl Future<Output = Result<Settlement, StoreError>> + Send
    where
        Self: Sized;

    /// Returns the record of a key, and changes nothing. Operators use it, and the layer uses it to
    /// find the response of an attempt that has overtaken its own. The record may change at once,
    /// so no write may depend on it.
    fn inspect(
        &self,
        key: &StorageKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send
    where
        Self: Sized;

    /// Waits until the pending record that `seen` was read from may have changed, or its lease may
    /// have lapsed, or `bound` has passed. The caller then reserves again. A store that cannot wake
    /// its waiters waits for a time that grows with `round`, the number of waits so far.
    /// A wait that ends at once would make its caller ask without a pause.
    fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send
    where
        Self: Sized,
    {
        let _ = seen;
        let pause = Duration::from_millis(10 << round.min(5));
        async move {
            tokio::time::sleep(pause.min(bound)).await;
            Ok(())
        }
    }

    /// Passes the layer's [`store_timeout`](crate::IdempotencyLayer::store_timeout), before its
    /// first operation.
    ///
    /// A store that waits for a server, a connection or a lock gives up shortly before, so that its
    /// error tells the cause. If several layers share a store, the longest time counts. Default:
    /// does nothing.
    fn set_timeout(&self, timeout: Duration) {
        let _ = timeout;
    }

    /// Whether other processes and services may use the same records. Default: `true`.
    ///
    /// A layer without a [`namespace`](crate::IdempotencyLayer::namespace) on a shared store logs a
    /// warning. Return `false` from a store that lives and ends with its process, and forward the
    /// call in a store that wraps another one.
    fn is_shared(&self) -> bool {
        true
    }

    /// Whether a layer may run operations without a record while this store is down, if it is set
    /// to [`FailOpenRiskingDoubleEffects`](crate::OnOutage::FailOpenRiskingDoubleEffects). Default:
    /// `true`.
    ///
    /// Say `false` if requests that take long can make the store slower than its timeout: a store
    /// that holds a connection or a lock for as long as a handler runs. One such request would open
    /// the layer for all.
    fn opens_in_outage(&self) -> bool {
        true
    }

    /// Whether the store limits what one scope may store, so that it may reject a reservation as
    /// [`ScopeFull`](StoreErrorKind::ScopeFull). Default: `true`.
    ///
    /// The layer only documents the rejection (`IdempotencyLayer::openapi`). Forward the call in a
    /// store that wraps another one.
    fn limits_scopes(&self) -> bool {
        true
    }

    /// Whether attempts may run in a transaction of the store
    /// ([`Lease::transaction`]). Default: `true`.
    ///
    /// The layer only documents the rejections of transaction mode (`IdempotencyLayer::openapi`).
    /// Forward the call in a store that wraps another one.
    fn opens_transactions(&self) -> bool {
        true
    }

    /// What an operator should know about the server, for
    /// [`IdempotencyLayer::check`](crate::IdempotencyLayer::check). Default: nothing.
    ///
    /// An item with the name of one of the checklist replaces it, for example `eviction`. Forward
    /// the call in a store that wraps another one.
    fn check(&self) -> impl Future<Output = Result<Vec<CheckItem>, StoreError>> + Send
    where
        Self: Sized,
    {
        async { Ok(Vec::new()) }
    }

    /// Returns a page of records, without their responses. For operators. It must not delay
    /// requests: a page reads a bounded number of records. Default:
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn list(
        &self,
        request: &ListRequest,
    ) -> impl Future<Output = Result<ListPage, StoreError>> + Send
    where
        Self: Sized,
    {
        let _ = request;
        async { Err(StoreError::new(StoreErrorKind::Unsupported)) }
    }

    /// Returns the record of a key without its response, and what operators did to it. For
    /// operators. Default: [`Unsupported`](StoreErrorKind::Unsupported).
    fn show(&self, key: &StorageKey) -> impl Future<Output = Result<Shown, StoreError>> + Send
    where
        Self: Sized,
    {
        let _ = key;
        async { Err(StoreError::new(StoreErrorKind::Unsupported)) }
    }

    /// Changes a record as an operator decided: see [`Intervention`]. Default:
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn intervene(
        &self,
        intervention: &Intervention,
    ) -> impl Future<Output = Result<Intervened, StoreError>> + Send
    where
        Self: Sized,
    {
        let _ = intervention;
        async { Err(StoreError::new(StoreErrorKind::Unsupported)) }
    }

    /// Counts the records by state, or a part of them. For operators. Default:
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn stats(
        &self,
        after: Option<&Cursor>,
    ) -> impl Future<Output = Result<StatsPage, StoreError>> + Send
    where
        Self: Sized,
    {
        let _ = after;
        async { Err(StoreError::new(StoreErrorKind::Unsupported)) }
    }

    /// Succeeds if the store replies, for health checks.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send
    where
        Self: Sized;
}
