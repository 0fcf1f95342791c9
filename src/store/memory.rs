//! The store for one process: sharded, expiring, bounded, and never forgetting a live record.
//!
//! Its clock is tokio's monotonic clock, so that tests may pause it. Expired records are taken away as requests come
//! in; nothing runs in the background.

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Lease, Record, Reservation, Reserve, Seen, Settlement, Store, StoreError, Token};
use crate::key::StorageKey;
use crate::outcome::Outcome;

mod hash;
#[cfg(all(test, idempotency_loom))]
mod interleavings;
mod room;
mod shard;
#[cfg(not(all(test, idempotency_loom)))]
mod sync;
mod transitions;

use hash::Secret;
#[cfg(all(test, idempotency_loom))]
use interleavings::sync;
use room::Room;
use shard::{Kept, Shard, frame};
use sync::{AtomicU64, Mutex, MutexGuard};

/// Keeps records in the memory of this process. A clone is the same store.
///
/// Records do not survive a restart and are not seen by other processes: for more than one process, take a store
/// that they share. When full of live records it refuses new keys (503) and forgets none.
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
    room: Room,
    id: u64,
    tokens: AtomicU64,
    start: Instant,
}

impl MemoryStore {
    /// The default of [`max_records`](Self::max_records).
    pub const MAX_RECORDS: usize = 1_000_000;
    /// The default of [`max_bytes`](Self::max_bytes): 512 MiB.
    pub const MAX_BYTES: usize = 512 << 20;

    /// An empty store with the default limits.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shards = (cores * 8).next_power_of_two();
        let secret = Secret::new();
        Self(Arc::new(Inner {
            shards: (0..shards).map(|_| Mutex::new(Shard::new(secret))).collect(),
            secret,
            room: Room::new(Self::MAX_RECORDS, Self::MAX_BYTES),
            id: STORES.fetch_add(1, Ordering::Relaxed),
            tokens: AtomicU64::new(1),
            start: Instant::now(),
        }))
    }

    /// Sets how many live records it takes before it refuses new keys. Default: 1,000,000.
    /// It holds for every clone.
    #[must_use]
    pub fn max_records(self, records: usize) -> Self {
        self.0.room.set_max_records(records);
        self
    }

    /// Sets how many bytes, records and answers together, it takes before it refuses new keys. Default: 512 MiB.
    ///
    /// Answers of operations that run already are always kept, so the store may exceed this by what is in flight. It holds for every clone.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.0.room.set_max_bytes(bytes);
        self
    }

    /// How many records it holds, expired ones that nobody has met yet included.
    pub fn records(&self) -> usize {
        self.0.room.records()
    }

    /// How many bytes those records take, by the store's own estimate.
    pub fn bytes(&self) -> usize {
        self.0.room.bytes()
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

    /// Counted, not drawn: no other process can know this store's leases.
    fn token(&self) -> Token {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        Token::new((u128::from(self.id) << 64 | u128::from(number)).to_be_bytes())
    }

    /// Takes expired records out of every shard: the last resort before refusing a new key.
    fn sweep(&self, now: Duration) {
        for shard in &self.shards {
            hold(shard).sweep(now, usize::MAX, &self.room);
        }
    }
}

fn hold(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing under the lock panics but a failed allocation, and the records are whole between statements.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the stores of this process apart, so that no two have a token in common.
static STORES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Store for MemoryStore {
    async fn reserve(&self, request: &Reserve) -> Result<Reservation, StoreError> {
        self.0.reserve(request)
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let kept = Kept::Success(frame(outcome));
        Ok(self.0.keep(lease, kept, retention))
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let kept = Kept::Failed(outcome.map(frame));
        Ok(self.0.keep(lease, kept, retention))
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        Ok(self.0.release(lease))
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        Ok(self.0.renew(lease))
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let now = self.0.now();
        self.0.shard(key).live(key, now, &self.0.room).map(|slot| slot.record(now)).transpose()
    }

    async fn changed(&self, seen: &Seen, _round: u32, bound: Duration) -> Result<(), StoreError> {
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

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
