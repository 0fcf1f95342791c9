//! [`MemoryKeyStore`]: keys in the memory of this process.

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
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    stored: StoredKey,
    is_shared: bool,
}

impl MemoryKeyStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes a key if `may_remove` allows it, and returns whether it is no longer stored.
    fn remove_if(
        &self,
        operation: &str,
        key: &IdempotencyKey,
        may_remove: impl Fn(&Entry) -> bool,
    ) -> bool {
        let entries = &mut *lock(&self.entries);
        let is_key = |entry: &&Entry| entry.stored.key == *key;
        let Some(found) = entries.get(operation).filter(is_key) else { return true };
        let is_removed = may_remove(found);
        if is_removed {
            entries.remove(operation);
        }
        is_removed
    }
}

impl KeyStore for MemoryKeyStore {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        let entries = &mut *lock(&self.entries);
        if let Some(entry) = entries.get_mut(&new.operation) {
            entry.is_shared = true;
            return Ok(entry.stored.clone());
        }
        entries.insert(new.operation.clone(), Entry { stored: new.clone(), is_shared: false });
        Ok(new)
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        self.remove_if(operation, key, |_| true);
        Ok(())
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        Ok(self.remove_if(operation, key, |entry| !entry.is_shared))
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        Ok(lock(&self.entries).values().map(|entry| entry.stored.clone()).collect())
    }
}
