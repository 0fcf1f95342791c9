//! The limits of the memory store, and the setters for them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::MemoryStore;
use super::claim::RECORD;
use crate::record::key::ScopeDigest;

/// Set once and read often. They guard no other memory, so relaxed ordering is enough.
pub(super) struct Limits {
    records: AtomicUsize,
    bytes: AtomicUsize,
    scope_percent: AtomicUsize,
    anonymous_percent: AtomicUsize,
    anonymous_millis: AtomicU64,
}

/// How much there may be of something.
pub(super) struct Limit {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Limits {
    pub(super) fn new(records: usize, bytes: usize) -> Self {
        Self {
            records: AtomicUsize::new(records),
            bytes: AtomicUsize::new(bytes),
            scope_percent: AtomicUsize::new(MemoryStore::SCOPE_PERCENT.into()),
            anonymous_percent: AtomicUsize::new(MemoryStore::ANONYMOUS_PERCENT.into()),
            anonymous_millis: AtomicU64::new(millis(MemoryStore::ANONYMOUS_RETENTION)),
        }
    }

    /// Of the whole store.
    pub(super) fn of_store(&self) -> Limit {
        Limit {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Of one scope: a share of the whole, and never less than one record.
    pub(super) fn of_scope(&self, scope: ScopeDigest) -> Limit {
        let percent = match scope {
            ScopeDigest::ANONYMOUS => self.anonymous_percent.load(Ordering::Relaxed),
            _ => self.scope_percent.load(Ordering::Relaxed),
        };
        let whole = self.of_store();
        Limit {
            records: share(whole.records, percent).max(1),
            bytes: share(whole.bytes, percent).max(RECORD),
        }
    }

    /// How long a record stays. A pending one needs twice its lease, so that an abandoned attempt
    /// is known as such.
    pub(super) fn retention(
        &self,
        scope: ScopeDigest,
        lease: Duration,
        retention: Duration,
    ) -> Duration {
        if scope != ScopeDigest::ANONYMOUS {
            return retention;
        }
        let most = Duration::from_millis(self.anonymous_millis.load(Ordering::Relaxed));
        retention.min(most.max(lease.saturating_mul(2)))
    }
}

/// In this order, because `whole` may be the largest number.
fn share(whole: usize, percent: usize) -> usize {
    whole / 100 * percent + whole % 100 * percent / 100
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl MemoryStore {
    /// The default of [`max_records`](Self::max_records).
    pub const MAX_RECORDS: usize = 1_000_000;
    /// The default of [`max_bytes`](Self::max_bytes): 512 MiB.
    pub const MAX_BYTES: usize = 512 << 20;
    /// The default of [`scope_share`](Self::scope_share): 10 %.
    pub const SCOPE_PERCENT: u8 = 10;
    /// The default of [`anonymous_share`](Self::anonymous_share): 1 %.
    pub const ANONYMOUS_PERCENT: u8 = 1;
    /// The default of [`anonymous_retention`](Self::anonymous_retention): 10 minutes.
    pub const ANONYMOUS_RETENTION: Duration = Duration::from_mins(10);

    /// Sets how many live records the store takes before it rejects new keys with 503.
    /// Default: 1,000,000. All clones share the limit.
    #[must_use]
    pub fn max_records(self, records: usize) -> Self {
        self.limits().records.store(records, Ordering::Relaxed);
        self
    }

    /// Sets how many bytes the store takes, records and responses together. Default: 512 MiB.
    /// All clones share the limit.
    ///
    /// Above it a new key is rejected with 503. A response that does not fit any more is stored
    /// without its body, so that its operation does not run again: a retry then gets 409
    /// `idempotency_result_not_retained`. Records in flight never take the store above its limit.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.limits().bytes.store(bytes, Ordering::Relaxed);
        self
    }

    /// Sets how much of the store one scope may use, in percent of
    /// [`max_records`](Self::max_records) and of [`max_bytes`](Self::max_bytes). Default: 10, at
    /// least 1, and at most 100. All clones share the limit.
    ///
    /// A scope that has used up its share gets 429 `idempotency_quota_exceeded` for each new key.
    /// `Retry-After` says when its next record expires. Other scopes are not affected. A response
    /// that does not fit into the share is stored without its body.
    ///
    /// Raise it if few callers share the store. A layer without a
    /// [`scope`](crate::IdempotencyLayer::scope) function does not tell callers apart, so none of
    /// them has a share: one caller can then fill the store.
    ///
    /// ```
    /// use tower_idempotency::MemoryStore;
    ///
    /// // Two tenants, each of which may use half.
    /// let store = MemoryStore::new().scope_share(50);
    /// ```
    #[must_use]
    pub fn scope_share(self, percent: u8) -> Self {
        self.limits().scope_percent.store(percent.clamp(1, 100).into(), Ordering::Relaxed);
        self
    }

    /// Sets how much of the store [`Scope::anonymous`](crate::Scope::anonymous) may use, in
    /// percent. Default: 1, at least 1, and at most 100. All clones share the limit.
    ///
    /// All callers without an identity use this share together. Raise it if most callers have none.
    #[must_use]
    pub fn anonymous_share(self, percent: u8) -> Self {
        self.limits().anonymous_percent.store(percent.clamp(1, 100).into(), Ordering::Relaxed);
        self
    }

    /// Sets how long a record of [`Scope::anonymous`](crate::Scope::anonymous) stays at most,
    /// whatever the layer's [`retention`](crate::IdempotencyLayer::retention). Default: 10 minutes.
    /// Never less than twice the lease of the attempt. All clones share the limit.
    ///
    /// Raise it if clients without an identity retry for longer.
    ///
    /// After this time the key is free: a retry of an anonymous caller runs the operation again.
    #[must_use]
    pub fn anonymous_retention(self, retention: Duration) -> Self {
        self.limits().anonymous_millis.store(millis(retention), Ordering::Relaxed);
        self
    }

    fn limits(&self) -> &Limits {
        &self.0.capacity.limits
    }
}
