//! What a full store does before it rejects a new key: it looks through all shards.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::second::Second;
use super::sync::Mutex;
use super::{Inner, hold};
use crate::record::key::StorageKey;

/// How many records one request takes out at most: some milliseconds.
pub(super) const MOST_SWEPT: usize = 8192;

/// The next expiry in the store, and the second in which it was looked for. A flood of new keys does
/// not look again within a second.
#[derive(Default)]
pub(super) struct Search(Mutex<Option<(Second, Option<Duration>)>>);

impl Inner {
    /// When the next record of the store expires.
    pub(super) fn next_of_all(&self, now: Duration) -> Option<Duration> {
        let second = Second::of(now);
        let mut last = hold(&self.search.0);
        if let Some((at, next)) = *last
            && at == second
        {
            return next;
        }
        let next = self.shards.iter().filter_map(|shard| hold(shard).next_expiry()).min();
        *last = Some((second, next));
        next
    }

    /// Takes expired records out of one shard after the other, one with each new key. So none has to
    /// wait until a key of its own shard comes.
    pub(super) fn sweep_in_turn(&self, now: Duration) {
        let keys = self.tokens.load(Ordering::Relaxed);
        let turn = usize::try_from(keys % self.shards.len() as u64).unwrap_or_default();
        hold(&self.shards[turn]).sweep(now, 2, &self.capacity);
    }

    /// Takes expired records out of the shards, that of the key first: the last resort before a
    /// rejection. One request does not pay for all that has expired. The next one goes on.
    pub(super) fn sweep(&self, key: &StorageKey, now: Duration) {
        let (from, to) = self.shards.split_at(self.index(key));
        let mut left = MOST_SWEPT;
        for shard in to.iter().chain(from) {
            left -= hold(shard).sweep(now, left, &self.capacity);
        }
        *hold(&self.search.0) = None;
    }
}
