//! Where the keys of operations are kept while their answer is uncertain.

use std::fmt;
use std::io;
use std::time::SystemTime;

use crate::key::IdempotencyKey;

mod file;
mod memory;

pub use file::FileKeyStore;
pub use memory::MemoryKeyStore;

/// A key, and the operation that it stands for. Nothing of the request is kept with it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The name that the application gave the operation.
    pub operation: String,
    /// The key that every attempt of it bears.
    pub key: IdempotencyKey,
    /// When the key was first kept, by the client's clock.
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

/// Keeps keys from before the first attempt until the answer is certain: [`FileKeyStore`] through a restart, [`MemoryKeyStore`]
/// not.
///
/// A table of one's own database is the best place, if the operation comes from there: one row for each operation, unique
/// by its name.
pub trait KeyStore: Send + Sync + 'static {
    /// Keeps `new`, unless a key is kept for the operation already, and gives the one that is kept then.
    ///
    /// A `new` that was kept comes back as it is, its time not rounded: by that an operation is known not to be resumed.
    ///
    /// It is one step: of several callers at once, in whatever process, all get one key. When it returns, the key
    /// survives what the store is to survive.
    ///
    /// # Errors
    ///
    /// If it is not certain that the key is kept. Nothing is sent then.
    fn put_if_absent(&self, new: StoredKey) -> impl Future<Output = io::Result<StoredKey>> + Send;

    /// Drops the key of an operation, if it is still this one.
    ///
    /// # Errors
    ///
    /// If it may be kept still.
    fn remove(&self, operation: &str, key: &IdempotencyKey) -> impl Future<Output = io::Result<()>> + Send;

    /// All keys that are kept, in no order.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn list(&self) -> impl Future<Output = io::Result<Vec<StoredKey>>> + Send;
}
