//! The hash of storage keys inside the memory store.
//!
//! A storage key is a digest, so one multiplication with a secret of this process is enough.
//! Without the secret, clients could search for keys that fall into one shard.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers under a secret drawn when it was made.
#[derive(Clone, Copy)]
pub(super) struct Secret(u64, u64);

impl Secret {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0), random.hash_one(1))
    }
}

impl BuildHasher for Secret {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold { secret: *self, hash: 0 }
    }
}

pub(super) struct Fold {
    secret: Secret,
    hash: u64,
}

impl Hasher for Fold {
    #[allow(clippy::cast_possible_truncation)] // Both halves of the product are used.
    fn write(&mut self, key: &[u8]) {
        if let Some((first, rest)) = key.split_first_chunk::<8>()
            && let Some((second, _)) = rest.split_first_chunk::<8>()
        {
            let left = u128::from(u64::from_ne_bytes(*first) ^ self.secret.0);
            let right = u128::from(u64::from_ne_bytes(*second) ^ self.secret.1);
            let product = left * right;
            self.hash = product as u64 ^ (product >> 64) as u64;
        }
    }

    /// The length of the key comes first, and is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}
