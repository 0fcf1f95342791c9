//! Keys in the memory of this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex};

use super::{KeyStore, StoredKey};
use crate::key::IdempotencyKey;
use crate::mutex::held;

/// Stores keys in memory, for tests and for operations that end with the process. Clones share
/// them.
#[derive(Debug, Clone, Default)]
pub struct MemoryKeyStore {
    kept: Arc<Mutex<HashMap<String, StoredKey>>>,
}

impl MemoryKeyStore {
    /// Stores nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl KeyStore for MemoryKeyStore {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        Ok(held(&self.kept).entry(new.operation.clone()).or_insert(new).clone())
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        if let Entry::Occupied(kept) = held(&self.kept).entry(operation.to_owned())
            && kept.get().key == *key
        {
            kept.remove();
        }
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        Ok(held(&self.kept).values().cloned().collect())
    }
}
