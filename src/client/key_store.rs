//! Stores for the keys of operations, until the operations are finished.

use std::time::SystemTime;
use std::{fmt, io};

use crate::record::key::IdempotencyKey;

mod file;
mod memory;

pub use file::FileKeyStore;
pub use memory::MemoryKeyStore;

/// A key and the name of its operation. The request is not stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The name that the application gave the operation.
    pub operation: String,
    /// The key of every attempt.
    pub key: IdempotencyKey,
    /// When the key was made, by the client's clock.
    pub created_at: SystemTime,
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("operation", &self.operation)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// A store for keys, from before the first attempt until the operation is finished. Keys in a
/// [`FileKeyStore`] survive a restart, and those in a [`MemoryKeyStore`] do not.
///
/// If the operation comes from the application's database, a table there is best: one row for each
/// operation, unique by its name.
pub trait KeyStore: Send + Sync + 'static {
    /// Stores `new`, unless the operation has a key already, and returns the stored key.
    ///
    /// - If `new` was stored, return it unchanged, and do not round its time. A new operation
    ///   differs from a resumed one by this.
    /// - If the operation had a key already, mark that key as shared, because more than one caller
    ///   has it now.
    ///
    /// The call is atomic: all concurrent callers, in all processes, get one key. When it returns,
    /// the key is as durable as the store promises.
    ///
    /// # Errors
    ///
    /// If it is not certain that the key is stored. Nothing is sent then.
    fn put_if_absent(&self, new: StoredKey) -> impl Future<Output = io::Result<StoredKey>> + Send;

    /// Removes the key of an operation, if it is still this one.
    ///
    /// # Errors
    ///
    /// If the key may still be stored.
    fn remove(
        &self,
        operation: &str,
        key: &IdempotencyKey,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes the key of an operation, if it is still this one and is not shared. Returns whether
    /// this key is no longer stored.
    ///
    /// The call is atomic: a concurrent caller either marks the key as shared before, or finds it
    /// removed.
    ///
    /// # Errors
    ///
    /// If the key may still be stored.
    fn remove_unshared(
        &self,
        operation: &str,
        key: &IdempotencyKey,
    ) -> impl Future<Output = io::Result<bool>> + Send;

    /// All stored keys, in no order.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn list(&self) -> impl Future<Output = io::Result<Vec<StoredKey>>> + Send;
}
