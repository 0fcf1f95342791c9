//! The store for one process: sharded, expiring and bounded. It never evicts a live record.
//!
//! Each scope has a share of it, so one caller does not lock the others out.
//!
//! Its clock is tokio's monotonic clock, so tests may pause it. Requests remove expired records.
//! Nothing runs in the background.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::operator::{Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage};
use super::{
    Lease, PendingRef, Record, Reservation, ReserveRequest, Settlement, Store, StoreError, Token,
};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;

mod capacity;
mod claim;
mod hash;
#[cfg(all(test, idempotency_loom))]
mod interleavings;
mod limits;
mod operator;
mod search;
mod second;
mod shard;
mod share;
mod slot;
#[cfg(not(all(test, idempotency_loom)))]
mod sync;
#[cfg(test)]
mod tests;
mod transitions;

use capacity::Capacity;
use hash::Secret;
#[cfg(all(test, idempotency_loom))]
use interleavings::sync;
use limits::Limits;
use operator::Audit;
use search::Search;
use shard::Shard;
use slot::{SlotState, frame};
use sync::{AtomicU64, Mutex, MutexGuard};

/// Stores records in the memory of this process. A clone is the same store.
///
/// Records do not survive a restart, and other processes do not see them. For several processes,
/// take a store that they share. A store that is full of live records rejects new keys and evicts
/// none.
///
/// # Limits
///
/// | limit | default | a new key above it |
/// |---|---|---|
/// | [`max_records`](Self::max_records) and [`max_bytes`](Self::max_bytes) | 1,000,000 and 512 MiB | 503 |
/// | [`scope_share`](Self::scope_share) of them | 10 % | 429 |
/// | [`anonymous_share`](Self::anonymous_share) of them | 1 % | 429 |
///
/// `Retry-After` says when the next record of the store, or of the scope, expires. A response above
/// a limit is stored without its body.
///
/// Records of [`Scope::anonymous`](crate::Scope::anonymous) stay for at most
/// [10 minutes](Self::anonymous_retention).
///
/// A layer without a [`scope`](crate::IdempotencyLayer::scope) function does not tell its callers
/// apart. They have no share, and may use the whole store.
///
/// ```
/// use tower_idempotency::{IdempotencyLayer, MemoryStore};
///
/// let layer = IdempotencyLayer::new(MemoryStore::new().max_records(50_000));
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<Shard>]>,
    secret: Secret,
    capacity: Capacity,
    search: Search,
    audit: Audit,
    id: u64,
    tokens: AtomicU64,
    start: Instant,
}

impl MemoryStore {
    /// An empty store with the default limits.
    pub fn new() -> Self {
        let secret = Secret::new();
        let limits = Limits::new(Self::MAX_RECORDS, Self::MAX_BYTES);
        Self(Arc::new(Inner {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(secret))).collect(),
            secret,
            capacity: Capacity::new(SHARDS, secret, limits),
            search: Search::default(),
            audit: Audit::default(),
            id: STORES.fetch_add(1, Ordering::Relaxed),
            tokens: AtomicU64::new(1),
            start: Instant::now(),
        }))
    }

    /// How many records it contains, with expired ones that were not removed yet.
    pub fn records(&self) -> usize {
        self.0.capacity.records()
    }

    /// How many bytes those records take, by the store's own estimate. A record counts for 576
    /// bytes, which includes the first 224 of its response.
    pub fn bytes(&self) -> usize {
        self.0.capacity.bytes()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("records", &self.records())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// A map that doubles moves all its records while its lock is held, so each shard has to be small
/// with millions of records, too.
const SHARDS: usize = 1024;

impl Inner {
    /// The store's clock: time since it was made.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn shard(&self, key: &StorageKey) -> MutexGuard<'_, Shard> {
        hold(&self.shards[self.index(key)])
    }

    #[allow(clippy::cast_possible_truncation)] // Any bits of the hash will do.
    fn index(&self, key: &StorageKey) -> usize {
        // Not the lowest bits nor the highest, by which the map of the shard finds the record.
        (self.secret.hash_one(key) >> 32) as usize & (self.shards.len() - 1)
    }

    /// Counted and not random, because no other process can know this store's leases.
    fn token(&self) -> Token {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        Token::new((u128::from(self.id) << 64 | u128::from(number)).to_be_bytes())
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only a failed allocation panics under the lock, and the records are whole between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers the stores of this process, so that no two have a token in common.
static STORES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Store for MemoryStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.0.reserve(request)
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.0.settle(lease, SlotState::Success(frame(outcome)), retention)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.0.settle(lease, SlotState::Failed(outcome.map(frame)), retention)
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.0.release(lease)
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.0.renew(lease)
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let now = self.0.now();
        self.0.shard(key).live(key, now, &self.0.capacity).map(|slot| slot.record(now)).transpose()
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        _round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        let now = self.0.now();
        if let Some((settled, lapses)) = self.0.wait(seen, now) {
            let bound = bound.min(lapses.saturating_sub(now));
            let _ = tokio::time::timeout(bound, settled).await;
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn opens_transactions(&self) -> bool {
        false
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.0.list(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        Ok(self.0.show(key))
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.0.intervene(intervention)
    }

    async fn stats(&self, _: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        Ok(self.0.stats().await)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
