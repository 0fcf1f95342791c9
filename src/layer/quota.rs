//! The ready-made quota: see [`crate::settings::quota`].

use std::num::NonZeroU32;
use std::sync::Arc;

use super::IdempotencyLayer;
use crate::settings::quota::NewKeys;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets how many new keys a scope may use in a minute, with any store. Default: any number.
    ///
    /// Use it where callers do not trust one another, so that none of them can fill the store.
    ///
    /// A scope may use all of them at once, and then gets one at a time: with 60, one each second.
    /// A new key above the quota gets 429 with `Retry-After`, and its operation does not run
    /// ([`Rejection::QuotaExceeded`](crate::Rejection)).
    ///
    /// Only new keys count. These requests do not count:
    ///
    /// - a replay,
    /// - a mismatch,
    /// - a duplicate of a request in flight,
    /// - a retry of an attempt that failed or was cut off.
    ///
    /// The layer serves them above the quota too, as long as it may query the store. An exhausted
    /// scope gets ten queries for each key of its quota, at the same rate. Above that, each of its
    /// requests gets 429 without a query, replays included.
    ///
    /// A key whose operation leaves no record is new again: after a 400, for example, and in
    /// transaction mode after a failure.
    ///
    /// The count is local to this process, so N processes allow N times as many keys. Clones of the
    /// layer that are made after this call share it. All anonymous callers share one quota.
    ///
    /// Without a [`scope`](Self::scope) function the layer does not tell callers apart, so the
    /// quota has no effect.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
    /// use std::num::NonZeroU32;
    ///
    /// # #[derive(Clone)] struct Account(u64);
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .scope(|parts| {
    ///         let Account(id) = parts.extensions.get()?;
    ///         Some(Scope::new(id.to_be_bytes()))
    ///     })
    ///     .new_keys_per_minute(NonZeroU32::new(600).unwrap());
    /// ```
    #[must_use]
    pub fn new_keys_per_minute(self, keys: NonZeroU32) -> Self {
        self.set(|config| config.new_keys = Some(Arc::new(NewKeys::new(keys))))
    }
}
