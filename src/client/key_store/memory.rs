//! Keys in the memory of this process.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::{KeyStore, StoredKey};
use crate::record::key::IdempotencyKey;
use crate::runtime::lock::lock;

/// Stores keys in memory, for tests and for operations that end with the process. Clones share
/// them.
#[derive(Debug, Clone, Default)]
pub struct MemoryKeyStore {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    stored: StoredKey,
    is_shared: bool,
}

impl MemoryKeyStore {
    /// Stores nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops a key if `may_go`, and returns whether it is gone.
    fn drop_if(&self, operation: &str, key: &IdempotencyKey, may_go: impl Fn(&Kept) -> bool) -> bool {
        let kept = &mut *lock(&self.kept);
        let is_key = |kept: &&Kept| kept.stored.key == *key;
        let Some(found) = kept.get(operation).filter(is_key) else { return true };
        let goes = may_go(found);
        if goes {
            kept.remove(operation);
        }
        goes
    }
}

impl KeyStore for MemoryKeyStore {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        let kept = &mut *lock(&self.kept);
        if let Some(kept) = kept.get_mut(&new.operation) {
            kept.is_shared = true;
            return Ok(kept.stored.clone());
        }
        kept.insert(new.operation.clone(), Kept { stored: new.clone(), is_shared: false });
        Ok(new)
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        self.drop_if(operation, key, |_| true);
        Ok(())
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        Ok(self.drop_if(operation, key, |kept| !kept.is_shared))
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        Ok(lock(&self.kept).values().map(|kept| kept.stored.clone()).collect())
    }
}
