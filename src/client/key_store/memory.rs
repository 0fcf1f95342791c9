//! Keys in the memory of this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex};

use super::{KeptKey, KeyStore};
use crate::key::IdempotencyKey;
use crate::mutex::held;

/// Keeps keys in memory, for tests and for operations that end with the process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryKeys {
    kept: Arc<Mutex<HashMap<String, KeptKey>>>,
}

impl MemoryKeys {
    /// Keeps nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl KeyStore for MemoryKeys {
    async fn keep(&self, new: KeptKey) -> io::Result<KeptKey> {
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

    async fn all(&self) -> io::Result<Vec<KeptKey>> {
        Ok(held(&self.kept).values().cloned().collect())
    }
}
