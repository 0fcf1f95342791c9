//! Where the keys of operations are stored until the operations are finished.

use std::fmt;
use std::io;
use std::time::SystemTime;

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

/// Stores keys from before the first attempt until the operation is finished. Keys in a
/// [`FileKeyStore`] survive a restart, those in a [`MemoryKeyStore`] do not.
///
/// A table in the application's database is the best place if the operation comes from there: one
/// row for each operation, unique by its name.
pub trait KeyStore: Send + Sync + 'static {
    /// Stores `new`, unless a key is stored for the operation already, and returns the stored one.
    /// A key that was stored already is marked as shared: more than one caller has it now.
    ///
    /// If `new` was stored it comes back unchanged, its time not rounded: this is how a new
    /// operation differs from a resumed one.
    ///
    /// It is one step: all concurrent callers, in whatever process, get one key. When it returns,
    /// the key survives what the store is made to survive.
    ///
    /// # Errors
    ///
    /// If it is not certain that the key is stored. Nothing is sent then.
    fn put_if_absent(&self, new: StoredKey) -> impl Future<Output = io::Result<StoredKey>> + Send;

    /// Drops the key of an operation, if it is still this one.
    ///
    /// # Errors
    ///
    /// If it may be stored still.
    fn remove(&self, operation: &str, key: &IdempotencyKey) -> impl Future<Output = io::Result<()>> + Send;

    /// Drops the key of an operation, if it is still this one and is not shared. Returns whether
    /// this key is not stored any more.
    ///
    /// It is one step: a caller that takes up the key has it marked before, or finds it gone.
    ///
    /// # Errors
    ///
    /// If it may be stored still.
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
