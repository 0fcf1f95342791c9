//! The keys with a recent response. A read comes first for them, because a replay is likely.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::key::StorageKey;

/// How many keys are remembered.
const KEYS: usize = 1024;

/// A part of each key, in a place that the key determines. A later key overwrites an earlier one.
/// It may be wrong either way, because it only saves time. A clone is the same set of keys.
#[derive(Clone)]
pub(super) struct Lately(Arc<[AtomicU64]>);

impl Default for Lately {
    fn default() -> Self {
        Self((0..KEYS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Lately {
    pub(super) fn knows(&self, key: &StorageKey) -> bool {
        let (place, part) = place(key);
        self.0[place].load(Ordering::Relaxed) == part
    }

    pub(super) fn responded(&self, key: &StorageKey) {
        let (place, part) = place(key);
        self.0[place].store(part, Ordering::Relaxed);
    }
}

/// The key is a digest, so any of its bytes are good.
fn place(key: &StorageKey) -> (usize, u64) {
    let part = key.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let place =
        key.as_bytes().last_chunk().map_or(0, |last| usize::from(u16::from_be_bytes(*last)));
    (place % KEYS, part)
}
